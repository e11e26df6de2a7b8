/* A JSON service that an instance asks over HTTP: what embedders and rerankers that are somewhere else have in common.
 *
 * SPDX-License-Identifier: MIT
 *
 * One call may need several requests, since services bound what one may bring. They go out side by side, a few at a
 * time; the first that fails ends the others. Large answers are read on a worker.
 */
#ifndef RAGIFY_HTTP_SERVICE_H
#define RAGIFY_HTTP_SERVICE_H

#include "http-client.h"

#include <jansson.h>

typedef struct RagifyHttpService {
  const RagifyHost *host;
  RagifyContext *context;
  RagifyHttpSettings *settings;
  RagifyHttpClient *client;
  char *url; /* that is posted to */
} RagifyHttpService;

/* Reads the keys of http-keys.inc.h, and `path`, which follows `base-url` (NULL there: `usual_path`); FALSE with a
 * fault. The first instance warns of what is risky. [control] */
gboolean ragify_http_service_open (RagifyHttpService *service, const RagifyHost *host, RagifyContext *context,
                                   const RagifyInstance *which, const char *usual_path, RagifyFault *fault);
/* After stop, or where nothing was sent. [control] */
void ragify_http_service_clear (RagifyHttpService *service);
/* A component's stop() and reconfigure() (new credentials, headers), where its instance begins with a
 * RagifyHttpService. [loop] */
void ragify_http_service_stop (void *instance, RagifyCall *call, const RagifyNothing *args);
void ragify_http_service_reconfigure (void *instance, RagifyCall *call, const RagifyReconfigure *args);

/* Fills the fault with what is wrong about an answer, behind the service's address; returns FALSE. [any] */
gboolean ragify_http_service_blame (const RagifyHttpService *service, RagifyFault *fault, const char *format, ...)
    G_GNUC_PRINTF (3, 4);
/* Fails a call whose answer has no room. [loop] */
void ragify_http_service_fail_memory (const RagifyHttpService *service, RagifyCall *call);

typedef struct RagifyHttpNumber {
  const char *name; /* constant */
  guint64 value;
} RagifyHttpNumber;
/* Completes a stats() with the client's numbers and these. [loop] */
void
ragify_http_service_stats (RagifyHttpService *service, RagifyCall *call, const RagifyHttpNumber *more, guint count);

/* What is posted for one call. */
typedef struct RagifyHttpPosting {
  RagifyCall *call;  /* its deadline and cancellation count; the caller completes it, in `done` */
  guint count;       /* of requests, at least 1 */
  guint parallel;    /* of them under way at once */
  guint most_values; /* that an answer may have, in all of its lists and objects */
  /* The body of request number `part`. [loop] */
  json_t *(*ask) (guint part, gpointer user);
  /* Takes its answer; FALSE with a fault. Of different parts at the same time. [any] */
  gboolean (*take) (guint part, const json_t *answer, gpointer user, RagifyFault *fault);
  /* Once, never inside ragify_http_service_post(): all were taken, or the fault is why not. [loop] */
  void (*done) (const RagifyFault *fault, guint64 retry_after_us, gpointer user);
} RagifyHttpPosting;

void ragify_http_service_post (RagifyHttpService *service, const RagifyHttpPosting *posting, gpointer user);

/* A text of at most `most` bytes, cut between characters; 0: all of it. [any] */
RagifyStr ragify_http_cut_text (RagifyStr text, gsize most);

#endif
