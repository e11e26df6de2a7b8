/* Hit rates of a stream of requests by level, counted at the client and by the tier; and what writes to the store cost.
 *
 * usage: cache-stream-run CACHE_MEMORY_PLUGIN CACHE_REDIS_PLUGIN REDIS_PORT [REQUESTS [--assert]]
 *
 * Requests (1,000,000) follow Zipf's law (0.99) over 200,000 distinct queries. They go through a pipeline with a tier
 * of 10,000 entries in memory over Redis, in this process, 64 at a time on two loops; the store is stood in for by one
 * that answers at once. Then three legs of 50,000 requests, 5,000 a second: without writes, with a commit each second,
 * and with invalidate-every = 5s. */
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "rig.h"

#define DISTINCT 200000u
#define EXPONENT 0.99
#define L1 10000u
#define AT_ONCE 64u
#define LEG 50000u
#define RATE 5000u /* a second */

static const RagifyHost *host;

static int32_t
create (const RagifyHost *with, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  host = with;
  *instance = &host;
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
generation (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  const RagifyStoreGeneration result = { .struct_size = sizeof result, .generation.counter = 1 };
  host->call_done (call, &result);
}

static void
fetch (void *instance, RagifyCall *call, const RagifyStoreFetch *args)
{
  RagifyStoreFetchResult result = { .struct_size = sizeof result };
  RagifyChunk *chunks = host->call_alloc (call, args->ids.count * sizeof *chunks);
  for (uint64_t i = 0; i < args->ids.count; i++)
    chunks[i] = (RagifyChunk){ .struct_size = sizeof chunks[i],
                               .id = args->ids.items[i],
                               .document_id = ragify_str_from ("document"),
                               .content = ragify_str_from ("what the answer holds") };
  result.chunks = (RagifyChunkList){ .items = chunks, .count = args->ids.count, .stride = sizeof *chunks };
  host->call_done (call, &result);
}

static void
words (void *instance, RagifyCall *call, const RagifyTextSearch *args)
{
  static RagifyHit hit = { .id = { { 1 } }, .score = 1 };
  const RagifyTextSearchResult result = { .struct_size = sizeof result, .hits = { .items = &hit, .count = 1 } };
  host->call_done (call, &result);
}

static const RagifyVectorStoreOperations store_operations = { .struct_size = sizeof store_operations,
                                                              .fetch = fetch,
                                                              .generation = generation };
static const RagifyTextIndexOperations index_operations = { .struct_size = sizeof index_operations, .search = words };

#define PREPARED                                                                                                       \
  .struct_size = sizeof (RagifyComponent), .name = "prepared", .run_class = RAGIFY_RUN_SHARED, .create = create,       \
  .start = start, .destroy = destroy

static const RagifyComponent store = { PREPARED, .kind = RAGIFY_KIND_VECTOR_STORE, .operations = &store_operations };
static const RagifyComponent text_index = { PREPARED, .kind = RAGIFY_KIND_TEXT_INDEX, .operations = &index_operations };

/* ---- the stream ---- */

static guint32 *
make_stream (guint count, guint seed)
{
  g_autofree double *sums = g_new (double, DISTINCT);
  g_autoptr (GRand) random = g_rand_new_with_seed (seed);
  guint32 *stream = g_new (guint32, count);
  double sum = 0;
  for (guint i = 0; i < DISTINCT; i++)
    sums[i] = sum += 1 / pow (i + 1, EXPONENT);
  for (guint i = 0; i < count; i++) {
    const double at = g_rand_double (random) * sum;
    guint low = 0, high = DISTINCT - 1;
    while (low < high) {
      const guint middle = (low + high) / 2;
      if (sums[middle] < at)
        low = middle + 1;
      else
        high = middle;
    }
    stream[i] = low;
  }
  return stream;
}

/* Hits of a plain LRU of the memory level's size. */
static guint
simulate_lru (const guint32 *stream, guint count)
{
  g_autofree guint64 *used = g_new0 (guint64, DISTINCT);    /* when last; 0: never */
  g_autofree guint32 *order = g_new0 (guint32, count + 1u); /* whose use was at that time */
  guint hits = 0, size = 0;
  guint64 oldest = 1;
  for (guint i = 0; i < count; i++) {
    const guint32 key = stream[i];
    if (used[key] >= oldest && used[key] != 0)
      hits++;
    else
      size++;
    used[key] = i + 1u;
    order[i + 1u] = key;
    while (size > L1) { /* uses that were not the key's last are passed over */
      if (used[order[oldest]] == oldest)
        size--;
      oldest++;
    }
    while (used[order[oldest]] != oldest)
      oldest++;
  }
  return hits;
}

/* ---- asking ---- */

typedef struct Bench {
  Rig *rig;
  RagifyPipeline *pipeline;
  const guint32 *stream;
  guint count;
  guint64 began, pace_us; /* pace_us: between requests; 0: as fast as it goes */
  _Atomic guint next, done, memory, redis, missed;
} Bench;

typedef struct Slot {
  RagifyTask task;
  RagifyDeadline due;
  Bench *bench;
  RagifyLoop *loop;
  guint index;
} Slot;

static void
answered (RagifyRequest *request, const RagifyAnswer *answer, void *user)
{
  Slot *slot = user;
  Bench *bench = slot->bench;
  g_assert (answer->status == 200);
  const char *cache = answer->cache;
  atomic_fetch_add (strcmp (cache, "memory") == 0  ? &bench->memory
                    : strcmp (cache, "redis") == 0 ? &bench->redis
                                                   : &bench->missed,
                    1);
  ragify_owner_unref (&request->owner);
  ragify_loop_post (slot->loop, &slot->task);
  atomic_fetch_add (&bench->done, 1);
}

static void
send (Slot *slot)
{
  char body[64];
  g_snprintf (body, sizeof body, "{\"query\":\"query number %u\",\"mode\":\"lexical\"}",
              slot->bench->stream[slot->index]);
  RagifyProblem problem = { 0 };
  RagifyRequest *request = ragify_request_parse_json (body, strlen (body), &problem);
  request->loop = slot->loop;
  request->began = ragify_now ();
  memcpy (request->id, "0123456789", 11);
  ragify_pipeline_answer (slot->bench->pipeline, request, answered, slot);
}

static void
due (RagifyDeadline *deadline)
{
  send ((Slot *)(void *)((char *)deadline - G_STRUCT_OFFSET (Slot, due)));
}

static void
go_on (RagifyTask *task)
{
  Slot *slot = (Slot *)task;
  Bench *bench = slot->bench;
  slot->index = atomic_fetch_add (&bench->next, 1);
  if (slot->index >= bench->count)
    return;
  const guint64 at = bench->began + slot->index * bench->pace_us;
  slot->due.expired = due;
  if (bench->pace_us != 0 && at > ragify_now ())
    ragify_loop_arm (slot->loop, &slot->due, at);
  else
    send (slot);
}

/* `commits`: one a second. */
static void
run (Bench *bench, RagifyNode *store_node, gboolean commits, guint64 *counter)
{
  g_autofree Slot *slots = g_new0 (Slot, AT_ONCE);
  const RagifyUuidList none = { 0 };
  bench->began = ragify_now ();
  bench->next = bench->done = bench->memory = bench->redis = bench->missed = 0;
  for (guint i = 0; i < AT_ONCE; i++) {
    slots[i] = (Slot){ .task.run = go_on, .bench = bench, .loop = bench->rig->runtime.loops[i % 2] };
    ragify_loop_post (slots[i].loop, &slots[i].task);
  }
  guint64 commit_at = bench->began + G_USEC_PER_SEC;
  while (atomic_load (&bench->done) < bench->count || atomic_load (&bench->next) < bench->count + AT_ONCE) {
    g_usleep (1000);
    if (!commits || ragify_now () < commit_at)
      continue;
    commit_at += G_USEC_PER_SEC;
    const RagifyGeneration now = { .counter = ++*counter };
    ragify_pipeline_store_changed (bench->pipeline, store_node, &now, &none, FALSE);
  }
}

static void
report (const Bench *bench, const char *what)
{
  g_print ("| %s | %.2f %% | %.2f %% | %.2f %% | %.1f s |\n", what, 100.0 * bench->memory / bench->count,
           100.0 * bench->redis / bench->count, 100.0 * bench->missed / bench->count,
           (double)(ragify_now () - bench->began) / G_USEC_PER_SEC);
}

/* ---- the whole ---- */

typedef struct {
  RagifyNode *store, *index, *ram, *redis;
} Nodes;

static RagifyPipeline *
make_pipeline (Rig *rig, const Nodes *nodes, RagifyTier *tier, const char *name, guint64 invalidate_every_us)
{
  const RagifyRetriever retriever = {
    .type = RAGIFY_RETRIEVER_TEXT_INDEX, .node = nodes->index, .store = nodes->store, .weight = 1
  };
  const RagifyPipelineOptions options = { .name = name,
                                          .retrievers = &retriever,
                                          .n_retrievers = 1,
                                          .tier = tier,
                                          .fuse_weight = 0.6,
                                          .invalidate_every_us = invalidate_every_us };
  return ragify_pipeline_new (&rig->runtime, &options);
}

/* The tier's own numbers are those of the client. */
static gboolean
check (const RagifyTier *tier, const Bench *bench)
{
  const RagifyTierCounts counts = ragify_tier_counts (tier);
  const guint64 memory = ragify_tier_level_counts (tier, 0).hits, redis = ragify_tier_level_counts (tier, 1).hits;
  g_print ("counted by the tier: memory %" G_GUINT64_FORMAT ", redis %" G_GUINT64_FORMAT ", computed %" G_GUINT64_FORMAT
           ", waited for another's %" G_GUINT64_FORMAT "; by the client: %u, %u, %u\n\n",
           memory, redis, counts.misses, counts.coalesced, bench->memory, bench->redis, bench->missed);
  return counts.hits + counts.misses == bench->count && memory == bench->memory && redis == bench->redis;
}

static void
run_legs (Rig *rig, const Nodes *nodes, RagifyTier *tier)
{
  static const struct {
    const char *name;
    guint64 every_us;
    gboolean commits;
  } legs[] = { { "no writes", 0, FALSE },
               { "a commit a second", 0, TRUE },
               { "the same, invalidate-every = 5s", 5 * G_USEC_PER_SEC, TRUE } };
  g_autofree guint32 *stream = make_stream (LEG, 78);
  for (guint i = 0; i < G_N_ELEMENTS (legs); i++) {
    guint64 counter = 1;
    RagifyPipeline *pipeline = make_pipeline (rig, nodes, tier, legs[i].name, legs[i].every_us);
    Bench bench = {
      .rig = rig, .pipeline = pipeline, .stream = stream, .count = LEG, .pace_us = G_USEC_PER_SEC / RATE
    };
    run (&bench, nodes->store, legs[i].commits, &counter);
    report (&bench, legs[i].name);
    ragify_pipeline_free (pipeline);
  }
}

int
main (int argc, char **argv)
{
  if (argc < 4)
    g_error ("usage: cache-stream-run CACHE_MEMORY_PLUGIN CACHE_REDIS_PLUGIN REDIS_PORT [REQUESTS [--assert]]");
  g_setenv ("CACHE_MEMORY", argv[1], TRUE);
  g_setenv ("CACHE_REDIS", argv[2], TRUE);
  const guint count = argc > 4 ? (guint)g_ascii_strtoull (argv[4], NULL, 10) : 1000000;
  g_autofree char *settings = g_strdup_printf ("url=redis://127.0.0.1:%s/0 prefix=stream:", argv[3]);
  Rig *rig = rig_new (2);
  const Nodes nodes = { .store = rig_scripted (rig, "docs", &store, NULL),
                        .index = rig_scripted (rig, "words", &text_index, NULL),
                        .ram = rig_plugin (rig, "ram", "CACHE_MEMORY", RAGIFY_KIND_CACHE, "memory", ""),
                        .redis = rig_plugin (rig, "shared", "CACHE_REDIS", RAGIFY_KIND_CACHE, "redis", settings) };
  const RagifyTierLevel levels[] = {
    { .node = nodes.ram, .kind = "memory", .ttl_us = 3600 * (guint64)G_USEC_PER_SEC },
    { .node = nodes.redis, .kind = "redis", .ttl_us = 7200 * (guint64)G_USEC_PER_SEC, .deadline_us = G_USEC_PER_SEC },
  };
  const RagifyTierOptions options = { .name = "answers", .levels = levels, .n_levels = G_N_ELEMENTS (levels) };
  RagifyTier *tier = ragify_tier_new (&rig->runtime, &options);
  guint64 counter = 1;
  g_autofree guint32 *stream = make_stream (count, 77);
  Bench bench = {
    .rig = rig, .pipeline = make_pipeline (rig, &nodes, tier, "stream", 0), .stream = stream, .count = count
  };
  g_print ("| %u requests, Zipf(%.2f) over %u, %u entries in memory | memory | redis | computed | |\n"
           "|---|---:|---:|---:|---:|\n",
           count, EXPONENT, DISTINCT, L1);
  run (&bench, nodes.store, FALSE, &counter);
  report (&bench, "client's count");
  g_print ("| a memory level of LRU | %.2f %% | | | |\n\n", 100.0 * simulate_lru (stream, count) / count);
  const gboolean equal = check (tier, &bench);
  g_print ("| %u requests, %u a second | memory | redis | computed | |\n|---|---:|---:|---:|---:|\n", LEG, RATE);
  run_legs (rig, &nodes, tier);
  ragify_pipeline_free (bench.pipeline);
  ragify_tier_free (tier);
  rig_free (rig);
  if (!equal)
    g_print ("\nthe tier counts otherwise than the client\n");
  return equal || argc < 6 ? 0 : 1;
}
