#include "redis-pipeline.h"

#include <stdlib.h>

#define PIECES 64
#define READ_SIZE 65536
#define READS_AT_ONCE 16 /* then other work of the loop has its turn */
#define ELEMENTS_MAX 1048576
#define DEPTH_MAX 8

#if HIREDIS_MAJOR >= 1
typedef size_t ElementCount;
#else
typedef int ElementCount;
#endif

struct RagifyRedisPipeline {
  RagifyTransport *transport;
  redisReader *reader;
  redisReplyObjectFunctions functions;
  GQueue queue;
  GList *unwritten; /* the first command with bytes left */
  uint64_t bytes;
  uint64_t reply_bytes; /* of the reply that is being read */
  uint64_t reply_bytes_max;
  RagifyRedisPipelineCounts *counts;
};

/* Neither a length nor a depth that a broken server announces must become memory, or stack when it is freed. */
static void *
create_array (const redisReadTask *task, ElementCount elements)
{
  static redisReplyObjectFunctions *original; /* hiredis' own, the same for all */
  int depth = 0;
  for (const redisReadTask *at = task->parent; at != NULL; at = at->parent)
    depth++;
  if (elements > ELEMENTS_MAX || depth > DEPTH_MAX)
    return NULL;
  if (original == NULL) {
    redisReader *reader = redisReaderCreate ();
    original = reader->fn;
    redisReaderFree (reader);
  }
  return original->createArray (task, elements);
}

RagifyRedisPipeline *
ragify_redis_pipeline_new (RagifyTransport *transport, uint64_t reply_bytes_max, RagifyRedisPipelineCounts *counts)
{
  RagifyRedisPipeline *pipeline = g_new0 (RagifyRedisPipeline, 1);
  pipeline->transport = transport;
  pipeline->reply_bytes_max = reply_bytes_max;
  pipeline->counts = counts;
  g_queue_init (&pipeline->queue);
  pipeline->reader = redisReaderCreate ();
  if (pipeline->reader == NULL)
    g_error ("out of memory");
  pipeline->functions = *pipeline->reader->fn;
  pipeline->functions.createArray = create_array;
  pipeline->reader->fn = &pipeline->functions;
  return pipeline;
}

void
ragify_redis_pipeline_free (RagifyRedisPipeline *pipeline)
{
  if (pipeline == NULL)
    return;
  g_assert (pipeline->queue.length == 0);
  redisReaderFree (pipeline->reader);
  g_free (pipeline);
}

void
ragify_redis_pipeline_push (RagifyRedisPipeline *pipeline, RagifyRedisCommand *command)
{
  command->place.data = command;
  command->written = 0;
  g_queue_push_tail_link (&pipeline->queue, &command->place);
  if (pipeline->unwritten == NULL)
    pipeline->unwritten = &command->place;
  pipeline->bytes += command->size;
}

static void
take_out (RagifyRedisPipeline *pipeline, RagifyRedisCommand *command)
{
  if (pipeline->unwritten == &command->place)
    pipeline->unwritten = command->place.next;
  g_queue_unlink (&pipeline->queue, &command->place);
  command->place.data = NULL;
  pipeline->bytes -= command->size;
}

void
ragify_redis_pipeline_abandon (RagifyRedisPipeline *pipeline, RagifyRedisCommand *command)
{
  if (command->written == command->size) {
    free (command->bytes);
    command->bytes = NULL;
    pipeline->bytes -= command->size;
    command->size = command->written = 0;
  } else if (command->written == 0) {
    take_out (pipeline, command);
    ragify_redis_command_free (command);
  }
}

RagifyRedisCommand *
ragify_redis_pipeline_pop (RagifyRedisPipeline *pipeline)
{
  if (pipeline->queue.length == 0)
    return NULL;
  RagifyRedisCommand *command = pipeline->queue.head->data;
  take_out (pipeline, command);
  return command;
}

static size_t
collect (const RagifyRedisPipeline *pipeline, struct iovec *pieces)
{
  size_t count = 0;
  for (GList *at = pipeline->unwritten; at != NULL && count < PIECES; at = at->next) {
    const RagifyRedisCommand *command = at->data;
    pieces[count++] = (struct iovec){ command->bytes + command->written, command->size - command->written };
  }
  return count;
}

static void
advance (RagifyRedisPipeline *pipeline, uint64_t written)
{
  while (written > 0) {
    RagifyRedisCommand *command = pipeline->unwritten->data;
    const size_t part = MIN (written, command->size - command->written);
    command->written += part;
    written -= part;
    if (command->written == command->size)
      pipeline->unwritten = pipeline->unwritten->next;
  }
}

bool
ragify_redis_pipeline_write (RagifyRedisPipeline *pipeline, RagifyFault *fault)
{
  while (pipeline->unwritten != NULL) {
    struct iovec pieces[PIECES];
    const size_t count = collect (pipeline, pieces);
    const int64_t written = ragify_transport_write (pipeline->transport, pieces, count, fault);
    if (written < 0)
      return false;
    pipeline->counts->writes++;
    if (written == 0)
      return true;
    pipeline->counts->sent += (uint64_t)written;
    advance (pipeline, (uint64_t)written);
  }
  return true;
}

static bool
fail_protocol (RagifyFault *fault, const char *what)
{
  return ragify_fault_set (fault, RAGIFY_E_UNAVAILABLE, "it does not answer as Redis does: %s", what);
}

/* Hands a reply to the command that it is for. */
static bool
deliver (RagifyRedisPipeline *pipeline, redisReply *reply, RagifyFault *fault)
{
  const RagifyRedisCommand *oldest = ragify_redis_pipeline_oldest (pipeline);
  if (oldest == NULL || oldest->written < oldest->size) {
    if (reply->type == REDIS_REPLY_ERROR)
      ragify_redis_error_to_fault ("the server", reply, fault);
    else
      fail_protocol (fault, "a reply that nobody asked for");
    freeReplyObject (reply);
    return false;
  }
  RagifyRedisCommand *command = ragify_redis_pipeline_pop (pipeline);
  if (command->replied != NULL) {
    command->replied (command, reply, NULL);
    return true;
  }
  pipeline->counts->late++;
  freeReplyObject (reply);
  ragify_redis_command_free (command);
  return true;
}

static bool
take_replies (RagifyRedisPipeline *pipeline, RagifyFault *fault)
{
  for (;;) {
    void *reply = NULL;
    if (redisReaderGetReply (pipeline->reader, &reply) != REDIS_OK)
      return fail_protocol (fault, pipeline->reader->errstr);
    if (reply == NULL)
      break;
    pipeline->reply_bytes = 0;
    if (!deliver (pipeline, reply, fault))
      return false;
  }
  if (pipeline->reply_bytes > pipeline->reply_bytes_max)
    return ragify_fault_set (fault, RAGIFY_E_UNAVAILABLE, "a reply is larger than %" G_GUINT64_FORMAT " bytes",
                             pipeline->reply_bytes_max);
  return true;
}

bool
ragify_redis_pipeline_read (RagifyRedisPipeline *pipeline, RagifyFault *fault)
{
  char buffer[READ_SIZE];
  for (int i = 0; i < READS_AT_ONCE || ragify_transport_has_more (pipeline->transport); i++) {
    const int64_t size = ragify_transport_read (pipeline->transport, buffer, sizeof buffer, fault);
    if (size < 0)
      return false;
    if (size == 0)
      return true;
    pipeline->counts->received += (uint64_t)size;
    pipeline->reply_bytes += (uint64_t)size;
    if (redisReaderFeed (pipeline->reader, buffer, (size_t)size) != REDIS_OK)
      return fail_protocol (fault, pipeline->reader->errstr);
    if (!take_replies (pipeline, fault))
      return false;
    if (size < READ_SIZE && !ragify_transport_has_more (pipeline->transport))
      return true;
  }
  return true;
}

bool
ragify_redis_pipeline_wants_write (const RagifyRedisPipeline *pipeline)
{
  return pipeline->unwritten != NULL;
}

uint32_t
ragify_redis_pipeline_length (const RagifyRedisPipeline *pipeline)
{
  return pipeline->queue.length;
}

uint64_t
ragify_redis_pipeline_bytes (const RagifyRedisPipeline *pipeline)
{
  return pipeline->bytes;
}

const RagifyRedisCommand *
ragify_redis_pipeline_oldest (const RagifyRedisPipeline *pipeline)
{
  return pipeline->queue.head != NULL ? pipeline->queue.head->data : NULL;
}
