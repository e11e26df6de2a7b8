/* One connection being made: host by host, address by address, each with a time limit of its own, nothing blocking. */
#ifndef RAGIFY_POSTGRES_CONNECTOR_H
#define RAGIFY_POSTGRES_CONNECTOR_H

#include "names.h"
#include "postgres-target.h"

typedef struct RagifyPostgresConnector RagifyPostgresConnector;

typedef struct RagifyPostgresConnectorOptions {
  const RagifyHost *host;
  RagifyContext *context;
  const RagifyLoopExtension *loop;
  const RagifyPostgresTarget *target;
  RagifyNames *names;
  uint64_t timeout_us; /* for each address */
  /* How it ended: a connection, non-blocking and in pipeline mode, that is the callee's now; or NULL with a fault that
   * names each host and why. The callee frees the connector. Never inside ragify_postgres_connector_new. [loop] */
  void (*done) (void *user, RagifyPostgresConnector *connector, PGconn *connection, const RagifyFault *fault);
  void *user;
} RagifyPostgresConnectorOptions;

/* [loop] */
RagifyPostgresConnector *ragify_postgres_connector_new (const RagifyPostgresConnectorOptions *options);

/* Gives up; `done` does not run. [loop] */
void ragify_postgres_connector_free (RagifyPostgresConnector *connector);

#endif
