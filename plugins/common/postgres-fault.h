/* What PostgreSQL said, as one of RAGIFY_E_… and one line for a person. */
#ifndef RAGIFY_POSTGRES_FAULT_H
#define RAGIFY_POSTGRES_FAULT_H

#include "fault.h"

#include <libpq-fe.h>

/* From a failed result; `what` comes before the server's own words and may be "". Always false.
 * Classes: https://www.postgresql.org/docs/current/errcodes-appendix.html */
bool ragify_postgres_fault_result (RagifyFault *fault, const char *what, const PGresult *result);

/* From a connection that failed or could not be made; `where` names it. Always false. */
bool ragify_postgres_fault_connection (RagifyFault *fault, const char *where, const PGconn *connection);

/* The error code of SQLSTATE (five characters, or NULL). */
int32_t ragify_postgres_fault_code (const char *sqlstate);

#endif
