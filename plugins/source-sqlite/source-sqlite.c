/* source-sqlite: a SQLite database file as a source, read only.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "settings.h"
#include "source.h"

static const RagifyKey keys[] = {
  { .name = "path",
    .type = RAGIFY_KEY_PATH,
    .flags = RAGIFY_KEY_REQUIRED,
    .summary = "The database file. It is only read, while others may write it." },
  { .name = "table",
    .type = RAGIFY_KEY_STRING,
    .default_value = "documents",
    .summary = "The table that fts5, like and scans read." },
  { .name = "statement",
    .type = RAGIFY_KEY_STRING,
    .default_value = "fts5",
    .summary =
        "fts5: a full-text table, ranked by BM25. like: content that has the query in it, ordered by score-column. "
        "Anything else is a statement with $query, $match, $pattern, $limit." },
  { .name = "id-column",
    .type = RAGIFY_KEY_STRING,
    .default_value = "rowid",
    .summary = "Identifies the row; \"\" where there is none." },
  { .name = "document-column",
    .type = RAGIFY_KEY_STRING,
    .summary = "The document that the row is a part of; not set: the row is one." },
  { .name = "content-column", .type = RAGIFY_KEY_STRING, .default_value = "content", .summary = "The text." },
  { .name = "title-column", .type = RAGIFY_KEY_STRING, .summary = "The title." },
  { .name = "uri-column", .type = RAGIFY_KEY_STRING, .summary = "The address." },
  { .name = "score-column",
    .type = RAGIFY_KEY_STRING,
    .summary = "Larger is better; like orders by it. fts5 makes its own." },
  { .name = "metadata-column", .type = RAGIFY_KEY_STRING, .summary = "A JSON object." },
  { .name = "created-column", .type = RAGIFY_KEY_STRING, .summary = "When the row was made." },
  { .name = "updated-column", .type = RAGIFY_KEY_STRING, .summary = "When the row was last changed." },
  { .name = "max-content",
    .type = RAGIFY_KEY_INT,
    .default_value = "100000",
    .unit = "characters",
    .minimum = "100",
    .maximum = "100000000",
    .summary = "fts5 and like: longer content is cut." },
  { .name = "max-result",
    .type = RAGIFY_KEY_SIZE,
    .default_value = "64MiB",
    .minimum = "64KiB",
    .maximum = "1GiB",
    .summary = "Rows of a query beyond this are left out." },
  { .name = "busy-timeout",
    .type = RAGIFY_KEY_DURATION,
    .default_value = "5s",
    .maximum = "10min",
    .summary = "How long a query waits for a writer that holds the file locked, inside its deadline." },
};

static void
put_name (GString *sql, const char *name)
{
  g_string_append_c (sql, '"');
  for (; *name != '\0'; name++) {
    if (*name == '"')
      g_string_append_c (sql, '"');
    g_string_append_c (sql, *name);
  }
  g_string_append_c (sql, '"');
}

/* "SELECT column AS column, …"; rowid has a name in no schema, so it is not quoted. */
static void
put_columns (GString *sql, const SqliteSource *source, gboolean score, gint64 max_content)
{
  const char *separator = "";
  for (guint i = 0; i < RAGIFY_N_COLUMNS; i++) {
    const char *name = source->columns.names[i];
    if (name == NULL || (i == RAGIFY_COLUMN_SCORE && !score))
      continue;
    g_string_append (sql, separator);
    separator = ", ";
    if (g_str_equal (name, "rowid")) {
      g_string_append (sql, "rowid");
    } else if (i == RAGIFY_COLUMN_CONTENT && max_content > 0) {
      g_string_append (sql, "substr(");
      put_name (sql, name);
      g_string_append_printf (sql, ", 1, %" G_GINT64_FORMAT ")", max_content);
    } else {
      put_name (sql, name);
    }
    g_string_append (sql, " AS ");
    put_name (sql, name);
  }
}

static void
put_from (GString *sql, const char *table)
{
  g_string_append (sql, " FROM ");
  put_name (sql, table);
}

/* bm25 is smaller for better rows, and negative. */
static char *
make_fts5 (SqliteSource *source, const char *table, gint64 max_content)
{
  GString *sql = g_string_new ("SELECT ");
  if (source->columns.names[RAGIFY_COLUMN_SCORE] == NULL)
    source->columns.names[RAGIFY_COLUMN_SCORE] = g_strdup ("score");
  put_columns (sql, source, FALSE, max_content);
  g_string_append (sql, ", -rank AS ");
  put_name (sql, source->columns.names[RAGIFY_COLUMN_SCORE]);
  put_from (sql, table);
  g_string_append (sql, " WHERE ");
  put_name (sql, table);
  g_string_append (sql, " MATCH $match ORDER BY rank LIMIT $limit");
  return g_string_free (sql, FALSE);
}

static char *
make_like (const SqliteSource *source, const char *table, gint64 max_content)
{
  GString *sql = g_string_new ("SELECT ");
  put_columns (sql, source, TRUE, max_content);
  put_from (sql, table);
  g_string_append (sql, " WHERE ");
  put_name (sql, source->columns.names[RAGIFY_COLUMN_CONTENT]);
  g_string_append (sql, " LIKE $pattern ESCAPE '\\'");
  if (source->columns.names[RAGIFY_COLUMN_SCORE] != NULL) {
    g_string_append (sql, " ORDER BY ");
    put_name (sql, source->columns.names[RAGIFY_COLUMN_SCORE]);
    g_string_append (sql, " DESC NULLS LAST");
  }
  g_string_append (sql, " LIMIT $limit");
  return g_string_free (sql, FALSE);
}

static char *
make_scan (const SqliteSource *source, const char *table)
{
  GString *sql = g_string_new ("SELECT rowid AS \"ragify rowid\", ");
  put_columns (sql, source, FALSE, 0);
  put_from (sql, table);
  g_string_append (sql, " WHERE rowid > $cursor ORDER BY rowid LIMIT $limit");
  return g_string_free (sql, FALSE);
}

static bool
configure (SqliteSource *source, RagifyFault *fault)
{
  g_autofree char *table = ragify_setting_text (source->host, source->context, "table");
  g_autofree char *statement = ragify_setting_text (source->host, source->context, "statement");
  int64_t max_content = 0;
  source->path = ragify_setting_text (source->host, source->context, "path");
  source->host->config_int (source->context, "max-content", &max_content);
  source->host->config_size (source->context, "max-result", &source->max_result);
  source->host->config_duration (source->context, "busy-timeout", &source->busy_us);
  ragify_column_names_read (&source->columns, source->host, source->context);
  if (source->columns.names[RAGIFY_COLUMN_CONTENT] == NULL)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "content-column: expected a name, found nothing");
  source->usual_names = !g_str_equal (statement, "fts5") && !g_str_equal (statement, "like");
  source->scan_sql = make_scan (source, table);
  if (g_str_equal (statement, "fts5"))
    source->sql = make_fts5 (source, table, max_content);
  else if (g_str_equal (statement, "like"))
    source->sql = make_like (source, table, max_content);
  else
    source->sql = g_steal_pointer (&statement);
  return true;
}

static void
destroy (void *instance)
{
  SqliteSource *source = instance;
  g_ptr_array_unref (source->idle);
  pthread_mutex_destroy (&source->lock);
  ragify_column_names_clear (&source->columns);
  g_free (source->path);
  g_free (source->sql);
  g_free (source->scan_sql);
  g_free (source);
}

static void
free_reader (gpointer data)
{
  sqlite_reader_free (data);
}

static int32_t
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  RagifyFault fault;
  SqliteSource *source = g_new0 (SqliteSource, 1);
  source->host = host;
  source->context = context;
  source->idle = g_ptr_array_new_with_free_func (free_reader);
  pthread_mutex_init (&source->lock, NULL);
  if (configure (source, &fault)) {
    *instance = source;
    return RAGIFY_OK;
  }
  host->set_error (context, ragify_str_from (fault.message));
  destroy (source);
  return fault.code;
}

/* A file that is locked or not there yet may come; a statement that is wrong stays wrong. */
static void
start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  SqliteSource *source = instance;
  RagifyFault fault;
  SqliteReader *reader = sqlite_reader_open (source, &fault);
  if (reader != NULL) {
    pthread_mutex_lock (&source->lock);
    g_ptr_array_add (source->idle, reader);
    pthread_mutex_unlock (&source->lock);
    source->host->call_done (call, NULL);
    return;
  }
  g_autofree char *text = g_utf8_make_valid (fault.message, -1);
  if (fault.code != RAGIFY_E_UNAVAILABLE) {
    source->host->call_fail (call, fault.code, ragify_str_from (text), 0);
    return;
  }
  source->host->log (source->context, RAGIFY_LOG_WARNING, ragify_str_from (text));
  source->host->call_done (call, NULL);
}

static const RagifySourceOperations operations = {
  .struct_size = sizeof operations,
  .query = sqlite_source_query,
  .scan = sqlite_source_scan,
};

static const RagifyComponent component = {
  .struct_size = sizeof component,
  .kind = RAGIFY_KIND_SOURCE,
  .name = "sqlite",
  .summary = "Asks a SQLite database file, by words or by a statement of your own.",
  .run_class = RAGIFY_RUN_WORKER,
  .max_parallel = 8,
  .schema = { .keys = keys, .count = G_N_ELEMENTS (keys), .stride = sizeof (RagifyKey) },
  .operations = &operations,
  .create = create,
  .start = start,
  .destroy = destroy,
  .probe = sqlite_source_probe,
};

static const RagifyComponent *const components[] = { &component, NULL };

static const RagifyPlugin plugin = {
  .magic = RAGIFY_PLUGIN_MAGIC,
  .abi_major = RAGIFY_ABI_MAJOR,
  .abi_minor_needed = RAGIFY_NEEDS_MINOR,
  .struct_size = sizeof plugin,
  .id = "org.ragify.source-sqlite",
  .version = RAGIFY_VERSION,
  .licence = "MIT",
  .summary = "SQLite database files as sources.",
  .url = "",
  .components = components,
};

const RagifyPlugin *
ragify_plugin_query (void)
{
  return &plugin;
}
