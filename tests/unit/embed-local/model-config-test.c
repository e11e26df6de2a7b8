/* What a model's folder may say, and what is refused. SPDX-License-Identifier: MIT */
#include "model-config.h"

#include "encoder-error.h"
#include "model-folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SIZES                                                                                                          \
  "\"hidden_size\":12,\"num_attention_heads\":3,\"num_hidden_layers\":2,\"intermediate_size\":24,\"vocab_size\":100,"  \
  "\"max_position_embeddings\":64,\"type_vocab_size\":2"

static int
make_folder (void **state)
{
  *state = model_folder_new ();
  return 0;
}

static int
remove_folder (void **state)
{
  model_folder_free (*state);
  return 0;
}

static void
assert_refused (const char *folder, RagifyEncoderError code, const char *file, const char *reason)
{
  RagifyModelConfig config = { .hidden_size = 77 };
  g_autoptr (GError) error = NULL;

  assert_false (ragify_model_config_read (folder, &config, &error));
  assert_int_equal (config.hidden_size, 77);
  if (strstr (error->message, file) == NULL || strstr (error->message, reason) == NULL)
    fail_msg ("expected '%s' and '%s' in: %s", file, reason, error->message);
  assert_true (g_error_matches (error, RAGIFY_ENCODER_ERROR, (int)code));
}

static void
assert_config_refused (void **state, const char *config, RagifyEncoderError code, const char *reason)
{
  model_folder_write (*state, "config.json", config, -1);
  assert_refused (*state, code, "config.json", reason);
}

static void
a_bert_model_is_read (void **state)
{
  RagifyModelConfig config;

  model_folder_write (*state, "config.json", "{\"model_type\":\"bert\"," SIZES "}", -1);
  model_folder_write (*state, "sentence_bert_config.json", "{\"max_seq_length\":20,\"do_lower_case\":false}", -1);
  assert_true (ragify_model_config_read (*state, &config, NULL));
  assert_int_equal (config.architecture, RAGIFY_ARCHITECTURE_BERT);
  assert_int_equal (config.hidden_size, 12);
  assert_int_equal (config.max_tokens, 20);
  assert_int_equal (config.first_position, 0);
  assert_int_equal (config.token_types, 2);
  assert_int_equal (config.relative_buckets, 0);
  assert_int_equal (config.pooling, RAGIFY_POOLING_MEAN);
}

static void
an_mpnet_model_is_read (void **state)
{
  RagifyModelConfig config;

  model_folder_write (*state, "config.json", "{\"architectures\":[\"MPNetModel\"]," SIZES "}", -1);
  assert_true (ragify_model_config_read (*state, &config, NULL));
  assert_int_equal (config.architecture, RAGIFY_ARCHITECTURE_MPNET);
  assert_int_equal (config.first_position, 2);
  assert_int_equal (config.token_types, 0);
  assert_int_equal (config.relative_buckets, 32);
  assert_int_equal (config.max_tokens, 0);
}

static void
the_pooling_is_where_the_modules_say (void **state)
{
  RagifyModelConfig config;

  model_folder_write (*state, "config.json", "{\"model_type\":\"bert\"," SIZES "}", -1);
  model_folder_write (*state, "modules.json",
                      "[{\"path\":\"\",\"type\":\"a.Transformer\"},{\"path\":\"pool\",\"type\":\"a.Pooling\"},"
                      "{\"path\":\"2\",\"type\":\"a.Normalize\"}]",
                      -1);
  model_folder_write (*state, "pool/config.json",
                      "{\"word_embedding_dimension\":12,\"pooling_mode_cls_token\":true,"
                      "\"pooling_mode_mean_tokens\":false}",
                      -1);
  assert_true (ragify_model_config_read (*state, &config, NULL));
  assert_int_equal (config.pooling, RAGIFY_POOLING_CLS);
}

static void
poolings_and_modules_of_other_kinds_are_refused (void **state)
{
  model_folder_write (*state, "config.json", "{\"model_type\":\"bert\"," SIZES "}", -1);
  model_folder_write (*state, "1_Pooling/config.json", "{\"pooling_mode_max_tokens\":true}", -1);
  assert_refused (*state, RAGIFY_ENCODER_ERROR_UNSUPPORTED, "1_Pooling", "'pooling_mode_max_tokens' is not supported");
  model_folder_write (*state, "1_Pooling/config.json",
                      "{\"pooling_mode_mean_tokens\":true,\"pooling_mode_cls_token\":true}", -1);
  assert_refused (*state, RAGIFY_ENCODER_ERROR_UNSUPPORTED, "1_Pooling", "expected one mode");
  model_folder_write (*state, "1_Pooling/config.json",
                      "{\"pooling_mode_mean_tokens\":true,\"word_embedding_dimension\":13}", -1);
  assert_refused (*state, RAGIFY_ENCODER_ERROR_FORMAT, "1_Pooling", "from 12 to 12, found 13");
  model_folder_write (*state, "modules.json", "[{\"path\":\"3\",\"type\":\"sentence_transformers.models.Dense\"}]", -1);
  assert_refused (*state, RAGIFY_ENCODER_ERROR_UNSUPPORTED, "modules.json", "models.Dense' is not supported");
  model_folder_write (*state, "modules.json", "[{\"path\":\"../x\",\"type\":\"a.Pooling\"}]", -1);
  assert_refused (*state, RAGIFY_ENCODER_ERROR_FORMAT, "modules.json", "a path inside the folder");
}

static void
unknown_architectures_are_refused_by_name (void **state)
{
  assert_config_refused (state, "{\"model_type\":\"roberta\"," SIZES "}", RAGIFY_ENCODER_ERROR_UNSUPPORTED,
                         "architecture 'roberta' is not supported; expected one of: bert, mpnet, distilbert");
  assert_config_refused (state, "{\"architectures\":[\"T5Model\"]," SIZES "}", RAGIFY_ENCODER_ERROR_UNSUPPORTED,
                         "architecture 'T5Model'");
  assert_config_refused (state, "{" SIZES "}", RAGIFY_ENCODER_ERROR_UNSUPPORTED, "architecture ''");
  assert_config_refused (state, "{\"model_type\":\"bert\",\"hidden_act\":\"relu\"," SIZES "}",
                         RAGIFY_ENCODER_ERROR_UNSUPPORTED, "hidden_act 'relu' is not supported; expected gelu");
  assert_config_refused (state, "{\"model_type\":\"bert\",\"position_embedding_type\":\"relative_key\"," SIZES "}",
                         RAGIFY_ENCODER_ERROR_UNSUPPORTED, "'relative_key'");
}

static void
numbers_that_cannot_be_are_refused (void **state)
{
  assert_config_refused (state, "{\"model_type\":\"bert\",\"hidden_size\":12}", RAGIFY_ENCODER_ERROR_FORMAT,
                         "'num_hidden_layers': expected a whole number from 1 to 256, found no such member");
  assert_config_refused (state, "{\"model_type\":\"bert\",\"hidden_size\":-12}", RAGIFY_ENCODER_ERROR_FORMAT,
                         "found -12");
  assert_config_refused (state, "{\"model_type\":\"bert\",\"hidden_size\":\"12\"}", RAGIFY_ENCODER_ERROR_FORMAT,
                         "found \"12\"");
  assert_config_refused (state, "{\"model_type\":\"bert\",\"hidden_size\":99999999999999999999}",
                         RAGIFY_ENCODER_ERROR_FORMAT, "config.json:1:");
  assert_config_refused (state,
                         "{\"model_type\":\"bert\",\"hidden_size\":10,\"num_attention_heads\":3,"
                         "\"num_hidden_layers\":2,\"intermediate_size\":24,\"vocab_size\":100,"
                         "\"max_position_embeddings\":64,\"type_vocab_size\":2}",
                         RAGIFY_ENCODER_ERROR_FORMAT, "hidden_size 10 is no multiple of num_attention_heads 3");
  assert_config_refused (state, "{\"model_type\":\"bert\",\"layer_norm_eps\":-1," SIZES "}",
                         RAGIFY_ENCODER_ERROR_FORMAT, "'layer_norm_eps'");
}

static void
missing_and_broken_files_are_named (void **state)
{
  assert_refused (*state, RAGIFY_ENCODER_ERROR_FILE, "config.json", "expected a model folder with a file");
  assert_config_refused (state, "{\"model_type\"", RAGIFY_ENCODER_ERROR_FORMAT, "is not JSON");
  model_folder_write (*state, "config.json", "{\"model_type\":\"bert\"," SIZES "}", -1);
  model_folder_write (*state, "sentence_bert_config.json", "{\"max_seq_length\":65}", -1);
  assert_refused (*state, RAGIFY_ENCODER_ERROR_FORMAT, "sentence_bert_config.json", "from 3 to 64, found 65");
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown (a_bert_model_is_read, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (an_mpnet_model_is_read, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (the_pooling_is_where_the_modules_say, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (poolings_and_modules_of_other_kinds_are_refused, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (unknown_architectures_are_refused_by_name, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (numbers_that_cannot_be_are_refused, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (missing_and_broken_files_are_named, make_folder, remove_folder),
  };

  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests_name ("model-config", tests, NULL, NULL);
}
