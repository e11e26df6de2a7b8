/* The write path over a store that is slow, or fails after it has committed.
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
#include <string.h>

#include "core/ingest/library-private.h"
#include "core/module/context.h"
#include "core/pipeline/filter.h"

static RagifyRuntime runtime;

/* ---- a store in memory, and an index that counts ---- */

typedef struct Stored {
  RagifyUuid hash;
  char *metadata;
} Stored;

static struct {
  pthread_mutex_t lock;
  GHashTable *documents; /* id → Stored */
  GPtrArray *chunks;     /* texts of all that came, in order */
  guint64 counter;
  gboolean fail_after_commit, must_wait;
  guint64 to_pass; /* upserts that may pass while `must_wait` */
  guint64 upserts; /* that have come, whether they wait or not */
  pthread_cond_t passed;
} store = { .lock = PTHREAD_MUTEX_INITIALIZER, .passed = PTHREAD_COND_INITIALIZER };

static struct {
  RagifyGeneration generation;
  guint64 chunks;
  gboolean fails;
} text_index;

static const RagifyUuid store_id = { { 1, 2, 3 } };

static void
succeed (RagifyCall *call, const void *result)
{
  ragify_host ()->call_done (call, result);
}

static RagifyGeneration
generation_now (void)
{
  return (RagifyGeneration){ .store = store_id, .counter = store.counter };
}

static void
free_stored (gpointer data)
{
  g_free (((Stored *)data)->metadata);
  g_free (data);
}

static void
remember (const RagifyStoreUpsert *args)
{
  for (guint64 i = 0; i < args->documents.count; i++) {
    const RagifyDocument *document = &args->documents.items[i];
    Stored *stored = g_new0 (Stored, 1);
    *stored = (Stored){ document->content_hash, g_strndup (document->metadata.data, document->metadata.size) };
    g_hash_table_insert (store.documents, g_strndup (document->id.data, document->id.size), stored);
  }
  for (guint64 i = 0; i < args->chunks.count; i++)
    g_ptr_array_add (store.chunks, g_strndup (args->chunks.items[i].content.data, args->chunks.items[i].content.size));
  store.counter++;
}

static void
store_upsert (void *instance, RagifyCall *call, const RagifyStoreUpsert *args)
{
  pthread_mutex_lock (&store.lock);
  store.upserts++;
  pthread_cond_broadcast (&store.passed);
  while (store.must_wait && store.to_pass == 0)
    pthread_cond_wait (&store.passed, &store.lock);
  store.to_pass -= store.to_pass > 0 ? 1 : 0;
  remember (args);
  const RagifyStoreUpsertResult result = { .struct_size = sizeof result,
                                           .generation = generation_now (),
                                           .inserted = args->chunks.count };
  const gboolean fails = store.fail_after_commit;
  store.fail_after_commit = FALSE;
  pthread_mutex_unlock (&store.lock);
  if (fails)
    ragify_host ()->call_fail (call, RAGIFY_E_TIMEOUT, ragify_str_from ("the answer was lost"), 0);
  else
    succeed (call, &result);
}

static RagifyDocumentList
list_documents (RagifyCall *call, const RagifyStoreList *args)
{
  RagifyDocument *documents = ragify_host ()->call_alloc (call, (args->documents.count + 1) * sizeof *documents);
  guint64 count = 0;
  for (guint64 i = 0; i < args->documents.count; i++) {
    g_autofree char *id = g_strndup (args->documents.items[i].data, args->documents.items[i].size);
    const Stored *stored = g_hash_table_lookup (store.documents, id);
    if (stored != NULL)
      documents[count++] = (RagifyDocument){
        .struct_size = sizeof *documents, .id = args->documents.items[i], .content_hash = stored->hash, .chunks = 1
      };
  }
  return (RagifyDocumentList){ documents, count, sizeof *documents, 0 };
}

static RagifyStr
copy_for (RagifyCall *call, const char *text)
{
  const gsize size = strlen (text);
  char *copy = ragify_host ()->call_alloc (call, size + 1);
  memcpy (copy, text, size + 1);
  return ragify_str (copy, size);
}

static RagifyDocumentList
list_matching (RagifyCall *call, const RagifyFilter *filter)
{
  const guint most = g_hash_table_size (store.documents);
  RagifyDocument *documents = ragify_host ()->call_alloc (call, (most + 1) * sizeof *documents);
  guint64 count = 0;
  GHashTableIter iter;
  gpointer id, value;
  g_hash_table_iter_init (&iter, store.documents);
  while (g_hash_table_iter_next (&iter, &id, &value))
    if (ragify_filter_matches (filter, ragify_str_from (((const Stored *)value)->metadata)))
      documents[count++] = (RagifyDocument){ .struct_size = sizeof *documents, .id = copy_for (call, id), .chunks = 1 };
  return (RagifyDocumentList){ documents, count, sizeof *documents, 0 };
}

static RagifyChunkList
list_chunks (RagifyCall *call)
{
  RagifyChunk *chunks = ragify_host ()->call_alloc (call, (store.chunks->len + 1) * sizeof *chunks);
  for (guint i = 0; i < store.chunks->len; i++)
    chunks[i] = (RagifyChunk){ .struct_size = sizeof *chunks,
                               .content = ragify_str_from (g_ptr_array_index (store.chunks, i)) };
  return (RagifyChunkList){ chunks, store.chunks->len, sizeof *chunks, 0 };
}

static void
store_list (void *instance, RagifyCall *call, const RagifyStoreList *args)
{
  pthread_mutex_lock (&store.lock);
  RagifyStoreListResult result = { .struct_size = sizeof result, .generation = generation_now () };
  if (args->filter != NULL)
    result.documents = list_matching (call, args->filter);
  else if (args->what == RAGIFY_LIST_DOCUMENTS)
    result.documents = list_documents (call, args);
  else
    result.chunks = list_chunks (call);
  pthread_mutex_unlock (&store.lock);
  succeed (call, &result);
}

static void
store_remove (void *instance, RagifyCall *call, const RagifyStoreRemove *args)
{
  RagifyUuid *removed = ragify_host ()->call_alloc (call, (args->documents.count + 1) * sizeof *removed);
  pthread_mutex_lock (&store.lock);
  RagifyStoreRemoveResult result = { .struct_size = sizeof result, .removed = { removed, 0 } };
  for (guint64 i = 0; i < args->documents.count; i++) {
    g_autofree char *id = g_strndup (args->documents.items[i].data, args->documents.items[i].size);
    if (g_hash_table_remove (store.documents, id))
      removed[result.removed.count++] = ragify_chunk_uuid (id, 0);
  }
  store.counter++;
  result.generation = generation_now ();
  pthread_mutex_unlock (&store.lock);
  succeed (call, &result);
}

static void
store_generation (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  pthread_mutex_lock (&store.lock);
  const RagifyStoreGeneration result = { .struct_size = sizeof result, .generation = generation_now () };
  pthread_mutex_unlock (&store.lock);
  succeed (call, &result);
}

static void
index_upsert (void *instance, RagifyCall *call, const RagifyTextUpsert *args)
{
  if (text_index.fails) {
    ragify_host ()->call_fail (call, RAGIFY_E_EXHAUSTED, ragify_str_from ("no space is left"), 0);
    return;
  }
  text_index.generation = args->generation;
  text_index.chunks += args->chunks.count;
  succeed (call, NULL);
}

static void
index_remove (void *instance, RagifyCall *call, const RagifyTextRemove *args)
{
  text_index.chunks = 0;
  succeed (call, NULL);
}

static void
index_generation (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  const RagifyTextGeneration result = { .struct_size = sizeof result, .generation = text_index.generation };
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

static const RagifyVectorStoreOperations store_operations = { .struct_size = sizeof store_operations,
                                                              .upsert = store_upsert,
                                                              .list = store_list,
                                                              .remove = store_remove,
                                                              .generation = store_generation };
static const RagifyTextIndexOperations index_operations = {
  .struct_size = sizeof index_operations, .upsert = index_upsert, .remove = index_remove, .generation = index_generation
};

static RagifyNode *
make_node (const RagifyComponent *component)
{
  const RagifyNodeOptions options = { .name = component->name, .component = component };
  g_autoptr (GError) error = NULL;
  RagifyNode *node = ragify_node_new (&runtime, &options, &error);
  assert_non_null (node);
  const RagifyStart args = { .struct_size = sizeof args };
  assert_true (ragify_node_start (node, &args, ragify_now () + G_USEC_PER_SEC, &error));
  return node;
}

static RagifyNode *
make_store (void)
{
  static const RagifyComponent component = { .struct_size = sizeof component,
                                             .kind = RAGIFY_KIND_VECTOR_STORE,
                                             .name = "store",
                                             .run_class = RAGIFY_RUN_WORKER,
                                             .max_parallel = 4,
                                             .operations = &store_operations,
                                             .create = create,
                                             .start = start,
                                             .destroy = destroy };
  store.documents = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, free_stored);
  store.upserts = store.to_pass = 0;
  store.must_wait = FALSE;
  store.chunks = g_ptr_array_new_with_free_func (g_free);
  store.counter = 1;
  return make_node (&component);
}

static RagifyNode *
make_index (void)
{
  static const RagifyComponent component = { .struct_size = sizeof component,
                                             .kind = RAGIFY_KIND_TEXT_INDEX,
                                             .name = "words",
                                             .run_class = RAGIFY_RUN_SHARED,
                                             .operations = &index_operations,
                                             .create = create,
                                             .start = start,
                                             .destroy = destroy };
  memset (&text_index, 0, sizeof text_index);
  return make_node (&component);
}

static void
free_node (RagifyNode *node)
{
  assert_true (ragify_node_free (node, ragify_now () + G_USEC_PER_SEC));
}

static void
free_store (RagifyNode *node)
{
  free_node (node);
  g_hash_table_unref (store.documents);
  g_ptr_array_unref (store.chunks);
}

/* ---- a write whose answer was lost ---- */

static guint64 told_counter;
static gboolean told_behind;

static void
changed (void *user, RagifyNode *node, const RagifyGeneration *generation, const RagifyUuidList *removed,
         gboolean behind)
{
  told_counter = generation->counter;
  told_behind = behind;
}

static gboolean
put (RagifyCommitter *committer, const char *id, const char *content, RagifyIngestReport *report)
{
  RagifyIncoming incoming = { .id = (char *)id,
                              .content = (char *)content,
                              .content_size = strlen (content),
                              .title = (char *)"",
                              .uri = (char *)"",
                              .metadata = (char *)"" };
  RagifyIncoming *const documents[] = { &incoming };
  RagifyProblem problem = { 0 };
  const gboolean well = ragify_committer_put (committer, documents, 1, RAGIFY_CHUNKING_NONE, NULL, report, &problem);
  ragify_problem_clear (&problem);
  return well;
}

static void
a_commit_whose_answer_was_lost_reaches_index_and_caches (void **state)
{
  RagifyNode *node = make_store ();
  RagifyNode *index = make_index ();
  const RagifyLibraryOptions options = {
    .name = "store", .store = node, .text_indexes = &index, .n_text_indexes = 1, .chunk_size = 1000, .changed = changed
  };
  RagifyCommitter *committer = ragify_committer_new (&runtime, &options, NULL);
  assert_non_null (committer);
  g_autofree char *reason = NULL;
  assert_int_equal (ragify_committer_follow (committer, 60 * G_USEC_PER_SEC, &reason), 0);
  RagifyIngestReport report;
  ragify_ingest_report_init (&report);

  store.fail_after_commit = TRUE;
  assert_false (put (committer, "a", "lost and found", &report));
  assert_true (ragify_committer_lags (committer));
  assert_true (put (committer, "a", "lost and found", &report)); /* the caller tries again */
  assert_int_equal (report.unchanged, 1);
  assert_int_equal (told_counter, store.counter);
  assert_int_equal (text_index.generation.counter, store.counter);
  assert_int_equal (text_index.chunks, 1);

  ragify_ingest_report_clear (&report);
  ragify_committer_free (committer);
  free_node (index);
  free_store (node);
}

static void
an_index_that_is_behind_is_told_of_until_it_has_caught_up (void **state)
{
  RagifyNode *node = make_store ();
  RagifyNode *index = make_index ();
  const RagifyLibraryOptions options = {
    .name = "store", .store = node, .text_indexes = &index, .n_text_indexes = 1, .chunk_size = 1000, .changed = changed
  };
  RagifyCommitter *committer = ragify_committer_new (&runtime, &options, NULL);
  g_autofree char *reason = NULL;
  RagifyIngestReport report;
  ragify_ingest_report_init (&report);
  assert_int_equal (ragify_committer_follow (committer, 60 * G_USEC_PER_SEC, &reason), 0);
  assert_true (put (committer, "a", "in step", &report));
  assert_false (told_behind);
  text_index.fails = TRUE;
  assert_true (put (committer, "b", "not in the index", &report));
  assert_int_equal (told_counter, store.counter);
  assert_true (told_behind);
  text_index.fails = FALSE;
  assert_int_equal (ragify_committer_follow (committer, 60 * G_USEC_PER_SEC, &reason), 0);
  ragify_committer_announce (committer);
  assert_int_equal (told_counter, store.counter);
  assert_false (told_behind);

  ragify_ingest_report_clear (&report);
  ragify_committer_free (committer);
  free_node (index);
  free_store (node);
}

/* ---- a client that is faster than the store ---- */

typedef struct Sender {
  RagifyTask task;
  RagifyLoop *loop;
  RagifyUpload *upload;
  guint64 to_send;
  _Atomic guint64 sent;
  atomic_int replied;
  char *body;
} Sender;

#define LINE "{\"id\":\"%08u\",\"content\":\"a line\"}\n"
#define LINE_SIZE 37u
#define LINES_OF_A_PIECE 1000u

static void
on_replied (const char *body, gsize size, const RagifyProblem *problem, void *user)
{
  Sender *sender = user;
  sender->body = g_strndup (body != NULL ? body : "", size);
  atomic_store (&sender->replied, 1);
}

static void
send_on (void *user)
{
  Sender *sender = user;
  gboolean room = TRUE;
  while (room && sender->sent < sender->to_send) {
    g_autoptr (GString) piece = g_string_new (NULL);
    for (guint i = 0; i < LINES_OF_A_PIECE; i++)
      g_string_append_printf (piece, LINE, (guint)(sender->sent / LINE_SIZE) + i);
    assert_int_equal (piece->len, LINES_OF_A_PIECE * LINE_SIZE);
    sender->sent += piece->len;
    room = ragify_upload_feed (sender->upload, piece->str, piece->len, send_on, sender);
  }
  if (room)
    ragify_upload_finish (sender->upload, on_replied, sender);
}

static void
begin_sending (RagifyTask *task)
{
  send_on (task);
}

static void
let_pass (guint64 upserts)
{
  pthread_mutex_lock (&store.lock);
  store.to_pass += upserts;
  pthread_cond_broadcast (&store.passed);
  pthread_mutex_unlock (&store.lock);
}

static guint64
committed_bytes (void)
{
  pthread_mutex_lock (&store.lock);
  const guint64 bytes = (guint64)store.chunks->len * LINE_SIZE;
  pthread_mutex_unlock (&store.lock);
  return bytes;
}

static void
what_waits_for_the_store_is_bounded (void **state)
{
  RagifyNode *node = make_store ();
  const RagifyLibraryOptions options = { .name = "store", .store = node, .chunk_size = 1000 };
  RagifyLibrary *library = ragify_library_new (&runtime, &options, NULL);
  assert_non_null (library);
  Sender sender = { .task = { .run = begin_sending }, .to_send = 300 * LINES_OF_A_PIECE * LINE_SIZE };
  sender.upload = ragify_upload_new (library, runtime.loops[0], RAGIFY_BODY_NDJSON, RAGIFY_CHUNKING_NONE, NULL);
  store.must_wait = TRUE;
  ragify_loop_post (runtime.loops[0], &sender.task);
  for (guint i = 0; i < 40; i++) {
    let_pass (1);
    g_usleep (5000);
    assert_true (sender.sent <= committed_bytes () + 4 * 1024 * 1024);
  }
  let_pass (1000000);
  for (guint i = 0; i < 60000 && atomic_load (&sender.replied) == 0; i++)
    g_usleep (1000);
  assert_int_equal (atomic_load (&sender.replied), 1);
  assert_non_null (strstr (sender.body, "{\"documents\":300000,\"chunks\":300000,\"unchanged\":0,"));
  assert_int_equal (committed_bytes (), sender.to_send);
  store.must_wait = FALSE;
  g_free (sender.body);
  ragify_library_free (library);
  free_store (node);
}

/* ---- an upload that outlives its library ---- */

static void
abort_upload (RagifyTask *task)
{
  Sender *sender = (Sender *)task;
  ragify_upload_abort (sender->upload);
  atomic_store (&sender->replied, 1);
}

static void
an_upload_may_outlive_its_library (void **state)
{
  RagifyNode *node = make_store ();
  const RagifyLibraryOptions options = { .name = "store", .store = node, .chunk_size = 1000 };
  RagifyLibrary *library = ragify_library_new (&runtime, &options, NULL);
  Sender sender = { .task = { .run = abort_upload } };
  sender.upload = ragify_upload_new (library, runtime.loops[0], RAGIFY_BODY_NDJSON, RAGIFY_CHUNKING_NONE, NULL);
  ragify_upload_feed (sender.upload, "{", 1, send_on, &sender);
  ragify_library_free (library);
  ragify_loop_post (runtime.loops[0], &sender.task);
  for (guint i = 0; i < 60000 && atomic_load (&sender.replied) == 0; i++)
    g_usleep (1000);
  assert_int_equal (atomic_load (&sender.replied), 1);
  free_store (node);
}

/* ---- what is under way when something else is wanted ---- */

#define BATCH_LINES 1000u  /* documents that an upload has written together */
#define REVEALING_US 50000 /* for what could go wrong to do so; nothing is judged by it */

static void
set_must_wait (gboolean must_wait)
{
  pthread_mutex_lock (&store.lock);
  store.must_wait = must_wait;
  pthread_cond_broadcast (&store.passed);
  pthread_mutex_unlock (&store.lock);
}

static void
wait_for_upserts (guint64 count)
{
  pthread_mutex_lock (&store.lock);
  while (store.upserts < count)
    pthread_cond_wait (&store.passed, &store.lock);
  pthread_mutex_unlock (&store.lock);
}

static void
wait_for (const atomic_int *flag)
{
  for (guint i = 0; i < 120000 && atomic_load (flag) == 0; i++)
    g_usleep (1000);
  assert_int_equal (atomic_load (flag), 1);
}

/* Feeds `lines` documents in English from number 0 on. */
static void
feed_lines (RagifyUpload *upload, guint lines)
{
  g_autoptr (GString) text = g_string_new (NULL);
  for (guint i = 0; i < lines; i++)
    g_string_append_printf (text, "{\"id\":\"%08u\",\"content\":\"a line\",\"metadata\":{\"lang\":\"en\"}}\n", i);
  ragify_upload_feed (upload, text->str, text->len, NULL, NULL);
}

static void *
free_library (void *library)
{
  ragify_library_free (library);
  return NULL;
}

static void
wait_for_closing (RagifyLibrary *library)
{
  for (gboolean closing = FALSE; !closing; g_usleep (1000)) {
    pthread_mutex_lock (&library->lock);
    closing = library->closing;
    pthread_mutex_unlock (&library->lock);
  }
}

static void
an_upload_may_end_while_its_library_finishes_its_writes (void **state)
{
  RagifyNode *node = make_store ();
  const RagifyLibraryOptions options = { .name = "store", .store = node, .chunk_size = 1000 };
  RagifyLibrary *library = ragify_library_new (&runtime, &options, NULL);
  Sender sender = { .task = { .run = abort_upload } };
  pthread_t closer;
  set_must_wait (TRUE);
  sender.upload = ragify_upload_new (library, runtime.loops[0], RAGIFY_BODY_NDJSON, RAGIFY_CHUNKING_NONE, NULL);
  feed_lines (sender.upload, BATCH_LINES);
  wait_for_upserts (1);
  g_usleep (REVEALING_US);
  ragify_library_ref (library);
  assert_int_equal (pthread_create (&closer, NULL, free_library, library), 0);
  wait_for_closing (library);
  ragify_loop_post (runtime.loops[0], &sender.task);
  wait_for (&sender.replied);
  set_must_wait (FALSE);
  pthread_join (closer, NULL);
  ragify_library_unref (library);
  assert_int_equal (store.chunks->len, BATCH_LINES);
  free_store (node);
}

static void
finish_upload (RagifyTask *task)
{
  Sender *sender = (Sender *)task;
  ragify_upload_finish (sender->upload, on_replied, sender);
}

/* The last document of the second batch was in German, as what is deleted, and is in English now. */
static void
what_an_upload_has_changed_is_not_deleted_for_what_it_was (void **state)
{
  RagifyNode *node = make_store ();
  const RagifyLibraryOptions options = { .name = "store", .store = node, .chunk_size = 1000 };
  RagifyLibrary *library = ragify_library_new (&runtime, &options, NULL);
  Sender sender = { .task = { .run = finish_upload } }, deletion = { .to_send = 0 };
  RagifyProblem problem = { 0 };
  json_t *german = json_pack ("{s:s}", "lang", "de");
  RagifyHold *wanted = ragify_hold_new (german, &problem);
  g_autofree char *changed_id = g_strdup_printf ("%08u", 2 * BATCH_LINES - 1);
  Stored *former = g_new0 (Stored, 1);
  former->metadata = g_strdup ("{\"lang\":\"de\"}");
  g_hash_table_insert (store.documents, g_strdup (changed_id), former);
  set_must_wait (TRUE);
  sender.upload = ragify_upload_new (library, runtime.loops[0], RAGIFY_BODY_NDJSON, RAGIFY_CHUNKING_NONE, NULL);
  feed_lines (sender.upload, 2 * BATCH_LINES);
  wait_for_upserts (1);
  g_usleep (REVEALING_US);
  ragify_library_delete_matching (library, runtime.loops[0], wanted, NULL, on_replied, &deletion);
  let_pass (1);
  wait_for_upserts (2);
  g_usleep (REVEALING_US);
  set_must_wait (FALSE);
  wait_for (&deletion.replied);
  ragify_loop_post (runtime.loops[0], &sender.task);
  wait_for (&sender.replied);
  assert_non_null (strstr (sender.body, "{\"documents\":2000,"));
  ragify_library_free (library);
  assert_non_null (g_hash_table_lookup (store.documents, changed_id));
  g_free (sender.body);
  g_free (deletion.body);
  ragify_hold_unref (wanted);
  json_decref (german);
  free_store (node);
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
  assert_int_equal (ragify_workers_free (runtime.workers, 60 * (guint64)G_USEC_PER_SEC), 0);
  ragify_loop_free (runtime.loops[0]);
  ragify_metrics_free (runtime.metrics);
  g_free (runtime.loops);
  return 0;
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (a_commit_whose_answer_was_lost_reaches_index_and_caches),
    cmocka_unit_test (an_index_that_is_behind_is_told_of_until_it_has_caught_up),
    cmocka_unit_test (what_waits_for_the_store_is_bounded),
    cmocka_unit_test (an_upload_may_outlive_its_library),
    cmocka_unit_test (an_upload_may_end_while_its_library_finishes_its_writes),
    cmocka_unit_test (what_an_upload_has_changed_is_not_deleted_for_what_it_was),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, set_up, tear_down);
}
