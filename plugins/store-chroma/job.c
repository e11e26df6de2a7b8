#include "job.h"

#include <string.h>

#define OWN_TIMEOUT_US (10 * (guint64)G_USEC_PER_SEC)
#define READ_ON_LOOP 16384u /* larger ones are read and written on a worker */
#define MOST_SAID 300

ChromaJob *
chroma_job_new (ChromaStore *store, RagifyCall *call, gpointer state, GDestroyNotify free_state)
{
  ChromaJob *job = g_new0 (ChromaJob, 1);
  job->store = store;
  job->call = call;
  job->state = state;
  job->free_state = free_state;
  return job;
}

static void
job_free (ChromaJob *job)
{
  if (job->free_state != NULL)
    job->free_state (job->state);
  chroma_pages_free (job->pages);
  json_decref (job->body);
  json_decref (job->answer);
  g_clear_pointer (&job->text, g_bytes_unref);
  g_free (job->url);
  g_free (job);
}

void
chroma_job_done (ChromaJob *job, const void *result)
{
  if (job->call != NULL)
    job->store->host->call_done (job->call, result);
  else
    job->ended (job, NULL);
  job_free (job);
}

void
chroma_job_fail (ChromaJob *job)
{
  const RagifyFault *fault = &job->fault;
  const gboolean passing = fault->code == RAGIFY_E_UNAVAILABLE || fault->code == RAGIFY_E_EXHAUSTED;
  /* What was there may be another server's now. */
  if (passing || fault->code == RAGIFY_E_NOT_FOUND)
    chroma_store_reopen (job->store);
  g_autofree char *text = g_utf8_make_valid (fault->message, -1);
  if (job->call != NULL)
    job->store->host->call_fail (job->call, fault->code, ragify_str_from (text), passing ? G_USEC_PER_SEC : 0);
  else
    job->ended (job, fault);
  job_free (job);
}

gboolean
chroma_job_unexpected (ChromaJob *job, const char *what)
{
  return ragify_fault_set (&job->fault, RAGIFY_E_INTERNAL, "%s: %s", job->store->settings->origin, what);
}

gpointer
chroma_job_alloc (ChromaJob *job, guint64 size)
{
  gpointer memory = job->store->host->call_alloc (job->call, MAX (size, 1));
  if (memory == NULL)
    (void)ragify_fault_set (&job->fault, RAGIFY_E_EXHAUSTED, "the call's memory limit is reached");
  return memory;
}

gboolean
chroma_job_copy (ChromaJob *job, const char *text, gsize size, RagifyStr *copy)
{
  *copy = ragify_str (NULL, 0);
  if (size == 0)
    return TRUE;
  char *memory = chroma_job_alloc (job, size);
  if (memory == NULL)
    return FALSE;
  memcpy (memory, text, size);
  *copy = ragify_str (memory, size);
  return TRUE;
}

/* ---- answers ---- */

/* On the loop: the answer is read. */
static void
go_on (void *user)
{
  ChromaJob *job = user;
  json_t *answer = g_steal_pointer (&job->answer);
  if (job->failed) {
    json_decref (answer);
    chroma_job_fail (job);
    return;
  }
  job->take (job, answer);
  json_decref (answer);
}

static void
read_text (ChromaJob *job)
{
  gsize size = 0;
  const char *text = g_bytes_get_data (job->text, &size);
  json_error_t error = { .line = 0 };
  job->answer = json_loadb (text, size, JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
  job->failed = job->answer == NULL;
  if (job->failed)
    (void)ragify_fault_set (&job->fault, RAGIFY_E_INTERNAL, "%s: the answer is no JSON: %s",
                            job->store->settings->origin, error.text);
  g_clear_pointer (&job->text, g_bytes_unref);
}

static void
invoke (ChromaJob *job, void (*function) (void *user))
{
  RagifyContext *context = job->store->context;
  const RagifyLoopExtension *loop = job->store->host->get_extension (context, RAGIFY_EXT_LOOP);
  loop->invoke (context, function, job);
}

static void
read_elsewhere (void *user)
{
  read_text (user);
  invoke (user, go_on);
}

/* What the server says of its refusal. */
static void
add_reason (ChromaJob *job, const RagifyHttpAnswer *answer)
{
  json_t *root = json_loadb ((const char *)answer->body.data, answer->body.size, 0, NULL);
  const char *message = json_string_value (json_object_get (root, "message"));
  if (message != NULL && job->fault.code != RAGIFY_E_UNAUTHORIZED) {
    g_autofree char *before = g_strdup (job->fault.message);
    (void)ragify_fault_set (&job->fault, job->fault.code, "%s: %.*s", before, MOST_SAID, message);
  }
  json_decref (root);
}

/* The thing asked about is not there, or is there already. Of a database that is not there the server says 400. */
static gboolean
is_missing (const RagifyHttpAnswer *answer)
{
  return answer->status == 404 || answer->status == 409 ||
         (answer->status == 400 && strstr ((const char *)answer->body.data, "does not exist") != NULL);
}

static void
answered (const RagifyHttpAnswer *answer, const RagifyFault *fault, void *user)
{
  ChromaJob *job = user;
  const gboolean missing_ok = job->missing_ok;
  gboolean (*smaller) (ChromaJob * job) = job->smaller;
  job->missing_ok = FALSE;
  job->smaller = NULL;
  if (fault != NULL && smaller != NULL && ragify_http_answer_is_too_large (fault) && smaller (job))
    return;
  if (fault != NULL) {
    job->fault = *fault;
    chroma_job_fail (job);
  } else if (missing_ok && is_missing (answer)) {
    job->take (job, NULL);
  } else if (!ragify_http_answer_check (answer, job->store->settings->origin, &job->fault)) {
    add_reason (job, answer);
    chroma_job_fail (job);
  } else {
    job->text = g_bytes_new (answer->body.data, answer->body.size);
    if (answer->body.size > READ_ON_LOOP &&
        job->store->host->submit (job->store->context, read_elsewhere, job) == RAGIFY_OK)
      return;
    read_text (job);
    go_on (job);
  }
}

/* ---- requests ---- */

static void
send_text (void *user)
{
  ChromaJob *job = user;
  const RagifyHost *host = job->store->host;
  g_autoptr (GBytes) text = g_steal_pointer (&job->text);
  gsize size = 0;
  const char *data = text != NULL ? g_bytes_get_data (text, &size) : NULL;
  const RagifyHttpRequest request = {
    .call = job->call,
    .deadline_us = job->call == NULL ? host->clock_us () + OWN_TIMEOUT_US : 0,
    .method = job->method,
    .url = job->url,
    .content_type = text != NULL ? "application/json" : NULL,
    .body = ragify_str (data, size),
    .idempotent = TRUE, /* all that is asked for is, done twice, as done once */
  };
  (void)ragify_http_client_send (job->store->client, &request, answered, job);
}

static void
write_body (ChromaJob *job)
{
  char *text = json_dumps (job->body, JSON_COMPACT); /* all digits: numbers in metadata are compared by the server */
  job->text = text != NULL ? g_bytes_new_with_free_func (text, strlen (text), free, text) : NULL;
  json_decref (job->body);
  job->body = NULL;
}

static void
write_elsewhere (void *user)
{
  write_body (user);
  invoke (user, send_text);
}

/* Whether its text is worth a worker. */
static gboolean
is_long (const json_t *body)
{
  const char *key;
  json_t *value;
  json_object_foreach ((json_t *)body, key, value) if (json_array_size (value) > 64) return TRUE;
  return FALSE;
}

void
chroma_job_send (ChromaJob *job, const char *method, const char *base, const char *path, json_t *body, ChromaTake take)
{
  g_free (job->url);
  job->url = g_strconcat (base != NULL ? base : job->store->root, path, NULL);
  job->method = method;
  job->take = take;
  job->body = body;
  if (body != NULL && is_long (body) &&
      job->store->host->submit (job->store->context, write_elsewhere, job) == RAGIFY_OK)
    return;
  if (body != NULL)
    write_body (job);
  send_text (job);
}
