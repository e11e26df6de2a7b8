/* The queries and judgments of a BEIR folder: queries.jsonl ({"_id", "text"}) and qrels.tsv, or qrels/test.tsv
 * (query-id, corpus-id, score, separated by tabs, with a header line). */
#pragma once

#include <gio/gio.h>

typedef struct {
  char *id;
  char *text;
  GHashTable *judgments; /* document id → grade (GINT_TO_POINTER) */
} RagifyJudgedQuery;

/* The queries that have a relevant document, in the file's order: an array of RagifyJudgedQuery (owned by the caller).
 * *without_text: judged queries that queries.jsonl lacks. Returns NULL with error set to file, line and what was
 * expected. */
GPtrArray *ragify_judged_queries_read (const char *folder, guint *without_text, GError **error);
