/*
 * The `fast` model itself, from $RAGIFY_MODEL_DIR (.deps/models/fast).
 *
 * SPDX-License-Identifier: MIT
 */
#include "encoder.h"
#include "kernels.h"
#include "model-folder.h"
#include "reference-encoder.h"
#include "tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const texts[] = {
  "How do mitochondria move calcium?",
  "0-dimensional biomaterials show inductive properties.",
  "",
  "na\303\257ve caf\303\251, \346\227\245\346\234\254\350\252\236 and \320\221\321\212\320\273\320\263\320\260\321\200",
  ("Alterations of the architecture of cerebral white matter in the developing human brain can affect cortical "
   "development and result in functional disabilities. A line scan diffusion-weighted magnetic resonance imaging "
   "sequence was applied to measure the apparent diffusion coefficient."),
};

static RagifyEncoder *
open_with (const char *folder, const char *kernel)
{
  const RagifyEncoderOptions options = { .kernel = kernel };
  g_autoptr (GError) error = NULL;
  RagifyEncoder *const encoder = ragify_encoder_open (folder, &options, &error);

  if (encoder == NULL)
    fail_msg ("%s", error->message);
  return encoder;
}

static void
all_kernels_agree_with_the_reference (void **state)
{
  g_autoptr (ReferenceEncoder) reference = reference_encoder_new (*state);
  RagifyText list[G_N_ELEMENTS (texts)];

  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    list[i] = (RagifyText){ .data = texts[i], .size = strlen (texts[i]) };
  for (const RagifyKernels *const *table = ragify_kernels_list (); *table != NULL; table++) {
    g_autoptr (RagifyEncoder) encoder = NULL;
    double cosine;

    if (!(*table)->is_supported ())
      continue;
    encoder = open_with (*state, (*table)->name);
    cosine = reference_encoder_compare (reference, encoder, 1, list, G_N_ELEMENTS (list));
    if (!(cosine >= 0.9999))
      fail_msg ("%s: cosine %.9f to the reference", (*table)->name, cosine);
  }
}

static void
the_sentence_encoders_limit_goes_before_the_tokenizers (void **state)
{
  g_autoptr (RagifyEncoder) encoder = open_with (*state, "auto");

  assert_int_equal (ragify_encoder_get_max_tokens (encoder), 256);
  assert_int_equal (ragify_encoder_get_dimension (encoder), 384);
}

static void
the_vocabulary_is_one_in_both_files (void **state)
{
  g_autofree char *path = g_build_filename (*state, "vocab.txt", NULL);
  char *const folder = model_folder_new ();
  g_autofree char *list = NULL;
  g_autoptr (RagifyTokenizer) from_json = NULL;
  g_autoptr (RagifyTokenizer) from_list = NULL;

  assert_true (g_file_get_contents (path, &list, NULL, NULL));
  model_folder_write (folder, "vocab.txt", list, -1);
  from_json = ragify_tokenizer_new (*state, RAGIFY_ARCHITECTURE_BERT, 30522, NULL);
  from_list = ragify_tokenizer_new (folder, RAGIFY_ARCHITECTURE_BERT, 30522, NULL);
  assert_non_null (from_json);
  assert_non_null (from_list);
  assert_true (ragify_tokenizer_digest (from_json) == ragify_tokenizer_digest (from_list));
  model_folder_free (folder);
}

int
main (void)
{
  const char *const variable = g_getenv ("RAGIFY_MODEL_DIR");
  g_autofree char *folder = g_strdup (variable == NULL ? ".deps/models/fast" : variable);
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_prestate (all_kernels_agree_with_the_reference, folder),
    cmocka_unit_test_prestate (the_sentence_encoders_limit_goes_before_the_tokenizers, folder),
    cmocka_unit_test_prestate (the_vocabulary_is_one_in_both_files, folder),
  };

  if (!g_file_test (folder, G_FILE_TEST_IS_DIR)) {
    puts ("1..0 # SKIP no model in RAGIFY_MODEL_DIR or .deps/models/fast; tools/fetch-model fast fetches it");
    return 0;
  }
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests_name ("real-model", tests, NULL, NULL);
}
