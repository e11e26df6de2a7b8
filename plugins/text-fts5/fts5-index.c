#include "fts5-index.h"

#include "fts5-private.h"
#include "tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QUERY_WORDS 128u /* of one query that count; further ones are left out */
#define PAGE_CACHE (4u << 20)
#define DEAD_ALLOWED 10000 /* removed chunks that do not matter yet, whatever the share */

/* The words of a query. */
typedef struct {
  bool telling;   /* leave function words out */
  uint32_t count; /* of words, … */
  uint32_t times[QUERY_WORDS];
  char words[QUERY_WORDS][RAGIFY_TOKEN_BYTES + 3]; /* … each quoted, ended by NUL */
} Query;

static void
reader_free (RagifyFts5Reader *reader)
{
  if (reader == NULL)
    return;
  ragify_connection_close (reader->connection);
  ragify_accumulator_clear (&reader->accumulator);
  free (reader->postings.items);
  free (reader);
}

static RagifyFts5Reader *
reader_open (const RagifyTextIndex *index, RagifyConnectionMode mode, RagifyFault *fault)
{
  RagifyFts5Reader *reader = calloc (1, sizeof *reader);
  if (reader == NULL) {
    (void)ragify_fault_memory (fault);
    return NULL;
  }
  reader->connection = ragify_connection_open (index->file, mode, PAGE_CACHE, fault);
  /* A commit that a power failure takes back is one that the host brings again. */
  if (reader->connection != NULL &&
      ragify_connection_execute (reader->connection, "PRAGMA synchronous = NORMAL", fault) &&
      ragify_fts5_words_register (ragify_connection_handle (reader->connection), &reader->postings, fault))
    return reader;
  reader_free (reader);
  return NULL;
}

static RagifyFts5Reader *
borrow (RagifyTextIndex *index, RagifyFault *fault)
{
  RagifyFts5Reader *reader = NULL;
  (void)pthread_mutex_lock (&index->mutex);
  if (index->idle_count > 0)
    reader = index->idle[--index->idle_count];
  (void)pthread_mutex_unlock (&index->mutex);
  if (reader != NULL)
    return reader;
  bool frozen = ragify_folder_read_only (index->held) != NULL;
  return reader_open (index, frozen ? RAGIFY_CONNECTION_READ_ONLY : RAGIFY_CONNECTION_READ, fault);
}

static void
give_back (RagifyTextIndex *index, RagifyFts5Reader *reader)
{
  RagifyFault ignored;
  if (ragify_connection_busy (reader->connection))
    (void)ragify_connection_execute (reader->connection, "ROLLBACK", &ignored);
  (void)pthread_mutex_lock (&index->mutex);
  if (index->idle_count < RAGIFY_FTS5_IDLE_READERS) {
    index->idle[index->idle_count++] = reader;
    reader = NULL;
  }
  (void)pthread_mutex_unlock (&index->mutex);
  reader_free (reader);
}

static bool
is_english (const char *language)
{
  return strcmp (language, "en") == 0 || strcmp (language, "english") == 0 || strcmp (language, "porter") == 0;
}

/* The languages that the index on Xapian knows too, so that either can stand in for the other. Only English loses its
 * endings here. */
static bool
check_language (const char *language, RagifyFault *fault)
{
  static const char known[] =
      " none english en porter arabic ar armenian hy basque eu catalan ca danish da dutch nl finnish fi french fr"
      " german de hungarian hu indonesian id irish ga italian it lithuanian lt nepali ne norwegian nb nn no"
      " portuguese pt romanian ro russian ru spanish es swedish sv tamil ta turkish tr ";
  char wanted[40];
  int size = snprintf (wanted, sizeof wanted, " %s ", language);
  if (size > 3 && size < (int)sizeof wanted && strchr (language, ' ') == NULL && strstr (known, wanted) != NULL)
    return true;
  return ragify_fault_set (fault, RAGIFY_E_INVALID, "language: expected one of%s, found '%s'", known, language);
}

static bool
read_number (RagifyConnection *connection, const char *sql, int64_t *number, RagifyFault *fault)
{
  sqlite3_stmt *statement = ragify_connection_prepare (connection, sql, fault);
  if (statement == NULL || ragify_connection_step (connection, statement, fault) < 0)
    return false;
  *number = sqlite3_column_int64 (statement, 0);
  (void)sqlite3_reset (statement);
  return true;
}

/* What must be the same for a file to be of use. */
static void
describe_format (const RagifyTextIndex *index, char *format, size_t size)
{
  (void)snprintf (format, size, "1;words %d;%s;title %u", RAGIFY_TOKENIZER_VERSION, index->english ? "english" : "none",
                  index->options.title_weight);
}

static bool
make_schema (RagifyTextIndex *index, RagifyConnection *connection, RagifyFault *fault)
{
  static const char sql[] = "INSERT INTO facts (name, value) VALUES ('format', ?1)";
  char format[120], words[160];
  describe_format (index, format, sizeof format);
  (void)snprintf (words, sizeof words,
                  "CREATE VIRTUAL TABLE words USING fts5 (text, content = '', columnsize = 0,"
                  " tokenize = '%s')",
                  index->english ? "porter ragify" : "ragify");
  if (!ragify_connection_execute (connection, "BEGIN IMMEDIATE", fault) ||
      !ragify_connection_execute (connection,
                                  "CREATE TABLE facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
                                  "CREATE TABLE chunks (number INTEGER PRIMARY KEY AUTOINCREMENT,"
                                  " uuid BLOB NOT NULL UNIQUE, length INTEGER NOT NULL)",
                                  fault) ||
      !ragify_connection_execute (connection, words, fault))
    return false;
  sqlite3_stmt *statement = ragify_connection_prepare (connection, sql, fault);
  if (statement == NULL)
    return false;
  ragify_bind_str (statement, 1, ragify_str_from (format));
  return ragify_connection_run (connection, statement, fault) &&
         ragify_connection_execute (connection, "COMMIT", fault);
}

/* Read only: to open a file for writing changes it. One that cannot be read says so later. */
static bool
is_own (const RagifyTextIndex *index, RagifyFault *fault)
{
  static const char tables[] = "SELECT (SELECT count(*) FROM sqlite_master) = 0 OR"
                               " (SELECT count(*) FROM sqlite_master WHERE type = 'table'"
                               " AND name IN ('facts', 'chunks', 'words')) = 3";
  RagifyFault ignored;
  int64_t own = 1;
  RagifyConnection *connection =
      ragify_connection_open (index->file, RAGIFY_CONNECTION_READ_ONLY, PAGE_CACHE, &ignored);
  if (connection != NULL)
    (void)read_number (connection, tables, &own, &ignored);
  ragify_connection_close (connection);
  return own != 0 ||
         ragify_fault_set (fault, RAGIFY_E_INVALID,
                           "%s: it is a database, but no text index; it is left as it is: move it away, or give this "
                           "index another path",
                           index->file);
}

/* The file that tells that words.db was made here, also when that can no longer be seen from it. */
static void
own_mark (const RagifyTextIndex *index, char *path, size_t size)
{
  (void)snprintf (path, size, "%s/made-here", index->folder);
}

/* Where it cannot be set, a damaged file is somebody's that has to move it. */
static void
set_own_mark (const RagifyTextIndex *index)
{
  char path[4200];
  own_mark (index, path, sizeof path);
  FILE *file = fopen (path, "ae");
  if (file != NULL)
    (void)fclose (file);
}

/* Whatever else lies in the file's place, and was not made here, stays as it is. */
static bool
is_database (const RagifyTextIndex *index, RagifyFault *fault)
{
  static const char magic[] = "SQLite format 3";
  char begin[sizeof magic], mark[4200];
  own_mark (index, mark, sizeof mark);
  if (access (mark, F_OK) == 0)
    return true;
  FILE *file = fopen (index->file, "re");
  if (file == NULL)
    return true; /* there is none, or opening it says what is wrong */
  size_t size = fread (begin, 1, sizeof begin, file);
  bool well = size == 0 || (size == sizeof begin && memcmp (begin, magic, sizeof begin) == 0);
  (void)fclose (file);
  return well || ragify_fault_set (fault, RAGIFY_E_INVALID,
                                   "%s: it is no database; it is left as it is: move it away, or give this index "
                                   "another path",
                                   index->file);
}

/* Whether the file is one that can be gone on with; *why says what is wrong with it ("" for a new one). */
static bool
check_file (RagifyTextIndex *index, RagifyConnection *connection, char *why, size_t size)
{
  static const char tables[] = "SELECT count(*) FROM sqlite_master";
  static const char format[] = "SELECT value FROM facts WHERE name = 'format'";
  static const char dead[] = "SELECT coalesce ((SELECT seq FROM sqlite_sequence WHERE name = 'chunks'), 0)"
                             " - coalesce ((SELECT value FROM facts WHERE name = 'begin'), 0)"
                             " - 2 * (SELECT count(*) FROM chunks)";
  RagifyFault fault;
  char expected[120];
  int64_t number;
  why[0] = '\0';
  if (!read_number (connection, tables, &number, &fault)) {
    (void)snprintf (why, size, "%.200s", fault.message);
    return false;
  }
  if (number == 0)
    return false;
  describe_format (index, expected, sizeof expected);
  sqlite3_stmt *statement = ragify_connection_prepare (connection, format, &fault);
  if (statement == NULL || ragify_connection_step (connection, statement, &fault) <= 0) {
    (void)snprintf (why, size, "it is not one of Ragify's, or damaged");
    return false;
  }
  RagifyStr found = ragify_column_str (statement, 0);
  bool same = found.size == strlen (expected) && memcmp (found.data, expected, found.size) == 0;
  if (!same)
    (void)snprintf (why, size, "it was made with '%.*s', the settings are now '%s'", (int)found.size, found.data,
                    expected);
  (void)sqlite3_reset (statement);
  if (same && (!read_number (connection, dead, &number, &fault) || number > DEAD_ALLOWED)) {
    (void)snprintf (why, size, "most of what it holds was removed since");
    return false;
  }
  return same;
}

static void
damage_mark (const RagifyTextIndex *index, char *path, size_t size)
{
  (void)snprintf (path, size, "%s/damaged", index->folder);
}

static void
delete_file (const RagifyTextIndex *index)
{
  static const char *const endings[] = { "", "-wal", "-shm", "-journal" };
  char path[4200];
  for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
    (void)snprintf (path, sizeof path, "%s%s", index->file, endings[i]);
    (void)unlink (path);
  }
  damage_mark (index, path, sizeof path);
  (void)unlink (path);
}

/* An empty file, whatever is there now: the host fills it from the store. */
static bool
start_anew (RagifyTextIndex *index, const char *why, RagifyFault *fault)
{
  char text[500];
  if (why[0] != '\0') {
    (void)snprintf (text, sizeof text, "%.150s: the index is made anew: %.300s", index->folder, why);
    index->options.log (index->options.log_user, RAGIFY_LOG_WARNING, text);
  }
  reader_free (index->writer);
  delete_file (index);
  index->writer = reader_open (index, RAGIFY_CONNECTION_WRITE, fault);
  return index->writer != NULL && make_schema (index, index->writer->connection, fault);
}

static bool
open_writer (RagifyTextIndex *index, RagifyFault *fault)
{
  char why[300], mark[4200];
  damage_mark (index, mark, sizeof mark);
  if (!is_database (index, fault) || !is_own (index, fault))
    return false;
  set_own_mark (index);
  if (access (mark, F_OK) == 0)
    return start_anew (index, "a part of it could not be read", fault);
  index->writer = reader_open (index, RAGIFY_CONNECTION_WRITE, fault);
  if (index->writer == NULL)
    return fault->code == RAGIFY_E_INTERNAL && start_anew (index, fault->message, fault);
  return check_file (index, index->writer->connection, why, sizeof why) || start_anew (index, why, fault);
}

static bool
load_chunks (RagifyTextIndex *index, RagifyConnection *connection, RagifyFault *fault)
{
  static const char sql[] = "SELECT number, uuid, length FROM chunks";
  static const char newest[] = "SELECT coalesce ((SELECT seq FROM sqlite_sequence WHERE name = 'chunks'), 0)";
  sqlite3_stmt *statement = ragify_connection_prepare (connection, sql, fault);
  int64_t number;
  if (statement == NULL || !read_number (connection, newest, &number, fault))
    return false;
  index->newest = (uint32_t)number;
  int found;
  while ((found = ragify_connection_step (connection, statement, fault)) > 0) {
    RagifyUuid id = ragify_column_uuid (statement, 1);
    uint32_t length = (uint32_t)sqlite3_column_int64 (statement, 2);
    if (!ragify_roster_set (index->roster, (uint32_t)sqlite3_column_int64 (statement, 0), &id, length)) {
      (void)sqlite3_reset (statement);
      return ragify_fault_memory (fault);
    }
    index->chunks++;
    index->words += length;
  }
  return found == 0;
}

static bool
load_generation (RagifyTextIndex *index, RagifyConnection *connection, RagifyFault *fault)
{
  static const char sql[] = "SELECT (SELECT value FROM facts WHERE name = 'store'),"
                            " (SELECT value FROM facts WHERE name = 'generation')";
  sqlite3_stmt *statement = ragify_connection_prepare (connection, sql, fault);
  if (statement == NULL || ragify_connection_step (connection, statement, fault) < 0)
    return false;
  index->generation.store = ragify_column_uuid (statement, 0);
  index->generation.counter = (uint64_t)sqlite3_column_int64 (statement, 1);
  (void)sqlite3_reset (statement);
  return true;
}

static bool
open_files (RagifyTextIndex *index, uint64_t lock_wait_us, RagifyFault *fault)
{
  char why[300];
  index->held = ragify_folder_open (index->folder, lock_wait_us, fault);
  if (index->held == NULL || (ragify_folder_read_only (index->held) == NULL && !open_writer (index, fault)))
    return false;
  RagifyFts5Reader *reader = borrow (index, fault);
  if (reader == NULL)
    return false;
  bool ok = true;
  if (ragify_folder_read_only (index->held) != NULL && !check_file (index, reader->connection, why, sizeof why))
    ok = ragify_fault_set (fault, RAGIFY_E_UNAVAILABLE,
                           "%s: there is no index that can be used, and the folder is "
                           "read-only",
                           index->folder);
  ok = ok && load_chunks (index, reader->connection, fault) && load_generation (index, reader->connection, fault);
  give_back (index, reader);
  return ok;
}

static void
close_index (RagifyTextIndex *index)
{
  for (uint32_t i = 0; i < index->idle_count; i++)
    reader_free (index->idle[i]);
  reader_free (index->writer);
  ragify_folder_close (index->held);
  ragify_roster_free (index->roster);
  (void)pthread_mutex_destroy (&index->writing);
  (void)pthread_mutex_destroy (&index->mutex);
  free (index->file);
  free (index->folder);
  free (index);
}

static RagifyTextIndex *
open_index (const RagifyTextOptions *options, RagifyFault *fault)
{
  RagifyTextIndex *index = calloc (1, sizeof *index);
  if (index == NULL) {
    (void)ragify_fault_memory (fault);
    return NULL;
  }
  (void)pthread_mutex_init (&index->writing, NULL);
  (void)pthread_mutex_init (&index->mutex, NULL);
  size_t size = strlen (options->folder) + 16;
  index->options = *options;
  index->english = is_english (options->language);
  index->folder = strdup (options->folder);
  index->file = malloc (size);
  index->roster = ragify_roster_new ();
  if (index->folder != NULL && index->file != NULL && index->roster != NULL) {
    (void)snprintf (index->file, size, "%s/words.db", options->folder);
    if (open_files (index, options->lock_wait_us, fault))
      return index;
  } else {
    (void)ragify_fault_memory (fault);
  }
  close_index (index);
  return NULL;
}

static const char *
why_read_only (RagifyTextIndex *index)
{
  return ragify_folder_read_only (index->held);
}

/* So that the next start makes a damaged file anew. */
void
ragify_fts5_note_damage (const RagifyTextIndex *index, const RagifyFault *fault)
{
  char path[4200];
  if (fault->code != RAGIFY_E_INTERNAL)
    return;
  damage_mark (index, path, sizeof path);
  FILE *mark = fopen (path, "w");
  if (mark != NULL)
    (void)fclose (mark);
}

static bool
take_word (void *user, const RagifyToken *token)
{
  Query *query = user;
  char word[RAGIFY_TOKEN_BYTES + 3];
  if (query->telling && ragify_is_stop_word (token->text, token->size))
    return true;
  /* Words have no quotes in them, so nothing can end the quotation. */
  (void)snprintf (word, sizeof word, "\"%.*s\"", (int)token->size, token->text);
  for (uint32_t i = 0; i < query->count; i++) {
    if (strcmp (query->words[i], word) == 0) {
      query->times[i]++;
      return true;
    }
  }
  if (query->count == QUERY_WORDS)
    return false;
  memcpy (query->words[query->count], word, sizeof word);
  query->times[query->count++] = 1;
  return true;
}

static void
read_query (const RagifyTextIndex *index, RagifyStr text, Query *query)
{
  query->count = 0;
  query->telling = index->english;
  (void)ragify_tokenize (text, RAGIFY_TOKENIZE_QUERY, take_word, query);
  if (query->count > 0 || !index->english)
    return;
  query->telling = false;
  (void)ragify_tokenize (text, RAGIFY_TOKENIZE_QUERY, take_word, query);
}

/* Gathers one word's rows, and adds those that stand for somebody. */
static bool
look_up_word (RagifyFts5Reader *reader, const char *word, uint32_t times, double total, RagifyFault *fault)
{
  static const char sql[] = "SELECT gather (words) FROM words WHERE words MATCH ?1";
  RagifyPostings *postings = &reader->postings;
  const RagifyRoster *roster = reader->accumulator.roster;
  sqlite3_stmt *statement = ragify_connection_prepare (reader->connection, sql, fault);
  if (statement == NULL)
    return false;
  postings->count = 0;
  (void)sqlite3_bind_text (statement, 1, word, -1, SQLITE_STATIC);
  if (!ragify_connection_run (reader->connection, statement, fault))
    return false;
  uint32_t live = 0;
  for (uint32_t i = 0; i < postings->count; i++)
    if (ragify_roster_length (roster, postings->items[i].number) > 0)
      postings->items[live++] = postings->items[i];
  ragify_accumulator_word (&reader->accumulator, live, total, times);
  for (uint32_t i = 0; i < live; i++)
    ragify_accumulator_add (&reader->accumulator, postings->items[i].number, postings->items[i].times);
  return true;
}

static bool
look_up (RagifyTextIndex *index, RagifyFts5Reader *reader, const Query *query, uint32_t wanted,
         const RagifyTextCaller *caller, RagifyFault *fault)
{
  (void)pthread_mutex_lock (&index->mutex);
  uint32_t newest = index->newest;
  double total = (double)index->chunks, mean = total > 0 ? index->words / total : 0;
  (void)pthread_mutex_unlock (&index->mutex);
  ragify_accumulator_begin (&reader->accumulator, index->roster, wanted, &index->options.bm25, mean);
  /* How many of a word's rows stand for somebody is known only when all have been gathered: one range. */
  if (!ragify_accumulator_range (&reader->accumulator, 0, newest + 1))
    return ragify_fault_memory (fault);
  for (uint32_t i = 0; i < query->count; i++) {
    if (caller->cancelled (caller->user))
      return ragify_fault_set (fault, RAGIFY_E_CANCELLED, "the caller gave up");
    if (!look_up_word (reader, query->words[i], query->times[i], total, fault))
      return false;
  }
  return true;
}

/* In one transaction, so that all words are of one generation. */
static bool
search_with (RagifyTextIndex *index, RagifyFts5Reader *reader, const RagifyTextCaller *caller,
             const RagifyTextSearch *args, RagifyHit *hits, uint32_t *found, RagifyFault *fault)
{
  Query query;
  read_query (index, args->text, &query);
  bool ok = ragify_connection_execute (reader->connection, "BEGIN", fault) &&
            look_up (index, reader, &query, args->top_k, caller, fault) &&
            ragify_connection_execute (reader->connection, "COMMIT", fault);
  if (!ok) {
    ragify_accumulator_abandon (&reader->accumulator);
    return false;
  }
  return ragify_accumulator_end (&reader->accumulator, hits, found) || ragify_fault_memory (fault);
}

static bool
search (RagifyTextIndex *index, const RagifyTextCaller *caller, const RagifyTextSearch *args, RagifyHit *hits,
        uint32_t *found, RagifyFault *fault)
{
  RagifyFts5Reader *reader = borrow (index, fault);
  if (reader == NULL)
    return false;
  bool ok = search_with (index, reader, caller, args, hits, found, fault);
  if (!ok)
    ragify_fts5_note_damage (index, fault);
  give_back (index, reader);
  return ok;
}

static void
report_generation (RagifyTextIndex *index, RagifyTextGeneration *generation)
{
  (void)pthread_mutex_lock (&index->mutex);
  generation->generation = index->generation;
  generation->chunks = index->chunks;
  (void)pthread_mutex_unlock (&index->mutex);
}

const RagifyTextBackend ragify_fts5_backend = {
  .folder = "fts5",
  .check_language = check_language,
  .open = open_index,
  .close = close_index,
  .read_only = why_read_only,
  .upsert = ragify_fts5_upsert,
  .search = search,
  .remove = ragify_fts5_remove,
  .optimize = ragify_fts5_optimize,
  .generation = report_generation,
};
