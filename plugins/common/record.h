/* One row of a database as a chunk: which column is what, and what becomes of values that are not text. */
#ifndef RAGIFY_RECORD_H
#define RAGIFY_RECORD_H

#include <ragify/ragify.h>

#include <stdbool.h>

/* What a column is of a chunk. */
typedef enum {
  RAGIFY_COLUMN_ID,
  RAGIFY_COLUMN_DOCUMENT,
  RAGIFY_COLUMN_CONTENT,
  RAGIFY_COLUMN_TITLE,
  RAGIFY_COLUMN_URI,
  RAGIFY_COLUMN_SCORE,
  RAGIFY_COLUMN_METADATA,
  RAGIFY_COLUMN_CREATED,
  RAGIFY_COLUMN_UPDATED,
  RAGIFY_N_COLUMNS,
  RAGIFY_COLUMN_EXTRA = RAGIFY_N_COLUMNS /* a member of the metadata under the column's own name */
} RagifyColumn;

/* The column's names, read from the keys id-column, document-column, content-column, title-column, uri-column,
 * score-column, metadata-column, created-column and updated-column; NULL or "": there is none. */
typedef struct RagifyColumnNames {
  char *names[RAGIFY_N_COLUMNS];
} RagifyColumnNames;

/* [control] */
void ragify_column_names_read (RagifyColumnNames *columns, const RagifyHost *host, RagifyContext *context);
void ragify_column_names_clear (RagifyColumnNames *columns);
/* Which of a result's columns is what. `usual`: columns without a key count by their usual names as well (document_id,
 * title, uri, url, score, created_at, updated_at). */
RagifyColumn ragify_column_find (const RagifyColumnNames *columns, const char *name, bool usual);

/* What a value is, beside its text. */
typedef enum {
  RAGIFY_CELL_TEXT,
  RAGIFY_CELL_NUMBER,
  RAGIFY_CELL_BOOL, /* t… or 1: true */
  RAGIFY_CELL_JSON,
} RagifyCell;

/* What was wrong with values, as bits; the chunk does without them. */
#define RAGIFY_RECORD_BAD_METADATA 1u /* not a JSON object */
#define RAGIFY_RECORD_BAD_SCORE 2u    /* NaN, infinite, or no number */
#define RAGIFY_RECORD_BAD_TEXT 4u     /* not UTF-8: replaced by U+FFFD */

typedef struct RagifyRecord {
  const RagifyHost *host;
  RagifyCall *call; /* whose memory the chunk is made of */
  RagifyChunk chunk;
  RagifyStr row_id;
  void *extra; /* json_t */
  bool has_content, exhausted;
  uint32_t problems;
} RagifyRecord;

/* put for each column that is not NULL, then take; or drop. The texts are copied. */
void ragify_record_begin (RagifyRecord *record, const RagifyHost *host, RagifyCall *call);
void ragify_record_put (RagifyRecord *record, RagifyColumn column, const char *name, RagifyCell cell, RagifyStr text);
/* False where the call's memory limit is reached. */
bool ragify_record_take (RagifyRecord *record, RagifyChunk *chunk);

/* What the bits say, for a log; "" for 0. */
const char *ragify_record_problem (uint32_t problem);

#endif
