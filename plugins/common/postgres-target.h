/* Where a PostgreSQL database is: one connection string, one or several hosts.
 *
 * libpq would walk over several hosts by itself, but PQconnectPoll has no time limit of its own, so a silent first host
 * would hide the others, and it resolves names blockingly. So each host, with an address, is tried by itself.
 * See https://www.postgresql.org/docs/current/libpq-connect.html */
#ifndef RAGIFY_POSTGRES_TARGET_H
#define RAGIFY_POSTGRES_TARGET_H

#include "fault.h"

#include <libpq-fe.h>

typedef struct RagifyPostgresTarget RagifyPostgresTarget;

/* `dsn`: a URI or keywords and values, as libpq takes it. `password`, where not empty, replaces its password. The
 * message of a fault never shows the connection string. [control] */
RagifyPostgresTarget *ragify_postgres_target_new (RagifyStr dsn, RagifyStr password, RagifyFault *fault);
void ragify_postgres_target_free (RagifyPostgresTarget *target);

unsigned int ragify_postgres_target_count (const RagifyPostgresTarget *target);

/* For people, such as "db1:5433". */
const char *ragify_postgres_target_name (const RagifyPostgresTarget *target, unsigned int host);

/* What must be resolved before the host can be connected to; NULL: nothing. */
const char *ragify_postgres_target_unresolved (const RagifyPostgresTarget *target, unsigned int host);

/* connect_timeout of the connection string, for each address; 0: it has none. */
uint64_t ragify_postgres_target_timeout_us (const RagifyPostgresTarget *target);

/* How often the hosts are gone through: prefer-standby means first a standby, then any. */
unsigned int ragify_postgres_target_rounds (const RagifyPostgresTarget *target);

/* Begins to connect to one host; `address`: what its name was resolved to, or NULL. Goes on with PQconnectPoll. NULL
 * where memory is exhausted. */
PGconn *ragify_postgres_target_connect (const RagifyPostgresTarget *target, unsigned int host, const char *address,
                                        unsigned int round);

#endif
