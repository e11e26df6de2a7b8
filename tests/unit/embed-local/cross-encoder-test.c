/* Cross-encoders on small models of random numbers. SPDX-License-Identifier: MIT */
#include "cross-encoder.h"

#include "encoder-error.h"
#include "encoder.h"
#include "kernels.h"
#include "model-folder.h"
#include "reference-encoder.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const ModelShape shape = { .hidden = 50,
                                  .heads = 5,
                                  .layers = 3,
                                  .intermediate = 70,
                                  .positions = 200,
                                  .half = TRUE,
                                  .prefix = "bert.",
                                  .labels = 1 };

static const char *const questions[] = {
  "the quick fox?",
  "",
  ("What is it that the quick brown fox does, when it is asked a question that has more words than anybody would ever "
   "want to read, let alone to answer?"),
};

static const char *const passages[] = {
  "The quick brown fox jumps over the lazy dog.",
  "",
  "a",
  "n\303\270rd \342\200\224 \346\227\245\346\234\254 <pad> [SEP]",
  ("The tokens of this text are nearly all of them letters, so that it is long: the quick brown fox, "
   "the quick brown fox, and once again the quick brown fox; then it stops somewhere behind the limit."),
};

enum { PASSAGES = G_N_ELEMENTS (passages) };

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

static RagifyText
text_of (const char *string)
{
  return (RagifyText){ .data = string, .size = strlen (string) };
}

static RagifyCrossEncoder *
open_with (const char *folder, const char *kernel, gsize max_tokens)
{
  const RagifyEncoderOptions options = { .kernel = kernel, .max_tokens = max_tokens };
  g_autoptr (GError) error = NULL;
  RagifyCrossEncoder *const encoder = ragify_cross_encoder_open (folder, &options, &error);

  if (encoder == NULL)
    fail_msg ("%s", error->message);
  return encoder;
}

static void
assert_scores (const RagifyCrossEncoder *encoder, const ReferenceEncoder *reference, const RagifyText *question,
               gboolean rounded)
{
  RagifyText list[PASSAGES];
  float scores[PASSAGES];
  g_autoptr (GError) error = NULL;

  for (gsize i = 0; i < PASSAGES; i++)
    list[i] = text_of (passages[i]);
  if (!ragify_cross_encoder_score (encoder, question, list, PASSAGES, NULL, NULL, scores, NULL, &error))
    fail_msg ("%s", error->message);
  for (gsize i = 0; i < PASSAGES; i++) {
    const double expected =
        reference_encoder_score (reference, question, &list[i], ragify_cross_encoder_get_max_tokens (encoder));

    if (!(fabs ((double)scores[i] - expected) <= (rounded ? 0.03 : 1e-5)))
      fail_msg ("%s: passage %" G_GSIZE_FORMAT ": expected %.7f, found %.7f", ragify_cross_encoder_get_kernel (encoder),
                i, expected, (double)scores[i]);
  }
}

static void
assert_all_kernels_agree (const char *folder, gsize max_tokens)
{
  g_autoptr (ReferenceEncoder) reference = reference_encoder_new (folder);

  for (const RagifyKernels *const *table = ragify_kernels_list (); *table != NULL; table++) {
    g_autoptr (RagifyCrossEncoder) encoder = NULL;

    if (!(*table)->is_supported ())
      continue;
    encoder = open_with (folder, (*table)->name, max_tokens);
    for (gsize i = 0; i < G_N_ELEMENTS (questions); i++) {
      const RagifyText question = text_of (questions[i]);

      assert_scores (encoder, reference, &question, strcmp ((*table)->precision, "fp32") != 0);
    }
  }
}

static void
scores_agree_with_the_reference (void **state)
{
  ModelShape bare = shape;

  model_folder_fill (*state, &shape);
  assert_all_kernels_agree (*state, 0);
  bare.prefix = NULL;
  bare.half = FALSE;
  model_folder_fill (*state, &bare);
  assert_all_kernels_agree (*state, 0);
}

/* The reference shares the room on its own account. */
static void
the_longer_text_gives_way (void **state)
{
  model_folder_fill (*state, &shape);
  assert_all_kernels_agree (*state, 5);
  assert_all_kernels_agree (*state, 32);
}

static void
pairs_that_lose_tokens_are_counted (void **state)
{
  const RagifyText question = text_of (questions[0]);
  RagifyText list[PASSAGES];
  float scores[PASSAGES];
  gsize truncated = 99;
  g_autoptr (RagifyCrossEncoder) encoder = NULL;

  model_folder_fill (*state, &shape);
  for (gsize i = 0; i < PASSAGES; i++)
    list[i] = text_of (passages[i]);
  encoder = open_with (*state, "auto", 40);
  assert_true (ragify_cross_encoder_score (encoder, &question, list, PASSAGES, NULL, NULL, scores, &truncated, NULL));
  assert_int_equal (truncated, 1);
  assert_true (ragify_cross_encoder_score (encoder, &question, list, 0, NULL, NULL, scores, &truncated, NULL));
  assert_int_equal (truncated, 0);
}

static void
many_passages_score_as_each_alone (void **state)
{
  enum { MANY = 40 };
  const RagifyText question = text_of (questions[0]);
  RagifyText list[MANY];
  float scores[MANY];
  g_autoptr (RagifyCrossEncoder) encoder = NULL;

  model_folder_fill (*state, &shape);
  encoder = open_with (*state, "auto", 0);
  for (gsize i = 0; i < MANY; i++)
    list[i] = text_of (passages[i * 7 % PASSAGES]);
  assert_true (ragify_cross_encoder_score (encoder, &question, list, MANY, NULL, NULL, scores, NULL, NULL));
  for (gsize i = 0; i < MANY; i++) {
    float alone = 0;

    assert_true (ragify_cross_encoder_score (encoder, &question, &list[i], 1, NULL, NULL, &alone, NULL, NULL));
    assert_memory_equal (&alone, &scores[i], sizeof alone);
  }
}

static gboolean
stop_at_once (gpointer user)
{
  return TRUE;
}

static void
a_computation_can_be_stopped (void **state)
{
  const RagifyText text = text_of ("stop");
  float score = 0;
  g_autoptr (RagifyCrossEncoder) encoder = NULL;
  g_autoptr (GError) error = NULL;

  model_folder_fill (*state, &shape);
  encoder = open_with (*state, "auto", 0);
  assert_false (ragify_cross_encoder_score (encoder, &text, &text, 1, stop_at_once, NULL, &score, NULL, &error));
  assert_true (g_error_matches (error, RAGIFY_ENCODER_ERROR, RAGIFY_ENCODER_ERROR_CANCELLED));
}

static void
assert_refused (const char *folder, RagifyEncoderError code, const char *reason)
{
  g_autoptr (GError) error = NULL;

  assert_null (ragify_cross_encoder_open (folder, NULL, &error));
  if (strstr (error->message, reason) == NULL)
    fail_msg ("expected '%s' in: %s", reason, error->message);
  assert_true (g_error_matches (error, RAGIFY_ENCODER_ERROR, (int)code));
}

static void
each_kind_of_model_has_its_own_use (void **state)
{
  ModelShape other = shape;
  g_autoptr (GError) error = NULL;

  model_folder_fill (*state, &shape);
  assert_null (ragify_encoder_open (*state, NULL, &error));
  assert_non_null (strstr (error->message, "config.json: expected a sentence encoder, found a model that classifies"));
  other.labels = 3;
  model_folder_fill (*state, &other);
  assert_refused (*state, RAGIFY_ENCODER_ERROR_UNSUPPORTED, "with one label, found bert with 3");
  other.labels = 0;
  model_folder_fill (*state, &other);
  assert_refused (*state, RAGIFY_ENCODER_ERROR_UNSUPPORTED, "config.json: expected a cross-encoder");
}

static void
bad_folders_are_refused (void **state)
{
  g_autofree char *weights = g_build_filename (*state, "model.safetensors", NULL);
  g_autofree char *file = NULL;
  gsize size = 0;

  assert_refused (*state, RAGIFY_ENCODER_ERROR_FILE, "config.json");
  model_folder_fill (*state, &shape);
  assert_true (g_file_get_contents (weights, &file, &size, NULL));
  model_folder_write (*state, "model.safetensors", file, (gssize)size / 2);
  assert_refused (*state, RAGIFY_ENCODER_ERROR_FORMAT, "model.safetensors");
  memcpy (strstr (file + 8, "\"classifier.weight\""), "\"classifier.wrongs\"", 19);
  model_folder_write (*state, "model.safetensors", file, (gssize)size);
  assert_refused (*state, RAGIFY_ENCODER_ERROR_FORMAT, "expected a tensor 'classifier.weight'");
}

static void
weights_that_are_not_finite_are_noticed (void **state)
{
  g_autofree char *path = g_build_filename (*state, "model.safetensors", NULL);
  const RagifyText text = text_of ("the");
  float score = 0;
  g_autofree char *file = NULL;
  gsize size = 0;
  g_autoptr (RagifyCrossEncoder) encoder = NULL;
  g_autoptr (GError) error = NULL;

  model_folder_fill (*state, &shape);
  assert_true (g_file_get_contents (path, &file, &size, NULL));
  memset (file + size - 40, 0xff, 40);
  model_folder_write (*state, "model.safetensors", file, (gssize)size);
  encoder = open_with (*state, "auto", 0);
  assert_false (ragify_cross_encoder_score (encoder, &text, &text, 1, NULL, NULL, &score, NULL, &error));
  assert_non_null (strstr (error->message, "expected weights that give a finite score"));
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown (scores_agree_with_the_reference, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (the_longer_text_gives_way, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (pairs_that_lose_tokens_are_counted, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (many_passages_score_as_each_alone, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (a_computation_can_be_stopped, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (each_kind_of_model_has_its_own_use, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (bad_folders_are_refused, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (weights_that_are_not_finite_are_noticed, make_folder, remove_folder),
  };

  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests_name ("cross-encoder", tests, NULL, NULL);
}
