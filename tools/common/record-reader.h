/* Documents and queries out of NDJSON (one JSON object a line), in constant memory.
 *
 * Accepted members, so that BEIR's corpus.jsonl and queries.jsonl and plain exports all read:
 *   _id or id (string or integer)   required
 *   content                         the text as it is, or
 *   text, with title                BEIR's form: the content is the title, a newline and the text
 *   title, uri or url, metadata     optional
 * Other members are ignored.
 */
#pragma once

#include "json-reader.h"

/* One document. Every string is valid UTF-8; title, uri and metadata may be NULL. */
typedef struct {
  char *id;
  char *content;
  char *title;
  char *uri;
  json_t *metadata; /* an object */
} RagifyRecord;

RagifyRecord *ragify_record_new (const char *id, const char *content);
void ragify_record_free (RagifyRecord *record);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyRecord, ragify_record_free)

/* Reads one line's record. Returns NULL with error set (G_IO_ERROR_INVALID_DATA) to what was expected and found. [any]
 */
RagifyRecord *ragify_record_parse (const char *line, gsize length, GError **error);

/* The document as one line of JSON with a newline, as POST /v1/documents takes it (owned by the caller). [any] */
char *ragify_record_to_line (const RagifyRecord *record);

typedef struct _RagifyRecordReader RagifyRecordReader;

/* Reads from a file, or from standard input when path is "-". Returns NULL with error set when it cannot be opened. */
RagifyRecordReader *ragify_record_reader_open (const char *path, GError **error);
void ragify_record_reader_close (RagifyRecordReader *reader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyRecordReader, ragify_record_reader_close)

typedef enum {
  RAGIFY_RECORD_READ,   /* *record is set (owned by the caller) */
  RAGIFY_RECORD_END,    /* nothing is left */
  RAGIFY_RECORD_BAD,    /* this line is no record: error says "PATH:LINE: why"; reading can go on */
  RAGIFY_RECORD_FAILED, /* the input itself cannot be read: error says why */
} RagifyRecordResult;

/* Reads the next record; blank lines are passed over, a line may be 64 MiB at most. */
RagifyRecordResult ragify_record_reader_next (RagifyRecordReader *reader, RagifyRecord **record, GError **error);

/* How much of the input has been read, 0..1, or −1 when its size is not known (a pipe). */
double ragify_record_reader_get_fraction (const RagifyRecordReader *reader);
