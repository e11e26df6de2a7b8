/* Components of all kinds whose calls come back with what cannot be: one for each misdeed, named after it.
 * SPDX-License-Identifier: MIT */
#include <ragify/ragify.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const RagifyHost *our_host; /* the only state: instances need none */

static int32_t
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  (void)which;
  our_host = host;
  *instance = context;
  return RAGIFY_OK;
}

static void
start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  (void)instance;
  (void)args;
  our_host->call_done (call, NULL);
}

static void
destroy (void *instance)
{
  (void)instance;
}

/* ---- sources ---- */

static RagifyChunk
make_chunk (void)
{
  return (RagifyChunk){ .struct_size = sizeof (RagifyChunk), .content = ragify_str_from ("a passage") };
}

static void
give_chunk (RagifyCall *call, RagifyChunk chunk, uint32_t stride)
{
  RagifyChunk *copy = our_host->call_alloc (call, 2 * sizeof *copy);
  *copy = chunk;
  const RagifySourceResult result = {
    .struct_size = sizeof result,
    .chunks = { .items = copy, .count = 1, .stride = stride },
  };
  our_host->call_done (call, &result);
}

static void
nan_score (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  RagifyChunk chunk = make_chunk ();
  chunk.score = NAN;
  give_chunk (call, chunk, sizeof chunk);
}

static void
infinite_score (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  RagifyChunk chunk = make_chunk ();
  chunk.score = -INFINITY;
  give_chunk (call, chunk, sizeof chunk);
}

static void
relevance_of_2 (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  RagifyChunk chunk = make_chunk ();
  chunk.score = 2;
  chunk.flags = RAGIFY_CHUNK_SCORED;
  give_chunk (call, chunk, sizeof chunk);
}

static void
broken_text (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  RagifyChunk chunk = make_chunk ();
  chunk.content = ragify_str ("\xed\xa0\x80", 3); /* a lone surrogate */
  give_chunk (call, chunk, sizeof chunk);
}

static void
text_without_data (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  RagifyChunk chunk = make_chunk ();
  chunk.title = ragify_str (NULL, 5000);
  give_chunk (call, chunk, sizeof chunk);
}

static void
small_chunk (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  RagifyChunk chunk = make_chunk ();
  chunk.struct_size = 16;
  give_chunk (call, chunk, sizeof chunk);
}

static void
small_stride (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  give_chunk (call, make_chunk (), 8);
}

static void
odd_stride (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  give_chunk (call, make_chunk (), sizeof (RagifyChunk) + 3);
}

static void
more_than_asked (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  const uint32_t count = args->top_k + 50;
  RagifyChunk *chunks = our_host->call_alloc (call, count * sizeof *chunks);
  for (uint32_t i = 0; i < count; i++)
    chunks[i] = make_chunk ();
  const RagifySourceResult result = {
    .struct_size = sizeof result,
    .chunks = { .items = chunks, .count = count, .stride = sizeof *chunks },
  };
  our_host->call_done (call, &result);
}

static void
items_of_null (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  const RagifySourceResult result = {
    .struct_size = sizeof result,
    .chunks = { .items = NULL, .count = UINT64_MAX, .stride = sizeof (RagifyChunk) },
  };
  our_host->call_done (call, &result);
}

static void
no_result (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  our_host->call_done (call, NULL);
}

static void
result_of_no_size (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  const RagifySourceResult result = { .struct_size = 4 };
  our_host->call_done (call, &result);
}

static void
result_of_a_later_version (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  /* No misdeed: what a plugin of ABI 1.7 would send. */
  struct {
    RagifySourceResult known;
    uint64_t later[20];
  } result = { .known = { .struct_size = sizeof result } };
  memset (result.later, 0xff, sizeof result.later);
  our_host->call_done (call, &result.known);
}

/* ---- the other kinds ---- */

static void
broken_buffer (void *instance, RagifyCall *call, const RagifyCacheGet *args)
{
  static RagifyBuffer buffer = { .struct_size = 8, .size = 5 };
  const RagifyCacheGetResult result = { .struct_size = sizeof result, .value = &buffer };
  our_host->call_done (call, &result);
}

static void
buffer_function (RagifyBuffer *buffer)
{
  (void)buffer;
}

static void
buffer_without_data (void *instance, RagifyCall *call, const RagifyCacheGet *args)
{
  static RagifyBuffer buffer = {
    .struct_size = sizeof (RagifyBuffer),
    .size = 1 << 20,
    .ref = buffer_function,
    .unref = buffer_function,
  };
  const RagifyCacheGetResult result = { .struct_size = sizeof result, .value = &buffer };
  our_host->call_done (call, &result);
}

static void
cache_set (void *instance, RagifyCall *call, const RagifyCacheSet *args)
{
  our_host->call_done (call, NULL);
}

static void
cache_remove (void *instance, RagifyCall *call, const RagifyCacheRemove *args)
{
  const RagifyCacheCount result = { .struct_size = sizeof result };
  our_host->call_done (call, &result);
}

static void
cache_clear (void *instance, RagifyCall *call, const RagifyCacheClear *args)
{
  cache_remove (instance, call, NULL);
}

static void
describe_nothing (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  const RagifyEmbedderInfo result = { .struct_size = sizeof result, .dimension = 384 };
  our_host->call_done (call, &result);
}

static void
describe_huge (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  const RagifyEmbedderInfo result = {
    .struct_size = sizeof result,
    .dimension = 1000000000,
    .fingerprint = ragify_str_from ("huge"),
  };
  our_host->call_done (call, &result);
}

static void
give_vectors (RagifyCall *call, uint32_t count, uint32_t dimension, float value)
{
  float *items = our_host->call_alloc (call, 4 * sizeof *items);
  items[0] = value;
  const RagifyEmbedderEmbedResult result = {
    .struct_size = sizeof result,
    .vectors = { .items = items, .count = count, .dimension = dimension },
  };
  our_host->call_done (call, &result);
}

static void
wrong_number_of_vectors (void *instance, RagifyCall *call, const RagifyEmbedderEmbed *args)
{
  give_vectors (call, 2, 2, 1);
}

static void
nan_vector (void *instance, RagifyCall *call, const RagifyEmbedderEmbed *args)
{
  give_vectors (call, 1, 4, NAN);
}

static void
vector_of_no_dimension (void *instance, RagifyCall *call, const RagifyEmbedderEmbed *args)
{
  give_vectors (call, 1, 0, 1);
}

static void
vector_of_huge_dimension (void *instance, RagifyCall *call, const RagifyEmbedderEmbed *args)
{
  give_vectors (call, 1, UINT32_MAX, 1);
}

static void
give_hits (RagifyCall *call, uint32_t hit_count, uint32_t said, float score)
{
  RagifyHit *hits = our_host->call_alloc (call, (uint64_t)hit_count * sizeof *hits);
  uint32_t *counts = our_host->call_alloc (call, sizeof *counts);
  for (uint32_t i = 0; i < hit_count; i++)
    hits[i].score = score;
  counts[0] = said;
  const RagifyStoreSearchResult result = {
    .struct_size = sizeof result,
    .hits = { hits, hit_count },
    .counts = { counts, 1 },
  };
  our_host->call_done (call, &result);
}

/* Two scores where none was asked for. */
static void
scores_of_others (void *instance, RagifyCall *call, const RagifyStoreSearch *args)
{
  static const float scores[] = { 0.5f, 0.5f };
  static const uint32_t counts[] = { 0 };
  const RagifyStoreSearchResult result = {
    .struct_size = sizeof result,
    .counts = { counts, 1 },
    .scores = { scores, 1, 2 },
  };
  our_host->call_done (call, &result);
}

static void
counts_do_not_add_up (void *instance, RagifyCall *call, const RagifyStoreSearch *args)
{
  give_hits (call, 3, 2, 0.5f);
}

static void
more_hits_than_asked (void *instance, RagifyCall *call, const RagifyStoreSearch *args)
{
  give_hits (call, args->top_k + 1, args->top_k + 1, 0.5f);
}

static void
nan_hit (void *instance, RagifyCall *call, const RagifyStoreSearch *args)
{
  give_hits (call, 1, 1, NAN);
}

static void
nan_weight (void *instance, RagifyCall *call, const RagifyTextSearch *args)
{
  RagifyHit *hit = our_host->call_alloc (call, sizeof *hit);
  hit->score = NAN;
  const RagifyTextSearchResult result = { .struct_size = sizeof result, .hits = { hit, 1 } };
  our_host->call_done (call, &result);
}

static void
give_rank (RagifyCall *call, uint32_t index, float score)
{
  RagifyRank *rank = our_host->call_alloc (call, sizeof *rank);
  *rank = (RagifyRank){ index, score };
  const RagifyRerankResult result = { .struct_size = sizeof result, .ranks = { rank, 1 } };
  our_host->call_done (call, &result);
}

static void
rank_of_nobody (void *instance, RagifyCall *call, const RagifyRerank *args)
{
  give_rank (call, 4000000000u, 0.5f);
}

static void
probability_of_2 (void *instance, RagifyCall *call, const RagifyRerank *args)
{
  give_rank (call, 0, 2);
}

static void
accept_all (void *instance, RagifyCall *call, const RagifyExtractorAccepts *args)
{
  const RagifyExtractorAcceptsResult result = { .struct_size = sizeof result, .confidence = 100 };
  our_host->call_done (call, &result);
}

static void
broken_piece (void *instance, RagifyCall *call, const RagifyExtractorExtract *args)
{
  const RagifyPiece piece = { .struct_size = sizeof piece, .text = ragify_str ("\xff\xfe", 2) };
  const RagifyExtractorExtractResult result = { .struct_size = sizeof result };
  our_host->call_emit (call, &piece);
  our_host->call_done (call, &result);
}

/* Operations that the kind needs and the test does not call. */
static void
not_asked (void *instance, RagifyCall *call, const void *args)
{
  our_host->call_fail (call, RAGIFY_E_INVALID, ragify_str_from ("nobody asked for this"), 0);
}

/* ---- the components ---- */

#define COMPONENT(variable, component_kind, component_name)                                                            \
  static const RagifyComponent variable = {                                                                            \
    .struct_size = sizeof (RagifyComponent),                                                                           \
    .kind = component_kind,                                                                                            \
    .name = component_name,                                                                                            \
    .summary = "Answers what cannot be.",                                                                              \
    .run_class = RAGIFY_RUN_SHARED,                                                                                    \
    .operations = &variable##_operations,                                                                              \
    .create = create,                                                                                                  \
    .start = start,                                                                                                    \
    .destroy = destroy,                                                                                                \
  }
#define SOURCE(variable, component_name, query_function)                                                               \
  static const RagifySourceOperations variable##_operations = {                                                        \
    .struct_size = sizeof (RagifySourceOperations),                                                                    \
    .query = query_function,                                                                                           \
  };                                                                                                                   \
  COMPONENT (variable, RAGIFY_KIND_SOURCE, component_name)
#define CACHE(variable, component_name, get_function)                                                                  \
  static const RagifyCacheOperations variable##_operations = {                                                         \
    .struct_size = sizeof (RagifyCacheOperations),                                                                     \
    .get = get_function,                                                                                               \
    .set = cache_set,                                                                                                  \
    .remove = cache_remove,                                                                                            \
    .clear = cache_clear,                                                                                              \
  };                                                                                                                   \
  COMPONENT (variable, RAGIFY_KIND_CACHE, component_name)
#define EMBEDDER(variable, component_name, describe_function, embed_function)                                          \
  static const RagifyEmbedderOperations variable##_operations = {                                                      \
    .struct_size = sizeof (RagifyEmbedderOperations),                                                                  \
    .describe = describe_function,                                                                                     \
    .embed = embed_function,                                                                                           \
  };                                                                                                                   \
  COMPONENT (variable, RAGIFY_KIND_EMBEDDER, component_name)
#define STORE(variable, component_name, search_function)                                                               \
  static const RagifyVectorStoreOperations variable##_operations = {                                                   \
    .struct_size = sizeof (RagifyVectorStoreOperations),                                                               \
    .upsert = (void (*) (void *, RagifyCall *, const RagifyStoreUpsert *))not_asked,                                   \
    .search = search_function,                                                                                         \
    .fetch = (void (*) (void *, RagifyCall *, const RagifyStoreFetch *))not_asked,                                     \
    .list = (void (*) (void *, RagifyCall *, const RagifyStoreList *))not_asked,                                       \
    .remove = (void (*) (void *, RagifyCall *, const RagifyStoreRemove *))not_asked,                                   \
    .generation = (void (*) (void *, RagifyCall *, const RagifyNothing *))not_asked,                                   \
  };                                                                                                                   \
  COMPONENT (variable, RAGIFY_KIND_VECTOR_STORE, component_name)
#define RERANKER(variable, component_name, rerank_function)                                                            \
  static const RagifyRerankerOperations variable##_operations = {                                                      \
    .struct_size = sizeof (RagifyRerankerOperations),                                                                  \
    .rerank = rerank_function,                                                                                         \
  };                                                                                                                   \
  COMPONENT (variable, RAGIFY_KIND_RERANKER, component_name)

SOURCE (source_nan, "nan-score", nan_score);
SOURCE (source_infinite, "infinite-score", infinite_score);
SOURCE (source_relevance, "relevance-of-2", relevance_of_2);
SOURCE (source_text, "broken-text", broken_text);
SOURCE (source_no_data, "text-without-data", text_without_data);
SOURCE (source_small, "small-chunk", small_chunk);
SOURCE (source_stride, "small-stride", small_stride);
SOURCE (source_odd, "odd-stride", odd_stride);
SOURCE (source_more, "more-than-asked", more_than_asked);
SOURCE (source_null, "items-of-null", items_of_null);
SOURCE (source_none, "no-result", no_result);
SOURCE (source_no_size, "result-of-no-size", result_of_no_size);
SOURCE (source_later, "result-of-a-later-version", result_of_a_later_version);
CACHE (cache_broken, "broken-buffer", broken_buffer);
CACHE (cache_no_data, "buffer-without-data", buffer_without_data);
EMBEDDER (embedder_nothing, "describes-nothing", describe_nothing, nan_vector);
EMBEDDER (embedder_huge, "describes-huge", describe_huge, nan_vector);
EMBEDDER (embedder_number, "wrong-number-of-vectors", describe_nothing, wrong_number_of_vectors);
EMBEDDER (embedder_nan, "nan-vector", describe_nothing, nan_vector);
EMBEDDER (embedder_flat, "vector-of-no-dimension", describe_nothing, vector_of_no_dimension);
EMBEDDER (embedder_wide, "vector-of-huge-dimension", describe_nothing, vector_of_huge_dimension);
STORE (store_counts, "counts-do-not-add-up", counts_do_not_add_up);
STORE (store_more, "more-hits-than-asked", more_hits_than_asked);
STORE (store_nan, "nan-hit", nan_hit);
STORE (store_others, "scores-of-others", scores_of_others);
RERANKER (reranker_nobody, "rank-of-nobody", rank_of_nobody);
RERANKER (reranker_probability, "probability-of-2", probability_of_2);

static const RagifyTextIndexOperations text_nan_operations = {
  .struct_size = sizeof text_nan_operations,
  .upsert = (void (*) (void *, RagifyCall *, const RagifyTextUpsert *))not_asked,
  .search = nan_weight,
  .remove = (void (*) (void *, RagifyCall *, const RagifyTextRemove *))not_asked,
  .generation = (void (*) (void *, RagifyCall *, const RagifyNothing *))not_asked,
};
COMPONENT (text_nan, RAGIFY_KIND_TEXT_INDEX, "nan-weight");

static const RagifyExtractorOperations extractor_broken_operations = {
  .struct_size = sizeof extractor_broken_operations,
  .accepts = accept_all,
  .extract = broken_piece,
};
COMPONENT (extractor_broken, RAGIFY_KIND_EXTRACTOR, "broken-piece");

static const RagifyComponent *const components[] = {
  &source_nan,    &source_infinite, &source_relevance,     &source_text,      &source_no_data,   &source_small,
  &source_stride, &source_odd,      &source_more,          &source_null,      &source_none,      &source_no_size,
  &source_later,  &cache_broken,    &cache_no_data,        &embedder_nothing, &embedder_huge,    &embedder_number,
  &embedder_nan,  &embedder_flat,   &embedder_wide,        &store_counts,     &store_more,       &store_nan,
  &store_others,  &reranker_nobody, &reranker_probability, &text_nan,         &extractor_broken, NULL,
};

static const RagifyPlugin plugin = {
  .magic = RAGIFY_PLUGIN_MAGIC,
  .abi_major = RAGIFY_ABI_MAJOR,
  .abi_minor_needed = RAGIFY_NEEDS_MINOR,
  .struct_size = sizeof plugin,
  .id = "org.ragify.test.evil-results",
  .version = "1",
  .licence = "MIT",
  .summary = "Misdeeds of results.",
  .url = "",
  .components = components,
};

const RagifyPlugin *
ragify_plugin_query (void)
{
  return &plugin;
}
