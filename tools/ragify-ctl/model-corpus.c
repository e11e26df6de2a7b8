/* A judged collection in memory. */
#include "models.h"

#include "tools/common/record-reader.h"
#include "tools/ragify-eval/judged-queries.h"

static void
free_text (gpointer text)
{
  g_string_free (text, TRUE);
}

void
ragify_model_corpus_free (RagifyModelCorpus *corpus)
{
  g_ptr_array_unref (corpus->ids);
  g_ptr_array_unref (corpus->texts);
  g_clear_pointer (&corpus->queries, g_ptr_array_unref);
  g_free (corpus);
}

static GHashTable *
collect_judged (const GPtrArray *queries)
{
  GHashTable *judged = g_hash_table_new (g_str_hash, g_str_equal);
  for (guint i = 0; i < queries->len; i++) {
    const RagifyJudgedQuery *query = g_ptr_array_index (queries, i);
    GHashTableIter iterator;
    gpointer id;
    g_hash_table_iter_init (&iterator, query->judgments);
    while (g_hash_table_iter_next (&iterator, &id, NULL))
      g_hash_table_add (judged, id);
  }
  return judged;
}

static void
add_document (RagifyModelCorpus *corpus, const RagifyRecord *record)
{
  g_ptr_array_add (corpus->ids, g_strdup (record->id));
  g_ptr_array_add (corpus->texts, g_string_new (record->content));
}

static gboolean
read_documents (RagifyModelCorpus *corpus, const char *path, guint most, GError **error)
{
  g_autoptr (RagifyRecordReader) reader = ragify_record_reader_open (path, error);
  if (reader == NULL)
    return FALSE;
  g_autoptr (GHashTable) judged = collect_judged (corpus->queries);
  guint others = most > g_hash_table_size (judged) ? most - g_hash_table_size (judged) : 0;
  for (;;) {
    g_autoptr (RagifyRecord) record = NULL;
    const RagifyRecordResult result = ragify_record_reader_next (reader, &record, error);
    if (result == RAGIFY_RECORD_END)
      return TRUE;
    if (result != RAGIFY_RECORD_READ)
      return FALSE;
    const gboolean wanted = most == 0 || g_hash_table_contains (judged, record->id);
    if (!wanted && others == 0)
      continue;
    if (!wanted)
      others--;
    add_document (corpus, record);
  }
}

RagifyModelCorpus *
ragify_model_corpus_read (const char *folder, guint most, GError **error)
{
  g_autoptr (RagifyModelCorpus) corpus = g_new0 (RagifyModelCorpus, 1);
  g_autofree char *path = g_build_filename (folder, "corpus.jsonl", NULL);
  guint without_text = 0;
  corpus->ids = g_ptr_array_new_with_free_func (g_free);
  corpus->texts = g_ptr_array_new_with_free_func (free_text);
  corpus->queries = ragify_judged_queries_read (folder, &without_text, error);
  if (corpus->queries == NULL || !read_documents (corpus, path, most, error))
    return NULL;
  if (corpus->queries->len == 0 || corpus->ids->len == 0) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%s: expected documents and judged queries, found none",
                 folder);
    return NULL;
  }
  return g_steal_pointer (&corpus);
}
