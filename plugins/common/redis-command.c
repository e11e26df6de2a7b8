#include "redis-command.h"

#include <stdlib.h>
#include <string.h>

#define WORDS_INLINE 16

RagifyRedisCommand *
ragify_redis_command_new (char *bytes, size_t size)
{
  RagifyRedisCommand *command = g_new0 (RagifyRedisCommand, 1);
  command->bytes = bytes;
  command->size = size;
  command->slot = -1;
  return command;
}

void
ragify_redis_command_free (RagifyRedisCommand *command)
{
  if (command == NULL)
    return;
  free (command->bytes);
  g_free (command);
}

char *
ragify_redis_format (int count, const RagifyStr *words, size_t *size)
{
  const char *inline_data[WORDS_INLINE] = { NULL };
  size_t inline_sizes[WORDS_INLINE] = { 0 };
  const char **data = count > WORDS_INLINE ? g_new (const char *, count) : inline_data;
  size_t *sizes = count > WORDS_INLINE ? g_new (size_t, count) : inline_sizes;
  char *bytes = NULL;
  for (int i = 0; i < count; i++) {
    data[i] = words[i].size > 0 ? words[i].data : "";
    sizes[i] = words[i].size;
  }
  const int length = redisFormatCommandArgv (&bytes, count, data, sizes);
  if (count > WORDS_INLINE) {
    g_free (data);
    g_free (sizes);
  }
  if (length < 0)
    return NULL;
  *size = (size_t)length;
  return bytes;
}

typedef struct {
  const char *prefix;
  int32_t code;
  const char *meaning;
} Meaning;

static const Meaning meanings[] = {
  { "OOM ", RAGIFY_E_EXHAUSTED, "is out of memory" },
  { "READONLY ", RAGIFY_E_UNAVAILABLE, "is a read-only replica" },
  { "LOADING ", RAGIFY_E_UNAVAILABLE, "is still loading its data" },
  { "MASTERDOWN ", RAGIFY_E_UNAVAILABLE, "is a replica that has lost its master" },
  { "CLUSTERDOWN ", RAGIFY_E_UNAVAILABLE, "belongs to a cluster that is down" },
  { "TRYAGAIN ", RAGIFY_E_UNAVAILABLE, "is moving the slot" },
  { "BUSY ", RAGIFY_E_UNAVAILABLE, "is busy with a script" },
  { "MISCONF ", RAGIFY_E_UNAVAILABLE, "cannot write to its disk and refuses writes" },
  { "NOREPLICAS ", RAGIFY_E_UNAVAILABLE, "has too few replicas and refuses writes" },
  { "NOAUTH ", RAGIFY_E_UNAUTHORIZED, "wants a password" },
  { "WRONGPASS ", RAGIFY_E_UNAUTHORIZED, "refused user or password" },
  { "NOPERM ", RAGIFY_E_UNAUTHORIZED, "does not let this user do that" },
  { "ERR invalid password", RAGIFY_E_UNAUTHORIZED, "refused the password" },
  { "ERR AUTH ", RAGIFY_E_UNAUTHORIZED, "refused user or password" },
  { "ERR Client sent AUTH", RAGIFY_E_UNAUTHORIZED, "has no password set" },
  { "ERR max number of clients", RAGIFY_E_EXHAUSTED, "takes no more clients" },
  { "WRONGTYPE ", RAGIFY_E_INVALID, "has something else under that key" },
  { "DENIED ", RAGIFY_E_UNAUTHORIZED, "is in protected mode" },
  { "-DENIED ", RAGIFY_E_UNAUTHORIZED, "is in protected mode" },
};

void
ragify_redis_error_to_fault (const char *server, const redisReply *reply, RagifyFault *fault)
{
  int32_t code = RAGIFY_E_INTERNAL;
  const char *meaning = "refused the command";
  for (size_t i = 0; i < G_N_ELEMENTS (meanings); i++) {
    if (g_str_has_prefix (reply->str, meanings[i].prefix)) {
      code = meanings[i].code;
      meaning = meanings[i].meaning;
      break;
    }
  }
  g_autofree char *said = g_utf8_make_valid (reply->str, (gssize)MIN (reply->len, 300));
  ragify_fault_set (fault, code, "%s %s (%s)", server, meaning, said);
}
