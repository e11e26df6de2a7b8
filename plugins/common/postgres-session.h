/* One PostgreSQL connection that runs queries, one at a time, without blocking its loop. Everything here is [loop].
 *
 * A query goes out as one pipeline: settings that are not in force, what is to be prepared, the steps, and RESET ALL
 * where the owner wants it, in one round trip. See https://www.postgresql.org/docs/current/libpq-pipeline-mode.html */
#ifndef RAGIFY_POSTGRES_SESSION_H
#define RAGIFY_POSTGRES_SESSION_H

#include "errands.h"
#include "postgres-query.h"

typedef struct RagifyPostgresSession RagifyPostgresSession;

typedef struct RagifyPostgresSessionOptions {
  const RagifyHost *host;
  RagifyContext *context;
  const RagifyLoopExtension *loop;
  RagifyErrands *errands;   /* for cancel requests */
  const char *const *setup; /* settings that are in force for every query, ended by NULL; outlive the session */
  bool setup_required;      /* a setting that the server refuses makes the session fail */
  bool reset;               /* statements may change settings: RESET ALL after each query */
  uint64_t max_row;         /* bytes; a larger row ends the session */

  /* The session has connected and its settings are in force, or it is free again after a query, or its connection was
   * lost (ragify_postgres_session_fault says why; after a query's end `lost` says so, too). The callee may free it. */
  void (*changed) (void *user, RagifyPostgresSession *session);
  /* A setting that the server refused. */
  void (*refused) (void *user, unsigned int setting, const char *reason);
  void *user;
} RagifyPostgresSessionOptions;

/* Takes the connection (non-blocking, in pipeline mode). It is busy with its settings until `changed`, which never runs
 * inside this. */
RagifyPostgresSession *ragify_postgres_session_new (const RagifyPostgresSessionOptions *options, PGconn *connection);

/* Closes the connection. A query that still runs is not told. */
void ragify_postgres_session_free (RagifyPostgresSession *session);

/* Whether it can run a query. */
bool ragify_postgres_session_is_free (const RagifyPostgresSession *session);
/* NULL while the connection is well. */
const RagifyFault *ragify_postgres_session_fault (const RagifyPostgresSession *session);
/* The query that it lost its connection under before anything came back of it, to be asked again; NULL: none. The query
 * is the caller's then. */
RagifyPostgresQuery *ragify_postgres_session_take_lost (RagifyPostgresSession *session);

/* Runs `query` on a free session; its `done` and the session's `changed` never run inside this. */
void ragify_postgres_session_run (RagifyPostgresSession *session, RagifyPostgresQuery *query);

/* The query is the caller's again, its `done` will not run; the server is asked to stop. */
void ragify_postgres_session_abandon (RagifyPostgresSession *session);

/* The deadline of the running query has passed: its `done` runs, and the server's own statement_timeout is to end it.
 */
void ragify_postgres_session_late (RagifyPostgresSession *session);

/* No row is read while it is held. */
void ragify_postgres_session_hold (RagifyPostgresSession *session, bool held);

/* Such as "PostgreSQL 15.4"; 0 and "" where it is lost. */
int ragify_postgres_session_version (const RagifyPostgresSession *session);
/* How many queries it has run, and since when it is free (monotonic µs). */
uint64_t ragify_postgres_session_queries (const RagifyPostgresSession *session);
uint64_t ragify_postgres_session_idle_since (const RagifyPostgresSession *session);

#endif
