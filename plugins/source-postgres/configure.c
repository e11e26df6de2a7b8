/* The keys, read. */
#include <string.h>

#include "postgres-options.h"
#include "settings.h"
#include "source.h"

/* Columns that a built-in statement selects only where their key is set; score is a rank's name in any case. */
static gboolean
make_statement (PostgresSource *source, const char *text, RagifyFault *fault)
{
  g_autofree char *language = ragify_setting_text (source->host, source->context, "language");
  g_autofree char *vector = ragify_setting_text (source->host, source->context, "tsvector-column");
  g_autofree char *match = ragify_setting_text (source->host, source->context, "match");
  const PostgresTable table = {
    .name = source->table,
    .columns = &source->columns,
    .max_content = (guint64)ragify_setting_int (source->host, source->context, "max-content"),
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
  g_auto (GStrv) setup = ragify_setting_list (source->host, source->context, "setup");
  g_autofree char *reset = ragify_setting_text (source->host, source->context, "reset");
  RagifyPostgresPoolOptions options = ragify_postgres_options_read (source->host, source->context, which, fault);
  options.max_queries = (guint64)ragify_setting_int (source->host, source->context, "max-queries");
  options.setup = (const char *const *)setup;
  options.setup_required = ragify_setting_bool (source->host, source->context, "setup-required");
  options.reset = g_str_equal (reset, "always") || (g_str_equal (reset, "auto") && source->usual_names);
  if (options.target == NULL)
    return NULL;
  return ragify_postgres_pool_new (source->host, source->context, &options, fault);
}

gboolean
postgres_source_configure (PostgresSource *source, const RagifyInstance *which, gboolean with_embedding,
                           RagifyFault *fault)
{
  g_autofree char *text = ragify_setting_text (source->host, source->context, "statement");
  source->first = which->index == 0;
  source->table = ragify_setting_text (source->host, source->context, "table");
  source->max_result = ragify_setting_size (source->host, source->context, "max-result");
  ragify_column_names_read (&source->columns, source->host, source->context);
  if (!make_statement (source, text, fault) || !check_embedding (source, with_embedding, fault))
    return FALSE;
  source->explain = make_explain (&source->statement);
  source->pool = make_pool (source, which, fault);
  return source->pool != NULL;
}
