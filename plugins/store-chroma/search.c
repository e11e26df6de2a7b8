/* search: the nearest of all, or of those that match a filter.
 *
 * What the server lets through may be more than what matches (where.c), so more is asked for until enough match. The
 * first time the metadata come with the hits. Further ones may bring all there is: their metadata are asked for
 * afterwards, so many at a time that an answer can be read, and only of what has not been judged yet. */
#include <math.h>
#include <string.h>

#include "job.h"
#include "json-condition.h"
#include "records.h"

#define MOST_TOP_K 100000u
#define MOST_QUERIES 1000u
#define MORE_AT_FIRST 50u /* asked for beyond top_k where there is a filter */

#define JUDGED_AT_ONCE 2000u

typedef struct Search {
  const RagifyStoreSearch *args;
  guint wanted;
  gboolean apart;     /* metadata are asked for afterwards */
  GHashTable *judged; /* id → whether it matches, by GINT_TO_POINTER: 1 or 0 */
  json_t *nearest;    /* the answer whose hits are being judged, … */
  GPtrArray *unknown; /* … ids in it that are not yet; of it, and … */
  gsize at, at_once;  /* … how far that is */
  RagifyHit *hits;
  guint32 *counts;
  guint64 total;
} Search;

static void ask (ChromaJob *job);
static void judge_more (ChromaJob *job);

static void
search_free (gpointer data)
{
  Search *search = data;
  g_clear_pointer (&search->judged, g_hash_table_unref);
  g_clear_pointer (&search->unknown, g_ptr_array_unref);
  json_decref (search->nearest);
  g_free (search);
}

static gboolean
check (ChromaJob *job, const RagifyStoreSearch *args)
{
  const guint32 dimension = job->store->dimension;
  RagifyFault *fault = &job->fault;
  if (args->top_k < 1 || args->top_k > MOST_TOP_K)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "top_k: expected 1 to %u, found %u", MOST_TOP_K, args->top_k);
  if (args->vectors.count < 1 || args->vectors.count > MOST_QUERIES)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "vectors: expected 1 to %u, found %u", MOST_QUERIES,
                             args->vectors.count);
  if (args->vectors.dimension != dimension)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "vectors: expected dimension %u, found %u", dimension,
                             args->vectors.dimension);
  for (guint32 i = 0; i < args->vectors.count; i++) {
    float sum = 0;
    for (guint32 j = 0; j < dimension; j++)
      sum += args->vectors.items[(gsize)i * dimension + j] * args->vectors.items[(gsize)i * dimension + j];
    if (!(sum > 0) || !isfinite (sum))
      return ragify_fault_set (fault, RAGIFY_E_INVALID, "vectors[%u]: expected one with a length, found none", i);
  }
  return chroma_filter_ok (job, args->filter);
}

/* What one request says of others' indexes has no effect here, and must make sense all the same. */
static gboolean
check_tuning (ChromaJob *job, const RagifyPairList *tuning)
{
  static const char *const numbers[] = { "ef_search", "efSearch", "nprobe", "probes" };
  for (guint64 i = 0; i < tuning->count; i++) {
    const RagifyPair *pair = &tuning->items[i];
    g_autofree char *name = g_strndup (pair->name.data, pair->name.size);
    for (guint j = 0; j < G_N_ELEMENTS (numbers); j++)
      if (strcmp (name, numbers[j]) == 0 && (pair->value.type != RAGIFY_VALUE_INT || pair->value.integer < 1))
        return ragify_fault_set (&job->fault, RAGIFY_E_INVALID, "search.%s: expected a whole number from 1 on", name);
    if (strcmp (name, "exact") == 0 && pair->value.type != RAGIFY_VALUE_BOOL)
      return ragify_fault_set (&job->fault, RAGIFY_E_INVALID, "search.exact: expected true or false");
  }
  return TRUE;
}

/* ---- answers ---- */

static gboolean
matches (const Search *search, const char *id, const json_t *metadata)
{
  if (search->args->filter == NULL)
    return TRUE;
  if (search->apart)
    return GPOINTER_TO_INT (g_hash_table_lookup (search->judged, id)) != 0;
  const gboolean match = ragify_condition_matches (search->args->filter, chroma_metadata_text (metadata));
  g_hash_table_insert (search->judged, g_strdup (id), GINT_TO_POINTER (match ? 1 : 0));
  return match;
}

/* The hits of one query; *whole: there are no more to be had. */
static gboolean
take_query (ChromaJob *job, const json_t *answer, gsize query, gboolean *whole)
{
  Search *search = job->state;
  const json_t *ids = json_array_get (json_object_get (answer, "ids"), query);
  const json_t *distances = json_array_get (json_object_get (answer, "distances"), query);
  const json_t *metadatas = json_array_get (json_object_get (answer, "metadatas"), query);
  const gsize count = json_array_size (ids);
  guint32 found = 0;
  if (json_array_size (distances) != count)
    return chroma_job_unexpected (job, "the answer has not as many distances as ids");
  for (gsize i = 0; i < count && found < search->args->top_k; i++) {
    const char *id = json_string_value (json_array_get (ids, i));
    const json_t *distance = json_array_get (distances, i);
    RagifyHit *hit = &search->hits[search->total + found];
    if (id == NULL || !json_is_number (distance) || !chroma_read_uuid (id, &hit->id))
      return chroma_job_unexpected (job, "a hit has no id that is a UUID, or no distance");
    hit->score = (float)(1 - json_number_value (distance));
    found += matches (search, id, json_array_get (metadatas, i)) ? 1 : 0;
  }
  *whole = found == search->args->top_k || count < search->wanted || search->wanted >= MOST_TOP_K;
  search->counts[query] = found;
  search->total += found;
  return TRUE;
}

static void
take (ChromaJob *job, const json_t *answer)
{
  Search *search = job->state;
  const gsize queries = search->args->vectors.count;
  gboolean whole = TRUE;
  search->total = 0;
  if (json_array_size (json_object_get (answer, "ids")) != queries) {
    (void)chroma_job_unexpected (job, "the answer has not as many lists as there were queries");
    chroma_job_fail (job);
    return;
  }
  for (gsize i = 0; i < queries; i++) {
    gboolean this_one = FALSE;
    if (!take_query (job, answer, i, &this_one)) {
      chroma_job_fail (job);
      return;
    }
    whole = whole && this_one;
  }
  if (!whole) {
    search->wanted = MIN (4 * search->wanted, MOST_TOP_K);
    search->apart = TRUE;
    ask (job);
    return;
  }
  const RagifyStoreSearchResult result = { .struct_size = sizeof result,
                                           .hits = { search->hits, search->total },
                                           .counts = { search->counts, queries } };
  chroma_job_done (job, &result);
}

/* ---- judging hits afterwards ---- */

static void
got_metadata (ChromaJob *job, const json_t *answer)
{
  Search *search = job->state;
  const json_t *ids = json_object_get (answer, "ids"), *metadatas = json_object_get (answer, "metadatas");
  for (gsize i = 0; i < json_array_size (ids); i++) {
    const char *id = json_string_value (json_array_get (ids, i));
    const RagifyStr text = chroma_metadata_text (json_array_get (metadatas, i));
    if (id != NULL && ragify_condition_matches (search->args->filter, text))
      g_hash_table_insert (search->judged, g_strdup (id), GINT_TO_POINTER (1));
  }
  search->at += search->at_once;
  judge_more (job);
}

static gboolean
judge_fewer (ChromaJob *job)
{
  Search *search = job->state;
  if (search->at_once <= 1)
    return FALSE;
  search->at_once = (search->at_once + 1) / 2;
  judge_more (job);
  return TRUE;
}

static void
judge_more (ChromaJob *job)
{
  Search *search = job->state;
  if (search->at >= search->unknown->len) {
    json_t *nearest = g_steal_pointer (&search->nearest);
    take (job, nearest);
    json_decref (nearest);
    return;
  }
  json_t *ids = json_array ();
  for (gsize i = search->at; i < MIN (search->at + search->at_once, search->unknown->len); i++)
    json_array_append_new (ids, json_string (g_ptr_array_index (search->unknown, i)));
  job->smaller = judge_fewer;
  chroma_job_send (job, "POST", job->store->urls[CHROMA_CHUNKS], "/get",
                   json_pack ("{s:o, s:[s]}", "ids", ids, "include", "metadatas"), got_metadata);
}

/* Those that nothing is known of count as no match until their metadata have come. */
static void
got_apart (ChromaJob *job, const json_t *answer)
{
  Search *search = job->state;
  const json_t *lists = json_object_get (answer, "ids");
  search->nearest = json_incref ((json_t *)answer);
  g_clear_pointer (&search->unknown, g_ptr_array_unref);
  search->unknown = g_ptr_array_new ();
  search->at = 0;
  for (gsize i = 0; i < json_array_size (lists); i++)
    for (gsize j = 0; j < json_array_size (json_array_get (lists, i)); j++) {
      const char *id = json_string_value (json_array_get (json_array_get (lists, i), j));
      if (id != NULL && g_hash_table_insert (search->judged, g_strdup (id), g_hash_table_lookup (search->judged, id)))
        g_ptr_array_add (search->unknown, (gpointer)id);
    }
  judge_more (job);
}

/* ---- asking ---- */

static gboolean
ask_apart (ChromaJob *job)
{
  Search *search = job->state;
  if (search->apart || search->args->filter == NULL)
    return FALSE;
  search->apart = TRUE;
  ask (job);
  return TRUE;
}

static void
ask (ChromaJob *job)
{
  const Search *search = job->state;
  const gboolean with_metadata = search->args->filter != NULL && !search->apart;
  const RagifyVectors *vectors = &search->args->vectors;
  json_t *queries = json_array ();
  for (guint32 i = 0; i < vectors->count; i++) {
    json_t *numbers = json_array ();
    for (guint32 j = 0; j < vectors->dimension; j++)
      json_array_append_new (numbers, json_real (vectors->items[(gsize)i * vectors->dimension + j]));
    json_array_append_new (queries, numbers);
  }
  json_t *body = json_pack ("{s:o, s:i, s:[s]}", "query_embeddings", queries, "n_results", (int)search->wanted,
                            "include", "distances");
  json_t *where = search->args->filter != NULL ? chroma_where (search->args->filter) : NULL;
  if (with_metadata)
    json_array_append_new (json_object_get (body, "include"), json_string ("metadatas"));
  if (where != NULL)
    json_object_set_new (body, "where", where);
  job->smaller = ask_apart;
  chroma_job_send (job, "POST", job->store->urls[CHROMA_CHUNKS], "/query", body, search->apart ? got_apart : take);
}

static void
begin (ChromaStore *store, RagifyCall *call, const void *data)
{
  Search *search = g_new0 (Search, 1);
  ChromaJob *job = chroma_job_new (store, call, search, search_free);
  const RagifyStoreSearch *args = data;
  search->args = args;
  search->judged = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  search->at_once = JUDGED_AT_ONCE;
  search->wanted = args->filter != NULL ? MIN (args->top_k + MORE_AT_FIRST, MOST_TOP_K) : args->top_k;
  if (check (job, args) && check_tuning (job, &args->tuning)) {
    search->hits = chroma_job_alloc (job, (guint64)args->vectors.count * args->top_k * sizeof *search->hits);
    search->counts = chroma_job_alloc (job, args->vectors.count * sizeof *search->counts);
  }
  if (search->hits != NULL && search->counts != NULL)
    ask (job);
  else
    chroma_job_fail (job);
}

void
chroma_search (void *instance, RagifyCall *call, const RagifyStoreSearch *args)
{
  chroma_store_when_open (instance, call, args, begin);
}
