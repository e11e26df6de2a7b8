#include "corpus-ingest.h"

#include "progress.h"

gboolean
ragify_corpus_ingest (RagifyDocumentSender *sender, const char *path, gboolean quiet, GHashTable *ids, GError **error)
{
  g_autoptr (RagifyRecordReader) reader = ragify_record_reader_open (path, error);
  if (reader == NULL)
    return FALSE;
  g_autoptr (RagifyProgress) progress = ragify_progress_new ("ingest", "documents", quiet);
  for (;;) {
    g_autoptr (RagifyRecord) record = NULL;
    g_autoptr (GError) reason = NULL;
    RagifyRecordResult result = ragify_record_reader_next (reader, &record, &reason);
    if (result == RAGIFY_RECORD_END)
      return ragify_document_sender_finish (sender, error);
    if (result == RAGIFY_RECORD_FAILED) {
      g_propagate_error (error, g_steal_pointer (&reason));
      return FALSE;
    }
    if (result == RAGIFY_RECORD_BAD) {
      ragify_document_sender_add_failure (sender, path, reason->message);
      continue;
    }
    if (ids != NULL)
      g_hash_table_add (ids, g_strdup (record->id));
    if (!ragify_document_sender_add (sender, record, error))
      return FALSE;
    ragify_progress_update (progress, ragify_document_totals_count (ragify_document_sender_get_totals (sender)),
                            ragify_record_reader_get_fraction (reader));
  }
}
