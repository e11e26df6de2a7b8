/* What the database is asked: SQL with numbered parameters, from a statement with $names or from a table's columns. */
#ifndef POSTGRES_STATEMENT_H
#define POSTGRES_STATEMENT_H

#include <glib.h>

#include "fault.h"
#include "record.h"

typedef enum {
  POSTGRES_QUERY,     /* $query: the text of the query */
  POSTGRES_PATTERN,   /* $pattern: the same for ILIKE, its wildcards escaped, between % and % */
  POSTGRES_EMBEDDING, /* $embedding: "[0.1,0.2]", as pgvector reads it */
  POSTGRES_LIMIT,     /* $limit: how many rows at most */
  POSTGRES_FILTER,    /* $filter: the request's filter as JSON; null: none */
  POSTGRES_CURSOR,    /* scans: the last id of the page before */
  POSTGRES_SINCE,     /* scans: seconds since 1970; null: everything */
  POSTGRES_N_PARAMETERS
} PostgresParameter;

typedef struct PostgresStatement {
  char *sql;
  PostgresParameter parameters[POSTGRES_N_PARAMETERS]; /* $1 is the first */
  guint count;
} PostgresStatement;

void postgres_statement_clear (PostgresStatement *statement);
gboolean postgres_statement_uses (const PostgresStatement *statement, PostgresParameter parameter);

/* Numbers the $names of a statement, but not those inside strings, quoted names and comments. What is there as $1 or a
 * name that does not exist is refused. */
gboolean postgres_statement_parse (const char *text, PostgresStatement *statement, RagifyFault *fault);

typedef struct PostgresTable {
  const char *name; /* may have a schema before a dot */
  const RagifyColumnNames *columns;
  guint64 max_content;  /* characters */
  const char *language; /* of the text search */
  const char *vector;   /* a tsvector column; NULL or "": none */
  gboolean any;         /* one of the words is enough */
} PostgresTable;

/* The statements that need no SQL of the assembler's. */
gboolean postgres_statement_ilike (const PostgresTable *table, PostgresStatement *statement, RagifyFault *fault);
gboolean postgres_statement_fulltext (const PostgresTable *table, PostgresStatement *statement, RagifyFault *fault);
/* A page of whole rows by id. `more`: not the first page. */
gboolean
postgres_statement_scan (const PostgresTable *table, gboolean more, PostgresStatement *statement, RagifyFault *fault);

/* Parameters as text. */
char *postgres_pattern_of (const char *query);
char *postgres_embedding_of (const RagifyVectors *vectors);
char *postgres_filter_of (const RagifyFilter *filter);

#endif
