/* Components that do as their script says.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <string.h>

#include "rig.h"

#define DIMENSION 64

typedef struct {
  const RagifyHost *host;
  RagifyContext *context;
  Script *script;
} Actor;

/* ---- lifecycle ---- */

static int32_t
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  RagifyStr script = { 0 };
  host->config_string (context, "script", &script);
  Actor *actor = g_new0 (Actor, 1);
  *actor = (Actor){ .host = host, .context = context, .script = (Script *)(void *)script.data };
  *instance = actor;
  return RAGIFY_OK;
}

static void
start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  ((Actor *)instance)->host->call_done (call, NULL);
}

static void
probe (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  const Actor *actor = instance;
  const RagifyProbeResult result = { .struct_size = sizeof result };
  g_atomic_int_inc (&actor->script->probes);
  if (g_atomic_int_get (&actor->script->sick))
    actor->host->call_fail (call, RAGIFY_E_UNAVAILABLE, ragify_str_from ("still sick"), 0);
  else
    actor->host->call_done (call, &result);
}

static void
destroy (void *instance)
{
  g_free (instance);
}

/* ---- behaving ---- */

static void
cancelled (RagifyCall *call, void *user)
{
  Actor *actor = user;
  g_atomic_int_inc (&actor->script->cancels);
  actor->host->call_fail (call, RAGIFY_E_CANCELLED, ragify_str_from ("told to stop"), 0);
}

/* Whether this call is one of those that fail. */
static gboolean
fails (Script *script, gint32 code)
{
  if (code == RAGIFY_OK)
    return FALSE;
  const gint left = g_atomic_int_get (&script->fails);
  if (left == 0)
    return TRUE;
  g_atomic_int_set (&script->fails, left > 1 ? left - 1 : -1);
  return left > 0;
}

/* FALSE: the call is dealt with. On a worker. */
static gboolean
behave (Actor *actor, RagifyCall *call)
{
  Script *script = actor->script;
  g_atomic_int_inc (&script->calls);
  const guint delay_ms = script->delay_ms;
  if (delay_ms > 0)
    g_usleep (delay_ms * 1000);
  while (script->holds)
    g_usleep (1000);
  if (script->deaf) {
    g_atomic_pointer_set (&script->held, call);
    return FALSE;
  }
  if (script->hangs) {
    actor->host->call_on_cancel (call, cancelled, actor);
    return FALSE;
  }
  const gint32 code = script->code;
  if (!fails (script, code))
    return TRUE;
  actor->host->call_fail (call, code, ragify_str_from ("as the script says"), 1500000);
  return FALSE;
}

/* The hold on a script's host: all actors have the same one. */
static const RagifyHost *the_host;

static gboolean
begin (Actor *actor, RagifyCall *call)
{
  g_atomic_pointer_set (&the_host, actor->host);
  return behave (actor, call);
}

void
script_release (Script *script)
{
  RagifyCall *call = g_atomic_pointer_get (&script->held);
  g_atomic_pointer_set (&script->held, NULL);
  const RagifyHost *host = g_atomic_pointer_get (&the_host);
  host->call_fail (call, RAGIFY_E_INTERNAL, ragify_str_from ("at last"), 0);
}

/* ---- words ---- */

/* The words of a text as a bag of hashes. */
static guint
words_of (RagifyStr text, guint *hashes, guint limit)
{
  g_autofree char *copy = g_ascii_strdown (text.data, (gssize)text.size);
  g_auto (GStrv) words = g_strsplit_set (copy, " .,:;?!\n", -1);
  guint count = 0;
  for (guint i = 0; words[i] != NULL && count < limit; i++)
    if (*words[i] != '\0')
      hashes[count++] = g_str_hash (words[i]);
  return count;
}

static void
embed_text (RagifyStr text, float *vector)
{
  guint words[64];
  const guint count = words_of (text, words, G_N_ELEMENTS (words));
  float square = 0;
  memset (vector, 0, DIMENSION * sizeof *vector);
  for (guint i = 0; i < count; i++)
    vector[words[i] % DIMENSION] += 1;
  for (guint i = 0; i < DIMENSION; i++)
    square += vector[i] * vector[i];
  for (guint i = 0; i < DIMENSION && square > 0; i++)
    vector[i] /= sqrtf (square);
}

static float
common_words (RagifyStr a, RagifyStr b)
{
  guint left[64], right[64];
  const guint n = words_of (a, left, 64), m = words_of (b, right, 64);
  float common = 0;
  for (guint i = 0; i < n; i++)
    for (guint j = 0; j < m; j++)
      if (left[i] == right[j]) {
        common += 1;
        break;
      }
  return common;
}

static RagifyStr
content_of (const Script *script, guint index)
{
  return ragify_str_from (script->passages[index].content);
}

RagifyUuid
passage_id (guint index)
{
  RagifyUuid id = { { 1, 2, 3, 4, 5, 6, 0x47, 8, 0x89 } };
  id.bytes[15] = (guint8)(index + 1);
  id.bytes[14] = (guint8)((index + 1) >> 8);
  return id;
}

static void
fill_chunk (const Script *script, guint index, RagifyChunk *chunk)
{
  const Passage *passage = &script->passages[index];
  *chunk = (RagifyChunk){ .struct_size = sizeof *chunk,
                          .id = passage_id (index),
                          .document_id = ragify_str_from (passage->document),
                          .title = ragify_str_from (passage->title),
                          .uri = ragify_str_from (passage->uri),
                          .content = ragify_str_from (passage->content),
                          .metadata = ragify_str_from (passage->metadata),
                          .created_at = 1700000000000000,
                          .updated_at = script->updated_at != 0 ? script->updated_at : 1700000000500000 };
}

/* ---- embedder ---- */

static void
embed (void *instance, RagifyCall *call, const RagifyEmbedderEmbed *args)
{
  Actor *actor = instance;
  if (!begin (actor, call))
    return;
  float *items = actor->host->call_alloc (call, args->texts.count * DIMENSION * sizeof *items);
  for (guint64 i = 0; i < args->texts.count; i++)
    embed_text (args->texts.items[i], items + i * DIMENSION);
  const RagifyEmbedderEmbedResult result = {
    .struct_size = sizeof result,
    .vectors = { .items = items, .count = (guint32)args->texts.count, .dimension = DIMENSION },
  };
  actor->host->call_done (call, &result);
}

static void
tokenize (void *instance, RagifyCall *call, const RagifyEmbedderTokenize *args)
{
  Actor *actor = instance;
  guint32 *counts = actor->host->call_alloc (call, args->texts.count * sizeof *counts);
  guint words[64];
  for (guint64 i = 0; i < args->texts.count; i++)
    counts[i] = words_of (args->texts.items[i], words, 64);
  const RagifyEmbedderTokenizeResult result = { .struct_size = sizeof result,
                                                .counts = { .items = counts, .count = args->texts.count } };
  actor->host->call_done (call, &result);
}

static void
describe (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  Actor *actor = instance;
  const RagifyEmbedderInfo info = { .struct_size = sizeof info,
                                    .dimension = DIMENSION,
                                    .fingerprint = ragify_str_from ("words-64") };
  actor->host->call_done (call, &info);
}

/* ---- searching ---- */

typedef struct {
  float score;
  guint index;
} Scored;

static int
by_score (const void *a, const void *b)
{
  const Scored *left = a, *right = b;
  if (left->score != right->score)
    return left->score < right->score ? 1 : -1;
  return left->index < right->index ? -1 : 1;
}

static RagifyHitList
best (Actor *actor, RagifyCall *call, Scored *scored, guint count, guint top_k)
{
  if (count > 0)
    qsort (scored, count, sizeof *scored, by_score);
  count = MIN (count, top_k);
  RagifyHit *hits = actor->host->call_alloc (call, MAX (count, 1) * sizeof *hits);
  for (guint i = 0; i < count; i++)
    hits[i] = (RagifyHit){ .id = passage_id (scored[i].index), .score = scored[i].score };
  return (RagifyHitList){ .items = hits, .count = count };
}

static guint index_of (const Script *script, const RagifyUuid *id);

static RagifyVectors
score_others (Actor *actor, RagifyCall *call, const RagifyStoreSearch *args)
{
  float *scores = actor->host->call_alloc (call, args->scored.count * sizeof *scores);
  for (guint64 i = 0; i < args->scored.count; i++) {
    float vector[DIMENSION];
    embed_text (content_of (actor->script, index_of (actor->script, &args->scored.items[i])), vector);
    for (guint d = 0; d < DIMENSION; d++)
      scores[i] += vector[d] * args->vectors.items[d];
  }
  return (RagifyVectors){ .items = scores, .count = 1, .dimension = (guint32)args->scored.count };
}

static void
store_search (void *instance, RagifyCall *call, const RagifyStoreSearch *args)
{
  Actor *actor = instance;
  const Script *script = actor->script;
  g_atomic_int_inc (&actor->script->searches);
  if (!begin (actor, call))
    return;
  g_autofree Scored *scored = g_new (Scored, script->n_passages);
  for (guint i = 0; i < script->n_passages; i++) {
    float vector[DIMENSION], cosine = 0;
    embed_text (content_of (script, i), vector);
    for (guint d = 0; d < DIMENSION; d++)
      cosine += vector[d] * args->vectors.items[d];
    scored[i] = (Scored){ .score = cosine, .index = i };
  }
  guint32 *count = actor->host->call_alloc (call, sizeof *count);
  RagifyStoreSearchResult result = { .struct_size = sizeof result };
  result.hits = best (actor, call, scored, script->n_passages, args->top_k);
  *count = (guint32)result.hits.count;
  result.counts = (RagifyU32List){ .items = count, .count = 1 };
  g_atomic_int_set (&actor->script->to_score, (gint)args->scored.count);
  if (script->scores && args->scored.count > 0)
    result.scores = score_others (actor, call, args);
  actor->host->call_done (call, &result);
}

static guint
index_of (const Script *script, const RagifyUuid *id)
{
  const guint index = (id->bytes[15] | (guint)id->bytes[14] << 8) - 1u;
  return index < script->n_passages ? index : G_MAXUINT;
}

static void
store_fetch (void *instance, RagifyCall *call, const RagifyStoreFetch *args)
{
  Actor *actor = instance;
  const Script *script = actor->script;
  const gboolean vectors = (args->what & RAGIFY_FETCH_VECTORS) != 0;
  g_atomic_int_inc (vectors ? &actor->script->vector_fetches : &actor->script->fetches);
  if (!begin (actor, call))
    return;
  if (vectors && script->no_vectors) {
    actor->host->call_fail (call, RAGIFY_E_INTERNAL, ragify_str_from ("the vectors are lost"), 0);
    return;
  }
  RagifyStoreFetchResult result = { .struct_size = sizeof result };
  if (vectors) {
    float *items = actor->host->call_alloc (call, args->ids.count * DIMENSION * sizeof *items);
    for (guint64 i = 0; i < args->ids.count; i++)
      embed_text (content_of (script, index_of (script, &args->ids.items[i])), items + i * DIMENSION);
    result.vectors = (RagifyVectors){ .items = items, .count = (guint32)args->ids.count, .dimension = DIMENSION };
  } else {
    RagifyChunk *chunks = actor->host->call_alloc (call, args->ids.count * sizeof *chunks);
    for (guint64 i = 0; i < args->ids.count; i++) {
      const guint index = index_of (script, &args->ids.items[i]);
      if (index == G_MAXUINT || script->forgets)
        chunks[i] = (RagifyChunk){ .struct_size = sizeof chunks[i], .flags = RAGIFY_CHUNK_MISSING };
      else
        fill_chunk (script, index, &chunks[i]);
    }
    result.chunks = (RagifyChunkList){ .items = chunks, .count = args->ids.count, .stride = sizeof *chunks };
  }
  actor->host->call_done (call, &result);
}

static void
store_generation (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  Actor *actor = instance;
  g_atomic_int_inc (&actor->script->generations);
  const guint64 counter = 1 + (guint64)g_atomic_int_get (&actor->script->commits);
  const RagifyStoreGeneration result = { .struct_size = sizeof result,
                                         .generation = { .store = passage_id (77), .counter = counter } };
  if (g_atomic_int_get (&actor->script->untold))
    actor->host->call_fail (call, RAGIFY_E_UNAVAILABLE, ragify_str_from ("it does not say"), 0);
  else
    actor->host->call_done (call, &result);
}

static void
text_search (void *instance, RagifyCall *call, const RagifyTextSearch *args)
{
  Actor *actor = instance;
  const Script *script = actor->script;
  g_atomic_int_inc (&actor->script->searches);
  g_atomic_int_set (&actor->script->top_k, (gint)args->top_k);
  if (!begin (actor, call))
    return;
  g_autofree Scored *scored = g_new (Scored, script->n_passages);
  guint count = 0;
  for (guint i = 0; i < script->n_passages; i++) {
    const float common = common_words (args->text, content_of (script, i));
    if (common > 0)
      scored[count++] = (Scored){ .score = common, .index = i };
  }
  RagifyTextSearchResult result = { .struct_size = sizeof result };
  result.hits = best (actor, call, scored, count, args->top_k);
  actor->host->call_done (call, &result);
}

/* ---- source ---- */

static void
source_query (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  Actor *actor = instance;
  Script *script = actor->script;
  const gint under_way = g_atomic_int_add (&script->under_way, 1) + 1;
  if (under_way > g_atomic_int_get (&script->most_under_way))
    g_atomic_int_set (&script->most_under_way, under_way);
  const gboolean goes_on = begin (actor, call);
  g_atomic_int_add (&script->under_way, -1);
  if (!goes_on)
    return;
  const guint count = MIN (script->n_passages, args->top_k);
  const guint emitted = script->emits && count > 0 ? count - 1 : 0;
  RagifyChunk *chunks = actor->host->call_alloc (call, MAX (count, 1) * sizeof *chunks);
  for (guint i = 0; i < count; i++) {
    fill_chunk (script, i, &chunks[i]);
    chunks[i].id = (RagifyUuid){ 0 };
    chunks[i].score = 1 - 0.1 * i;
    chunks[i].flags = script->scored ? RAGIFY_CHUNK_SCORED : 0;
    if (i < emitted)
      actor->host->call_emit (call, &chunks[i]);
  }
  const RagifySourceResult result = {
    .struct_size = sizeof result,
    .chunks = { .items = chunks + emitted, .count = count - emitted, .stride = sizeof *chunks },
  };
  actor->host->call_done (call, &result);
}

/* ---- reranker: the share of the query's words that a passage has; nothing of those with "(unjudged)" ---- */

static int
by_rank (const void *a, const void *b)
{
  const RagifyRank *left = a, *right = b;
  return left->score < right->score ? 1 : left->score > right->score ? -1 : 0;
}

static void
rerank (void *instance, RagifyCall *call, const RagifyRerank *args)
{
  Actor *actor = instance;
  Script *script = actor->script;
  g_atomic_int_set (&script->top_k, (gint)args->top_k);
  if (!begin (actor, call))
    return;
  guint words[64];
  const float all = (float)MAX (words_of (args->query, words, G_N_ELEMENTS (words)), 1);
  RagifyRank *ranks = actor->host->call_alloc (call, MAX (args->chunks.count, 1) * sizeof *ranks);
  RagifyRerankResult result = { .struct_size = sizeof result, .ranks.items = ranks };
  for (guint64 i = 0; i < args->chunks.count && !script->forgets; i++) {
    const RagifyChunk *chunk =
        (const RagifyChunk *)(const void *)((const char *)args->chunks.items + i * args->chunks.stride);
    if (g_strstr_len (chunk->content.data, (gssize)chunk->content.size, "(unjudged)") == NULL)
      ranks[result.ranks.count++] =
          (RagifyRank){ .index = (guint32)i, .score = MIN (common_words (args->query, chunk->content) / all, 1) };
  }
  qsort (ranks, result.ranks.count, sizeof *ranks, by_rank);
  actor->host->call_done (call, &result);
}

/* ---- cache: one that never has anything, or fails ---- */

static void
cache_get (void *instance, RagifyCall *call, const RagifyCacheGet *args)
{
  Actor *actor = instance;
  if (!begin (actor, call))
    return;
  const RagifyCacheGetResult result = { .struct_size = sizeof result };
  actor->host->call_done (call, &result);
}

static void
cache_set (void *instance, RagifyCall *call, const RagifyCacheSet *args)
{
  Actor *actor = instance;
  g_atomic_int_inc (&actor->script->sets);
  const gint code = g_atomic_int_get (&actor->script->set_code);
  if (code != RAGIFY_OK)
    actor->host->call_fail (call, code, ragify_str_from ("writes are refused"), 0);
  else if (begin (actor, call))
    actor->host->call_done (call, NULL);
}

static const RagifyEmbedderOperations embedder_operations = {
  .struct_size = sizeof embedder_operations, .describe = describe, .tokenize = tokenize, .embed = embed
};
static const RagifyVectorStoreOperations store_operations = {
  .struct_size = sizeof store_operations, .search = store_search, .fetch = store_fetch, .generation = store_generation
};
static const RagifyTextIndexOperations index_operations = { .struct_size = sizeof index_operations,
                                                            .search = text_search };
static const RagifySourceOperations source_operations = { .struct_size = sizeof source_operations,
                                                          .query = source_query };
static const RagifyRerankerOperations reranker_operations = { .struct_size = sizeof reranker_operations,
                                                              .rerank = rerank };
static const RagifyCacheOperations cache_operations = { .struct_size = sizeof cache_operations,
                                                        .get = cache_get,
                                                        .set = cache_set };

#define LIFECYCLE                                                                                                      \
  .struct_size = sizeof (RagifyComponent), .run_class = RAGIFY_RUN_WORKER, .max_parallel = 4, .create = create,        \
  .start = start, .destroy = destroy, .summary = "does as its script says"

const RagifyComponent scripted_embedder = { LIFECYCLE, .kind = RAGIFY_KIND_EMBEDDER, .name = "scripted",
                                            .operations = &embedder_operations };
const RagifyComponent scripted_store = { LIFECYCLE, .flags = RAGIFY_COMPONENT_EXCLUSIVE,
                                         .kind = RAGIFY_KIND_VECTOR_STORE, .name = "scripted",
                                         .operations = &store_operations };
const RagifyComponent scripted_filtering_store = { LIFECYCLE,
                                                   .flags = RAGIFY_COMPONENT_EXCLUSIVE | RAGIFY_COMPONENT_FILTERS,
                                                   .kind = RAGIFY_KIND_VECTOR_STORE, .name = "filtering",
                                                   .operations = &store_operations };
const RagifyComponent scripted_shared_store = { LIFECYCLE, .flags = RAGIFY_COMPONENT_REMOTE,
                                                .kind = RAGIFY_KIND_VECTOR_STORE, .name = "shared",
                                                .operations = &store_operations };
const RagifyComponent scripted_index = { LIFECYCLE, .kind = RAGIFY_KIND_TEXT_INDEX, .name = "scripted",
                                         .operations = &index_operations };
const RagifyComponent scripted_source = { LIFECYCLE, .kind = RAGIFY_KIND_SOURCE, .name = "scripted",
                                          .operations = &source_operations };
const RagifyComponent scripted_probed_source = { LIFECYCLE, .probe = probe, .kind = RAGIFY_KIND_SOURCE,
                                                 .name = "probed", .operations = &source_operations };
const RagifyComponent scripted_cache = { LIFECYCLE, .kind = RAGIFY_KIND_CACHE, .name = "scripted",
                                         .operations = &cache_operations };
const RagifyComponent scripted_reranker = { LIFECYCLE, .kind = RAGIFY_KIND_RERANKER, .name = "scripted",
                                            .operations = &reranker_operations };
