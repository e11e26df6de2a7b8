/* The folder of uploads: the body of each, and a note about it.
 *
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "upload-queue-private.h"

static const char *const type_names[] = {
  [RAGIFY_BODY_JSON] = "json", [RAGIFY_BODY_NDJSON] = "ndjson", [RAGIFY_BODY_TEXT] = "text"
};

char *
ragify_upload_queue_body (const RagifyUploadQueue *queue, const char *id, gboolean whole)
{
  return g_strdup_printf ("%s/%s.%s", queue->folder, id, whole ? "body" : "part");
}

char *
ragify_upload_note_path (const RagifyUploadQueue *queue, const char *id)
{
  return g_strdup_printf ("%s/%s.json", queue->folder, id);
}

/* The names in the folder are on the disk, too. */
static void
settle_folder (const RagifyUploadQueue *queue)
{
  const int fd = open (queue->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return;
  if (fsync (fd) != 0)
    g_debug ("%s: %s", queue->folder, g_strerror (errno));
  close (fd);
}

json_t *
ragify_upload_note (const RagifyUploadItem *item)
{
  return json_pack ("{s:s, s:s, s:s, s:I, s:O*}", "store", item->ticket.store, "type", type_names[item->ticket.type],
                    "chunking", item->ticket.chunking == RAGIFY_CHUNKING_NONE ? "none" : "default", "began_at",
                    (json_int_t)item->began_at, "document", item->ticket.document);
}

gboolean
ragify_upload_note_write (const RagifyUploadQueue *queue, const char *id, json_t *note, GError **error)
{
  g_autofree char *path = ragify_upload_note_path (queue, id);
  char *text = json_dumps (note, JSON_COMPACT);
  json_decref (note);
  const gboolean written = g_file_set_contents_full (
      path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0600, error);
  free (text);
  if (written)
    settle_folder (queue);
  return written;
}

static RagifyBodyType
find_type (const char *name)
{
  for (guint i = 0; i < G_N_ELEMENTS (type_names); i++)
    if (strcmp (type_names[i], name) == 0)
      return (RagifyBodyType)i;
  return RAGIFY_BODY_JSON;
}

gboolean
ragify_upload_note_read (RagifyUploadQueue *queue, const char *name, RagifyUploadFound *found)
{
  g_autofree char *path = g_build_filename (queue->folder, name, NULL);
  json_t *note = json_load_file (path, 0, NULL);
  const char *store = json_string_value (json_object_get (note, "store"));
  const char *type = json_string_value (json_object_get (note, "type"));
  const char *chunking = json_string_value (json_object_get (note, "chunking"));
  if (store != NULL && type != NULL) {
    RagifyUploadItem *item = g_new0 (RagifyUploadItem, 1);
    *item = (RagifyUploadItem){ .queue = queue,
                                .id = g_strndup (name, strlen (name) - strlen (".json")),
                                .ticket = { .store = g_strdup (store),
                                            .type = find_type (type),
                                            .chunking = g_strcmp0 (chunking, "none") == 0 ? RAGIFY_CHUNKING_NONE
                                                                                          : RAGIFY_CHUNKING_DEFAULT,
                                            .document = json_incref (json_object_get (note, "document")) },
                                .began_at = json_integer_value (json_object_get (note, "began_at")) };
    *found = (RagifyUploadFound){ .item = item,
                                  .ended_at = json_integer_value (json_object_get (note, "ended_at")),
                                  .result = json_incref (json_object_get (note, "result")),
                                  .error = g_strdup (json_string_value (json_object_get (note, "error"))) };
  }
  json_decref (note);
  return store != NULL && type != NULL;
}

/* Whether a file of that name was never answered: a body that was not received whole, or that has no note yet. */
static gboolean
is_unanswered (const RagifyUploadQueue *queue, const char *name)
{
  if (g_str_has_suffix (name, ".part"))
    return TRUE;
  if (!g_str_has_suffix (name, ".body"))
    return FALSE;
  g_autofree char *id = g_strndup (name, strlen (name) - strlen (".body"));
  g_autofree char *note = ragify_upload_note_path (queue, id);
  return !g_file_test (note, G_FILE_TEST_EXISTS);
}

void
ragify_upload_folder_tidy (const RagifyUploadQueue *queue)
{
  g_autoptr (GDir) dir = g_dir_open (queue->folder, 0, NULL);
  for (const char *name = dir != NULL ? g_dir_read_name (dir) : NULL; name != NULL; name = g_dir_read_name (dir)) {
    g_autofree char *path = g_build_filename (queue->folder, name, NULL);
    if (is_unanswered (queue, name))
      g_unlink (path);
  }
}
