/* The encoder on small models of random numbers. SPDX-License-Identifier: MIT */
#include "encoder.h"

#include "encoder-error.h"
#include "kernels.h"
#include "model-folder.h"
#include "reference-encoder.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const ModelShape bert = {
  .hidden = 50, .heads = 5, .layers = 2, .intermediate = 70, .positions = 300, .half = TRUE, .prefix = "bert."
};
static const ModelShape mpnet = {
  .mpnet = TRUE, .hidden = 60, .heads = 3, .layers = 12, .intermediate = 100, .positions = 258
};

static const ModelShape distilbert = {
  .distilbert = TRUE, .hidden = 60, .heads = 3, .layers = 3, .intermediate = 100, .positions = 200
};
static const ModelShape accurate = { .hidden = 384, .heads = 12, .layers = 12, .intermediate = 1536, .positions = 128 };

static const char *const texts[] = {
  "The quick brown fox jumps over the lazy dog.",
  "",
  "a",
  "sixteen bits are enough, if the sums are kept in thirty-two of them",
  "n\303\270rd \342\200\224 \346\227\245\346\234\254 <pad> [SEP]",
  ("The tokens of this text are nearly all of them letters, so that it is long: the quick brown fox, "
   "the quick brown fox, and once again the quick brown fox; then it stops somewhere behind the limit."),
};

enum { TEXTS = G_N_ELEMENTS (texts) };

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

static RagifyEncoder *
open_windowed (const char *folder, const char *kernel, gsize max_tokens, gsize max_windows)
{
  const RagifyEncoderOptions options = { .kernel = kernel, .max_tokens = max_tokens, .max_windows = max_windows };
  g_autoptr (GError) error = NULL;
  RagifyEncoder *const encoder = ragify_encoder_open (folder, &options, &error);

  if (encoder == NULL)
    fail_msg ("%s", error->message);
  return encoder;
}

static RagifyEncoder *
open_with (const char *folder, const char *kernel, gsize max_tokens)
{
  return open_windowed (folder, kernel, max_tokens, 0);
}

static float *
embed (const RagifyEncoder *encoder, const char *const *strings, gsize count, RagifyEncoderCounts *counts)
{
  float *const vectors = g_new (float, count *ragify_encoder_get_dimension (encoder));
  g_autofree RagifyText *list = g_new (RagifyText, count);
  g_autoptr (GError) error = NULL;

  for (gsize i = 0; i < count; i++)
    list[i] = (RagifyText){ .data = strings[i], .size = strlen (strings[i]) };
  if (!ragify_encoder_embed (encoder, list, count, NULL, NULL, vectors, counts, &error))
    fail_msg ("%s", error->message);
  return vectors;
}

/* The smallest cosine to the reference that a precision may have, on these models. */
static double
least_cosine (const char *precision)
{
  return strcmp (precision, "int8") == 0 ? 0.99 : strcmp (precision, "bf16") == 0 ? 0.9999 : 0.999999;
}

static void
assert_windows_agree (const char *folder, gsize max_tokens, gsize max_windows)
{
  g_autoptr (ReferenceEncoder) reference = reference_encoder_new (folder);
  RagifyText list[TEXTS];

  for (gsize i = 0; i < TEXTS; i++)
    list[i] = (RagifyText){ .data = texts[i], .size = strlen (texts[i]) };
  for (const RagifyKernels *const *table = ragify_kernels_list (); *table != NULL; table++) {
    g_autoptr (RagifyEncoder) encoder = NULL;
    double cosine;

    if (!(*table)->is_supported ())
      continue;
    encoder = open_windowed (folder, (*table)->name, max_tokens, max_windows);
    cosine = reference_encoder_compare (reference, encoder, MAX (max_windows, 1), list, TEXTS);
    if (!(cosine >= least_cosine ((*table)->precision)))
      fail_msg ("%s: cosine %.9f to the reference", (*table)->name, cosine);
  }
}

static void
assert_all_kernels_agree (const char *folder, gsize max_tokens)
{
  assert_windows_agree (folder, max_tokens, 0);
}

static void
bert_models_agree_with_the_reference (void **state)
{
  model_folder_fill (*state, &bert);
  assert_all_kernels_agree (*state, 0);
  assert_all_kernels_agree (*state, 17);
}

static void
mpnet_models_agree_with_the_reference (void **state)
{
  model_folder_fill (*state, &mpnet);
  assert_all_kernels_agree (*state, 0);
  assert_all_kernels_agree (*state, 40);
}

static void
distilbert_models_agree_with_the_reference (void **state)
{
  model_folder_fill (*state, &distilbert);
  assert_all_kernels_agree (*state, 0);
}

static void
pooling_by_the_first_token_agrees (void **state)
{
  model_folder_fill (*state, &bert);
  model_folder_write (*state, "1_Pooling/config.json", "{\"pooling_mode_cls_token\":true}", -1);
  assert_all_kernels_agree (*state, 0);
}

/* The shape of all-MiniLM-L12-v2, which the name `accurate` stands for, but for its words. */
static void
twelve_layers_agree_with_the_reference (void **state)
{
  const RagifyText list[] = { { .data = texts[0], .size = strlen (texts[0]) }, { .data = "a", .size = 1 } };
  const char *const best_int8 = ragify_kernels_choose ("int8", "auto")->name;
  g_autoptr (ReferenceEncoder) reference = NULL;

  model_folder_fill (*state, &accurate);
  reference = reference_encoder_new (*state);
  for (int integers = 0; integers <= 1; integers++) {
    g_autoptr (RagifyEncoder) encoder = open_with (*state, integers ? best_int8 : "auto", 0);
    double cosine;

    assert_int_equal (ragify_encoder_get_layers (encoder), 12);
    cosine = reference_encoder_compare (reference, encoder, 1, list, G_N_ELEMENTS (list));
    if (!(cosine >= (integers ? 0.99 : 0.9999)))
      fail_msg ("%s: cosine %.9f to the reference", ragify_encoder_get_kernel (encoder), cosine);
  }
}

static void
long_texts_are_the_mean_of_their_windows (void **state)
{
  model_folder_fill (*state, &bert);
  assert_windows_agree (*state, 12, 100);
  assert_windows_agree (*state, 20, 3);
  model_folder_fill (*state, &mpnet);
  assert_windows_agree (*state, 33, 4);
}

static void
windows_are_counted_and_bounded (void **state)
{
  g_autoptr (RagifyEncoder) whole = NULL;
  g_autoptr (RagifyEncoder) windows = NULL;
  g_autoptr (RagifyEncoder) few = NULL;
  g_autofree float *cut = NULL;
  g_autofree float *vectors = NULL;
  g_autofree float *bounded = NULL;
  RagifyEncoderCounts counts;
  gsize size;

  model_folder_fill (*state, &bert);
  whole = open_windowed (*state, "auto", 20, 1);
  windows = open_windowed (*state, "auto", 20, 100);
  few = open_windowed (*state, "auto", 20, 2);
  size = ragify_encoder_get_dimension (windows);
  cut = embed (whole, texts, TEXTS, &counts);
  assert_int_equal (counts.truncated, 3);
  vectors = embed (windows, texts, TEXTS, &counts);
  assert_int_equal (counts.windowed, 3);
  assert_int_equal (counts.truncated, 0);
  bounded = embed (few, texts, TEXTS, &counts);
  assert_int_equal (counts.windowed, 3);
  assert_true (counts.truncated >= 1);
  assert_memory_equal (cut + size, vectors + size, 2 * size * sizeof (float)); /* short ones are what they were */
  assert_memory_not_equal (cut + (TEXTS - 1) * size, vectors + (TEXTS - 1) * size, size * sizeof (float));
  assert_string_not_equal (ragify_encoder_get_fingerprint (whole), ragify_encoder_get_fingerprint (windows));
}

static void
a_batch_gives_what_single_texts_give (void **state)
{
  g_autoptr (RagifyEncoder) encoder = NULL;
  g_autofree const char **many = g_new (const char *, 200);
  g_autofree float *batch = NULL;
  gsize size;

  model_folder_fill (*state, &mpnet);
  encoder = open_with (*state, "auto", 0);
  size = ragify_encoder_get_dimension (encoder);
  for (gsize i = 0; i < 200; i++)
    many[i] = texts[i * 7 % TEXTS];
  batch = embed (encoder, many, 200, NULL);
  for (gsize i = 0; i < 200; i++) {
    g_autofree float *single = embed (encoder, &many[i], 1, NULL);

    assert_memory_equal (single, batch + i * size, size * sizeof (float));
  }
}

static void
vectors_have_unit_length_and_cut_texts_are_counted (void **state)
{
  g_autoptr (RagifyEncoder) encoder = NULL;
  g_autofree float *vectors = NULL;
  RagifyEncoderCounts counts = { .truncated = 99 };
  gsize size;

  model_folder_fill (*state, &bert);
  encoder = open_with (*state, "auto", 20);
  size = ragify_encoder_get_dimension (encoder);
  assert_int_equal (ragify_encoder_get_max_tokens (encoder), 20);
  vectors = embed (encoder, texts, TEXTS, &counts);
  assert_int_equal (counts.truncated, 3);
  assert_int_equal (counts.windowed, 0);
  for (gsize i = 0; i < TEXTS; i++) {
    double squares = 0;

    for (gsize k = 0; k < size; k++)
      squares += (double)vectors[i * size + k] * (double)vectors[i * size + k];
    assert_true (fabs (squares - 1) < 1e-5);
  }
  g_free (embed (encoder, texts, 0, &counts));
  assert_int_equal (counts.truncated, 0);
}

typedef struct {
  const RagifyEncoder *encoder;
  float *vectors;
} Job;

static void *
run_job (void *data)
{
  Job *const job = data;

  job->vectors = embed (job->encoder, texts, TEXTS, NULL);
  return NULL;
}

static void
threads_compute_at_once (void **state)
{
  g_autoptr (RagifyEncoder) encoder = NULL;
  pthread_t threads[8];
  Job jobs[8];

  model_folder_fill (*state, &bert);
  encoder = open_with (*state, "auto", 0);
  for (gsize i = 0; i < G_N_ELEMENTS (jobs); i++) {
    jobs[i].encoder = encoder;
    assert_int_equal (pthread_create (&threads[i], NULL, run_job, &jobs[i]), 0);
  }
  for (gsize i = 0; i < G_N_ELEMENTS (jobs); i++)
    pthread_join (threads[i], NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (jobs); i++)
    assert_memory_equal (jobs[i].vectors, jobs[0].vectors,
                         TEXTS * ragify_encoder_get_dimension (encoder) * sizeof (float));
  for (gsize i = 0; i < G_N_ELEMENTS (jobs); i++)
    g_free (jobs[i].vectors);
}

static gboolean
stop_at_the_third_question (gpointer user)
{
  int *const questions = user;

  return ++*questions == 3;
}

static void
a_computation_can_be_stopped (void **state)
{
  const RagifyText text = { .data = "stop", .size = 4 };
  g_autoptr (RagifyEncoder) encoder = NULL;
  g_autoptr (GError) error = NULL;
  float vector[64];
  int questions = 0;

  model_folder_fill (*state, &mpnet);
  encoder = open_with (*state, "auto", 0);
  assert_false (ragify_encoder_embed (encoder, &text, 1, stop_at_the_third_question, &questions, vector, NULL, &error));
  assert_true (g_error_matches (error, RAGIFY_ENCODER_ERROR, RAGIFY_ENCODER_ERROR_CANCELLED));
  assert_int_equal (questions, 3);
}

static void
the_fingerprint_names_the_vectors_and_not_the_machine (void **state)
{
  ModelShape other = bert;
  g_autoptr (RagifyEncoder) first = NULL;
  g_autoptr (RagifyEncoder) integers = NULL;
  g_autoptr (RagifyEncoder) shorter = NULL;
  g_autoptr (RagifyEncoder) changed = NULL;
  const char *fingerprint;

  model_folder_fill (*state, &bert);
  first = open_with (*state, "auto", 0);
  fingerprint = ragify_encoder_get_fingerprint (first);
  assert_true (g_str_has_prefix (fingerprint, "bert-2x50-mean-300-unit-float-"));
  integers = open_with (*state, "portableint8", 0);
  assert_string_not_equal (ragify_encoder_get_fingerprint (integers), fingerprint);
  assert_true (g_str_has_prefix (ragify_encoder_get_fingerprint (integers), "bert-2x50-mean-300-int8-unit-float-"));
  for (const RagifyKernels *const *table = ragify_kernels_list (); *table != NULL; table++)
    if ((*table)->is_supported ()) {
      g_autoptr (RagifyEncoder) same = open_with (*state, (*table)->name, 0);

      assert_string_equal (ragify_encoder_get_fingerprint (same), strcmp ((*table)->precision, "int8") == 0
                                                                      ? ragify_encoder_get_fingerprint (integers)
                                                                      : fingerprint);
    }
  shorter = open_with (*state, "auto", 64);
  assert_string_not_equal (ragify_encoder_get_fingerprint (shorter), fingerprint);
  other.half = FALSE;
  model_folder_fill (*state, &other);
  changed = open_with (*state, "auto", 0);
  assert_string_not_equal (ragify_encoder_get_fingerprint (changed), fingerprint);
}

static void
assert_refused (const char *folder, const char *kernel, RagifyEncoderError code, const char *reason)
{
  const RagifyEncoderOptions options = { .kernel = kernel };
  g_autoptr (GError) error = NULL;

  assert_null (ragify_encoder_open (folder, &options, &error));
  if (strstr (error->message, reason) == NULL)
    fail_msg ("expected '%s' in: %s", reason, error->message);
  assert_true (g_error_matches (error, RAGIFY_ENCODER_ERROR, (int)code));
}

static void
assert_precision_refused (const char *folder, const char *precision, const char *kernel, const char *reason)
{
  const RagifyEncoderOptions options = { .precision = precision, .kernel = kernel };
  g_autoptr (GError) error = NULL;

  assert_null (ragify_encoder_open (folder, &options, &error));
  if (strstr (error->message, reason) == NULL)
    fail_msg ("expected '%s' in: %s", reason, error->message);
  assert_true (g_error_matches (error, RAGIFY_ENCODER_ERROR, RAGIFY_ENCODER_ERROR_CPU));
}

static void
replace_in_config (const char *folder, const char *from, const char *to)
{
  g_autofree char *path = g_build_filename (folder, "config.json", NULL);
  g_autofree char *text = NULL;
  GString *changed;

  assert_true (g_file_get_contents (path, &text, NULL, NULL));
  changed = g_string_new (text);
  assert_int_equal (g_string_replace (changed, from, to, 0), 1);
  model_folder_write (folder, "config.json", changed->str, -1);
  g_string_free (changed, TRUE);
}

static void
files_that_contradict_each_other_are_refused (void **state)
{
  g_autofree char *weights = g_build_filename (*state, "model.safetensors", NULL);

  model_folder_fill (*state, &bert);
  replace_in_config (*state, "\"hidden_size\":50", "\"hidden_size\":55");
  assert_refused (*state, NULL, RAGIFY_ENCODER_ERROR_FORMAT, "expected shape [146, 55], found [146, 50]");
  model_folder_fill (*state, &bert);
  replace_in_config (*state, "\"num_hidden_layers\":2", "\"num_hidden_layers\":3");
  assert_refused (*state, NULL, RAGIFY_ENCODER_ERROR_FORMAT,
                  "expected a tensor 'bert.encoder.layer.2.attention.self.query.weight'");
  model_folder_fill (*state, &bert);
  replace_in_config (*state, "\"vocab_size\":146", "\"vocab_size\":100");
  assert_refused (*state, NULL, RAGIFY_ENCODER_ERROR_FORMAT, "vocab.txt: expected at most the model's vocab_size");
  model_folder_fill (*state, &bert);
  replace_in_config (*state, "\"bert\"", "\"mpnet\"");
  assert_refused (*state, NULL, RAGIFY_ENCODER_ERROR_FORMAT, "expected the token '<s>'");
  model_folder_fill (*state, &bert);
  assert_int_equal (remove (weights), 0);
  assert_refused (*state, NULL, RAGIFY_ENCODER_ERROR_FILE, "model.safetensors: cannot be read");
}

static void
kernels_that_are_not_there_are_refused (void **state)
{
  model_folder_fill (*state, &bert);
  assert_refused (*state, "abacus", RAGIFY_ENCODER_ERROR_CPU, "portable (fp32)");
  assert_refused (*state, "abacus", RAGIFY_ENCODER_ERROR_CPU, "portableint8 (int8)");
  assert_precision_refused (*state, "int8", "avx512f", "precision 'int8' with kernel 'avx512f' is not to be had");
  assert_precision_refused (*state, "int4", NULL, "precision 'int4' with kernel 'auto' is not to be had");
}

static void
weights_that_are_not_finite_are_noticed (void **state)
{
  g_autofree char *path = g_build_filename (*state, "model.safetensors", NULL);
  g_autofree char *file = NULL;
  const RagifyText text = { .data = "the", .size = 3 };
  float vector[64];
  gsize size = 0;

  model_folder_fill (*state, &mpnet);
  assert_true (g_file_get_contents (path, &file, &size, NULL));
  memset (file + size - 400, 0xff, 400);
  model_folder_write (*state, "model.safetensors", file, (gssize)size);
  for (const RagifyKernels *const *table = ragify_kernels_list (); *table != NULL; table++) {
    g_autoptr (RagifyEncoder) encoder = NULL;
    g_autoptr (GError) error = NULL;

    if (!(*table)->is_supported ())
      continue;
    encoder = open_with (*state, (*table)->name, 0);
    assert_false (ragify_encoder_embed (encoder, &text, 1, NULL, NULL, vector, NULL, &error));
    assert_non_null (strstr (error->message, "expected weights that give a finite vector"));
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown (bert_models_agree_with_the_reference, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (mpnet_models_agree_with_the_reference, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (distilbert_models_agree_with_the_reference, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (pooling_by_the_first_token_agrees, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (twelve_layers_agree_with_the_reference, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (long_texts_are_the_mean_of_their_windows, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (windows_are_counted_and_bounded, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (a_batch_gives_what_single_texts_give, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (vectors_have_unit_length_and_cut_texts_are_counted, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (threads_compute_at_once, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (a_computation_can_be_stopped, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (the_fingerprint_names_the_vectors_and_not_the_machine, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (files_that_contradict_each_other_are_refused, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (kernels_that_are_not_there_are_refused, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (weights_that_are_not_finite_are_noticed, make_folder, remove_folder),
  };

  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests_name ("encoder", tests, NULL, NULL);
}
