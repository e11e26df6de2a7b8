/* The plugin itself, loaded and called as a host does it. SPDX-License-Identifier: MIT */
#include "kit.h"

#include "model-folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const ModelShape shape = {
  .hidden = 48, .heads = 4, .layers = 2, .intermediate = 96, .positions = 64, .labels = 1
};

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
  const char *const config[] = { model, more, NULL };

  return ragify_kit_open (kit, g_getenv ("RERANK_LOCAL"), RAGIFY_KIND_RERANKER, "local", config, NULL);
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

static RagifyChunk
chunk_of (const char *title, const char *content)
{
  return (RagifyChunk){
    .struct_size = sizeof (RagifyChunk),
    .title = ragify_str_from (title),
    .content = ragify_str_from (content),
  };
}

static RagifyKitCall *
rerank (RagifyKitInstance *instance, const RagifyChunk *chunks, uint64_t count, uint32_t top_k)
{
  const RagifyRerankerOperations *const operations = ragify_kit_operations (instance);
  const RagifyRerank args = {
    .struct_size = sizeof args,
    .top_k = top_k,
    .query = ragify_str_from ("the quick fox"),
    .chunks = { .items = chunks, .count = count, .stride = sizeof *chunks },
  };

  return ragify_kit_call (instance, (RagifyKitFunction)operations->rerank, &args, 0);
}

static void
passages_come_best_first_with_probabilities (void **state)
{
  const RagifyChunk chunks[] = {
    chunk_of (NULL, "brown"), chunk_of ("fox", "the quick"),     chunk_of (NULL, ""),
    chunk_of (NULL, "brown"), chunk_of (NULL, "fox\nthe quick"),
  };
  gboolean seen[G_N_ELEMENTS (chunks)] = { FALSE };
  float scores[G_N_ELEMENTS (chunks)];
  RagifyKit *const kit = ragify_kit_new (NULL);
  RagifyKitInstance *const instance = open_sound (kit, *state);
  RagifyKitCall *call = rerank (instance, chunks, G_N_ELEMENTS (chunks), 10);
  const RagifyRerankResult *result = call->result;

  assert_int_equal (call->code, RAGIFY_OK);
  assert_int_equal (result->ranks.count, G_N_ELEMENTS (chunks));
  for (size_t i = 0; i < G_N_ELEMENTS (chunks); i++) {
    const RagifyRank rank = result->ranks.items[i];

    assert_true (rank.score > 0 && rank.score < 1);
    assert_true (i == 0 || rank.score <= result->ranks.items[i - 1].score);
    assert_false (seen[rank.index]);
    seen[rank.index] = TRUE;
    scores[rank.index] = rank.score;
  }
  assert_memory_equal (&scores[0], &scores[3], sizeof (float));
  assert_memory_equal (&scores[1], &scores[4], sizeof (float)); /* the title is part of the text */
  ragify_kit_call_free (call);

  call = rerank (instance, chunks, G_N_ELEMENTS (chunks), 2);
  result = call->result;
  assert_int_equal (result->ranks.count, 2);
  ragify_kit_call_free (call);
  call = rerank (instance, NULL, 0, 10);
  result = call->result;
  assert_int_equal (call->code, RAGIFY_OK);
  assert_int_equal (result->ranks.count, 0);
  ragify_kit_call_free (call);
  assert_int_equal (ragify_kit_close (instance), RAGIFY_OK);
  assert_no_faults (kit);
}

static void
probe_and_stats_tell_what_runs (void **state)
{
  g_autofree char *text = g_strnfill (200, '!');
  const RagifyChunk chunks[] = { chunk_of (NULL, text), chunk_of (NULL, "fox") };
  const RagifyNothing nothing = { .struct_size = sizeof nothing };
  RagifyKit *const kit = ragify_kit_new (NULL);
  RagifyKitInstance *const instance = open_sound (kit, *state);
  const RagifyComponent *const component = ragify_kit_component (instance);
  RagifyKitCall *call = rerank (instance, chunks, 2, 2);
  const RagifyStatsResult *stats;

  ragify_kit_call_free (call);
  call = ragify_kit_call (instance, (RagifyKitFunction)component->probe, &nothing, 0);
  assert_int_equal (call->code, RAGIFY_OK);
  assert_true (((const RagifyProbeResult *)call->result)->detail.size > 0);
  ragify_kit_call_free (call);
  call = ragify_kit_call (instance, (RagifyKitFunction)component->stats, &nothing, 0);
  stats = call->result;
  assert_int_equal (stats->values.count, 4);
  assert_int_equal (stats->values.items[2].value.integer, 2);
  assert_int_equal (stats->values.items[3].value.integer, 1);
  ragify_kit_call_free (call);
  assert_int_equal (ragify_kit_close (instance), RAGIFY_OK);
  assert_no_faults (kit);
}

static void
calls_run_at_once_and_can_be_cancelled (void **state)
{
  enum { CALLS = 8, PASSAGES = 300 };
  g_autofree RagifyChunk *chunks = g_new (RagifyChunk, PASSAGES);
  RagifyKit *const kit = ragify_kit_new (NULL);
  RagifyKitInstance *const instance = open_sound (kit, *state);
  const RagifyRerankerOperations *const operations = ragify_kit_operations (instance);
  const RagifyRerank args = {
    .struct_size = sizeof args,
    .top_k = 5,
    .query = ragify_str_from ("the quick fox"),
    .chunks = { .items = chunks, .count = PASSAGES, .stride = sizeof *chunks },
  };
  RagifyKitCall *calls[CALLS];

  for (size_t i = 0; i < PASSAGES; i++)
    chunks[i] = chunk_of (NULL, "the quick brown fox jumps");
  for (size_t i = 0; i < CALLS; i++)
    calls[i] = ragify_kit_begin (instance, (RagifyKitFunction)operations->rerank, &args, 0);
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
  ModelShape other = shape;

  assert_refused (absent, NULL, "absent: expected a model's folder, found none");
  assert_refused ("nowhere", "models-dir=/var/empty", "/var/empty/nowhere: expected a model's folder");
  assert_refused (*state, "max-tokens=4", "max-tokens: expected 0, or from 5");
  other.labels = 0;
  model_folder_fill (*state, &other);
  assert_refused (*state, NULL, "expected a cross-encoder (BertForSequenceClassification), found no classifier");
  other.labels = 2;
  model_folder_fill (*state, &other);
  assert_refused (*state, NULL, "expected a bert cross-encoder with one label, found bert with 2");
  model_folder_write (*state, "model.safetensors", "short", -1);
  other.labels = 1;
  model_folder_fill (*state, &other);
  model_folder_write (*state, "model.safetensors", "short", -1);
  assert_refused (*state, NULL, "model.safetensors");
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown (passages_come_best_first_with_probabilities, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (probe_and_stats_tell_what_runs, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (calls_run_at_once_and_can_be_cancelled, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (models_that_cannot_be_used_are_refused_at_start, make_folder, remove_folder),
  };

  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests_name ("rerank-local", tests, NULL, NULL);
}
