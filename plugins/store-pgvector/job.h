/* One operation under way: several steps that are one transaction and one round trip, bound to a call. */
#ifndef PGVECTOR_JOB_H
#define PGVECTOR_JOB_H

#include "parameters.h"
#include "store.h"

typedef struct PgvectorJob PgvectorJob;

struct PgvectorJob {
  PgvectorStore *store;
  RagifyCall *call;
  /* A row of a step: one tuple in binary. FALSE with `fault` set: no more. NULL: none is expected. */
  gboolean (*row) (PgvectorJob *job, guint step, const PGresult *row);
  /* Ends the call well, or with `fault` where that is set by it. */
  void (*finish) (PgvectorJob *job);
  RagifyFault fault; /* code 0: none */
  gpointer state;    /* of the operation; freed by … */
  GDestroyNotify free_state;

  /* ---- the job's own from here on ---- */
  RagifyPostgresQuery query;
  GArray *steps;     /* RagifyPostgresStep */
  GPtrArray *bound;  /* of each step: a GPtrArray of values */
  GPtrArray *memory; /* what else lives as long */
  gboolean begun, cancelled;
};

/* `repeatable`: asking twice does no harm. [loop] */
PgvectorJob *pgvector_job_new (PgvectorStore *store, RagifyCall *call, gboolean repeatable);

/* Adds a step and returns its number. `sql` outlives the job. */
guint pgvector_job_step (PgvectorJob *job, PgvectorStatement statement);
guint pgvector_job_sql (PgvectorJob *job, char *sql); /* takes it; NULL: it comes later, by … */
void pgvector_job_set_sql (PgvectorJob *job, guint step, char *sql);
/* Adds a value to the last step: its $1, $2 … */
void pgvector_job_bind (PgvectorJob *job, GBytes *value);      /* keeps a reference of its own */
void pgvector_job_bind_take (PgvectorJob *job, GBytes *value); /* takes the caller's */
guint pgvector_job_bound (const PgvectorJob *job);             /* how many the last step has */

/* Runs it; then the call is completed and the job is gone. */
void pgvector_job_run (PgvectorJob *job);

/* Completes the call with the job's fault; the job is gone. For those that were not run. */
void pgvector_job_fail (PgvectorJob *job);

/* Memory of the call; NULL with the job's fault. */
gpointer pgvector_job_alloc (PgvectorJob *job, guint64 size);
/* FALSE with the job's fault. */
gboolean pgvector_job_copy (PgvectorJob *job, RagifyStr text, RagifyStr *copy);
/* The same of what jsonb has become. It writes 1e20 as a whole number, which readers of 64 bits refuse: such get .0. */
gboolean pgvector_job_copy_json (PgvectorJob *job, RagifyStr json, RagifyStr *copy);

/* The columns PGVECTOR_CHUNK_CONTENT from `first` on into the chunk; from reading.c. FALSE with the job's fault. */
gboolean pgvector_take_content (PgvectorJob *job, const PGresult *row, int first, RagifyChunk *chunk);

#endif
