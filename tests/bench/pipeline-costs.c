/* What the host's own part of a request costs: everything but what plugins compute.
 *
 * SPDX-License-Identifier: MIT
 *
 * Plugins are stood in for by components that hand out prepared results at once: an embedding, 200 hits by vector, 200
 * by words of which 100 are the same, vectors of 384 dimensions, ten passages of 1,000 characters. One loop, no
 * network. Prints microseconds of CPU time, so that what else runs on the machine counts little.
 */
#include <string.h>
#include <time.h>

#include "rig.h"

#define DIMENSION 384
#define HITS 200
#define SHARED_HITS 100

static float vectors[HITS * DIMENSION];
static RagifyHit dense_hits[HITS], word_hits[HITS];
static char content[1001];
static const RagifyHost *host;

static int32_t
create (const RagifyHost *with, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  host = with;
  *instance = vectors;
  return RAGIFY_OK;
}

static void
start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  host->call_done (call, NULL);
}

static void
destroy (void *instance)
{
}

static void
embed (void *instance, RagifyCall *call, const RagifyEmbedderEmbed *args)
{
  const RagifyEmbedderEmbedResult result = { .struct_size = sizeof result,
                                             .vectors = { .items = vectors, .count = 1, .dimension = DIMENSION } };
  host->call_done (call, &result);
}

static void
search (void *instance, RagifyCall *call, const RagifyStoreSearch *args)
{
  static const uint32_t count = HITS;
  const RagifyStoreSearchResult result = { .struct_size = sizeof result,
                                           .hits = { .items = dense_hits, .count = HITS },
                                           .counts = { .items = &count, .count = 1 } };
  host->call_done (call, &result);
}

static void
fetch (void *instance, RagifyCall *call, const RagifyStoreFetch *args)
{
  RagifyStoreFetchResult result = { .struct_size = sizeof result };
  if (args->what & RAGIFY_FETCH_VECTORS) {
    result.vectors = (RagifyVectors){ .items = vectors, .count = (uint32_t)args->ids.count, .dimension = DIMENSION };
  } else {
    RagifyChunk *chunks = host->call_alloc (call, args->ids.count * sizeof *chunks);
    for (uint64_t i = 0; i < args->ids.count; i++) {
      content[0] = (char)('a' + i); /* no copies of one another */
      char *own = host->call_alloc (call, sizeof content);
      memcpy (own, content, sizeof content);
      chunks[i] = (RagifyChunk){ .struct_size = sizeof chunks[i],
                                 .id = args->ids.items[i],
                                 .document_id = ragify_str_from ("document-12345"),
                                 .content = ragify_str (own, 1000),
                                 .title = ragify_str_from ("The title of a document"),
                                 .uri = ragify_str_from ("file:///srv/library/document-12345.txt"),
                                 .metadata = ragify_str_from ("{\"lang\":\"en\",\"year\":2020}"),
                                 .created_at = 1700000000000000 };
    }
    result.chunks = (RagifyChunkList){ .items = chunks, .count = args->ids.count, .stride = sizeof *chunks };
  }
  host->call_done (call, &result);
}

static void
generation (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  const RagifyStoreGeneration result = { .struct_size = sizeof result, .generation.counter = 1 };
  host->call_done (call, &result);
}

static void
words (void *instance, RagifyCall *call, const RagifyTextSearch *args)
{
  const RagifyTextSearchResult result = { .struct_size = sizeof result, .hits = { .items = word_hits, .count = HITS } };
  host->call_done (call, &result);
}

static const RagifyEmbedderOperations embedder_operations = { .struct_size = sizeof embedder_operations,
                                                              .embed = embed };
static const RagifyVectorStoreOperations store_operations = {
  .struct_size = sizeof store_operations, .search = search, .fetch = fetch, .generation = generation
};
static const RagifyTextIndexOperations index_operations = { .struct_size = sizeof index_operations, .search = words };

static RagifyComponent
component (const char *kind, const void *operations)
{
  return (RagifyComponent){ .struct_size = sizeof (RagifyComponent),
                            .kind = kind,
                            .name = "prepared",
                            .run_class = RAGIFY_RUN_SHARED,
                            .operations = operations,
                            .create = create,
                            .start = start,
                            .destroy = destroy };
}

static void
prepare (void)
{
  for (guint i = 0; i < HITS * DIMENSION; i++)
    vectors[i] = (float)(i * 7919 % 1000) / 1000;
  for (guint i = 0; i < HITS; i++) {
    dense_hits[i] = (RagifyHit){ .score = 0.9f - 0.003f * (float)i };
    memcpy (dense_hits[i].id.bytes, &i, sizeof i);
    const guint other = i + SHARED_HITS;
    word_hits[i] = (RagifyHit){ .score = 30 - 0.1f * (float)i };
    memcpy (word_hits[i].id.bytes, &other, sizeof other);
  }
  memset (content, 'x', sizeof content - 1);
  for (guint i = 0; i < 1000; i += 6)
    content[i] = ' ';
}

typedef struct {
  Rig *rig;
  RagifyPipeline *pipeline;
  const char *body;
  guint count;
  gsize bytes;
  double cpu_us;
} Run;

/* What this thread has used, µs. */
static double
cpu_now (void)
{
  struct timespec now;
  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &now);
  return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void
answered (RagifyRequest *request, const RagifyAnswer *answer, void *user)
{
  Run *run = user;
  g_assert (answer->status == 200);
  run->bytes = answer->head_size + answer->body->size;
  ragify_owner_unref (&request->owner);
}

static void
answer_all (void *user)
{
  Run *run = user;
  const gsize size = strlen (run->body);
  const double began = cpu_now ();
  for (guint i = 0; i < run->count; i++) {
    RagifyProblem problem = { 0 };
    RagifyRequest *request = ragify_request_parse_json (run->body, size, &problem);
    request->loop = run->rig->runtime.loops[0];
    request->began = ragify_now ();
    memcpy (request->id, "0123456789", 11);
    ragify_pipeline_answer (run->pipeline, request, answered, run);
  }
  run->cpu_us = cpu_now () - began;
}

static void
parse_all (void *user)
{
  Run *run = user;
  const gsize size = strlen (run->body);
  const double began = cpu_now ();
  for (guint i = 0; i < run->count; i++) {
    RagifyProblem problem = { 0 };
    RagifyRequest *request = ragify_request_parse_json (run->body, size, &problem);
    ragify_owner_unref (&request->owner);
  }
  run->cpu_us = cpu_now () - began;
}

static void
measure (const char *what, Run *run, void (*work) (void *user), const char *body, guint count)
{
  run->body = body;
  run->count = count;
  double best = 1e9;
  for (guint round = 0; round < 5; round++) {
    rig_run (run->rig, 0, work, run);
    best = MIN (best, run->cpu_us / count);
  }
  g_print ("%-44s %8.2f us\n", what, best);
}

int
main (void)
{
  prepare ();
  Rig *rig = rig_new (1);
  const RagifyComponent embedder = component (RAGIFY_KIND_EMBEDDER, &embedder_operations);
  const RagifyComponent store = component (RAGIFY_KIND_VECTOR_STORE, &store_operations);
  const RagifyComponent index = component (RAGIFY_KIND_TEXT_INDEX, &index_operations);
  RagifyNode *embedder_node = rig_scripted (rig, "embedder", &embedder, NULL);
  RagifyNode *store_node = rig_scripted (rig, "docs", &store, NULL);
  RagifyNode *index_node = rig_scripted (rig, "words", &index, NULL);
  RagifyNode *cache = rig_plugin (rig, "ram", "CACHE_MEMORY", RAGIFY_KIND_CACHE, "memory", "");
  const RagifyTierLevel level = { .node = cache, .kind = "memory", .ttl_us = 600 * G_USEC_PER_SEC };
  const RagifyTierOptions tier_options = { .name = "answers", .levels = &level, .n_levels = 1 };
  RagifyTier *tier = ragify_tier_new (&rig->runtime, &tier_options);
  const RagifyRetriever retrievers[] = {
    { .type = RAGIFY_RETRIEVER_VECTOR_STORE,
      .node = store_node,
      .store = store_node,
      .embedder = embedder_node,
      .weight = 1 },
    { .type = RAGIFY_RETRIEVER_TEXT_INDEX, .node = index_node, .store = store_node, .weight = 1 },
  };
  const RagifyPipelineOptions options = { .name = "default",
                                          .retrievers = retrievers,
                                          .n_retrievers = G_N_ELEMENTS (retrievers),
                                          .tier = tier,
                                          .fuse_weight = 0.6,
                                          .dedupe = TRUE };
  Run run = { .rig = rig, .pipeline = ragify_pipeline_new (&rig->runtime, &options) };

  const char *small = "{\"query\":\"Does vitamin D deficiency affect pregnancy outcome in women?\",\"max_chunks\":10}";
  measure ("parse a small body", &run, parse_all, small, 100000);
  measure ("a hit in memory, parsing included", &run, answer_all, small, 100000);
  g_print ("%-44s %8zu bytes\n", "  its size", run.bytes);
  const char *bypass = "{\"query\":\"Does vitamin D deficiency affect pregnancy outcome in women?\",\"max_chunks\":10,"
                       "\"cache\":\"bypass\"}";
  measure ("a hybrid answer, plugins' own work left out", &run, answer_all, bypass, 5000);
  const char *words_only =
      "{\"query\":\"Does vitamin D deficiency affect pregnancy outcome in women?\",\"max_chunks\":10,"
      "\"mode\":\"lexical\",\"cache\":\"bypass\"}";
  measure ("a lexical answer, the same", &run, answer_all, words_only, 5000);

  while (rig->nodes->len > 0)
    ragify_node_free (g_ptr_array_steal_index (rig->nodes, rig->nodes->len - 1), ragify_now () + G_USEC_PER_SEC);
  ragify_pipeline_free (run.pipeline);
  ragify_tier_free (tier);
  rig_free (rig);
  return 0;
}
