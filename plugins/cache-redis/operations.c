#include "cache.h"
#include "value.h"

#include <stdlib.h>
#include <string.h>

#define KEY_MAX 1024u
/* Larger values are checked, packed and unpacked on a worker: at 100 µs and more the loop has better to do. */
#define LOOP_BYTES 131072u

typedef struct Operation {
  RedisCache *cache;
  RagifyCall *call;
  RagifyRedisCommand *command; /* under way */
  RagifyBytes key;
  RagifyBuffer *value; /* to be set */
  uint64_t ttl_us;
  redisReply *reply; /* a value that came */
  char *bytes;       /* a command that a worker has formatted */
  size_t size;
  RagifyFault fault;
  ValueState state;
  RagifyCacheGetResult result;
} Operation;

void
redis_cache_fail (RedisCache *cache, RagifyCall *call, const RagifyFault *fault)
{
  cache->host->call_fail (call, fault->code, ragify_str_from (fault->message), 0);
}

static Operation *
operation_new (RedisCache *cache, RagifyCall *call, RagifyBytes key)
{
  if (key.size < 1 || key.size > KEY_MAX || key.data == NULL) {
    cache->host->call_fail (call, RAGIFY_E_INVALID, ragify_str_from ("key: expected 1 to 1024 bytes"), 0);
    return NULL;
  }
  Operation *operation = cache->host->call_alloc (call, sizeof *operation);
  if (operation == NULL) {
    cache->host->call_fail (call, RAGIFY_E_EXHAUSTED, ragify_str_from ("not enough memory for the call"), 0);
    return NULL;
  }
  operation->cache = cache;
  operation->call = call;
  operation->key = key;
  operation->result.struct_size = sizeof operation->result;
  return operation;
}

static void
fail (Operation *operation, const RagifyFault *fault)
{
  operation->cache->errors++;
  redis_cache_fail (operation->cache, operation->call, fault);
}

static void
cancelled (RagifyCall *call, void *user)
{
  Operation *operation = user;
  if (operation->command == NULL) /* a worker has it, and completes it */
    return;
  RedisCache *cache = operation->cache;
  /* The host cancels at the deadline too, and may be quicker than the client's timer. */
  if (ragify_redis_cancel (cache->redis, operation->command, &operation->fault))
    cache->errors++;
  operation->command = NULL;
  redis_cache_fail (cache, call, &operation->fault);
}

/* The key as Redis has it, in `room`, which holds prefix and key. */
static RagifyStr
full_key (const RedisCache *cache, RagifyBytes key, char *room)
{
  memcpy (room, cache->prefix, cache->prefix_size);
  memcpy (room + cache->prefix_size, key.data, key.size);
  return ragify_str (room, cache->prefix_size + key.size);
}

/* Sends a command about the operation's key; `words[1]` is set to it. */
static void
send_words (Operation *operation, RagifyStr *words, int count, RagifyRedisDone done)
{
  RedisCache *cache = operation->cache;
  g_autofree char *room = g_malloc (cache->prefix_size + operation->key.size);
  words[1] = full_key (cache, operation->key, room);
  const RagifyRedisRequest request = {
    .words = words, .count = count, .key = 1, .deadline_us = cache->host->call_deadline_us (operation->call)
  };
  operation->command = ragify_redis_send (cache->redis, &request, done, operation, &operation->fault);
  if (operation->command == NULL)
    fail (operation, &operation->fault);
  else
    cache->host->call_on_cancel (operation->call, cancelled, operation);
}

/* ---- get ---- */

static void
release_reply (void *user)
{
  freeReplyObject (user);
}

/* Makes the result out of the reply. False: no memory. [any], with the thread's own packer. */
static bool
decode (Operation *operation, Packer *packer)
{
  const RagifyHost *host = operation->cache->host;
  const RagifyBytes frame = { (const uint8_t *)operation->reply->str, operation->reply->len };
  redisReply *reply = operation->reply;
  uint64_t size = 0;
  operation->reply = NULL;
  operation->state = value_check (operation->key, frame, &size);
  if (operation->state == VALUE_PLAIN) {
    operation->result.value = host->buffer_wrap (frame.data + VALUE_HEADER_SIZE, size, release_reply, reply);
    if (operation->result.value != NULL)
      return true;
    freeReplyObject (reply);
    return false;
  }
  bool memory = true;
  if (operation->state == VALUE_PACKED) {
    uint8_t *data = NULL;
    RagifyBuffer *value = host->buffer_new (size, &data);
    memory = value != NULL;
    if (memory && !value_unpack (packer, frame, data, size)) {
      value->unref (value);
      value = NULL;
      operation->state = VALUE_DAMAGED;
    }
    operation->result.value = value;
  }
  freeReplyObject (reply);
  return memory;
}

static void
finish_get (Operation *operation, bool memory)
{
  RedisCache *cache = operation->cache;
  const RagifyCacheGetResult result = operation->result;
  if (!memory) {
    ragify_fault_memory (&operation->fault);
    fail (operation, &operation->fault);
    return;
  }
  if (operation->state == VALUE_FOREIGN)
    cache->foreign++;
  else if (operation->state == VALUE_DAMAGED)
    cache->damaged++;
  if (result.value != NULL)
    cache->hits++;
  else
    cache->misses++;
  cache->host->call_done (operation->call, &result);
}

static void
decoded (void *user)
{
  Operation *operation = user;
  finish_get (operation, operation->fault.code == RAGIFY_OK);
}

static void
decode_on_worker (void *user)
{
  Operation *operation = user;
  const RedisCache *cache = operation->cache;
  const RagifyLoopExtension *loop = cache->host->get_extension (cache->context, RAGIFY_EXT_LOOP);
  if (!decode (operation, NULL))
    ragify_fault_memory (&operation->fault);
  loop->invoke (cache->context, decoded, operation);
}

static void
got (void *user, redisReply *reply, const RagifyFault *fault)
{
  Operation *operation = user;
  RedisCache *cache = operation->cache;
  operation->command = NULL;
  if (fault != NULL) {
    fail (operation, fault);
    return;
  }
  if (reply->type == REDIS_REPLY_NIL) {
    freeReplyObject (reply);
    cache->misses++;
    cache->host->call_done (operation->call, &operation->result);
    return;
  }
  if (reply->type != REDIS_REPLY_STRING) {
    freeReplyObject (reply);
    ragify_fault_set (&operation->fault, RAGIFY_E_UNAVAILABLE, "GET was answered with something else than a value");
    fail (operation, &operation->fault);
    return;
  }
  operation->reply = reply;
  if (reply->len <= LOOP_BYTES || cache->host->submit (cache->context, decode_on_worker, operation) != RAGIFY_OK)
    finish_get (operation, decode (operation, cache->packer));
}

void
redis_cache_get (void *instance, RagifyCall *call, const RagifyCacheGet *args)
{
  RedisCache *cache = instance;
  Operation *operation = operation_new (cache, call, args->key);
  if (operation == NULL)
    return;
  RagifyStr words[2] = { ragify_str_from ("GET") };
  send_words (operation, words, 2, got);
}

/* ---- set ---- */

static void
was_set (void *user, redisReply *reply, const RagifyFault *fault)
{
  Operation *operation = user;
  operation->command = NULL;
  if (fault != NULL) {
    fail (operation, fault);
    return;
  }
  const bool well = reply->type == REDIS_REPLY_STATUS;
  freeReplyObject (reply);
  if (!well) {
    ragify_fault_set (&operation->fault, RAGIFY_E_UNAVAILABLE, "SET was answered with something else than OK");
    fail (operation, &operation->fault);
    return;
  }
  operation->cache->sets++;
  operation->cache->host->call_done (operation->call, NULL);
}

/* Frames the value and formats the command. False with a fault. [any], with the thread's own packer. */
static bool
encode (Operation *operation, Packer *packer)
{
  RedisCache *cache = operation->cache;
  size_t size = 0;
  char *frame = value_frame (packer, operation->key, operation->value, cache->pack_above, &size);
  if (frame == NULL)
    return ragify_fault_memory (&operation->fault);
  if (size < operation->value->size) {
    cache->packed++;
    cache->saved_bytes += operation->value->size + VALUE_HEADER_SIZE - size;
  }
  char room[32];
  g_autofree char *key = g_malloc (cache->prefix_size + operation->key.size);
  const uint64_t ttl_ms = operation->ttl_us / 1000 + (operation->ttl_us % 1000 != 0);
  (void)g_snprintf (room, sizeof room, "%" G_GUINT64_FORMAT, ttl_ms);
  const RagifyStr words[] = { ragify_str_from ("SET"), full_key (cache, operation->key, key), ragify_str (frame, size),
                              ragify_str_from ("PX"), ragify_str_from (room) };
  operation->bytes = ragify_redis_format (ttl_ms != 0 ? 5 : 3, words, &operation->size);
  free (frame);
  return operation->bytes != NULL || ragify_fault_memory (&operation->fault);
}

static void
send_set (void *user)
{
  Operation *operation = user;
  RedisCache *cache = operation->cache;
  if (operation->bytes == NULL) {
    fail (operation, &operation->fault);
    return;
  }
  g_autofree char *room = g_malloc (cache->prefix_size + operation->key.size);
  const int slot = ragify_redis_slot_of (cache->redis, full_key (cache, operation->key, room));
  const RagifyRedisRequest request = { .deadline_us = cache->host->call_deadline_us (operation->call) };
  operation->command = ragify_redis_send_bytes (cache->redis, g_steal_pointer (&operation->bytes), operation->size,
                                                slot, &request, was_set, operation, &operation->fault);
  if (operation->command == NULL)
    fail (operation, &operation->fault);
  else
    cache->host->call_on_cancel (operation->call, cancelled, operation);
}

static void
encode_on_worker (void *user)
{
  Operation *operation = user;
  const RedisCache *cache = operation->cache;
  const RagifyLoopExtension *loop = cache->host->get_extension (cache->context, RAGIFY_EXT_LOOP);
  (void)encode (operation, NULL);
  loop->invoke (cache->context, send_set, operation);
}

/* The shorter of the value's own time and the level's. */
static uint64_t
choose_ttl (const RedisCache *cache, uint64_t ttl_us)
{
  const uint64_t own_us = cache->ttl_us;
  return ttl_us == 0 || (own_us != 0 && own_us < ttl_us) ? own_us : ttl_us;
}

void
redis_cache_set (void *instance, RagifyCall *call, const RagifyCacheSet *args)
{
  RedisCache *cache = instance;
  if (args->value == NULL || args->value->size > VALUE_SIZE_MAX) {
    cache->host->call_fail (call, RAGIFY_E_INVALID, ragify_str_from ("value: expected 0 bytes to 64 MiB"), 0);
    return;
  }
  Operation *operation = operation_new (cache, call, args->key);
  if (operation == NULL)
    return;
  operation->value = args->value;
  operation->ttl_us = choose_ttl (cache, args->ttl_us);
  if (args->value->size > LOOP_BYTES && cache->host->submit (cache->context, encode_on_worker, operation) == RAGIFY_OK)
    return;
  (void)encode (operation, cache->packer);
  send_set (operation);
}

/* ---- remove ---- */

static void
was_removed (void *user, redisReply *reply, const RagifyFault *fault)
{
  Operation *operation = user;
  operation->command = NULL;
  if (fault != NULL) {
    fail (operation, fault);
    return;
  }
  const RagifyCacheCount count = { .struct_size = sizeof count,
                                   .count = reply->type == REDIS_REPLY_INTEGER ? (uint64_t)reply->integer : 0 };
  freeReplyObject (reply);
  operation->cache->removed += count.count;
  operation->cache->host->call_done (operation->call, &count);
}

void
redis_cache_remove (void *instance, RagifyCall *call, const RagifyCacheRemove *args)
{
  Operation *operation = operation_new (instance, call, args->key);
  if (operation == NULL)
    return;
  RagifyStr words[2] = { ragify_str_from ("UNLINK") };
  send_words (operation, words, 2, was_removed);
}
