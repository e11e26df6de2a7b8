/* The keys, read. */
#include <string.h>

#include "source.h"

static char *
get_text (const PostgresSource *source, const char *key)
{
  RagifyStr value = { NULL, 0 };
  source->host->config_string (source->context, key, &value);
  return g_strndup (value.size > 0 ? value.data : "", value.size);
}

static RagifyStr
get_str (const PostgresSource *source, const char *key)
{
  RagifyStr value = { NULL, 0 };
  source->host->config_string (source->context, key, &value);
  return value;
}

static gint64
get_int (const PostgresSource *source, const char *key)
{
  int64_t value = 0;
  source->host->config_int (source->context, key, &value);
  return value;
}

static guint64
get_size (const PostgresSource *source, const char *key)
{
  uint64_t value = 0;
  source->host->config_size (source->context, key, &value);
  return value;
}

static guint64
get_duration (const PostgresSource *source, const char *key)
{
  uint64_t value = 0;
  source->host->config_duration (source->context, key, &value);
  return value;
}

static gboolean
get_bool (const PostgresSource *source, const char *key)
{
  uint32_t value = 0;
  source->host->config_bool (source->context, key, &value);
  return value != 0;
}

static char **
get_list (const PostgresSource *source, const char *key)
{
  RagifyStrList list = { NULL, 0 };
  source->host->config_list (source->context, key, &list);
  char **items = g_new0 (char *, list.count + 1);
  for (guint64 i = 0; i < list.count; i++)
    items[i] = g_strndup (list.items[i].data, list.items[i].size);
  return items;
}

/* Columns that a built-in statement selects only where their key is set; score is a rank's name in any case. */
static gboolean
make_statement (PostgresSource *source, const char *text, RagifyFault *fault)
{
  g_autofree char *language = get_text (source, "language");
  g_autofree char *vector = get_text (source, "tsvector-column");
  g_autofree char *match = get_text (source, "match");
  const PostgresTable table = {
    .name = source->table,
    .columns = &source->columns,
    .max_content = (guint64)get_int (source, "max-content"),
    .language = language,
    .vector = vector,
    .any = g_str_equal (match, "any"),
  };
  if (!postgres_statement_scan (&table, FALSE, &source->first_page, &source->no_scan) ||
      !postgres_statement_scan (&table, TRUE, &source->next_page, &source->no_scan))
    postgres_statement_clear (&source->first_page);
  if (g_str_equal (text, "ilike"))
    return postgres_statement_ilike (&table, &source->statement, fault);
  if (g_str_equal (text, "fulltext"))
    return postgres_statement_fulltext (&table, &source->statement, fault);
  source->usual_names = TRUE;
  return postgres_statement_parse (text, &source->statement, fault);
}

static gboolean
check_embedding (const PostgresSource *source, gboolean with_embedding, RagifyFault *fault)
{
  const gboolean uses = postgres_statement_uses (&source->statement, POSTGRES_EMBEDDING);
  if (uses && !with_embedding)
    return ragify_fault_set (fault, RAGIFY_E_INVALID,
                             "statement: $embedding is for 'plugin = postgres-vector', which waits for the query's "
                             "embedding");
  if (!uses && with_embedding)
    return ragify_fault_set (fault, RAGIFY_E_INVALID,
                             "statement: expected one with $embedding; without, use 'plugin = postgres'");
  return TRUE;
}

/* EXPLAIN checks tables, columns and rights without reading a row; some statements have none. */
static char *
make_explain (const PostgresStatement *statement)
{
  static const char *const without[] = { "show", "call", "fetch" };
  const char *sql = statement->sql + strspn (statement->sql, " \t\r\n(");
  for (guint i = 0; i < G_N_ELEMENTS (without); i++)
    if (g_ascii_strncasecmp (sql, without[i], strlen (without[i])) == 0)
      return g_strdup ("SELECT 1");
  return g_strconcat ("EXPLAIN ", statement->sql, NULL);
}

static RagifyPostgresPool *
make_pool (PostgresSource *source, const RagifyInstance *which, RagifyFault *fault)
{
  g_auto (GStrv) setup = get_list (source, "setup");
  g_autofree char *reset = get_text (source, "reset");
  RagifyPostgresPoolOptions options = {
    .target = ragify_postgres_target_new (get_str (source, "dsn"), get_str (source, "password"), fault),
    .which = which,
    .min_size = (guint)get_int (source, "min-size"),
    .max_size = (guint)get_int (source, "max-size"),
    .max_queries = (guint64)get_int (source, "max-queries"),
    .max_inactive_us = get_duration (source, "max-inactive-lifetime"),
    .connect_timeout_us = get_duration (source, "connect-timeout"),
    .max_waiting = (guint)get_int (source, "max-waiting"),
    .setup = (const char *const *)setup,
    .setup_required = get_bool (source, "setup-required"),
    .reset = g_str_equal (reset, "always") || (g_str_equal (reset, "auto") && source->usual_names),
    .max_row = get_size (source, "max-row"),
  };
  if (options.target == NULL)
    return NULL;
  return ragify_postgres_pool_new (source->host, source->context, &options, fault);
}

gboolean
postgres_source_configure (PostgresSource *source, const RagifyInstance *which, gboolean with_embedding,
                           RagifyFault *fault)
{
  g_autofree char *text = get_text (source, "statement");
  source->first = which->index == 0;
  source->table = get_text (source, "table");
  source->max_result = get_size (source, "max-result");
  ragify_column_names_read (&source->columns, source->host, source->context);
  if (!make_statement (source, text, fault) || !check_embedding (source, with_embedding, fault))
    return FALSE;
  source->explain = make_explain (&source->statement);
  source->pool = make_pool (source, which, fault);
  return source->pool != NULL;
}
