/* query, scan and probe. */
#include <string.h>

#include "job.h"

#define QUERY_NAME "ragify_source_query"
#define FIRST_PAGE_NAME "ragify_source_scan_first"
#define NEXT_PAGE_NAME "ragify_source_scan_next"

/* ---- query ---- */

static bool
query_row (RagifyPostgresQuery *query, unsigned int step, const PGresult *row)
{
  PostgresJob *job = query->user;
  PostgresSource *source = job->source;
  RagifyChunk chunk;
  if (job->chunks->len >= job->limit || job->bytes > source->max_result) {
    if (job->bytes > source->max_result && source->first && (source->told & 0x80000000u) == 0) {
      source->told |= 0x80000000u;
      source->host->log (source->context, RAGIFY_LOG_WARNING,
                         ragify_str_from ("the rows of a query exceed max-result; those that follow were left out"));
    }
    return false;
  }
  if (!postgres_job_read (job, row, &chunk))
    return false;
  if (chunk.content.size > 0)
    g_array_append_val (job->chunks, chunk);
  return true;
}

static void
finish_query (PostgresJob *job)
{
  const RagifyHost *host = job->source->host;
  const gsize size = job->chunks->len * sizeof (RagifyChunk);
  RagifyChunk *chunks = host->call_alloc (job->call, MAX (size, 1));
  if (chunks == NULL) {
    host->call_fail (job->call, RAGIFY_E_EXHAUSTED, ragify_str_from ("the call's memory limit is reached"), 0);
    return;
  }
  if (size > 0)
    memcpy (chunks, job->chunks->data, size);
  const RagifySourceResult result = {
    .struct_size = sizeof result,
    .chunks = { .items = chunks, .count = job->chunks->len, .stride = sizeof (RagifyChunk) },
  };
  host->call_done (job->call, &result);
}

static char *
value_of (PostgresParameter parameter, const RagifySourceQuery *args, const char *text)
{
  switch (parameter) {
  case POSTGRES_QUERY:
    return g_strdup (text);
  case POSTGRES_PATTERN:
    return postgres_pattern_of (text);
  case POSTGRES_EMBEDDING:
    return postgres_embedding_of (&args->embedding);
  case POSTGRES_LIMIT:
    return g_strdup_printf ("%u", args->top_k);
  case POSTGRES_FILTER:
    return args->filter != NULL ? postgres_filter_of (args->filter) : NULL;
  default:
    return NULL;
  }
}

void
postgres_source_query (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  PostgresSource *source = instance;
  const PostgresStatement *statement = &source->statement;
  PostgresJob *job = postgres_job_new (source, call, finish_query);
  job->chunks = g_array_new (FALSE, FALSE, sizeof (RagifyChunk));
  job->limit = args->top_k;
  job->query.row = query_row;
  if (memchr (args->text.data != NULL ? args->text.data : "", '\0', args->text.size) != NULL) {
    postgres_job_fail (job, RAGIFY_E_INVALID, "query: PostgreSQL has no texts with U+0000");
    return;
  }
  if (postgres_statement_uses (statement, POSTGRES_EMBEDDING) && args->embedding.count == 0) {
    postgres_job_fail (job, RAGIFY_E_UNAVAILABLE, "there is no embedding of the query to search with");
    return;
  }
  g_autofree char *text = g_strndup (args->text.size > 0 ? args->text.data : "", args->text.size);
  for (guint i = 0; i < statement->count; i++)
    job->values[i] = value_of (statement->parameters[i], args, text);
  postgres_job_run (job, QUERY_NAME, statement->sql, (int)statement->count);
}

/* ---- scan: whole rows by id, for ingest ---- */

static void
credit (RagifyCall *call, void *user)
{
  PostgresJob *job = user;
  if (!job->held)
    return;
  job->held = FALSE;
  ragify_postgres_pool_hold (job->source->pool, &job->query, false); /* the job may be gone after this */
}

static void
keep_cursor (PostgresJob *job, const PGresult *row)
{
  for (int i = 0; i < job->n_columns; i++) {
    if (job->columns[i] != RAGIFY_COLUMN_ID)
      continue;
    g_free (job->cursor);
    job->cursor = g_strdup (PQgetvalue (row, 0, i));
  }
}

static bool
scan_row (RagifyPostgresQuery *query, unsigned int step, const PGresult *row)
{
  PostgresJob *job = query->user;
  RagifyChunk chunk;
  if (!postgres_job_read (job, row, &chunk))
    return false;
  job->rows++;
  keep_cursor (job, row);
  const guint32 said = job->source->host->call_emit (job->call, &chunk);
  if (said == RAGIFY_EMIT_STOP) {
    ragify_fault_set (&job->fault, RAGIFY_E_CANCELLED, "cancelled");
    return false;
  }
  if (said == RAGIFY_EMIT_WAIT) {
    job->held = TRUE;
    ragify_postgres_pool_hold (job->source->pool, query, true);
  }
  return true;
}

static void
finish_scan (PostgresJob *job)
{
  const RagifyHost *host = job->source->host;
  RagifySourceScanResult result = { .struct_size = sizeof result };
  if (job->limit > 0 && job->rows == job->limit && job->cursor != NULL) {
    const gsize size = strlen (job->cursor);
    char *memory = host->call_alloc (job->call, size + 1);
    if (memory == NULL) {
      host->call_fail (job->call, RAGIFY_E_EXHAUSTED, ragify_str_from ("the call's memory limit is reached"), 0);
      return;
    }
    result.cursor = ragify_str (memcpy (memory, job->cursor, size), size);
  }
  host->call_done (job->call, &result);
}

static char *
scan_value_of (PostgresParameter parameter, const RagifySourceScan *args)
{
  char number[G_ASCII_DTOSTR_BUF_SIZE];
  switch (parameter) {
  case POSTGRES_CURSOR:
    return g_strndup (args->cursor.data, args->cursor.size);
  case POSTGRES_LIMIT:
    return args->limit > 0 ? g_strdup_printf ("%u", args->limit) : NULL;
  case POSTGRES_SINCE:
    return args->since > 0 ? g_strdup (g_ascii_dtostr (number, sizeof number, (double)args->since / G_USEC_PER_SEC))
                           : NULL;
  default:
    return NULL;
  }
}

void
postgres_source_scan (void *instance, RagifyCall *call, const RagifySourceScan *args)
{
  PostgresSource *source = instance;
  PostgresJob *job = postgres_job_new (source, call, finish_scan);
  const gboolean more = args->cursor.size > 0;
  const PostgresStatement *statement = more ? &source->next_page : &source->first_page;
  if (source->first_page.sql == NULL) {
    postgres_job_fail (job, source->no_scan.code, source->no_scan.message);
    return;
  }
  job->limit = args->limit;
  job->query.row = scan_row;
  job->query.repeatable = false; /* what was emitted is not taken back */
  source->host->call_on_credit (call, credit, job);
  for (guint i = 0; i < statement->count; i++)
    job->values[i] = scan_value_of (statement->parameters[i], args);
  postgres_job_run (job, more ? NEXT_PAGE_NAME : FIRST_PAGE_NAME, statement->sql, (int)statement->count);
}

/* ---- probe ---- */

static bool
probe_row (RagifyPostgresQuery *query, unsigned int step, const PGresult *row)
{
  return true;
}

static void
finish_probe (PostgresJob *job)
{
  const RagifyHost *host = job->source->host;
  RagifyPostgresPoolCounts counts;
  ragify_postgres_pool_counts (job->source->pool, &counts);
  char *text = host->call_alloc (job->call, 128);
  if (text == NULL) {
    host->call_done (job->call, &(RagifyProbeResult){ .struct_size = sizeof (RagifyProbeResult) });
    return;
  }
  (void)g_snprintf (text, 128, "PostgreSQL %d.%d, %" G_GUINT64_FORMAT " connections", counts.server_version / 10000,
                    counts.server_version % 10000, counts.node_open);
  const RagifyProbeResult result = { .struct_size = sizeof result, .detail = ragify_str_from (text) };
  host->call_done (job->call, &result);
}

/* Parameters stay null: nothing is run, only planned. */
void
postgres_source_probe (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  PostgresSource *source = instance;
  PostgresJob *job = postgres_job_new (source, call, finish_probe);
  const gboolean explains = g_str_has_prefix (source->explain, "EXPLAIN");
  job->query.row = probe_row;
  postgres_job_run (job, NULL, source->explain, explains ? (int)source->statement.count : 0);
}
