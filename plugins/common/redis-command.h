/* A command on its way to a server and back. It is in up to two lists: the client's of those that somebody waits for,
 * and its connection's queue. Once nobody waits (it is abandoned) it only holds its place in the queue, so that a late
 * reply is not taken for another's. */
#ifndef RAGIFY_REDIS_COMMAND_H
#define RAGIFY_REDIS_COMMAND_H

#include "fault.h"

#include <glib.h>
#include <hiredis/hiredis.h>

/* A reply, which is the receiver's to free with freeReplyObject(), or the fault. An error reply comes as a fault. */
typedef void (*RagifyRedisDone) (void *user, redisReply *reply, const RagifyFault *fault);

typedef struct RagifyRedisCommand RagifyRedisCommand;
typedef struct RagifyRedisConnection RagifyRedisConnection;

/* Takes the reply of a command that is not abandoned. `user` is the one of the command's owner. */
typedef void (*RagifyRedisReplied) (RagifyRedisCommand *command, redisReply *reply, const RagifyFault *fault);

struct RagifyRedisCommand {
  GList live;  /* in the client's list; its data is the command while it is there */
  GList place; /* in the connection's queue; likewise */
  RagifyRedisConnection *connection;
  char *bytes; /* as the protocol has it */
  size_t size;
  size_t written;
  uint64_t sent_us;           /* when it was handed to the connection */
  uint64_t deadline_us;       /* 0: none */
  uint64_t blocks_us;         /* how long the server may hold the reply back, as BLOCK says */
  RagifyRedisReplied replied; /* NULL: abandoned */
  void *owner;                /* who set `replied` */
  RagifyRedisDone done;
  void *user;
  int slot; /* of a cluster; -1: any */
  int redirects;
};

/* A command that is nowhere yet. Takes `bytes`, which are free()d. */
RagifyRedisCommand *ragify_redis_command_new (char *bytes, size_t size);
void ragify_redis_command_free (RagifyRedisCommand *command);

/* Formats; NULL when memory is exhausted. Give the result to free(). */
char *ragify_redis_format (int count, const RagifyStr *words, size_t *size);

/* What an error reply means, with the server that said it. */
void ragify_redis_error_to_fault (const char *server, const redisReply *reply, RagifyFault *fault);

#endif
