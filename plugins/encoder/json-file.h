/*
 * A JSON file of a model folder, and the members of its objects with errors that name the file. [any]
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_JSON_FILE_H
#define RAGIFY_JSON_FILE_H

#include <glib.h>
#include <jansson.h>

typedef struct _RagifyJsonFile RagifyJsonFile;

/* Reads `folder`/`name`. NULL with ENCODER_ERROR_FILE or ENCODER_ERROR_FORMAT (not JSON, not an object or array). */
RagifyJsonFile *ragify_json_file_read (const char *folder, const char *name, GError **error);

/* The same for a file that need not be there: TRUE and NULL if it is not. */
gboolean ragify_json_file_read_optional (const char *folder, const char *name, RagifyJsonFile **file, GError **error);

void ragify_json_file_free (RagifyJsonFile *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyJsonFile, ragify_json_file_free)

/* Borrowed. */
const json_t *ragify_json_file_get_root (const RagifyJsonFile *self);
const char *ragify_json_file_get_path (const RagifyJsonFile *self);

/* Sets an ENCODER_ERROR_FORMAT that begins with the file's path, and returns FALSE. */
gboolean
ragify_json_file_fail (const RagifyJsonFile *self, GError **error, const char *format, ...) G_GNUC_PRINTF (3, 4);

/* The member `name` of the root, a whole number from `minimum` to `maximum`; FALSE with an error otherwise. */
gboolean ragify_json_file_get_size (const RagifyJsonFile *self, const char *name, gsize minimum, gsize maximum,
                                    gsize *value, GError **error);

#endif
