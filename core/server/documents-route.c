/* /v1/documents and /v1/documents/{id}.
 *
 * SPDX-License-Identifier: MIT
 */
#include "library-exchange.h"
#include "upload-spool.h"

#include <jansson.h>
#include <string.h>
#include <xxhash.h>

#define PAGE 100

/* Between the exchange and the library; ends with the library's last word. */
typedef struct Work {
  RagifyExchange *exchange; /* NULL: gone */
  RagifyServing *serving;
  RagifyIdempotency *idempotency; /* the server's, which outlives it */
  RagifyUpload *upload;           /* until it was finished; NULL also where the answer is there already */
  char *key;                      /* under which the answer is kept; NULL: it is not */
  gboolean replay;                /* … and it is there */
  XXH3_state_t *hash;             /* of what was asked, with `key` */
  gboolean full;                  /* the upload's resume is still to come */
  RagifySpool *spool;             /* in place of `upload` */
  RagifyPostedJob *job;           /* that the exchange has become; NULL: none */
} Work;

static Work *
work_new (RagifyExchange *exchange)
{
  Work *work = g_new0 (Work, 1);
  work->exchange = exchange;
  work->serving = ragify_serving_ref (exchange->listener->serving);
  work->idempotency = exchange->listener->shared->idempotency;
  exchange->work = work;
  return work;
}

static void
work_free (Work *work)
{
  if (work->key != NULL && !work->replay)
    ragify_idempotency_abandon (work->idempotency, work->key); /* no effect once it was answered */
  if (work->hash != NULL)
    XXH3_freeState (work->hash);
  g_free (work->key);
  ragify_serving_unref (work->serving);
  g_free (work);
}

static RagifyRequestDigest
digest_of (const Work *work)
{
  const XXH128_hash_t hash = XXH3_128bits_digest (work->hash);
  return (RagifyRequestDigest){ .high = hash.high64, .low = hash.low64 };
}

static void
keep_answer (const Work *work, const char *body, gsize size)
{
  const RagifyRequestDigest digest = digest_of (work);
  ragify_idempotency_finish (work->idempotency, work->key, &digest, body, size);
}

static void
take_problem (RagifyExchange *exchange, const RagifyProblem *problem)
{
  ragify_problem_set (&exchange->problem, problem->status, problem->title, problem->field, "%s",
                      problem->detail != NULL ? problem->detail : "");
  exchange->problem.retry_after = problem->retry_after;
}

static void
end_job (RagifyPostedJob *job, const char *body, gsize size, const RagifyProblem *problem)
{
  json_t *result = problem == NULL ? json_loadb (body, size, 0, NULL) : NULL;
  ragify_posted_job_end (job, result, problem);
}

void
ragify_library_exchange_replied (const char *body, gsize size, const RagifyProblem *problem, void *user)
{
  Work *work = user;
  RagifyExchange *exchange = work->exchange;
  if (work->key != NULL && problem == NULL)
    keep_answer (work, body, size);
  if (work->job != NULL)
    end_job (work->job, body, size, problem);
  work_free (work);
  if (exchange == NULL)
    return;
  if (problem == NULL) {
    ragify_exchange_reply (exchange, 200, "application/json", g_memdup2 (body, size), size);
    return;
  }
  take_problem (exchange, problem);
  ragify_exchange_reply_problem (exchange, &exchange->problem);
}

RagifyLibrary *
ragify_exchange_library (RagifyExchange *exchange)
{
  const RagifyServing *serving = exchange->listener->serving;
  const char *store = ragify_query_get (exchange->query, "store");
  if (store == NULL && serving->n_libraries == 1)
    return serving->libraries[0];
  g_autoptr (GString) names = g_string_new (NULL);
  for (guint i = 0; i < serving->n_libraries; i++) {
    const char *name = ragify_library_name (serving->libraries[i]);
    if (store != NULL && strcmp (name, store) == 0)
      return serving->libraries[i];
    g_string_append_printf (names, "%s%s", i > 0 ? ", " : "", name);
  }
  if (serving->n_libraries == 0)
    ragify_exchange_refuse (exchange, 404, "Not found", "store",
                            "no vector store is configured, so there is no place for documents");
  else if (store == NULL)
    ragify_exchange_refuse (exchange, 400, "Missing parameter", "store", "say which store is meant: ?store= one of %s",
                            names->str);
  else
    ragify_exchange_refuse (exchange, 404, "Not found", "store", "there is no store '%.100s'; there are: %s", store,
                            names->str);
  return NULL;
}

/* ---- uploads ---- */

static gboolean
find_body_type (RagifyExchange *exchange, RagifyBodyType *type)
{
  static const char *const lines[] = { "application/x-ndjson", "application/ndjson", "application/jsonl" };
  const RagifyStr given = exchange->facts.content_type;
  if (ragify_media_type_is (given, "application/json")) {
    *type = RAGIFY_BODY_JSON;
    return TRUE;
  }
  for (guint i = 0; i < G_N_ELEMENTS (lines); i++)
    if (ragify_media_type_is (given, lines[i])) {
      *type = RAGIFY_BODY_NDJSON;
      return TRUE;
    }
  if (ragify_media_type_is (given, "text/plain")) {
    *type = RAGIFY_BODY_TEXT;
    return TRUE;
  }
  return ragify_exchange_refuse (
      exchange, 415, "Unsupported media type", "Content-Type",
      "expected application/json or application/x-ndjson in UTF-8, or text/plain, found %.*s",
      given.size > 0 ? (int)MIN (given.size, 100) : 7, given.size > 0 ? given.data : "nothing");
}

static gboolean
find_chunking (RagifyExchange *exchange, RagifyChunking *chunking)
{
  const char *text = ragify_query_get (exchange->query, "chunking");
  *chunking = text != NULL && strcmp (text, "none") == 0 ? RAGIFY_CHUNKING_NONE : RAGIFY_CHUNKING_DEFAULT;
  if (text == NULL || *chunking == RAGIFY_CHUNKING_NONE || strcmp (text, "default") == 0)
    return TRUE;
  return ragify_exchange_refuse (exchange, 400, "Invalid value", "chunking", "expected none or default, found '%.100s'",
                                 text);
}

/* What the address says of a document that comes as text; its members as JSON, too, unless `members` is NULL. NULL:
 * refused. */
static RagifyIncoming *
describe_text (RagifyExchange *exchange, RagifyHold *hold, json_t **members)
{
  static const char *const texts[] = { "id", "title", "uri", "created_at", "updated_at" };
  const char *metadata = ragify_query_get (exchange->query, "metadata");
  json_t *described = json_pack ("{s:s}", "content", "?"), *object = NULL;
  g_autofree char *field = NULL;
  g_autofree char *reason = NULL;
  json_error_t error;
  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    if (ragify_query_get (exchange->query, texts[i]) != NULL)
      json_object_set_new (described, texts[i], json_string (ragify_query_get (exchange->query, texts[i])));
  if (metadata != NULL && (object = json_loads (metadata, JSON_REJECT_DUPLICATES, &error)) != NULL)
    json_object_set_new (described, "metadata", object);
  g_autoptr (RagifyIncoming) document = NULL;
  if (metadata != NULL && object == NULL)
    reason = g_strdup_printf ("is not JSON: %s (column %d)", error.text, error.column);
  else
    document = ragify_incoming_parse (described, &field, &reason);
  const gboolean well = document != NULL && (hold == NULL || ragify_hold_mark (hold, document, &field, &reason));
  if (well && members != NULL)
    *members = json_incref (described);
  json_decref (described);
  if (well)
    return g_steal_pointer (&document);
  const char *name = field != NULL ? field : "metadata";
  ragify_exchange_refuse (exchange, 400, "Invalid value", name, "%s: %s", name, reason);
  return NULL;
}

/* What takes the body of the given type. NULL: refused. */
static RagifyUpload *
new_upload (RagifyExchange *exchange, RagifyLibrary *library, RagifyBodyType type, RagifyChunking chunking)
{
  RagifyLoop *loop = exchange->listener->loop;
  RagifyHold *hold = ragify_exchange_hold (exchange);
  if (type != RAGIFY_BODY_TEXT)
    return ragify_upload_new (library, loop, type, chunking, hold);
  RagifyIncoming *document = describe_text (exchange, hold, NULL);
  return document != NULL ? ragify_upload_new_text (library, loop, document, chunking, hold) : NULL;
}

/* FALSE: refused. */
static gboolean
check_parameters (RagifyExchange *exchange, RagifyBodyType type)
{
  static const char *const known[] = { "store", "chunking", NULL };
  static const char *const of_text[] = { "store",    "chunking",   "id",         "title", "uri",
                                         "metadata", "created_at", "updated_at", NULL };
  if (!ragify_query_allow (exchange->query, type == RAGIFY_BODY_TEXT ? of_text : known, &exchange->problem))
    return FALSE;
  if (type != RAGIFY_BODY_TEXT || ragify_query_get (exchange->query, "id") != NULL ||
      ragify_query_get (exchange->query, "uri") != NULL)
    return TRUE;
  return ragify_exchange_refuse (exchange, 400, "Missing parameter", "id",
                                 "a document that comes as text needs a name: ?id=guides/logs.txt");
}

/* Where the request has an Idempotency-Key, looks whether it was there before. FALSE: refused. */
static gboolean
check_key (RagifyExchange *exchange, Work *work)
{
  const RagifyStr given = exchange->facts.idempotency_key;
  if (given.data == NULL)
    return TRUE;
  if (given.size == 0 || given.size > RAGIFY_IDEMPOTENCY_KEY_MAX)
    return ragify_exchange_refuse (exchange, 400, "Invalid value", "Idempotency-Key",
                                   "expected 1 to %d characters, found %" G_GSIZE_FORMAT, RAGIFY_IDEMPOTENCY_KEY_MAX,
                                   (gsize)given.size);
  g_autofree char *key =
      g_strdup_printf ("%s\n%.*s", exchange->key != NULL ? exchange->key->name : "", (int)given.size, given.data);
  const RagifyIdempotentState state = ragify_idempotency_begin (work->idempotency, key, ragify_now ());
  if (state == RAGIFY_IDEMPOTENT_RUNNING) {
    ragify_exchange_refuse (exchange, 409, "Conflict", "Idempotency-Key",
                            "the request that came first with this key is still under way");
    exchange->problem.retry_after = 1;
    return FALSE;
  }
  work->key = g_steal_pointer (&key);
  work->replay = state == RAGIFY_IDEMPOTENT_ANSWERED;
  work->hash = XXH3_createState ();
  XXH3_128bits_reset (work->hash);
  XXH3_128bits_update (work->hash, exchange->target->str, exchange->target->len + 1);
  XXH3_128bits_update (work->hash, exchange->facts.content_type.data, exchange->facts.content_type.size);
  return TRUE;
}

/* Answers what was answered before. */
static void
replay (RagifyExchange *exchange)
{
  Work *work = exchange->work;
  const RagifyRequestDigest digest = digest_of (work);
  gsize size = 0;
  gboolean gone = FALSE;
  char *body = ragify_idempotency_answer (work->idempotency, work->key, &digest, &size, &gone);
  work_free (work);
  if (body != NULL) {
    ragify_exchange_reply (exchange, 200, "application/json", body, size);
    MHD_add_response_header (exchange->response, "Idempotency-Replayed", "true");
    return;
  }
  ragify_exchange_refuse (exchange, gone ? 409 : 422, gone ? "Conflict" : "Invalid value", "Idempotency-Key",
                          gone ? "the answer to this key has just been given up; send the request again"
                               : "this key came with another request before");
  ragify_exchange_reply_problem (exchange, &exchange->problem);
}

/* Whether the upload is to be answered before its documents are in. A tenant could not ask what became of it, and what
 * came with a key of its own is answered once, with what came of it. */
static gboolean
is_deferred (const RagifyExchange *exchange)
{
  const RagifyAdmin *admin = exchange->listener->shared->options.admin;
  return admin != NULL && admin->uploads != NULL && ragify_prefers_async (exchange->facts.prefer) &&
         ragify_exchange_hold (exchange) == NULL && exchange->facts.idempotency_key.data == NULL;
}

/* Where such an upload goes. NULL: refused. */
static RagifySpool *
new_spool (RagifyExchange *exchange, RagifyLibrary *library, RagifyBodyType type, RagifyChunking chunking)
{
  json_t *members = NULL;
  g_autoptr (RagifyIncoming) document = type == RAGIFY_BODY_TEXT ? describe_text (exchange, NULL, &members) : NULL;
  if (type == RAGIFY_BODY_TEXT && document == NULL)
    return NULL;
  const RagifyUploadTicket ticket = {
    .store = g_strdup (ragify_library_name (library)), .type = type, .chunking = chunking, .document = members
  };
  return ragify_spool_new (exchange->listener->shared->options.admin->uploads, exchange->listener->loop, &ticket);
}

static gboolean
upload_begin (RagifyExchange *exchange)
{
  RagifyBodyType type = RAGIFY_BODY_JSON;
  RagifyChunking chunking = RAGIFY_CHUNKING_DEFAULT;
  if (!find_body_type (exchange, &type) || !check_parameters (exchange, type) || !find_chunking (exchange, &chunking))
    return FALSE;
  RagifyLibrary *library = ragify_exchange_library (exchange);
  if (library == NULL)
    return FALSE;
  Work *work = work_new (exchange);
  gboolean well = check_key (exchange, work);
  if (well && !work->replay && is_deferred (exchange)) {
    work->spool = new_spool (exchange, library, type, chunking);
    well = work->spool != NULL;
  } else if (well && !work->replay) {
    work->upload = new_upload (exchange, library, type, chunking);
    well = work->upload != NULL;
  }
  if (!well) {
    exchange->work = NULL;
    work_free (work);
    return FALSE;
  }
  ragify_exchange_count (exchange);
  return TRUE;
}

static void
give_up (Work *work)
{
  if (work->spool != NULL)
    ragify_spool_abort (work->spool);
  else
    ragify_upload_abort (work->upload);
  work_free (work);
}

/* Where the client has left in the meantime, the upload is given up here and not earlier, since this is called in any
 * case and must find `work`. */
static void
upload_resume (void *user)
{
  Work *work = user;
  work->full = FALSE;
  if (work->exchange != NULL) {
    ragify_exchange_resume (work->exchange);
    return;
  }
  give_up (work);
}

static void
upload_feed (RagifyExchange *exchange, const char *data, gsize size)
{
  Work *work = exchange->work;
  if (work->hash != NULL)
    XXH3_128bits_update (work->hash, data, size);
  if (work->replay)
    return;
  work->full = TRUE;
  if (work->spool != NULL ? ragify_spool_feed (work->spool, data, size, upload_resume, work)
                          : ragify_upload_feed (work->upload, data, size, upload_resume, work))
    work->full = FALSE;
  else if (work->full)
    ragify_exchange_pause (exchange);
}

static void
spooled (const char *id, const RagifyProblem *problem, void *user)
{
  Work *work = user;
  RagifyExchange *exchange = work->exchange;
  work_free (work);
  if (exchange == NULL)
    return;
  if (problem == NULL) {
    ragify_exchange_reply_job (exchange, id, TRUE);
    return;
  }
  take_problem (exchange, problem);
  ragify_exchange_reply_problem (exchange, &exchange->problem);
}

static void
upload_finish (RagifyExchange *exchange)
{
  Work *work = exchange->work;
  if (work->replay) {
    replay (exchange);
    return;
  }
  if (work->spool != NULL) {
    ragify_spool_finish (g_steal_pointer (&work->spool), spooled, work);
    return;
  }
  ragify_upload_finish (g_steal_pointer (&work->upload), ragify_library_exchange_replied, work);
}

static void
upload_detach (RagifyExchange *exchange)
{
  Work *work = exchange->work;
  work->exchange = NULL;
  if (work->replay) {
    work_free (work);
    return;
  }
  if ((work->upload == NULL && work->spool == NULL) || work->full)
    return;
  give_up (work);
}

const RagifyAction ragify_action_documents_post = {
  .body = RAGIFY_BODY_STREAMED,
  .access = RAGIFY_ACCESS_WRITE,
  .held = TRUE,
  .begin = upload_begin,
  .feed = upload_feed,
  .finish = upload_finish,
  .detach = upload_detach,
};

/* ---- the others ---- */

void *
ragify_library_exchange_new (RagifyExchange *exchange)
{
  return work_new (exchange);
}

void *
ragify_library_exchange_begin (RagifyExchange *exchange, const RagifyLibrary *library, const char *kind)
{
  RagifyJobBoard *board = ragify_exchange_board (exchange);
  if (board == NULL || !ragify_prefers_async (exchange->facts.prefer))
    return work_new (exchange);
  const RagifyJobOffer offer = { .kind = kind, .store = ragify_library_name (library), .scope = RAGIFY_SCOPE_ADMIN };
  RagifyPostedJob *job = ragify_job_board_post (board, &offer);
  if (job == NULL) {
    ragify_exchange_refuse (exchange, 503, "Shutting down", NULL, "the host is shutting down");
    return NULL;
  }
  Work *work = work_new (exchange);
  g_autofree char *id = ragify_posted_job_id (job);
  work->exchange = NULL;
  work->job = job;
  exchange->work = NULL;
  ragify_exchange_reply_job (exchange, id, TRUE);
  return work;
}

void
ragify_library_exchange_detach (RagifyExchange *exchange)
{
  Work *work = exchange->work;
  if (work != NULL)
    work->exchange = NULL;
}

static gboolean
find_limit (RagifyExchange *exchange, guint largest, guint usual, guint *limit)
{
  const char *text = ragify_query_get (exchange->query, "limit");
  guint64 value = usual;
  if (text != NULL && !g_ascii_string_to_unsigned (text, 10, 1, largest, &value, NULL))
    return ragify_exchange_refuse (exchange, 400, "Invalid value", "limit",
                                   "expected a number of 1 to %u, found '%.100s'", largest, text);
  *limit = (guint)value;
  return TRUE;
}

static const char *
find_cursor (const RagifyExchange *exchange)
{
  const char *text = ragify_query_get (exchange->query, "cursor");
  return text != NULL ? text : "";
}

/* What ?filter= says; NULL where it may be left out and is. */
static gboolean
find_filter (RagifyExchange *exchange, gboolean required, RagifyHold **wanted)
{
  const char *text = ragify_query_get (exchange->query, "filter");
  json_error_t error;
  if (text == NULL && !required)
    return TRUE;
  if (text == NULL)
    return ragify_exchange_refuse (exchange, 400, "Missing parameter", "filter",
                                   "say which documents: ?filter={\"lang\": \"en\"}, or /v1/documents/{id} for one");
  json_t *filter = json_loads (text, JSON_REJECT_DUPLICATES, &error);
  if (filter == NULL)
    return ragify_exchange_refuse (exchange, 400, "Malformed JSON", "filter", "%s (column %d)", error.text,
                                   error.column);
  *wanted = ragify_hold_new (filter, &exchange->problem);
  json_decref (filter);
  return *wanted != NULL;
}

static void
clear_finish (RagifyExchange *exchange)
{
  static const char *const known[] = { "store", "filter", NULL };
  g_autoptr (RagifyHold) wanted = NULL;
  RagifyLibrary *library = NULL;
  if (ragify_query_allow (exchange->query, known, &exchange->problem) && find_filter (exchange, TRUE, &wanted))
    library = ragify_exchange_library (exchange);
  if (library != NULL)
    ragify_library_delete_matching (library, exchange->listener->loop, wanted, ragify_exchange_hold (exchange),
                                    ragify_library_exchange_replied, work_new (exchange));
  else
    ragify_exchange_reply_problem (exchange, &exchange->problem);
}

static void
list_finish (RagifyExchange *exchange)
{
  static const char *const known[] = { "store", "cursor", "limit", "filter", NULL };
  guint limit = 0;
  RagifyLibrary *library = NULL;
  g_autoptr (RagifyHold) wanted = NULL;
  if (ragify_query_allow (exchange->query, known, &exchange->problem) &&
      find_limit (exchange, RAGIFY_LIBRARY_MOST_DOCUMENTS, PAGE, &limit) && find_filter (exchange, FALSE, &wanted))
    library = ragify_exchange_library (exchange);
  if (library == NULL) {
    ragify_exchange_reply_problem (exchange, &exchange->problem);
    return;
  }
  ragify_library_list (library, exchange->listener->loop, find_cursor (exchange), limit, wanted,
                       ragify_exchange_hold (exchange), ragify_library_exchange_replied, work_new (exchange));
}

/* The library and the id that a request for one document means; NULL: refused. */
static RagifyLibrary *
find_document (RagifyExchange *exchange, const char *const *known, char **id)
{
  if (!ragify_query_allow (exchange->query, known, &exchange->problem))
    return NULL;
  *id = ragify_target_decode (exchange->parameter, "id", &exchange->problem);
  return *id != NULL ? ragify_exchange_library (exchange) : NULL;
}

static void
get_finish (RagifyExchange *exchange)
{
  static const char *const known[] = { "store", "cursor", "limit", NULL };
  g_autofree char *id = NULL;
  guint limit = 0;
  RagifyLibrary *library = find_document (exchange, known, &id);
  if (library != NULL && find_limit (exchange, RAGIFY_LIBRARY_MOST_CHUNKS, RAGIFY_LIBRARY_MOST_CHUNKS, &limit))
    ragify_library_get (library, exchange->listener->loop, id, find_cursor (exchange), limit,
                        ragify_exchange_hold (exchange), ragify_library_exchange_replied, work_new (exchange));
  else
    ragify_exchange_reply_problem (exchange, &exchange->problem);
}

static void
delete_finish (RagifyExchange *exchange)
{
  static const char *const known[] = { "store", NULL };
  g_autofree char *id = NULL;
  RagifyLibrary *library = find_document (exchange, known, &id);
  if (library != NULL)
    ragify_library_delete (library, exchange->listener->loop, id, ragify_exchange_hold (exchange),
                           ragify_library_exchange_replied, work_new (exchange));
  else
    ragify_exchange_reply_problem (exchange, &exchange->problem);
}

const RagifyAction ragify_action_documents_list = { .held = TRUE,
                                                    .finish = list_finish,
                                                    .detach = ragify_library_exchange_detach };
const RagifyAction ragify_action_documents_delete = {
  .access = RAGIFY_ACCESS_WRITE, .held = TRUE, .finish = clear_finish, .detach = ragify_library_exchange_detach
};
const RagifyAction ragify_action_document_get = { .held = TRUE,
                                                  .finish = get_finish,
                                                  .detach = ragify_library_exchange_detach };
const RagifyAction ragify_action_document_delete = {
  .access = RAGIFY_ACCESS_WRITE, .held = TRUE, .finish = delete_finish, .detach = ragify_library_exchange_detach
};
