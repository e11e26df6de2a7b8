/* Opening the store: collections are looked for and made, and what they hold is checked against what this store is to
 * be. Until that has been done once, calls wait for it. */
#include <string.h>

#include "job.h"
#include "records.h"

typedef struct Waiting {
  RagifyCall *call;
  const void *args;
  void (*begin) (ChromaStore *store, RagifyCall *call, const void *args);
  void (*opened) (void *user, const RagifyFault *fault);
  void *user;
} Waiting;

typedef struct Opening {
  guint at; /* of the collections */
  gboolean made_place;
  json_t *facts; /* of the first collection */
} Opening;

static void look (ChromaJob *job);

static void
opening_free (gpointer data)
{
  Opening *opening = data;
  json_decref (opening->facts);
  g_free (opening);
}

/* ---- its end ---- */

static void
ended (ChromaJob *job, const RagifyFault *fault)
{
  ChromaStore *store = job->store;
  GQueue waiting = store->waiting;
  g_queue_init (&store->waiting);
  store->opening = FALSE;
  store->open = fault == NULL;
  for (Waiting *one; (one = g_queue_pop_head (&waiting)) != NULL; g_free (one)) {
    if (one->opened != NULL) {
      one->opened (one->user, fault);
    } else if (fault == NULL) {
      one->begin (store, one->call, one->args);
    } else {
      g_autofree char *text = g_utf8_make_valid (fault->message, -1);
      const gboolean passing = fault->code == RAGIFY_E_UNAVAILABLE || fault->code == RAGIFY_E_EXHAUSTED;
      store->host->call_fail (one->call, fault->code, ragify_str_from (text), passing ? G_USEC_PER_SEC : 0);
    }
  }
}

/* ---- checking ---- */

json_t *
chroma_store_facts (const ChromaStore *store, guint64 counter, gint64 documents, gboolean open)
{
  char id[37], secret[37];
  chroma_write_uuid (&store->id, id);
  chroma_write_uuid (&store->secret, secret);
  return json_pack ("{s:i, s:s, s:s, s:I, s:I, s:i, s:i, s:s}", CHROMA_OWN "format", CHROMA_FORMAT, CHROMA_OWN "store",
                    id, CHROMA_OWN "secret", secret, CHROMA_OWN "generation", (json_int_t)counter,
                    CHROMA_OWN "documents", (json_int_t)MAX (documents, 0), CHROMA_OWN "open", open ? 1 : 0,
                    CHROMA_OWN "dimension", (int)store->dimension, CHROMA_OWN "fingerprint", store->fingerprint);
}

json_t *
chroma_store_whole_documents (void)
{
  return json_pack ("{s:{s:i}, s:[]}", "where", CHROMA_OWN "live", 1, "include");
}

static void
adopted (ChromaJob *job, const json_t *answer)
{
  chroma_job_done (job, NULL);
}

/* It has no vectors: those of any embedder may come. */
static void
counted (ChromaJob *job, const json_t *answer)
{
  const Opening *opening = job->state;
  ChromaStore *store = job->store;
  const char *held = json_string_value (json_object_get (opening->facts, CHROMA_OWN "fingerprint"));
  if (json_integer_value (answer) > 0) {
    (void)ragify_fault_set (
        &job->fault, RAGIFY_E_INVALID,
        "the collection '%s' holds vectors of the embedder '%.150s' (dimension %d), and the store is"
        " given '%.150s' (dimension %u): name that embedder, or give the store another `collection` and ingest"
        " into it, since `ragify-ctl reindex` is not for Chroma",
        store->collection, held, (int)json_integer_value (json_object_get (opening->facts, CHROMA_OWN "dimension")),
        store->fingerprint, store->dimension);
    chroma_job_fail (job);
    return;
  }
  const json_t *counter = json_object_get (opening->facts, CHROMA_OWN "generation");
  chroma_job_send (
      job, "PUT", store->urls[CHROMA_CHUNKS], "",
      json_pack ("{s:o}", "new_metadata", chroma_store_facts (store, (guint64)json_integer_value (counter), 0, FALSE)),
      adopted);
}

/* One that an older host made has none yet: its id, which all hosts know, takes the place until somebody writes. */
static void
read_secret (ChromaStore *store, const json_t *facts)
{
  const char *secret = json_string_value (json_object_get (facts, CHROMA_OWN "secret"));
  if (secret == NULL || !chroma_read_uuid (secret, &store->secret))
    store->secret = store->id;
}

static void
check (ChromaJob *job)
{
  const Opening *opening = job->state;
  ChromaStore *store = job->store;
  const json_t *format = json_object_get (opening->facts, CHROMA_OWN "format");
  const char *id = json_string_value (json_object_get (opening->facts, CHROMA_OWN "store"));
  const char *held = json_string_value (json_object_get (opening->facts, CHROMA_OWN "fingerprint"));
  const gboolean ours = json_is_integer (format) && id != NULL && held != NULL && chroma_read_uuid (id, &store->id);
  if (ours)
    read_secret (store, opening->facts);
  if (!ours) {
    (void)ragify_fault_set (&job->fault, RAGIFY_E_INVALID,
                            "the collection '%s' is there and not Ragify's: give the store another `collection`",
                            store->collection);
    chroma_job_fail (job);
  } else if (json_integer_value (format) != CHROMA_FORMAT) {
    (void)ragify_fault_set (&job->fault, RAGIFY_E_INVALID,
                            "the collection '%s' has format %d, this plugin writes format %d", store->collection,
                            (int)json_integer_value (format), CHROMA_FORMAT);
    chroma_job_fail (job);
  } else if (strcmp (held, store->fingerprint) != 0) {
    chroma_job_send (job, "GET", store->urls[CHROMA_CHUNKS], "/count", NULL, counted);
  } else {
    chroma_job_done (job, NULL);
  }
}

/* ---- looking and making ---- */

static char *
place_of (const ChromaStore *store)
{
  g_autofree char *tenant = ragify_http_escape (store->tenant, strlen (store->tenant));
  g_autofree char *database = ragify_http_escape (store->database, strlen (store->database));
  return g_strdup_printf ("/tenants/%s/databases/%s/collections", tenant, database);
}

static char *
name_of (const ChromaStore *store, guint which)
{
  static const char *const behind[] = { "", "-documents", "-staged" };
  return g_strconcat (store->collection, behind[which], NULL);
}

static void
found (ChromaJob *job, const json_t *answer)
{
  Opening *opening = job->state;
  ChromaStore *store = job->store;
  const char *id = json_string_value (json_object_get (answer, "id"));
  g_autofree char *place = place_of (store);
  if (id == NULL) {
    (void)chroma_job_unexpected (job, "a collection has no id; is that a Chroma server with its API v2?");
    chroma_job_fail (job);
    return;
  }
  g_free (store->urls[opening->at]);
  store->urls[opening->at] = g_strdup_printf ("%s%s/%s", store->root, place, id);
  if (opening->at == CHROMA_CHUNKS) {
    g_free (store->facts_url);
    store->facts_url = g_strdup_printf ("%s%s/%s", store->root, place, store->collection);
    opening->facts = json_incref (json_object_get (answer, "metadata"));
  }
  if (++opening->at < CHROMA_N_COLLECTIONS)
    look (job);
  else
    check (job);
}

static void
made_database (ChromaJob *job, const json_t *answer)
{
  look (job);
}

static void
made_tenant (ChromaJob *job, const json_t *answer)
{
  g_autofree char *tenant = ragify_http_escape (job->store->tenant, strlen (job->store->tenant));
  g_autofree char *path = g_strdup_printf ("/tenants/%s/databases", tenant);
  job->missing_ok = TRUE; /* another host was first */
  chroma_job_send (job, "POST", NULL, path, json_pack ("{s:s}", "name", job->store->database), made_database);
}

static void
made (ChromaJob *job, const json_t *answer)
{
  Opening *opening = job->state;
  if (answer != NULL) {
    found (job, answer);
  } else if (opening->made_place) {
    look (job); /* another host made it meanwhile */
  } else {
    opening->made_place = TRUE;
    job->missing_ok = TRUE;
    chroma_job_send (job, "POST", NULL, "/tenants", json_pack ("{s:s}", "name", job->store->tenant), made_tenant);
  }
}

static void
make (ChromaJob *job)
{
  const Opening *opening = job->state;
  ChromaStore *store = job->store;
  g_autofree char *place = place_of (store);
  g_autofree char *name = name_of (store, opening->at);
  const gboolean chunks = opening->at == CHROMA_CHUNKS;
  if (chunks) {
    g_autofree char *id = g_uuid_string_random ();
    g_autofree char *secret = g_uuid_string_random ();
    chroma_read_uuid (id, &store->id);
    chroma_read_uuid (secret, &store->secret);
  }
  json_t *body = json_pack ("{s:s, s:b, s:{s:{s:s, s:I, s:I, s:I, s:I}}}", "name", name, "get_or_create", 0,
                            "configuration", "hnsw", "space", "cosine", "ef_search", (json_int_t)store->ef_search,
                            "ef_construction", (json_int_t)store->ef_construction, "max_neighbors",
                            (json_int_t)store->m, "sync_threshold", (json_int_t)store->optimize_threshold);
  if (chunks)
    json_object_set_new (body, "metadata", chroma_store_facts (store, 0, 0, FALSE));
  job->missing_ok = TRUE;
  chroma_job_send (job, "POST", NULL, place, body, made);
}

static void
looked (ChromaJob *job, const json_t *answer)
{
  if (answer != NULL)
    found (job, answer);
  else
    make (job);
}

static void
look (ChromaJob *job)
{
  const Opening *opening = job->state;
  g_autofree char *place = place_of (job->store);
  g_autofree char *name = name_of (job->store, opening->at);
  g_autofree char *escaped = ragify_http_escape (name, strlen (name));
  g_autofree char *path = g_strdup_printf ("%s/%s", place, escaped);
  job->missing_ok = TRUE;
  chroma_job_send (job, "GET", NULL, path, NULL, looked);
}

/* ---- waiting ---- */

static void
wait_for_it (ChromaStore *store, const Waiting *waiting)
{
  g_queue_push_tail (&store->waiting, g_memdup2 (waiting, sizeof *waiting));
  if (store->opening)
    return;
  store->opening = TRUE;
  ChromaJob *job = chroma_job_new (store, NULL, g_new0 (Opening, 1), opening_free);
  job->ended = ended;
  look (job);
}

void
chroma_store_open (ChromaStore *store, void (*opened) (void *user, const RagifyFault *fault), void *user)
{
  const Waiting waiting = { .opened = opened, .user = user };
  wait_for_it (store, &waiting);
}

void
chroma_store_when_open (ChromaStore *store, RagifyCall *call, const void *args,
                        void (*begin) (ChromaStore *store, RagifyCall *call, const void *args))
{
  const Waiting waiting = { .call = call, .args = args, .begin = begin };
  if (store->open)
    begin (store, call, args);
  else
    wait_for_it (store, &waiting);
}

void
chroma_store_reopen (ChromaStore *store)
{
  store->open = FALSE;
}
