/* An asynchronous Redis client on an instance's loop: one server, a master that Sentinel names, or a cluster; over TCP,
 * TLS or a Unix socket. It pipelines, reconnects by itself, follows MOVED and ASK, and never blocks the loop: names are
 * looked up on the worker pool, whose time-outs are the client's own.
 *
 * A command is called back exactly once, unless it was cancelled. While no server can be reached a command fails at
 * once, with the reason; only the very first connection is waited for. A command that failed after it was sent may
 * have been carried out all the same. */
#ifndef RAGIFY_REDIS_CLIENT_H
#define RAGIFY_REDIS_CLIENT_H

#include "redis-command.h"
#include "redis-nodes.h"

typedef struct RagifyRedis RagifyRedis;

/* Called on the loop when a connection is up, or down with the reason: once for each change. */
typedef void (*RagifyRedisChanged) (void *user, const char *server, bool up, const RagifyFault *fault);

typedef struct RagifyRedisOptions {
  const RagifyHost *host;
  RagifyContext *context;
  RagifyStr url;               /* see redis-url.h */
  RagifyStr username;          /* instead of the URL's; empty: that one */
  RagifyStr password;          /* likewise */
  RagifyStr sentinel_username; /* empty: none */
  RagifyStr sentinel_password;
  RagifyStr tls_ca_file; /* PEM; empty: the system's authorities */
  RagifyStr tls_certificate_file;
  RagifyStr tls_key_file;
  bool tls_no_verify;
  const char *client_name;      /* what CLIENT LIST shows; NULL: nothing */
  uint64_t connect_timeout_us;  /* 0: 1 s */
  uint64_t reply_timeout_us;    /* of a silent server; 0: 2 s */
  uint64_t reply_bytes_max;     /* 0: 128 MiB */
  uint64_t in_flight_bytes_max; /* 0: 256 MiB */
  uint32_t in_flight_max;       /* commands; 0: 4096 */
  RagifyRedisChanged changed;   /* NULL: nobody */
  void *user;
} RagifyRedisOptions;

/* Reads the options, and the files that they name. NULL with a fault. [control] */
RagifyRedis *ragify_redis_new (const RagifyRedisOptions *options, RagifyFault *fault);
/* Begins to connect. [loop] */
void ragify_redis_start (RagifyRedis *redis);
/* Ends everything; commands under way fail with CANCELLED. [loop] */
void ragify_redis_stop (RagifyRedis *redis);
/* After stop, or where it was never started, and when everything given to the loop has returned. [control] */
void ragify_redis_free (RagifyRedis *redis);

typedef struct RagifyRedisRequest {
  const RagifyStr *words; /* the command and its arguments, any bytes */
  int count;
  int key;                     /* which word is a key, for a cluster; 0: none */
  RagifyRedisConnection *node; /* where to send it; NULL: by its key */
  uint64_t deadline_us;        /* monotonic; 0: none but the reply time-out */
  uint64_t blocks_us;          /* what BLOCK allows the server to take besides */
} RagifyRedisRequest;

/* Sends a command. NULL with a fault when it cannot be sent; otherwise `done` runs later, never inside this function.
 * [loop] */
RagifyRedisCommand *ragify_redis_send (RagifyRedis *redis, const RagifyRedisRequest *request, RagifyRedisDone done,
                                       void *user, RagifyFault *fault);
/* The same for one that is formatted already, which is taken over in any case: free() releases it. `request` without
 * words; `slot`: -1 for any. */
RagifyRedisCommand *
ragify_redis_send_bytes (RagifyRedis *redis, char *bytes, size_t size, int slot, const RagifyRedisRequest *request,
                         RagifyRedisDone done, void *user, RagifyFault *fault);
/* The slot to give for a command about a key; -1 where keys have none. [loop] */
int ragify_redis_slot_of (const RagifyRedis *redis, RagifyStr key);

/* Before its `done` ran: it will not; a late reply is dropped. The fault says whether it was cancelled, or, and then it
 * returns true, whether its deadline has passed. [loop] */
bool ragify_redis_cancel (RagifyRedis *redis, RagifyRedisCommand *command, RagifyFault *fault);

/* The n-th node that holds keys, for commands such as SCAN that every one must be sent; NULL past the last. Not to be
 * kept for long: the next round of the loop may know others. [loop] */
RagifyRedisConnection *ragify_redis_holder (RagifyRedis *redis, uint32_t index);

typedef struct RagifyRedisCounts {
  RagifyRedisConnectionCounts connections; /* all of them together */
  uint32_t up;                             /* connections that are */
  uint32_t all;
  uint64_t commands;
  uint64_t timeouts;  /* commands that ended at their deadline */
  uint64_t redirects; /* MOVED and ASK that were followed */
} RagifyRedisCounts;
RagifyRedisCounts ragify_redis_count (const RagifyRedis *redis); /* [loop] */

/* Whether a server can be asked now. [loop] */
bool ragify_redis_is_up (const RagifyRedis *redis);

#endif
