/* Pipelines and what they stand on beside nodes: tiers, the limiter, balancers, other pipelines.
 *
 * SPDX-License-Identifier: MIT
 */
#include "core/app/balancers.h"
#include "core/app/graph-private.h"
#include "core/pipeline/nested.h"

/* Of a cache that stands alone, without a tier's keys. */
#define NEGATIVE_TTL_US (10 * (guint64)G_USEC_PER_SEC)
#define MAX_STALENESS_US ((guint64)G_USEC_PER_SEC)
#define TTL_JITTER 0.05
#define POLL_US 200

/* ---- tiers ---- */

static RagifyTierLevel
level_of (RagifyGraph *graph, const RagifyConfigNode *cache)
{
  return (RagifyTierLevel){ .node = ragify_graph_node (graph, cache),
                            .kind = ragify_config_node_component (cache)->name,
                            .ttl_us = ragify_config_node_value (cache, "ttl") != NULL
                                          ? ragify_config_node_get_duration (cache, "ttl")
                                          : 0,
                            .deadline_us = ragify_config_node_get_duration (cache, "deadline"),
                            .behind = g_str_equal (ragify_config_node_get_string (cache, "write"), "behind"),
                            .write_queue = (guint)ragify_config_node_get_int (cache, "write-queue"),
                            .breaker = ragify_unit_breaker (cache) };
}

static gpointer
new_tier (RagifyGraph *graph, const RagifyConfigNode *config, const RagifyTierLevel *levels, guint n_levels)
{
  const gboolean is_tier = ragify_graph_is_kind (config, "tier");
  const RagifyTierOptions options = {
    .name = ragify_config_node_name (config),
    .levels = levels,
    .n_levels = n_levels,
    .negative_ttl_us = is_tier ? ragify_config_node_get_duration (config, "negative-ttl") : NEGATIVE_TTL_US,
    .ttl_jitter = is_tier ? ragify_config_node_get_double (config, "ttl-jitter") : TTL_JITTER,
    .stale_us = is_tier ? ragify_config_node_get_duration (config, "stale-while-revalidate") : 0,
  };
  return ragify_tier_new (graph->runtime, &options);
}

/* The tier that a pipeline's `cache` names; one cache by itself is a tier of one level. */
static RagifyTier *
make_tier (RagifyGraph *graph, RagifyGraph *previous, const RagifyConfigNode *config)
{
  RagifyPart *part = config != NULL ? ragify_graph_find_part (graph->tiers, config) : NULL;
  if (config == NULL || part != NULL)
    return part != NULL ? part->object : NULL;
  gsize count = 1;
  const gboolean is_tier = ragify_graph_is_kind (config, "tier");
  const RagifyConfigNode *const *caches = is_tier ? ragify_config_node_refs (config, "levels", &count) : &config;
  g_autofree RagifyTierLevel *levels = g_new0 (RagifyTierLevel, MAX (count, 1));
  g_autoptr (GPtrArray) basis = g_ptr_array_new ();
  guint n_levels = 0;
  for (gsize i = 0; i < count; i++) {
    if (ragify_graph_node (graph, caches[i]) == NULL)
      continue;
    levels[n_levels++] = level_of (graph, caches[i]);
    g_ptr_array_add (basis, ragify_graph_node (graph, caches[i]));
  }
  if (n_levels == 0)
    return NULL;
  part = ragify_graph_share_part (previous != NULL ? previous->tiers : NULL, config, basis);
  if (part == NULL)
    part = ragify_graph_part_new (config, basis, new_tier (graph, config, levels, n_levels),
                                  (GDestroyNotify)ragify_tier_free);
  g_ptr_array_add (graph->tiers, part);
  return part->object;
}

/* ---- limits ---- */

/* With what it has learned; another one only where its own keys are others. */
void
ragify_graph_make_limiter (RagifyGraph *graph, RagifyGraph *previous)
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
  const RagifyFingerprint fingerprint = { (guint64)options.limit << 32 | options.queue,
                                          options.queue_timeout_us << 1 | (options.adaptive ? 1 : 0) };
  graph->limiter = previous != NULL ? previous->limiter : NULL;
  if (graph->limiter != NULL && graph->limiter->fingerprint.high == fingerprint.high &&
      graph->limiter->fingerprint.low == fingerprint.low) {
    graph->limiter->references++;
    return;
  }
  g_autoptr (GPtrArray) basis = g_ptr_array_new ();
  graph->limiter =
      ragify_graph_part_new (host, basis, ragify_limiter_new (&options), (GDestroyNotify)ragify_limiter_free);
  graph->limiter->fingerprint = fingerprint;
}

static RagifyLimiter *
limiter_of (const RagifyGraph *graph)
{
  return graph->limiter->object;
}

/* ---- pipelines ---- */

static const char *
source_type_of (const RagifyConfigNode *node)
{
  static const struct {
    const char *component, *type;
  } types[] = { { "files", "document" },  { "postgres", "database" }, { "postgres-vector", "database" },
                { "sqlite", "database" }, { "http", "api" },          { "redis-stream", "realtime" } };
  if (!ragify_graph_is_kind (node, "source"))
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
  return ragify_graph_node (user, config);
}

/* Those of its members that are running. */
static GPtrArray *
basis_of_balancer (RagifyGraph *graph, const RagifyConfigNode *config)
{
  gsize count;
  const RagifyConfigNode *const *members = ragify_config_node_refs (config, "members", &count);
  GPtrArray *basis = g_ptr_array_new ();
  for (gsize i = 0; i < count; i++)
    if (ragify_graph_node (graph, members[i]) != NULL)
      g_ptr_array_add (basis, ragify_graph_node (graph, members[i]));
  return basis;
}

static gboolean
is_busy (RagifyBalancer *balancer)
{
  for (guint i = 0; i < ragify_balancer_n_members (balancer); i++)
    if (ragify_balancer_counts (balancer, i, ragify_now ()).under_way > 0)
      return TRUE;
  return FALSE;
}

/* A call that lost against another member's answer comes to its end later than the request. */
static void
free_balancer (gpointer data)
{
  while (is_busy (data)) /* the host does not wait for a call beyond its deadline */
    g_usleep (POLL_US);
  ragify_balancer_free (data);
}

/* The pipelines share it, and so do graphs; NULL: none of its members is running. */
static RagifyBalancer *
make_balancer (RagifyGraph *graph, RagifyGraph *previous, const RagifyConfigNode *config)
{
  RagifyPart *part = ragify_graph_find_part (graph->balancers, config);
  if (part != NULL)
    return part->object;
  g_autoptr (GPtrArray) basis = basis_of_balancer (graph, config);
  if (basis->len == 0)
    return NULL;
  part = ragify_graph_share_part (previous != NULL ? previous->balancers : NULL, config, basis);
  if (part == NULL)
    part = ragify_graph_part_new (
        config, basis, ragify_balancer_from_config (config, graph->runtime->metrics, find_node, graph), free_balancer);
  g_ptr_array_add (graph->balancers, part);
  return part->object;
}

/* A balancer takes a source's place. */
static void
take_balancer (RagifyGraph *graph, RagifyGraph *previous, RagifyRetriever *retriever, const RagifyConfigNode *config)
{
  gsize count;
  const RagifyConfigNode *const *members = ragify_config_node_refs (config, "members", &count);
  retriever->balancer = make_balancer (graph, previous, config);
  if (retriever->balancer == NULL)
    return;
  retriever->node = ragify_balancer_member (retriever->balancer, 0)->node;
  retriever->source_type = source_type_of (members[0]);
  retriever->score = score_of (ragify_config_node_get_string (members[0], "score"));
}

/* The node that stands for another pipeline; the pipelines that ask it share it. NULL: that one is not there. */
static RagifyNode *
make_nested (RagifyGraph *graph, RagifyGraph *previous, const RagifyConfigNode *config)
{
  RagifyPart *inner = ragify_graph_find_part (graph->pipelines, config);
  RagifyPart *part = ragify_graph_find_part (graph->nested, config);
  if (part != NULL || inner == NULL)
    return part != NULL ? ragify_nested_node (part->object) : NULL;
  g_autoptr (GPtrArray) basis = g_ptr_array_new ();
  g_ptr_array_add (basis, inner->object);
  part = ragify_graph_share_part (previous != NULL ? previous->nested : NULL, config, basis);
  if (part == NULL) {
    const RagifyNodeOptions options = { .name = ragify_config_node_name (config), .weight = 1 };
    g_autoptr (GError) error = NULL;
    RagifyNested *nested = ragify_nested_new (graph->runtime, inner->object, &options, &error);
    if (nested == NULL) {
      g_warning ("%s", error->message);
      return NULL;
    }
    part = ragify_graph_part_new (config, basis, nested, (GDestroyNotify)ragify_nested_free);
  }
  g_ptr_array_add (graph->nested, part);
  return ragify_nested_node (part->object);
}

static RagifyRetriever
retriever_of (RagifyGraph *graph, RagifyGraph *previous, const RagifyConfigNode *node)
{
  RagifyRetriever retriever = { .node = ragify_graph_node (graph, node),
                                .source_type = source_type_of (node),
                                .weight = ragify_config_node_get_double (node, "weight"),
                                .authority = ragify_graph_is_kind (node, "text-index")
                                                 ? 1 /* its chunks are the store's */
                                                 : ragify_config_node_get_double (node, "authority"),
                                .deadline_us = ragify_config_node_get_duration (node, "deadline") };
  const RagifyConfigNode *store = NULL;
  if (ragify_graph_is_kind (node, "vector-store")) {
    retriever.type = RAGIFY_RETRIEVER_VECTOR_STORE;
    store = node;
  } else if (ragify_graph_is_kind (node, "text-index")) {
    retriever.type = RAGIFY_RETRIEVER_TEXT_INDEX;
    store = ragify_config_node_ref (node, "of");
  } else if (ragify_graph_is_kind (node, "balancer")) {
    retriever.type = RAGIFY_RETRIEVER_SOURCE;
    take_balancer (graph, previous, &retriever, node);
  } else if (ragify_graph_is_kind (node, "pipeline")) {
    retriever = (RagifyRetriever){ .type = RAGIFY_RETRIEVER_SOURCE,
                                   .node = make_nested (graph, previous, node),
                                   .nested = TRUE,
                                   .source_type = "document",
                                   .weight = 1,
                                   .score = RAGIFY_SCORE_SOURCE };
  } else {
    retriever.type = RAGIFY_RETRIEVER_SOURCE;
    retriever.score = score_of (ragify_config_node_get_string (node, "score"));
  }
  retriever.store = ragify_graph_node (graph, store);
  if (store != NULL) {
    retriever.embedder = ragify_graph_node (graph, ragify_graph_embedder_node (graph, store));
    set_batching (&retriever, ragify_graph_embedder_node (graph, store));
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

/* The places to ask that are running; how many. */
static guint
find_retrievers (RagifyGraph *graph, RagifyGraph *previous, const RagifyConfigNode *config, RagifyRetriever *retrievers)
{
  gsize count;
  const RagifyConfigNode *const *places = ragify_config_node_refs (config, "retrieve", &count);
  guint found = 0;
  for (gsize i = 0; i < count; i++) {
    const RagifyRetriever retriever = retriever_of (graph, previous, places[i]);
    if (retriever.node != NULL && (retriever.type != RAGIFY_RETRIEVER_TEXT_INDEX || retriever.store != NULL))
      retrievers[found++] = retriever;
  }
  return found;
}

/* How the pipeline keeps its cached answers in step with the stores; a cache by itself has the defaults. */
static void
set_freshness (RagifyPipelineOptions *options, const RagifyConfigNode *cache)
{
  options->max_staleness_us = MAX_STALENESS_US;
  if (cache == NULL || !ragify_graph_is_kind (cache, "tier"))
    return;
  options->max_staleness_us = ragify_config_node_get_duration (cache, "max-staleness");
  options->invalidate_every_us = ragify_config_node_get_duration (cache, "invalidate-every");
  if (!ragify_config_node_get_bool (cache, "semantic"))
    return;
  options->semantic_threshold = ragify_config_node_get_double (cache, "semantic-threshold");
  options->semantic_entries = (guint)ragify_config_node_get_int (cache, "semantic-entries");
}

static void
set_near_duplicates (RagifyPipelineOptions *options, const RagifyConfigNode *config)
{
  const char *way = ragify_config_node_get_string (config, "near-duplicates");
  if (!g_str_equal (way, "off"))
    options->near_duplicates = ragify_config_node_get_double (config, "near-duplicate-threshold");
  if (g_str_equal (way, "embedding"))
    options->near_cosine = ragify_config_node_get_double (config, "near-duplicate-cosine");
}

/* One that is not running is left out: it is not essential. */
static void
set_reranker (RagifyPipelineOptions *options, RagifyGraph *graph, const RagifyConfigNode *reranker)
{
  options->reranker = ragify_graph_node (graph, reranker);
  if (options->reranker != NULL)
    options->rerank_deadline_us = ragify_config_node_get_duration (reranker, "deadline");
}

static RagifyPipeline *
new_pipeline (RagifyGraph *graph, const RagifyConfigNode *config, const RagifyRetriever *retrievers, guint n_retrievers,
              RagifyTier *tier)
{
  const RagifyFingerprint fingerprint = ragify_config_node_answer_fingerprint (config);
  RagifyPipelineOptions options = {
    .name = ragify_config_node_name (config),
    .retrievers = retrievers,
    .n_retrievers = n_retrievers,
    .tier = tier,
    .fuse = fuse_of (ragify_config_node_get_string (config, "fuse")),
    .fuse_weight = ragify_config_node_get_double (config, "fuse-weight"),
    .fuse_candidates = (guint)ragify_config_node_get_int (config, "fuse-candidates"),
    .passage_bytes = ragify_config_node_get_size (config, "passage-cache"),
    .rrf_k = (guint)ragify_config_node_get_int (config, "rrf-k"),
    .dedupe = ragify_config_node_get_bool (config, "dedupe"),
    .freshness_half_life_us = ragify_config_node_get_duration (config, "freshness-half-life"),
    .freshness_weight = ragify_config_node_get_double (config, "freshness-weight"),
    .rerank_candidates = (guint)ragify_config_node_get_int (config, "rerank-candidates"),
    .diversify = ragify_config_node_get_double (config, "diversify"),
    .min_relevance = ragify_config_node_get_double (config, "min-relevance"),
    .deadline_us = ragify_config_node_get_duration (config, "deadline"),
    .source_batch = (guint)ragify_config_node_get_int (config, "source-batch"),
    .max_at_once = (guint)ragify_config_node_get_int (config, "max-concurrent-sources"),
    .finish = finish_of (ragify_config_node_get_string (config, "finish")),
    .mode = mode_of (ragify_config_node_get_string (config, "mode")),
    .max_chunks = (guint)ragify_config_node_get_int (config, "max-chunks"),
    .max_tokens = (guint64)ragify_config_node_get_int (config, "max-tokens"),
    .host_limiter = limiter_of (graph),
    .max_concurrent = (guint)ragify_config_node_get_int (config, "max-concurrent"),
    .queue = (guint)ragify_config_node_get_int (config, "queue"),
    .queue_timeout_us = ragify_config_node_get_duration (ragify_config_host (graph->config), "queue-timeout"),
    .adaptive = ragify_config_node_get_bool (config, "adaptive-limit"),
    .fail_on_partial = g_str_equal (ragify_config_node_get_string (config, "on-partial"), "fail"),
    .fingerprint = fingerprint.high ^ fingerprint.low,
  };
  set_near_duplicates (&options, config);
  set_reranker (&options, graph, ragify_config_node_ref (config, "rerank"));
  set_freshness (&options, ragify_config_node_ref (config, "cache"));
  return ragify_pipeline_new (graph->runtime, &options);
}

/* Everything that the pipeline holds an address of. */
static GPtrArray *
basis_of_pipeline (RagifyGraph *graph, const RagifyConfigNode *config, const RagifyRetriever *retrievers,
                   guint n_retrievers, RagifyTier *tier)
{
  GPtrArray *basis = g_ptr_array_new ();
  g_ptr_array_add (basis, tier);
  g_ptr_array_add (basis, ragify_graph_node (graph, ragify_config_node_ref (config, "rerank")));
  g_ptr_array_add (basis, limiter_of (graph));
  for (guint i = 0; i < n_retrievers; i++) {
    g_ptr_array_add (basis, retrievers[i].node);
    g_ptr_array_add (basis, retrievers[i].balancer);
    g_ptr_array_add (basis, retrievers[i].store);
    g_ptr_array_add (basis, retrievers[i].embedder);
  }
  return basis;
}

void
ragify_graph_make_pipeline (RagifyGraph *graph, RagifyGraph *previous, const RagifyConfigNode *config,
                            RagifyDiagnostics *diagnostics)
{
  gsize count;
  ragify_config_node_refs (config, "retrieve", &count);
  g_autofree RagifyRetriever *retrievers = g_new0 (RagifyRetriever, MAX (count, 1));
  const guint n_retrievers = find_retrievers (graph, previous, config, retrievers);
  if (n_retrievers == 0) {
    ragify_diagnostics_add (diagnostics, RAGIFY_SEVERITY_ERROR, config, "retrieve",
                            "none of the places to ask could be started");
    return;
  }
  if (!give_embedders (retrievers, n_retrievers, config, diagnostics))
    return;
  RagifyTier *tier = make_tier (graph, previous, ragify_config_node_ref (config, "cache"));
  g_autoptr (GPtrArray) basis = basis_of_pipeline (graph, config, retrievers, n_retrievers, tier);
  RagifyPart *part = ragify_graph_share_part (previous != NULL ? previous->pipelines : NULL, config, basis);
  if (part == NULL) {
    RagifyPipeline *pipeline = new_pipeline (graph, config, retrievers, n_retrievers, tier);
    part = ragify_graph_part_new (config, basis, pipeline, (GDestroyNotify)ragify_pipeline_free);
    pthread_mutex_lock (&graph->audience->lock);
    g_ptr_array_add (graph->audience->pipelines, pipeline);
    pthread_mutex_unlock (&graph->audience->lock);
  }
  g_ptr_array_add (graph->pipelines, part);
}
