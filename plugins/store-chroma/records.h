/* Chunks, documents, vectors and ids as Chroma has them. */
#ifndef CHROMA_RECORDS_H
#define CHROMA_RECORDS_H

#include "job.h"

void chroma_write_uuid (const RagifyUuid *uuid, char text[37]);
gboolean chroma_read_uuid (const char *text, RagifyUuid *uuid);

/* A vector as the base64 of its floats, which the server takes and which is a quarter of them as numbers. */
json_t *chroma_write_vector (const float *vector, guint32 dimension);
/* FALSE where the list has another length or something that is no number. */
gboolean chroma_read_vector (const json_t *list, float *vector, guint32 dimension);

/* The metadata of a chunk: what the application said, as far as Chroma can hold it so that it can be filtered by, and
 * what it is a chunk of. `created` and `updated` are the document's, where the chunk has no times. */
json_t *chroma_chunk_metadata (const RagifyChunk *chunk, gint64 created, gint64 updated);
/* Whether the server takes it as a member's name, and it is none of our own. */
gboolean chroma_key_ok (const char *key);
/* Adds what the application said as far as Chroma can filter by it. */
void chroma_add_plain (json_t *metadata, RagifyStr text);
/* Whether the metadata are a JSON object. */
gboolean chroma_metadata_ok (RagifyStr metadata);
/* Fills the chunk from its record, in the call's memory. `what`: RAGIFY_FETCH_… */
gboolean chroma_take_chunk (ChromaJob *job, const char *id, const json_t *content, const json_t *metadata, guint32 what,
                            RagifyChunk *chunk);

/* Own members of metadata. */
const char *chroma_text (const json_t *metadata, const char *name);
gint64 chroma_number (const json_t *metadata, const char *name);
/* What the application said, as it said it. */
RagifyStr chroma_metadata_text (const json_t *metadata);

/* A `where` that lets through all that can match, and maybe more; NULL: everything may. */
json_t *chroma_where (const RagifyFilter *filter);
/* {"ragify_document": {"$in": [ … ]}} */
json_t *chroma_where_documents (const RagifyStrList *documents);
/* FALSE with the job's fault where the filter is not well formed, or too large. */
gboolean chroma_filter_ok (ChromaJob *job, const RagifyFilter *filter);
/* Both; takes them. NULL: nothing is asked. */
json_t *chroma_where_both (json_t *one, json_t *other);

#endif
