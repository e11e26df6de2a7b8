/* Members of a JSON object that is being written and has one already.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <math.h>

#include "core/pipeline/writer.h"

/* ,"name": */
static inline void
ragify_json_name (RagifyWriter *writer, const char *name)
{
  ragify_writer_text (writer, ",\"");
  ragify_writer_text (writer, name);
  ragify_writer_text (writer, "\":");
}

static inline void
ragify_json_uint (RagifyWriter *writer, const char *name, guint64 value)
{
  ragify_json_name (writer, name);
  ragify_writer_uint (writer, value);
}

static inline void
ragify_json_bool (RagifyWriter *writer, const char *name, gboolean value)
{
  ragify_json_name (writer, name);
  ragify_writer_text (writer, value ? "true" : "false");
}

static inline void
ragify_json_text (RagifyWriter *writer, const char *name, const char *value)
{
  ragify_json_name (writer, name);
  ragify_writer_string (writer, ragify_str_from (value));
}

/* null for what is no number. */
static inline void
ragify_json_number (RagifyWriter *writer, const char *name, double value)
{
  ragify_json_name (writer, name);
  if (isfinite (value))
    ragify_writer_number (writer, value, 9);
  else
    ragify_writer_text (writer, "null");
}

static inline void
ragify_json_seconds (RagifyWriter *writer, const char *name, guint64 microseconds)
{
  ragify_json_name (writer, name);
  ragify_writer_number (writer, (double)microseconds / G_USEC_PER_SEC, 6);
}
