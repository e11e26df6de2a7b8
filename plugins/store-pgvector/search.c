/* search: the nearest of all, or of those that match a filter, and the scores of chunks that were found elsewhere. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "condition.h"

#define MOST_TOP_K 100000u
#define MOST_SCORED 65536u
#define MOST_QUERIES 1000u
#define MOST_EF 1000 /* of pgvector */
#define MOST_PROBES 32768

typedef struct Search {
  guint32 n_queries;
  guint first_query; /* the step of the first one */
  GArray *hits;      /* RagifyHit */
  guint32 *counts;
  float *scores;
  gsize n_scored;
} Search;

static void
search_free (gpointer data)
{
  Search *search = data;
  g_array_unref (search->hits);
  g_free (search);
}

static gboolean
row_of_search (PgvectorJob *job, guint step, const PGresult *row)
{
  Search *search = job->state;
  if (step < search->first_query)
    return TRUE;
  const guint query = step - search->first_query;
  if (query < search->n_queries) {
    const RagifyHit hit = { .id = pgvector_read_uuid (row, 0), .score = (float)pgvector_read_float8 (row, 1) };
    g_array_append_val (search->hits, hit);
    search->counts[query]++;
    return TRUE;
  }
  const gint64 place = pgvector_read_int8 (row, 0) - 1;
  if (place >= 0 && place < (gint64)search->n_scored)
    search->scores[(query - search->n_queries) * search->n_scored + (gsize)place] =
        (float)pgvector_read_float8 (row, 1);
  return TRUE;
}

static int
compare_hits (const void *left, const void *right)
{
  const float one = ((const RagifyHit *)left)->score, other = ((const RagifyHit *)right)->score;
  return (one < other) - (one > other);
}

/* An iterative scan of IVFFlat gives them list by list. */
static void
sort_hits (const Search *search, RagifyHit *hits)
{
  for (guint32 i = 0; i < search->n_queries; hits += search->counts[i++])
    if (search->counts[i] > 1)
      qsort (hits, search->counts[i], sizeof *hits, compare_hits);
}

static void
finish_search (PgvectorJob *job)
{
  const Search *search = job->state;
  RagifyHit *hits = pgvector_job_alloc (job, search->hits->len * sizeof *hits);
  if (hits == NULL)
    return;
  if (search->hits->len > 0)
    memcpy (hits, search->hits->data, search->hits->len * sizeof *hits);
  if (job->store->index == PGVECTOR_INDEX_IVFFLAT)
    sort_hits (search, hits);
  RagifyStoreSearchResult result = { .struct_size = sizeof result,
                                     .hits = { hits, search->hits->len },
                                     .counts = { search->counts, search->n_queries } };
  if (search->scores != NULL)
    result.scores = (RagifyVectors){ search->scores, search->n_queries, (guint32)search->n_scored };
  job->store->host->call_done (job->call, &result);
}

static float
square_of (const float *vector, guint32 dimension)
{
  float sum = 0;
  for (guint32 i = 0; i < dimension; i++)
    sum += vector[i] * vector[i];
  return sum;
}

static gboolean
check (PgvectorJob *job, const RagifyStoreSearch *args)
{
  const PgvectorStore *store = job->store;
  RagifyFault *fault = &job->fault;
  if (store->dimension == 0)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "the store was started without embedder: it has no vectors");
  if (args->top_k < 1 || args->top_k > MOST_TOP_K)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "top_k: expected 1 to %u, found %u", MOST_TOP_K, args->top_k);
  if (args->vectors.count < 1 || args->vectors.count > MOST_QUERIES)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "vectors: expected 1 to %u, found %u", MOST_QUERIES,
                             args->vectors.count);
  if (args->vectors.dimension != store->dimension)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "vectors: expected dimension %u, found %u", store->dimension,
                             args->vectors.dimension);
  for (guint32 i = 0; i < args->vectors.count; i++)
    if (!(square_of (args->vectors.items + (gsize)i * store->dimension, store->dimension) > 0))
      return ragify_fault_set (fault, RAGIFY_E_INVALID, "vectors[%u]: expected one with a length, found none", i);
  if (RAGIFY_HAS (args, scored) && args->scored.count > MOST_SCORED)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "scored: expected at most %u, found %llu", MOST_SCORED,
                             (unsigned long long)args->scored.count);
  return TRUE;
}

static gboolean
is_named (RagifyStr name, const char *one, const char *other)
{
  return (name.size == strlen (one) && memcmp (name.data, one, name.size) == 0) ||
         (name.size == strlen (other) && memcmp (name.data, other, name.size) == 0);
}

static gboolean
read_number (PgvectorJob *job, const RagifyPair *pair, gint64 *number)
{
  if (pair->value.type == RAGIFY_VALUE_INT && pair->value.integer >= 1) {
    *number = pair->value.integer;
    return TRUE;
  }
  return ragify_fault_set (&job->fault, RAGIFY_E_INVALID, "search.%.*s: expected a whole number from 1 on",
                           (int)MIN (pair->name.size, 40), pair->name.data);
}

/* What one request says, over what is configured. */
static gboolean
read_tuning (PgvectorJob *job, const RagifyStoreSearch *args, PgvectorTuning *tuning, gboolean *exact)
{
  *tuning = job->store->tuning;
  for (guint64 i = 0; i < args->tuning.count; i++) {
    const RagifyPair *pair = &args->tuning.items[i];
    if (is_named (pair->name, "ef_search", "efSearch") && !read_number (job, pair, &tuning->ef_search))
      return FALSE;
    if (is_named (pair->name, "probes", "nprobe") && !read_number (job, pair, &tuning->probes))
      return FALSE;
    if (!is_named (pair->name, "exact", "exact"))
      continue;
    if (pair->value.type != RAGIFY_VALUE_BOOL)
      return ragify_fault_set (&job->fault, RAGIFY_E_INVALID, "search.exact: expected true or false");
    *exact = pair->value.integer != 0;
  }
  return TRUE;
}

/* Settings of this transaction alone. An index gives no more than ef_search; where the server can, it goes on instead
 * (iterative scan: pgvector 0.8). */
static void
add_settings (PgvectorJob *job, const RagifyStoreSearch *args, const PgvectorTuning *tuning, gboolean exact)
{
  const PgvectorStore *store = job->store;
  const gboolean iterates = store->server_vector >= 800;
  if (exact) {
    pgvector_job_sql (job, g_strdup ("SELECT set_config ('enable_indexscan', 'off', true)"));
  } else if (store->index == PGVECTOR_INDEX_HNSW) {
    const gint64 ef = CLAMP (MAX (tuning->ef_search, (gint64)args->top_k), 1, MOST_EF);
    pgvector_job_sql (job,
                      g_strdup_printf ("SELECT set_config ('hnsw.ef_search', '%d', true)%s", (int)ef,
                                       iterates ? ", set_config ('hnsw.iterative_scan', 'strict_order', true)" : ""));
  } else if (store->index == PGVECTOR_INDEX_IVFFLAT) {
    const gint64 probes = CLAMP (tuning->probes, 1, MOST_PROBES);
    pgvector_job_sql (
        job, g_strdup_printf ("SELECT set_config ('ivfflat.probes', '%d', true)%s", (int)probes,
                              iterates ? ", set_config ('ivfflat.iterative_scan', 'relaxed_order', true)" : ""));
  }
}

static gboolean
add_query (PgvectorJob *job, const RagifyStoreSearch *args, GBytes *vector)
{
  char *const *sql = job->store->statements.sql;
  if (args->filter == NULL) {
    pgvector_job_step (job, PGVECTOR_SEARCH);
    pgvector_job_bind (job, vector);
    pgvector_job_bind_take (job, pgvector_value_int8 (args->top_k));
    return TRUE;
  }
  const guint step = pgvector_job_sql (job, NULL);
  g_autoptr (GString) text = g_string_new (sql[PGVECTOR_SEARCH_FILTERED]);
  pgvector_job_bind (job, vector);
  pgvector_job_bind_take (job, pgvector_value_int8 (args->top_k));
  if (!pgvector_condition_write (job, args->filter, "c.metadata", text))
    return FALSE;
  g_string_append (text, sql[PGVECTOR_SEARCH_FILTERED_END]);
  pgvector_job_set_sql (job, step, g_string_free (g_steal_pointer (&text), FALSE));
  return TRUE;
}

static gboolean
prepare (PgvectorJob *job, const RagifyStoreSearch *args)
{
  Search *search = job->state;
  search->counts = pgvector_job_alloc (job, search->n_queries * sizeof *search->counts);
  search->n_scored = RAGIFY_HAS (args, scored) ? args->scored.count : 0;
  if (search->counts == NULL)
    return FALSE;
  if (search->n_scored > 0)
    search->scores = pgvector_job_alloc (job, search->n_queries * search->n_scored * sizeof (float));
  return search->n_scored == 0 || search->scores != NULL;
}

/* Of unit length, so that the inner product with vectors that are is the cosine. */
static GBytes *
value_of_query (const RagifyStoreSearch *args, guint32 index)
{
  const guint32 dimension = args->vectors.dimension;
  const float *vector = args->vectors.items + (gsize)index * dimension;
  const float length = sqrtf (square_of (vector, dimension));
  g_autofree float *unit = g_new (float, dimension);
  for (guint32 i = 0; i < dimension; i++)
    unit[i] = vector[i] / length;
  return pgvector_value_vector (unit, dimension);
}

static gboolean
add_steps (PgvectorJob *job, const RagifyStoreSearch *args)
{
  Search *search = job->state;
  PgvectorTuning tuning;
  gboolean exact = FALSE;
  g_autoptr (GPtrArray) vectors = g_ptr_array_new_with_free_func ((GDestroyNotify)g_bytes_unref);
  if (!check (job, args) || !read_tuning (job, args, &tuning, &exact) || !prepare (job, args))
    return FALSE;
  add_settings (job, args, &tuning, exact);
  search->first_query = job->steps->len;
  for (guint32 i = 0; i < args->vectors.count; i++) {
    g_ptr_array_add (vectors, value_of_query (args, i));
    if (!add_query (job, args, g_ptr_array_index (vectors, i)))
      return FALSE;
  }
  if (search->n_scored == 0)
    return TRUE;
  g_autoptr (GBytes) ids = pgvector_value_uuids (&args->scored);
  for (guint32 i = 0; i < args->vectors.count; i++) {
    pgvector_job_step (job, PGVECTOR_SCORE);
    pgvector_job_bind (job, g_ptr_array_index (vectors, i));
    pgvector_job_bind (job, ids);
  }
  return TRUE;
}

static void
begin_search (PgvectorStore *store, RagifyCall *call, const void *args)
{
  PgvectorJob *job = pgvector_job_new (store, call, TRUE);
  Search *search = g_new0 (Search, 1);
  search->hits = g_array_new (FALSE, FALSE, sizeof (RagifyHit));
  search->n_queries = ((const RagifyStoreSearch *)args)->vectors.count;
  job->state = search;
  job->free_state = search_free;
  job->row = row_of_search;
  job->finish = finish_search;
  if (add_steps (job, args))
    pgvector_job_run (job);
  else
    pgvector_job_fail (job);
}

void
pgvector_search (void *instance, RagifyCall *call, const RagifyStoreSearch *args)
{
  pgvector_store_when_open (instance, call, args, begin_search);
}
