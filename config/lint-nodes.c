/* SPDX-License-Identifier: MIT */
#include "config/lint.h"
#include "config/listen-address.h"

#include <string.h>

typedef void (*NodeRule) (RagifyLoader *loader, const RagifyConfigNode *node);

static bool
is_written (const RagifyConfigNode *node, const char *key)
{
  int slot = ragify_config_node_slot (node, key);

  return slot >= 0 && node->written[slot].entry != NULL;
}

/* The key's value when it has one; what was refused has none and is not looked at again. */
static const RagifyConfigValue *
value_of (const RagifyConfigNode *node, const char *key)
{
  const RagifyConfigValue *value = ragify_config_node_value (node, key);

  return value == NULL || value->origin.kind == RAGIFY_ORIGIN_NONE ? NULL : value;
}

/* ---- [http] ----------------------------------------------------------------------------------------------------- */

static void
check_http (RagifyLoader *loader, const RagifyConfigNode *node)
{
  const RagifyConfigValue *listen = value_of (node, "listen");
  bool local = false;
  g_autofree char *message = NULL;

  if (is_written (node, "tls-cert") != is_written (node, "tls-key")) {
    bool cert = is_written (node, "tls-cert");

    ragify_load_report (loader, RAGIFY_SEVERITY_ERROR, node, cert ? "tls-cert" : "tls-key", "'%s' needs '%s' beside it",
                        cert ? "tls-cert" : "tls-key", cert ? "tls-key" : "tls-cert");
  }
  if (listen == NULL)
    return;
  if (!ragify_listen_address_check (listen->string, &local, &message))
    ragify_load_report (loader, RAGIFY_SEVERITY_ERROR, node, "listen", "'listen': %s", message);
  else if (!local && !is_written (node, "api-keys-file"))
    ragify_load_report (loader, RAGIFY_SEVERITY_ERROR, node, "listen",
                        "'listen' is open to other machines, which needs 'api-keys-file'; without keys only loopback "
                        "addresses and Unix sockets are allowed");
}

/* ---- [host] ----------------------------------------------------------------------------------------------------- */

static void
check_host (RagifyLoader *loader, const RagifyConfigNode *node)
{
  static const char *const of_tracing[] = { "trace-authorization-file", "trace-sample", "trace-queue",
                                            "trace-service" };
  const RagifyConfigValue *endpoint = value_of (node, "trace-endpoint");

  if (endpoint != NULL && !g_str_has_prefix (endpoint->string, "http://") &&
      !g_str_has_prefix (endpoint->string, "https://"))
    ragify_load_report (loader, RAGIFY_SEVERITY_ERROR, node, "trace-endpoint",
                        "'trace-endpoint': expected http://… or https://…, for OTLP over HTTP in JSON");
  for (size_t i = 0; i < G_N_ELEMENTS (of_tracing); i++)
    if (endpoint == NULL && is_written (node, of_tracing[i]))
      ragify_load_report (loader, RAGIFY_SEVERITY_WARNING, node, of_tracing[i],
                          "'%s' has no effect without 'trace-endpoint'", of_tracing[i]);
}

/* ---- Stores and ingest ------------------------------------------------------------------------------------------ */

static void
check_overlap (RagifyLoader *loader, const RagifyConfigNode *node, int64_t chunk_size, int64_t overlap)
{
  if (overlap <= chunk_size / 2)
    return;
  ragify_load_report (loader, RAGIFY_SEVERITY_ERROR, node, is_written (node, "overlap") ? "overlap" : "chunk-size",
                      "an 'overlap' of %" G_GINT64_FORMAT " is more than half of the 'chunk-size' of %" G_GINT64_FORMAT,
                      overlap, chunk_size);
}

static uint32_t
dimension_of (const RagifyLoader *loader, const RagifyConfigNode *node)
{
  const RagifyConfigValue *value = value_of (node, "dimension");

  if (value != NULL && value->type == RAGIFY_KEY_INT && value->integer > 0)
    return (uint32_t)MIN (value->integer, UINT32_MAX);
  if (loader->lookup->dimension == NULL || node->component == NULL)
    return 0;
  return loader->lookup->dimension (loader->lookup->data, node);
}

static void
check_store (RagifyLoader *loader, const RagifyConfigNode *node)
{
  const RagifyConfigNode *embedder = ragify_config_node_ref (node, "embedder");
  const RagifyConfigValue *chunk_size = value_of (node, "chunk-size");
  const RagifyConfigValue *overlap = value_of (node, "overlap");
  uint32_t of_store = 0;
  uint32_t of_embedder = 0;

  if (chunk_size != NULL && overlap != NULL)
    check_overlap (loader, node, chunk_size->integer, overlap->integer);
  if (ragify_config_node_ref (node, "former-embedder") != NULL &&
      (embedder == NULL || ragify_config_node_ref (node, "former-embedder") == embedder))
    ragify_load_report (loader, RAGIFY_SEVERITY_ERROR, node, "former-embedder",
                        "expected the embedder whose vectors are to be replaced by those of another one, which "
                        "'embedder' names; %s",
                        embedder == NULL ? "there is no 'embedder'" : "both name the same");
  if (embedder == NULL)
    return;
  of_store = dimension_of (loader, node);
  of_embedder = dimension_of (loader, embedder);
  if (of_store != 0 && of_embedder != 0 && of_store != of_embedder)
    ragify_load_report (loader, RAGIFY_SEVERITY_ERROR, node, "embedder",
                        "[%s] makes vectors of dimension %u, and this store holds those of dimension %u; take another "
                        "embedder, or `ragify-ctl reindex` the store",
                        embedder->group, of_embedder, of_store);
}

static void
check_ingest (RagifyLoader *loader, const RagifyConfigNode *node)
{
  const RagifyConfigNode *store = ragify_config_node_ref (node, "store");
  const RagifyConfigValue *chunk_size = value_of (node, "chunk-size");
  const RagifyConfigValue *overlap = value_of (node, "overlap");
  bool root = is_written (node, "root");
  bool source = is_written (node, "source");

  if (root && source)
    ragify_load_report (loader, RAGIFY_SEVERITY_ERROR, node, "source",
                        "'root' and 'source' are both given; leave one out");
  else if (!root && !source && !node->draft->damaged)
    ragify_load_report (loader, RAGIFY_SEVERITY_ERROR, node, NULL, "'root' is missing, or 'source' in its place");
  if (!is_written (node, "chunk-size") && !is_written (node, "overlap"))
    return;
  if (chunk_size == NULL && store != NULL && !is_written (node, "chunk-size"))
    chunk_size = value_of (store, "chunk-size");
  if (overlap == NULL && store != NULL && !is_written (node, "overlap"))
    overlap = value_of (store, "overlap");
  if (chunk_size != NULL && overlap != NULL)
    check_overlap (loader, node, chunk_size->integer, overlap->integer);
}

/* ---- Caches ----------------------------------------------------------------------------------------------------- */

static const RagifyConfigValue *
ttl_of (const RagifyConfigNode *level)
{
  const RagifyConfigValue *ttl = value_of (level, "ttl");

  return ttl == NULL || ttl->type != RAGIFY_KEY_DURATION ? NULL : ttl;
}

static void
check_tier (RagifyLoader *loader, const RagifyConfigNode *node)
{
  size_t count = 0;
  const RagifyConfigNode *const *levels = ragify_config_node_refs (node, "levels", &count);

  for (size_t i = 1; i < count; i++) {
    const RagifyConfigValue *upper = ttl_of (levels[i - 1]);
    const RagifyConfigValue *lower = ttl_of (levels[i]);
    g_autofree char *upper_text = NULL;
    g_autofree char *lower_text = NULL;

    /* A TTL of 0 is without end. */
    if (upper == NULL || lower == NULL || lower->duration == 0)
      continue;
    if (upper->duration != 0 && upper->duration < lower->duration)
      continue;
    upper_text = ragify_value_to_text (upper);
    lower_text = ragify_value_to_text (lower);
    ragify_load_report (
        loader, RAGIFY_SEVERITY_WARNING, node, "levels",
        "TTLs do not ascend: [%s] has %s, and [%s] after it %s, so that the lower level holds nothing that "
        "the upper one lacks",
        levels[i - 1]->group, upper_text, levels[i]->group, lower_text);
  }
}

/* ---- Pipelines -------------------------------------------------------------------------------------------------- */

/* True when the store has no embedder in force: none is written, or the one that is named is disabled. An unknown name
 * is an error of its own. */
static bool
lacks_embedder (const RagifyLoader *loader, const RagifyConfigNode *store)
{
  int slot = ragify_config_node_slot (store, "embedder");
  const RagifyConfigNode *named = NULL;

  if (ragify_config_node_ref (store, "embedder") != NULL)
    return false;
  if (!is_written (store, "embedder"))
    return true;
  named = ragify_config_find (loader->config, "embedder", store->written[slot].raw);
  return named != NULL && !named->enabled;
}

static void
check_retrievers (RagifyLoader *loader, const RagifyConfigNode *node)
{
  size_t count = 0;
  const RagifyConfigNode *const *parts = ragify_config_node_refs (node, "retrieve", &count);

  for (size_t i = 0; i < count; i++)
    if (parts[i]->kind == RAGIFY_KIND_ID_VECTOR_STORE && lacks_embedder (loader, parts[i]))
      ragify_load_report (loader, RAGIFY_SEVERITY_ERROR, node, "retrieve",
                          "[%s] has no 'embedder' and cannot be searched by meaning; give it one, or retrieve a "
                          "[text-index] of it",
                          parts[i]->group);
}

/* As many as the balancer has room for (core/balance/balancer.h). */
#define MOST_MEMBERS 64

static void
check_balancer (RagifyLoader *loader, const RagifyConfigNode *node)
{
  size_t count = 0;

  ragify_config_node_refs (node, "members", &count);
  if (count > MOST_MEMBERS)
    ragify_load_report (loader, RAGIFY_SEVERITY_ERROR, node, "members",
                        "a balancer has at most %d members, this one has %zu", MOST_MEMBERS, count);
  if (count == 1 && (is_written (node, "hedge") || is_written (node, "hedge-at-p95")))
    ragify_load_report (loader, RAGIFY_SEVERITY_WARNING, node, is_written (node, "hedge") ? "hedge" : "hedge-at-p95",
                        "hedging has no effect with a single member");
}

/* A source that is asked by itself and as a balancer's member gives the same chunks twice. */
static void
check_members (RagifyLoader *loader, const RagifyConfigNode *node)
{
  size_t count = 0;
  const RagifyConfigNode *const *parts = ragify_config_node_refs (node, "retrieve", &count);

  for (size_t i = 0; i < count; i++) {
    size_t n_members = 0;
    const RagifyConfigNode *const *members = NULL;

    if (parts[i]->kind == RAGIFY_KIND_ID_BALANCER)
      members = ragify_config_node_refs (parts[i], "members", &n_members);
    for (size_t k = 0; k < n_members; k++)
      for (size_t other = 0; other < count; other++)
        if (parts[other] == members[k])
          ragify_load_report (loader, RAGIFY_SEVERITY_WARNING, node, "retrieve",
                              "[%s] is asked by itself and as a member of [%s]", members[k]->group, parts[i]->group);
  }
}

/* Vectors are those of a store, whether it is asked itself or its text index, and of a source that is scored by them.
 */
static bool
has_vectors (const RagifyLoader *loader, const RagifyConfigNode *part)
{
  const RagifyConfigNode *store = part->kind == RAGIFY_KIND_ID_TEXT_INDEX ? ragify_config_node_ref (part, "of") : part;

  if (part->kind == RAGIFY_KIND_ID_SOURCE)
    return g_strcmp0 (ragify_config_node_get_string (part, "score"), "embed") == 0;
  return store != NULL && store->kind == RAGIFY_KIND_ID_VECTOR_STORE && !lacks_embedder (loader, store);
}

static void
check_near_duplicates (RagifyLoader *loader, const RagifyConfigNode *node)
{
  size_t count = 0;
  const RagifyConfigNode *const *parts = ragify_config_node_refs (node, "retrieve", &count);
  const RagifyConfigValue *way = value_of (node, "near-duplicates");
  bool vectors = false;

  if (way == NULL)
    return;
  for (size_t i = 0; i < count; i++)
    vectors = vectors || has_vectors (loader, parts[i]);
  if (strcmp (way->string, "embedding") == 0 && !vectors)
    ragify_load_report (loader, RAGIFY_SEVERITY_WARNING, node, "near-duplicates",
                        "nothing that this pipeline asks has vectors; words are compared, as with minhash");
  if (strcmp (way->string, "embedding") != 0 && is_written (node, "near-duplicate-cosine"))
    ragify_load_report (loader, RAGIFY_SEVERITY_WARNING, node, "near-duplicate-cosine",
                        "'near-duplicate-cosine' has no effect without near-duplicates = embedding");
}

/* Says of a key that only one way of fusing reads that it is not read. */
static void
check_fuse_key (RagifyLoader *loader, const RagifyConfigNode *node, const char *key, const char *way)
{
  const RagifyConfigValue *fuse = value_of (node, "fuse");

  if (fuse == NULL || !is_written (node, key) || strcmp (fuse->string, way) == 0)
    return;
  ragify_load_report (loader, RAGIFY_SEVERITY_WARNING, node, key, "'%s' has no effect with fuse = %s; it is for %s",
                      key, fuse->string, way);
}

static void
check_pipeline (RagifyLoader *loader, const RagifyConfigNode *node)
{
  check_retrievers (loader, node);
  check_members (loader, node);
  check_near_duplicates (loader, node);
  check_fuse_key (loader, node, "fuse-weight", "convex");
  check_fuse_key (loader, node, "rrf-k", "rrf");
  if (is_written (node, "rerank-candidates") && !is_written (node, "rerank"))
    ragify_load_report (loader, RAGIFY_SEVERITY_WARNING, node, "rerank-candidates",
                        "'rerank-candidates' has no effect without 'rerank'");
}

void
ragify_lint_nodes (RagifyLoader *loader)
{
  static const NodeRule rules[RAGIFY_N_KINDS] = {
    [RAGIFY_KIND_ID_HOST] = check_host,          [RAGIFY_KIND_ID_HTTP] = check_http,
    [RAGIFY_KIND_ID_VECTOR_STORE] = check_store, [RAGIFY_KIND_ID_INGEST] = check_ingest,
    [RAGIFY_KIND_ID_TIER] = check_tier,          [RAGIFY_KIND_ID_PIPELINE] = check_pipeline,
    [RAGIFY_KIND_ID_BALANCER] = check_balancer,
  };

  for (unsigned int i = 0; i < loader->config->nodes->len; i++) {
    const RagifyConfigNode *node = g_ptr_array_index (loader->config->nodes, i);

    if (node->enabled && rules[node->kind] != NULL)
      rules[node->kind](loader, node);
  }
}
