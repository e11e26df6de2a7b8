/* Commands on a transport that is established: written in order, replies matched in order. It owns neither the
 * transport nor what it calls back. One thread: its loop's. */
#ifndef RAGIFY_REDIS_PIPELINE_H
#define RAGIFY_REDIS_PIPELINE_H

#include "redis-command.h"
#include "redis-transport.h"

typedef struct RagifyRedisPipeline RagifyRedisPipeline;

typedef struct RagifyRedisPipelineCounts {
  uint64_t sent;     /* bytes */
  uint64_t received; /* bytes */
  uint64_t writes;   /* system calls */
  uint64_t late;     /* replies to abandoned commands */
} RagifyRedisPipelineCounts;

/* `reply_bytes_max` bounds one reply; `counts` outlives it. */
RagifyRedisPipeline *
ragify_redis_pipeline_new (RagifyTransport *transport, uint64_t reply_bytes_max, RagifyRedisPipelineCounts *counts);
/* It must be empty. */
void ragify_redis_pipeline_free (RagifyRedisPipeline *pipeline);

void ragify_redis_pipeline_push (RagifyRedisPipeline *pipeline, RagifyRedisCommand *command);
/* Takes an abandoned command out, where none of it was written yet, and frees it; or only frees what it does not need
 * any more. */
void ragify_redis_pipeline_abandon (RagifyRedisPipeline *pipeline, RagifyRedisCommand *command);
/* The next one that no reply came for, taken out; NULL: empty. */
RagifyRedisCommand *ragify_redis_pipeline_pop (RagifyRedisPipeline *pipeline);

/* Writes what the socket takes; reads what is there and calls back. False with a fault: the connection is over. */
bool ragify_redis_pipeline_write (RagifyRedisPipeline *pipeline, RagifyFault *fault);
bool ragify_redis_pipeline_read (RagifyRedisPipeline *pipeline, RagifyFault *fault);

bool ragify_redis_pipeline_wants_write (const RagifyRedisPipeline *pipeline);
uint32_t ragify_redis_pipeline_length (const RagifyRedisPipeline *pipeline);
uint64_t ragify_redis_pipeline_bytes (const RagifyRedisPipeline *pipeline); /* of the commands that it holds */

/* The oldest command that waits for its reply; NULL: none. */
const RagifyRedisCommand *ragify_redis_pipeline_oldest (const RagifyRedisPipeline *pipeline);

#endif
