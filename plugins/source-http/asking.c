/* SPDX-License-Identifier: MIT */
#include "asking.h"

#include <string.h>

/* Larger answers are read on a worker: Jansson takes about 20 µs for a KiB, and a loop has better to do for longer than
 * a third of a millisecond. */
#define READ_ON_LOOP 16384u

typedef struct Asking {
  HttpSource *source;
  RagifyCall *call;
  guint limit;
  gboolean probe;
  guint64 begun;
  char *request; /* what the answer is remembered for */
  char *conditions[3];
  GBytes *known; /* what they are about; NULL: there are none */
  guint status;
  GBytes *body;
  guint unusable;
} Asking;

static void
asking_free (Asking *asking)
{
  g_clear_pointer (&asking->body, g_bytes_unref);
  g_clear_pointer (&asking->known, g_bytes_unref);
  g_free (asking->request);
  g_free (asking->conditions[0]);
  g_free (asking->conditions[1]);
  g_free (asking);
}

static void
say (const HttpSource *source, guint32 level, const char *text)
{
  source->host->log (source->context, level, ragify_str_from (text));
}

static void
fail (Asking *asking, const RagifyFault *fault, guint64 retry_after_us)
{
  const HttpSource *source = asking->source;
  source->host->call_fail (asking->call, fault->code, ragify_str_from (fault->message), retry_after_us);
  asking_free (asking);
}

static void
answer_probe (Asking *asking, guint64 passages)
{
  const HttpSource *source = asking->source;
  char *text = source->host->call_alloc (asking->call, 128);
  if (text != NULL)
    g_snprintf (text, 128, "HTTP %u in %.1f ms, %" G_GUINT64_FORMAT " passages", asking->status,
                (double)(source->host->clock_us () - asking->begun) / 1000, passages);
  const RagifyProbeResult result = { .struct_size = sizeof result, .detail = ragify_str_from (text) };
  source->host->call_done (asking->call, &result);
  asking_free (asking);
}

/* Counted on the loop, after the reading that a worker may have done. */
static void
count_unusable (void *user)
{
  Asking *asking = user;
  HttpSource *source = asking->source;
  source->unusable += asking->unusable;
  if (!source->complained) {
    source->complained = TRUE;
    g_autofree char *text = g_strdup_printf (
        "%u results of an answer have no text at `content-pointer` and are left out", asking->unusable);
    say (source, RAGIFY_LOG_WARNING, text);
  }
  asking_free (asking);
}

static void
read_answer (void *user)
{
  Asking *asking = user;
  const HttpSource *source = asking->source;
  RagifyFault fault;
  RagifySourceResult result = { .struct_size = sizeof result };
  gsize size = 0;
  const guint8 *data = g_bytes_get_data (asking->body, &size);
  if (!http_mapping_read (source->mapping, source->host, asking->call, (RagifyBytes){ .data = data, .size = size },
                          asking->limit, &result.chunks, &asking->unusable, &fault)) {
    fail (asking, &fault, 0);
    return;
  }
  if (asking->probe) {
    answer_probe (asking, result.chunks.count);
    return;
  }
  const RagifyLoopExtension *loop =
      asking->unusable > 0 ? source->host->get_extension (source->context, RAGIFY_EXT_LOOP) : NULL;
  RagifyContext *context = source->context;
  if (loop != NULL)
    loop->invoke (context, count_unusable, asking);
  source->host->call_done (asking->call, &result);
  if (loop == NULL)
    asking_free (asking);
}

static gboolean
may_be_kept (const RagifyHttpAnswer *answer)
{
  const char *control = answer->cache_control;
  return answer->status == 200 && (answer->etag != NULL || answer->last_modified != NULL) &&
         (control == NULL || strstr (control, "no-store") == NULL);
}

static void
take_body (Asking *asking, const RagifyHttpAnswer *answer)
{
  HttpSource *source = asking->source;
  if (answer->status == 304) {
    source->not_modified++;
    asking->body = g_steal_pointer (&asking->known);
    return;
  }
  asking->body = g_bytes_new (answer->body.data, answer->body.size);
  if (may_be_kept (answer))
    http_remembered_put (source->remembered, asking->request, answer->etag, answer->last_modified, asking->body);
}

static void
answered (const RagifyHttpAnswer *answer, const RagifyFault *fault, void *user)
{
  Asking *asking = user;
  HttpSource *source = asking->source;
  RagifyFault refused;
  if (fault != NULL) {
    fail (asking, fault, 0);
    return;
  }
  const gboolean unchanged = answer->status == 304 && asking->known != NULL;
  if (!unchanged && !ragify_http_answer_check (answer, source->settings->origin, &refused)) {
    fail (asking, &refused, answer->retry_after_us);
    return;
  }
  asking->status = answer->status;
  take_body (asking, answer);
  if (g_bytes_get_size (asking->body) > READ_ON_LOOP &&
      source->host->submit (source->context, read_answer, asking) == RAGIFY_OK)
    return;
  read_answer (asking);
}

static void
add_conditions (Asking *asking)
{
  const HttpMemory *known = http_remembered_get (asking->source->remembered, asking->request);
  guint count = 0;
  if (known == NULL)
    return;
  asking->known = g_bytes_ref (known->body); /* it may be forgotten before the service has answered */
  if (known->etag != NULL)
    asking->conditions[count++] = g_strconcat ("If-None-Match:", known->etag, NULL);
  if (known->last_modified != NULL)
    asking->conditions[count] = g_strconcat ("If-Modified-Since:", known->last_modified, NULL);
}

void
http_source_ask (HttpSource *source, RagifyCall *call, RagifyStr text, guint limit, gboolean probe)
{
  Asking *asking = g_new0 (Asking, 1);
  asking->source = source;
  asking->call = call;
  asking->limit = limit;
  asking->probe = probe;
  asking->begun = source->host->clock_us ();
  g_autofree char *url = http_template_fill (source->url, text, limit);
  g_autofree char *body = source->body != NULL ? http_template_fill (source->body, text, limit) : NULL;
  asking->request = g_strconcat (url, "\n", body, NULL);
  add_conditions (asking);
  const RagifyHttpRequest request = {
    .call = call,
    .method = source->method,
    .url = url,
    .accept = http_mapping_accept (source->mapping),
    .content_type = source->content_type,
    .body = ragify_str_from (body),
    .headers = (const char *const *)asking->conditions,
    .idempotent = TRUE, /* a search */
  };
  ragify_http_client_send (source->client, &request, answered, asking);
}
