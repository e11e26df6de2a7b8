/* What the parts of the HTTP client know of each other. SPDX-License-Identifier: MIT */
#ifndef RAGIFY_HTTP_PRIVATE_H
#define RAGIFY_HTTP_PRIVATE_H

#include "http-address.h"
#include "http-client.h"

#include <libsoup/soup.h>

#define RAGIFY_HTTP_ERROR_BODY 65536u

/* A scheme, host and port, with a session of its own: a session connects through one address. */
typedef struct RagifyHttpOrigin {
  char *key; /* "https://host:443" */
  char *host;
  SoupSession *session;
  guint exchanges; /* that use it */
  guint64 used;    /* serial of the last use */
} RagifyHttpOrigin;

/* How many connections are open; it lives as long as any of them, and the client. Both are changed atomically: what is
 * cancelled in the midst of a TLS handshake may end on a thread of GIO's. */
typedef struct RagifyHttpOpen {
  gint count;
} RagifyHttpOpen;

struct RagifyHttpClient {
  const RagifyHost *host;
  RagifyContext *context;
  const RagifyLoopExtension *loop;
  const RagifyQuotaExtension *quotas;
  const RagifyHttpSettings *settings;
  const RagifyTraceExtension *trace; /* NULL: the host has none */
  RagifyQuota *all;                  /* NULL where the host has no quotas */
  RagifyQuota *per_host;             /* of the configured origin */
  RagifyHttpOpen *open;              /* g_atomic_rc_box */
  guint share;                       /* how many of them may be idle */
  guint held;                        /* exchanges that hold parts of the quotas */
  GTlsDatabase *authorities;
  RagifyHttpNames *names;
  GHashTable *origins; /* key → RagifyHttpOrigin */
  GQueue exchanges;    /* all that are not freed, whether finished or not */
  GQueue waiting;      /* for their turn */
  gboolean asked;      /* for a quota's release */
  guint64 serial;
  RagifyHttpStats stats;
  gboolean closing;
  void (*closed) (void *user);
  void *closed_user;
};

/* http-client.c */
RagifyHttpOrigin *ragify_http_client_origin (RagifyHttpClient *client, const char *key, const char *host, guint16 port);
/* Takes part of the quotas for an exchange; FALSE: it has to wait, and is resumed. */
gboolean ragify_http_client_take (RagifyHttpClient *client, RagifyHttpExchange *exchange);
void ragify_http_client_give_back (RagifyHttpClient *client, RagifyHttpExchange *exchange);
/* A connection was made. */
void ragify_http_client_connected (RagifyHttpClient *client, GIOStream *stream);
/* An exchange is over and freed. */
void ragify_http_client_left (RagifyHttpClient *client);

/* http-exchange.c */
struct RagifyHttpExchange {
  RagifyHttpClient *client;
  GList link; /* in RagifyHttpClient.exchanges */
  GList turn; /* in RagifyHttpClient.waiting, while `waits` */
  gboolean waits;
  gboolean holds_all, holds_host; /* parts of the quotas */
  RagifyCall *call;
  RagifyHttpDone done;
  void *user;
  char *method, *url, *origin_key, *accept, *content_type;
  char **headers, **trace_headers;
  GBytes *body;
  gboolean idempotent, at_home; /* at_home: at the settings' origin, so credentials are sent */
  guint64 deadline_us;
  RagifyTimer *timer;
  guint64 due_us; /* of this phase; 0: the deadline alone */
  const char *phase;
  guint redirects;
  RagifyHttpOrigin *origin;
  SoupMessage *message;
  gulong handlers[2]; /* of its signals */
  GCancellable *cancellable;
  GInputStream *stream;
  GByteArray *bytes;
  guint64 limit;     /* of bytes */
  gboolean pending;  /* an operation of libsoup's has still to call back */
  gboolean finished; /* `done` was called or is about to be */
  gboolean settled;  /* the answer is whole, and only its callback is left */
  guint64 retry_after_us;
  RagifyFault fault;
};

/* Its turn has come. */
void ragify_http_exchange_resume (RagifyHttpExchange *exchange);
void ragify_http_exchange_abort (RagifyHttpExchange *exchange, int32_t code, const char *message);

/* http-redirect.c */
/* Points the exchange to where the answer says. FALSE with a fault where that is not followed. */
gboolean ragify_http_exchange_redirect (RagifyHttpExchange *exchange, RagifyFault *fault);

#endif
