/* The inside of a connection, for the files that it is made of.
 *
 *   redis-connection.c  what is sent and received, what is lost, and what is asked from outside
 *   redis-connecting.c  from where the server is to its last greeting
 */
#ifndef RAGIFY_REDIS_CONNECTION_PRIVATE_H
#define RAGIFY_REDIS_CONNECTION_PRIVATE_H

#include "redis-connection.h"
#include "redis-pipeline.h"
#include "redis-resolver.h"

typedef enum {
  REDIS_IDLE, /* not started */
  REDIS_LOCATING,
  REDIS_RESOLVING,
  REDIS_CONNECTING,
  REDIS_GREETING,
  REDIS_UP,
  REDIS_PAUSING, /* until the next attempt */
  REDIS_STOPPED,
} RedisState;

struct RagifyRedisConnection {
  const RagifyRedisSettings *settings;
  RagifyRedisWatcher watcher;
  RagifyRedisEndpoint endpoint; /* host NULL: not located yet */
  char *server;
  RedisState state;
  uint32_t failures; /* since it was last up */
  RagifyFault fault; /* the last one */

  RagifyResolution *resolution;
  RagifyAddresses addresses;
  uint32_t address; /* which is being tried */
  uint64_t attempt_end_us;
  uint64_t pause_end_us;
  RagifyTransport *transport;
  RagifyWatch *watch;
  uint32_t events;
  RagifyRedisPipeline *pipeline;
  uint32_t greetings; /* replies to come */
  GQueue waiting;     /* commands, until it is up */
  uint64_t waiting_bytes;

  RagifyTimer *timer;
  bool guarding; /* the timer runs while it is up */
  uint64_t received_us;
  bool flushing; /* a flush is on its way */
  bool freed;    /* by the flush */
  bool inside;   /* replies are being handed out */
  bool doomed;   /* lost as soon as that is over */
  bool failing;  /* everyone is being told so */
  uint64_t connects, losses;
  RagifyRedisPipelineCounts counts;
};

/* ---- redis-connection.c ---- */

uint64_t ragify_redis_connection_now (const RagifyRedisConnection *connection);
/* Its only timer, from now on. */
void ragify_redis_connection_arm (RagifyRedisConnection *connection, uint64_t delay_us);
void ragify_redis_connection_close_transport (RagifyRedisConnection *connection);
/* It is down, or the attempt has failed: everyone is told, and another attempt is made after a pause. */
void ragify_redis_connection_lose (RagifyRedisConnection *connection, const RagifyFault *fault);
/* What it waits for of the transport. */
void ragify_redis_connection_want (RagifyRedisConnection *connection, uint32_t events);
void ragify_redis_connection_push (RagifyRedisConnection *connection, RagifyRedisCommand *command);
void ragify_redis_connection_write_out (RagifyRedisConnection *connection);
/* Greeted. */
void ragify_redis_connection_come_up (RagifyRedisConnection *connection);

/* ---- redis-connecting.c ---- */

void ragify_redis_connection_set_endpoint (RagifyRedisConnection *connection, const RagifyRedisEndpoint *endpoint);
/* Begins to connect. */
void ragify_redis_connection_attempt (RagifyRedisConnection *connection);
/* The transport has something to say on the way. */
void ragify_redis_connection_establish (RagifyRedisConnection *connection);
/* The next address's turn, or none is left. */
void ragify_redis_connection_address_failed (RagifyRedisConnection *connection, const RagifyFault *fault);

#endif
