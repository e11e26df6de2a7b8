#include "json-reader.h"

json_t *
ragify_json_parse (const char *text, gsize length, GError **error)
{
  json_error_t reason;
  json_t *value = json_loadb (text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &reason);
  if (value == NULL)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "line %d, column %d: %s", reason.line, reason.column,
                 reason.text);
  return value;
}

json_t *
ragify_json_parse_object (const char *text, gsize length, GError **error)
{
  g_autoptr (RagifyJson) value = ragify_json_parse (text, length, error);
  if (value != NULL && !json_is_object (value)) {
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "a JSON value that is not an object");
    return NULL;
  }
  return g_steal_pointer (&value);
}

const char *
ragify_json_get_string (const json_t *object, const char *name)
{
  return json_string_value (json_object_get (object, name));
}

gint64
ragify_json_get_integer (const json_t *object, const char *name, gint64 fallback)
{
  const json_t *value = json_object_get (object, name);
  return json_is_integer (value) ? (gint64)json_integer_value (value) : fallback;
}

double
ragify_json_get_number (const json_t *object, const char *name, double fallback)
{
  const json_t *value = json_object_get (object, name);
  return json_is_number (value) ? json_number_value (value) : fallback;
}
