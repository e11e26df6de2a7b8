/* What an isolated child tells its parent of itself: log lines and metrics.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/module/isolation-child.h"

/* Functions that a plugin calls are told a context and no more, and there is one node in this process. */
static RagifyIsolationChild *the_child;

void
ragify_child_say (RagifyIsolationChild *child, guint32 type, guint64 id, const void *data, gsize size, gboolean urgent)
{
  if (!ragify_channel_send (child->channel, type, id, NULL, data, size, urgent))
    _exit (EXIT_FAILURE); /* the parent does not read: it has other things to do than to live with us */
}

void
ragify_child_say_failure (RagifyIsolationChild *child, guint32 type, guint64 id, gint32 code, const char *message,
                          guint64 retry_after)
{
  const RagifyFrameFailure failure = { .code = code, .retry_after = retry_after };
  g_autoptr (GBytes) head = g_bytes_new (&failure, sizeof failure);
  ragify_channel_send (child->channel, type, id, head, message, strlen (message), TRUE);
}

/* ---- logs and metrics go to the parent ---- */

static GLogWriterOutput
write_log (GLogLevelFlags level, const GLogField *fields, gsize count, gpointer user)
{
  RagifyIsolationChild *child = user;
  const char *message = "";
  for (gsize i = 0; i < count; i++)
    if (g_str_equal (fields[i].key, "MESSAGE"))
      message = fields[i].value;
  /* The parent puts the name in front of it again. */
  const gsize length = strlen (child->name);
  if (strncmp (message, child->name, length) == 0 && g_str_has_prefix (message + length, ": "))
    message += length + 2;
  guint64 own = RAGIFY_LOG_DEBUG;
  if (level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL))
    own = RAGIFY_LOG_ERROR;
  else if (level & G_LOG_LEVEL_WARNING)
    own = RAGIFY_LOG_WARNING;
  else if (level & (G_LOG_LEVEL_MESSAGE | G_LOG_LEVEL_INFO))
    own = RAGIFY_LOG_INFO;
  ragify_channel_send (child->channel, RAGIFY_FRAME_LOG, own, NULL, message, strlen (message),
                       own <= RAGIFY_LOG_WARNING);
  return G_LOG_WRITER_HANDLED;
}

static RagifyMetric *
metric_new (RagifyContext *context, uint32_t type, const char *name, const char *help)
{
  static GHashTable *ids; /* [control]: one thread */
  if (type < RAGIFY_METRIC_COUNTER || type > RAGIFY_METRIC_HISTOGRAM || *name == '\0' ||
      strspn (name, "abcdefghijklmnopqrstuvwxyz_") != strlen (name))
    return NULL;
  if (ids == NULL)
    ids = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  gpointer known = g_hash_table_lookup (ids, name);
  if (known != NULL)
    return known;
  const guint64 id = g_hash_table_size (ids) + 1;
  g_hash_table_insert (ids, g_strdup (name), GSIZE_TO_POINTER (id));
  const RagifyFrameMetric what = { .what = RAGIFY_FRAME_METRIC_NEW, .type = type };
  g_autoptr (GBytes) head = g_bytes_new (&what, sizeof what);
  ragify_channel_send (the_child->channel, RAGIFY_FRAME_METRIC, id, head, name, strlen (name), FALSE);
  return GSIZE_TO_POINTER (id); /* NOLINT: never dereferenced */
}

static void
metric_say (RagifyMetric *metric, guint32 what, double value)
{
  const RagifyFrameMetric frame = { .what = what, .value = value };
  ragify_channel_send (the_child->channel, RAGIFY_FRAME_METRIC, (guint64)(guintptr)metric, NULL, &frame, sizeof frame,
                       FALSE);
}

static void
metric_add (RagifyMetric *metric, double amount)
{
  metric_say (metric, RAGIFY_FRAME_METRIC_ADD, amount);
}

static void
metric_set (RagifyMetric *metric, double value)
{
  metric_say (metric, RAGIFY_FRAME_METRIC_SET, value);
}

static void
metric_observe (RagifyMetric *metric, double value)
{
  metric_say (metric, RAGIFY_FRAME_METRIC_OBSERVE, value);
}

const void *
ragify_child_find_extension (const char *id)
{
  static const RagifyMetricsExtension metrics = {
    .struct_size = sizeof metrics,
    .metric_new = metric_new,
    .add = metric_add,
    .set = metric_set,
    .observe = metric_observe,
  };
  return g_str_equal (id, RAGIFY_EXT_METRICS) ? &metrics : NULL;
}

void
ragify_child_report_to_parent (RagifyIsolationChild *child)
{
  the_child = child;
  g_log_set_writer_func (write_log, child, NULL);
}
