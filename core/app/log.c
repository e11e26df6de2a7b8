/* SPDX-License-Identifier: MIT */
#include "core/app/log.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* GLib has one writer for the process, so there is one of these. */
typedef struct LogSettings {
  gint least; /* GLogLevelFlags; all three are atomic */
  gint json, journal;
} LogSettings;

static LogSettings log_settings = { .least = G_LOG_LEVEL_INFO };

static const char *
level_name (GLogLevelFlags level)
{
  if (level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL))
    return "error";
  if (level & G_LOG_LEVEL_WARNING)
    return "warning";
  if (level & (G_LOG_LEVEL_MESSAGE | G_LOG_LEVEL_INFO))
    return "info";
  return "debug";
}

static const char *
field (const GLogField *fields, gsize count, const char *key)
{
  for (gsize i = 0; i < count; i++)
    if (g_str_equal (fields[i].key, key))
      return fields[i].length < 0 ? fields[i].value : NULL;
  return NULL;
}

static char *
time_text (void)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  return g_date_time_format (now, "%Y-%m-%dT%H:%M:%S.%fZ");
}

/* One write for each line, so that lines of several threads do not mix. */
static void
write_line (const char *line)
{
  const gsize size = strlen (line);
  if (write (STDERR_FILENO, line, size) != (gssize)size)
    return; /* nobody reads it: there is nowhere to say so */
}

/* "RAGIFY_REQUEST_ID" becomes "request_id"; empty ones are left out, numbers are numbers. */
static void
add_fields (json_t *object, const GLogField *fields, gsize count)
{
  static const char prefix[] = "RAGIFY_";
  static const char *const numbers[] = { "status", "duration_ms", "bytes", NULL };
  for (gsize i = 0; i < count; i++) {
    if (!g_str_has_prefix (fields[i].key, prefix) || fields[i].length >= 0)
      continue;
    const char *value = fields[i].value;
    g_autofree char *name = g_ascii_strdown (fields[i].key + strlen (prefix), -1);
    if (value == NULL || *value == '\0')
      continue;
    if (g_strv_contains (numbers, name))
      json_object_set_new (object, name,
                           strchr (value, '.') != NULL ? json_real (g_ascii_strtod (value, NULL))
                                                       : json_integer (g_ascii_strtoll (value, NULL, 10)));
    else
      json_object_set_new (object, name, json_string (value));
  }
}

static void
write_json (GLogLevelFlags level, const GLogField *fields, gsize count)
{
  g_autofree char *time = time_text ();
  const char *message = field (fields, count, "MESSAGE");
  json_t *object = json_pack ("{s:s, s:s, s:s}", "time", time, "level", level_name (level), "message",
                              message != NULL ? message : "");
  add_fields (object, fields, count);
  char *text = json_dumps (object, JSON_COMPACT);
  g_autofree char *line = g_strconcat (text != NULL ? text : "{}", "\n", NULL);
  write_line (line);
  free (text);
  json_decref (object);
}

static GLogWriterOutput
write_message (GLogLevelFlags level, const GLogField *fields, gsize count, gpointer user)
{
  LogSettings *settings = user;
  if ((gint)(level & G_LOG_LEVEL_MASK) > g_atomic_int_get (&settings->least))
    return G_LOG_WRITER_HANDLED;
  if (g_atomic_int_get (&settings->journal) &&
      g_log_writer_journald (level, fields, count, NULL) == G_LOG_WRITER_HANDLED)
    return G_LOG_WRITER_HANDLED;
  if (g_atomic_int_get (&settings->json)) {
    write_json (level, fields, count);
  } else {
    g_autofree char *time = time_text ();
    const char *message = field (fields, count, "MESSAGE");
    g_autofree char *line = g_strdup_printf ("%s %s: %s\n", time, level_name (level), message != NULL ? message : "");
    write_line (line);
  }
  return G_LOG_WRITER_HANDLED;
}

void
ragify_log_install (void)
{
  g_log_set_writer_func (write_message, &log_settings, NULL);
}

static GLogLevelFlags
level_of (const char *name)
{
  static const struct {
    const char *name;
    GLogLevelFlags level;
  } levels[] = { { "error", G_LOG_LEVEL_CRITICAL },
                 { "warning", G_LOG_LEVEL_WARNING },
                 { "debug", G_LOG_LEVEL_DEBUG } };
  for (gsize i = 0; i < G_N_ELEMENTS (levels); i++)
    if (g_str_equal (name, levels[i].name))
      return levels[i].level;
  return G_LOG_LEVEL_INFO;
}

void
ragify_log_configure (const char *format, const char *level)
{
  const gboolean automatic = g_str_equal (format, "auto") && g_log_writer_is_journald (STDERR_FILENO);
  g_atomic_int_set (&log_settings.json, g_str_equal (format, "json"));
  g_atomic_int_set (&log_settings.journal, automatic || g_str_equal (format, "journal"));
  g_atomic_int_set (&log_settings.least, (gint)level_of (level));
}
