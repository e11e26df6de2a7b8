/* The one table of what this server answers.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <glib.h>
#include <ragify/ragify.h>

typedef struct RagifyExchange RagifyExchange;

/* What happens to a request's body. */
typedef enum {
  RAGIFY_BODY_IGNORED,  /* none is expected; a small one is read and dropped */
  RAGIFY_BODY_GATHERED, /* kept whole, up to the listener's max_body */
  RAGIFY_BODY_STREAMED, /* fed piece by piece, up to the listener's max_document_body */
} RagifyBodyPolicy;

/* Who may ask, where a server asks for keys. */
typedef enum {
  RAGIFY_ACCESS_READ,  /* keys with the scope read */
  RAGIFY_ACCESS_WRITE, /* … write */
  RAGIFY_ACCESS_ADMIN, /* … admin */
  RAGIFY_ACCESS_OPEN,  /* everybody, without a key */
} RagifyAccess;

/* How a method of a route is served. All functions run on the exchange's loop. */
typedef struct RagifyAction {
  RagifyBodyPolicy body;
  gboolean always; /* also when the server is full, drains or is not ready */
  RagifyAccess access;
  gboolean quiet; /* it changes nothing, so that nobody need be told who did it */
  gboolean held;  /* it holds to the filter of the exchange's key; others refuse keys that have one */

  /* After the head, before the body. FALSE: refused, with the exchange's problem set. NULL: nothing to do. */
  gboolean (*begin) (RagifyExchange *exchange);
  /* A piece of a streamed body. */
  void (*feed) (RagifyExchange *exchange, const char *data, gsize size);
  /* The body is whole. Replies, now or later. */
  void (*finish) (RagifyExchange *exchange);
  /* Nobody waits for the reply any more; a reply that comes all the same is dropped. After the body was whole only when
   * it can be cut short. NULL: it cannot. */
  void (*left) (RagifyExchange *exchange);
  /* The exchange goes away, from `begin` on and until it was replied to: forget it. A callback that is still to come
   * must not touch it. NULL: there is nothing to forget. */
  void (*detach) (RagifyExchange *exchange);
} RagifyAction;

#define RAGIFY_ROUTE_METHODS 4

typedef struct RagifyRoute {
  const char *path;  /* "*" stands for one segment, "**" for all the rest */
  const char *label; /* in metrics */
  const char *allow; /* the Allow header */
  struct {
    const char *method;
    const RagifyAction *action;
  } methods[RAGIFY_ROUTE_METHODS];
} RagifyRoute;

typedef struct RagifyRouteMatch {
  const RagifyRoute *route;   /* NULL: no such path */
  const RagifyAction *action; /* NULL: not with this method */
  RagifyStr parameter;        /* what "*" or "**" stood for, still encoded */
} RagifyRouteMatch;

/* Looks `path` and `method` up; HEAD goes where GET goes. */
RagifyRouteMatch ragify_routes_match (RagifyStr path, RagifyStr method);

/* For tables with a place for each route. Where `route` is NULL: the last place, for paths that there are not. */
guint ragify_routes_count (void);
guint ragify_routes_index (const RagifyRoute *route);
const char *ragify_routes_label (guint index);
/* The route with that index; there is one less than ragify_routes_count says. */
const RagifyRoute *ragify_routes_at (guint index);

extern const RagifyAction ragify_action_context_post;
extern const RagifyAction ragify_action_context_get;
extern const RagifyAction ragify_action_batch_post;
extern const RagifyAction ragify_action_sources_list;
extern const RagifyAction ragify_action_source_get;
extern const RagifyAction ragify_action_source_patch;
extern const RagifyAction ragify_action_documents_post;
extern const RagifyAction ragify_action_documents_list;
extern const RagifyAction ragify_action_documents_delete;
extern const RagifyAction ragify_action_document_get;
extern const RagifyAction ragify_action_document_delete;
extern const RagifyAction ragify_action_jobs_list;
extern const RagifyAction ragify_action_job_get;
extern const RagifyAction ragify_action_job_run;
extern const RagifyAction ragify_action_job_pause;
extern const RagifyAction ragify_action_job_resume;
extern const RagifyAction ragify_action_job_cancel;
extern const RagifyAction ragify_action_openai_embeddings;
extern const RagifyAction ragify_action_openai_search;
extern const RagifyAction ragify_action_graph;
extern const RagifyAction ragify_action_history;
extern const RagifyAction ragify_action_config;
extern const RagifyAction ragify_action_page;
extern const RagifyAction ragify_action_openapi;
extern const RagifyAction ragify_action_mcp;
extern const RagifyAction ragify_action_cache_show;
extern const RagifyAction ragify_action_cache_clear;
extern const RagifyAction ragify_action_warm;
extern const RagifyAction ragify_action_warm_show;
extern const RagifyAction ragify_action_tune;
extern const RagifyAction ragify_action_live;
extern const RagifyAction ragify_action_ready;
extern const RagifyAction ragify_action_health;
extern const RagifyAction ragify_action_stats;
extern const RagifyAction ragify_action_metrics;
extern const RagifyAction ragify_action_reload;
extern const RagifyAction ragify_action_optimize;
extern const RagifyAction ragify_action_backup;
extern const RagifyAction ragify_action_verify;
extern const RagifyAction ragify_action_reindex;
extern const RagifyAction ragify_action_reindex_show;
