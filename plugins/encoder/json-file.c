/* SPDX-License-Identifier: MIT */
#include "json-file.h"

#include "encoder-error.h"

#include <string.h>

struct _RagifyJsonFile {
  char *path;
  json_t *root;
};

gboolean
ragify_json_file_read_optional (const char *folder, const char *name, RagifyJsonFile **file, GError **error)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autofree char *text = NULL;
  g_autoptr (GError) failure = NULL;
  gsize size = 0;
  json_error_t json_error;
  json_t *root;

  if (!g_file_get_contents (path, &text, &size, &failure)) {
    if (g_error_matches (failure, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
      *file = NULL;
      return TRUE;
    }
    g_set_error (error, RAGIFY_ENCODER_ERROR, RAGIFY_ENCODER_ERROR_FILE, "%s: cannot be read: %s", path,
                 failure->message);
    return FALSE;
  }
  root = json_loadb (text, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &json_error);
  if (root == NULL) {
    g_set_error (error, RAGIFY_ENCODER_ERROR, RAGIFY_ENCODER_ERROR_FORMAT, "%s:%d:%d: is not JSON: %s", path,
                 json_error.line, json_error.column, json_error.text);
    return FALSE;
  }
  *file = g_new0 (RagifyJsonFile, 1);
  (*file)->path = g_steal_pointer (&path);
  (*file)->root = root;
  return TRUE;
}

RagifyJsonFile *
ragify_json_file_read (const char *folder, const char *name, GError **error)
{
  g_autoptr (RagifyJsonFile) file = NULL;

  if (!ragify_json_file_read_optional (folder, name, &file, error))
    return NULL;
  if (file == NULL) {
    g_set_error (error, RAGIFY_ENCODER_ERROR, RAGIFY_ENCODER_ERROR_FILE,
                 "%s: expected a model folder with a file '%s' in it, found none", folder, name);
    return NULL;
  }
  return g_steal_pointer (&file);
}

void
ragify_json_file_free (RagifyJsonFile *self)
{
  json_decref (self->root);
  g_free (self->path);
  g_free (self);
}

const json_t *
ragify_json_file_get_root (const RagifyJsonFile *self)
{
  return self->root;
}

const char *
ragify_json_file_get_path (const RagifyJsonFile *self)
{
  return self->path;
}

gboolean
ragify_json_file_fail (const RagifyJsonFile *self, GError **error, const char *format, ...)
{
  g_autofree char *message = NULL;
  va_list arguments;

  va_start (arguments, format);
  message = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error (error, RAGIFY_ENCODER_ERROR, RAGIFY_ENCODER_ERROR_FORMAT, "%s: %s", self->path, message);
  return FALSE;
}

gboolean
ragify_json_file_get_size (const RagifyJsonFile *self, const char *name, gsize minimum, gsize maximum, gsize *value,
                           GError **error)
{
  const json_t *const member = json_object_get (self->root, name);
  const json_int_t number = json_integer_value (member);

  if (json_is_integer (member) && number >= (json_int_t)minimum && number <= (json_int_t)maximum) {
    *value = (gsize)number;
    return TRUE;
  }

  g_autofree char *found = member == NULL ? NULL : json_dumps (member, JSON_ENCODE_ANY | JSON_COMPACT);

  return ragify_json_file_fail (
      self, error, "'%s': expected a whole number from %" G_GSIZE_FORMAT " to %" G_GSIZE_FORMAT ", found %s", name,
      minimum, maximum,
      member == NULL  ? "no such member"
      : found == NULL ? "something else"
                      : found);
}
