/* Clearing: SCAN finds the keys with the prefix on every node, a page at a time, and each is UNLINKed. Nobody else's
 * keys are touched, and the server is never held up for long. */
#include "cache.h"

#include <string.h>

typedef struct Clearing {
  RedisCache *cache;
  RagifyCall *call;
  uint64_t deadline_us;
  uint32_t node;     /* that is being scanned */
  char cursor[32];   /* where; "0" at its end */
  uint32_t removals; /* under way */
  uint64_t count;    /* keys that went */
  RagifyFault fault; /* the first one */
} Clearing;

static void scan (Clearing *clearing);

/* The prefix as a pattern: what is special there stands for itself. */
static char *
make_pattern (const RedisCache *cache)
{
  GString *pattern = g_string_new (NULL);
  for (size_t i = 0; i < cache->prefix_size; i++) {
    if (strchr ("*?[]\\^-", cache->prefix[i]) != NULL)
      g_string_append_c (pattern, '\\');
    g_string_append_c (pattern, cache->prefix[i]);
  }
  g_string_append_c (pattern, '*');
  return g_string_free (pattern, FALSE);
}

static void
finish (Clearing *clearing)
{
  RedisCache *cache = clearing->cache;
  cache->removed += clearing->count;
  if (clearing->fault.code != RAGIFY_OK) {
    RagifyFault told;
    ragify_fault_set (&told, clearing->fault.code, "%.400s; %" G_GUINT64_FORMAT " entries were removed before that",
                      clearing->fault.message, clearing->count);
    cache->errors++;
    redis_cache_fail (cache, clearing->call, &told);
    return;
  }
  const RagifyCacheCount result = { .struct_size = sizeof result, .count = clearing->count };
  cache->host->call_done (clearing->call, &result);
}

static void
go_on (Clearing *clearing)
{
  if (clearing->removals > 0)
    return;
  if (clearing->fault.code == RAGIFY_OK && clearing->cache->host->call_cancelled (clearing->call))
    ragify_fault_set (&clearing->fault, RAGIFY_E_CANCELLED, "cancelled");
  if (strcmp (clearing->cursor, "0") == 0)
    clearing->node++;
  if (clearing->fault.code != RAGIFY_OK || ragify_redis_holder (clearing->cache->redis, clearing->node) == NULL)
    finish (clearing);
  else
    scan (clearing);
}

static void
note_fault (Clearing *clearing, const RagifyFault *fault)
{
  if (clearing->fault.code == RAGIFY_OK)
    clearing->fault = *fault;
}

static void
removed (void *user, redisReply *reply, const RagifyFault *fault)
{
  Clearing *clearing = user;
  clearing->removals--;
  if (fault != NULL)
    note_fault (clearing, fault);
  else {
    clearing->count += reply->type == REDIS_REPLY_INTEGER ? (uint64_t)reply->integer : 0;
    freeReplyObject (reply);
  }
  go_on (clearing);
}

/* One command for each key: keys of several slots cannot share one in a cluster. They leave together all the same. */
static void
remove_keys (Clearing *clearing, const redisReply *keys)
{
  RagifyFault fault = { 0 };
  for (size_t i = 0; i < keys->elements && clearing->fault.code == RAGIFY_OK; i++) {
    const redisReply *key = keys->element[i];
    if (key->type != REDIS_REPLY_STRING)
      continue;
    const RagifyStr words[] = { ragify_str_from ("UNLINK"), ragify_str (key->str, key->len) };
    const RagifyRedisRequest request = { .words = words, .count = 2, .key = 1, .deadline_us = clearing->deadline_us };
    if (ragify_redis_send (clearing->cache->redis, &request, removed, clearing, &fault) != NULL)
      clearing->removals++;
    else
      note_fault (clearing, &fault);
  }
}

static void
scanned (void *user, redisReply *reply, const RagifyFault *fault)
{
  Clearing *clearing = user;
  if (fault != NULL)
    note_fault (clearing, fault);
  else if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || reply->element[0]->type != REDIS_REPLY_STRING ||
           reply->element[0]->len >= sizeof clearing->cursor || reply->element[1]->type != REDIS_REPLY_ARRAY)
    ragify_fault_set (&clearing->fault, RAGIFY_E_UNAVAILABLE, "SCAN was answered with something else than a page");
  else {
    memcpy (clearing->cursor, reply->element[0]->str, reply->element[0]->len + 1);
    remove_keys (clearing, reply->element[1]);
  }
  if (reply != NULL)
    freeReplyObject (reply);
  go_on (clearing);
}

static void
scan (Clearing *clearing)
{
  RagifyFault fault = { 0 };
  g_autofree char *pattern = make_pattern (clearing->cache);
  const RagifyStr words[] = { ragify_str_from ("SCAN"),  ragify_str_from (clearing->cursor), ragify_str_from ("MATCH"),
                              ragify_str_from (pattern), ragify_str_from ("COUNT"),          ragify_str_from ("500") };
  const RagifyRedisRequest request = { .words = words,
                                       .count = 6,
                                       .node = ragify_redis_holder (clearing->cache->redis, clearing->node),
                                       .deadline_us = clearing->deadline_us };
  if (ragify_redis_send (clearing->cache->redis, &request, scanned, clearing, &fault) != NULL)
    return;
  note_fault (clearing, &fault);
  finish (clearing);
}

void
redis_cache_clear (void *instance, RagifyCall *call, const RagifyCacheClear *args)
{
  RedisCache *cache = instance;
  const RagifyCacheCount nothing = { .struct_size = sizeof nothing };
  if (args->scope > RAGIFY_CACHE_CLEAR_SHRINK) {
    cache->host->call_fail (call, RAGIFY_E_INVALID,
                            ragify_str_from ("scope: expected RAGIFY_CACHE_CLEAR_ALL, _EXPIRED or _SHRINK"), 0);
    return;
  }
  /* Redis drops what has expired, and bounds its memory, by itself. */
  if (args->scope != RAGIFY_CACHE_CLEAR_ALL) {
    cache->host->call_done (call, &nothing);
    return;
  }
  Clearing *clearing = cache->host->call_alloc (call, sizeof *clearing);
  if (clearing == NULL) {
    cache->host->call_fail (call, RAGIFY_E_EXHAUSTED, ragify_str_from ("not enough memory for the call"), 0);
    return;
  }
  clearing->cache = cache;
  clearing->call = call;
  clearing->deadline_us = cache->host->call_deadline_us (call);
  memcpy (clearing->cursor, "0", 2);
  scan (clearing);
}
