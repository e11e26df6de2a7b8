/* An exchange: one request and its reply on a connection.
 *
 * SPDX-License-Identifier: MIT
 *
 *   idle ─► head ─► body ─► finishing ─► replied ─► idle
 *                    │ ▲        │
 *                 paused      waiting          (both: suspended)
 *
 * A refusal whose body is still to come, and large, is written past libmicrohttpd, which would close at once and so
 * lose it: `lingering` reads the body and drops it until the client has had time to read the refusal.
 *
 * A connection has one exchange, used again for each request. [loop]
 */
#pragma once

#include "api-key.h"
#include "head-check.h"
#include "listener.h"
#include "target.h"

typedef enum {
  RAGIFY_EXCHANGE_IDLE,
  RAGIFY_EXCHANGE_HEAD,      /* the request line is there */
  RAGIFY_EXCHANGE_BODY,      /* the head is checked */
  RAGIFY_EXCHANGE_PAUSED,    /* no more of the body is wanted now */
  RAGIFY_EXCHANGE_FINISHING, /* the body is whole and its action runs */
  RAGIFY_EXCHANGE_WAITING,   /* for the action's reply */
  RAGIFY_EXCHANGE_REPLIED,
  RAGIFY_EXCHANGE_LINGERING,
} RagifyExchangeState;

typedef struct RagifyStreamReply RagifyStreamReply;

struct RagifyExchange {
  RagifyConnection *connection;
  RagifyListener *listener;
  RagifyExchangeState state;
  guint64 began; /* when the request line was there, monotonic µs */
  char id[37];

  /* The request. */
  RagifyTraceSpot spot; /* in the trace that it is part of */

  GString *target; /* as it was sent */
  gsize head_size; /* bytes */
  RagifyHeadFacts facts;
  RagifyTarget parts;
  char method[12]; /* shortened, for logs */
  const RagifyRoute *route;
  const RagifyAction *action;
  RagifyStr parameter;
  RagifyQuery *query;      /* NULL: none */
  RagifyKeySet *key_set;   /* of `key`; NULL: the server asks for no keys, or not for this */
  const RagifyApiKey *key; /* who asks */
  gboolean entered;        /* counted among the key's requests */
  gboolean asked;          /* a pipeline, which tracks it itself */
  GString *body;
  guint64 received;    /* bytes of the body so far */
  guint64 paused_at;   /* since when it is paused */
  guint64 paused_time; /* for how long it was, in all */

  /* The reply. */
  gboolean refused; /* with `problem`; the body is read and dropped first */
  RagifyProblem problem;
  struct MHD_Response *response;
  guint status;
  gboolean is_static; /* the response is not the exchange's */
  gsize reply_size;   /* bytes of the body, about */

  gboolean begun;            /* the action knows of it */
  gboolean running;          /* inside a function of the action */
  gboolean counted;          /* among those that wait */
  gboolean left;             /* the client is gone */
  gboolean dead;             /* close the connection at the next occasion */
  void *work;                /* the action's own */
  RagifyStreamReply *stream; /* while such a reply is under way */
};

void ragify_exchange_init (RagifyExchange *exchange, RagifyConnection *connection, RagifyListener *listener);
void ragify_exchange_clear (RagifyExchange *exchange);

/* ---- for actions ---- */

/* Replies with `size` bytes that the exchange takes (g_malloc). `content_type` is constant; NULL: there are none. */
void ragify_exchange_reply (RagifyExchange *exchange, guint status, const char *content_type, char *body, gsize size);
/* Replies with an HTML page that is constant, and a Content-Security-Policy for it. */
void ragify_exchange_reply_page (RagifyExchange *exchange, const char *page, gsize size, const char *policy);
/* Replies with a problem and clears it. */
void ragify_exchange_reply_problem (RagifyExchange *exchange, RagifyProblem *problem);
/* Replies with a response that outlives the exchange. */
void ragify_exchange_reply_static (RagifyExchange *exchange, guint status, struct MHD_Response *response);
/* Replies with what a pipeline answered. */
void ragify_exchange_reply_answer (RagifyExchange *exchange, RagifyRequest *request, const RagifyAnswer *answer);

/* Replies with what will be written to the stream. The action stays told of the exchange: `detach` runs when it ends,
 * also when it ends well. */
void ragify_exchange_reply_stream (RagifyExchange *exchange, guint status, const char *content_type,
                                   RagifyStreamReply *stream);

/* Stops the body from coming in until ragify_exchange_resume; inside `feed`. */
void ragify_exchange_pause (RagifyExchange *exchange);
void ragify_exchange_resume (RagifyExchange *exchange);

/* Counts the exchange among those that wait, from here to its end. */
void ragify_exchange_count (RagifyExchange *exchange);

/* What the exchange is held to by its key, whatever it asks for; NULL: nothing. */
RagifyHold *ragify_exchange_hold (const RagifyExchange *exchange);

/* Where jobs go that a request begins; NULL: there are none. */
RagifyJobBoard *ragify_exchange_board (const RagifyExchange *exchange);
/* Replies with 202 and what the job says of itself; Location and Preference-Applied (unless it is always so) tell of
 * it. */
void ragify_exchange_reply_job (RagifyExchange *exchange, const char *id, gboolean preferred);

/* Refuses in `begin`: fills the exchange's problem and returns FALSE. */
gboolean ragify_exchange_refuse (RagifyExchange *exchange, guint status, const char *title, const char *field,
                                 const char *format, ...) G_GNUC_PRINTF (5, 6);

/* ---- tracing, in exchange-trace.c ---- */

/* The head is checked and its action known: which trace the exchange is part of. */
void ragify_exchange_trace_begin (RagifyExchange *exchange);
/* It was replied to at `now`. */
void ragify_exchange_trace_end (RagifyExchange *exchange, guint status, guint64 now);

/* ---- for the stream of a reply ---- */

/* There is nothing to send now; there is again, so many bytes. */
void ragify_exchange_stream_waits (RagifyExchange *exchange);
void ragify_exchange_stream_goes_on (RagifyExchange *exchange, gsize size);

/* ---- for the connection ---- */

/* The request line is there. */
void ragify_exchange_start (RagifyExchange *exchange, const char *target);
/* libmicrohttpd's access handler. */
enum MHD_Result ragify_exchange_access (RagifyExchange *exchange, const char *target, const char *method,
                                        const char *version, const char *data, size_t *size);
/* The client has closed its side. */
void ragify_exchange_client_left (RagifyExchange *exchange);
/* The request took too long to arrive. */
void ragify_exchange_timed_out (RagifyExchange *exchange);
/* libmicrohttpd refuses the head, for its Content-Length, and is about to answer in its own words. */
void ragify_exchange_refused_by_parser (RagifyExchange *exchange, guint status);
/* It is over, whichever way. */
void ragify_exchange_end (RagifyExchange *exchange);
/* The connection is about to be closed by us: what is under way is forgotten. */
void ragify_exchange_detach (RagifyExchange *exchange);
