/* What a hybrid query costs in the store and the text index, stage by stage, and how good the words' answers are.
 *
 * usage: store-bench STORE_PLUGIN TEXT_PLUGIN TEXT_COMPONENT [COLLECTION [REPEATS]]
 *
 * Runs the collection's queries (SciFact) against the loaded plugins in one process. Vectors are made up, in clusters
 * (384 numbers each, unit length): their values matter little for the cost. Prints microseconds of CPU a query, calls
 * through the test host included; `host` is a call that does nothing. */
#include "collection.h"
#include "kit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DIMENSION 384u
#define TOP 200u
#define BATCH 1000u
#define CLUSTERS 100u

typedef struct Bench {
  RagifyKit *kit;
  RagifyKitInstance *store;
  RagifyKitInstance *text;
  Collection *collection;
  float *centres;
  char folder[64];
} Bench;

typedef struct Costs {
  double host, dense, lexical, vectors, content, ndcg;
} Costs;

static double
cpu_us (void)
{
  struct timespec time;
  (void)clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &time);
  return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static double
wall_ms (void)
{
  return (double)ragify_kit_now_us () / 1e3;
}

static float
noise (uint64_t *state)
{
  float sum = 0;
  for (int i = 0; i < 4; i++) {
    *state = *state * UINT64_C (6364136223846793005) + UINT64_C (1442695040888963407);
    sum += (float)(*state >> 40) / (float)(1 << 24) - 0.5F;
  }
  return sum;
}

static void
make_vector (const Bench *bench, uint64_t number, float *vector)
{
  uint64_t state = number * 77 + 5;
  const float *centre = bench->centres + (number * 7919 % CLUSTERS) * DIMENSION;
  float sum = 0;
  for (size_t i = 0; i < DIMENSION; i++) {
    vector[i] = 0.7F * centre[i] + 0.3F * bench->centres[i] + noise (&state);
    sum += vector[i] * vector[i];
  }
  for (size_t i = 0; i < DIMENSION; i++)
    vector[i] /= sqrtf (sum);
}

static void
die (const char *what, const char *why)
{
  fprintf (stderr, "store-bench: %s: %s\n", what, why);
  exit (1);
}

static RagifyKitCall *
must (RagifyKitCall *call, const char *what)
{
  if (call->code != RAGIFY_OK)
    die (what, call->message);
  return call;
}

static RagifyKitInstance *
open_plugin (Bench *bench, const char *path, const char *kind, const char *name)
{
  static const RagifyEmbedderInfo embedder = { .struct_size = sizeof embedder,
                                               .dimension = DIMENSION,
                                               .fingerprint = { "bench", 5 } };
  char config_path[100];
  const char *more = getenv ("STORE_CONFIG");
  const char *config[] = { config_path, more != NULL && kind[7] == 'v' ? more : NULL, NULL };
  snprintf (config_path, sizeof config_path, "path=%s/%s", bench->folder, name);
  double began = wall_ms ();
  RagifyKitInstance *instance = ragify_kit_open (bench->kit, path, kind, name, config, &embedder);
  if (instance == NULL)
    die (path, ragify_kit_error (bench->kit));
  printf ("%-8s open after %.1f ms\n", name, wall_ms () - began);
  return instance;
}

static void
write_batch (Bench *bench, size_t first, size_t count)
{
  RagifyDocument *documents = calloc (count, sizeof *documents);
  RagifyChunk *chunks = calloc (count, sizeof *chunks);
  float *vectors = calloc (count * DIMENSION, sizeof *vectors);
  for (size_t i = 0; i < count; i++) {
    const Passage *passage = &bench->collection->passages[first + i];
    documents[i] = (RagifyDocument){ .struct_size = sizeof *documents, .id = ragify_str_from (passage->id) };
    documents[i].title = ragify_str_from (passage->title);
    chunks[i] = (RagifyChunk){ .struct_size = sizeof *chunks, .id = collection_id (first + i) };
    chunks[i].document_id = documents[i].id;
    chunks[i].title = documents[i].title;
    chunks[i].content = ragify_str_from (passage->text);
    chunks[i].metadata = ragify_str_from ("{\"source\":\"bench\"}");
    make_vector (bench, first + i, vectors + i * DIMENSION);
  }
  const RagifyStoreUpsert upsert = { .struct_size = sizeof upsert,
                                     .documents = { documents, count, sizeof *documents, 0 },
                                     .chunks = { chunks, count, sizeof *chunks, 0 },
                                     .vectors = { vectors, (uint32_t)count, DIMENSION } };
  const RagifyVectorStoreOperations *store = ragify_kit_operations (bench->store);
  const RagifyTextIndexOperations *text = ragify_kit_operations (bench->text);
  RagifyKitCall *call = must (ragify_kit_call (bench->store, (RagifyKitFunction)store->upsert, &upsert, 0), "upsert");
  const RagifyTextUpsert words = { .struct_size = sizeof words,
                                   .chunks = upsert.chunks,
                                   .generation = ((const RagifyStoreUpsertResult *)call->result)->generation };
  ragify_kit_call_free (call);
  ragify_kit_call_free (must (ragify_kit_call (bench->text, (RagifyKitFunction)text->upsert, &words, 0), "text"));
  free (documents);
  free (chunks);
  free (vectors);
}

static void
write_all (Bench *bench)
{
  double began = wall_ms ();
  size_t total = bench->collection->passage_count;
  for (size_t first = 0; first < total; first += BATCH)
    write_batch (bench, first, total - first < BATCH ? total - first : BATCH);
  printf ("%zu chunks written in %.0f ms, both indexes\n", total, wall_ms () - began);
}

static RagifyKitCall *
search_dense (Bench *bench, size_t query)
{
  float vector[DIMENSION];
  make_vector (bench, 1000000 + query, vector);
  const RagifyStoreSearch args = { .struct_size = sizeof args, .top_k = TOP, .vectors = { vector, 1, DIMENSION } };
  const RagifyVectorStoreOperations *store = ragify_kit_operations (bench->store);
  return must (ragify_kit_call (bench->store, (RagifyKitFunction)store->search, &args, 0), "search");
}

static RagifyKitCall *
search_words (Bench *bench, size_t query)
{
  const RagifyTextSearch args = { .struct_size = sizeof args,
                                  .top_k = TOP,
                                  .text = ragify_str_from (bench->collection->queries[query].text) };
  const RagifyTextIndexOperations *text = ragify_kit_operations (bench->text);
  return must (ragify_kit_call (bench->text, (RagifyKitFunction)text->search, &args, 0), "search by words");
}

static void
fetch (Bench *bench, const RagifyHitList *first, const RagifyHitList *second, size_t limit, uint32_t what)
{
  RagifyUuid ids[2 * TOP];
  size_t count = 0;
  for (size_t i = 0; i < first->count && count < limit; i++)
    ids[count++] = first->items[i].id;
  for (size_t i = 0; i < second->count && count < limit; i++)
    ids[count++] = second->items[i].id;
  const RagifyStoreFetch args = { .struct_size = sizeof args, .what = what, .ids = { ids, count } };
  const RagifyVectorStoreOperations *store = ragify_kit_operations (bench->store);
  ragify_kit_call_free (must (ragify_kit_call (bench->store, (RagifyKitFunction)store->fetch, &args, 0), "fetch"));
}

static void
run_query (Bench *bench, size_t query, Costs *costs)
{
  const RagifyNothing nothing = { .struct_size = sizeof nothing };
  const RagifyVectorStoreOperations *store = ragify_kit_operations (bench->store);
  double times[6] = { cpu_us () };
  ragify_kit_call_free (ragify_kit_call (bench->store, (RagifyKitFunction)store->generation, &nothing, 0));
  times[1] = cpu_us ();
  RagifyKitCall *dense = search_dense (bench, query);
  times[2] = cpu_us ();
  RagifyKitCall *words = search_words (bench, query);
  times[3] = cpu_us ();
  const RagifyHitList *first = &((const RagifyStoreSearchResult *)dense->result)->hits;
  const RagifyHitList *second = &((const RagifyTextSearchResult *)words->result)->hits;
  fetch (bench, first, second, 2 * (size_t)TOP, RAGIFY_FETCH_VECTORS);
  times[4] = cpu_us ();
  fetch (bench, second, first, 10, RAGIFY_FETCH_CONTENT | RAGIFY_FETCH_METADATA);
  times[5] = cpu_us ();
  costs->host += times[1] - times[0];
  costs->dense += times[2] - times[1];
  costs->lexical += times[3] - times[2];
  costs->vectors += times[4] - times[3];
  costs->content += times[5] - times[4];
  costs->ndcg += collection_ndcg (bench->collection, query, second->items, second->count);
  ragify_kit_call_free (dense);
  ragify_kit_call_free (words);
}

static void
report (Bench *bench, int repeats)
{
  size_t count = bench->collection->query_count;
  for (int repeat = 0; repeat < repeats; repeat++) {
    Costs costs = { 0 };
    for (size_t i = 0; i < count; i++)
      run_query (bench, i, &costs);
    double n = (double)count;
    printf ("us/query: host %.1f, dense top %u %.1f, words top %u %.1f, vectors of all %.1f, content of 10 %.1f, "
            "sum %.1f; nDCG@10 of words %.4f\n",
            costs.host / n, TOP, costs.dense / n, TOP, costs.lexical / n, costs.vectors / n, costs.content / n,
            (costs.dense + costs.lexical + costs.vectors + costs.content) / n, costs.ndcg / n);
  }
}

static void
reopen (Bench *bench, const char *const *argv)
{
  (void)ragify_kit_close (bench->store);
  (void)ragify_kit_close (bench->text);
  bench->store = open_plugin (bench, argv[1], RAGIFY_KIND_VECTOR_STORE, "faiss");
  bench->text = open_plugin (bench, argv[2], RAGIFY_KIND_TEXT_INDEX, argv[3]);
}

int
main (int argc, char **argv)
{
  if (argc < 4)
    die ("usage", "store-bench STORE_PLUGIN TEXT_PLUGIN TEXT_COMPONENT [COLLECTION [REPEATS]]");
  Bench bench = { .folder = "/tmp/ragify-bench-XXXXXX" };
  const RagifyKitOptions options = { .quiet = 1, .workers = 1 };
  uint64_t state = 1;
  char command[200];
  bench.collection = collection_load (argc > 4 ? argv[4] : "scifact");
  if (bench.collection == NULL)
    die (argc > 4 ? argv[4] : "scifact", "the test data is not there (RAGIFY_TEST_DATA)");
  if (mkdtemp (bench.folder) == NULL)
    die (bench.folder, "cannot be made");
  bench.centres = calloc (CLUSTERS * DIMENSION, sizeof *bench.centres);
  for (size_t i = 0; i < CLUSTERS * DIMENSION; i++)
    bench.centres[i] = noise (&state);
  bench.kit = ragify_kit_new (&options);
  bench.store = open_plugin (&bench, argv[1], RAGIFY_KIND_VECTOR_STORE, "faiss");
  bench.text = open_plugin (&bench, argv[2], RAGIFY_KIND_TEXT_INDEX, argv[3]);
  write_all (&bench);
  reopen (&bench, (const char *const *)argv);
  report (&bench, argc > 5 ? atoi (argv[5]) : 3);
  (void)ragify_kit_close (bench.store);
  (void)ragify_kit_close (bench.text);
  ragify_kit_free (bench.kit);
  collection_free (bench.collection);
  free (bench.centres);
  snprintf (command, sizeof command, "rm -rf %s", bench.folder);
  return system (command) == 0 ? 0 : 1;
}
