/* The HTTP server: one libmicrohttpd daemon per loop thread and listen address.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "core/batch/embed-batcher.h"
#include "core/ingest/documents.h"
#include "core/ingest/job.h"
#include "core/ingest/reindexer.h"
#include "core/module/node.h"
#include "core/pipeline/pipeline.h"
#include "core/pipeline/warming.h"
#include "core/server/admin.h"
#include "core/server/health.h"

typedef struct RagifyServer RagifyServer;

/* What /v1/sources tells of: a node that is asked for passages, or a balancer. */
typedef struct RagifyServedSource {
  const char *name, *kind;  /* of the configuration */
  RagifyNode *node;         /* NULL: a balancer */
  const char *operation;    /* that it is asked with */
  RagifyBalancer *balancer; /* NULL: a node */
} RagifyServedSource;

/* What /v1/embeddings may name. */
typedef struct RagifyServedEmbedder {
  const char *name, *model; /* of the configuration; model NULL: none */
  guint dimension;
  RagifyNode *node;
  RagifyEmbedBatcher *batcher;
  RagifyWorkers *workers; /* for what takes long to write */
} RagifyServedEmbedder;

/* What a request works with. References are counted: a request keeps the one that it began with, so that a reload can
 * put another in its place. */
typedef struct RagifyServing {
  gint references; /* atomic */
  RagifyPipeline **pipelines;
  guint n_pipelines;
  RagifyLibrary **libraries;
  guint n_libraries;
  RagifyTier **tiers; /* that the pipelines have */
  guint n_tiers;
  RagifyIngestJob **jobs;
  guint n_jobs;
  RagifyReindexer **reindexers; /* of stores whose vectors are still a former embedder's */
  guint n_reindexers;
  RagifyWarming *warming; /* NULL: none */
  RagifyHealth *health;   /* NULL: nothing is checked */
  const RagifyServedSource *sources;
  guint n_sources;
  const RagifyServedEmbedder *embedders; /* those that are running */
  guint n_embedders;
  const char *backup_dir;    /* beneath which backups go */
  const char *graph;         /* what there is and what refers to what, as JSON */
  const char *configuration; /* with the origin of each value, secrets left out */
  void (*free) (struct RagifyServing *serving);
} RagifyServing;
RagifyServing *ragify_serving_ref (RagifyServing *serving);
void ragify_serving_unref (RagifyServing *serving);
/* The pipeline of that name; NULL: there is none. */
RagifyPipeline *ragify_serving_pipeline (const RagifyServing *serving, RagifyStr name);

typedef struct RagifyListenOptions {
  const char *listen;               /* "127.0.0.1:8080", "[::1]:8080", "unix:/path" */
  const char *api_keys_file;        /* NULL: everybody may do everything */
  const char *const *cors_origins;  /* pages that may ask from a browser; "*": all; NULL: none */
  const char *tls_cert, *tls_key;   /* PEM files; NULL: plain HTTP */
  gboolean access_log;              /* atomic; whether every request is logged */
  gsize max_head;                   /* request line and fields; every connection holds this much; 0: 16 KiB */
  gsize max_body;                   /* of everything but documents, 1 MiB */
  gsize max_document_body;          /* 0: no bound */
  guint64 head_timeout_us;          /* from the first byte to the end of the head, 10 s */
  guint64 body_timeout_us;          /* for a whole body of a context request, 30 s */
  guint64 idle_timeout_us;          /* keep-alive, 60 s */
  guint max_connections;            /* in all; 0, or too many for RLIMIT_NOFILE: as many as that allows */
  guint max_connections_per_client; /* 0: no bound */
  double client_rate;               /* requests a second from one address; 0: no bound */
  guint client_burst;               /* that may come at once; 0: twice the rate */
  guint max_requests;               /* whose work is under way at once, others get 503; 0: 1,000 */
  const RagifyAdmin *admin;         /* outlives the server; NULL: administrative routes are not there */
} RagifyListenOptions;

/* Binds (port 0: a free one) and starts listening on every loop. NULL with an error that names the address. [control]
 */
RagifyServer *
ragify_server_new (RagifyRuntime *runtime, const RagifyListenOptions *options, RagifyServing *serving, GError **error);
/* The address in use, with the port that was chosen. */
const char *ragify_server_address (const RagifyServer *server);
/* "http://ADDRESS", "https://ADDRESS" or "unix:PATH"; free with g_free. */
char *ragify_server_url (const RagifyServer *server);

/* Puts the bodies' sizes and the times of `options` in force, for what comes from now on. [control] */
void ragify_server_set_options (RagifyServer *server, const RagifyListenOptions *options);
/* New requests begin with `serving`. [control] */
void ragify_server_set_serving (RagifyServer *server, RagifyServing *serving);
/* What /readyz says: NULL: ready; otherwise why not (constant). [any] */
void ragify_server_set_unready (RagifyServer *server, const char *reason);

/* Stops accepting, drains what is queued on the socket, answers with Connection: close, and waits until no request is
 * under way or `deadline` has passed; returns how many were left. [control] */
guint ragify_server_drain (RagifyServer *server, guint64 deadline);
void ragify_server_free (RagifyServer *server); /* [control] */
