/* SPDX-License-Identifier: MIT */
#include "settings.h"

RagifyStr
ragify_setting_str (const RagifyHost *host, RagifyContext *context, const char *key)
{
  RagifyStr value = { NULL, 0 };
  host->config_string (context, key, &value);
  return value;
}

char *
ragify_setting_text (const RagifyHost *host, RagifyContext *context, const char *key)
{
  const RagifyStr value = ragify_setting_str (host, context, key);
  return g_strndup (value.size > 0 ? value.data : "", value.size);
}

char *
ragify_setting_optional (const RagifyHost *host, RagifyContext *context, const char *key)
{
  const RagifyStr value = ragify_setting_str (host, context, key);
  return value.size > 0 ? g_strndup (value.data, value.size) : NULL;
}

char **
ragify_setting_list (const RagifyHost *host, RagifyContext *context, const char *key)
{
  RagifyStrList list = { NULL, 0 };
  host->config_list (context, key, &list);
  char **items = g_new0 (char *, list.count + 1);
  for (guint64 i = 0; i < list.count; i++)
    items[i] = g_strndup (list.items[i].data, list.items[i].size);
  return items;
}

gint64
ragify_setting_int (const RagifyHost *host, RagifyContext *context, const char *key)
{
  int64_t value = 0;
  host->config_int (context, key, &value);
  return value;
}

guint64
ragify_setting_size (const RagifyHost *host, RagifyContext *context, const char *key)
{
  uint64_t value = 0;
  host->config_size (context, key, &value);
  return value;
}

guint64
ragify_setting_duration_us (const RagifyHost *host, RagifyContext *context, const char *key)
{
  uint64_t value = 0;
  host->config_duration (context, key, &value);
  return value;
}

gboolean
ragify_setting_bool (const RagifyHost *host, RagifyContext *context, const char *key)
{
  uint32_t value = 0;
  host->config_bool (context, key, &value);
  return value != 0;
}
