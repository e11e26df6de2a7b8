/* Reindexing that was begun goes on, also where the store does not answer at first.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#include "core/ingest/reindexer.h"
#include "core/module/context.h"

#define PATIENCE_US (120 * (guint64)G_USEC_PER_SEC)

static RagifyRuntime runtime;
static atomic_int failures; /* that are left */
static atomic_int whole_seen;

/* ---- a store that is written to all the time, unless it is to finish ---- */

static struct {
  pthread_mutex_t lock;
  guint64 missing, made;
} busy = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void
reindex_busy (void *instance, RagifyCall *call, const RagifyStoreReindex *args)
{
  pthread_mutex_lock (&busy.lock);
  busy.missing -= args->ids.count;
  busy.made += args->ids.count;
  const gboolean finishes = (args->flags & RAGIFY_REINDEX_FINISH) != 0;
  const guint64 count = MIN (busy.missing, args->limit);
  RagifyChunk *chunks = ragify_host ()->call_alloc (call, MAX (count, 1) * sizeof *chunks);
  for (guint64 i = 0; i < count; i++)
    chunks[i] = (RagifyChunk){ .struct_size = sizeof *chunks,
                               .id = { { 1, (uint8_t)i } },
                               .document_id = ragify_str_from ("d"),
                               .content = ragify_str_from ("text") };
  const RagifyStoreReindexResult result = { .struct_size = sizeof result,
                                            .finished = finishes && busy.missing == 0,
                                            .chunks = { .items = chunks, .count = count, .stride = sizeof *chunks },
                                            .generation = { { { 1 } }, 1 },
                                            .done = busy.made,
                                            .total = busy.made + busy.missing };
  busy.missing += finishes ? 0 : 3;
  pthread_mutex_unlock (&busy.lock);
  ragify_host ()->call_done (call, &result);
}

static void
embed (void *instance, RagifyCall *call, const RagifyEmbedderEmbed *args)
{
  float *vectors = ragify_host ()->call_alloc (call, args->texts.count * 4 * sizeof *vectors);
  for (guint64 i = 0; i < args->texts.count * 4; i++)
    vectors[i] = 0.5F;
  const RagifyEmbedderEmbedResult result = { .struct_size = sizeof result,
                                             .vectors = { vectors, args->texts.count, 4 } };
  ragify_host ()->call_done (call, &result);
}

/* ---- one that has finished already ---- */

static void
reindex (void *instance, RagifyCall *call, const RagifyStoreReindex *args)
{
  const RagifyStoreReindexResult result = { .struct_size = sizeof result, .finished = 1, .done = 3, .total = 3 };
  if (atomic_fetch_sub (&failures, 1) > 0)
    ragify_host ()->call_fail (call, RAGIFY_E_UNAVAILABLE, ragify_str_from ("not yet"), 0);
  else
    ragify_host ()->call_done (call, &result);
}

static int32_t
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  *instance = context;
  return RAGIFY_OK;
}

static void
start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  ragify_host ()->call_done (call, NULL);
}

static void
destroy (void *instance)
{
}

static const RagifyVectorStoreOperations operations = { .struct_size = sizeof operations, .reindex = reindex };
static const RagifyComponent component = { .struct_size = sizeof component,
                                           .kind = RAGIFY_KIND_VECTOR_STORE,
                                           .name = "store",
                                           .run_class = RAGIFY_RUN_WORKER,
                                           .operations = &operations,
                                           .create = create,
                                           .start = start,
                                           .destroy = destroy };

static const RagifyVectorStoreOperations busy_operations = { .struct_size = sizeof busy_operations,
                                                             .reindex = reindex_busy };
static const RagifyComponent busy_component = { .struct_size = sizeof busy_component,
                                                .kind = RAGIFY_KIND_VECTOR_STORE,
                                                .name = "busy",
                                                .run_class = RAGIFY_RUN_WORKER,
                                                .operations = &busy_operations,
                                                .create = create,
                                                .start = start,
                                                .destroy = destroy };
static const RagifyEmbedderOperations embedder_operations = { .struct_size = sizeof embedder_operations,
                                                              .embed = embed };
static const RagifyComponent embedder_component = { .struct_size = sizeof embedder_component,
                                                    .kind = RAGIFY_KIND_EMBEDDER,
                                                    .name = "embedder",
                                                    .run_class = RAGIFY_RUN_WORKER,
                                                    .operations = &embedder_operations,
                                                    .create = create,
                                                    .start = start,
                                                    .destroy = destroy };

static void
whole (void *user)
{
  atomic_store (&whole_seen, 1);
}

static RagifyNode *
make_node (const RagifyComponent *made_of)
{
  const RagifyNodeOptions node_options = { .name = made_of->name, .component = made_of };
  RagifyNode *node = ragify_node_new (&runtime, &node_options, NULL);
  assert_non_null (node);
  const RagifyStart args = { .struct_size = sizeof args };
  assert_true (ragify_node_start (node, &args, ragify_now () + PATIENCE_US, NULL));
  return node;
}

static void
wait_for_whole (void)
{
  for (const guint64 until = ragify_now () + PATIENCE_US; atomic_load (&whole_seen) == 0; g_usleep (1000))
    assert_true (ragify_now () < until);
}

static void
it_comes_to_an_end_where_documents_come_all_the_time (void **state)
{
  RagifyNode *store = make_node (&busy_component), *embedder = make_node (&embedder_component);
  const RagifyLibraryOptions library_options = { .name = "busy", .store = store, .chunk_size = 1000 };
  RagifyLibrary *library = ragify_library_new (&runtime, &library_options, NULL);
  assert_non_null (library);
  const RagifyEmbedderInfo info = { .struct_size = sizeof info,
                                    .fingerprint = ragify_str_from ("new"),
                                    .dimension = 4 };
  const RagifyReindexerOptions options = {
    .store_name = "busy", .former_name = "old", .library = library, .store = store, .embedder = embedder, .info = &info
  };
  RagifyReindexer *reindexer = ragify_reindexer_new (&runtime, &options);
  busy.missing = 200;
  atomic_store (&whole_seen, 0);
  ragify_reindexer_start (reindexer);
  ragify_reindexer_begin (reindexer, whole, NULL);
  wait_for_whole ();
  assert_true (ragify_reindexer_is_finished (reindexer));
  ragify_reindexer_free (reindexer);
  assert_int_equal (busy.missing, 0);
  assert_in_range (busy.made, 200, 300);
  ragify_library_free (library);
  assert_true (ragify_node_free (embedder, ragify_now () + PATIENCE_US));
  assert_true (ragify_node_free (store, ragify_now () + PATIENCE_US));
}

static void
it_goes_on_once_the_store_answers (void **state)
{
  RagifyNode *node = make_node (&component);
  const RagifyEmbedderInfo info = { .struct_size = sizeof info,
                                    .fingerprint = ragify_str_from ("new"),
                                    .dimension = 4 };
  const RagifyReindexerOptions options = {
    .store_name = "store", .former_name = "old", .store = node, .embedder = node, .info = &info
  };
  RagifyReindexer *reindexer = ragify_reindexer_new (&runtime, &options);
  atomic_store (&failures, 1);
  ragify_reindexer_begin (reindexer, whole, NULL);
  wait_for_whole ();
  assert_true (ragify_reindexer_is_finished (reindexer));
  json_t *facts = ragify_reindexer_describe (reindexer);
  assert_true (json_is_null (json_object_get (facts, "error")));
  json_decref (facts);
  ragify_reindexer_free (reindexer);
  assert_true (ragify_node_free (node, ragify_now () + PATIENCE_US));
}

static int
set_up (void **state)
{
  runtime.n_loops = 1;
  runtime.loops = g_new0 (RagifyLoop *, 1);
  runtime.loops[0] = ragify_loop_new (0);
  runtime.metrics = ragify_metrics_new ();
  runtime.workers = ragify_workers_new (2, 1000);
  return 0;
}

static int
tear_down (void **state)
{
  assert_int_equal (ragify_workers_free (runtime.workers, PATIENCE_US), 0);
  ragify_loop_free (runtime.loops[0]);
  ragify_metrics_free (runtime.metrics);
  g_free (runtime.loops);
  return 0;
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (it_goes_on_once_the_store_answers),
    cmocka_unit_test (it_comes_to_an_end_where_documents_come_all_the_time),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, set_up, tear_down);
}
