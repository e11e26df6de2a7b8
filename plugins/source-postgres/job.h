/* One operation under way: a statement with its parameters, bound to a call. */
#ifndef POSTGRES_JOB_H
#define POSTGRES_JOB_H

#include "source.h"

typedef struct PostgresJob PostgresJob;

struct PostgresJob {
  RagifyPostgresQuery query;
  RagifyPostgresStep step;
  PostgresSource *source;
  RagifyCall *call;
  char *values[POSTGRES_N_PARAMETERS];
  /* Ends the call well: with call_done, or with call_fail where it finds that it cannot. */
  void (*finish) (PostgresJob *job);
  RagifyFault fault; /* of a row; code 0: none */
  RagifyColumn *columns;
  int n_columns, content;
  gboolean begun, cancelled, held;
  GArray *chunks; /* of a query */
  guint64 limit, rows, bytes;
  char *cursor; /* of a scan: the last row's id */
};

/* `row` may be NULL. [loop] */
PostgresJob *postgres_job_new (PostgresSource *source, RagifyCall *call, void (*finish) (PostgresJob *job));

/* Runs the statement with the job's values; then the call is completed and the job is gone. */
void postgres_job_run (PostgresJob *job, const char *name, const char *sql, int count);

/* Completes the call with a fault; the job is gone. For those that were not run. */
void postgres_job_fail (PostgresJob *job, int32_t code, const char *message);

/* A row as a chunk. FALSE with the job's fault. */
gboolean postgres_job_read (PostgresJob *job, const PGresult *row, RagifyChunk *chunk);

/* Warns of each kind of problem once in the instance's life. */
void postgres_job_tell (PostgresSource *source, guint32 problems);

#endif
