#include "postgres-connector.h"

#include "postgres-fault.h"

#include <glib.h>
#include <string.h>

struct RagifyPostgresConnector {
  RagifyPostgresConnectorOptions options;
  RagifyNameWait wait;
  RagifyTimer *timer;
  RagifyWatch *watch;
  PGconn *connection;
  char **addresses; /* of the host that is tried; NULL: it needs none */
  guint round, host, address;
  gboolean begun;
  GString *reasons;
  RagifyFault fault; /* of the last failure */
};

static void next_host (RagifyPostgresConnector *connector);
static void next_address (RagifyPostgresConnector *connector);

static void
drop_watch (RagifyPostgresConnector *connector)
{
  if (connector->watch != NULL)
    connector->options.loop->watch_remove (connector->watch);
  connector->watch = NULL;
}

static void
drop_connection (RagifyPostgresConnector *connector)
{
  drop_watch (connector);
  g_clear_pointer (&connector->connection, PQfinish);
}

void
ragify_postgres_connector_free (RagifyPostgresConnector *connector)
{
  drop_connection (connector);
  ragify_names_forget (connector->options.names, &connector->wait);
  connector->options.loop->timer_remove (connector->timer);
  g_strfreev (connector->addresses);
  g_string_free (connector->reasons, TRUE);
  g_free (connector);
}

static const char *
name_of (const RagifyPostgresConnector *connector)
{
  return ragify_postgres_target_name (connector->options.target, connector->host);
}

static void
add_reason (RagifyPostgresConnector *connector)
{
  if (connector->reasons->len > 400)
    return;
  if (connector->reasons->len > 0)
    g_string_append (connector->reasons, "; ");
  g_string_append (connector->reasons, connector->fault.message);
}

static void
end (RagifyPostgresConnector *connector, PGconn *connection, const RagifyFault *fault)
{
  const RagifyPostgresConnectorOptions options = connector->options;
  connector->connection = NULL;
  options.done (options.user, connector, connection, fault);
}

/* All were tried: the fault has the last one's code and everybody's reason. */
static void
give_up (RagifyPostgresConnector *connector)
{
  RagifyFault fault;
  ragify_fault_set (&fault, connector->fault.code, "%s", connector->reasons->str);
  end (connector, NULL, &fault);
}

static void
discard_notice (void *user, const PGresult *result)
{
}

static void
succeed (RagifyPostgresConnector *connector)
{
  PGconn *connection = connector->connection;
  drop_watch (connector);
  PQsetNoticeReceiver (connection, discard_notice, NULL);
  if (PQsetnonblocking (connection, 1) == 0 && PQenterPipelineMode (connection) == 1) {
    end (connector, connection, NULL);
    return;
  }
  ragify_postgres_fault_connection (&connector->fault, name_of (connector), connection);
  add_reason (connector);
  drop_connection (connector);
  give_up (connector);
}

static void
address_failed (RagifyPostgresConnector *connector)
{
  add_reason (connector);
  drop_connection (connector);
  connector->address++;
  next_address (connector);
}

static void poll_connection (RagifyPostgresConnector *connector);

static void
ready (void *user, int32_t fd, uint32_t events)
{
  poll_connection (user);
}

/* libpq may have closed the socket and opened another one, so the watch is made anew each time. */
static void
poll_connection (RagifyPostgresConnector *connector)
{
  drop_watch (connector);
  const PostgresPollingStatusType status = PQconnectPoll (connector->connection);
  if (status == PGRES_POLLING_OK) {
    succeed (connector);
  } else if (status == PGRES_POLLING_READING || status == PGRES_POLLING_WRITING) {
    const uint32_t events = status == PGRES_POLLING_READING ? RAGIFY_FD_READ : RAGIFY_FD_WRITE;
    connector->watch = connector->options.loop->watch_new (connector->options.context, PQsocket (connector->connection),
                                                           events, ready, connector);
  } else {
    ragify_postgres_fault_connection (&connector->fault, name_of (connector), connector->connection);
    address_failed (connector);
  }
}

static void
expired (void *user)
{
  RagifyPostgresConnector *connector = user;
  if (!connector->begun) {
    connector->begun = TRUE;
    next_host (connector);
    return;
  }
  ragify_fault_set (&connector->fault, RAGIFY_E_UNAVAILABLE, "%s: no answer within %.3g s", name_of (connector),
                    (double)connector->options.timeout_us / G_USEC_PER_SEC);
  ragify_names_forget (connector->options.names, &connector->wait);
  address_failed (connector);
}

static void
next_address (RagifyPostgresConnector *connector)
{
  const char *address = NULL;
  if (connector->addresses != NULL)
    address = connector->addresses[connector->address];
  if (connector->address > 0 && address == NULL) {
    connector->host++;
    next_host (connector);
    return;
  }
  connector->options.loop->timer_restart (connector->timer, connector->options.timeout_us);
  connector->connection =
      ragify_postgres_target_connect (connector->options.target, connector->host, address, connector->round);
  if (connector->connection == NULL || PQstatus (connector->connection) == CONNECTION_BAD) {
    ragify_postgres_fault_connection (&connector->fault, name_of (connector), connector->connection);
    address_failed (connector);
    return;
  }
  /* As if PQconnectPoll had said "writing". */
  connector->watch = connector->options.loop->watch_new (connector->options.context, PQsocket (connector->connection),
                                                         RAGIFY_FD_WRITE, ready, connector);
}

static void
resolved (RagifyNameWait *wait, const char *const *addresses, const char *error)
{
  RagifyPostgresConnector *connector =
      (RagifyPostgresConnector *)(void *)((char *)wait - offsetof (RagifyPostgresConnector, wait));
  if (addresses == NULL) {
    ragify_fault_set (&connector->fault, RAGIFY_E_UNAVAILABLE, "%s: its name cannot be resolved: %s",
                      name_of (connector), error);
    address_failed (connector);
    return;
  }
  connector->addresses = g_strdupv ((char **)addresses);
  next_address (connector);
}

static void
next_host (RagifyPostgresConnector *connector)
{
  const RagifyPostgresConnectorOptions *options = &connector->options;
  g_clear_pointer (&connector->addresses, g_strfreev);
  connector->address = 0;
  if (connector->host == ragify_postgres_target_count (options->target)) {
    connector->host = 0;
    connector->round++;
  }
  if (connector->round == ragify_postgres_target_rounds (options->target)) {
    give_up (connector);
    return;
  }
  const char *unresolved = ragify_postgres_target_unresolved (options->target, connector->host);
  if (unresolved == NULL) {
    next_address (connector);
    return;
  }
  options->loop->timer_restart (connector->timer, options->timeout_us);
  ragify_names_ask (options->names, unresolved, &connector->wait);
}

RagifyPostgresConnector *
ragify_postgres_connector_new (const RagifyPostgresConnectorOptions *options)
{
  RagifyPostgresConnector *connector = g_new0 (RagifyPostgresConnector, 1);
  connector->options = *options;
  connector->wait.answer = resolved;
  connector->reasons = g_string_new (NULL);
  connector->timer = options->loop->timer_new (options->context, 0, 0, expired, connector);
  return connector;
}
