/* What pipeline and cache tests stand on: a runtime with loops and workers, nodes of real or scripted components.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "core/module/node.h"
#include "core/module/registry.h"
#include "core/pipeline/pipeline.h"

typedef struct Rig {
  RagifyRuntime runtime;
  RagifyRegistry *registry;
  GPtrArray *nodes;
  const RagifyEmbedderInfo *embedder; /* what vector stores are told at start; NULL: none */
  RagifyNodeOptions options;          /* of nodes that are made from now on: breaker, retries, limits */
} Rig;

Rig *rig_new (guint loops);
/* Frees the nodes, last made first, then the rest. */
void rig_free (Rig *rig);

/* Runs `work (user)` on a loop and waits until it has returned. */
void rig_run (Rig *rig, guint loop, void (*work) (void *user), void *user);

/* A started node of a component of a plugin file (environment variable `plugin` names it); `settings`: "key=value …"
 * over the schema's defaults. */
RagifyNode *rig_plugin (Rig *rig, const char *name, const char *plugin, const char *kind, const char *component,
                        const char *settings);

/* ---- scripted components: they do as they are told ---- */

typedef struct Passage {
  const char *document, *title, *uri, *content, *metadata;
} Passage;

/* What a node does; may be changed between requests. What is atomic may be changed while calls that nobody waits for
 * any longer (a hedge that lost) still run. */
typedef struct Script {
  const Passage *passages;
  guint n_passages;
  _Atomic guint delay_ms; /* before it answers */
  _Atomic gint32 code;    /* fails with it, */
  gint fails;             /* so often (atomic); 0: always */
  gint sick;              /* probed sources: the probe fails (atomic) */
  _Atomic gboolean holds; /* does not answer while it is set, cancelled or not */
  _Atomic gboolean hangs; /* answers when it is cancelled only, */
  _Atomic gboolean deaf;  /* or not even then, but at script_release */
  gboolean forgets;       /* stores: fetch finds nothing; rerankers: no ranks */
  gboolean no_vectors;    /* stores: fetch of vectors fails */
  gboolean scores;        /* stores: a search scores what others have found */
  gboolean scored;        /* sources: declare scores */
  gint64 updated_at;      /* of all passages; 0: in 2023 */
  gboolean emits;         /* sources: emit all but the last */
  gboolean untold;        /* stores: do not tell their generation (atomic) */
  gint commits;           /* stores: that others have made (atomic) */
  gint set_code;          /* caches: writing fails with it (atomic) */
  /* What it saw. */
  gint calls, searches, fetches, vector_fetches, cancels, sets, probes, generations; /* atomic */
  gint under_way, most_under_way;                                                    /* atomic */
  gint top_k, to_score;
  RagifyCall *held; /* deaf */
} Script;

extern const RagifyComponent scripted_embedder, scripted_store, scripted_index, scripted_source, scripted_cache;
extern const RagifyComponent scripted_reranker;        /* by common words */
extern const RagifyComponent scripted_filtering_store; /* the same store; all that it has matched when it searched */
extern const RagifyComponent scripted_shared_store;    /* the same store, and others write to it, too */
extern const RagifyComponent scripted_probed_source;   /* the same source, and it can be probed */

RagifyNode *rig_scripted (Rig *rig, const char *name, const RagifyComponent *component, Script *script);

/* Lets a deaf call complete. */
void script_release (Script *script);

/* The id of passage number `index` in a store. */
RagifyUuid passage_id (guint index);

/* ---- asking a pipeline ---- */

typedef struct Reply {
  guint status;
  char *text; /* head and body */
  gsize size;
  char *cache;
  char *content_type;
  gboolean degraded;
  guint retry_after;
} Reply;

/* Parses a JSON request, asks, waits. */
Reply rig_ask (Rig *rig, guint loop, RagifyPipeline *pipeline, const char *request);
/* Asks `count` times at once, spread over the loops. */
void rig_ask_many (Rig *rig, RagifyPipeline *pipeline, const char *request, guint count, Reply *replies);
/* Asks different questions at once; 0: nobody leaves. */
void rig_ask_each (Rig *rig, RagifyPipeline *pipeline, const char *const *requests, guint count, guint leave_after_ms,
                   Reply *replies);
/* Asks and cancels after `ms`. */
Reply rig_ask_and_leave (Rig *rig, guint loop, RagifyPipeline *pipeline, const char *request, guint ms);
void reply_clear (Reply *reply);
