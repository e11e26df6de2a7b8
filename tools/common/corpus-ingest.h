/* A BEIR corpus (corpus.jsonl: {"_id", "title", "text"} a line) into a host's store, one document a record. */
#pragma once

#include "document-sender.h"

/* Reads path and sends every record; lines that are no records, and documents that the server does not take, are in the
 * sender's failures. ids: NULL, or a set to which every record's id is added (a copy; the table's key destroy function
 * must be g_free). Shows progress unless quiet. Returns FALSE with error set when the file cannot be read or the work
 * cannot go on. */
gboolean
ragify_corpus_ingest (RagifyDocumentSender *sender, const char *path, gboolean quiet, GHashTable *ids, GError **error);
