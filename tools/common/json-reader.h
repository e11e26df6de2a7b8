/* Reading JSON that is not our own: Jansson, strict and depth-limited.
 *
 * (Jansson and json-glib both declare json_object_iter_next, so no file includes both: json-glib stays inside
 * json-writer.c.)
 */
#pragma once

#include <gio/gio.h>
#include <jansson.h>

/* A Jansson value owned by a g_autoptr. */
typedef json_t RagifyJson;
static inline void
ragify_json_free (RagifyJson *value)
{
  json_decref (value);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyJson, ragify_json_free)

/* Parses exactly length bytes as one JSON text; a duplicate member or a string with a NUL is refused. Returns the value
 * (owned by the caller), or NULL with error set to "line L, column C: what is wrong" (G_IO_ERROR_INVALID_DATA). [any]
 */
json_t *ragify_json_parse (const char *text, gsize length, GError **error);

/* The same, and refuses what is not an object. [any] */
json_t *ragify_json_parse_object (const char *text, gsize length, GError **error);

/* The member as what it should be, or NULL / fallback when it is absent or of another type. Borrowed from object, which
 * may be NULL. [any] */
const char *ragify_json_get_string (const json_t *object, const char *name);
gint64 ragify_json_get_integer (const json_t *object, const char *name, gint64 fallback);
double ragify_json_get_number (const json_t *object, const char *name, double fallback);
