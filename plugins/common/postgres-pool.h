/* A pool of PostgreSQL connections: one per instance, with totals that hold for the node.
 *
 * Each loop has connections of its own; how many there are in all is a quota of the node. A loop that has work and may
 * open no more asks for one of the others' idle connections, which they close for it.
 *
 * Life: new → start → run… → stop → free. */
#ifndef RAGIFY_POSTGRES_POOL_H
#define RAGIFY_POSTGRES_POOL_H

#include "postgres-query.h"
#include "postgres-target.h"

#include <ragify/ragify.h>

typedef struct RagifyPostgresPool RagifyPostgresPool;

typedef struct RagifyPostgresPoolOptions {
  RagifyPostgresTarget *target; /* passes to the pool, also where it cannot be made */
  const RagifyInstance *which;  /* read during the call */
  unsigned int min_size;        /* connections kept open, of the node */
  unsigned int max_size;        /* at most, of the node */
  uint64_t max_queries;         /* of one connection, then it is replaced; 0: no limit */
  uint64_t max_inactive_us;     /* a connection that was idle for so long is closed or replaced; 0: never */
  uint64_t connect_timeout_us;  /* for each address, where the connection string has no connect_timeout */
  unsigned int max_waiting;     /* queries that may wait for a connection, of this instance */
  const char *const *setup;     /* statements such as "SET work_mem = '64MB'", ended by NULL; copied */
  bool setup_required;          /* one that is refused makes the connection unusable */
  bool reset;                   /* queries may change settings: RESET ALL after each */
  uint64_t max_row;             /* bytes of one row */
} RagifyPostgresPoolOptions;

typedef struct RagifyPostgresPoolCounts {
  uint64_t open, idle, waiting;          /* now, of this instance */
  uint64_t queries, timeouts, cancelled; /* since the start */
  uint64_t connects, refusals;           /* connections made; attempts that failed */
  uint64_t lost, recycled, given_up;     /* broken; replaced by age or use; closed for another loop */
  uint64_t node_open;                    /* of all instances, now */
  int server_version;                    /* such as 150004; 0: not known */
} RagifyPostgresPoolCounts;

/* NULL with a fault where the host lacks an extension. [control] */
RagifyPostgresPool *ragify_postgres_pool_new (const RagifyHost *host, RagifyContext *context,
                                              const RagifyPostgresPoolOptions *options, RagifyFault *fault);

/* Makes the first connection, and then the others that are to be kept. `started` runs once, with a fault where the
 * first could not be made; the pool goes on trying when it is asked. [loop] */
void ragify_postgres_pool_start (RagifyPostgresPool *pool, void (*started) (void *user, const RagifyFault *fault),
                                 void *user);

/* Closes everything; no query may be under way. [loop] */
void ragify_postgres_pool_stop (RagifyPostgresPool *pool);
/* [control] */
void ragify_postgres_pool_free (RagifyPostgresPool *pool);

/* Runs a query; its `done` may run before this returns. Without a free connection it waits, until its deadline. [loop]
 */
void ragify_postgres_pool_run (RagifyPostgresPool *pool, RagifyPostgresQuery *query);

/* Nobody wants the answer any more: the query is the caller's again, `done` will not run, and the server is asked to
 * stop it. [loop] */
void ragify_postgres_pool_cancel (RagifyPostgresPool *pool, RagifyPostgresQuery *query);

/* Its deadline has passed, as the caller found before the pool did: `done` runs with RAGIFY_E_TIMEOUT. [loop] */
void ragify_postgres_pool_late (RagifyPostgresPool *pool, RagifyPostgresQuery *query);

/* While a query is held no row of it is read. Letting go may call `row` and `done`. [loop] */
void ragify_postgres_pool_hold (RagifyPostgresPool *pool, RagifyPostgresQuery *query, bool held);

void ragify_postgres_pool_counts (const RagifyPostgresPool *pool, RagifyPostgresPoolCounts *counts); /* [loop] */

#endif
