/* What becomes of documents when something other than their file is at fault: nothing.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <glib/gstdio.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "core/ingest/job.h"
#include "core/module/context.h"
#include "core/pipeline/filter.h"

#define PATIENCE_US (300 * (guint64)G_USEC_PER_SEC)
#define PIECE_SIZE (900u * 1024)
#define MANY_PIECES 6 /* that are too much to be kept */

static RagifyRuntime runtime;

/* ---- a store in memory ---- */

typedef struct Kept {
  char *metadata, *content;
  gint64 updated_at;
  RagifyUuid hash;
} Kept;

static struct {
  pthread_mutex_t lock;
  GHashTable *documents; /* id → Kept */
  guint64 counter;
} store = { .lock = PTHREAD_MUTEX_INITIALIZER, .counter = 1 };

static void
kept_free (gpointer data)
{
  Kept *kept = data;
  g_free (kept->metadata);
  g_free (kept->content);
  g_free (kept);
}

static RagifyGeneration
generation_now (void)
{
  return (RagifyGeneration){ .store = { { 1, 2, 3 } }, .counter = store.counter };
}

static void
store_upsert (void *instance, RagifyCall *call, const RagifyStoreUpsert *args)
{
  pthread_mutex_lock (&store.lock);
  for (guint64 i = 0; i < args->documents.count; i++) {
    const RagifyDocument *document = &args->documents.items[i];
    Kept *kept = g_new0 (Kept, 1);
    kept->metadata = g_strndup (document->metadata.data, document->metadata.size);
    kept->updated_at = document->updated_at;
    kept->hash = document->content_hash;
    g_hash_table_insert (store.documents, g_strndup (document->id.data, document->id.size), kept);
  }
  for (guint64 i = 0; i < args->chunks.count; i++) {
    const RagifyChunk *chunk = &args->chunks.items[i];
    g_autofree char *id = g_strndup (chunk->document_id.data, chunk->document_id.size);
    Kept *kept = g_hash_table_lookup (store.documents, id);
    if (kept != NULL && kept->content == NULL)
      kept->content = g_strndup (chunk->content.data, chunk->content.size);
  }
  store.counter++;
  const RagifyStoreUpsertResult result = { .struct_size = sizeof result,
                                           .generation = generation_now (),
                                           .inserted = args->chunks.count };
  pthread_mutex_unlock (&store.lock);
  ragify_host ()->call_done (call, &result);
}

static RagifyStr
copy_text (RagifyCall *call, const char *text)
{
  const gsize size = strlen (text);
  char *copy = ragify_host ()->call_alloc (call, size + 1);
  memcpy (copy, text, size);
  return ragify_str (copy, size);
}

static gboolean
is_asked_for (const RagifyStoreList *args, const char *id, const Kept *kept)
{
  if (args->filter != NULL && !ragify_filter_matches (args->filter, ragify_str_from (kept->metadata)))
    return FALSE;
  gboolean named = args->documents.count == 0;
  for (guint64 i = 0; i < args->documents.count && !named; i++)
    named = args->documents.items[i].size == strlen (id) &&
            memcmp (args->documents.items[i].data, id, args->documents.items[i].size) == 0;
  return named;
}

static void
store_list (void *instance, RagifyCall *call, const RagifyStoreList *args)
{
  pthread_mutex_lock (&store.lock);
  RagifyDocument *documents =
      ragify_host ()->call_alloc (call, (g_hash_table_size (store.documents) + 1) * sizeof *documents);
  guint64 count = 0;
  GHashTableIter iter;
  gpointer id, value;
  g_hash_table_iter_init (&iter, store.documents);
  while (g_hash_table_iter_next (&iter, &id, &value)) {
    const Kept *kept = value;
    if (is_asked_for (args, id, kept))
      documents[count++] = (RagifyDocument){ .struct_size = sizeof *documents,
                                             .id = copy_text (call, id),
                                             .metadata = copy_text (call, kept->metadata),
                                             .content_hash = kept->hash,
                                             .updated_at = kept->updated_at,
                                             .chunks = 1 };
  }
  const RagifyStoreListResult result = { .struct_size = sizeof result,
                                         .documents = { documents, count, sizeof *documents, 0 },
                                         .generation = generation_now () };
  pthread_mutex_unlock (&store.lock);
  ragify_host ()->call_done (call, &result);
}

static void
store_remove (void *instance, RagifyCall *call, const RagifyStoreRemove *args)
{
  pthread_mutex_lock (&store.lock);
  for (guint64 i = 0; i < args->documents.count; i++) {
    g_autofree char *id = g_strndup (args->documents.items[i].data, args->documents.items[i].size);
    g_hash_table_remove (store.documents, id);
  }
  store.counter++;
  const RagifyStoreRemoveResult result = { .struct_size = sizeof result, .generation = generation_now () };
  pthread_mutex_unlock (&store.lock);
  ragify_host ()->call_done (call, &result);
}

static void
store_generation (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  pthread_mutex_lock (&store.lock);
  const RagifyStoreGeneration result = { .struct_size = sizeof result, .generation = generation_now () };
  pthread_mutex_unlock (&store.lock);
  ragify_host ()->call_done (call, &result);
}

/* ---- an extractor that does as it is told, for files that are called *.odd ---- */

static struct {
  atomic_int accepts_code, extract_code;
  atomic_int pieces, version;
  atomic_int completed; /* an extraction */
  atomic_int writes;    /* somebody writes to the file meanwhile */
  char *path;           /* of it */
} extractor;

static char piece_text[PIECE_SIZE + 1];

static void
extractor_accepts (void *instance, RagifyCall *call, const RagifyExtractorAccepts *args)
{
  const int code = atomic_load (&extractor.accepts_code);
  const gboolean odd = args->uri.size > 4 && memcmp (args->uri.data + args->uri.size - 4, ".odd", 4) == 0;
  const RagifyExtractorAcceptsResult result = { .struct_size = sizeof result, .confidence = odd ? 100 : 0 };
  if (code == RAGIFY_OK)
    ragify_host ()->call_done (call, &result);
  else
    ragify_host ()->call_fail (call, code, ragify_str_from ("as it was told"), 0);
}

static void
extractor_extract (void *instance, RagifyCall *call, const RagifyExtractorExtract *args)
{
  const int code = atomic_load (&extractor.extract_code), pieces = atomic_load (&extractor.pieces);
  g_autofree char *version = g_strdup_printf ("version %d", atomic_load (&extractor.version));
  const RagifyExtractorExtractResult result = { .struct_size = sizeof result };
  if (atomic_load (&extractor.writes) != 0)
    assert_int_equal (truncate (extractor.path, 1000 + atomic_fetch_add (&extractor.writes, 1)), 0);
  if (code != RAGIFY_OK) {
    ragify_host ()->call_fail (call, code, ragify_str_from ("as it was told"), 0);
    return;
  }
  for (int i = 0; i < pieces; i++) {
    const RagifyPiece piece = { .struct_size = sizeof piece,
                                .type = RAGIFY_PIECE_PARAGRAPH,
                                .text = i == 0 ? copy_text (call, version) : ragify_str (piece_text, PIECE_SIZE) };
    (void)ragify_host ()->call_emit (call, &piece);
  }
  ragify_host ()->call_done (call, &result);
  atomic_store (&extractor.completed, 1);
}

/* ---- the files' contents, which can be told to fail ---- */

static struct {
  atomic_int fails;   /* with this errno, where more is read than a file is known by; 0: does not */
  atomic_int cancels; /* the job, once the extractor has completed */
  RagifyIngestJob *job;
} reading;

ssize_t __real_pread64 (int fd, void *data, size_t size, off_t place);
ssize_t __wrap_pread64 (int fd, void *data, size_t size, off_t place);

ssize_t
__wrap_pread64 (int fd, void *data, size_t size, off_t place)
{
  const int fault = size > 4096 ? atomic_load (&reading.fails) : 0;
  if (fault != 0) {
    errno = fault;
    return -1;
  }
  if (size > 4096 && atomic_exchange (&reading.cancels, 0) != 0) {
    while (atomic_load (&extractor.completed) == 0)
      g_usleep (1000);
    ragify_ingest_job_control (reading.job, RAGIFY_JOB_CANCEL);
  }
  return __real_pread64 (fd, data, size, place);
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
static const RagifyExtractorOperations extractor_operations = { .struct_size = sizeof extractor_operations,
                                                                .accepts = extractor_accepts,
                                                                .extract = extractor_extract };

static RagifyNode *
make_node (const char *kind, const char *name, const void *operations)
{
  RagifyComponent *component = g_new0 (RagifyComponent, 1);
  *component = (RagifyComponent){ .struct_size = sizeof *component,
                                  .kind = kind,
                                  .name = name,
                                  .run_class = RAGIFY_RUN_WORKER,
                                  .operations = operations,
                                  .create = create,
                                  .start = start,
                                  .destroy = destroy };
  const RagifyNodeOptions options = { .name = name, .component = component };
  g_autoptr (GError) error = NULL;
  RagifyNode *node = ragify_node_new (&runtime, &options, &error);
  assert_non_null (node);
  const RagifyStart args = { .struct_size = sizeof args };
  assert_true (ragify_node_start (node, &args, ragify_now () + PATIENCE_US, &error));
  return node;
}

static void
free_node (RagifyNode *node)
{
  RagifyComponent *component = (RagifyComponent *)ragify_node_component (node);
  assert_true (ragify_node_free (node, ragify_now () + PATIENCE_US));
  g_free (component);
}

/* ---- a job, and its folder ---- */

typedef struct Rig {
  char *folder, *root, *state_file;
  RagifyNode *store, *extractor;
  RagifyLibrary *library;
  RagifyIngestJob *job;
} Rig;

static void
write_file (const Rig *rig, const char *name, const char *text, gsize size)
{
  g_autofree char *path = g_build_filename (rig->root, name, NULL);
  assert_true (g_file_set_contents (path, text, (gssize)size, NULL));
}

/* No text, and another size each time. */
static void
write_odd (const Rig *rig, gsize size)
{
  g_autofree char *path = g_build_filename (rig->root, "a.odd", NULL);
  static const char zeros[100];
  write_file (rig, "a.odd", zeros, sizeof zeros);
  assert_int_equal (truncate (path, (off_t)size), 0);
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
wait_for_passes (const Rig *rig, json_int_t passes)
{
  const guint64 until = ragify_now () + PATIENCE_US;
  while (number_of (rig, "passes") < passes || !is_in_state (rig, "waiting")) {
    assert_true (ragify_now () < until);
    g_usleep (1000);
  }
}

static void
run_pass (const Rig *rig)
{
  const json_int_t before = number_of (rig, "passes");
  ragify_ingest_job_control (rig->job, RAGIFY_JOB_RUN);
  wait_for_passes (rig, before + 1);
}

/* The file's reason; NULL: it is not set aside. */
static char *
reason_of (const Rig *rig, const char *name)
{
  json_t *facts = ragify_ingest_job_describe (rig->job, TRUE), *item = NULL;
  char *reason = NULL;
  size_t i;
  json_array_foreach (json_object_get (facts, "set_aside"), i,
                      item) if (strcmp (json_string_value (json_object_get (item, "document")), name) == 0 &&
                                reason == NULL) reason =
      g_strdup (json_string_value (json_object_get (item, "reason")));
  json_decref (facts);
  return reason;
}

/* What the store has of the document; NULL: nothing. */
static char *
content_of (const char *id)
{
  pthread_mutex_lock (&store.lock);
  const Kept *kept = g_hash_table_lookup (store.documents, id);
  char *content = kept != NULL ? g_strdup (kept->content) : NULL;
  pthread_mutex_unlock (&store.lock);
  return content;
}

static void
assert_holds (const char *id, const char *content)
{
  g_autofree char *found = content_of (id);
  if (content == NULL) {
    assert_null (found);
    return;
  }
  assert_non_null (found);
  assert_string_equal (found, content);
}

static void
start_job (Rig *rig, const char *missing)
{
  const RagifyExtractor extractors[] = { { .node = rig->extractor, .deadline_us = PATIENCE_US } };
  const RagifyIngestJobOptions options = { .name = "notes",
                                           .library = rig->library,
                                           .store = rig->store,
                                           .root = rig->root,
                                           .extractors = extractors,
                                           .n_extractors = missing == NULL ? 1 : 0,
                                           .missing = missing,
                                           .chunk_size = 1000,
                                           .cutting = "as ever",
                                           .state_file = rig->state_file };
  rig->job = ragify_ingest_job_new (&runtime, &options);
  ragify_ingest_job_start (rig->job);
  wait_for_passes (rig, 1);
}

static void
stop_job (Rig *rig)
{
  ragify_ingest_job_free (rig->job);
  rig->job = NULL;
}

static int
set_up_rig (void **state)
{
  Rig *rig = g_new0 (Rig, 1);
  atomic_store (&extractor.accepts_code, RAGIFY_OK);
  atomic_store (&extractor.extract_code, RAGIFY_OK);
  atomic_store (&extractor.pieces, 1);
  atomic_store (&extractor.version, 1);
  store.documents = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, kept_free);
  rig->folder = g_dir_make_tmp ("ragify-job-XXXXXX", NULL);
  rig->root = g_build_filename (rig->folder, "root", NULL);
  rig->state_file = g_build_filename (rig->folder, "notes.json", NULL);
  g_mkdir (rig->root, 0700);
  rig->store = make_node (RAGIFY_KIND_VECTOR_STORE, "store", &store_operations);
  rig->extractor = make_node (RAGIFY_KIND_EXTRACTOR, "odd", &extractor_operations);
  const RagifyLibraryOptions options = { .name = "store", .store = rig->store, .chunk_size = 1000 };
  rig->library = ragify_library_new (&runtime, &options, NULL);
  write_odd (rig, 100);
  start_job (rig, NULL);
  assert_holds ("notes/a.odd", "version 1");
  atomic_store (&extractor.version, 2);
  *state = rig;
  return 0;
}

static int
tear_down_rig (void **state)
{
  Rig *rig = *state;
  stop_job (rig);
  ragify_library_free (rig->library);
  free_node (rig->extractor);
  free_node (rig->store);
  g_hash_table_unref (store.documents);
  static const char *const names[] = { "root/a.odd", "root/b.txt", "root", "notes.json", "" };
  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *path = g_build_filename (rig->folder, names[i], NULL);
    (void)g_remove (path);
  }
  g_free (rig->folder);
  g_free (rig->root);
  g_free (rig->state_file);
  g_free (rig);
  return 0;
}

/* ---- the tests ---- */

static void
an_extractor_that_cannot_be_asked_costs_no_document (void **state)
{
  static const int codes[] = { RAGIFY_E_UNAVAILABLE, RAGIFY_E_TIMEOUT, RAGIFY_E_EXHAUSTED };
  const Rig *rig = *state;
  for (guint i = 0; i < G_N_ELEMENTS (codes); i++) {
    atomic_store (&extractor.accepts_code, codes[i]);
    write_odd (rig, 200 + i);
    run_pass (rig);
    assert_holds ("notes/a.odd", "version 1");
    g_autofree char *reason = reason_of (rig, "a.odd");
    assert_non_null (reason);
    assert_non_null (strstr (reason, "as it was told"));
    assert_int_equal (number_of (rig, "deleted"), 0);
  }
  run_pass (rig); /* nor does it once more, when the file is as it was */
  assert_holds ("notes/a.odd", "version 1");
  atomic_store (&extractor.accepts_code, RAGIFY_OK);
  run_pass (rig);
  assert_holds ("notes/a.odd", "version 2");
  assert_null (reason_of (rig, "a.odd"));
}

static void
an_extractor_that_fails_costs_no_document (void **state)
{
  static const int codes[] = { RAGIFY_E_UNAVAILABLE, RAGIFY_E_TIMEOUT, RAGIFY_E_CANCELLED, RAGIFY_E_EXHAUSTED,
                               RAGIFY_E_INTERNAL };
  const Rig *rig = *state;
  for (guint i = 0; i < G_N_ELEMENTS (codes); i++) {
    atomic_store (&extractor.extract_code, codes[i]);
    write_odd (rig, 200 + i);
    run_pass (rig);
    assert_holds ("notes/a.odd", "version 1");
    g_autofree char *reason = reason_of (rig, "a.odd");
    assert_non_null (reason);
  }
  atomic_store (&extractor.extract_code, RAGIFY_OK);
  run_pass (rig);
  assert_holds ("notes/a.odd", "version 2");
  atomic_store (&extractor.extract_code, RAGIFY_E_INVALID); /* this is about the file */
  write_odd (rig, 300);
  run_pass (rig);
  assert_holds ("notes/a.odd", NULL);
}

static void
a_pass_that_is_cancelled_while_a_file_is_hashed_is_given_up (void **state)
{
  const Rig *rig = *state;
  atomic_store (&extractor.pieces, MANY_PIECES);
  atomic_store (&extractor.completed, 0);
  reading.job = rig->job;
  atomic_store (&reading.cancels, 1);
  write_odd (rig, 64 * 1024 * 1024);
  ragify_ingest_job_control (rig->job, RAGIFY_JOB_RUN);
  const guint64 until = ragify_now () + PATIENCE_US;
  while (!is_in_state (rig, "cancelled")) {
    assert_true (ragify_now () < until);
    g_usleep (1000);
  }
  assert_holds ("notes/a.odd", "version 1");
  assert_int_equal (number_of (rig, "set_aside_total"), 0);
  atomic_store (&extractor.pieces, 1);
  run_pass (rig);
  assert_holds ("notes/a.odd", "version 2");
}

static void
a_file_that_cannot_be_hashed_keeps_its_document (void **state)
{
  const Rig *rig = *state;
  atomic_store (&extractor.pieces, MANY_PIECES);
  atomic_store (&reading.fails, EIO);
  write_odd (rig, 200);
  run_pass (rig);
  atomic_store (&reading.fails, 0);
  assert_holds ("notes/a.odd", "version 1");
  g_autofree char *reason = reason_of (rig, "a.odd");
  assert_non_null (reason);
  assert_non_null (strstr (reason, g_strerror (EIO)));
  atomic_store (&extractor.pieces, 1);
  run_pass (rig);
  assert_holds ("notes/a.odd", "version 2");
}

static void
an_extractor_that_does_not_run_costs_no_document (void **state)
{
  Rig *rig = *state;
  write_file (rig, "b.txt", "first", 5);
  run_pass (rig);
  assert_holds ("notes/b.txt", "first");
  stop_job (rig);
  start_job (rig, "odd"); /* without it */
  assert_int_equal (number_of (rig, "to_read"), 0);
  write_odd (rig, 200);
  write_file (rig, "b.txt", "second", 6);
  run_pass (rig);
  assert_holds ("notes/a.odd", "version 1");
  assert_holds ("notes/b.txt", "second");
  g_autofree char *reason = reason_of (rig, "a.odd");
  assert_non_null (reason);
  assert_non_null (strstr (reason, "do not run may be for it: odd"));
  run_pass (rig);
  assert_int_equal (number_of (rig, "to_read"), 1);
  stop_job (rig);
  start_job (rig, NULL); /* what was read without it is looked into, since it may be for it */
  assert_int_equal (number_of (rig, "to_read"), 2);
  assert_int_equal (number_of (rig, "documents"), 1);
  assert_holds ("notes/a.odd", "version 2");
  assert_null (reason_of (rig, "a.odd"));
  stop_job (rig);
  start_job (rig, NULL);
  assert_int_equal (number_of (rig, "to_read"), 0);
}

/* An extractor that finds half of a file has not found what is wrong with it. */
static void
a_file_that_is_being_written_keeps_its_document (void **state)
{
  const Rig *rig = *state;
  extractor.path = g_build_filename (rig->root, "a.odd", NULL);
  atomic_store (&extractor.writes, 1);
  atomic_store (&extractor.extract_code, RAGIFY_E_INVALID);
  write_odd (rig, 200);
  run_pass (rig);
  assert_holds ("notes/a.odd", "version 1");
  g_autofree char *reason = reason_of (rig, "a.odd");
  assert_non_null (reason);
  assert_non_null (strstr (reason, "changed while it was read"));
  atomic_store (&extractor.writes, 0);
  atomic_store (&extractor.extract_code, RAGIFY_OK);
  run_pass (rig);
  assert_holds ("notes/a.odd", "version 2");
  g_clear_pointer (&extractor.path, g_free);
}

static void
a_document_that_others_call_the_jobs_is_left_alone (void **state)
{
  static const char *const ids[] = { "x", "notes", "notes/", "notesandmore/of/them" };
  const Rig *rig = *state;
  for (guint i = 0; i < G_N_ELEMENTS (ids); i++) {
    Kept *kept = g_new0 (Kept, 1);
    kept->metadata = g_strdup ("{\"ingest\":\"notes\"}");
    kept->content = g_strdup ("an upload");
    pthread_mutex_lock (&store.lock);
    g_hash_table_insert (store.documents, g_strdup (ids[i]), kept);
    pthread_mutex_unlock (&store.lock);
  }
  run_pass (rig);
  for (guint i = 0; i < G_N_ELEMENTS (ids); i++)
    assert_holds (ids[i], "an upload");
  assert_int_equal (number_of (rig, "deleted"), 0);
}

static int
set_up (void **state)
{
  runtime.n_loops = 1;
  runtime.loops = g_new0 (RagifyLoop *, 1);
  runtime.loops[0] = ragify_loop_new (0);
  runtime.metrics = ragify_metrics_new ();
  runtime.workers = ragify_workers_new (2, 1000);
  for (guint i = 0; i < PIECE_SIZE; i++)
    piece_text[i] = "a word and another. "[i % 20];
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
    TEST (an_extractor_that_cannot_be_asked_costs_no_document),
    TEST (an_extractor_that_fails_costs_no_document),
    TEST (a_pass_that_is_cancelled_while_a_file_is_hashed_is_given_up),
    TEST (a_file_that_cannot_be_hashed_keeps_its_document),
    TEST (an_extractor_that_does_not_run_costs_no_document),
    TEST (a_file_that_is_being_written_keeps_its_document),
    TEST (a_document_that_others_call_the_jobs_is_left_alone),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, set_up, tear_down);
}
