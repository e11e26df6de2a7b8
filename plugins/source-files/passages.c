/* SPDX-License-Identifier: MIT */
#include "passages.h"

#include <gio/gio.h>
#include <sqlite3.h>
#include <string.h>

#define PASSAGE_BYTES 1000u
#define QUERY_WORDS 64u

/* What the index holds of a file. */
typedef struct Known {
  FilesEntry entry;
  sqlite3_int64 first, last; /* rows; last < first: none, … */
  FilesReason why;           /* … for this reason */
  gboolean present;          /* seen by the listing that is being worked on */
} Known;

struct FilesPassages {
  sqlite3 *database;
  GHashTable *known; /* path → Known */
  guint64 count;     /* of passages */
  sqlite3_int64 row; /* the last one that was ever given */
};

static void
known_free (gpointer data)
{
  Known *known = data;
  g_free (known->entry.path);
  g_free (known);
}

static gboolean
report (FilesPassages *passages, GError **error)
{
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "the word index: %s", sqlite3_errmsg (passages->database));
  return FALSE;
}

static gboolean
run (FilesPassages *passages, const char *sql, GError **error)
{
  return sqlite3_exec (passages->database, sql, NULL, NULL, NULL) == SQLITE_OK || report (passages, error);
}

FilesPassages *
files_passages_new (GError **error)
{
  FilesPassages *passages = g_new0 (FilesPassages, 1);
  passages->known = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, known_free);
  const gboolean open = sqlite3_open (":memory:", &passages->database) == SQLITE_OK || report (passages, error);
  if (open &&
      run (passages,
           "CREATE VIRTUAL TABLE words USING fts5 (content, path UNINDEXED, ordinal UNINDEXED, first UNINDEXED, "
           "modified UNINDEXED, tokenize = 'porter unicode61 remove_diacritics 2')",
           error))
    return passages;
  files_passages_free (passages);
  return NULL;
}

void
files_passages_free (FilesPassages *passages)
{
  sqlite3_close (passages->database);
  g_hash_table_unref (passages->known);
  g_free (passages);
}

/* ---- filling ---- */

static gboolean
forget (FilesPassages *passages, const Known *known, GError **error)
{
  if (known->last < known->first)
    return TRUE;
  sqlite3_stmt *statement = NULL;
  if (sqlite3_prepare_v2 (passages->database, "DELETE FROM words WHERE rowid BETWEEN ? AND ?", -1, &statement, NULL) !=
      SQLITE_OK)
    return report (passages, error);
  sqlite3_bind_int64 (statement, 1, known->first);
  sqlite3_bind_int64 (statement, 2, known->last);
  const gboolean well = sqlite3_step (statement) == SQLITE_DONE || report (passages, error);
  sqlite3_finalize (statement);
  passages->count -= (guint64)(known->last - known->first + 1);
  return well;
}

/* The end of the passage that begins at `begin`: at an empty line, a line's or a word's end near PASSAGE_BYTES. */
static gsize
end_of_passage (const char *text, gsize begin, gsize size)
{
  if (size - begin <= PASSAGE_BYTES)
    return size;
  static const char *const breaks[] = { "\n\n", "\n", ". ", " " };
  for (gsize i = 0; i < G_N_ELEMENTS (breaks); i++) {
    const char *found = g_strrstr_len (text + begin + PASSAGE_BYTES / 2, PASSAGE_BYTES / 2, breaks[i]);
    if (found != NULL)
      return (gsize)(found - text) + strlen (breaks[i]);
  }
  gsize end = begin + PASSAGE_BYTES;
  while (end > begin && ((unsigned char)text[end] & 0xc0) == 0x80)
    end--;
  return end;
}

static gboolean
add_passage (FilesPassages *passages, sqlite3_stmt *statement, const FilesEntry *entry, const char *text, gsize begin,
             gsize end, guint64 ordinal, GError **error)
{
  sqlite3_reset (statement);
  sqlite3_bind_text (statement, 1, text + begin, (int)(end - begin), SQLITE_STATIC);
  sqlite3_bind_text (statement, 2, entry->path, -1, SQLITE_STATIC);
  sqlite3_bind_int64 (statement, 3, (sqlite3_int64)ordinal);
  sqlite3_bind_int64 (statement, 4, (sqlite3_int64)begin);
  sqlite3_bind_int64 (statement, 5, entry->modified);
  sqlite3_bind_int64 (statement, 6, ++passages->row);
  return sqlite3_step (statement) == SQLITE_DONE || report (passages, error);
}

static gboolean
add_text (FilesPassages *passages, const FilesEntry *entry, const char *text, gsize size, GError **error)
{
  sqlite3_stmt *statement = NULL;
  if (sqlite3_prepare_v2 (
          passages->database,
          "INSERT INTO words (content, path, ordinal, first, modified, rowid) VALUES (?, ?, ?, ?, ?, ?)", -1,
          &statement, NULL) != SQLITE_OK)
    return report (passages, error);
  gboolean well = TRUE;
  guint64 ordinal = 0;
  for (gsize begin = 0; begin < size && well;) {
    const gsize end = end_of_passage (text, begin, size);
    well = add_passage (passages, statement, entry, text, begin, end, ordinal++, error);
    begin = end;
  }
  sqlite3_finalize (statement);
  return well;
}

static gboolean
take_text (FilesPassages *passages, Known *known, const char *text, gsize size, GError **error)
{
  known->first = passages->row + 1;
  if (!add_text (passages, &known->entry, text, size, error))
    return FALSE;
  known->last = passages->row;
  passages->count += (guint64)(known->last - known->first + 1);
  return TRUE;
}

/* What could not be read now may be readable next time, so it is not known then. */
static gboolean
read_file (FilesPassages *passages, const FilesTree *tree, FilesEntry *entry, FilesLeftOut *left_out, GError **error)
{
  Known *before = g_hash_table_lookup (passages->known, entry->path);
  if (before != NULL && !forget (passages, before, error))
    return FALSE;
  g_hash_table_remove (passages->known, entry->path);
  gsize size = 0;
  FilesReason why = N_FILES_REASONS;
  g_autofree char *text = files_tree_read (tree, entry, &size, &why);
  if (text == NULL && why != FILES_NO_TEXT && why != FILES_TOO_LARGE) {
    left_out->files[why]++;
    return TRUE;
  }
  Known *known = g_new0 (Known, 1);
  known->entry = *entry;
  known->entry.path = g_strdup (entry->path);
  known->last = -1;
  known->why = text == NULL ? why : N_FILES_REASONS;
  known->present = TRUE;
  g_hash_table_insert (passages->known, known->entry.path, known);
  return text == NULL || take_text (passages, known, text, size, error);
}

static gboolean
drop_missing (FilesPassages *passages, FilesLeftOut *left_out, gint *changed, GError **error)
{
  GHashTableIter iter;
  gpointer value;
  g_hash_table_iter_init (&iter, passages->known);
  while (g_hash_table_iter_next (&iter, NULL, &value)) {
    const Known *known = value;
    if (known->present) {
      if (known->why < N_FILES_REASONS)
        left_out->files[known->why]++;
      continue;
    }
    if (!forget (passages, known, error))
      return FALSE;
    g_hash_table_iter_remove (&iter);
    (*changed)++;
  }
  return TRUE;
}

/* Known and as it was. */
static gboolean
is_unchanged (FilesPassages *passages, const FilesEntry *entry)
{
  Known *known = g_hash_table_lookup (passages->known, entry->path);
  if (known == NULL)
    return FALSE;
  known->present = known->entry.modified == entry->modified && known->entry.size == entry->size;
  return known->present;
}

static gboolean
take_changes (FilesPassages *passages, const FilesTree *tree, GPtrArray *entries, FilesLeftOut *left_out, gint *changed,
              GError **error)
{
  GHashTableIter iter;
  gpointer value;
  g_hash_table_iter_init (&iter, passages->known);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    ((Known *)value)->present = FALSE;
  for (guint i = 0; i < entries->len; i++) {
    FilesEntry *entry = g_ptr_array_index (entries, i);
    if (is_unchanged (passages, entry))
      continue;
    if (!read_file (passages, tree, entry, left_out, error))
      return FALSE;
    (*changed)++;
  }
  return drop_missing (passages, left_out, changed, error);
}

gint
files_passages_update (FilesPassages *passages, const FilesTree *tree, FilesLeftOut *left_out, GError **error)
{
  *left_out = (FilesLeftOut){ .files = { 0 } };
  g_autoptr (GPtrArray) entries = files_tree_list (tree, left_out->files, error);
  if (entries == NULL || !run (passages, "BEGIN", error))
    return -1;
  gint changed = 0;
  const gboolean well = take_changes (passages, tree, entries, left_out, &changed, error);
  return run (passages, "COMMIT", well ? error : NULL) && well ? changed : -1;
}

guint
files_passages_files (const FilesPassages *passages)
{
  return g_hash_table_size (passages->known);
}

guint64
files_passages_count (const FilesPassages *passages)
{
  return passages->count;
}

/* ---- searching ---- */

/* Any of the words, each quoted: what a person types is never taken for FTS5's query language. */
static char *
match_expression (const char *text, gsize size)
{
  GString *expression = g_string_new (NULL);
  guint words = 0;
  for (const char *p = text, *end = text + size; p < end && words < QUERY_WORDS;) {
    const char *begin = p;
    while (p < end && g_unichar_isalnum (g_utf8_get_char (p)))
      p = g_utf8_next_char (p);
    if (p > begin) {
      g_string_append (expression, words++ > 0 ? " OR \"" : "\"");
      g_string_append_len (expression, begin, p - begin);
      g_string_append_c (expression, '"');
    } else {
      p = g_utf8_next_char (p);
    }
  }
  return g_string_free (expression, words == 0);
}

static FilesPassage *
take_row (sqlite3_stmt *statement)
{
  FilesPassage *passage = g_new0 (FilesPassage, 1);
  passage->content =
      g_strndup ((const char *)sqlite3_column_text (statement, 0), (gsize)sqlite3_column_bytes (statement, 0));
  passage->path = g_strdup ((const char *)sqlite3_column_text (statement, 1));
  passage->ordinal = (guint64)sqlite3_column_int64 (statement, 2);
  passage->begin = (guint64)sqlite3_column_int64 (statement, 3);
  passage->end = passage->begin + (guint64)sqlite3_column_bytes (statement, 0);
  passage->modified = sqlite3_column_int64 (statement, 4);
  passage->score = -sqlite3_column_double (statement, 5);
  return passage;
}

static void
passage_free (gpointer data)
{
  FilesPassage *passage = data;
  g_free (passage->path);
  g_free (passage->content);
  g_free (passage);
}

GPtrArray *
files_passages_search (FilesPassages *passages, const char *text, gsize size, guint limit, GError **error)
{
  GPtrArray *found = g_ptr_array_new_with_free_func (passage_free);
  g_autofree char *expression = match_expression (text, size);
  if (expression == NULL)
    return found;
  sqlite3_stmt *statement = NULL;
  int code =
      sqlite3_prepare_v2 (passages->database,
                          "SELECT content, path, ordinal, first, modified, bm25(words) FROM words WHERE words MATCH ? "
                          "ORDER BY bm25(words), rowid LIMIT ?",
                          -1, &statement, NULL);
  if (code == SQLITE_OK) {
    sqlite3_bind_text (statement, 1, expression, -1, SQLITE_STATIC);
    sqlite3_bind_int64 (statement, 2, limit);
    while ((code = sqlite3_step (statement)) == SQLITE_ROW)
      g_ptr_array_add (found, take_row (statement));
  }
  sqlite3_finalize (statement);
  if (code == SQLITE_DONE)
    return found;
  report (passages, error);
  g_ptr_array_unref (found);
  return NULL;
}
