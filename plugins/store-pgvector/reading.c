/* fetch, generation, flush, probe and stats. */
#include "answer.h"
#include "job.h"

/* ---- fetch ---- */

typedef struct Fetch {
  const RagifyUuidList *ids;
  RagifyChunk *chunks;
  float *vectors;
  gsize count;
  guint32 what, dimension;
  guint chunk_step, vector_step;
} Fetch;

#define NO_STEP G_MAXUINT

gboolean
pgvector_take_content (PgvectorJob *job, const PGresult *row, int first, RagifyChunk *chunk)
{
  if (!pgvector_job_copy (job, pgvector_read_text (row, first), &chunk->document_id) ||
      !pgvector_job_copy (job, pgvector_read_text (row, first + 1), &chunk->content) ||
      !pgvector_job_copy (job, pgvector_read_text (row, first + 2), &chunk->title) ||
      !pgvector_job_copy (job, pgvector_read_text (row, first + 3), &chunk->uri))
    return FALSE;
  chunk->ordinal = (guint64)pgvector_read_int8 (row, first + 4);
  chunk->begin = (guint64)pgvector_read_int8 (row, first + 5);
  chunk->end = (guint64)pgvector_read_int8 (row, first + 6);
  chunk->created_at = pgvector_read_int8 (row, first + 7);
  chunk->updated_at = pgvector_read_int8 (row, first + 8);
  return TRUE;
}

static gboolean
take_chunk (PgvectorJob *job, const PGresult *row, RagifyChunk *chunk)
{
  const Fetch *fetch = job->state;
  const gboolean content = (fetch->what & RAGIFY_FETCH_CONTENT) != 0;
  chunk->flags = 0;
  if (content && !pgvector_take_content (job, row, 1, chunk))
    return FALSE;
  return (fetch->what & RAGIFY_FETCH_METADATA) == 0 ||
         pgvector_job_copy_json (job, pgvector_read_json (row, content ? 10 : 1), &chunk->metadata);
}

static gboolean
fetched_row (PgvectorJob *job, guint step, const PGresult *row)
{
  const Fetch *fetch = job->state;
  const gint64 place = pgvector_read_int8 (row, 0) - 1;
  if (place < 0 || place >= (gint64)fetch->count)
    return TRUE;
  if (step == fetch->vector_step) {
    pgvector_read_vector (row, 1, fetch->vectors + (gsize)place * fetch->dimension, fetch->dimension);
    return TRUE;
  }
  fetch->chunks[place].id = fetch->ids->items[place];
  return take_chunk (job, row, &fetch->chunks[place]);
}

static void
finish_fetch (PgvectorJob *job)
{
  const Fetch *fetch = job->state;
  RagifyStoreFetchResult result = { .struct_size = sizeof result };
  if (fetch->chunks != NULL)
    result.chunks = (RagifyChunkList){ .items = fetch->chunks, .count = fetch->count, .stride = sizeof *fetch->chunks };
  if (fetch->vectors != NULL)
    result.vectors = (RagifyVectors){ fetch->vectors, (guint32)fetch->count, fetch->dimension };
  job->store->host->call_done (job->call, &result);
}

static gboolean
prepare_chunks (PgvectorJob *job, const RagifyStoreFetch *args)
{
  Fetch *fetch = job->state;
  fetch->chunks = pgvector_job_alloc (job, args->ids.count * sizeof *fetch->chunks);
  if (fetch->chunks == NULL)
    return FALSE;
  for (gsize i = 0; i < fetch->count; i++)
    fetch->chunks[i] = (RagifyChunk){ .struct_size = sizeof (RagifyChunk), .flags = RAGIFY_CHUNK_MISSING };
  return TRUE;
}

static void
begin_fetch (PgvectorStore *store, RagifyCall *call, const void *data)
{
  const RagifyStoreFetch *args = data;
  const gboolean content = (args->what & RAGIFY_FETCH_CONTENT) != 0;
  const gboolean metadata = (args->what & RAGIFY_FETCH_METADATA) != 0;
  PgvectorJob *job = pgvector_job_new (store, call, TRUE);
  Fetch *fetch = g_new0 (Fetch, 1);
  *fetch = (Fetch){ .ids = &args->ids,
                    .count = args->ids.count,
                    .what = args->what,
                    .dimension = store->dimension,
                    .chunk_step = NO_STEP,
                    .vector_step = NO_STEP };
  job->state = fetch;
  job->free_state = g_free;
  job->row = fetched_row;
  job->finish = finish_fetch;
  g_autoptr (GBytes) ids = pgvector_value_uuids (&args->ids);
  if (content || metadata) {
    if (!prepare_chunks (job, args)) {
      pgvector_job_fail (job);
      return;
    }
    fetch->chunk_step = pgvector_job_step (job, content && metadata ? PGVECTOR_FETCH_BOTH
                                                : content           ? PGVECTOR_FETCH_CONTENT
                                                                    : PGVECTOR_FETCH_METADATA);
    pgvector_job_bind (job, ids);
  }
  if ((args->what & RAGIFY_FETCH_VECTORS) != 0 && store->dimension > 0) {
    fetch->vectors = pgvector_job_alloc (job, fetch->count * store->dimension * sizeof (float));
    if (fetch->vectors == NULL) {
      pgvector_job_fail (job);
      return;
    }
    fetch->vector_step = pgvector_job_step (job, PGVECTOR_FETCH_VECTORS);
    pgvector_job_bind (job, ids);
  }
  if (job->steps->len == 0)
    pgvector_job_step (job, PGVECTOR_GENERATION);
  pgvector_job_run (job);
}

void
pgvector_fetch (void *instance, RagifyCall *call, const RagifyStoreFetch *args)
{
  pgvector_store_when_open (instance, call, args, begin_fetch);
}

/* ---- generation, and what is told beside it ---- */

static gboolean
numbers_row (PgvectorJob *job, guint step, const PGresult *row)
{
  RagifyStoreGeneration *numbers = job->state;
  *numbers =
      (RagifyStoreGeneration){ .struct_size = sizeof *numbers,
                               .generation = { pgvector_read_uuid (row, 0), (guint64)pgvector_read_int8 (row, 1) },
                               .documents = (guint64)pgvector_read_int8 (row, 2),
                               .chunks = (guint64)pgvector_read_int8 (row, 3),
                               .vectors = (guint64)pgvector_read_int8 (row, 4) };
  return TRUE;
}

static gboolean
has_numbers (PgvectorJob *job)
{
  const RagifyStoreGeneration *numbers = job->state;
  if (numbers->struct_size != 0)
    return TRUE;
  pgvector_store_reopen (job->store);
  return ragify_fault_set (&job->fault, RAGIFY_E_UNAVAILABLE, "the table '%s.%s_store' has no row", job->store->schema,
                           job->store->table);
}

static void
ask_numbers (PgvectorStore *store, RagifyCall *call, void (*finish) (PgvectorJob *job))
{
  PgvectorJob *job = pgvector_job_new (store, call, TRUE);
  job->state = g_new0 (RagifyStoreGeneration, 1);
  job->free_state = g_free;
  job->row = numbers_row;
  job->finish = finish;
  pgvector_job_step (job, PGVECTOR_GENERATION);
  pgvector_job_run (job);
}

static void
finish_generation (PgvectorJob *job)
{
  if (has_numbers (job))
    job->store->host->call_done (job->call, job->state);
}

static void
begin_generation (PgvectorStore *store, RagifyCall *call, const void *args)
{
  ask_numbers (store, call, finish_generation);
}

void
pgvector_generation (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  pgvector_store_when_open (instance, call, args, begin_generation);
}

/* What was completed is committed. */
void
pgvector_flush (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  const PgvectorStore *store = instance;
  store->host->call_done (call, NULL);
}

static void
finish_probe (PgvectorJob *job)
{
  const RagifyHost *host = job->store->host;
  const RagifyStoreGeneration *numbers = job->state;
  RagifyPostgresPoolCounts counts;
  if (!has_numbers (job))
    return;
  ragify_postgres_pool_counts (job->store->pool, &counts);
  char *text = pgvector_job_alloc (job, 200);
  if (text == NULL)
    return;
  (void)g_snprintf (text, 200,
                    "PostgreSQL %d.%d, pgvector %u.%u, %" G_GUINT64_FORMAT " connections, %" G_GUINT64_FORMAT
                    " documents, %" G_GUINT64_FORMAT " chunks",
                    counts.server_version / 10000, counts.server_version % 10000, job->store->server_vector / 10000,
                    job->store->server_vector / 100 % 100, counts.node_open, numbers->documents, numbers->chunks);
  host->call_done (job->call,
                   &(RagifyProbeResult){ .struct_size = sizeof (RagifyProbeResult), .detail = ragify_str_from (text) });
}

static void
begin_probe (PgvectorStore *store, RagifyCall *call, const void *args)
{
  ask_numbers (store, call, finish_probe);
}

void
pgvector_probe (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  pgvector_store_when_open (instance, call, args, begin_probe);
}

void
pgvector_finish_stats (const PgvectorStore *store, RagifyCall *call, const RagifyStoreGeneration *numbers)
{
  RagifyPostgresPoolCounts counts;
  ragify_postgres_pool_counts (store->pool, &counts);
  const struct {
    const char *name;
    guint64 value;
  } values[] = {
    { "documents", numbers->documents },
    { "chunks", numbers->chunks },
    { "vectors", numbers->vectors },
    { "generation", numbers->generation.counter },
    { "connections", counts.open },
    { "connections-idle", counts.idle },
    { "waiting", counts.waiting },
    { "queries", counts.queries },
    { "wait-timeouts", counts.timeouts },
    { "connects", counts.connects },
    { "connect-failures", counts.refusals },
    { "connections-lost", counts.lost },
    { "node-connections", counts.node_open },
    { "server-version", (guint64)counts.server_version },
  };
  RagifyPair *pairs = store->host->call_alloc (call, sizeof *pairs * G_N_ELEMENTS (values));
  for (guint i = 0; i < G_N_ELEMENTS (values) && pairs != NULL; i++) {
    pairs[i].name = ragify_str_from (values[i].name);
    pairs[i].value = (RagifyValue){ .type = RAGIFY_VALUE_INT, .integer = (int64_t)values[i].value };
  }
  const RagifyStatsResult result = {
    .struct_size = sizeof result,
    .values = { .items = pairs, .count = pairs != NULL ? G_N_ELEMENTS (values) : 0 },
  };
  store->host->call_done (call, &result);
}

static void
finish_stats (PgvectorJob *job)
{
  if (has_numbers (job))
    pgvector_finish_stats (job->store, job->call, job->state);
}

static void
begin_stats (PgvectorStore *store, RagifyCall *call, const void *args)
{
  ask_numbers (store, call, finish_stats);
}

void
pgvector_stats (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  pgvector_store_when_open (instance, call, args, begin_stats);
}
