/* What the database answers: contents of chunks, and lists.
 *
 * Answers live in the call that asked. All [any], on a borrowed connection. */
#ifndef RAGIFY_READING_H
#define RAGIFY_READING_H

#include "connection.h"
#include "metadata.h"

#include <ragify/vector-store.h>

/* Where answers are put. */
typedef struct RagifyAnswer {
  const RagifyHost *host;
  RagifyCall *call;
} RagifyAnswer;

/* `size` zeroed bytes, or NULL with a fault. */
void *ragify_answer_alloc (const RagifyAnswer *answer, uint64_t size, RagifyFault *fault);

/* The text of a column, copied. */
bool ragify_answer_copy (const RagifyAnswer *answer, RagifyStr text, RagifyStr *copy, RagifyFault *fault);

/* Fills one chunk for each id, unknown ones flagged. `what`: RAGIFY_FETCH_CONTENT, RAGIFY_FETCH_METADATA. */
bool ragify_reading_fetch (RagifyConnection *connection, const RagifyAnswer *answer, const RagifyUuidList *ids,
                           uint32_t what, RagifyChunk *chunks, RagifyFault *fault);

/* Reads one chunk's columns, in the order of RAGIFY_READING_COLUMNS, from column `first` on. */
#define RAGIFY_READING_COLUMNS                                                                                         \
  "c.uuid, d.id, c.content, coalesce (c.title, d.title), coalesce (c.uri, d.uri), c.ordinal, c.first, c.past,"         \
  " c.created_at, c.updated_at, d.created_at, d.updated_at, c.metadata"
bool ragify_reading_chunk (RagifyConnection *connection, const RagifyAnswer *answer, sqlite3_stmt *row, int first,
                           uint32_t what, RagifyChunk *chunk, RagifyFault *fault);

/* The JSON text of a metadata number, copied. */
bool ragify_reading_metadata (RagifyConnection *connection, const RagifyAnswer *answer, int64_t number, RagifyStr *json,
                              RagifyFault *fault);

/* A page of documents or chunks. `matches` is what args->filter matched a moment ago. */
bool ragify_listing_page (RagifyConnection *connection, const RagifyAnswer *answer, const RagifyStoreList *args,
                          RagifyMatches *matches, RagifyStoreListResult *result, RagifyFault *fault);

#endif
