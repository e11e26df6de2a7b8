/* One connection to one Redis, kept up: it is made when started, greeted, and made again with a growing, jittered pause
 * after it was lost. Commands are pipelined; several that are sent in one round of the loop leave in one write. One
 * thread: its loop's. */
#ifndef RAGIFY_REDIS_CONNECTION_H
#define RAGIFY_REDIS_CONNECTION_H

#include "redis-command.h"
#include "redis-transport.h"
#include "redis-url.h"

/* What the connections of a client have in common; it outlives them. */
typedef struct RagifyRedisSettings {
  const RagifyHost *host;
  RagifyContext *context;
  const RagifyLoopExtension *loop;
  RagifyTls *tls; /* NULL: in the clear */
  char *username; /* NULL: none */
  char *password; /* NULL: none */
  char *client_name;
  int database;
  bool want_master;            /* a replica is refused */
  uint64_t connect_timeout_us; /* from name to greeting */
  uint64_t reply_timeout_us;   /* a server that owes replies and says nothing for so long is given up */
  uint64_t reply_bytes_max;    /* of one reply */
  uint32_t in_flight_max;      /* commands */
  uint64_t in_flight_bytes_max;
} RagifyRedisSettings;

typedef struct RagifyRedisConnectionCounts {
  uint64_t connects; /* greeted */
  uint64_t losses;   /* of a greeted connection, and failed attempts */
  uint64_t late;     /* replies that nobody waited for any more */
  uint64_t bytes_sent;
  uint64_t bytes_received;
  uint64_t writes; /* system calls */
  uint64_t in_flight;
} RagifyRedisConnectionCounts;

/* Called on each change between greeted and not, with the fault that ended it or made an attempt fail. */
typedef void (*RagifyRedisStateChanged) (void *user, RagifyRedisConnection *connection, bool up,
                                         const RagifyFault *fault);

/* Asked before each attempt where there is no fixed endpoint; answers, now or later, with
 * ragify_redis_connection_located(). */
typedef void (*RagifyRedisLocate) (void *user, RagifyRedisConnection *connection);

typedef struct RagifyRedisWatcher {
  RagifyRedisStateChanged changed; /* NULL: nobody */
  RagifyRedisLocate locate;        /* NULL: the endpoint is the one given */
  void *user;
} RagifyRedisWatcher;

/* `endpoint` is copied; NULL where `watcher` locates. */
RagifyRedisConnection *ragify_redis_connection_new (const RagifyRedisSettings *settings,
                                                    const RagifyRedisEndpoint *endpoint, RagifyRedisWatcher watcher);

/* Begins to connect; ends everything that is under way, and fails what is queued. After the latter nothing happens any
 * more. */
void ragify_redis_connection_start (RagifyRedisConnection *connection);
void ragify_redis_connection_stop (RagifyRedisConnection *connection);
/* A stopped one, or one that was never started. [control] as well */
void ragify_redis_connection_free (RagifyRedisConnection *connection);

/* The answer to `locate`: where the server is, or why that is not known. */
void ragify_redis_connection_located (RagifyRedisConnection *connection, const RagifyRedisEndpoint *endpoint,
                                      const RagifyFault *fault);

/* Queues a command whose `replied` is set. False with a fault, and the command stays the caller's: the connection is
 * down, or too much is in flight. It is not called back before this returns. */
bool ragify_redis_connection_send (RagifyRedisConnection *connection, RagifyRedisCommand *command, RagifyFault *fault);

/* Nobody waits for it any more; it is freed when that is safe. */
void ragify_redis_connection_abandon (RagifyRedisCommand *command);

/* The server is not what it should be: gives the connection up and makes another. */
void ragify_redis_connection_reset (RagifyRedisConnection *connection, const RagifyFault *fault);

bool ragify_redis_connection_is_up (const RagifyRedisConnection *connection);
/* HOST:PORT, for people. */
const char *ragify_redis_connection_server (const RagifyRedisConnection *connection);
/* Whether it is at that address. */
bool ragify_redis_connection_is_at (const RagifyRedisConnection *connection, const char *host, uint16_t port);
/* Its endpoint's host; NULL before it is known. */
const char *ragify_redis_connection_host (const RagifyRedisConnection *connection);
void ragify_redis_connection_count (const RagifyRedisConnection *connection, RagifyRedisConnectionCounts *counts);

#endif
