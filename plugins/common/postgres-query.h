/* What a PostgreSQL connection is asked for: one or several statements in one round trip. */
#ifndef RAGIFY_POSTGRES_QUERY_H
#define RAGIFY_POSTGRES_QUERY_H

#include "fault.h"

#include <libpq-fe.h>

/* One statement with its parameters. The steps of a query are one implicit transaction: all of them, or none. */
typedef struct RagifyPostgresStep {
  const char *name; /* prepared under this name, once for each connection; NULL: not prepared. One name, one text;
                       it outlives the pool */
  const char *sql;  /* with $1, $2 … */
  int count;        /* of parameters */
  const char *const *values; /* NULL: SQL's null. Text ends in NUL */
  const int *lengths;        /* of binary ones; NULL: all are text */
  const int *formats;        /* 0 text, 1 binary; NULL: all are text */
  int result_format;         /* 0 text, 1 binary */
} RagifyPostgresStep;

typedef struct RagifyPostgresQuery RagifyPostgresQuery;

struct RagifyPostgresQuery {
  const RagifyPostgresStep *steps; /* they, and what they point to, stay until `done` */
  unsigned int n_steps;
  uint64_t deadline_us; /* monotonic; also what the server is given as statement_timeout */
  bool repeatable;      /* may be asked again where its connection was lost before anything came back */
  /* A row of step number `step`: one tuple, cleared by the caller. False: enough, what is left is cancelled and the
   * query ends well. NULL: rows are not wanted. [loop] */
  bool (*row) (RagifyPostgresQuery *query, unsigned int step, const PGresult *row);
  /* A step ended well; `result` has its command tag and no rows. May be NULL. [loop] */
  void (*step_done) (RagifyPostgresQuery *query, unsigned int step, const PGresult *result);
  /* How it ended; `fault` is NULL where it ended well. Once, and the query is the caller's again. [loop] */
  void (*done) (RagifyPostgresQuery *query, const RagifyFault *fault);
  void *user;

  /* ---- the pool's own from here on ---- */
  RagifyPostgresQuery *next;
  void *session; /* that runs it */
  bool waiting, answered, repeated;
};

#endif
