#include "job.h"

#include <string.h>

typedef struct Bound {
  GPtrArray *values; /* GBytes */
  const char **pointers;
  int *lengths, *formats;
} Bound;

static void
bound_free (gpointer data)
{
  Bound *bound = data;
  g_ptr_array_unref (bound->values);
  g_free (bound->pointers);
  g_free (bound->lengths);
  g_free (bound->formats);
  g_free (bound);
}

static void
job_free (PgvectorJob *job)
{
  if (job->free_state != NULL)
    job->free_state (job->state);
  g_array_unref (job->steps);
  g_ptr_array_unref (job->bound);
  g_ptr_array_unref (job->memory);
  g_free (job);
}

void
pgvector_job_fail (PgvectorJob *job)
{
  const RagifyHost *host = job->store->host;
  const gboolean passing = job->fault.code == RAGIFY_E_UNAVAILABLE || job->fault.code == RAGIFY_E_EXHAUSTED;
  g_autofree char *text = g_utf8_make_valid (job->fault.message, -1);
  host->call_fail (job->call, job->fault.code, ragify_str_from (text), passing ? G_USEC_PER_SEC : 0);
  job_free (job);
}

/* What the server's words mean here. */
static void
explain (PgvectorJob *job, const RagifyFault *fault)
{
  job->fault = *fault;
  if (strstr (fault->message, "ragify_same_store") != NULL) {
    pgvector_store_reopen (job->store);
    ragify_fault_set (&job->fault, RAGIFY_E_UNAVAILABLE,
                      "the tables of '%s' were made anew, or for another embedder, while they were open",
                      job->store->table);
  } else if (strstr (fault->message, "(23505)") != NULL) {
    ragify_fault_set (&job->fault, RAGIFY_E_INVALID, "chunks: two of them have the same id");
  } else if (strstr (fault->message, "(42P01)") != NULL || strstr (fault->message, "(3F000)") != NULL) {
    pgvector_store_reopen (job->store);
    ragify_fault_set (&job->fault, RAGIFY_E_UNAVAILABLE, "the tables of '%s' are gone: %.400s", job->store->table,
                      fault->message);
  }
}

static void
done (RagifyPostgresQuery *query, const RagifyFault *fault)
{
  PgvectorJob *job = query->user;
  if (fault != NULL)
    explain (job, fault);
  if (job->fault.code == RAGIFY_OK)
    job->finish (job);
  if (job->fault.code != RAGIFY_OK)
    pgvector_job_fail (job);
  else
    job_free (job);
}

static bool
take_row (RagifyPostgresQuery *query, unsigned int step, const PGresult *row)
{
  PgvectorJob *job = query->user;
  return job->row == NULL || job->row (job, step, row);
}

static void
cancelled (RagifyCall *call, void *user)
{
  PgvectorJob *job = user;
  job->cancelled = TRUE;
  if (!job->begun)
    return;
  if (job->store->host->clock_us () >= job->query.deadline_us) {
    ragify_postgres_pool_late (job->store->pool, &job->query);
    return;
  }
  ragify_postgres_pool_cancel (job->store->pool, &job->query);
  ragify_fault_set (&job->fault, RAGIFY_E_CANCELLED, "cancelled");
  pgvector_job_fail (job);
}

PgvectorJob *
pgvector_job_new (PgvectorStore *store, RagifyCall *call, gboolean repeatable)
{
  PgvectorJob *job = g_new0 (PgvectorJob, 1);
  job->store = store;
  job->call = call;
  job->steps = g_array_new (FALSE, TRUE, sizeof (RagifyPostgresStep));
  job->bound = g_ptr_array_new_with_free_func (bound_free);
  job->memory = g_ptr_array_new_with_free_func (g_free);
  job->query = (RagifyPostgresQuery){ .deadline_us = store->host->call_deadline_us (call),
                                      .repeatable = repeatable,
                                      .row = take_row,
                                      .done = done,
                                      .user = job };
  return job;
}

static guint
add_step (PgvectorJob *job, const char *name, const char *sql)
{
  const RagifyPostgresStep step = { .name = name, .sql = sql, .result_format = 1 };
  Bound *bound = g_new0 (Bound, 1);
  bound->values = g_ptr_array_new_with_free_func ((GDestroyNotify)g_bytes_unref);
  g_ptr_array_add (job->bound, bound);
  g_array_append_val (job->steps, step);
  return job->steps->len - 1;
}

guint
pgvector_job_step (PgvectorJob *job, PgvectorStatement statement)
{
  return add_step (job, pgvector_statement_name (statement), job->store->statements.sql[statement]);
}

guint
pgvector_job_sql (PgvectorJob *job, char *sql)
{
  if (sql != NULL)
    g_ptr_array_add (job->memory, sql);
  return add_step (job, NULL, sql);
}

void
pgvector_job_set_sql (PgvectorJob *job, guint step, char *sql)
{
  g_ptr_array_add (job->memory, sql);
  g_array_index (job->steps, RagifyPostgresStep, step).sql = sql;
}

void
pgvector_job_bind_take (PgvectorJob *job, GBytes *value)
{
  Bound *bound = g_ptr_array_index (job->bound, job->bound->len - 1);
  g_ptr_array_add (bound->values, value);
}

void
pgvector_job_bind (PgvectorJob *job, GBytes *value)
{
  pgvector_job_bind_take (job, g_bytes_ref (value));
}

guint
pgvector_job_bound (const PgvectorJob *job)
{
  const Bound *bound = g_ptr_array_index (job->bound, job->bound->len - 1);
  return bound->values->len;
}

static void
settle_step (PgvectorJob *job, guint index)
{
  RagifyPostgresStep *step = &g_array_index (job->steps, RagifyPostgresStep, index);
  Bound *bound = g_ptr_array_index (job->bound, index);
  const guint count = bound->values->len;
  bound->pointers = g_new0 (const char *, count + 1);
  bound->lengths = g_new0 (int, count + 1);
  bound->formats = g_new0 (int, count + 1);
  for (guint i = 0; i < count; i++) {
    gsize size;
    const char *data = g_bytes_get_data (g_ptr_array_index (bound->values, i), &size);
    bound->pointers[i] = data != NULL ? data : ""; /* NULL would be SQL's null */
    bound->lengths[i] = (int)size;
    bound->formats[i] = 1;
  }
  step->count = (int)count;
  step->values = bound->pointers;
  step->lengths = bound->lengths;
  step->formats = bound->formats;
}

void
pgvector_job_run (PgvectorJob *job)
{
  for (guint i = 0; i < job->steps->len; i++)
    settle_step (job, i);
  job->query.steps = (const RagifyPostgresStep *)(void *)job->steps->data;
  job->query.n_steps = job->steps->len;
  job->store->host->call_on_cancel (job->call, cancelled, job);
  if (job->cancelled) {
    ragify_fault_set (&job->fault, RAGIFY_E_CANCELLED, "cancelled");
    pgvector_job_fail (job);
    return;
  }
  job->begun = TRUE;
  ragify_postgres_pool_run (job->store->pool, &job->query);
}

gpointer
pgvector_job_alloc (PgvectorJob *job, guint64 size)
{
  gpointer memory = job->store->host->call_alloc (job->call, MAX (size, 1));
  if (memory == NULL)
    ragify_fault_set (&job->fault, RAGIFY_E_EXHAUSTED, "the call's memory limit is reached");
  return memory;
}

gboolean
pgvector_job_copy (PgvectorJob *job, RagifyStr text, RagifyStr *copy)
{
  *copy = ragify_str (NULL, 0);
  if (text.size == 0)
    return TRUE;
  char *memory = pgvector_job_alloc (job, text.size);
  if (memory == NULL)
    return FALSE;
  memcpy (memory, text.data, text.size);
  *copy = ragify_str (memory, text.size);
  return TRUE;
}

/* Where the string that begins at `at` is past. */
static gsize
past_string (RagifyStr json, gsize at)
{
  for (at++; at < json.size && json.data[at] != '"'; at++)
    at += json.data[at] == '\\' ? 1 : 0;
  return MIN (at + 1, json.size);
}

/* Whether the digits, with their sign, are a whole number that 64 bits do not hold. */
static gboolean
is_beyond (const char *digits, gsize size)
{
  char text[24];
  if (size >= sizeof text)
    return TRUE;
  memcpy (text, digits, size);
  text[size] = '\0';
  gint64 number;
  return !g_ascii_string_to_signed (text, 10, G_MININT64, G_MAXINT64, &number, NULL);
}

/* The next whole number that 64 bits do not hold ends at what is returned; the text's end where there is none. */
static gsize
past_large_number (RagifyStr json, gsize at)
{
  static const char of_numbers[] = "+-.0123456789eE";
  while (at < json.size) {
    const char first = json.data[at];
    if (first == '"') {
      at = past_string (json, at);
      continue;
    }
    const gsize begun = at++;
    if (first != '-' && !g_ascii_isdigit (first))
      continue;
    gboolean whole = TRUE;
    for (; at < json.size && json.data[at] != '\0' && strchr (of_numbers, json.data[at]) != NULL; at++)
      whole = whole && g_ascii_isdigit (json.data[at]);
    if (whole && is_beyond (json.data + begun, at - begun))
      return at;
  }
  return at;
}

gboolean
pgvector_job_copy_json (PgvectorJob *job, RagifyStr json, RagifyStr *copy)
{
  g_autoptr (GString) text = NULL;
  gsize taken = 0;
  for (gsize at = past_large_number (json, 0); at < json.size; at = past_large_number (json, at)) {
    if (text == NULL)
      text = g_string_sized_new (json.size + 16);
    g_string_append_len (text, json.data + taken, (gssize)(at - taken));
    g_string_append (text, ".0");
    taken = at;
  }
  if (text == NULL)
    return pgvector_job_copy (job, json, copy);
  g_string_append_len (text, json.data + taken, (gssize)(json.size - taken));
  return pgvector_job_copy (job, ragify_str (text->str, text->len), copy);
}
