/* A writer: JSON and text appended to one growing piece of memory.
 *
 * SPDX-License-Identifier: MIT
 *
 * For the shapes that the host itself answers with; it knows no nesting, the caller writes brackets and commas. Texts
 * must be valid UTF-8.
 */
#pragma once

#include <glib.h>
#include <ragify/ragify.h>
#include <string.h>

typedef struct RagifyWriter {
  char *data; /* g_malloc */
  gsize size;
  gsize capacity;
  gboolean fixed;
} RagifyWriter;

void ragify_writer_init (RagifyWriter *writer, gsize capacity);
/* Writes into memory of the caller's, which must be enough. */
void ragify_writer_init_fixed (RagifyWriter *writer, char *memory, gsize capacity);
void ragify_writer_clear (RagifyWriter *writer);
/* The memory passes to the caller, who frees it with g_free. */
char *ragify_writer_steal (RagifyWriter *writer, gsize *size);

void ragify_writer_bytes (RagifyWriter *writer, const void *data, gsize size);
/* A JSON string with its quotes. */
void ragify_writer_string (RagifyWriter *writer, RagifyStr text);
void ragify_writer_uint (RagifyWriter *writer, guint64 value);
/* A finite number rounded to `decimals` ≤ 9, without trailing zeros; very large ones in full. */
void ragify_writer_number (RagifyWriter *writer, double value, guint decimals);
/* µs since 1970 as a JSON string of RFC 3339 in UTC; null for 0. */
void ragify_writer_time (RagifyWriter *writer, gint64 wall_us);
void ragify_writer_uuid (RagifyWriter *writer, const RagifyUuid *id); /* without quotes */

/* How many bytes from `data` on stand in a JSON string as they are: up to a quote, a backslash or a control character.
 */
gsize ragify_writer_plain_run (const char *data, gsize size);

/* Appends a C string as it is. */
static inline void
ragify_writer_text (RagifyWriter *writer, const char *text)
{
  ragify_writer_bytes (writer, text, strlen (text));
}
