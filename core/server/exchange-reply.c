/* Replying: from what an action has to say to what libmicrohttpd sends.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "compress.h"
#include "connection.h"
#include "cors.h"
#include "exchange-log.h"
#include "exchange-private.h"
#include "reply.h"
#include "stream-reply.h"

/* Bodies and replies may take their time-out and a second more for each of so many bytes. */
#define SLOWEST_RATE 4096

void
ragify_exchange_release_response (RagifyExchange *exchange)
{
  if (exchange->response != NULL && !exchange->is_static)
    MHD_destroy_response (exchange->response);
  exchange->response = NULL;
}

static gboolean
must_close (const RagifyExchange *exchange)
{
  return exchange->listener->draining || exchange->connection->crowded != NULL;
}

guint64
ragify_exchange_patience (const RagifyExchange *exchange, guint64 bytes)
{
  return __atomic_load_n (&exchange->listener->shared->options.body_timeout_us, __ATOMIC_RELAXED) +
         bytes * G_USEC_PER_SEC / SLOWEST_RATE;
}

enum MHD_Result
ragify_exchange_queue_reply (RagifyExchange *exchange)
{
  const guint64 now = ragify_now ();
  if (!exchange->is_static)
    ragify_cors_mark (exchange, exchange->response);
  const enum MHD_Result result = MHD_queue_response (exchange->connection->mhd, exchange->status, exchange->response);
  ragify_exchange_note_answer (exchange, exchange->status, now);
  ragify_exchange_release_response (exchange);
  exchange->state = RAGIFY_EXCHANGE_REPLIED;
  ragify_connection_set_limit (exchange->connection, now + ragify_exchange_patience (exchange, exchange->reply_size));
  return result;
}

void
ragify_exchange_wake (RagifyExchange *exchange)
{
  MHD_resume_connection (exchange->connection->mhd);
  ragify_listener_wake (exchange->listener);
}

void
ragify_exchange_set_reply (RagifyExchange *exchange, guint status, struct MHD_Response *response, gsize size)
{
  exchange->begun = FALSE;
  exchange->work = NULL;
  exchange->status = status;
  exchange->reply_size = size;
  exchange->response = response;
  if (exchange->state == RAGIFY_EXCHANGE_WAITING && !exchange->running)
    ragify_exchange_wake (exchange);
}

static RagifyReplyWish
wish_of (const RagifyExchange *exchange)
{
  const RagifyStr codings = exchange->facts.accept_encoding;
  return (RagifyReplyWish){ .close = must_close (exchange),
                            .gzip = codings.size > 0 && ragify_accepts_gzip (codings),
                            .tag = exchange->method[0] == 'G' || exchange->method[0] == 'H' };
}

void
ragify_exchange_reply (RagifyExchange *exchange, guint status, const char *content_type, char *body, gsize size)
{
  const RagifyReplyWish wish = wish_of (exchange);
  ragify_exchange_set_reply (exchange, status, ragify_reply_new (content_type, exchange->id, body, size, &wish), size);
}

void
ragify_exchange_reply_page (RagifyExchange *exchange, const char *page, gsize size, const char *policy)
{
  const RagifyReplyWish wish = wish_of (exchange);
  struct MHD_Response *response =
      ragify_reply_new ("text/html; charset=utf-8", exchange->id, g_memdup2 (page, size), size, &wish);
  MHD_add_response_header (response, "Content-Security-Policy", policy);
  MHD_add_response_header (response, "X-Content-Type-Options", "nosniff");
  MHD_add_response_header (response, "Referrer-Policy", "no-referrer");
  ragify_exchange_set_reply (exchange, 200, response, size);
}

void
ragify_exchange_reply_problem (RagifyExchange *exchange, RagifyProblem *problem)
{
  const char *allow = problem->status == 405 && exchange->route != NULL ? exchange->route->allow : NULL;
  ragify_exchange_set_reply (exchange, problem->status,
                             ragify_reply_new_problem (problem, exchange->id, allow, must_close (exchange)), 0);
  ragify_problem_clear (problem);
}

void
ragify_exchange_reply_static (RagifyExchange *exchange, guint status, struct MHD_Response *response)
{
  exchange->is_static = TRUE;
  ragify_exchange_set_reply (exchange, status, response, 0);
}

void
ragify_exchange_reply_answer (RagifyExchange *exchange, RagifyRequest *request, const RagifyAnswer *answer)
{
  const gsize size = answer->head_size + (answer->body != NULL ? answer->body->size : 0);
  const RagifyReplyWish wish = wish_of (exchange);
  char tag[40];
  if (wish.tag && exchange->facts.if_none_match.size > 0 && ragify_reply_answer_tag (answer, tag) &&
      ragify_reply_tag_is_known (exchange->facts.if_none_match, tag))
    ragify_exchange_set_reply (exchange, 304, ragify_reply_new_unchanged (exchange->id, tag, wish.close), 0);
  else
    ragify_exchange_set_reply (exchange, answer->status, ragify_reply_new_answer (request, answer, &wish), size);
}

void
ragify_exchange_reply_stream (RagifyExchange *exchange, guint status, const char *content_type,
                              RagifyStreamReply *stream)
{
  void *work = exchange->work;
  struct MHD_Response *response = ragify_stream_reply_response (stream, exchange);
  ragify_reply_dress (response, content_type, exchange->id, must_close (exchange));
  exchange->stream = stream;
  ragify_exchange_set_reply (exchange, status, response, 0);
  exchange->begun = TRUE;
  exchange->work = work;
}

void
ragify_exchange_stream_waits (RagifyExchange *exchange)
{
  ragify_connection_set_limit (exchange->connection, 0);
  MHD_suspend_connection (exchange->connection->mhd);
}

void
ragify_exchange_stream_goes_on (RagifyExchange *exchange, gsize size)
{
  ragify_connection_set_limit (exchange->connection, ragify_now () + ragify_exchange_patience (exchange, size));
  ragify_exchange_wake (exchange);
}

RagifyJobBoard *
ragify_exchange_board (const RagifyExchange *exchange)
{
  const RagifyAdmin *admin = exchange->listener->shared->options.admin;
  return admin != NULL ? admin->jobs : NULL;
}

void
ragify_exchange_reply_job (RagifyExchange *exchange, const char *id, gboolean preferred)
{
  g_autofree char *place = g_strconcat ("/v1/jobs/", id, NULL);
  json_t *json = ragify_job_board_describe (ragify_exchange_board (exchange), id, FALSE);
  if (json == NULL) /* the host stops: it goes on after the next start */
    json = json_pack ("{s:s}", "id", id);
  char *text = json_dumps (json, JSON_COMPACT | JSON_REAL_PRECISION (6));
  json_decref (json);
  ragify_exchange_reply (exchange, 202, "application/json", g_strdup (text), strlen (text));
  free (text);
  MHD_add_response_header (exchange->response, "Location", place);
  if (preferred)
    MHD_add_response_header (exchange->response, "Preference-Applied", "respond-async");
}
