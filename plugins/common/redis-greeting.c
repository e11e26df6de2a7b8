#include "redis-greeting.h"

void
ragify_redis_greeting_say (const RagifyRedisSettings *settings, RagifyRedisSay say, void *user)
{
  if (settings->password != NULL) {
    RagifyStr words[3] = { ragify_str_from ("AUTH") };
    int count = 1;
    if (settings->username != NULL)
      words[count++] = ragify_str_from (settings->username);
    words[count++] = ragify_str_from (settings->password);
    say (user, words, count, false);
  }
  if (settings->client_name != NULL) {
    const RagifyStr words[] = { ragify_str_from ("CLIENT"), ragify_str_from ("SETNAME"),
                                ragify_str_from (settings->client_name) };
    say (user, words, 3, true);
  }
  if (settings->database != 0) {
    g_autofree char *number = g_strdup_printf ("%d", settings->database);
    const RagifyStr words[] = { ragify_str_from ("SELECT"), ragify_str_from (number) };
    say (user, words, 2, false);
  }
  const RagifyStr last = ragify_str_from (settings->want_master ? "ROLE" : "PING");
  say (user, &last, 1, false);
}

static bool
is_master (const redisReply *role)
{
  return role->type == REDIS_REPLY_ARRAY && role->elements > 0 && role->element[0]->type == REDIS_REPLY_STRING &&
         g_str_equal (role->element[0]->str, "master");
}

bool
ragify_redis_greeting_judge (const RagifyRedisSettings *settings, const redisReply *reply, bool optional, bool last,
                             RagifyFault *fault)
{
  if (reply->type == REDIS_REPLY_ERROR) {
    ragify_redis_error_to_fault ("the server", reply, fault);
    /* Who may not PING may still be allowed what is asked later. */
    return optional || (last && g_str_has_prefix (reply->str, "NOPERM"));
  }
  if (last && settings->want_master && !is_master (reply))
    return ragify_fault_set (fault, RAGIFY_E_UNAVAILABLE, "it is not the master that Sentinel says it is");
  return true;
}
