/* What people are told about the level: probe and statistics. */
#include "cache.h"

#include <string.h>

typedef struct Probe {
  RedisCache *cache;
  RagifyCall *call;
} Probe;

/* The value of NAME:value in what INFO says; empty where it is not there. */
static RagifyStr
find_info (const redisReply *reply, const char *name)
{
  const char *at = strstr (reply->str, name);
  if (at == NULL)
    return ragify_str (NULL, 0);
  at += strlen (name);
  return ragify_str (at, strcspn (at, "\r\n"));
}

static void
probed (void *user, redisReply *reply, const RagifyFault *fault)
{
  const Probe *probe = user;
  RedisCache *cache = probe->cache;
  char *detail = NULL;
  /* It answers, it just does not let this user know what it is. */
  const bool secret =
      fault != NULL && fault->code == RAGIFY_E_UNAUTHORIZED && strstr (fault->message, "NOPERM") != NULL;
  if (fault != NULL && !secret) {
    redis_cache_fail (cache, probe->call, fault);
    return;
  }
  const RagifyRedisCounts counts = ragify_redis_count (cache->redis);
  const RagifyStr version =
      reply != NULL && reply->type == REDIS_REPLY_STRING ? find_info (reply, "redis_version:") : ragify_str (NULL, 0);
  g_autofree char *text = g_strdup_printf ("Redis %.*s, %u of %u connections", (int)version.size,
                                           version.size > 0 ? version.data : "", counts.up, counts.all);
  const size_t size = strlen (text);
  if (reply != NULL)
    freeReplyObject (reply);
  detail = cache->host->call_alloc (probe->call, size + 1);
  if (detail != NULL)
    memcpy (detail, text, size);
  const RagifyProbeResult result = { .struct_size = sizeof result,
                                     .detail = ragify_str (detail, detail != NULL ? size : 0) };
  cache->host->call_done (probe->call, &result);
}

void
redis_cache_probe (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  RedisCache *cache = instance;
  RagifyFault fault = { 0 };
  const RagifyStr words[] = { ragify_str_from ("INFO"), ragify_str_from ("server") };
  const RagifyRedisRequest request = { .words = words,
                                       .count = 2,
                                       .deadline_us = cache->host->call_deadline_us (call) };
  Probe *probe = cache->host->call_alloc (call, sizeof *probe);
  if (probe == NULL)
    ragify_fault_memory (&fault);
  else {
    *probe = (Probe){ cache, call };
    if (ragify_redis_send (cache->redis, &request, probed, probe, &fault) != NULL)
      return;
  }
  redis_cache_fail (cache, call, &fault);
}

static RagifyPair
make_pair (const char *name, uint64_t number)
{
  return (RagifyPair){
    .name = ragify_str_from (name),
    .value = { .type = RAGIFY_VALUE_INT, .integer = (int64_t)number },
  };
}

void
redis_cache_stats (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  RedisCache *cache = instance;
  const RagifyRedisCounts counts = ragify_redis_count (cache->redis);
  const RagifyPair values[] = {
    make_pair ("hits", cache->hits),
    make_pair ("misses", cache->misses),
    make_pair ("sets", cache->sets),
    make_pair ("removed", cache->removed),
    make_pair ("errors", cache->errors),
    make_pair ("foreign", cache->foreign),
    make_pair ("damaged", cache->damaged),
    make_pair ("packed", cache->packed),
    make_pair ("saved_bytes", cache->saved_bytes),
    make_pair ("connections", counts.all),
    make_pair ("connections_up", counts.up),
    make_pair ("connects", counts.connections.connects),
    make_pair ("losses", counts.connections.losses),
    make_pair ("in_flight", counts.connections.in_flight),
    make_pair ("commands", counts.commands),
    make_pair ("timeouts", counts.timeouts),
    make_pair ("redirects", counts.redirects),
    make_pair ("late_replies", counts.connections.late),
    make_pair ("bytes_sent", counts.connections.bytes_sent),
    make_pair ("bytes_received", counts.connections.bytes_received),
    make_pair ("writes", counts.connections.writes),
  };
  RagifyPair *copy = cache->host->call_alloc (call, sizeof values);
  if (copy == NULL) {
    cache->host->call_fail (call, RAGIFY_E_EXHAUSTED, ragify_str_from ("not enough memory for the statistics"), 0);
    return;
  }
  memcpy (copy, values, sizeof values);
  const RagifyStatsResult result = {
    .struct_size = sizeof result,
    .values = { .items = copy, .count = sizeof values / sizeof values[0] },
  };
  cache->host->call_done (call, &result);
}
