/* What the stores find of what there is to be found, on the same vectors of the real model.
 *
 * usage: stores-recall-run --embedder PLUGIN --model FOLDER --faiss PLUGIN [--pgvector PLUGIN --dsn DSN]
 *                          [--chroma PLUGIN --chroma-url URL] [--passages N] [--assert]
 *
 * The first N definitions of wordnet_large (default 10,000; 0: all 107,525) and its first 200 queries are embedded
 * once. Every store gets the same vectors through its plugin and is asked for the best 10 of each query:
 *
 *   faiss Flat               what all others are compared with
 *   pgvector, no index       the same 10 of each query, but for scores that differ by less than 1e-6
 *   faiss IVF, HNSW          recall@10 at the defaults; then the smallest nprobe or efSearch that reaches 0.95 of the
 * store's own exact answers, as `ragify-ctl tune --recall 0.95` and `POST /v1/tune` find it, and the recall that this
 * gives against the exact answers of Flat                                          >= 0.95 chroma recall@10 at the
 * default ef_search; at 400                         >= 0.99
 *
 * exit status: 0 done; 1 an assertion failed; 2 something is missing */
#include "collection.h"
#include "kit-glib.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ragify/ragify.h>

#define QUERIES 200u
#define TOP 10u
#define BATCH 1000u
#define EMBED_BATCH 64u
#define TIE 1e-6F
#define LONG_US (3600ull * 1000000u)
#define GOAL 0.95
#define MOST_CONFIG 12u

typedef struct {
  const char *embedder, *model, *faiss, *pgvector, *dsn, *chroma, *chroma_url;
  size_t passages;
  bool judge;
} Options;

typedef struct {
  RagifyUuid ids[TOP];
  float scores[TOP];
  size_t count;
} Answer;

typedef struct {
  Options options;
  char folder[64];
  Collection *collection;
  size_t passages;
  uint32_t dimension;
  char *fingerprint;
  float *vectors; /* of the passages, then of the queries */
  RagifyEmbedderInfo info;
  bool failed;
} Bench;

typedef struct {
  const Bench *bench;
  RagifyKit *kit;
  RagifyKitInstance *instance;
  const RagifyVectorStoreOperations *operations;
} Store;

static void
die (const char *what, const char *why)
{
  fprintf (stderr, "stores-recall: %s: %s\n", what, why);
  exit (2);
}

static RagifyKitCall *
must (RagifyKitCall *call, const char *what)
{
  if (call->code != RAGIFY_OK)
    die (what, call->message);
  return call;
}

static void
say (Bench *bench, const char *name, double value, bool good, const char *bound)
{
  printf ("%-58s %8.4f  %-8s %s\n", name, value, bound, good ? "" : "MISSED");
  fflush (stdout);
  bench->failed = bench->failed || !good;
}

/* ---- vectors ---- */

static void
describe (Bench *bench, RagifyKitInstance *instance, const RagifyEmbedderOperations *operations)
{
  const RagifyNothing nothing = { .struct_size = sizeof nothing };
  RagifyKitCall *call =
      must (ragify_kit_call (instance, (RagifyKitFunction)operations->describe, &nothing, 0), "describe");
  const RagifyEmbedderInfo *info = call->result;
  bench->dimension = info->dimension;
  bench->fingerprint = strndup (info->fingerprint.data, info->fingerprint.size);
  bench->info = (RagifyEmbedderInfo){ .struct_size = sizeof bench->info,
                                      .dimension = info->dimension,
                                      .fingerprint = ragify_str_from (bench->fingerprint) };
  ragify_kit_call_free (call);
}

static void
embed (const Bench *bench, RagifyKitInstance *instance, const RagifyEmbedderOperations *operations, const Passage *from,
       size_t count, uint32_t purpose, float *vectors)
{
  for (size_t first = 0; first < count; first += EMBED_BATCH) {
    RagifyStr texts[EMBED_BATCH];
    const size_t some = count - first < EMBED_BATCH ? count - first : EMBED_BATCH;
    for (size_t i = 0; i < some; i++)
      texts[i] = ragify_str_from (from[first + i].text);
    const RagifyEmbedderEmbed args = { .struct_size = sizeof args, .purpose = purpose, .texts = { texts, some } };
    RagifyKitCall *call =
        must (ragify_kit_call (instance, (RagifyKitFunction)operations->embed, &args, LONG_US), "embed");
    const RagifyEmbedderEmbedResult *result = call->result;
    memcpy (vectors + first * bench->dimension, result->vectors.items, some * bench->dimension * sizeof *vectors);
    ragify_kit_call_free (call);
  }
}

static void
make_vectors (Bench *bench)
{
  char model[1000];
  const char *config[] = { model, NULL };
  const RagifyKitOptions options = { .quiet = 1, .workers = 2 };
  (void)snprintf (model, sizeof model, "model=%s", bench->options.model);
  RagifyKit *kit = ragify_kit_new (&options);
  RagifyKitInstance *instance =
      ragify_kit_open (kit, bench->options.embedder, RAGIFY_KIND_EMBEDDER, "local", config, NULL);
  if (instance == NULL)
    die (bench->options.embedder, ragify_kit_error (kit));
  const RagifyEmbedderOperations *operations = ragify_kit_operations (instance);
  const uint64_t began = ragify_kit_now_us ();
  describe (bench, instance, operations);
  bench->vectors = malloc ((bench->passages + QUERIES) * bench->dimension * sizeof *bench->vectors);
  embed (bench, instance, operations, bench->collection->passages, bench->passages, RAGIFY_PURPOSE_DOCUMENT,
         bench->vectors);
  embed (bench, instance, operations, bench->collection->queries, QUERIES, RAGIFY_PURPOSE_QUERY,
         bench->vectors + bench->passages * bench->dimension);
  printf ("%zu definitions and %u queries embedded in %.0f s (%s)\n", bench->passages, QUERIES,
          (double)(ragify_kit_now_us () - began) / 1e6, bench->fingerprint);
  fflush (stdout);
  (void)ragify_kit_close (instance);
  ragify_kit_free (kit);
}

/* ---- a store ---- */

static Store
open_store (const Bench *bench, const char *plugin, const char *component, const char *const *config)
{
  const RagifyKitOptions options = { .quiet = 1, .workers = 2, .poller = &ragify_kit_glib_poller };
  Store store = { .bench = bench, .kit = ragify_kit_new (&options) };
  store.instance = ragify_kit_open (store.kit, plugin, RAGIFY_KIND_VECTOR_STORE, component, config, &bench->info);
  if (store.instance == NULL)
    die (plugin, ragify_kit_error (store.kit));
  store.operations = ragify_kit_operations (store.instance);
  return store;
}

static void
close_store (Store *store)
{
  (void)ragify_kit_close (store->instance);
  ragify_kit_free (store->kit);
}

static void
write_batch (const Store *store, size_t first, size_t count)
{
  char name[32];
  const Bench *bench = store->bench;
  RagifyChunk *chunks = calloc (count, sizeof *chunks);
  (void)snprintf (name, sizeof name, "part-%zu", first);
  const RagifyDocument document = { .struct_size = sizeof document,
                                    .id = ragify_str_from (name),
                                    .content_hash = collection_id (first) };
  for (size_t i = 0; i < count; i++)
    chunks[i] = (RagifyChunk){ .struct_size = sizeof *chunks,
                               .id = collection_id (first + i),
                               .document_id = document.id,
                               .content = ragify_str_from (bench->collection->passages[first + i].text),
                               .ordinal = i };
  const RagifyStoreUpsert args = { .struct_size = sizeof args,
                                   .documents = { &document, 1, sizeof document, 0 },
                                   .chunks = { chunks, count, sizeof *chunks, 0 },
                                   .vectors = { bench->vectors + first * bench->dimension, (uint32_t)count,
                                                bench->dimension } };
  ragify_kit_call_free (
      must (ragify_kit_call (store->instance, (RagifyKitFunction)store->operations->upsert, &args, LONG_US), "upsert"));
  free (chunks);
}

static void
fill (const Store *store)
{
  const RagifyStoreOptimize optimize = { .struct_size = sizeof optimize };
  for (size_t first = 0; first < store->bench->passages; first += BATCH) {
    const size_t left = store->bench->passages - first;
    write_batch (store, first, left < BATCH ? left : BATCH);
  }
  ragify_kit_call_free (
      must (ragify_kit_call (store->instance, (RagifyKitFunction)store->operations->optimize, &optimize, LONG_US),
            "optimize"));
}

/* The answers to all queries, to be freed; `name` and `value`: what the request says beside (NULL: nothing; "exact").
 */
static Answer *
ask (const Store *store, const char *name, int64_t value)
{
  const Bench *bench = store->bench;
  Answer *answers = calloc (QUERIES, sizeof *answers);
  const bool exact = name != NULL && strcmp (name, "exact") == 0;
  const RagifyPair pair = { .name = ragify_str_from (name),
                            .value = { .type = exact ? RAGIFY_VALUE_BOOL : RAGIFY_VALUE_INT, .integer = value } };
  for (uint32_t i = 0; i < QUERIES; i++) {
    const RagifyStoreSearch args = { .struct_size = sizeof args,
                                     .top_k = TOP,
                                     .vectors = { bench->vectors + (bench->passages + i) * bench->dimension, 1,
                                                  bench->dimension },
                                     .tuning = { &pair, name != NULL } };
    RagifyKitCall *call = must (
        ragify_kit_call (store->instance, (RagifyKitFunction)store->operations->search, &args, LONG_US), "search");
    const RagifyHitList *hits = &((const RagifyStoreSearchResult *)call->result)->hits;
    for (uint64_t k = 0; k < hits->count && k < TOP; k++) {
      answers[i].ids[k] = hits->items[k].id;
      answers[i].scores[k] = hits->items[k].score;
      answers[i].count++;
    }
    ragify_kit_call_free (call);
  }
  return answers;
}

/* ---- comparing ---- */

static bool
has (const Answer *answer, const RagifyUuid *id)
{
  for (size_t i = 0; i < answer->count; i++)
    if (memcmp (&answer->ids[i], id, sizeof *id) == 0)
      return true;
  return false;
}

static double
recall_of (const Answer *right, const Answer *found)
{
  size_t wanted = 0, had = 0;
  for (uint32_t i = 0; i < QUERIES; i++) {
    wanted += right[i].count;
    for (size_t k = 0; k < right[i].count; k++)
      had += has (&found[i], &right[i].ids[k]);
  }
  return (double)had / (double)wanted;
}

/* For how many queries the two found the same; where they differ, both scores of that place are the same. */
static uint32_t
same_answers (const Answer *left, const Answer *right)
{
  uint32_t same = 0;
  for (uint32_t i = 0; i < QUERIES; i++) {
    bool agree = left[i].count == right[i].count;
    for (size_t k = 0; agree && k < left[i].count; k++)
      agree = memcmp (&left[i].ids[k], &right[i].ids[k], sizeof (RagifyUuid)) == 0 ||
              fabsf (left[i].scores[k] - right[i].scores[k]) < TIE;
    same += agree;
  }
  return same;
}

/* ---- the legs ---- */

static double
judge (const Store *store, const Answer *right, const char *name, int64_t value)
{
  Answer *found = ask (store, name, value);
  const double recall = recall_of (right, found);
  free (found);
  return recall;
}

/* As `ragify-ctl tune --recall` does: doubled until it is reached, then closed in. 0: none does. */
static int64_t
tune (const Store *store, const char *member)
{
  Answer *exact = ask (store, "exact", 1);
  int64_t low = 0, high = 1;
  while (high <= 65536 && judge (store, exact, member, high) < GOAL) {
    low = high;
    high *= 2;
  }
  while (high <= 65536 && high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    *(judge (store, exact, member, middle) >= GOAL ? &high : &low) = middle;
  }
  free (exact);
  return high <= 65536 ? high : 0;
}

static Answer *
run_flat (const Bench *bench)
{
  char path[96];
  (void)snprintf (path, sizeof path, "path=%s/flat", bench->folder);
  const char *config[] = { path, NULL };
  Store store = open_store (bench, bench->options.faiss, "faiss", config);
  fill (&store);
  Answer *answers = ask (&store, NULL, 0);
  close_store (&store);
  return answers;
}

static void
run_approximate (Bench *bench, const Answer *right, const char *index, const char *member)
{
  char path[96], key[64], name[100];
  (void)snprintf (path, sizeof path, "path=%s/%s", bench->folder, member);
  (void)snprintf (key, sizeof key, "index=%s", index);
  const char *config[] = { path, key, NULL };
  Store store = open_store (bench, bench->options.faiss, "faiss", config);
  fill (&store);
  (void)snprintf (name, sizeof name, "faiss %s: recall@10 at the defaults", index);
  say (bench, name, judge (&store, right, NULL, 0), true, "");
  const int64_t value = tune (&store, member);
  (void)snprintf (name, sizeof name, "faiss %s: recall@10 at %s %d, as tuned", index, member, (int)value);
  const double recall = value > 0 ? judge (&store, right, member, value) : 0;
  say (bench, name, recall, recall >= GOAL, ">= 0.95");
  close_store (&store);
}

static void
run_pgvector (Bench *bench, const Answer *right)
{
  char dsn[500];
  if (bench->options.pgvector == NULL)
    return;
  (void)snprintf (dsn, sizeof dsn, "dsn=%s", bench->options.dsn);
  const char *config[] = { dsn, "index=none", NULL };
  Store store = open_store (bench, bench->options.pgvector, "pgvector", config);
  fill (&store);
  Answer *found = ask (&store, NULL, 0);
  const double same = (double)same_answers (right, found) / QUERIES;
  say (bench, "pgvector without index: queries with the same top 10 as Flat", same, same >= 1, "= 1");
  free (found);
  close_store (&store);
}

static void
run_chroma (Bench *bench, const Answer *right, const char *ef_search, double bound)
{
  char url[200], collection[64], key[64], name[100];
  if (bench->options.chroma == NULL)
    return;
  (void)snprintf (url, sizeof url, "base-url=%s", bench->options.chroma_url);
  (void)snprintf (key, sizeof key, "ef-search=%s", ef_search);
  (void)snprintf (collection, sizeof collection, "collection=recall-%s", ef_search);
  /* A batch may wait for the server's index, on a machine that does other things as well. */
  const char *config[] = { url, collection, key, "timeout=30min", "read-timeout=30min", NULL };
  Store store = open_store (bench, bench->options.chroma, "chroma", config);
  fill (&store);
  (void)snprintf (name, sizeof name, "chroma: recall@10 at ef_search %s", ef_search);
  const double recall = judge (&store, right, NULL, 0);
  say (bench, name, recall, recall >= bound, bound > 0 ? ">= 0.99" : "");
  close_store (&store);
}

/* ---- the command line ---- */

static void
read_options (Options *options, int argc, char **argv)
{
  const struct {
    const char *name, **value;
  } texts[] = {
    { "--embedder", &options->embedder },    { "--model", &options->model }, { "--faiss", &options->faiss },
    { "--pgvector", &options->pgvector },    { "--dsn", &options->dsn },     { "--chroma", &options->chroma },
    { "--chroma-url", &options->chroma_url }
  };
  options->passages = 10000;
  for (int i = 1; i < argc; i++) {
    bool known = strcmp (argv[i], "--assert") == 0;
    options->judge = options->judge || known;
    for (size_t k = 0; !known && k < sizeof texts / sizeof *texts && i + 1 < argc; k++)
      if ((known = strcmp (argv[i], texts[k].name) == 0))
        *texts[k].value = argv[++i];
    if (!known && strcmp (argv[i], "--passages") == 0 && i + 1 < argc && (known = true))
      options->passages = strtoul (argv[++i], NULL, 10);
    if (!known)
      die (argv[i], "there is no such option");
  }
  if (options->embedder == NULL || options->model == NULL || options->faiss == NULL)
    die ("--embedder, --model, --faiss", "they are needed");
}

static void
run (Bench *bench)
{
  char ivf[64];
  make_vectors (bench);
  Answer *right = run_flat (bench);
  /* As many lists as that many vectors fill. */
  (void)snprintf (ivf, sizeof ivf, "IVF%zu,Flat", bench->passages / 100 < 1000 ? bench->passages / 100 : 1000);
  run_approximate (bench, right, ivf, "nprobe");
  run_approximate (bench, right, "HNSW32", "efSearch");
  run_pgvector (bench, right);
  run_chroma (bench, right, "100", 0);
  run_chroma (bench, right, "400", 0.99);
  free (right);
}

int
main (int argc, char **argv)
{
  Bench bench = { .folder = "/tmp/ragify-recall-XXXXXX" };
  char command[100];
  read_options (&bench.options, argc, argv);
  bench.collection = collection_load ("wordnet_large");
  if (bench.collection == NULL)
    die ("wordnet_large", "the test data is not there (RAGIFY_TEST_DATA)");
  const size_t all = bench.collection->passage_count, wanted = bench.options.passages;
  bench.passages = wanted > 0 && wanted < all ? wanted : all;
  if (bench.passages < 4000 || bench.collection->query_count < QUERIES || mkdtemp (bench.folder) == NULL)
    die ("--passages", "4000 at least");
  run (&bench);
  (void)snprintf (command, sizeof command, "rm -rf %s", bench.folder);
  const bool cleaned = system (command) == 0;
  free (bench.vectors);
  free (bench.fingerprint);
  collection_free (bench.collection);
  return (bench.failed && bench.options.judge) || !cleaned ? 1 : 0;
}
