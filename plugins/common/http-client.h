/* A client of HTTP services for RAGIFY_RUN_LOOP instances, on libsoup 3.
 *
 * SPDX-License-Identifier: MIT
 *
 * One client belongs to one instance and its loop; the totals of connections are the node's, through ragify.quota/1: so
 * many are in use at once. Of idle ones each loop keeps its share at most. A request has one deadline for all that it
 * takes: waiting for its turn, name, connection, TLS, redirects, the whole answer. When that passes, or its call is
 * cancelled, its connection is closed. Trying again is the host's part: it does so after RAGIFY_E_UNAVAILABLE and
 * RAGIFY_E_EXHAUSTED, as late as the call's retry_after says. What trying again would not mend (an answer that is too
 * large, a certificate, a redirect that is not followed) is RAGIFY_E_INTERNAL.
 *
 * Credentials and configured headers go to the settings' origin (scheme, host and port) and nowhere else. A redirect
 * from https to http is refused, as is one that would carry a body to another origin. Only HTTP/1.1 is spoken. Answers
 * are bounded as they are after decompression. A call that is part of a trace hands it on to the settings' origin
 * (traceparent, tracestate). Nothing here reads the environment.
 *
 *     static void answered (const RagifyHttpAnswer *answer, const RagifyFault *fault, void *user) { … }
 *
 *     const RagifyHttpRequest request = { .call = call, .url = url, .method = "POST", .idempotent = true, … };
 *     ragify_http_client_send (client, &request, answered, user);
 *
 * Functions are [loop] where nothing else is said.
 */
#ifndef RAGIFY_HTTP_CLIENT_H
#define RAGIFY_HTTP_CLIENT_H

#include "http-settings.h"

typedef struct RagifyHttpClient RagifyHttpClient;
typedef struct RagifyHttpExchange RagifyHttpExchange;

typedef struct RagifyHttpRequest {
  RagifyCall *call;           /* whose deadline and cancellation count, and whose on_cancel is taken; NULL: none */
  guint64 deadline_us;        /* monotonic; 0: the call's, or the settings' timeout */
  const char *method;         /* NULL: GET */
  const char *url;            /* absolute, encoded */
  const char *accept;         /* NULL: application/json */
  const char *content_type;   /* of the body */
  RagifyStr body;             /* copied; empty: none */
  const char *const *headers; /* more of them, "Name: value", ended by NULL; NULL: none. Not sent to other origins */
  gboolean idempotent;        /* may be sent again after a connection failed; GET, HEAD, PUT and DELETE always may */
} RagifyHttpRequest;

/* Valid during the callback. */
typedef struct RagifyHttpAnswer {
  guint status;
  const char *reason;       /* that goes with the status */
  RagifyBytes body;         /* ends in a NUL beyond its size; of an error at most 64 KiB */
  const char *content_type; /* without parameters, lower case; "" where absent */
  const char *etag;         /* NULL: absent; so the next two */
  const char *last_modified;
  const char *cache_control;
  guint64 retry_after_us; /* from now; 0: not said */
  guint redirects;
} RagifyHttpAnswer;

/* Either an answer, of whatever status, or a fault. Runs once, on the loop, never inside ragify_http_client_send(). The
 * call of the request is still to be completed. `retry_after` of a fault is unknown. */
typedef void (*RagifyHttpDone) (const RagifyHttpAnswer *answer, const RagifyFault *fault, void *user);

typedef struct RagifyHttpStats {
  guint64 requests; /* asked for */
  guint64 failures; /* of those, without an answer */
  guint64 sent;     /* with redirects */
  guint64 redirects;
  guint64 connections; /* made, … */
  guint64 open;        /* … and still there */
  guint64 bytes;       /* of bodies, decoded */
  guint64 active;      /* under way now */
  guint64 waiting;     /* of those, for their turn */
} RagifyHttpStats;

/* `settings` stay the caller's and must outlive the client; `instances`: how many the node has. NULL with a fault.
 * [control] */
RagifyHttpClient *ragify_http_client_new (const RagifyHost *host, RagifyContext *context,
                                          const RagifyHttpSettings *settings, guint instances, RagifyFault *fault);

/* New settings whose reloadable members differ; the origin must be the same. */
void ragify_http_client_set_settings (RagifyHttpClient *client, const RagifyHttpSettings *settings);

RagifyHttpExchange *
ragify_http_client_send (RagifyHttpClient *client, const RagifyHttpRequest *request, RagifyHttpDone done, void *user);

/* What hands the trace on that the call is a part of, for requests that are made on its behalf without it: as
 * RagifyHttpRequest.headers has it; g_strfreev. NULL: it is part of none. Takes from the call's memory. */
char **ragify_http_client_trace (const RagifyHttpClient *client, RagifyCall *call);

/* Ends a request before its answer: its callback runs soon, with RAGIFY_E_CANCELLED. Not after its callback. */
void ragify_http_exchange_cancel (RagifyHttpExchange *exchange);

RagifyHttpStats ragify_http_client_stats (const RagifyHttpClient *client);

/* Ends everything that is under way, closes all connections, and calls `closed`, maybe at once. */
void ragify_http_client_close (RagifyHttpClient *client, void (*closed) (void *user), void *user);

/* After close, or where nothing was ever sent. NULL is allowed. [control] */
void ragify_http_client_free (RagifyHttpClient *client);

/* TRUE for 2xx. Otherwise fills a fault with the code that fits the status: 401 and 403 UNAUTHORIZED, 404 and 410
 * NOT_FOUND, 408, 425 and 5xx UNAVAILABLE, 429 and 507 EXHAUSTED, other 4xx INVALID. `what` names the service. [any] */
gboolean ragify_http_answer_check (const RagifyHttpAnswer *answer, const char *what, RagifyFault *fault);

/* Whether it failed because the answer is larger than max-response-size: who asks for less may get it. [any] */
gboolean ragify_http_answer_is_too_large (const RagifyFault *fault);

#endif
