#include "job.h"

#include <string.h>

/* Types that are not text, by their OIDs (src/include/catalog/pg_type.dat; they never change). */
enum {
  OID_BOOL = 16,
  OID_BYTEA = 17,
  OID_INT8 = 20,
  OID_INT2 = 21,
  OID_INT4 = 23,
  OID_OID = 26,
  OID_JSON = 114,
  OID_FLOAT4 = 700,
  OID_FLOAT8 = 701,
  OID_NUMERIC = 1700,
  OID_JSONB = 3802
};

static void
job_free (PostgresJob *job)
{
  for (guint i = 0; i < POSTGRES_N_PARAMETERS; i++)
    g_free (job->values[i]);
  g_clear_pointer (&job->chunks, g_array_unref);
  g_free (job->columns);
  g_free (job->cursor);
  g_free (job);
}

void
postgres_job_fail (PostgresJob *job, int32_t code, const char *message)
{
  job->source->host->call_fail (job->call, code, ragify_str_from (message), 0);
  job_free (job);
}

/* When it may be worth asking again: a server that is full or starting is back soon. */
static guint64
retry_after (int32_t code)
{
  return code == RAGIFY_E_EXHAUSTED || code == RAGIFY_E_UNAVAILABLE ? G_USEC_PER_SEC : 0;
}

static void
done (RagifyPostgresQuery *query, const RagifyFault *fault)
{
  PostgresJob *job = query->user;
  if (fault == NULL && job->fault.code == RAGIFY_OK) {
    job->finish (job);
  } else {
    const RagifyFault *why = fault != NULL ? fault : &job->fault;
    g_autofree char *text = g_utf8_make_valid (why->message, -1);
    job->source->host->call_fail (job->call, why->code, ragify_str_from (text), retry_after (why->code));
  }
  job_free (job);
}

static void
cancelled (RagifyCall *call, void *user)
{
  PostgresJob *job = user;
  job->cancelled = TRUE;
  if (!job->begun)
    return;
  if (job->source->host->clock_us () >= job->query.deadline_us) {
    ragify_postgres_pool_late (job->source->pool, &job->query);
    return;
  }
  ragify_postgres_pool_cancel (job->source->pool, &job->query);
  postgres_job_fail (job, RAGIFY_E_CANCELLED, "cancelled");
}

PostgresJob *
postgres_job_new (PostgresSource *source, RagifyCall *call, void (*finish) (PostgresJob *job))
{
  PostgresJob *job = g_new0 (PostgresJob, 1);
  job->source = source;
  job->call = call;
  job->finish = finish;
  job->content = -1;
  job->query.user = job;
  job->query.done = done;
  job->query.repeatable = true;
  job->query.deadline_us = source->host->call_deadline_us (call);
  return job;
}

void
postgres_job_run (PostgresJob *job, const char *name, const char *sql, int count)
{
  PostgresSource *source = job->source;
  job->step =
      (RagifyPostgresStep){ .name = name, .sql = sql, .count = count, .values = (const char *const *)job->values };
  job->query.steps = &job->step;
  job->query.n_steps = 1;
  source->host->call_on_cancel (job->call, cancelled, job);
  if (job->cancelled) {
    postgres_job_fail (job, RAGIFY_E_CANCELLED, "cancelled");
    return;
  }
  job->begun = TRUE;
  ragify_postgres_pool_run (source->pool, &job->query);
}

/* ---- rows ---- */

static void
say_missing_content (PostgresJob *job, const PGresult *row)
{
  g_autoptr (GString) found = g_string_new (NULL);
  for (int i = 0; i < job->n_columns && found->len < 300; i++)
    g_string_append_printf (found, "%s%s", i > 0 ? ", " : "", PQfname (row, i));
  ragify_fault_set (&job->fault, RAGIFY_E_INVALID, "content-column: the result has no column '%s'; it has %s",
                    job->source->columns.names[RAGIFY_COLUMN_CONTENT], found->str);
}

static gboolean
find_columns (PostgresJob *job, const PGresult *row)
{
  job->n_columns = PQnfields (row);
  job->columns = g_new0 (RagifyColumn, job->n_columns + 1);
  for (int i = 0; i < job->n_columns; i++) {
    job->columns[i] = ragify_column_find (&job->source->columns, PQfname (row, i), job->source->usual_names);
    if (job->columns[i] == RAGIFY_COLUMN_CONTENT)
      job->content = i;
  }
  if (job->content >= 0)
    return TRUE;
  say_missing_content (job, row);
  return FALSE;
}

static RagifyCell
cell_of (Oid type)
{
  switch (type) {
  case OID_BOOL:
    return RAGIFY_CELL_BOOL;
  case OID_INT8:
  case OID_INT2:
  case OID_INT4:
  case OID_OID:
  case OID_FLOAT4:
  case OID_FLOAT8:
  case OID_NUMERIC:
    return RAGIFY_CELL_NUMBER;
  case OID_JSON:
  case OID_JSONB:
    return RAGIFY_CELL_JSON;
  default:
    return RAGIFY_CELL_TEXT;
  }
}

/* bytea comes as \x and hexadecimal digits; as content it is taken for text. */
static char *
text_of_bytes (const char *value, gsize *size)
{
  unsigned char *bytes = PQunescapeBytea ((const unsigned char *)value, size);
  char *text = bytes != NULL ? g_memdup2 (bytes, *size + 1) : NULL;
  PQfreemem (bytes);
  return text;
}

static void
put (PostgresJob *job, RagifyRecord *record, const PGresult *row, int i)
{
  const RagifyStr text = ragify_str (PQgetvalue (row, 0, i), (gsize)PQgetlength (row, 0, i));
  const RagifyColumn column = job->columns[i];
  if (PQftype (row, i) == OID_BYTEA && column != RAGIFY_COLUMN_EXTRA) {
    gsize size = 0;
    g_autofree char *bytes = text_of_bytes (text.data, &size);
    if (bytes != NULL)
      ragify_record_put (record, column, PQfname (row, i), RAGIFY_CELL_TEXT, ragify_str (bytes, size));
    return;
  }
  ragify_record_put (record, column, PQfname (row, i), cell_of (PQftype (row, i)), text);
}

gboolean
postgres_job_read (PostgresJob *job, const PGresult *row, RagifyChunk *chunk)
{
  RagifyRecord record;
  if (job->columns == NULL && !find_columns (job, row))
    return FALSE;
  if (PQnfields (row) != job->n_columns) /* a server that lies */
    return ragify_fault_set (&job->fault, RAGIFY_E_UNAVAILABLE, "PostgreSQL sent rows of different widths");
  ragify_record_begin (&record, job->source->host, job->call);
  for (int i = 0; i < job->n_columns; i++) {
    if (PQgetisnull (row, 0, i))
      continue;
    job->bytes += (guint64)PQgetlength (row, 0, i);
    put (job, &record, row, i);
  }
  postgres_job_tell (job->source, record.problems);
  if (ragify_record_take (&record, chunk))
    return TRUE;
  return ragify_fault_set (&job->fault, RAGIFY_E_EXHAUSTED, "the call's memory limit is reached");
}

void
postgres_job_tell (PostgresSource *source, guint32 problems)
{
  const guint32 fresh = problems & ~source->told;
  source->told |= fresh;
  for (guint32 bit = 1; fresh != 0 && bit != 0 && source->first; bit <<= 1)
    if ((fresh & bit) != 0)
      source->host->log (source->context, RAGIFY_LOG_WARNING, ragify_str_from (ragify_record_problem (bit)));
}
