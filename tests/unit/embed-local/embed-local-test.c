/* The plugin itself, loaded and called as a host does it. SPDX-License-Identifier: MIT */
#include "kit.h"

#include "model-folder.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const ModelShape shape = { .hidden = 48, .heads = 4, .layers = 2, .intermediate = 96, .positions = 32 };

static int
make_folder (void **state)
{
  *state = model_folder_new ();
  model_folder_fill (*state, &shape);
  return 0;
}

static int
remove_folder (void **state)
{
  model_folder_free (*state);
  return 0;
}

static RagifyKitInstance *
open_plugin (RagifyKit *kit, const char *folder, const char *more)
{
  g_autofree char *model = g_strconcat ("model=", folder, NULL);
  g_auto (GStrv) keys = g_strsplit (more == NULL ? "" : more, "\n", -1);
  const char *const config[] = { model, keys[0], keys[0] == NULL ? NULL : keys[1], NULL };

  return ragify_kit_open (kit, g_getenv ("EMBED_LOCAL"), RAGIFY_KIND_EMBEDDER, "local", config, NULL);
}

static RagifyKitInstance *
open_sound (RagifyKit *kit, const char *folder)
{
  RagifyKitInstance *const instance = open_plugin (kit, folder, NULL);

  if (instance == NULL)
    fail_msg ("%s", ragify_kit_error (kit));
  return instance;
}

static void
assert_no_faults (RagifyKit *kit)
{
  if (ragify_kit_faults (kit) > 0)
    fail_msg ("%s", ragify_kit_fault (kit, 0));
  ragify_kit_free (kit);
}

static void
a_model_is_described (void **state)
{
  RagifyKit *const kit = ragify_kit_new (NULL);
  RagifyKitInstance *const instance = open_sound (kit, *state);
  const RagifyEmbedderOperations *const operations = ragify_kit_operations (instance);
  const RagifyNothing nothing = { .struct_size = sizeof nothing };
  RagifyKitCall *const call = ragify_kit_call (instance, (RagifyKitFunction)operations->describe, &nothing, 0);
  const RagifyEmbedderInfo *const info = call->result;

  assert_int_equal (call->code, RAGIFY_OK);
  assert_int_equal (info->dimension, 48);
  assert_int_equal (info->token_limit, 32);
  assert_true (info->max_batch > 0);
  assert_true (info->fingerprint.size > 32);
  ragify_kit_call_free (call);
  assert_int_equal (ragify_kit_close (instance), RAGIFY_OK);
  assert_no_faults (kit);
}

static void
tokens_are_counted_without_a_limit (void **state)
{
  static const char long_text[] = "the the the the the the the the the the the the the the the the the the the the the "
                                  "the the the the the the the the the the the the the the the the the the the";
  const RagifyStr texts[] = { ragify_str_from ("The quick fox!"), ragify_str_from (""), ragify_str_from (long_text) };
  RagifyKit *const kit = ragify_kit_new (NULL);
  RagifyKitInstance *const instance = open_sound (kit, *state);
  const RagifyEmbedderOperations *const operations = ragify_kit_operations (instance);
  const RagifyEmbedderTokenize args = { .struct_size = sizeof args, .texts = { .items = texts, .count = 3 } };
  RagifyKitCall *const call = ragify_kit_call (instance, (RagifyKitFunction)operations->tokenize, &args, 0);
  const RagifyEmbedderTokenizeResult *const result = call->result;

  assert_int_equal (call->code, RAGIFY_OK);
  assert_int_equal (result->counts.count, 3);
  assert_int_equal (result->counts.items[0], 4);
  assert_int_equal (result->counts.items[1], 0);
  assert_int_equal (result->counts.items[2], 40);
  ragify_kit_call_free (call);
  assert_int_equal (ragify_kit_close (instance), RAGIFY_OK);
  assert_no_faults (kit);
}

static RagifyKitCall *
embed (RagifyKitInstance *instance, const RagifyStr *texts, uint64_t count)
{
  const RagifyEmbedderOperations *const operations = ragify_kit_operations (instance);
  const RagifyEmbedderEmbed args = { .struct_size = sizeof args,
                                     .purpose = RAGIFY_PURPOSE_QUERY,
                                     .texts = { .items = texts, .count = count } };

  return ragify_kit_call (instance, (RagifyKitFunction)operations->embed, &args, 0);
}

static void
texts_become_vectors_of_unit_length (void **state)
{
  const RagifyStr texts[] = { ragify_str_from ("the fox"), ragify_str_from ("brown"), ragify_str_from ("the fox") };
  RagifyKit *const kit = ragify_kit_new (NULL);
  RagifyKitInstance *const instance = open_sound (kit, *state);
  RagifyKitCall *call = embed (instance, texts, 3);
  const RagifyEmbedderEmbedResult *result = call->result;

  assert_int_equal (call->code, RAGIFY_OK);
  assert_int_equal (result->vectors.count, 3);
  assert_int_equal (result->vectors.dimension, 48);
  assert_memory_equal (result->vectors.items, result->vectors.items + 96, 48 * sizeof (float));
  for (size_t text = 0; text < 3; text++) {
    double squares = 0;

    for (size_t i = 0; i < 48; i++)
      squares += pow ((double)result->vectors.items[text * 48 + i], 2);
    assert_true (fabs (squares - 1) < 1e-5);
  }
  ragify_kit_call_free (call);
  call = embed (instance, NULL, 0);
  result = call->result;
  assert_int_equal (call->code, RAGIFY_OK);
  assert_int_equal (result->vectors.count, 0);
  ragify_kit_call_free (call);
  assert_int_equal (ragify_kit_close (instance), RAGIFY_OK);
  assert_no_faults (kit);
}

static void
probe_and_stats_tell_what_runs (void **state)
{
  const RagifyStr text = ragify_str_from ("the the the the the the the the the the the the the the the the the the the "
                                          "the the the the the the the the the the the the the the the the the the");
  const RagifyNothing nothing = { .struct_size = sizeof nothing };
  RagifyKit *const kit = ragify_kit_new (NULL);
  RagifyKitInstance *const instance = open_sound (kit, *state);
  const RagifyComponent *const component = ragify_kit_component (instance);
  RagifyKitCall *call = embed (instance, &text, 1);
  const RagifyStatsResult *stats;

  assert_int_equal (((const RagifyEmbedderEmbedResult *)call->result)->truncated, 1);
  ragify_kit_call_free (call);
  call = ragify_kit_call (instance, (RagifyKitFunction)component->probe, &nothing, 0);
  assert_int_equal (call->code, RAGIFY_OK);
  assert_true (((const RagifyProbeResult *)call->result)->detail.size > 0);
  ragify_kit_call_free (call);
  call = ragify_kit_call (instance, (RagifyKitFunction)component->stats, &nothing, 0);
  stats = call->result;
  assert_int_equal (stats->values.count, 5);
  assert_int_equal (stats->values.items[4].value.integer, 0);
  assert_int_equal (stats->values.items[2].value.integer, 1);
  assert_int_equal (stats->values.items[3].value.integer, 1);
  ragify_kit_call_free (call);
  assert_int_equal (ragify_kit_close (instance), RAGIFY_OK);
  assert_no_faults (kit);
}

static char *
describe (RagifyKit *kit, const char *folder, const char *more, uint32_t *token_limit)
{
  RagifyKitInstance *const instance = open_plugin (kit, folder, more);
  const RagifyNothing nothing = { .struct_size = sizeof nothing };

  if (instance == NULL)
    fail_msg ("%s", ragify_kit_error (kit));

  const RagifyEmbedderOperations *const operations = ragify_kit_operations (instance);
  RagifyKitCall *const call = ragify_kit_call (instance, (RagifyKitFunction)operations->describe, &nothing, 0);
  const RagifyEmbedderInfo *const info = call->result;
  char *const fingerprint = g_strndup (info->fingerprint.data, info->fingerprint.size);

  *token_limit = info->token_limit;
  ragify_kit_call_free (call);
  assert_int_equal (ragify_kit_close (instance), RAGIFY_OK);
  return fingerprint;
}

/* What a text with this purpose becomes; free with g_free. */
static float *
vector_of (RagifyKit *kit, const char *folder, const char *more, uint32_t purpose, const char *string)
{
  RagifyKitInstance *const instance = open_plugin (kit, folder, more);
  const RagifyStr text = ragify_str_from (string);
  const RagifyEmbedderEmbed args = {
    .struct_size = sizeof args,
    .purpose = purpose,
    .texts = { .items = &text, .count = 1 },
  };

  if (instance == NULL)
    fail_msg ("%s", ragify_kit_error (kit));

  const RagifyEmbedderOperations *const operations = ragify_kit_operations (instance);
  RagifyKitCall *const call = ragify_kit_call (instance, (RagifyKitFunction)operations->embed, &args, 0);
  const RagifyEmbedderEmbedResult *const result = call->result;

  assert_int_equal (call->code, RAGIFY_OK);
  float *const vector = g_memdup2 (result->vectors.items, 48 * sizeof (float));

  ragify_kit_call_free (call);
  assert_int_equal (ragify_kit_close (instance), RAGIFY_OK);
  return vector;
}

static void
assert_same (RagifyKit *kit, const char *folder, const char *more, uint32_t purpose, const char *text,
             const char *equal_to)
{
  g_autofree float *found = vector_of (kit, folder, more, purpose, text);
  g_autofree float *expected = vector_of (kit, folder, "query-prefix=\ndocument-prefix=", purpose, equal_to);

  assert_memory_equal (found, expected, 48 * sizeof (float));
}

static void
prefixes_go_before_texts (void **state)
{
  RagifyKit *const kit = ragify_kit_new (NULL);
  uint32_t limit = 0;
  g_autofree char *plain = describe (kit, *state, NULL, &limit);
  g_autofree char *same = NULL;
  g_autofree char *prefixed = NULL;
  g_autofree char *own = NULL;

  assert_same (kit, *state, "query-prefix=quick \ndocument-prefix=brown ", RAGIFY_PURPOSE_QUERY, "fox", "quick fox");
  assert_same (kit, *state, "query-prefix=quick \ndocument-prefix=brown ", RAGIFY_PURPOSE_DOCUMENT, "fox", "brown fox");
  assert_int_equal (limit, 32);
  prefixed = describe (kit, *state, "document-prefix=the brown ", &limit);
  assert_int_equal (limit, 30);
  assert_string_not_equal (plain, prefixed);

  model_folder_write (*state, "config_sentence_transformers.json",
                      "{\"prompts\":{\"query\":\"quick \",\"passage\":\"the \"}}", -1);
  assert_same (kit, *state, NULL, RAGIFY_PURPOSE_QUERY, "fox", "quick fox");
  assert_same (kit, *state, NULL, RAGIFY_PURPOSE_DOCUMENT, "fox", "the fox");
  assert_same (kit, *state, "query-prefix=brown ", RAGIFY_PURPOSE_QUERY, "fox", "brown fox");
  own = describe (kit, *state, NULL, &limit);
  assert_string_not_equal (plain, own);
  same = describe (kit, *state, "query-prefix=\ndocument-prefix=", &limit);
  assert_string_equal (plain, same);
  assert_no_faults (kit);
}

static void
long_texts_are_cut_or_windowed_as_configured (void **state)
{
  static const char text[] = "the the the the the the the the the the the the the the the the the the the the the the "
                             "the the the the the the the the the the the fox fox fox fox fox fox fox fox fox fox";
  RagifyKit *const kit = ragify_kit_new (NULL);
  g_autofree float *cut = vector_of (kit, *state, NULL, RAGIFY_PURPOSE_DOCUMENT, text);
  g_autofree float *windows = vector_of (kit, *state, "long-texts=windows", RAGIFY_PURPOSE_DOCUMENT, text);
  RagifyKitInstance *const instance = open_plugin (kit, *state, "long-texts=windows\nmax-windows=2");
  const RagifyNothing nothing = { .struct_size = sizeof nothing };
  const RagifyStr texts[] = { ragify_str_from (text) };
  RagifyKitCall *call = embed (instance, texts, 1);
  const RagifyStatsResult *stats;

  assert_memory_not_equal (cut, windows, 48 * sizeof (float));
  assert_int_equal (((const RagifyEmbedderEmbedResult *)call->result)->truncated, 0);
  ragify_kit_call_free (call);
  call = ragify_kit_call (instance, (RagifyKitFunction)ragify_kit_component (instance)->stats, &nothing, 0);
  stats = call->result;
  assert_int_equal (stats->values.items[3].value.integer, 0);
  assert_int_equal (stats->values.items[4].value.integer, 1);
  ragify_kit_call_free (call);
  assert_int_equal (ragify_kit_close (instance), RAGIFY_OK);
  assert_no_faults (kit);
}

/* The folder's names are those of the design; the folders themselves are small. */
static void
models_are_chosen_by_what_is_wanted (void **state)
{
  static const char *const wanted[][2] = { { "speed", "fast" },
                                           { "balanced", "balanced" },
                                           { "accuracy", "accurate" } };
  g_autofree char *models = g_strconcat ("models-dir=", *state, NULL);

  for (size_t i = 0; i < G_N_ELEMENTS (wanted); i++) {
    g_autofree char *choice = g_strconcat ("select=", wanted[i][0], NULL);
    g_autofree char *folder = g_build_filename (*state, wanted[i][1], NULL);
    const char *const config[] = { models, choice, NULL };
    RagifyKit *const kit = ragify_kit_new (NULL);
    RagifyKitInstance *instance =
        ragify_kit_open (kit, g_getenv ("EMBED_LOCAL"), RAGIFY_KIND_EMBEDDER, "local", config, NULL);

    assert_null (instance);
    assert_non_null (strstr (ragify_kit_error (kit), folder));
    g_mkdir_with_parents (folder, 0700);
    model_folder_fill (folder, &shape);
    instance = ragify_kit_open (kit, g_getenv ("EMBED_LOCAL"), RAGIFY_KIND_EMBEDDER, "local", config, NULL);
    assert_non_null (instance);
    assert_int_equal (ragify_kit_close (instance), RAGIFY_OK);
    assert_no_faults (kit);
  }
}

static void
calls_run_at_once_and_can_be_cancelled (void **state)
{
  enum { CALLS = 8, TEXTS = 400 };
  g_autofree RagifyStr *texts = g_new (RagifyStr, TEXTS);
  RagifyKit *const kit = ragify_kit_new (NULL);
  RagifyKitInstance *const instance = open_sound (kit, *state);
  const RagifyEmbedderOperations *const operations = ragify_kit_operations (instance);
  const RagifyEmbedderEmbed args = { .struct_size = sizeof args, .texts = { .items = texts, .count = TEXTS } };
  RagifyKitCall *calls[CALLS];

  for (size_t i = 0; i < TEXTS; i++)
    texts[i] = ragify_str_from ("the quick brown fox jumps");
  for (size_t i = 0; i < CALLS; i++)
    calls[i] = ragify_kit_begin (instance, (RagifyKitFunction)operations->embed, &args, 0);
  for (size_t i = 0; i < CALLS; i += 2)
    ragify_kit_cancel (calls[i]);
  for (size_t i = 0; i < CALLS; i++) {
    ragify_kit_wait (calls[i]);
    if (i % 2 == 1)
      assert_int_equal (calls[i]->code, RAGIFY_OK);
    else
      assert_true (calls[i]->code == RAGIFY_OK || calls[i]->code == RAGIFY_E_CANCELLED);
    ragify_kit_call_free (calls[i]);
  }
  assert_int_equal (ragify_kit_close (instance), RAGIFY_OK);
  assert_no_faults (kit);
}

static void
assert_refused (const char *folder, const char *more, const char *reason)
{
  RagifyKit *const kit = ragify_kit_new (NULL);

  assert_null (open_plugin (kit, folder, more));
  if (strstr (ragify_kit_error (kit), reason) == NULL)
    fail_msg ("expected '%s' in: %s", reason, ragify_kit_error (kit));
  assert_no_faults (kit);
}

static void
models_that_cannot_be_used_are_refused_at_start (void **state)
{
  g_autofree char *absent = g_build_filename (*state, "absent", NULL);

  assert_refused (absent, NULL, "absent: expected a model's folder, found none; 'ragify-ctl models fetch'");
  assert_refused ("nowhere", "models-dir=/var/empty", "/var/empty/nowhere: expected a model's folder");
  assert_refused (*state, "max-tokens=2", "max-tokens: expected 0, or from 3");
  model_folder_write (*state, "config.json", "{\"model_type\":\"gpt2\"}", -1);
  assert_refused (*state, NULL,
                  "config.json: architecture 'gpt2' is not supported; expected one of: bert, mpnet, distilbert");
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown (a_model_is_described, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (tokens_are_counted_without_a_limit, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (texts_become_vectors_of_unit_length, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (probe_and_stats_tell_what_runs, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (prefixes_go_before_texts, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (long_texts_are_cut_or_windowed_as_configured, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (models_are_chosen_by_what_is_wanted, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (calls_run_at_once_and_can_be_cancelled, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (models_that_cannot_be_used_are_refused_at_start, make_folder, remove_folder),
  };

  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests_name ("embed-local", tests, NULL, NULL);
}
