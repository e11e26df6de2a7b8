/* SPDX-License-Identifier: MIT */
#include "http-service.h"

#include "settings.h"

#include <string.h>

/* Larger answers are read on a worker: Jansson takes about 20 µs for a KiB, and a loop has better to do for longer than
 * a third of a millisecond. */
#define READ_ON_LOOP 16384u
/* Of what a service says about its refusal. */
#define MOST_SAID 300

typedef struct Posting Posting;

typedef struct Part {
  Posting *posting;
  guint index;
  RagifyHttpExchange *exchange; /* NULL: not under way */
  GBytes *body;                 /* of the answer, while it is read */
  gboolean failed;
  RagifyFault fault;
} Part;

struct Posting {
  RagifyHttpService *service;
  RagifyHttpPosting as;
  gpointer user;
  guint64 deadline_us;
  char **trace; /* headers of each part; NULL: none */
  guint begun, under_way;
  gboolean failed;
  RagifyFault fault;
  guint64 retry_after_us;
  Part parts[];
};

/* ---- the service ---- */

static void
warn_of_risks (const RagifyHttpService *service)
{
  const RagifyHttpSettings *settings = service->settings;
  const char *text = NULL;
  if (!settings->tls_verify)
    text = "tls-verify = false: whoever is on the way can read and change what is sent";
  else if (!g_str_has_prefix (settings->origin, "https:") &&
           (settings->query_credential != NULL || settings->headers[0] != NULL) &&
           !g_str_has_prefix (settings->origin, "http://127.") &&
           !g_str_has_prefix (settings->origin, "http://localhost:"))
    text = "credentials are sent over http, which whoever is on the way can read";
  if (text != NULL)
    service->host->log (service->context, RAGIFY_LOG_WARNING, ragify_str_from (text));
}

/* The path is the operator's: it must not lead to another origin than the credentials' own. */
static gboolean
make_url (RagifyHttpService *service, const char *usual_path, RagifyFault *fault)
{
  g_autofree char *path = ragify_setting_optional (service->host, service->context, "path");
  if (path != NULL && *path != '/')
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "path: expected one that begins with /, found %.200s", path);
  service->url = g_strconcat (service->settings->base_url, path != NULL ? path : usual_path, NULL);
  g_autofree char *origin = ragify_http_origin (service->url, "path", fault);
  if (origin == NULL)
    return FALSE;
  return strcmp (origin, service->settings->origin) == 0 ||
         ragify_fault_set (fault, RAGIFY_E_INVALID, "path: leads to %s, and base-url to %s", origin,
                           service->settings->origin);
}

gboolean
ragify_http_service_open (RagifyHttpService *service, const RagifyHost *host, RagifyContext *context,
                          const RagifyInstance *which, const char *usual_path, RagifyFault *fault)
{
  service->host = host;
  service->context = context;
  service->settings = ragify_http_settings_new (host, context, fault);
  if (service->settings == NULL || !make_url (service, usual_path, fault))
    return FALSE;
  service->client = ragify_http_client_new (host, context, service->settings, which->count, fault);
  if (service->client != NULL && which->index == 0)
    warn_of_risks (service);
  return service->client != NULL;
}

void
ragify_http_service_clear (RagifyHttpService *service)
{
  ragify_http_client_free (service->client);
  g_clear_pointer (&service->settings, ragify_http_settings_free);
  g_clear_pointer (&service->url, g_free);
}

typedef struct Stopping {
  const RagifyHost *host;
  RagifyCall *call;
} Stopping;

static void
closed (void *user)
{
  g_autofree Stopping *stopping = user;
  stopping->host->call_done (stopping->call, NULL);
}

void
ragify_http_service_stop (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  const RagifyHttpService *service = instance;
  Stopping *stopping = g_new (Stopping, 1);
  *stopping = (Stopping){ .host = service->host, .call = call };
  ragify_http_client_close (service->client, closed, stopping);
}

void
ragify_http_service_reconfigure (void *instance, RagifyCall *call, const RagifyReconfigure *args)
{
  RagifyHttpService *service = instance;
  RagifyFault fault;
  RagifyHttpSettings *settings = ragify_http_settings_new (service->host, service->context, &fault);
  if (settings == NULL) {
    service->host->call_fail (call, fault.code, ragify_str_from (fault.message), 0);
    return;
  }
  ragify_http_client_set_settings (service->client, settings);
  ragify_http_settings_free (service->settings);
  service->settings = settings;
  service->host->call_done (call, NULL);
}

void
ragify_http_service_stats (RagifyHttpService *service, RagifyCall *call, const RagifyHttpNumber *more, guint count)
{
  const RagifyHttpStats s = ragify_http_client_stats (service->client);
  const RagifyHttpNumber own[] = {
    { "requests", s.requests },     { "failures", s.failures }, { "connections_made", s.connections },
    { "connections_open", s.open }, { "bytes", s.bytes },       { "active", s.active },
    { "waiting", s.waiting },
  };
  const guint total = G_N_ELEMENTS (own) + count;
  RagifyPair *pairs = service->host->call_alloc (call, sizeof *pairs * total);
  RagifyStatsResult result = { .struct_size = sizeof result, .values.items = pairs };
  for (guint i = 0; pairs != NULL && i < total; i++) {
    const RagifyHttpNumber *number = i < G_N_ELEMENTS (own) ? &own[i] : &more[i - G_N_ELEMENTS (own)];
    pairs[result.values.count++] =
        (RagifyPair){ .name = ragify_str_from (number->name),
                      .value = { .type = RAGIFY_VALUE_INT, .integer = (int64_t)number->value } };
  }
  service->host->call_done (call, &result);
}

RagifyStr
ragify_http_cut_text (RagifyStr text, gsize most)
{
  if (most == 0 || text.size <= most)
    return text;
  gsize size = most;
  while (size > 0 && ((guchar)text.data[size] & 0xC0) == 0x80)
    size--;
  return ragify_str (text.data, size);
}

/* ---- refusals ---- */

/* What services put their reason in: OpenAI's, Cohere's, TEI's and FastAPI's way. */
static const char *
reason_in (const json_t *root)
{
  const json_t *error = json_object_get (root, "error");
  const json_t *places[] = { json_object_get (error, "message"), json_object_get (root, "message"), error,
                             json_object_get (root, "detail") };
  for (guint i = 0; i < G_N_ELEMENTS (places); i++)
    if (json_is_string (places[i]))
      return json_string_value (places[i]);
  return NULL;
}

/* Adds what the service says itself, as far as it is text; not where it may repeat the credentials. */
static void
add_reason (const RagifyHttpAnswer *answer, RagifyFault *fault)
{
  if (fault->code == RAGIFY_E_UNAUTHORIZED)
    return;
  json_t *root = json_loadb ((const char *)answer->body.data, answer->body.size, 0, NULL);
  const char *reason = reason_in (root);
  if (reason != NULL) {
    const RagifyStr cut = ragify_http_cut_text (ragify_str_from (reason), MOST_SAID);
    g_autofree char *line = g_strndup (cut.data, cut.size);
    g_strdelimit (line, "\n\r\t", ' ');
    g_autofree char *before = g_strdup (fault->message);
    ragify_fault_set (fault, fault->code, "%s: %s", before, line);
  }
  json_decref (root);
}

/* ---- posting ---- */

static void send_more (Posting *posting);

static void
end (Posting *posting)
{
  const RagifyHost *host = posting->service->host;
  host->call_on_cancel (posting->as.call, NULL, NULL);
  posting->as.done (posting->failed ? &posting->fault : NULL, posting->retry_after_us, posting->user);
  g_strfreev (posting->trace);
  g_free (posting);
}

static void
fail (Posting *posting, const RagifyFault *fault, guint64 retry_after_us)
{
  if (posting->failed)
    return;
  posting->failed = TRUE;
  posting->fault = *fault;
  posting->retry_after_us = retry_after_us;
  for (guint i = 0; i < posting->begun; i++)
    if (posting->parts[i].exchange != NULL)
      ragify_http_exchange_cancel (posting->parts[i].exchange);
}

static void
finish_part (Posting *posting)
{
  posting->under_way--;
  if (!posting->failed)
    send_more (posting);
  if (posting->under_way == 0)
    end (posting);
}

/* Back on the loop. */
static void
was_read (void *user)
{
  Part *part = user;
  Posting *posting = part->posting;
  g_clear_pointer (&part->body, g_bytes_unref);
  if (part->failed)
    fail (posting, &part->fault, 0);
  finish_part (posting);
}

static gboolean
read_body (Part *part)
{
  const RagifyHttpPosting *as = &part->posting->as;
  const char *what = part->posting->service->settings->origin;
  gsize size = 0;
  const char *text = g_bytes_get_data (part->body, &size);
  guint values = 1;
  for (gsize i = 0; i < size; i++)
    values += text[i] == ',' || text[i] == '[' || text[i] == '{';
  if (values > as->most_values)
    return ragify_fault_set (&part->fault, RAGIFY_E_INTERNAL,
                             "%s: the answer has more than the %u values that one can have", what, as->most_values);
  json_error_t error = { .line = 0 };
  json_t *root = json_loadb (text, size, JSON_ALLOW_NUL, &error);
  if (root == NULL)
    return ragify_fault_set (&part->fault, RAGIFY_E_INTERNAL, "%s: the answer is no JSON: %s", what, error.text);
  const gboolean taken = as->take (part->index, root, part->posting->user, &part->fault);
  json_decref (root);
  return taken;
}

static void
read_elsewhere (void *user)
{
  Part *part = user;
  const RagifyHttpService *service = part->posting->service;
  RagifyContext *context = service->context;
  const RagifyLoopExtension *loop = service->host->get_extension (context, RAGIFY_EXT_LOOP);
  part->failed = !read_body (part);
  loop->invoke (context, was_read, part);
}

static void
answered (const RagifyHttpAnswer *answer, const RagifyFault *fault, void *user)
{
  Part *part = user;
  Posting *posting = part->posting;
  const RagifyHttpService *service = posting->service;
  RagifyFault refused;
  part->exchange = NULL;
  if (fault != NULL || posting->failed) {
    if (fault != NULL)
      fail (posting, fault, 0);
    finish_part (posting);
    return;
  }
  if (!ragify_http_answer_check (answer, service->settings->origin, &refused)) {
    add_reason (answer, &refused);
    fail (posting, &refused, answer->retry_after_us);
    finish_part (posting);
    return;
  }
  part->body = g_bytes_new (answer->body.data, answer->body.size);
  if (answer->body.size > READ_ON_LOOP && service->host->submit (service->context, read_elsewhere, part) == RAGIFY_OK)
    return;
  part->failed = !read_body (part);
  was_read (part);
}

static void
send_part (Posting *posting, Part *part)
{
  RagifyHttpService *service = posting->service;
  json_t *body = posting->as.ask (part->index, posting->user);
  char *text = json_dumps (body, JSON_COMPACT | JSON_REAL_PRECISION (9));
  json_decref (body);
  const RagifyHttpRequest request = {
    .deadline_us = posting->deadline_us,
    .method = "POST",
    .url = service->url,
    .content_type = "application/json",
    .body = ragify_str_from (text),
    .headers = (const char *const *)posting->trace,
    .idempotent = TRUE, /* the same texts are answered with the same numbers */
  };
  posting->under_way++;
  part->exchange = ragify_http_client_send (service->client, &request, answered, part);
  free (text);
}

static void
send_more (Posting *posting)
{
  while (!posting->failed && posting->begun < posting->as.count && posting->under_way < posting->as.parallel) {
    Part *part = &posting->parts[posting->begun];
    *part = (Part){ .posting = posting, .index = posting->begun };
    posting->begun++;
    send_part (posting, part);
  }
}

static void
cancelled (RagifyCall *call, void *user)
{
  Posting *posting = user;
  RagifyFault fault;
  ragify_fault_set (&fault, RAGIFY_E_CANCELLED, "%s: no longer wanted", posting->service->settings->origin);
  fail (posting, &fault, 0);
}

void
ragify_http_service_post (RagifyHttpService *service, const RagifyHttpPosting *as, gpointer user)
{
  Posting *posting = g_malloc0 (sizeof *posting + as->count * sizeof (Part));
  posting->service = service;
  posting->as = *as;
  posting->user = user;
  posting->deadline_us = service->host->call_deadline_us (as->call);
  posting->trace = ragify_http_client_trace (service->client, as->call);
  send_more (posting);
  /* At least one is under way, so being cancelled already does not end it here. */
  service->host->call_on_cancel (as->call, cancelled, posting);
}

gboolean
ragify_http_service_blame (const RagifyHttpService *service, RagifyFault *fault, const char *format, ...)
{
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *text = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  return ragify_fault_set (fault, RAGIFY_E_INTERNAL, "%s: %s", service->settings->origin, text);
}

void
ragify_http_service_fail_memory (const RagifyHttpService *service, RagifyCall *call)
{
  service->host->call_fail (call, RAGIFY_E_EXHAUSTED, ragify_str_from ("the call's memory limit is reached"), 0);
}
