/* SPDX-License-Identifier: MIT */
#include "core/app/graph.h"

#include <string.h>

#include "core/app/balancers.h"
#include "core/app/values.h"
#include "core/call/operations.h"
#include "core/module/isolation.h"

#define STOP_TIMEOUT_US (10 * G_USEC_PER_SEC)
/* Of a cache that stands alone, without a tier's keys. */
#define NEGATIVE_TTL_US (10 * (guint64)G_USEC_PER_SEC)
#define MAX_STALENESS_US ((guint64)G_USEC_PER_SEC)
#define TTL_JITTER 0.05

/* One node of the configuration on its way to a RagifyNode. */
typedef struct Making {
  const RagifyConfigNode *config;
  RagifyNode *node;            /* NULL: the host's own kinds, and nodes that failed */
  RagifyBalancer *balancer;    /* balancers, from their first use on */
  RagifyEmbedderInfo embedder; /* embedders: what they are, once started */
  char *fingerprint;
  GThread *thread;
  GError *error;
} Making;

struct RagifyGraph {
  RagifyRuntime *runtime;
  RagifyConfig *config;
  Making *makings; /* by index of the configuration's node */
  gsize n_makings;
  GPtrArray *tiers, *pipelines, *libraries;
  RagifyLimiter *limiter; /* of all pipelines together */
  RagifyServing serving;
};

static Making *
making_of (RagifyGraph *graph, const RagifyConfigNode *node)
{
  return &graph->makings[ragify_config_node_index (node)];
}

static RagifyNode *
node_of (RagifyGraph *graph, const RagifyConfigNode *node)
{
  return node != NULL ? making_of (graph, node)->node : NULL;
}

static gboolean
is_kind (const RagifyConfigNode *node, const char *kind)
{
  return g_str_equal (ragify_config_node_kind (node), kind);
}

/* ---- nodes ---- */

static RagifyBreakerOptions
breaker_of (const RagifyConfigNode *config)
{
  return (RagifyBreakerOptions){ .failures = (guint)ragify_config_node_get_int (config, "breaker-failures"),
                                 .error_rate = ragify_config_node_get_double (config, "breaker-error-rate"),
                                 .window_us = ragify_config_node_get_duration (config, "breaker-window"),
                                 .open_us = ragify_config_node_get_duration (config, "breaker-open") };
}

static RagifyNode *
make_node (RagifyGraph *graph, const RagifyConfigNode *config, GError **error)
{
  RagifyNodeOptions options = {
    .name = ragify_config_node_name (config),
    .component = ragify_config_node_component (config),
    .values = ragify_values_new (graph->config, config),
    .max_parallel = (guint)ragify_config_node_get_int (config, "max-parallel"),
    .max_abandoned = (guint)ragify_config_node_get_int (config, "max-abandoned"),
    .memory_limit = ragify_config_node_get_size (config, "call-memory"),
    .deadline_us = ragify_config_node_get_duration (config, "deadline"),
    .breaker = breaker_of (config),
    .retries = (guint)ragify_config_node_get_int (config, "retry"),
    .weight = ragify_config_node_get_double (config, "weight"),
    .retry_budget = ragify_config_node_get_double (config, "retry-budget"),
  };
  const RagifyIsolationOptions isolation = {
    .memory = ragify_config_node_get_size (config, "isolation-memory"),
    .hang_us = ragify_config_node_get_duration (config, "isolation-hang"),
  };
  if (g_str_equal (ragify_config_node_get_string (config, "isolation"), "process") &&
      !ragify_isolation_wrap (&options, &isolation, error))
    return NULL;
  return ragify_node_new (graph->runtime, &options, error);
}

static gboolean
describe_embedder (Making *making, guint64 deadline)
{
  static const RagifyNothing nothing = { .struct_size = sizeof nothing };
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
  RagifyCall *call = ragify_call_new (owner, &ragify_operation_embedder_describe, &nothing, deadline, NULL, NULL);
  if (ragify_call_wait (making->node, call) != RAGIFY_OK) {
    g_set_error_literal (&making->error, RAGIFY_NODE_ERROR, ragify_call_code (call), ragify_call_message (call));
    return FALSE;
  }
  making->embedder = *(const RagifyEmbedderInfo *)ragify_call_result (call);
  making->fingerprint = g_strndup (making->embedder.fingerprint.data, making->embedder.fingerprint.size);
  making->embedder.fingerprint = ragify_str_from (making->fingerprint);
  return TRUE;
}

typedef struct Starting {
  RagifyGraph *graph;
  Making *making;
} Starting;

static gpointer
start_node (gpointer data)
{
  g_autofree Starting *starting = data;
  Making *making = starting->making;
  const guint64 deadline = ragify_now () + ragify_config_node_get_duration (making->config, "start-timeout");
  RagifyStart start = { .struct_size = sizeof start };
  if (is_kind (making->config, "vector-store")) {
    const RagifyConfigNode *embedder = ragify_config_node_ref (making->config, "embedder");
    if (embedder != NULL && making_of (starting->graph, embedder)->fingerprint != NULL)
      start.embedder = &making_of (starting->graph, embedder)->embedder;
  }
  if (ragify_node_start (making->node, &start, deadline, &making->error) && is_kind (making->config, "embedder"))
    describe_embedder (making, deadline);
  return NULL;
}

/* TRUE for a store whose embedder is required and has failed: that failure is enough to report. */
static gboolean
lacks_embedder (RagifyGraph *graph, const RagifyConfigNode *config)
{
  const RagifyConfigNode *embedder =
      is_kind (config, "vector-store") ? ragify_config_node_ref (config, "embedder") : NULL;
  return embedder != NULL && making_of (graph, embedder)->error != NULL &&
         ragify_config_node_get_bool (embedder, "required");
}

/* A vector store learns its embedder's dimension at start, so embedders come first; all else has no order. */
static void
start_all (RagifyGraph *graph, gboolean stores)
{
  for (gsize i = 0; i < graph->n_makings; i++) {
    Making *making = &graph->makings[i];
    if (making->node == NULL || is_kind (making->config, "vector-store") != stores ||
        lacks_embedder (graph, making->config))
      continue;
    Starting *starting = g_new (Starting, 1);
    *starting = (Starting){ graph, making };
    making->thread = g_thread_new ("start", start_node, starting);
  }
}

static void
join_kind (RagifyGraph *graph, const char *kind)
{
  for (gsize i = 0; i < graph->n_makings; i++) {
    Making *making = &graph->makings[i];
    if (making->thread != NULL && (kind == NULL || is_kind (making->config, kind)))
      g_thread_join (g_steal_pointer (&making->thread));
  }
}

/* A node that failed: an error where it is required, otherwise it is left out with a warning. */
static void
report_failure (Making *making, RagifyDiagnostics *diagnostics)
{
  if (making->error == NULL)
    return;
  const gboolean required = ragify_config_node_get_bool (making->config, "required");
  ragify_diagnostics_add (diagnostics, required ? RAGIFY_SEVERITY_ERROR : RAGIFY_SEVERITY_WARNING, making->config, NULL,
                          "%s%s", making->error->message, required ? "" : " (required = false: left out)");
  if (making->node != NULL)
    ragify_node_free (g_steal_pointer (&making->node), ragify_now () + STOP_TIMEOUT_US);
  g_clear_error (&making->error);
}

static gboolean
make_nodes (RagifyGraph *graph, RagifyDiagnostics *diagnostics)
{
  const RagifyConfigNode *const *nodes = ragify_config_nodes (graph->config, &graph->n_makings);
  graph->makings = g_new0 (Making, graph->n_makings);
  for (gsize i = 0; i < graph->n_makings; i++) {
    Making *making = &graph->makings[i];
    making->config = nodes[i];
    if (!ragify_config_node_enabled (nodes[i]))
      continue;
    if (ragify_config_node_component (nodes[i]) != NULL)
      making->node = make_node (graph, nodes[i], &making->error);
  }
  if (ragify_diagnostics_count (diagnostics, RAGIFY_SEVERITY_ERROR) == 0) {
    start_all (graph, FALSE);
    join_kind (graph, "embedder");
    start_all (graph, TRUE);
    join_kind (graph, NULL);
  }
  for (gsize i = 0; i < graph->n_makings; i++)
    report_failure (&graph->makings[i], diagnostics);
  return ragify_diagnostics_count (diagnostics, RAGIFY_SEVERITY_ERROR) == 0;
}

/* ---- tiers ---- */

static RagifyTierLevel
level_of (RagifyGraph *graph, const RagifyConfigNode *cache)
{
  return (RagifyTierLevel){ .node = node_of (graph, cache),
                            .kind = ragify_config_node_component (cache)->name,
                            .ttl_us = ragify_config_node_value (cache, "ttl") != NULL
                                          ? ragify_config_node_get_duration (cache, "ttl")
                                          : 0,
                            .deadline_us = ragify_config_node_get_duration (cache, "deadline"),
                            .behind = g_str_equal (ragify_config_node_get_string (cache, "write"), "behind"),
                            .write_queue = (guint)ragify_config_node_get_int (cache, "write-queue"),
                            .breaker = breaker_of (cache) };
}

static RagifyTier *
find_tier (const RagifyGraph *graph, const char *name)
{
  for (guint i = 0; i < graph->tiers->len; i++)
    if (g_str_equal (ragify_tier_name (g_ptr_array_index (graph->tiers, i)), name))
      return g_ptr_array_index (graph->tiers, i);
  return NULL;
}

/* The tier that a pipeline's `cache` names; one cache by itself is a tier of one level. */
static RagifyTier *
make_tier (RagifyGraph *graph, const RagifyConfigNode *config)
{
  if (config == NULL)
    return NULL;
  RagifyTier *tier = find_tier (graph, ragify_config_node_name (config));
  if (tier != NULL)
    return tier;
  gsize count = 1;
  const gboolean is_tier = is_kind (config, "tier");
  const RagifyConfigNode *const *caches = is_tier ? ragify_config_node_refs (config, "levels", &count) : &config;
  g_autofree RagifyTierLevel *levels = g_new0 (RagifyTierLevel, MAX (count, 1));
  guint n_levels = 0;
  for (gsize i = 0; i < count; i++)
    if (node_of (graph, caches[i]) != NULL)
      levels[n_levels++] = level_of (graph, caches[i]);
  if (n_levels == 0)
    return NULL;
  const RagifyTierOptions options = {
    .name = ragify_config_node_name (config),
    .levels = levels,
    .n_levels = n_levels,
    .negative_ttl_us = is_tier ? ragify_config_node_get_duration (config, "negative-ttl") : NEGATIVE_TTL_US,
    .ttl_jitter = is_tier ? ragify_config_node_get_double (config, "ttl-jitter") : TTL_JITTER,
    .stale_us = is_tier ? ragify_config_node_get_duration (config, "stale-while-revalidate") : 0,
  };
  tier = ragify_tier_new (graph->runtime, &options);
  g_ptr_array_add (graph->tiers, tier);
  return tier;
}

/* How the pipeline keeps its cached answers in step with the stores; a cache by itself has the defaults. */
static void
set_freshness (RagifyPipelineOptions *options, const RagifyConfigNode *cache)
{
  options->max_staleness_us = MAX_STALENESS_US;
  if (cache == NULL || !is_kind (cache, "tier"))
    return;
  options->max_staleness_us = ragify_config_node_get_duration (cache, "max-staleness");
  options->invalidate_every_us = ragify_config_node_get_duration (cache, "invalidate-every");
}

/* ---- pipelines ---- */

static const char *
source_type_of (const RagifyConfigNode *node)
{
  static const struct {
    const char *component, *type;
  } types[] = { { "files", "document" },
                { "postgres", "database" },
                { "sqlite", "database" },
                { "http", "api" },
                { "redis-stream", "realtime" } };
  if (!is_kind (node, "source"))
    return "vector";
  const char *chosen = ragify_config_node_get_string (node, "source-type");
  if (chosen != NULL)
    return chosen;
  for (gsize i = 0; i < G_N_ELEMENTS (types); i++)
    if (g_str_equal (ragify_config_node_component (node)->name, types[i].component))
      return types[i].type;
  return "document";
}

static RagifyScore
score_of (const char *name)
{
  if (g_str_equal (name, "source"))
    return RAGIFY_SCORE_SOURCE;
  return g_str_equal (name, "embed") ? RAGIFY_SCORE_EMBED : RAGIFY_SCORE_RANK;
}

static gboolean
wants_embedding (const RagifyRetriever *retriever)
{
  return retriever->type == RAGIFY_RETRIEVER_SOURCE &&
         (retriever->score == RAGIFY_SCORE_EMBED ||
          (ragify_node_component (retriever->node)->flags & RAGIFY_COMPONENT_WANTS_EMBEDDING) != 0);
}

/* Sources that work with the query's embedding share the one that the pipeline's first store has. */
static gboolean
give_embedders (RagifyRetriever *retrievers, guint count, const RagifyConfigNode *config,
                RagifyDiagnostics *diagnostics)
{
  guint has = 0;
  while (has < count && retrievers[has].embedder == NULL)
    has++;
  RagifyNode *embedder = has < count ? retrievers[has].embedder : NULL;
  for (guint i = 0; i < count; i++) {
    if (!wants_embedding (&retrievers[i]))
      continue;
    retrievers[i].embedder = embedder;
    if (embedder != NULL) {
      retrievers[i].embed_batch = retrievers[has].embed_batch;
      retrievers[i].embed_wait_us = retrievers[has].embed_wait_us;
      continue;
    }
    ragify_diagnostics_add (diagnostics, RAGIFY_SEVERITY_ERROR, config, "retrieve",
                            "'%s' wants the query's embedding, and no vector store of this pipeline has an embedder",
                            ragify_node_name (retrievers[i].node));
    return FALSE;
  }
  return TRUE;
}

/* How queries are put together for the embedder of a store, or of a source. */
static void
set_batching (RagifyRetriever *retriever, const RagifyConfigNode *embedder)
{
  if (embedder == NULL)
    return;
  retriever->embed_batch = (guint)ragify_config_node_get_int (embedder, "max-batch");
  retriever->embed_wait_us = ragify_config_node_get_duration (embedder, "max-wait");
}

static RagifyNode *
find_node (void *user, const RagifyConfigNode *config)
{
  return node_of (user, config);
}

/* A balancer takes a source's place. The pipelines share it. */
static void
take_balancer (RagifyGraph *graph, RagifyRetriever *retriever, const RagifyConfigNode *config)
{
  Making *making = making_of (graph, config);
  if (making->balancer == NULL)
    making->balancer = ragify_balancer_from_config (config, graph->runtime->metrics, find_node, graph);
  if (making->balancer == NULL)
    return;
  gsize count;
  const RagifyConfigNode *const *members = ragify_config_node_refs (config, "members", &count);
  retriever->balancer = making->balancer;
  retriever->node = ragify_balancer_member (making->balancer, 0)->node;
  retriever->source_type = source_type_of (members[0]);
  retriever->score = score_of (ragify_config_node_get_string (members[0], "score"));
}

static RagifyRetriever
retriever_of (RagifyGraph *graph, const RagifyConfigNode *node)
{
  RagifyRetriever retriever = { .node = node_of (graph, node),
                                .source_type = source_type_of (node),
                                .weight = ragify_config_node_get_double (node, "weight"),
                                .deadline_us = ragify_config_node_get_duration (node, "deadline") };
  const RagifyConfigNode *store = NULL;
  if (is_kind (node, "vector-store")) {
    retriever.type = RAGIFY_RETRIEVER_VECTOR_STORE;
    store = node;
  } else if (is_kind (node, "text-index")) {
    retriever.type = RAGIFY_RETRIEVER_TEXT_INDEX;
    store = ragify_config_node_ref (node, "of");
  } else if (is_kind (node, "balancer")) {
    retriever.type = RAGIFY_RETRIEVER_SOURCE;
    take_balancer (graph, &retriever, node);
  } else {
    retriever.type = RAGIFY_RETRIEVER_SOURCE;
    retriever.score = score_of (ragify_config_node_get_string (node, "score"));
  }
  retriever.store = node_of (graph, store);
  if (store != NULL) {
    retriever.embedder = node_of (graph, ragify_config_node_ref (store, "embedder"));
    set_batching (&retriever, ragify_config_node_ref (store, "embedder"));
  }
  return retriever;
}

static RagifyFuse
fuse_of (const char *name)
{
  static const char *const names[] = {
    [RAGIFY_FUSE_CONVEX] = "convex", [RAGIFY_FUSE_RRF] = "rrf", [RAGIFY_FUSE_MAX] = "max", [RAGIFY_FUSE_DBSF] = "dbsf"
  };
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (g_str_equal (name, names[i]))
      return (RagifyFuse)i;
  return RAGIFY_FUSE_CONVEX;
}

static RagifyFinish
finish_of (const char *name)
{
  if (g_str_equal (name, "enough"))
    return RAGIFY_FINISH_ENOUGH;
  return g_str_equal (name, "first") ? RAGIFY_FINISH_FIRST : RAGIFY_FINISH_ALL;
}

static RagifyMode
mode_of (const char *name)
{
  if (g_str_equal (name, "dense"))
    return RAGIFY_MODE_DENSE;
  return g_str_equal (name, "lexical") ? RAGIFY_MODE_LEXICAL : RAGIFY_MODE_HYBRID;
}

static void
make_pipeline (RagifyGraph *graph, const RagifyConfigNode *config, RagifyDiagnostics *diagnostics)
{
  gsize count;
  const RagifyConfigNode *const *places = ragify_config_node_refs (config, "retrieve", &count);
  g_autofree RagifyRetriever *retrievers = g_new0 (RagifyRetriever, MAX (count, 1));
  guint n_retrievers = 0;
  for (gsize i = 0; i < count; i++) {
    const RagifyRetriever retriever = retriever_of (graph, places[i]);
    const gboolean whole =
        retriever.node != NULL && (retriever.type != RAGIFY_RETRIEVER_TEXT_INDEX || retriever.store != NULL);
    if (whole)
      retrievers[n_retrievers++] = retriever;
  }
  if (n_retrievers == 0) {
    ragify_diagnostics_add (diagnostics, RAGIFY_SEVERITY_ERROR, config, "retrieve",
                            "none of the places to ask could be started");
    return;
  }
  if (!give_embedders (retrievers, n_retrievers, config, diagnostics))
    return;
  const RagifyFingerprint fingerprint = ragify_config_node_answer_fingerprint (config);
  const RagifyConfigNode *cache = ragify_config_node_ref (config, "cache");
  RagifyPipelineOptions options = {
    .name = ragify_config_node_name (config),
    .retrievers = retrievers,
    .n_retrievers = n_retrievers,
    .tier = make_tier (graph, cache),
    .fuse = fuse_of (ragify_config_node_get_string (config, "fuse")),
    .fuse_weight = ragify_config_node_get_double (config, "fuse-weight"),
    .fuse_candidates = (guint)ragify_config_node_get_int (config, "fuse-candidates"),
    .passage_bytes = ragify_config_node_get_size (config, "passage-cache"),
    .rrf_k = (guint)ragify_config_node_get_int (config, "rrf-k"),
    .dedupe = ragify_config_node_get_bool (config, "dedupe"),
    .min_relevance = ragify_config_node_get_double (config, "min-relevance"),
    .deadline_us = ragify_config_node_get_duration (config, "deadline"),
    .source_batch = (guint)ragify_config_node_get_int (config, "source-batch"),
    .max_at_once = (guint)ragify_config_node_get_int (config, "max-concurrent-sources"),
    .finish = finish_of (ragify_config_node_get_string (config, "finish")),
    .mode = mode_of (ragify_config_node_get_string (config, "mode")),
    .max_chunks = (guint)ragify_config_node_get_int (config, "max-chunks"),
    .max_tokens = (guint64)ragify_config_node_get_int (config, "max-tokens"),
    .host_limiter = graph->limiter,
    .max_concurrent = (guint)ragify_config_node_get_int (config, "max-concurrent"),
    .queue = (guint)ragify_config_node_get_int (config, "queue"),
    .queue_timeout_us = ragify_config_node_get_duration (ragify_config_host (graph->config), "queue-timeout"),
    .adaptive = ragify_config_node_get_bool (config, "adaptive-limit"),
    .fail_on_partial = g_str_equal (ragify_config_node_get_string (config, "on-partial"), "fail"),
    .fingerprint = fingerprint.high ^ fingerprint.low,
  };
  set_freshness (&options, cache);
  g_ptr_array_add (graph->pipelines, ragify_pipeline_new (graph->runtime, &options));
}

/* ---- libraries ---- */

static void
store_changed (void *user, RagifyNode *store, const RagifyGeneration *generation, const RagifyUuidList *removed)
{
  RagifyGraph *graph = user;
  for (guint i = 0; i < graph->pipelines->len; i++)
    ragify_pipeline_store_changed (g_ptr_array_index (graph->pipelines, i), store, generation, removed);
}

static GPtrArray *
text_indexes_of (RagifyGraph *graph, const RagifyConfigNode *store)
{
  GPtrArray *list = g_ptr_array_new ();
  for (gsize i = 0; i < graph->n_makings; i++) {
    const Making *making = &graph->makings[i];
    if (making->node != NULL && is_kind (making->config, "text-index") &&
        ragify_config_node_ref (making->config, "of") == store)
      g_ptr_array_add (list, making->node);
  }
  return list;
}

/* A pipeline must know a store's generation before it may cache an answer of it. */
static void
tell_generation (RagifyGraph *graph, RagifyNode *store)
{
  static const RagifyNothing nothing = { .struct_size = sizeof nothing };
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
  RagifyCall *call = ragify_call_new (owner, &ragify_operation_store_generation, &nothing,
                                      ragify_now () + STOP_TIMEOUT_US, NULL, NULL);
  const RagifyUuidList none = { NULL, 0 };
  if (ragify_call_wait (store, call) == RAGIFY_OK)
    store_changed (graph, store, &((const RagifyStoreGeneration *)ragify_call_result (call))->generation, &none);
}

static void
make_library (RagifyGraph *graph, const RagifyConfigNode *config, RagifyDiagnostics *diagnostics)
{
  g_autoptr (GPtrArray) text_indexes = text_indexes_of (graph, config);
  const RagifyLibraryOptions options = {
    .name = ragify_config_node_name (config),
    .store = node_of (graph, config),
    .embedder = node_of (graph, ragify_config_node_ref (config, "embedder")),
    .text_indexes = (RagifyNode *const *)text_indexes->pdata,
    .n_text_indexes = text_indexes->len,
    .chunk_size = (guint)ragify_config_node_get_int (config, "chunk-size"),
    .chunk_overlap = (guint)ragify_config_node_get_int (config, "overlap"),
    .changed = store_changed,
    .user = graph,
  };
  g_autoptr (GError) error = NULL;
  RagifyLibrary *library = ragify_library_new (graph->runtime, &options, &error);
  if (library != NULL) {
    g_ptr_array_add (graph->libraries, library);
    tell_generation (graph, options.store);
  } else {
    ragify_diagnostics_add (diagnostics, RAGIFY_SEVERITY_ERROR, config, NULL, "%s", error->message);
  }
}

/* ---- the whole ---- */

static void
each_of_kind (RagifyGraph *graph, const char *kind, RagifyDiagnostics *diagnostics,
              void (*make) (RagifyGraph *graph, const RagifyConfigNode *config, RagifyDiagnostics *diagnostics))
{
  for (gsize i = 0; i < graph->n_makings; i++) {
    const Making *making = &graph->makings[i];
    const gboolean there = making->node != NULL || ragify_config_node_component (making->config) == NULL;
    if (is_kind (making->config, kind) && ragify_config_node_enabled (making->config) && there)
      make (graph, making->config, diagnostics);
  }
}

static RagifyLimiter *
make_limiter (RagifyGraph *graph)
{
  const RagifyConfigNode *host = ragify_config_host (graph->config);
  const RagifyLimiterOptions options = {
    .scope = "host",
    .limit = (guint)ragify_config_node_get_int (host, "max-concurrent"),
    .queue = (guint)ragify_config_node_get_int (host, "queue"),
    .queue_timeout_us = ragify_config_node_get_duration (host, "queue-timeout"),
    .adaptive = ragify_config_node_get_bool (host, "adaptive-limit"),
    .metrics = graph->runtime->metrics,
  };
  return ragify_limiter_new (&options);
}

static void
serving_unused (RagifyServing *serving)
{
  /* The graph that it is part of is freed by the application, once the servers are gone. */
}

RagifyGraph *
ragify_graph_new (RagifyRuntime *runtime, RagifyConfig *config, RagifyDiagnostics *diagnostics)
{
  RagifyGraph *graph = g_new0 (RagifyGraph, 1);
  graph->runtime = runtime;
  graph->config = ragify_config_ref (config);
  graph->limiter = make_limiter (graph);
  graph->tiers = g_ptr_array_new_with_free_func ((GDestroyNotify)ragify_tier_free);
  graph->pipelines = g_ptr_array_new_with_free_func ((GDestroyNotify)ragify_pipeline_free);
  graph->libraries = g_ptr_array_new_with_free_func ((GDestroyNotify)ragify_library_free);
  if (make_nodes (graph, diagnostics)) {
    each_of_kind (graph, "pipeline", diagnostics, make_pipeline);
    each_of_kind (graph, "vector-store", diagnostics, make_library);
  }
  if (ragify_diagnostics_count (diagnostics, RAGIFY_SEVERITY_ERROR) > 0) {
    ragify_graph_free (graph);
    return NULL;
  }
  graph->serving = (RagifyServing){ .references = 1,
                                    .pipelines = (RagifyPipeline **)graph->pipelines->pdata,
                                    .n_pipelines = graph->pipelines->len,
                                    .libraries = (RagifyLibrary **)graph->libraries->pdata,
                                    .n_libraries = graph->libraries->len,
                                    .free = serving_unused };
  return graph;
}

void
ragify_graph_free (RagifyGraph *graph)
{
  g_ptr_array_unref (graph->libraries); /* their threads use everything else */
  g_ptr_array_unref (graph->pipelines);
  ragify_limiter_free (graph->limiter);
  g_ptr_array_unref (graph->tiers);
  /* Nodes come after those that they refer to, so the users go first. */
  for (gsize i = graph->n_makings; i > 0; i--) {
    Making *making = &graph->makings[i - 1];
    if (making->node != NULL)
      ragify_node_free (making->node, ragify_now () + STOP_TIMEOUT_US);
    g_free (making->fingerprint);
  }
  for (gsize i = 0; i < graph->n_makings; i++) /* the last calls to members have ended with the nodes */
    g_clear_pointer (&graph->makings[i].balancer, ragify_balancer_free);
  g_free (graph->makings);
  ragify_config_unref (graph->config);
  g_free (graph);
}

RagifyServing *
ragify_graph_serving (RagifyGraph *graph)
{
  return &graph->serving;
}
