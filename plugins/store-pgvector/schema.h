/* The tables, and every statement about them. Tables and statements are described in the plugin's README. */
#ifndef PGVECTOR_SCHEMA_H
#define PGVECTOR_SCHEMA_H

#include "fault.h"

#include <glib.h>

#define PGVECTOR_FORMAT_VERSION 1

/* What a chunk `c` of a document `d` is made of: nine columns, as pgvector_take_content reads them. */
#define PGVECTOR_CHUNK_CONTENT                                                                                         \
  "d.id, c.content, c.title, coalesce (c.uri, d.uri), c.ordinal, c.first, c.past,"                                     \
  " CASE WHEN c.created_at <> 0 THEN c.created_at ELSE d.created_at END,"                                              \
  " CASE WHEN c.updated_at <> 0 THEN c.updated_at ELSE d.updated_at END"

typedef enum {
  /* making them */
  PGVECTOR_LOCK,
  PGVECTOR_MAKE_SCHEMA,
  PGVECTOR_MAKE_STORE,
  PGVECTOR_MAKE_DOCUMENTS,
  PGVECTOR_MAKE_CHUNKS,
  PGVECTOR_MAKE_REMOVALS,
  PGVECTOR_MAKE_INDEXES, /* … and those behind it */
  PGVECTOR_MAKE_INDEXES_LAST = PGVECTOR_MAKE_INDEXES + 8,
  PGVECTOR_MAKE_ROW,
  PGVECTOR_ADOPT_EMBEDDER,
  PGVECTOR_ADOPT_COLUMN,
  PGVECTOR_READ_STORE,
  /* upsert */
  PGVECTOR_BUMP,
  PGVECTOR_ADD_DOCUMENTS,
  PGVECTOR_DROP_STALE,
  PGVECTOR_DROP_REPLACED,
  PGVECTOR_DISPLACE,
  PGVECTOR_DISPLACE_PROMOTED,
  PGVECTOR_PROMOTE,
  PGVECTOR_ADD_CHUNKS,
  PGVECTOR_SETTLE_UPSERT,
  PGVECTOR_CLOSE_DOCUMENTS,
  PGVECTOR_FORGET_DOCUMENTS,
  PGVECTOR_FORGET_CHUNKS,
  PGVECTOR_TRIM_HISTORY,
  PGVECTOR_READ_REMOVED,
  /* remove */
  PGVECTOR_REMOVE_IDS,
  PGVECTOR_REMOVE_FILTERED, /* ends where the condition goes, which REMOVE_FILTERED_END follows */
  PGVECTOR_REMOVE_FILTERED_END,
  PGVECTOR_REMOVE_EMPTIED,
  PGVECTOR_KEEP_STAGED,
  PGVECTOR_REMOVE_DOCUMENT_CHUNKS,
  PGVECTOR_REMOVE_DOCUMENTS,
  PGVECTOR_SETTLE_REMOVAL,
  PGVECTOR_TAKE_BACK,
  /* reading */
  PGVECTOR_SEARCH,
  PGVECTOR_SEARCH_FILTERED, /* … the condition, and SEARCH_FILTERED_END */
  PGVECTOR_SEARCH_FILTERED_END,
  PGVECTOR_SCORE,
  PGVECTOR_FETCH_CONTENT,
  PGVECTOR_FETCH_METADATA,
  PGVECTOR_FETCH_BOTH,
  PGVECTOR_FETCH_VECTORS,
  PGVECTOR_GENERATION,
  PGVECTOR_TEXT_SEARCH,
  PGVECTOR_TEXT_SEARCH_END,
  PGVECTOR_N_STATEMENTS
} PgvectorStatement;

typedef struct PgvectorStatements {
  char *sql[PGVECTOR_N_STATEMENTS];
  GPtrArray *retired; /* texts that queries under way may still use */
} PgvectorStatements;

/* What the names in a statement stand for. */
typedef struct PgvectorNames {
  const char *schema, *table; /* of the store */
  const char *extension;      /* the schema that the extension is in */
  const char *language;       /* PostgreSQL's text search configuration */
  guint32 dimension;          /* 0: the column takes any */
} PgvectorNames;

/* `template` with @documents@, @chunks@, @removals@, @store@, @vector@ … put in. */
char *pgvector_expand (const char *template, const PgvectorNames *names);

void pgvector_statements_fill (PgvectorStatements *statements, const PgvectorNames *names);
void pgvector_statements_clear (PgvectorStatements *statements);

/* The name that a statement is prepared under; NULL: it is not. */
const char *pgvector_statement_name (PgvectorStatement statement);

/* Whether a name can be a schema's or the tables' beginning: not empty, at most 40 bytes. */
gboolean pgvector_name_check (const char *key, const char *name, RagifyFault *fault);

#endif
