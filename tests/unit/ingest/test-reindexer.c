/* Reindexing that was begun goes on, also where the store does not answer at first.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>

#include "core/ingest/reindexer.h"
#include "core/module/context.h"

#define PATIENCE_US (120 * (guint64)G_USEC_PER_SEC)

static RagifyRuntime runtime;
static atomic_int failures; /* that are left */
static atomic_int whole_seen;

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

static void
whole (void *user)
{
  atomic_store (&whole_seen, 1);
}

static void
it_goes_on_once_the_store_answers (void **state)
{
  const RagifyNodeOptions node_options = { .name = "store", .component = &component };
  RagifyNode *node = ragify_node_new (&runtime, &node_options, NULL);
  assert_non_null (node);
  const RagifyStart args = { .struct_size = sizeof args };
  assert_true (ragify_node_start (node, &args, ragify_now () + PATIENCE_US, NULL));
  const RagifyEmbedderInfo info = { .struct_size = sizeof info,
                                    .fingerprint = ragify_str_from ("new"),
                                    .dimension = 4 };
  const RagifyReindexerOptions options = {
    .store_name = "store", .former_name = "old", .store = node, .embedder = node, .info = &info
  };
  RagifyReindexer *reindexer = ragify_reindexer_new (&runtime, &options);
  atomic_store (&failures, 1);
  ragify_reindexer_begin (reindexer, whole, NULL);
  for (const guint64 until = ragify_now () + PATIENCE_US; atomic_load (&whole_seen) == 0; g_usleep (1000))
    assert_true (ragify_now () < until);
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
  const struct CMUnitTest tests[] = { cmocka_unit_test (it_goes_on_once_the_store_answers) };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, set_up, tear_down);
}
