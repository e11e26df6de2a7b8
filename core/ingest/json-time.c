/* SPDX-License-Identifier: MIT */
#include "core/ingest/json-time.h"

json_t *
ragify_json_time (gint64 wall_us)
{
  g_autoptr (GDateTime) time = wall_us > 0 ? g_date_time_new_from_unix_utc (wall_us / G_USEC_PER_SEC) : NULL;
  g_autofree char *text = time != NULL ? g_date_time_format (time, "%Y-%m-%dT%H:%M:%SZ") : NULL;
  return text != NULL ? json_string (text) : json_null ();
}
