/* Batches that are embedded and written beside each other: their order, and what becomes of those behind one that
 * fails.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "core/ingest/committer.h"
#include "core/module/context.h"

#define DIMENSION 4u

static RagifyRuntime runtime;

/* ---- a store that can be shut, and an embedder ---- */

static struct {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  gboolean shut, hangs;
  GPtrArray *asked;   /* texts that the embedder was given, in order */
  GPtrArray *written; /* contents of chunks, in order */
  guint64 counter;
  const char *refuses; /* a document that the store refuses; NULL: none */
  gboolean vectors_fit;
} world = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static const RagifyUuid store_id = { { 4, 5, 6 } };

static void
succeed (RagifyCall *call, const void *result)
{
  ragify_host ()->call_done (call, result);
}

static void
describe (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  const RagifyEmbedderInfo info = {
    .struct_size = sizeof info, .dimension = DIMENSION, .max_batch = 2, .fingerprint = ragify_str_from ("x")
  };
  succeed (call, &info);
}

/* A text's vector is its first letter, four times. */
static void
embed (void *instance, RagifyCall *call, const RagifyEmbedderEmbed *args)
{
  float *vectors = ragify_host ()->call_alloc (call, args->texts.count * DIMENSION * sizeof *vectors);
  gboolean bad = FALSE;
  pthread_mutex_lock (&world.lock);
  for (guint64 i = 0; i < args->texts.count; i++) {
    const RagifyStr text = args->texts.items[i];
    g_ptr_array_add (world.asked, g_strndup (text.data, text.size));
    bad = bad || text.data[0] == '!';
    for (guint k = 0; k < DIMENSION; k++)
      vectors[i * DIMENSION + k] = (float)text.data[0];
  }
  pthread_cond_broadcast (&world.changed);
  while (world.hangs)
    pthread_cond_wait (&world.changed, &world.lock);
  pthread_mutex_unlock (&world.lock);
  const RagifyEmbedderEmbedResult result = { .struct_size = sizeof result,
                                             .vectors = { vectors, args->texts.count, DIMENSION } };
  if (bad)
    ragify_host ()->call_fail (call, RAGIFY_E_INVALID, ragify_str_from ("what a text"), 0);
  else
    succeed (call, &result);
}

static gboolean
is_refused (const RagifyStoreUpsert *args)
{
  for (guint64 i = 0; i < args->documents.count && world.refuses != NULL; i++)
    if (strncmp (args->documents.items[i].id.data, world.refuses, args->documents.items[i].id.size) == 0)
      return TRUE;
  return FALSE;
}

static void
store_upsert (void *instance, RagifyCall *call, const RagifyStoreUpsert *args)
{
  pthread_mutex_lock (&world.lock);
  while (world.shut)
    pthread_cond_wait (&world.changed, &world.lock);
  const gboolean refused = is_refused (args);
  for (guint64 i = 0; i < args->chunks.count && !refused; i++) {
    const RagifyStr text = args->chunks.items[i].content;
    g_ptr_array_add (world.written, g_strndup (text.data, text.size));
    world.vectors_fit = world.vectors_fit && args->vectors.items[i * DIMENSION + 3] == (float)text.data[0];
  }
  world.counter += refused ? 0 : 1;
  const RagifyStoreUpsertResult result = { .struct_size = sizeof result,
                                           .generation = { store_id, world.counter },
                                           .inserted = args->chunks.count };
  pthread_mutex_unlock (&world.lock);
  if (refused)
    ragify_host ()->call_fail (call, RAGIFY_E_UNAVAILABLE, ragify_str_from ("not this one"), 0);
  else
    succeed (call, &result);
}

static void
store_list (void *instance, RagifyCall *call, const RagifyStoreList *args)
{
  const RagifyStoreListResult result = { .struct_size = sizeof result, .generation = { store_id, 1 } };
  succeed (call, &result);
}

static void
store_generation (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  pthread_mutex_lock (&world.lock);
  const RagifyStoreGeneration result = { .struct_size = sizeof result, .generation = { store_id, world.counter } };
  pthread_mutex_unlock (&world.lock);
  succeed (call, &result);
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
  succeed (call, NULL);
}

static void
destroy (void *instance)
{
}

static const RagifyVectorStoreOperations store_operations = {
  .struct_size = sizeof store_operations, .upsert = store_upsert, .list = store_list, .generation = store_generation
};
static const RagifyEmbedderOperations embedder_operations = { .struct_size = sizeof embedder_operations,
                                                              .describe = describe,
                                                              .embed = embed };
static const RagifyComponent store_component = { .struct_size = sizeof store_component,
                                                 .kind = RAGIFY_KIND_VECTOR_STORE,
                                                 .name = "store",
                                                 .run_class = RAGIFY_RUN_WORKER,
                                                 .max_parallel = 4,
                                                 .operations = &store_operations,
                                                 .create = create,
                                                 .start = start,
                                                 .destroy = destroy };
static const RagifyComponent embedder_component = { .struct_size = sizeof embedder_component,
                                                    .kind = RAGIFY_KIND_EMBEDDER,
                                                    .name = "embedder",
                                                    .run_class = RAGIFY_RUN_WORKER,
                                                    .max_parallel = 4,
                                                    .operations = &embedder_operations,
                                                    .create = create,
                                                    .start = start,
                                                    .destroy = destroy };

static RagifyNode *
make_node (const RagifyComponent *component)
{
  const RagifyNodeOptions options = { .name = component->name, .component = component };
  const RagifyStart args = { .struct_size = sizeof args };
  g_autoptr (GError) error = NULL;
  RagifyNode *node = ragify_node_new (&runtime, &options, &error);
  assert_non_null (node);
  assert_true (ragify_node_start (node, &args, ragify_now () + 60 * (guint64)G_USEC_PER_SEC, &error));
  return node;
}

/* ---- a committer over both ---- */

typedef struct Rig {
  RagifyNode *store, *embedder;
  RagifyCommitter *committer;
  RagifyIngestReport reports[2];
} Rig;

static int
rig_set_up (void **state)
{
  Rig *rig = g_new0 (Rig, 1);
  world.shut = world.hangs = FALSE;
  world.asked = g_ptr_array_new_with_free_func (g_free);
  world.written = g_ptr_array_new_with_free_func (g_free);
  world.counter = 1;
  world.refuses = NULL;
  world.vectors_fit = TRUE;
  rig->store = make_node (&store_component);
  rig->embedder = make_node (&embedder_component);
  const RagifyLibraryOptions options = {
    .name = "store", .store = rig->store, .embedder = rig->embedder, .chunk_size = 1000
  };
  rig->committer = ragify_committer_new (&runtime, &options, NULL);
  ragify_ingest_report_init (&rig->reports[0]);
  ragify_ingest_report_init (&rig->reports[1]);
  *state = rig;
  return rig->committer == NULL;
}

static int
rig_tear_down (void **state)
{
  Rig *rig = *state;
  ragify_committer_free (rig->committer);
  ragify_ingest_report_clear (&rig->reports[0]);
  ragify_ingest_report_clear (&rig->reports[1]);
  const guint64 until = ragify_now () + 60 * (guint64)G_USEC_PER_SEC;
  const gboolean freed = ragify_node_free (rig->embedder, until) && ragify_node_free (rig->store, until);
  g_ptr_array_unref (world.asked);
  g_ptr_array_unref (world.written);
  g_free (rig);
  return freed ? 0 : 1;
}

static void
set_shut (gboolean shut)
{
  pthread_mutex_lock (&world.lock);
  world.shut = shut;
  pthread_cond_broadcast (&world.changed);
  pthread_mutex_unlock (&world.lock);
}

static void
set_hangs (gboolean hangs)
{
  pthread_mutex_lock (&world.lock);
  world.hangs = hangs;
  pthread_cond_broadcast (&world.changed);
  pthread_mutex_unlock (&world.lock);
}

static void
wait_for_asked (guint count)
{
  pthread_mutex_lock (&world.lock);
  while (world.asked->len < count)
    pthread_cond_wait (&world.changed, &world.lock);
  pthread_mutex_unlock (&world.lock);
}

/* Documents that are called as they read, put as one batch for the report. */
static gboolean
put_ahead (const Rig *rig, guint report, const char *const *texts)
{
  g_autoptr (GPtrArray) documents = g_ptr_array_new_with_free_func (g_free);
  for (guint i = 0; texts[i] != NULL; i++) {
    RagifyIncoming *incoming = g_new0 (RagifyIncoming, 1);
    *incoming = (RagifyIncoming){ .id = (char *)texts[i],
                                  .content = (char *)texts[i],
                                  .content_size = strlen (texts[i]),
                                  .title = (char *)"",
                                  .uri = (char *)"",
                                  .metadata = (char *)"" };
    g_ptr_array_add (documents, incoming);
  }
  RagifyProblem problem = { 0 };
  const gboolean well =
      ragify_committer_put_ahead (rig->committer, (RagifyIncoming *const *)documents->pdata, documents->len,
                                  RAGIFY_CHUNKING_NONE, NULL, (RagifyIngestReport *)&rig->reports[report], &problem);
  ragify_problem_clear (&problem);
  return well;
}

/* How it ended: the problem's status, 0 where all is well. */
static guint
settle (const Rig *rig, guint report)
{
  RagifyProblem problem = { 0 };
  ragify_committer_settle (rig->committer, (RagifyIngestReport *)&rig->reports[report], &problem);
  const guint status = problem.status;
  ragify_problem_clear (&problem);
  return status;
}

static void
assert_written (const char *expected)
{
  g_ptr_array_add (world.written, NULL);
  g_autofree char *found = g_strjoinv (" ", (char **)world.written->pdata);
  g_ptr_array_remove_index (world.written, world.written->len - 1);
  assert_string_equal (found, expected);
}

static const char *const first[] = { "a1", "a2", "a3", NULL }, *const second[] = { "b1", "b2", "b3", NULL },
                         *const third[] = { "c1", "c2", NULL };

static void
the_next_are_embedded_while_the_store_is_slow (void **state)
{
  Rig *rig = *state;
  set_shut (TRUE);
  assert_true (put_ahead (rig, 0, first) && put_ahead (rig, 0, second) && put_ahead (rig, 0, third));
  wait_for_asked (8);
  assert_int_equal (rig->reports[0].documents, 0);
  assert_int_equal (world.written->len, 0);
  set_shut (FALSE);
  assert_int_equal (settle (rig, 0), 0);
  assert_written ("a1 a2 a3 b1 b2 b3 c1 c2");
  assert_true (world.vectors_fit);
  assert_int_equal (rig->reports[0].documents, 8);
  assert_int_equal (rig->reports[0].embedded, 8);
  assert_int_equal (rig->reports[0].generation.counter, world.counter);
}

static void
behind_a_failed_write_only_others_are_written (void **state)
{
  Rig *rig = *state;
  set_shut (TRUE);
  world.refuses = "b2";
  assert_true (put_ahead (rig, 0, first) && put_ahead (rig, 0, second));
  assert_true (put_ahead (rig, 1, third));
  set_shut (FALSE);
  assert_int_equal (settle (rig, 0), 503);
  assert_int_equal (settle (rig, 1), 0);
  assert_written ("a1 a2 a3 c1 c2");
  assert_int_equal (rig->reports[0].documents, 3);
  assert_int_equal (rig->reports[1].documents, 2);
}

static void
behind_a_failed_batch_none_of_its_owner_is_written (void **state)
{
  static const char *const bad[] = { "!1", "d1", NULL };
  Rig *rig = *state;
  set_shut (TRUE);
  assert_true (put_ahead (rig, 0, first) && put_ahead (rig, 1, bad));
  put_ahead (rig, 1, third); /* it may have heard of it already */
  set_shut (FALSE);
  assert_int_equal (settle (rig, 1), 422);
  assert_int_equal (settle (rig, 0), 0);
  assert_written ("a1 a2 a3");
  assert_int_equal (rig->reports[1].documents, 0);
  assert_true (put_ahead (rig, 1, second)); /* and from here on all is as it was */
  assert_int_equal (settle (rig, 1), 0);
  assert_written ("a1 a2 a3 b1 b2 b3");
}

/* Reports of one sender, each about a batch of its own. */
static void
behind_a_failed_batch_none_of_its_sender_is_written (void **state)
{
  Rig *rig = *state;
  gboolean halted = FALSE;
  rig->reports[0].halted = rig->reports[1].halted = &halted;
  set_shut (TRUE);
  world.refuses = "a2";
  assert_true (put_ahead (rig, 0, first) && put_ahead (rig, 1, second));
  set_shut (FALSE);
  ragify_committer_land (rig->committer);
  assert_written ("");
  assert_true (halted);
  for (guint i = 0; i < 2; i++) {
    assert_int_equal (g_atomic_int_get (&rig->reports[i].under_way), 0);
    assert_int_equal (rig->reports[i].broken.status, 503);
  }
  assert_false (put_ahead (rig, 1, third));
  for (guint i = 0; i < 2; i++)
    ragify_problem_clear (&rig->reports[i].broken);
  halted = FALSE;
  world.refuses = NULL;
  assert_true (put_ahead (rig, 0, first) && put_ahead (rig, 0, second));
  assert_int_equal (settle (rig, 0), 0);
  assert_written ("a1 a2 a3 b1 b2 b3");
}

static void
the_same_document_is_not_written_behind_one_that_failed (void **state)
{
  Rig *rig = *state;
  gboolean halted = FALSE;
  rig->reports[0].halted = rig->reports[1].halted = &halted;
  world.refuses = "a2";
  assert_true (put_ahead (rig, 0, first));
  assert_false (put_ahead (rig, 1, first)); /* once the other has landed */
  assert_int_equal (rig->reports[1].documents + rig->reports[1].unchanged, 0);
  assert_written ("");
}

static void
a_document_that_is_under_way_is_waited_for (void **state)
{
  Rig *rig = *state;
  assert_true (put_ahead (rig, 0, first) && put_ahead (rig, 1, second));
  assert_true (put_ahead (rig, 1, first));
  assert_int_equal (rig->reports[0].documents, 3);
  assert_int_equal (settle (rig, 1), 0);
  assert_written ("a1 a2 a3 b1 b2 b3 a1 a2 a3");
}

static gboolean
was_asked (const char *text)
{
  pthread_mutex_lock (&world.lock);
  const gboolean was = g_ptr_array_find_with_equal_func (world.asked, text, g_str_equal, NULL);
  pthread_mutex_unlock (&world.lock);
  return was;
}

static void
what_nobody_wants_is_not_embedded (void **state)
{
  Rig *rig = *state;
  set_hangs (TRUE); /* as many calls as there can be are those of the first batch */
  assert_true (put_ahead (rig, 0, first));
  wait_for_asked (1);
  assert_true (put_ahead (rig, 0, second) && put_ahead (rig, 1, third));
  ragify_committer_drop (rig->committer, &rig->reports[0]);
  set_hangs (FALSE);
  assert_int_equal (settle (rig, 1), 0);
  assert_int_equal (settle (rig, 0), 503);
  assert_false (was_asked ("b1"));
  assert_int_equal (rig->reports[1].documents, 2);
  assert_int_equal (rig->reports[1].generation.counter, world.counter);
  assert_true (put_ahead (rig, 0, second)); /* and from here on all is as it was */
  assert_int_equal (settle (rig, 0), 0);
  assert_int_equal (rig->reports[0].generation.counter, world.counter);
}

/* The embedder answers only once all is over. */
static void
a_host_that_stops_does_not_wait_for_an_embedder_that_hangs (void **state)
{
  Rig *rig = *state;
  set_hangs (TRUE);
  assert_true (put_ahead (rig, 0, first));
  wait_for_asked (1);
  assert_true (put_ahead (rig, 1, second));
  ragify_committer_hurry (rig->committer);
  assert_int_equal (settle (rig, 0), 503);
  assert_int_equal (settle (rig, 1), 503);
  put_ahead (rig, 0, third);
  assert_int_equal (settle (rig, 0), 503);
  assert_false (was_asked ("b1") || was_asked ("c1"));
  set_hangs (FALSE);
  assert_written ("");
}

static int
set_up (void **state)
{
  runtime.n_loops = 1;
  runtime.loops = g_new0 (RagifyLoop *, 1);
  runtime.loops[0] = ragify_loop_new (0);
  runtime.metrics = ragify_metrics_new ();
  runtime.workers = ragify_workers_new (4, 1000);
  return 0;
}

static int
tear_down (void **state)
{
  assert_int_equal (ragify_workers_free (runtime.workers, 60 * (guint64)G_USEC_PER_SEC), 0);
  ragify_loop_free (runtime.loops[0]);
  ragify_metrics_free (runtime.metrics);
  g_free (runtime.loops);
  return 0;
}

#define IN_RIG(test) cmocka_unit_test_setup_teardown (test, rig_set_up, rig_tear_down)

int
main (void)
{
  const struct CMUnitTest tests[] = {
    IN_RIG (the_next_are_embedded_while_the_store_is_slow),
    IN_RIG (behind_a_failed_write_only_others_are_written),
    IN_RIG (behind_a_failed_batch_none_of_its_owner_is_written),
    IN_RIG (behind_a_failed_batch_none_of_its_sender_is_written),
    IN_RIG (the_same_document_is_not_written_behind_one_that_failed),
    IN_RIG (a_document_that_is_under_way_is_waited_for),
    IN_RIG (what_nobody_wants_is_not_embedded),
    IN_RIG (a_host_that_stops_does_not_wait_for_an_embedder_that_hangs),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, set_up, tear_down);
}
