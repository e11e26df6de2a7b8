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

enum { DIMENSION = 384 };

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

static gboolean
is_int8 (const RagifyKernels *kernels)
{
  return strcmp (kernels->precision, "int8") == 0;
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
    if (!(cosine >= (is_int8 (*table) ? 0.985 : 0.9999)))
      fail_msg ("%s: cosine %.9f to the reference", (*table)->name, cosine);
  }
}

/* --- what 8 bits lose on real texts: paragraphs of this project's own pages --- */

enum { PARAGRAPHS = 16 };

static GPtrArray *
read_paragraphs (void)
{
  static const char *const pages[] = { "docs/architecture.md", "docs/pipeline.md", "docs/stores.md",
                                       "docs/security.md" };
  GPtrArray *const paragraphs = g_ptr_array_new_with_free_func (g_free);

  for (gsize page = 0; page < G_N_ELEMENTS (pages); page++) {
    g_autofree char *text = NULL;
    g_auto (GStrv) parts = NULL;

    assert_true (g_file_get_contents (pages[page], &text, NULL, NULL));
    parts = g_strsplit (text, "\n\n", -1);
    for (gsize i = 0; parts[i] != NULL && paragraphs->len < PARAGRAPHS * (page + 1) / G_N_ELEMENTS (pages); i++)
      if (g_ascii_isalpha (parts[i][0]) && strlen (parts[i]) > 80)
        g_ptr_array_add (paragraphs, g_strndup (parts[i], 500));
  }
  assert_true (paragraphs->len >= PARAGRAPHS / 2);
  return paragraphs;
}

static float *
embed_paragraphs (const char *folder, const char *kernel, const GPtrArray *paragraphs)
{
  g_autoptr (RagifyEncoder) encoder = open_with (folder, kernel);
  float *const vectors = g_new (float, paragraphs->len *ragify_encoder_get_dimension (encoder));
  g_autofree RagifyText *list = g_new (RagifyText, paragraphs->len);
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < paragraphs->len; i++) {
    const char *const text = g_ptr_array_index (paragraphs, i);

    list[i] = (RagifyText){ .data = text, .size = strlen (text) };
  }
  if (!ragify_encoder_embed (encoder, list, paragraphs->len, NULL, NULL, vectors, NULL, &error))
    fail_msg ("%s", error->message);
  return vectors;
}

/* The figures over 3,000 texts of judged collections are in docs/embedders.md; these bounds leave some room to them. */
static void
integers_stay_close_to_floats_on_real_texts (void **state)
{
  g_autoptr (GPtrArray) paragraphs = read_paragraphs ();
  const char *const best = ragify_kernels_choose ("int8", "auto")->name;
  g_autofree float *floats = embed_paragraphs (*state, ragify_kernels_choose ("fp32", "auto")->name, paragraphs);
  g_autofree float *integers = embed_paragraphs (*state, best, paragraphs);
  double sum = 0;

  for (gsize i = 0; i < paragraphs->len; i++) {
    double cosine = 0;

    for (gsize k = 0; k < DIMENSION; k++)
      cosine += (double)floats[i * DIMENSION + k] * (double)integers[i * DIMENSION + k];
    if (!(cosine >= 0.99))
      fail_msg ("%s: cosine %.6f: %s", best, cosine, (const char *)g_ptr_array_index (paragraphs, i));
    sum += cosine;
  }
  if (!(sum / paragraphs->len >= 0.998))
    fail_msg ("%s: mean cosine %.6f", best, sum / paragraphs->len);
}

static void
the_sentence_encoders_limit_goes_before_the_tokenizers (void **state)
{
  g_autoptr (RagifyEncoder) encoder = open_with (*state, "auto");

  assert_int_equal (ragify_encoder_get_max_tokens (encoder), 256);
  assert_int_equal (ragify_encoder_get_dimension (encoder), DIMENSION);
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
    cmocka_unit_test_prestate (integers_stay_close_to_floats_on_real_texts, folder),
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
