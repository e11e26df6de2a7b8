/* A metadata filter as SQL over jsonb, with exactly the meaning that ragify/base.h gives it: types are not mixed, a
 * member that is missing matches nothing, and NOT is the opposite of what is inside. */
#ifndef PGVECTOR_CONDITION_H
#define PGVECTOR_CONDITION_H

#include "job.h"

/* Appends the condition on `column`, such as "c.metadata", to `sql`; its values become parameters of the job's last
 * step, behind those that it has. FALSE with the job's fault where the filter is not well formed or too large. */
gboolean pgvector_condition_write (PgvectorJob *job, const RagifyFilter *filter, const char *column, GString *sql);

#endif
