#include "judged-queries.h"

#include "retrieval-metrics.h"

#include "tools/common/record-reader.h"

#include <string.h>

static void
free_query (gpointer data)
{
  RagifyJudgedQuery *query = data;
  g_free (query->id);
  g_free (query->text);
  g_hash_table_unref (query->judgments);
  g_free (query);
}

/* Adds one line to the judgments of its query. Returns FALSE when it is no such line. */
static gboolean
read_judgment (GHashTable *queries, char *line)
{
  g_auto (GStrv) fields = g_strsplit (g_strchomp (line), "\t", -1);
  gint64 grade = 0;
  if (g_strv_length (fields) != 3 || !g_ascii_string_to_signed (fields[2], 10, G_MININT, G_MAXINT, &grade, NULL))
    return FALSE;
  GHashTable *judgments = g_hash_table_lookup (queries, fields[0]);
  if (judgments == NULL) {
    judgments = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
    g_hash_table_insert (queries, g_strdup (fields[0]), judgments);
  }
  g_hash_table_insert (judgments, g_strdup (fields[1]), GINT_TO_POINTER ((int)grade));
  return TRUE;
}

static GHashTable *
read_judgments (const char *folder, GError **error)
{
  g_autofree char *plain = g_build_filename (folder, "qrels.tsv", NULL);
  g_autofree char *nested = g_build_filename (folder, "qrels", "test.tsv", NULL);
  const char *path =
      !g_file_test (plain, G_FILE_TEST_EXISTS) && g_file_test (nested, G_FILE_TEST_EXISTS) ? nested : plain;
  g_autofree char *text = NULL;
  if (!g_file_get_contents (path, &text, NULL, error))
    return NULL;

  g_autoptr (GHashTable) queries =
      g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_hash_table_unref);
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++) {
    /* The first line is the header, as a rule. */
    if (*lines[i] == '\0' || read_judgment (queries, lines[i]) || i == 0)
      continue;
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 "%s:%u: expected query-id, corpus-id and an integer score, separated by tabs", path, i + 1);
    return NULL;
  }
  return g_steal_pointer (&queries);
}

/* Takes the judgments of the record's query over when they hold a relevant document. */
static void
add_query (GPtrArray *queries, GHashTable *all_judgments, const RagifyRecord *record)
{
  gpointer key = NULL;
  gpointer judgments = NULL;
  if (!g_hash_table_steal_extended (all_judgments, record->id, &key, &judgments))
    return;
  g_free (key);
  if (ragify_metric_count_relevant (judgments) == 0) {
    g_hash_table_unref (judgments);
    return;
  }
  RagifyJudgedQuery *query = g_new0 (RagifyJudgedQuery, 1);
  query->id = g_strdup (record->id);
  query->text = g_strdup (record->content);
  query->judgments = judgments;
  g_ptr_array_add (queries, query);
}

GPtrArray *
ragify_judged_queries_read (const char *folder, guint *without_text, GError **error)
{
  g_autoptr (GHashTable) judgments = read_judgments (folder, error);
  if (judgments == NULL)
    return NULL;
  g_autofree char *path = g_build_filename (folder, "queries.jsonl", NULL);
  g_autoptr (RagifyRecordReader) reader = ragify_record_reader_open (path, error);
  if (reader == NULL)
    return NULL;

  g_autoptr (GPtrArray) queries = g_ptr_array_new_with_free_func (free_query);
  for (;;) {
    g_autoptr (RagifyRecord) record = NULL;
    RagifyRecordResult result = ragify_record_reader_next (reader, &record, error);
    if (result == RAGIFY_RECORD_END)
      break;
    if (result != RAGIFY_RECORD_READ)
      return NULL;
    add_query (queries, judgments, record);
  }
  *without_text = g_hash_table_size (judgments);
  if (queries->len > 0)
    return g_steal_pointer (&queries);
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%s: no query has a relevant document in the judgments",
               path);
  return NULL;
}
