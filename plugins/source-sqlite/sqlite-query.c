/* Reading the file: connections, queries, scans.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "source.h"

#include "credit.h"

/* Virtual machine steps between two looks at the clock: a fraction of a millisecond. */
#define STEPS_BETWEEN_LOOKS 5000
#define LONGEST_VALUE (256 << 20)

/* ---- connections ---- */

static int
is_over (void *user)
{
  const SqliteReader *reader = user;
  return reader->call != NULL && (reader->source->host->clock_us () >= reader->deadline ||
                                  reader->source->host->call_cancelled (reader->call) != 0);
}

/* Waits for a lock in small steps, up to the call's end. */
static int
busy (void *user, int times)
{
  const SqliteReader *reader = user;
  if ((guint64)times * 2000 >= reader->source->busy_us || is_over (user))
    return 0;
  g_usleep (2000);
  return 1;
}

static bool
fail (const SqliteReader *reader, RagifyFault *fault)
{
  const char *path = reader->source->path;
  const char *text = reader->handle != NULL ? sqlite3_errmsg (reader->handle) : "memory is exhausted";
  const int code = reader->handle != NULL ? sqlite3_errcode (reader->handle) & 0xff : SQLITE_NOMEM;
  switch (code) {
  case SQLITE_INTERRUPT:
    if (reader->call != NULL && reader->source->host->clock_us () >= reader->deadline)
      return ragify_fault_set (fault, RAGIFY_E_TIMEOUT, "%s: the query was ended at its deadline", path);
    return ragify_fault_set (fault, RAGIFY_E_CANCELLED, "%s: the query was cancelled", path);
  case SQLITE_BUSY:
  case SQLITE_LOCKED:
    return ragify_fault_set (fault, RAGIFY_E_UNAVAILABLE, "%s: another process holds the file locked", path);
  case SQLITE_CANTOPEN:
  case SQLITE_PERM:
  case SQLITE_IOERR:
    return ragify_fault_set (fault, RAGIFY_E_UNAVAILABLE, "%s: cannot be read: %s", path, text);
  case SQLITE_CORRUPT:
  case SQLITE_NOTADB:
    return ragify_fault_set (fault, RAGIFY_E_UNAVAILABLE, "%s: is damaged, or no SQLite database: %s", path, text);
  case SQLITE_READONLY:
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "%s: the statement wants to write; only reading is possible: %s",
                             path, text);
  case SQLITE_TOOBIG:
  case SQLITE_NOMEM:
    return ragify_fault_set (fault, RAGIFY_E_EXHAUSTED, "%s: a value is too large: %s", path, text);
  default:
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "%s: SQLite: %s", path, text);
  }
}

void
sqlite_reader_free (SqliteReader *reader)
{
  if (reader == NULL)
    return;
  sqlite3_finalize (reader->statement);
  sqlite3_close (reader->handle);
  g_free (reader);
}

/* What the file brings along (views, triggers, functions in them) is not trusted; nothing can be attached. */
static bool
set_up (SqliteReader *reader, RagifyFault *fault)
{
  sqlite3_extended_result_codes (reader->handle, 1);
  sqlite3_progress_handler (reader->handle, STEPS_BETWEEN_LOOKS, is_over, reader);
  sqlite3_busy_handler (reader->handle, busy, reader);
  sqlite3_limit (reader->handle, SQLITE_LIMIT_ATTACHED, 0);
  sqlite3_limit (reader->handle, SQLITE_LIMIT_LENGTH, LONGEST_VALUE);
  if (sqlite3_exec (reader->handle, "PRAGMA query_only=ON; PRAGMA trusted_schema=OFF; PRAGMA temp_store=MEMORY", NULL,
                    NULL, NULL) != SQLITE_OK)
    return fail (reader, fault);
  if (sqlite3_prepare_v3 (reader->handle, reader->source->sql, -1, SQLITE_PREPARE_PERSISTENT, &reader->statement,
                          NULL) != SQLITE_OK)
    return fail (reader, fault);
  if (reader->statement == NULL || sqlite3_stmt_readonly (reader->statement) == 0 ||
      sqlite3_column_count (reader->statement) == 0)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "statement: expected one that only reads, and gives rows");
  return true;
}

SqliteReader *
sqlite_reader_open (SqliteSource *source, RagifyFault *fault)
{
  SqliteReader *reader = g_new0 (SqliteReader, 1);
  reader->source = source;
  const int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX;
  if (sqlite3_open_v2 (source->path, &reader->handle, flags, NULL) != SQLITE_OK)
    fail (reader, fault);
  else if (set_up (reader, fault))
    return reader;
  sqlite_reader_free (reader);
  return NULL;
}

static SqliteReader *
take_reader (SqliteSource *source, RagifyCall *call, RagifyFault *fault)
{
  SqliteReader *reader = NULL;
  pthread_mutex_lock (&source->lock);
  if (source->idle->len > 0)
    reader = g_ptr_array_steal_index_fast (source->idle, source->idle->len - 1);
  pthread_mutex_unlock (&source->lock);
  if (reader == NULL)
    reader = sqlite_reader_open (source, fault);
  if (reader == NULL)
    return NULL;
  reader->call = call;
  reader->deadline = source->host->call_deadline_us (call);
  return reader;
}

/* After a failure the file is opened anew: it may have been replaced. */
static void
give_back (SqliteSource *source, SqliteReader *reader, bool well)
{
  reader->call = NULL;
  sqlite3_reset (reader->statement);
  sqlite3_clear_bindings (reader->statement);
  if (!well) {
    sqlite_reader_free (reader);
    return;
  }
  pthread_mutex_lock (&source->lock);
  g_ptr_array_add (source->idle, reader);
  pthread_mutex_unlock (&source->lock);
}

/* ---- parameters ---- */

/* The words of a query for FTS5's MATCH: each in quotes, so that nothing in it is syntax; one of them is enough. */
static char *
match_of (const char *text, gsize size)
{
  GString *match = g_string_new (NULL);
  const char *end = text + size;
  for (const char *at = text; at < end;) {
    const char *begin = at;
    while (at < end && (g_ascii_isalnum (*at) || (*at & 0x80) != 0))
      at++;
    if (at > begin)
      g_string_append_printf (match, "%s\"%.*s\"", match->len > 0 ? " OR " : "", (int)(at - begin), begin);
    else
      at++;
  }
  if (match->len == 0)
    g_string_append (match, "\"\"");
  return g_string_free (match, FALSE);
}

/* For LIKE … ESCAPE '\'. */
static char *
pattern_of (const char *text, gsize size)
{
  GString *pattern = g_string_new ("%");
  for (gsize i = 0; i < size; i++) {
    if (text[i] == '%' || text[i] == '_' || text[i] == '\\')
      g_string_append_c (pattern, '\\');
    g_string_append_c (pattern, text[i]);
  }
  g_string_append_c (pattern, '%');
  return g_string_free (pattern, FALSE);
}

static void
bind_text (sqlite3_stmt *statement, const char *name, const char *text, gsize size)
{
  const int place = sqlite3_bind_parameter_index (statement, name);
  if (place > 0)
    sqlite3_bind_text64 (statement, place, text, size, SQLITE_TRANSIENT, SQLITE_UTF8);
}

static void
bind_int (sqlite3_stmt *statement, const char *name, gint64 value)
{
  const int place = sqlite3_bind_parameter_index (statement, name);
  if (place > 0)
    sqlite3_bind_int64 (statement, place, value);
}

static void
bind_query (sqlite3_stmt *statement, const RagifySourceQuery *args)
{
  const char *text = args->text.size > 0 ? args->text.data : "";
  g_autofree char *match = match_of (text, args->text.size);
  g_autofree char *pattern = pattern_of (text, args->text.size);
  bind_text (statement, "$query", text, args->text.size);
  bind_text (statement, "$match", match, strlen (match));
  bind_text (statement, "$pattern", pattern, strlen (pattern));
  bind_int (statement, "$limit", args->top_k);
}

/* ---- rows ---- */

static RagifyCell
cell_of (sqlite3_stmt *statement, int column)
{
  const int type = sqlite3_column_type (statement, column);
  return type == SQLITE_INTEGER || type == SQLITE_FLOAT ? RAGIFY_CELL_NUMBER : RAGIFY_CELL_TEXT;
}

static void
tell (SqliteSource *source, guint32 problems)
{
  pthread_mutex_lock (&source->lock);
  const guint32 fresh = problems & ~source->told;
  source->told |= fresh;
  pthread_mutex_unlock (&source->lock);
  for (guint32 bit = 1; bit != 0 && bit <= fresh; bit <<= 1)
    if ((fresh & bit) != 0)
      source->host->log (source->context, RAGIFY_LOG_WARNING, ragify_str_from (ragify_record_problem (bit)));
}

/* The row that the statement stands on, from column `first`; `*bytes` grows by its size. */
static bool
read_row (SqliteSource *source, RagifyCall *call, sqlite3_stmt *statement, int first, RagifyChunk *chunk,
          guint64 *bytes, RagifyFault *fault)
{
  RagifyRecord record;
  const int count = sqlite3_column_count (statement);
  ragify_record_begin (&record, source->host, call);
  for (int i = first; i < count; i++) {
    if (sqlite3_column_type (statement, i) == SQLITE_NULL)
      continue;
    const char *name = sqlite3_column_name (statement, i);
    const RagifyCell cell = cell_of (statement, i);
    const char *text = (const char *)sqlite3_column_text (statement, i);
    const gsize size = (gsize)sqlite3_column_bytes (statement, i);
    *bytes += size;
    ragify_record_put (&record, ragify_column_find (&source->columns, name, source->usual_names), name, cell,
                       ragify_str (text != NULL ? text : "", text != NULL ? size : 0));
  }
  tell (source, record.problems);
  if (ragify_record_take (&record, chunk))
    return true;
  return ragify_fault_set (fault, RAGIFY_E_EXHAUSTED, "the call's memory limit is reached");
}

static bool
has_content (const SqliteSource *source, sqlite3_stmt *statement, RagifyFault *fault)
{
  g_autoptr (GString) found = g_string_new (NULL);
  for (int i = 0; i < sqlite3_column_count (statement); i++) {
    const char *name = sqlite3_column_name (statement, i);
    if (ragify_column_find (&source->columns, name, source->usual_names) == RAGIFY_COLUMN_CONTENT)
      return true;
    if (found->len < 300)
      g_string_append_printf (found, "%s%s", i > 0 ? ", " : "", name);
  }
  return ragify_fault_set (fault, RAGIFY_E_INVALID, "content-column: the result has no column '%s'; it has %s",
                           source->columns.names[RAGIFY_COLUMN_CONTENT], found->str);
}

/* ---- query ---- */

static void
answer_fault (const SqliteSource *source, RagifyCall *call, const RagifyFault *fault)
{
  g_autofree char *text = g_utf8_make_valid (fault->message, -1);
  source->host->call_fail (call, fault->code, ragify_str_from (text), 0);
}

static bool
collect (SqliteSource *source, SqliteReader *reader, guint64 limit, GArray *chunks, RagifyFault *fault)
{
  guint64 bytes = 0;
  RagifyChunk chunk;
  int code;
  while ((code = sqlite3_step (reader->statement)) == SQLITE_ROW) {
    if (chunks->len >= limit)
      return true;
    if (!read_row (source, reader->call, reader->statement, 0, &chunk, &bytes, fault))
      return false;
    if (chunk.content.size > 0)
      g_array_append_val (chunks, chunk);
    if (bytes > source->max_result) {
      source->host->log (source->context, RAGIFY_LOG_WARNING,
                         ragify_str_from ("the rows of a query exceed max-result; those that follow were left out"));
      return true;
    }
  }
  return code == SQLITE_DONE || fail (reader, fault);
}

static void
answer (const SqliteSource *source, RagifyCall *call, const GArray *chunks)
{
  const gsize size = chunks->len * sizeof (RagifyChunk);
  RagifyChunk *items = source->host->call_alloc (call, MAX (size, 1));
  if (items == NULL) {
    source->host->call_fail (call, RAGIFY_E_EXHAUSTED, ragify_str_from ("the call's memory limit is reached"), 0);
    return;
  }
  if (size > 0)
    memcpy (items, chunks->data, size);
  const RagifySourceResult result = {
    .struct_size = sizeof result,
    .chunks = { .items = items, .count = chunks->len, .stride = sizeof (RagifyChunk) },
  };
  source->host->call_done (call, &result);
}

void
sqlite_source_query (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  SqliteSource *source = instance;
  RagifyFault fault;
  g_autoptr (GArray) chunks = g_array_new (FALSE, FALSE, sizeof (RagifyChunk));
  SqliteReader *reader = take_reader (source, call, &fault);
  bool good = reader != NULL && has_content (source, reader->statement, &fault);
  if (good) {
    bind_query (reader->statement, args);
    good = collect (source, reader, args->top_k, chunks, &fault);
  }
  if (reader != NULL)
    give_back (source, reader, good);
  if (good)
    answer (source, call, chunks);
  else
    answer_fault (source, call, &fault);
}

/* ---- scan ---- */

static void
bind_scan (sqlite3_stmt *statement, const RagifySourceScan *args)
{
  const char *cursor = args->cursor.size > 0 ? args->cursor.data : "";
  g_autofree char *number = g_strndup (cursor, args->cursor.size);
  bind_int (statement, "$cursor", *number != '\0' ? g_ascii_strtoll (number, NULL, 10) : G_MININT64);
  bind_int (statement, "$limit", args->limit > 0 ? (gint64)args->limit : -1);
}

/* `*last` becomes the row id of the last row, which is the first column. */
static bool
emit_rows (SqliteSource *source, RagifyCall *call, SqliteReader *reader, sqlite3_stmt *statement, gint64 *last,
           guint *rows, RagifyFault *fault)
{
  int code = SQLITE_DONE;
  bool good = true;
  RagifyCredit credit;
  ragify_credit_begin (&credit, source->host, call);
  while (good && (code = sqlite3_step (statement)) == SQLITE_ROW) {
    RagifyChunk chunk;
    guint64 bytes = 0;
    *last = sqlite3_column_int64 (statement, 0);
    (*rows)++;
    good = read_row (source, call, statement, 1, &chunk, &bytes, fault);
    if (good && !ragify_credit_emit (&credit, &chunk))
      good = ragify_fault_set (fault, RAGIFY_E_CANCELLED, "cancelled");
  }
  ragify_credit_end (&credit);
  return good && (code == SQLITE_DONE || fail (reader, fault));
}

static bool
scan_page (SqliteSource *source, SqliteReader *reader, const RagifySourceScan *args, gint64 *last, guint *rows,
           RagifyFault *fault)
{
  sqlite3_stmt *statement = NULL;
  if (sqlite3_prepare_v2 (reader->handle, source->scan_sql, -1, &statement, NULL) != SQLITE_OK)
    return fail (reader, fault);
  bind_scan (statement, args);
  const bool good = emit_rows (source, reader->call, reader, statement, last, rows, fault);
  sqlite3_finalize (statement);
  return good;
}

/* The cursor is the last row id. */
void
sqlite_source_scan (void *instance, RagifyCall *call, const RagifySourceScan *args)
{
  SqliteSource *source = instance;
  RagifyFault fault;
  gint64 last = 0;
  guint rows = 0;
  SqliteReader *reader = take_reader (source, call, &fault);
  const bool good = reader != NULL && scan_page (source, reader, args, &last, &rows, &fault);
  if (reader != NULL)
    give_back (source, reader, good);
  if (!good) {
    answer_fault (source, call, &fault);
    return;
  }
  RagifySourceScanResult result = { .struct_size = sizeof result };
  char *cursor = args->limit > 0 && rows == args->limit ? source->host->call_alloc (call, 32) : NULL;
  if (cursor != NULL) {
    (void)g_snprintf (cursor, 32, "%" G_GINT64_FORMAT, last);
    result.cursor = ragify_str_from (cursor);
  }
  source->host->call_done (call, &result);
}

/* ---- probe ---- */

void
sqlite_source_probe (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  SqliteSource *source = instance;
  RagifyFault fault;
  SqliteReader *reader = take_reader (source, call, &fault);
  bool good = reader != NULL;
  if (good && sqlite3_exec (reader->handle, "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL) != SQLITE_OK)
    good = fail (reader, &fault);
  if (reader != NULL)
    give_back (source, reader, good);
  const RagifyProbeResult result = { .struct_size = sizeof result,
                                     .detail = ragify_str_from ("SQLite " SQLITE_VERSION) };
  if (good)
    source->host->call_done (call, &result);
  else
    answer_fault (source, call, &fault);
}
