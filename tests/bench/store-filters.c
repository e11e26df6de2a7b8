/* What each way of a filtered search costs and finds, and which one the store takes.
 *
 * usage: store-filters [--vectors N] [--assert] [INDEX …]
 *
 * N vectors of 384 numbers in clusters (default 50,000) are put into each index (default: Flat IVF512,SQ8 SQ8 HNSW32).
 * Then 1, 10, 20, 50 and 90 % of the rows are allowed, by chance, and after that one cluster, far from most queries.
 * Printed are, for each way, the CPU of a search against that of an unfiltered one, and recall@10 against all that is
 * allowed:
 *
 *   all: every allowed row is scored, and no other
 *
 *   in: in the index: the nearest lists of IVF, FAISS's search with a selector elsewhere; of Flat, the codes of all
 *
 *   after: an unfiltered search for 1.5 × as many as should be needed, of which what is allowed is left
 *
 *   chosen: what the store does
 *
 * --assert: what is chosen finds 0.95 at least, and costs 4 × the unfiltered search at most.
 *
 * exit status: 0 done; 1 an assertion failed; 2 something is missing */
#include "approximate.h"
#include "flat.h"
#include "top.h"
#include "words.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DIMENSION 384u
#define TOP 10u
#define QUERIES 60u
#define ROUNDS 3u
#define MOST 4096u /* that are looked for at most, filtering afterwards */

typedef enum { ALL, IN, AFTER, CHOSEN, N_WAYS } Way;

typedef struct {
  uint32_t vectors;
  uint32_t clusters;
  float *centres;
  float *rows;
  float *queries;
  bool judge, failed;
} Bench;

/* One of the two is there. */
typedef struct {
  const Bench *bench;
  RagifyFlat *flat;
  RagifyApproximate *approximate;
  RagifyApproximateTuning tuning;
  uint64_t *order; /* by row of the approximate index: of which vector */
} Index;

typedef struct {
  uint64_t *words;
  uint64_t set;
} Allowed;

typedef struct {
  uint32_t rows[MOST];
  uint32_t count;
} Found;

static void
die (const char *what, const char *why)
{
  fprintf (stderr, "store-filters: %s: %s\n", what, why);
  exit (2);
}

static double
cpu_us (void)
{
  struct timespec time;
  (void)clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &time);
  return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static uint32_t
next_random (uint64_t *state)
{
  *state = *state * UINT64_C (6364136223846793005) + UINT64_C (1442695040888963407);
  return (uint32_t)(*state >> 33);
}

/* About normal. */
static float
noise (uint64_t *state)
{
  float sum = 0;
  for (int i = 0; i < 12; i++)
    sum += (float)next_random (state) / (float)(UINT32_C (1) << 31) - 0.5F;
  return sum;
}

/* As tests/bench/store makes them: around centres of very different weight. */
static void
make_vector (const Bench *bench, uint64_t number, float *vector)
{
  uint64_t state = number * 7919 + 17;
  const double uniform = (double)next_random (&state) / (double)(UINT32_C (1) << 31);
  const uint32_t cluster = (uint32_t)(uniform * uniform * bench->clusters);
  float sum = 0;
  for (uint32_t i = 0; i < DIMENSION; i++) {
    vector[i] = bench->centres[(size_t)cluster * DIMENSION + i] + 0.6F * noise (&state);
    sum += vector[i] * vector[i];
  }
  for (uint32_t i = 0; i < DIMENSION; i++)
    vector[i] /= sqrtf (sum);
}

static void
make_vectors (Bench *bench)
{
  uint64_t state = 5;
  bench->clusters = bench->vectors / 250 > 20 ? bench->vectors / 250 : 20;
  bench->centres = malloc ((size_t)bench->clusters * DIMENSION * sizeof *bench->centres);
  bench->rows = malloc ((size_t)bench->vectors * DIMENSION * sizeof *bench->rows);
  bench->queries = malloc ((size_t)QUERIES * DIMENSION * sizeof *bench->queries);
  if (bench->centres == NULL || bench->rows == NULL || bench->queries == NULL)
    die ("vectors", "memory is exhausted");
  for (size_t i = 0; i < (size_t)bench->clusters * DIMENSION; i++)
    bench->centres[i] = noise (&state);
  for (uint32_t i = 0; i < bench->vectors; i++)
    make_vector (bench, i, bench->rows + (size_t)i * DIMENSION);
  for (uint32_t i = 0; i < QUERIES; i++)
    make_vector (bench, 1000000000 + i, bench->queries + (size_t)i * DIMENSION);
}

static Index
make_index (const Bench *bench, const char *factory)
{
  RagifyFault fault;
  char name[RAGIFY_APPROXIMATE_NAME];
  Index index = { .bench = bench, .tuning = { .nprobe = 32, .ef_search = 64 } };
  if (!ragify_approximate_check (factory, 1000, name, &fault))
    die (factory, fault.message);
  if (ragify_approximate_is_exact (name)) {
    index.flat = ragify_flat_new (DIMENSION, ragify_kernels_choose ());
    if (index.flat == NULL || !ragify_flat_reserve (index.flat, bench->vectors))
      die (factory, "memory is exhausted");
    for (uint32_t i = 0; i < bench->vectors; i++)
      ragify_flat_write (index.flat, i, bench->rows + (size_t)i * DIMENSION);
    ragify_flat_resize (index.flat, bench->vectors);
    return index;
  }
  const uint64_t sample = ragify_approximate_sample (name);
  index.approximate =
      ragify_approximate_new (name, DIMENSION, bench->rows, sample < bench->vectors ? sample : bench->vectors, &fault);
  index.order = malloc (bench->vectors * sizeof *index.order);
  if (index.approximate == NULL || index.order == NULL ||
      !ragify_approximate_add (index.approximate, bench->rows, bench->vectors, &fault) ||
      !ragify_approximate_finish (index.approximate, index.order, &fault))
    die (factory, fault.message);
  return index;
}

static void
search_flat (const Index *index, const float *query, uint32_t wanted, const Allowed *allowed, Way way, Found *found)
{
  uint64_t keys[MOST];
  const uint64_t *words = allowed == NULL ? NULL : allowed->words;
  const uint64_t set = allowed == NULL ? index->bench->vectors : allowed->set;
  const bool ok = way == ALL  ? ragify_flat_search_rows (index->flat, query, wanted, words, set, keys, &found->count)
                  : way == IN ? ragify_flat_search_codes (index->flat, query, wanted, words, keys, &found->count)
                              : ragify_flat_search (index->flat, query, wanted, words, set, keys, &found->count);
  if (!ok)
    die ("Flat", "memory is exhausted");
  for (uint32_t i = 0; i < found->count; i++)
    found->rows[i] = ragify_top_number (keys[i]);
}

static RagifyApproximateWay
way_inside (const Index *index)
{
  const RagifyApproximateTuning tuning = index->tuning;
  const uint64_t most = index->bench->vectors - 1;
  return ragify_approximate_choose (index->approximate, TOP, most, &tuning) == RAGIFY_APPROXIMATE_BY_LISTS
             ? RAGIFY_APPROXIMATE_BY_LISTS
             : RAGIFY_APPROXIMATE_BY_FAISS;
}

static void
search_approximate (const Index *index, const float *query, uint32_t wanted, const Allowed *allowed, Way way,
                    Found *found)
{
  RagifyFault fault;
  float scores[MOST];
  int64_t rows[MOST];
  const uint64_t *words = allowed == NULL ? NULL : allowed->words;
  const uint64_t set = allowed == NULL ? index->bench->vectors : allowed->set;
  const RagifyApproximateWay by = way == ALL ? RAGIFY_APPROXIMATE_ALL_ALLOWED : way_inside (index);
  const bool ok = way == ALL || way == IN
                      ? ragify_approximate_search_by (index->approximate, by, query, wanted, words, set, &index->tuning,
                                                      scores, rows, &found->count, &fault)
                      : ragify_approximate_search (index->approximate, query, wanted, words, set, &index->tuning,
                                                   scores, rows, &found->count, &fault);
  if (!ok)
    die ("search", fault.message);
  for (uint32_t i = 0; i < found->count; i++)
    found->rows[i] = (uint32_t)rows[i];
}

static void
search_one (const Index *index, const float *query, uint32_t wanted, const Allowed *allowed, Way way, Found *found)
{
  if (index->flat != NULL)
    search_flat (index, query, wanted, allowed, way, found);
  else
    search_approximate (index, query, wanted, allowed, way, found);
}

/* `allowed` NULL: unfiltered. */
static void
search (const Index *index, const float *query, const Allowed *allowed, Way way, Found *found)
{
  if (allowed == NULL || way != AFTER) {
    search_one (index, query, TOP, allowed, way, found);
    return;
  }
  const uint64_t needed = (uint64_t)(1.5 * TOP * index->bench->vectors / (double)allowed->set) + 1;
  search_one (index, query, needed < MOST ? (uint32_t)needed : MOST, NULL, CHOSEN, found);
  uint32_t left = 0;
  for (uint32_t i = 0; i < found->count && left < TOP; i++)
    if (ragify_words_has (allowed->words, found->rows[i]))
      found->rows[left++] = found->rows[i];
  found->count = left;
}

static const float *
query_of (const Bench *bench, uint32_t number)
{
  return bench->queries + (size_t)number * DIMENSION;
}

static double
cost (const Index *index, const Allowed *allowed, Way way)
{
  static Found found;
  const double began = cpu_us ();
  for (uint32_t i = 0; i < QUERIES; i++)
    search (index, query_of (index->bench, i), allowed, way, &found);
  return (cpu_us () - began) / QUERIES;
}

static int
compare (const void *left, const void *right)
{
  const double a = *(const double *)left, b = *(const double *)right;
  return (a > b) - (a < b);
}

/* The median of rounds that take turns with unfiltered ones. */
static double
ratio (const Index *index, const Allowed *allowed, Way way)
{
  double ratios[ROUNDS];
  for (uint32_t i = 0; i < ROUNDS; i++)
    ratios[i] = cost (index, allowed, way) / cost (index, NULL, CHOSEN);
  qsort (ratios, ROUNDS, sizeof *ratios, compare);
  return ratios[ROUNDS / 2];
}

static double
recall (const Index *index, const Allowed *allowed, Way way)
{
  static Found right, found;
  uint32_t wanted = 0, had = 0;
  for (uint32_t i = 0; i < QUERIES; i++) {
    search (index, query_of (index->bench, i), allowed, ALL, &right);
    search (index, query_of (index->bench, i), allowed, way, &found);
    wanted += right.count;
    for (uint32_t k = 0; k < right.count; k++)
      for (uint32_t j = 0; j < found.count; j++)
        had += found.rows[j] == right.rows[k];
  }
  return (double)had / wanted;
}

static const float *
vector_of (const Index *index, uint32_t row)
{
  return index->bench->rows + (size_t)(index->order == NULL ? row : index->order[row]) * DIMENSION;
}

/* So many of a thousand rows; `cluster`: those of one of the clusters, of about 1 %. */
static Allowed
allow (const Index *index, uint32_t of_thousand, bool cluster)
{
  const uint32_t count = index->bench->vectors;
  Allowed allowed = { .words = calloc (ragify_words_for (count), sizeof *allowed.words) };
  uint64_t state = of_thousand;
  const float *centre = index->bench->centres + (size_t)index->bench->clusters / 20 * DIMENSION;
  if (allowed.words == NULL)
    die ("allowed", "memory is exhausted");
  for (uint32_t row = 0; row < count; row++) {
    const bool in = cluster ? ragify_kernels_choose ()->dot (vector_of (index, row), centre, DIMENSION) > 10
                            : next_random (&state) % 1000 < of_thousand;
    if (in)
      ragify_words_add (allowed.words, row);
  }
  allowed.set = ragify_words_count (allowed.words, ragify_words_for (count));
  return allowed;
}

static void
report (Bench *bench, const Index *index, const char *factory, const Allowed *allowed, const char *kind)
{
  static const char *const names[N_WAYS] = { "all", "in", "after", "chosen" };
  printf ("%-12s %5.1f %% %-7s", factory, 100.0 * (double)allowed->set / bench->vectors, kind);
  for (Way way = ALL; way < N_WAYS; way++) {
    const double times = ratio (index, allowed, way), found = recall (index, allowed, way);
    printf ("  %s %6.2f x %5.3f", names[way], times, found);
    if (way == CHOSEN && (times > 4 || found < 0.95)) {
      printf ("  MISSED");
      bench->failed = true;
    }
  }
  printf ("\n");
  fflush (stdout);
}

static void
run (Bench *bench, const char *factory)
{
  static const uint32_t shares[] = { 10, 100, 200, 500, 900 };
  Index index = make_index (bench, factory);
  (void)cost (&index, NULL, CHOSEN);
  printf ("%-12s unfiltered %.0f us\n", factory, cost (&index, NULL, CHOSEN));
  for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
    Allowed allowed = allow (&index, shares[i], false);
    report (bench, &index, factory, &allowed, "chance");
    free (allowed.words);
  }
  Allowed allowed = allow (&index, 0, true);
  if (allowed.set > 0)
    report (bench, &index, factory, &allowed, "cluster");
  free (allowed.words);
  ragify_flat_free (index.flat);
  ragify_approximate_free (index.approximate);
  free (index.order);
}

int
main (int argc, char **argv)
{
  static const char *const usual[] = { "Flat", "IVF512,SQ8", "SQ8", "HNSW32" };
  Bench bench = { .vectors = 50000 };
  bool named = false;
  int first = 1;
  for (; first < argc && strncmp (argv[first], "--", 2) == 0; first++)
    if (strcmp (argv[first], "--assert") == 0)
      bench.judge = true;
    else if (strcmp (argv[first], "--vectors") == 0 && first + 1 < argc)
      bench.vectors = (uint32_t)strtoul (argv[++first], NULL, 10);
    else
      die (argv[first], "expected --vectors N, --assert, or names of indexes");
  if (bench.vectors < 1000)
    die ("--vectors", "expected 1000 at least");
  make_vectors (&bench);
  for (int i = first; i < argc; i++, named = true)
    run (&bench, argv[i]);
  for (size_t i = 0; !named && i < sizeof usual / sizeof *usual; i++)
    run (&bench, usual[i]);
  free (bench.centres);
  free (bench.rows);
  free (bench.queries);
  return bench.failed && bench.judge ? 1 : 0;
}
