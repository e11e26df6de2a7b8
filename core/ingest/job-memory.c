/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "core/ingest/job-private.h"

/* A file that was looked into. */
typedef struct Note {
  gint64 modified;
  guint64 size;
  char *reason; /* it was set aside; NULL: all is well */
} Note;

/* Parts of a file that were set aside. */
typedef struct Parts {
  gint64 modified;
  guint64 size;
  GPtrArray *texts; /* place, reason … */
} Parts;

struct RagifyJobMemory {
  char *file, *cutting;
  char *store; /* that a pass came to its end with; NULL: none did */
  gboolean paused;
  gboolean doubtful; /* no other run of the host may go by `store` */
  GHashTable *notes; /* path → Note */
  GHashTable *parts; /* path → Parts */
};

static void
note_free (gpointer data)
{
  Note *note = data;
  g_free (note->reason);
  g_free (note);
}

static void
parts_free (gpointer data)
{
  Parts *parts = data;
  g_ptr_array_unref (parts->texts);
  g_free (parts);
}

static void
load (RagifyJobMemory *memory)
{
  json_t *json = memory->file != NULL ? json_load_file (memory->file, 0, NULL) : NULL;
  const char *cutting = json_string_value (json_object_get (json, "cutting"));
  const char *store = json_string_value (json_object_get (json, "store"));
  memory->paused = json_is_true (json_object_get (json, "paused"));
  if (cutting != NULL && store != NULL && strcmp (cutting, memory->cutting) == 0)
    memory->store = g_strdup (store);
  json_decref (json);
}

static void
save (const RagifyJobMemory *memory)
{
  if (memory->file == NULL)
    return;
  g_autoptr (GError) error = NULL;
  g_autofree char *folder = g_path_get_dirname (memory->file);
  json_t *json = json_pack ("{s:b, s:s, s:s?}", "paused", memory->paused, "cutting", memory->cutting, "store",
                            memory->doubtful ? NULL : memory->store);
  char *text = json_dumps (json, JSON_INDENT (2));
  g_mkdir_with_parents (folder, 0700);
  if (text != NULL && !g_file_set_contents (memory->file, text, -1, &error))
    g_warning ("a job's state is not kept for the next start: %s", error->message);
  free (text);
  json_decref (json);
}

RagifyJobMemory *
ragify_job_memory_new (const char *file, const char *cutting)
{
  RagifyJobMemory *memory = g_new0 (RagifyJobMemory, 1);
  memory->file = g_strdup (file);
  memory->cutting = g_strdup (cutting);
  memory->notes = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, note_free);
  memory->parts = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, parts_free);
  load (memory);
  return memory;
}

void
ragify_job_memory_free (RagifyJobMemory *memory)
{
  g_hash_table_unref (memory->notes);
  g_hash_table_unref (memory->parts);
  g_free (memory->file);
  g_free (memory->cutting);
  g_free (memory->store);
  g_free (memory);
}

gboolean
ragify_job_memory_paused (const RagifyJobMemory *memory)
{
  return memory->paused;
}

void
ragify_job_memory_set_paused (RagifyJobMemory *memory, gboolean paused)
{
  if (memory->paused == paused)
    return;
  memory->paused = paused;
  save (memory);
}

gboolean
ragify_job_memory_trusts (const RagifyJobMemory *memory, const RagifyUuid *store)
{
  char text[37];
  ragify_uuid_write (store, text);
  return memory->store != NULL && strcmp (memory->store, text) == 0;
}

void
ragify_job_memory_complete (RagifyJobMemory *memory, const RagifyUuid *store)
{
  if (ragify_job_memory_trusts (memory, store))
    return;
  g_free (memory->store);
  memory->store = g_malloc (37);
  ragify_uuid_write (store, memory->store);
  save (memory);
}

void
ragify_job_memory_doubt (RagifyJobMemory *memory)
{
  if (memory->doubtful)
    return;
  memory->doubtful = TRUE;
  save (memory);
}

void
ragify_job_memory_note (RagifyJobMemory *memory, const FilesEntry *entry, const char *reason)
{
  const Note note = { entry->modified, entry->size, g_strdup (reason) };
  g_hash_table_insert (memory->notes, g_strdup (entry->path), g_memdup2 (&note, sizeof note));
}

gboolean
ragify_job_memory_knows (const RagifyJobMemory *memory, const FilesEntry *entry, const char **reason)
{
  const Note *note = g_hash_table_lookup (memory->notes, entry->path);
  if (note == NULL || note->modified != entry->modified || note->size != entry->size)
    return FALSE;
  *reason = note->reason;
  return TRUE;
}

void
ragify_job_memory_note_parts (RagifyJobMemory *memory, const FilesEntry *entry, const GPtrArray *parts)
{
  if (parts == NULL || parts->len == 0) {
    g_hash_table_remove (memory->parts, entry->path);
    return;
  }
  const Parts kept = { entry->modified, entry->size, g_ptr_array_new_with_free_func (g_free) };
  for (guint i = 0; i < parts->len; i++)
    g_ptr_array_add (kept.texts, g_strdup (g_ptr_array_index (parts, i)));
  g_hash_table_insert (memory->parts, g_strdup (entry->path), g_memdup2 (&kept, sizeof kept));
}

const GPtrArray *
ragify_job_memory_parts (const RagifyJobMemory *memory, const FilesEntry *entry)
{
  const Parts *parts = g_hash_table_lookup (memory->parts, entry->path);
  return parts != NULL && parts->modified == entry->modified && parts->size == entry->size ? parts->texts : NULL;
}

static void
keep_only (GHashTable *table, GHashTable *there)
{
  GHashTableIter iter;
  gpointer path = NULL;
  g_hash_table_iter_init (&iter, table);
  while (g_hash_table_iter_next (&iter, &path, NULL))
    if (!g_hash_table_contains (there, path))
      g_hash_table_iter_remove (&iter);
}

void
ragify_job_memory_keep (RagifyJobMemory *memory, const GPtrArray *entries)
{
  g_autoptr (GHashTable) there = g_hash_table_new (g_str_hash, g_str_equal);
  for (guint i = 0; i < entries->len; i++)
    g_hash_table_add (there, ((const FilesEntry *)g_ptr_array_index (entries, i))->path);
  keep_only (memory->notes, there);
  keep_only (memory->parts, there);
}
