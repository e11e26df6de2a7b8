/* A job's batches, several of which are under way at once: each document is written once and in its order, whatever
 * becomes of the store, the embedder or the job meanwhile.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "core/ingest/job.h"
#include "core/ingest/sync.h"
#include "core/module/context.h"

#define DIMENSION 4u
#define BATCH 500u       /* documents that a job gathers */
#define DOCUMENTS 2200u  /* more than four of those */
#define IN_THE_AIR 1500u /* three of them, which is as many as are embedded while none is written */
#define PATIENCE_US (300 * (guint64)G_USEC_PER_SEC)

static RagifyRuntime runtime;

/* ---- a store that can be shut, and what else can go wrong ---- */

typedef struct Kept {
  char *content;
  RagifyUuid hash;
  guint writes;
} Kept;

static struct {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  gboolean shut, fails;  /* writes wait; writes fail */
  const char *refused;   /* a document that the store refuses for good; NULL: none */
  GHashTable *documents; /* id → Kept */
  GPtrArray *order;      /* ids, as they were written */
  guint asked;           /* texts that the embedder was given */
  guint64 counter;
  char *ids[DOCUMENTS], *contents[DOCUMENTS]; /* what the source has; in between nobody changes it */
} world = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void
kept_free (gpointer data)
{
  Kept *kept = data;
  g_free (kept->content);
  g_free (kept);
}

static RagifyGeneration
generation_now (void)
{
  return (RagifyGeneration){ .store = { { 7, 8, 9 } }, .counter = world.counter };
}

static void
keep (const RagifyDocument *document, const RagifyChunk *chunk)
{
  char *id = g_strndup (document->id.data, document->id.size);
  const Kept *before = g_hash_table_lookup (world.documents, id);
  Kept *kept = g_new0 (Kept, 1);
  *kept = (Kept){ .content = g_strndup (chunk->content.data, chunk->content.size),
                  .hash = document->content_hash,
                  .writes = before != NULL ? before->writes + 1 : 1 };
  g_ptr_array_add (world.order, g_strdup (id));
  g_hash_table_insert (world.documents, id, kept);
}

static gboolean
is_refused (const RagifyStoreUpsert *args)
{
  for (guint64 i = 0; i < args->documents.count && world.refused != NULL; i++)
    if (args->documents.items[i].id.size == strlen (world.refused) &&
        memcmp (args->documents.items[i].id.data, world.refused, strlen (world.refused)) == 0)
      return TRUE;
  return FALSE;
}

/* Each document has one chunk. */
static void
store_upsert (void *instance, RagifyCall *call, const RagifyStoreUpsert *args)
{
  pthread_mutex_lock (&world.lock);
  while (world.shut)
    pthread_cond_wait (&world.changed, &world.lock);
  const gint32 code = world.fails ? RAGIFY_E_UNAVAILABLE : is_refused (args) ? RAGIFY_E_INVALID : RAGIFY_OK;
  for (guint64 i = 0; i < args->documents.count && code == RAGIFY_OK; i++)
    keep (&args->documents.items[i], &args->chunks.items[i]);
  world.counter += code == RAGIFY_OK ? 1 : 0;
  const RagifyStoreUpsertResult result = { .struct_size = sizeof result,
                                           .generation = generation_now (),
                                           .inserted = args->chunks.count };
  pthread_mutex_unlock (&world.lock);
  if (code == RAGIFY_OK)
    ragify_host ()->call_done (call, &result);
  else
    ragify_host ()->call_fail (call, code, ragify_str_from ("as it was told"), 0);
}

static RagifyDocument
describe_kept (RagifyCall *call, const char *id, const Kept *kept)
{
  const gsize size = strlen (id);
  char *copy = ragify_host ()->call_alloc (call, size + 1);
  memcpy (copy, id, size);
  return (RagifyDocument){ .struct_size = sizeof (RagifyDocument),
                           .id = ragify_str (copy, size),
                           .metadata = ragify_str_from ("{\"ingest\":\"notes\"}"),
                           .content_hash = kept->hash,
                           .chunks = 1 };
}

/* Documents that are named; of chunks, whose vectors could be taken over, none. */
static void
store_list (void *instance, RagifyCall *call, const RagifyStoreList *args)
{
  pthread_mutex_lock (&world.lock);
  RagifyDocument *documents = ragify_host ()->call_alloc (call, (args->documents.count + 1) * sizeof *documents);
  guint64 count = 0;
  for (guint64 i = 0; args->what == RAGIFY_LIST_DOCUMENTS && i < args->documents.count; i++) {
    g_autofree char *id = g_strndup (args->documents.items[i].data, args->documents.items[i].size);
    const Kept *kept = g_hash_table_lookup (world.documents, id);
    if (kept != NULL)
      documents[count++] = describe_kept (call, id, kept);
  }
  const RagifyStoreListResult result = { .struct_size = sizeof result,
                                         .documents = { documents, count, sizeof *documents, 0 },
                                         .generation = generation_now () };
  pthread_mutex_unlock (&world.lock);
  ragify_host ()->call_done (call, &result);
}

static void
store_remove (void *instance, RagifyCall *call, const RagifyStoreRemove *args)
{
  pthread_mutex_lock (&world.lock);
  for (guint64 i = 0; i < args->documents.count; i++) {
    g_autofree char *id = g_strndup (args->documents.items[i].data, args->documents.items[i].size);
    g_hash_table_remove (world.documents, id);
  }
  world.counter++;
  const RagifyStoreRemoveResult result = { .struct_size = sizeof result, .generation = generation_now () };
  pthread_mutex_unlock (&world.lock);
  ragify_host ()->call_done (call, &result);
}

static void
store_generation (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  pthread_mutex_lock (&world.lock);
  const RagifyStoreGeneration result = { .struct_size = sizeof result, .generation = generation_now () };
  pthread_mutex_unlock (&world.lock);
  ragify_host ()->call_done (call, &result);
}

/* ---- an embedder that refuses texts with an exclamation mark, and a source ---- */

static void
embedder_describe (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  const RagifyEmbedderInfo info = {
    .struct_size = sizeof info, .dimension = DIMENSION, .max_batch = 8, .fingerprint = ragify_str_from ("x")
  };
  ragify_host ()->call_done (call, &info);
}

static void
embedder_embed (void *instance, RagifyCall *call, const RagifyEmbedderEmbed *args)
{
  float *vectors = ragify_host ()->call_alloc (call, args->texts.count * DIMENSION * sizeof *vectors);
  gboolean bad = FALSE;
  for (guint64 i = 0; i < args->texts.count * DIMENSION; i++)
    vectors[i] = 0.5f;
  for (guint64 i = 0; i < args->texts.count; i++)
    bad = bad || memchr (args->texts.items[i].data, '!', args->texts.items[i].size) != NULL;
  pthread_mutex_lock (&world.lock);
  world.asked += (guint)args->texts.count;
  pthread_cond_broadcast (&world.changed);
  pthread_mutex_unlock (&world.lock);
  const RagifyEmbedderEmbedResult result = { .struct_size = sizeof result,
                                             .vectors = { vectors, args->texts.count, DIMENSION } };
  if (bad)
    ragify_host ()->call_fail (call, RAGIFY_E_INVALID, ragify_str_from ("what a text"), 0);
  else
    ragify_host ()->call_done (call, &result);
}

static void
source_scan (void *instance, RagifyCall *call, const RagifySourceScan *args)
{
  g_autofree char *cursor = g_strndup (args->cursor.size > 0 ? args->cursor.data : "0", MAX (args->cursor.size, 1));
  const guint first = (guint)g_ascii_strtoull (cursor, NULL, 10), past = MIN (first + args->limit, DOCUMENTS);
  for (guint i = first; i < past; i++) {
    const RagifyChunk chunk = { .struct_size = sizeof chunk,
                                .id = { { (uint8_t)(i >> 8), (uint8_t)i, 1 } },
                                .document_id = ragify_str_from (world.ids[i]),
                                .content = ragify_str_from (world.contents[i]) };
    (void)ragify_host ()->call_emit (call, &chunk);
  }
  char *next = ragify_host ()->call_alloc (call, 16);
  g_snprintf (next, 16, "%u", past);
  const RagifySourceScanResult result = { .struct_size = sizeof result,
                                          .cursor = ragify_str_from (past < DOCUMENTS ? next : "") };
  ragify_host ()->call_done (call, &result);
}

/* ---- nodes ---- */

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

static const RagifyVectorStoreOperations store_operations = { .struct_size = sizeof store_operations,
                                                              .upsert = store_upsert,
                                                              .list = store_list,
                                                              .remove = store_remove,
                                                              .generation = store_generation };
static const RagifyEmbedderOperations embedder_operations = { .struct_size = sizeof embedder_operations,
                                                              .describe = embedder_describe,
                                                              .embed = embedder_embed };
static const RagifySourceOperations source_operations = { .struct_size = sizeof source_operations,
                                                          .scan = source_scan };
#define COMPONENT(kind_, name_, operations_)                                                                           \
  {                                                                                                                    \
    .struct_size = sizeof (RagifyComponent), .kind = (kind_), .name = (name_), .run_class = RAGIFY_RUN_WORKER,         \
    .max_parallel = 4, .operations = (operations_), .create = create, .start = start, .destroy = destroy               \
  }
static const RagifyComponent components[] = { COMPONENT (RAGIFY_KIND_VECTOR_STORE, "store", &store_operations),
                                              COMPONENT (RAGIFY_KIND_EMBEDDER, "embedder", &embedder_operations),
                                              COMPONENT (RAGIFY_KIND_SOURCE, "source", &source_operations) };

/* ---- a job over them ---- */

typedef struct Rig {
  RagifyNode *nodes[G_N_ELEMENTS (components)];
  RagifyLibrary *library;
  RagifyIngestJob *job;
} Rig;

static RagifyNode *
make_node (const RagifyComponent *component)
{
  const RagifyNodeOptions options = { .name = component->name, .component = component };
  const RagifyStart args = { .struct_size = sizeof args };
  g_autoptr (GError) error = NULL;
  RagifyNode *node = ragify_node_new (&runtime, &options, &error);
  assert_non_null (node);
  assert_true (ragify_node_start (node, &args, ragify_now () + PATIENCE_US, &error));
  return node;
}

static void
make_job (Rig *rig)
{
  const RagifyIngestJobOptions options = { .name = "notes",
                                           .library = rig->library,
                                           .store = rig->nodes[0],
                                           .source = rig->nodes[2],
                                           .embedder = rig->nodes[1],
                                           .chunk_size = 1000,
                                           .cutting = "as ever" };
  rig->job = ragify_ingest_job_new (&runtime, &options);
}

static int
set_up_rig (void **state)
{
  Rig *rig = g_new0 (Rig, 1);
  world.shut = TRUE;
  world.fails = FALSE;
  world.refused = NULL;
  world.documents = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, kept_free);
  world.order = g_ptr_array_new_with_free_func (g_free);
  world.asked = 0;
  world.counter = 1;
  for (guint i = 0; i < DOCUMENTS; i++) {
    world.ids[i] = g_strdup_printf ("%04u", i);
    world.contents[i] = g_strdup_printf ("What number %u says.", i);
  }
  for (guint i = 0; i < G_N_ELEMENTS (components); i++)
    rig->nodes[i] = make_node (&components[i]);
  const RagifyLibraryOptions options = {
    .name = "store", .store = rig->nodes[0], .embedder = rig->nodes[1], .chunk_size = 1000
  };
  rig->library = ragify_library_new (&runtime, &options, NULL);
  make_job (rig);
  *state = rig;
  return rig->library == NULL;
}

static int
tear_down_rig (void **state)
{
  Rig *rig = *state;
  gboolean freed = TRUE;
  ragify_ingest_job_free (rig->job);
  ragify_library_free (rig->library);
  for (guint i = 0; i < G_N_ELEMENTS (components); i++)
    freed = ragify_node_free (rig->nodes[i], ragify_now () + PATIENCE_US) && freed;
  for (guint i = 0; i < DOCUMENTS; i++) {
    g_free (world.ids[i]);
    g_free (world.contents[i]);
  }
  g_hash_table_unref (world.documents);
  g_ptr_array_unref (world.order);
  g_free (rig);
  return freed ? 0 : 1;
}

static void
replace (char **text, const char *by)
{
  g_free (*text);
  *text = g_strdup (by);
}

static void
set_store (gboolean shut, gboolean fails)
{
  pthread_mutex_lock (&world.lock);
  world.shut = shut;
  world.fails = fails;
  pthread_cond_broadcast (&world.changed);
  pthread_mutex_unlock (&world.lock);
}

static void
wait_for_asked (guint count)
{
  pthread_mutex_lock (&world.lock);
  while (world.asked < count)
    pthread_cond_wait (&world.changed, &world.lock);
  pthread_mutex_unlock (&world.lock);
}

static guint
count_kept (void)
{
  pthread_mutex_lock (&world.lock);
  const guint count = g_hash_table_size (world.documents);
  pthread_mutex_unlock (&world.lock);
  return count;
}

static json_int_t
number_of (const Rig *rig, const char *name)
{
  json_t *facts = ragify_ingest_job_describe (rig->job, FALSE);
  const json_int_t number = json_integer_value (json_object_get (facts, name));
  json_decref (facts);
  return number;
}

static gboolean
is_in_state (const Rig *rig, const char *state)
{
  json_t *facts = ragify_ingest_job_describe (rig->job, FALSE);
  const gboolean is = strcmp (json_string_value (json_object_get (facts, "state")), state) == 0;
  json_decref (facts);
  return is;
}

static void
wait_for_state (const Rig *rig, const char *state)
{
  const guint64 until = ragify_now () + PATIENCE_US;
  while (!is_in_state (rig, state)) {
    assert_true (ragify_now () < until);
    g_usleep (1000);
  }
}

/* The job, with as many batches in the air as there may be, none of which is written. */
static void
begin (Rig *rig)
{
  ragify_ingest_job_start (rig->job);
  wait_for_asked (IN_THE_AIR);
  assert_int_equal (count_kept (), 0);
  assert_int_equal (number_of (rig, "documents"), 0);
}

static void
wait_for_end (const Rig *rig)
{
  const guint64 until = ragify_now () + PATIENCE_US;
  while (number_of (rig, "passes") < 1 || !is_in_state (rig, "waiting")) {
    assert_true (ragify_now () < until);
    g_usleep (1000);
  }
}

/* All are there but the one called `missing`, and were written once, in their order. */
static void
assert_each_once (const char *missing)
{
  guint next = 0;
  for (guint i = 0; i < DOCUMENTS; i++) {
    g_autofree char *id = g_strdup_printf ("notes/%04u", i);
    const Kept *kept = g_hash_table_lookup (world.documents, id);
    if (missing != NULL && strcmp (id, missing) == 0) {
      assert_null (kept);
      if (next < world.order->len && strcmp (g_ptr_array_index (world.order, next), missing) == 0)
        next++; /* it was there */
      continue;
    }
    assert_non_null (kept);
    assert_string_equal (kept->content, world.contents[i]);
    assert_int_equal (kept->writes, 1);
    assert_string_equal (g_ptr_array_index (world.order, next), id);
    next++;
  }
  assert_int_equal (world.order->len, next);
}

/* ---- the tests ---- */

static void
the_next_are_embedded_while_the_store_is_slow (void **state)
{
  Rig *rig = *state;
  begin (rig);
  set_store (FALSE, FALSE);
  wait_for_end (rig);
  assert_each_once (NULL);
  assert_int_equal (number_of (rig, "documents"), DOCUMENTS);
  assert_int_equal (number_of (rig, "embedded"), DOCUMENTS);
  assert_int_equal (number_of (rig, "unchanged"), 0);
  assert_int_equal (number_of (rig, "set_aside_total"), 0);
}

static void
after_the_store_was_gone_it_goes_on_with_what_was_in_the_air (void **state)
{
  Rig *rig = *state;
  begin (rig);
  set_store (FALSE, TRUE);
  wait_for_state (rig, "retrying");
  assert_int_equal (count_kept (), 0);
  set_store (FALSE, FALSE);
  wait_for_end (rig);
  assert_each_once (NULL);
  assert_int_equal (number_of (rig, "documents"), DOCUMENTS);
  assert_int_equal (number_of (rig, "unchanged"), 0);
  assert_int_equal (number_of (rig, "set_aside_total"), 0);
}

static void
assert_one_is_set_aside (const Rig *rig, const char *document, const char *reason)
{
  json_t *facts = ragify_ingest_job_describe (rig->job, TRUE);
  const json_t *list = json_object_get (facts, "set_aside");
  assert_int_equal (json_array_size (list), 1);
  assert_string_equal (json_string_value (json_object_get (json_array_get (list, 0), "document")), document);
  assert_non_null (strstr (json_string_value (json_object_get (json_array_get (list, 0), "reason")), reason));
  json_decref (facts);
  assert_int_equal (number_of (rig, "documents"), DOCUMENTS - 1);
}

static void
one_that_the_store_refuses_in_the_air_stops_no_other (void **state)
{
  Rig *rig = *state;
  world.refused = "notes/0700";
  begin (rig);
  set_store (FALSE, FALSE);
  wait_for_end (rig);
  assert_each_once ("notes/0700");
  assert_one_is_set_aside (rig, "0700", "as it was told");
}

static void
one_that_the_embedder_refuses_in_the_air_stops_no_other (void **state)
{
  Rig *rig = *state;
  replace (&world.contents[BATCH + 33], "No!");
  ragify_ingest_job_start (rig->job);
  wait_for_asked (BATCH + 34); /* the first batch is in the air */
  set_store (FALSE, FALSE);
  wait_for_end (rig);
  assert_each_once ("notes/0533");
  assert_one_is_set_aside (rig, "0533", "what a text");
}

static void
what_is_in_the_air_when_it_is_cancelled_counts (void **state)
{
  Rig *rig = *state;
  begin (rig);
  ragify_ingest_job_control (rig->job, RAGIFY_JOB_CANCEL);
  set_store (FALSE, FALSE);
  wait_for_state (rig, "cancelled");
  const guint there = count_kept ();
  assert_in_range (there, IN_THE_AIR, DOCUMENTS - 1);
  assert_int_equal (number_of (rig, "documents"), there);
  ragify_ingest_job_control (rig->job, RAGIFY_JOB_RUN);
  wait_for_end (rig);
  assert_int_equal (number_of (rig, "unchanged"), there);
  assert_int_equal (number_of (rig, "documents"), DOCUMENTS - there);
  assert_each_once (NULL);
}

static void
what_is_in_the_air_when_it_is_paused_counts (void **state)
{
  Rig *rig = *state;
  begin (rig);
  ragify_ingest_job_control (rig->job, RAGIFY_JOB_PAUSE);
  set_store (FALSE, FALSE);
  const guint64 until = ragify_now () + PATIENCE_US;
  while (number_of (rig, "documents") < IN_THE_AIR || number_of (rig, "documents") != count_kept ()) {
    assert_true (ragify_now () < until);
    g_usleep (1000);
  }
  assert_true (is_in_state (rig, "paused"));
  assert_in_range (count_kept (), IN_THE_AIR, DOCUMENTS - 1);
  ragify_ingest_job_control (rig->job, RAGIFY_JOB_RESUME);
  wait_for_end (rig);
  assert_each_once (NULL);
  assert_int_equal (number_of (rig, "documents"), DOCUMENTS);
}

static void
a_job_that_ends_with_batches_in_the_air_loses_none (void **state)
{
  Rig *rig = *state;
  begin (rig);
  ragify_ingest_job_stop (rig->job);
  set_store (FALSE, FALSE);
  ragify_ingest_job_free (rig->job);
  const guint there = count_kept ();
  assert_in_range (there, IN_THE_AIR, DOCUMENTS - 1);
  make_job (rig);
  ragify_ingest_job_start (rig->job);
  wait_for_end (rig);
  assert_int_equal (number_of (rig, "unchanged"), there);
  assert_each_once (NULL);
}

static void *
delete_one (void *data)
{
  const Rig *rig = data;
  static const char *const ids[] = { "notes/0007" };
  guint64 chunks = 0;
  RagifyProblem problem = { 0 };
  const gboolean well = ragify_library_remove (rig->library, ids, 1, NULL, &chunks, &problem);
  ragify_problem_clear (&problem);
  return GINT_TO_POINTER (well);
}

static void
a_deletion_waits_for_what_is_in_the_air (void **state)
{
  Rig *rig = *state;
  pthread_t thread;
  void *well = NULL;
  begin (rig);
  assert_int_equal (pthread_create (&thread, NULL, delete_one, rig), 0);
  set_store (FALSE, FALSE);
  pthread_join (thread, &well);
  assert_true (GPOINTER_TO_INT (well));
  wait_for_end (rig);
  assert_each_once ("notes/0007");
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
  assert_int_equal (ragify_workers_free (runtime.workers, PATIENCE_US), 0);
  ragify_loop_free (runtime.loops[0]);
  ragify_metrics_free (runtime.metrics);
  g_free (runtime.loops);
  return 0;
}

#define TEST(function) cmocka_unit_test_setup_teardown (function, set_up_rig, tear_down_rig)

int
main (void)
{
  const struct CMUnitTest tests[] = {
    TEST (the_next_are_embedded_while_the_store_is_slow),
    TEST (after_the_store_was_gone_it_goes_on_with_what_was_in_the_air),
    TEST (one_that_the_store_refuses_in_the_air_stops_no_other),
    TEST (one_that_the_embedder_refuses_in_the_air_stops_no_other),
    TEST (what_is_in_the_air_when_it_is_cancelled_counts),
    TEST (what_is_in_the_air_when_it_is_paused_counts),
    TEST (a_job_that_ends_with_batches_in_the_air_loses_none),
    TEST (a_deletion_waits_for_what_is_in_the_air),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, set_up, tear_down);
}
