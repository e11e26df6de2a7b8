/* The configuration keys that everything with a pool of connections to PostgreSQL has.
 *
 * SPDX-License-Identifier: MIT */
#ifndef RAGIFY_POSTGRES_OPTIONS_H
#define RAGIFY_POSTGRES_OPTIONS_H

#include "postgres-pool.h"

/* Reads dsn, password, min-size, max-size, max-inactive-lifetime, connect-timeout, max-waiting and max-row; the rest
 * stays 0. The target is NULL, and the fault filled, where dsn is none. [control] */
RagifyPostgresPoolOptions ragify_postgres_options_read (const RagifyHost *host, RagifyContext *context,
                                                        const RagifyInstance *which, RagifyFault *fault);
#endif
