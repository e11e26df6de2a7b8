/* RagifyHost: what every plugin is given.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "core/call/call-private.h"
#include "core/call/stream.h"
#include "core/call/text.h"
#include "core/module/context.h"

#define LONGEST_LINE 16384u

static void
host_log (RagifyContext *context, uint32_t level, RagifyStr message)
{
  static const GLogLevelFlags levels[] = { [RAGIFY_LOG_ERROR] = G_LOG_LEVEL_CRITICAL,
                                           [RAGIFY_LOG_WARNING] = G_LOG_LEVEL_WARNING,
                                           [RAGIFY_LOG_INFO] = G_LOG_LEVEL_MESSAGE,
                                           [RAGIFY_LOG_DEBUG] = G_LOG_LEVEL_DEBUG };
  const GLogLevelFlags flags =
      level >= RAGIFY_LOG_ERROR && level <= RAGIFY_LOG_DEBUG ? levels[level] : G_LOG_LEVEL_WARNING;
  g_autofree char *text = ragify_text_copy (message, LONGEST_LINE);
  const char *name = ragify_node_name (context->node);
  g_log_structured (G_LOG_DOMAIN, flags, "RAGIFY_NODE", name, "MESSAGE", "%s: %s", name, text);
}

static uint64_t
host_clock_us (void)
{
  return ragify_now ();
}

static int64_t
host_wall_us (void)
{
  return g_get_real_time ();
}

static int32_t
get_value (RagifyContext *context, const char *key, guint32 type, void *value)
{
  return ragify_node_get_value (context->node, key, type, value);
}

static int32_t
host_config_string (RagifyContext *context, const char *key, RagifyStr *value)
{
  return get_value (context, key, RAGIFY_KEY_STRING, value);
}

static int32_t
host_config_int (RagifyContext *context, const char *key, int64_t *value)
{
  return get_value (context, key, RAGIFY_KEY_INT, value);
}

static int32_t
host_config_double (RagifyContext *context, const char *key, double *value)
{
  return get_value (context, key, RAGIFY_KEY_DOUBLE, value);
}

static int32_t
host_config_bool (RagifyContext *context, const char *key, uint32_t *value)
{
  return get_value (context, key, RAGIFY_KEY_BOOL, value);
}

static int32_t
host_config_duration (RagifyContext *context, const char *key, uint64_t *value)
{
  return get_value (context, key, RAGIFY_KEY_DURATION, value);
}

static int32_t
host_config_size (RagifyContext *context, const char *key, uint64_t *value)
{
  return get_value (context, key, RAGIFY_KEY_SIZE, value);
}

static int32_t
host_config_list (RagifyContext *context, const char *key, RagifyStrList *value)
{
  return get_value (context, key, RAGIFY_KEY_LIST, value);
}

static void
host_set_error (RagifyContext *context, RagifyStr message)
{
  g_free (context->error);
  context->error = ragify_text_copy (message, LONGEST_LINE);
}

/* Work that a plugin has submitted keeps its node: it may use the instance. */
typedef struct Submitted {
  RagifyTask task;
  RagifyNode *node;
  void (*work) (void *user);
  void *user;
} Submitted;

static void
run_submitted (RagifyTask *task)
{
  Submitted *submitted = (Submitted *)task;
  RagifyNode *node = submitted->node;
  submitted->work (submitted->user);
  g_free (submitted);
  ragify_node_drop (node);
}

static int32_t
host_submit (RagifyContext *context, void (*work) (void *user), void *user)
{
  Submitted *submitted = g_new (Submitted, 1);
  *submitted = (Submitted){ .task = { .run = run_submitted }, .node = context->node, .work = work, .user = user };
  ragify_node_hold (context->node);
  if (ragify_workers_submit (context->runtime->workers, &submitted->task))
    return RAGIFY_OK;
  g_free (submitted);
  ragify_node_drop (context->node);
  return RAGIFY_E_EXHAUSTED;
}

static int64_t
host_stream_read (RagifyStream *stream, uint8_t *data, uint64_t capacity)
{
  return stream->read (stream, data, capacity);
}

const RagifyHost *
ragify_host (void)
{
  static RagifyHost host = {
    .struct_size = sizeof (RagifyHost),
    .abi_major = RAGIFY_ABI_MAJOR,
    .abi_minor = RAGIFY_ABI_MINOR,
    .log = host_log,
    .clock_us = host_clock_us,
    .wall_us = host_wall_us,
    .config_string = host_config_string,
    .config_int = host_config_int,
    .config_double = host_config_double,
    .config_bool = host_config_bool,
    .config_duration = host_config_duration,
    .config_size = host_config_size,
    .config_list = host_config_list,
    .set_error = host_set_error,
    .submit = host_submit,
    .stream_read = host_stream_read,
    .get_extension = ragify_extension_find,
  };
  static gsize filled;
  if (g_once_init_enter (&filled)) {
    ragify_call_fill_host (&host);
    g_once_init_leave (&filled, 1);
  }
  return &host;
}
