/* GET /v1/jobs/{id} with Accept: text/event-stream: a job's progress as it goes on (server-sent events).
 *
 * SPDX-License-Identifier: MIT
 *
 * The job is looked at a few times a second, and told of where it has changed; so nothing in a job has to know who
 * watches it. The stream ends when the job is over or no longer configured, and when the host stops.
 */
#include "job-events.h"

#include <jansson.h>
#include <string.h>

#include "stream-reply.h"

#define LOOK_EVERY_US (300 * (guint64)1000)
#define MOST_UNREAD 65536u /* bytes: of who does not read, no more is kept */
#define KEEP_ALIVE_US (15 * (guint64)G_USEC_PER_SEC)

typedef struct Watching {
  RagifyDeadline next; /* first */
  RagifyExchange *exchange;
  RagifyStreamReply *stream;
  char *name;
  char *said; /* the last event's data */
  guint64 said_at;
} Watching;

static void
watching_free (Watching *watching)
{
  ragify_loop_disarm (watching->exchange->listener->loop, &watching->next);
  ragify_stream_reply_end (watching->stream);
  g_free (watching->said);
  g_free (watching->name);
  g_free (watching);
}

static void
say (Watching *watching, const char *text)
{
  ragify_stream_reply_write (watching->stream, text, strlen (text));
  watching->said_at = ragify_now ();
}

json_t *
ragify_job_describe (const RagifyExchange *exchange, const char *id, gboolean details)
{
  const RagifyServing *serving = exchange->listener->serving;
  RagifyJobBoard *board = ragify_exchange_board (exchange);
  for (guint i = 0; i < serving->n_jobs; i++)
    if (strcmp (ragify_ingest_job_name (serving->jobs[i]), id) == 0)
      return ragify_ingest_job_describe (serving->jobs[i], details);
  return board != NULL ? ragify_job_board_describe (board, id, details) : NULL;
}

/* Whether it is a job that ends, and has. */
static gboolean
is_over (const json_t *json)
{
  return json_object_get (json, "kind") != NULL && !json_is_null (json_object_get (json, "ended_at"));
}

/* FALSE: there is nothing more to tell. */
static gboolean
tell (Watching *watching)
{
  const RagifyExchange *exchange = watching->exchange;
  if (ragify_stream_reply_pending (watching->stream) > MOST_UNREAD && !exchange->listener->draining)
    return TRUE; /* what it is told later is newer than all that it has not read */
  json_t *json = exchange->listener->draining ? NULL : ragify_job_describe (exchange, watching->name, FALSE);
  if (json == NULL)
    return FALSE;
  const gboolean over = is_over (json);
  char *data = json_dumps (json, JSON_COMPACT | JSON_REAL_PRECISION (6));
  json_decref (json);
  if (g_strcmp0 (data, watching->said) != 0) {
    g_autofree char *event = g_strdup_printf ("event: progress\ndata: %s\n\n", data);
    say (watching, event);
    g_free (watching->said);
    watching->said = g_strdup (data);
  } else if (ragify_now () - watching->said_at > KEEP_ALIVE_US) {
    say (watching, ": still here\n\n");
  }
  free (data);
  return !over;
}

static void
look (RagifyDeadline *deadline)
{
  Watching *watching = (Watching *)deadline;
  if (tell (watching)) {
    ragify_loop_arm (watching->exchange->listener->loop, &watching->next, ragify_now () + LOOK_EVERY_US);
    return;
  }
  watching->exchange->work = NULL;
  watching_free (watching);
}

gboolean
ragify_job_events_wanted (const RagifyExchange *exchange)
{
  static const char type[] = "text/event-stream";
  const RagifyStr accept = exchange->facts.accept;
  return accept.size > 0 && memmem (accept.data, accept.size, type, strlen (type)) != NULL;
}

void
ragify_job_events_begin (RagifyExchange *exchange, const char *name)
{
  Watching *watching = g_new0 (Watching, 1);
  watching->next.expired = look;
  watching->exchange = exchange;
  watching->name = g_strdup (name);
  watching->stream = ragify_stream_reply_new ();
  exchange->work = watching;
  ragify_exchange_reply_stream (exchange, 200, "text/event-stream", watching->stream);
  look (&watching->next);
}

void
ragify_job_events_detach (RagifyExchange *exchange)
{
  if (exchange->work != NULL)
    watching_free (g_steal_pointer (&exchange->work));
}
