/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "core/ingest/job-private.h"

typedef struct Pass {
  RagifyIngestJob *job;
  GHashTable *known;  /* what the store has and was not seen yet */
  GPtrArray *entries; /* FilesEntry */
  GHashTable *unread; /* paths of files and folders that could not be looked at: what is known of them stays */
  gboolean trusted;   /* a document is as the file of the same time and size is */
  RagifyUuid store;
  RagifyJobBatch batch;
  GHashTable *pending; /* path → FilesEntry, of the batch under way; not owned */
} Pass;

/* ---- the folder ---- */

static void
left_out (void *user, const char *path, FilesReason reason)
{
  static const char *const words[N_FILES_REASONS] = {
    [FILES_TOO_LARGE] = "is larger than max-file-size",
    [FILES_TOO_MANY] = "is one file too many",
    [FILES_UNREADABLE] = "cannot be read",
    [FILES_NO_TEXT] = "has a name that is not UTF-8",
    [FILES_UNSTEADY] = "changed while it was read",
    [FILES_TOO_DEEP] = "is a folder inside of too many others (64)",
  };
  Pass *pass = user;
  ragify_job_set_aside (pass->job, path, words[reason]);
  if (reason == FILES_UNREADABLE)
    g_hash_table_add (pass->unread, g_strdup (path));
}

/* An empty folder where there were documents is more likely a file system that is not mounted. */
static gboolean
is_lost (const Pass *pass, char **error)
{
  if (pass->entries->len > 0 || g_hash_table_size (pass->known) == 0 || !files_tree_is_empty (&pass->job->tree))
    return FALSE;
  *error = g_strdup_printf ("%s is empty, and the store has %u documents of it: is it not mounted? Nothing is deleted",
                            pass->job->tree.root, g_hash_table_size (pass->known));
  return TRUE;
}

static gboolean
list (Pass *pass, char **error)
{
  guint counts[N_FILES_REASONS] = { 0 };
  g_autoptr (GError) failure = NULL;
  FilesTree tree = pass->job->tree;
  tree.left_out = left_out;
  tree.user = pass;
  RagifyProblem problem = { 0 };
  pass->known = ragify_job_list_known (pass->job, &pass->store, &problem);
  if (pass->known == NULL) {
    *error = g_strdup (problem.detail);
    ragify_problem_clear (&problem);
    return FALSE;
  }
  pass->entries = files_tree_list (&tree, counts, &failure);
  if (pass->entries == NULL) {
    *error = g_strdup (failure->message);
    return FALSE;
  }
  pass->trusted = ragify_job_memory_trusts (pass->job->memory, &pass->store);
  ragify_job_memory_keep (pass->job->memory, pass->entries);
  return !is_lost (pass, error);
}

/* ---- files ---- */

/* TRUE where nothing needs to be done about the file. */
static gboolean
is_unchanged (const Pass *pass, const FilesEntry *entry, const RagifyJobKnown *known, const char **reason)
{
  *reason = NULL;
  if (pass->trusted && known != NULL && known->whole && known->modified == entry->modified &&
      known->size == entry->size)
    return TRUE;
  /* Looked into before: set aside and not in the store, or its time alone has changed. */
  return ragify_job_memory_knows (pass->job->memory, entry, reason) &&
         (known != NULL && known->whole) == (*reason == NULL) && (known == NULL || pass->trusted);
}

/* Leaves in the list those that must be looked into. */
static void
find_changed (Pass *pass)
{
  RagifyIngestJob *job = pass->job;
  guint64 unchanged = 0, bytes = 0;
  g_autoptr (GPtrArray) entries = g_steal_pointer (&pass->entries);
  g_ptr_array_set_free_func (entries, NULL);
  pass->entries = g_ptr_array_new_with_free_func (files_entry_free);
  for (guint i = 0; i < entries->len; i++) {
    FilesEntry *entry = g_ptr_array_index (entries, i);
    g_autofree char *id = ragify_job_document_id (job, entry->path);
    const char *reason = NULL;
    if (is_unchanged (pass, entry, g_hash_table_lookup (pass->known, id), &reason)) {
      g_hash_table_remove (pass->known, id);
      unchanged += reason == NULL ? 1 : 0;
      if (reason != NULL)
        ragify_job_set_aside (job, entry->path, reason);
      else
        ragify_job_set_parts_aside (job, entry->path, ragify_job_memory_parts (job->memory, entry));
      files_entry_free (entry);
      continue;
    }
    bytes += entry->size;
    g_ptr_array_add (pass->entries, entry);
  }
  pthread_mutex_lock (&job->lock);
  job->progress.found = entries->len;
  job->progress.unchanged = unchanged;
  job->progress.to_read = pass->entries->len;
  job->progress.to_bytes = bytes;
  pthread_mutex_unlock (&job->lock);
}

/* Until the file changes it need not be looked into again, whether the store took it or refused it. */
static void
settled (void *user, const char *path, const char *reason)
{
  Pass *pass = user;
  const FilesEntry *entry = g_hash_table_lookup (pass->pending, path);
  if (entry != NULL)
    ragify_job_memory_note (pass->job->memory, entry, reason);
}

/* A file of `size` bytes was read, a part of which may have been told already, since `before`. */
static void
tell_read (RagifyIngestJob *job, guint64 before, guint64 size)
{
  pthread_mutex_lock (&job->lock);
  job->progress.read++;
  job->progress.bytes = before + size;
  pthread_mutex_unlock (&job->lock);
}

/* FALSE: the pass is to be given up. */
static gboolean
take_file (Pass *pass, FilesEntry *entry)
{
  RagifyIngestJob *job = pass->job;
  RagifyIncoming *incoming = NULL;
  g_autofree char *reason = NULL;
  g_autofree char *id = ragify_job_document_id (job, entry->path);
  const guint64 size = entry->size, bytes = job->progress.bytes; /* nobody else writes it */
  const RagifyJobOutcome outcome = ragify_job_read_file (job, entry, &incoming, &reason);
  tell_read (job, bytes, size);
  if (outcome == RAGIFY_JOB_GIVEN_UP)
    return FALSE;
  if (outcome == RAGIFY_JOB_READ || outcome == RAGIFY_JOB_WRITTEN || outcome == RAGIFY_JOB_UNREADABLE)
    g_hash_table_remove (pass->known, id); /* what could not be read stays as it was */
  if (reason != NULL)
    ragify_job_set_aside (job, entry->path, reason);
  if (outcome == RAGIFY_JOB_UNFIT || outcome == RAGIFY_JOB_WRITTEN)
    ragify_job_memory_note (job->memory, entry, reason);
  if (outcome != RAGIFY_JOB_READ)
    return ragify_job_goes_on (job);
  g_hash_table_insert (pass->pending, entry->path, entry);
  return ragify_job_batch_add (&pass->batch, incoming, entry->path);
}

/* ---- what is gone ---- */

/* Whether the document lies in a folder, or is a file, that could not be looked at. */
static gboolean
is_unread (const Pass *pass, const char *id)
{
  g_autofree char *path = g_strdup (id + strlen (pass->job->name) + 1);
  if (g_hash_table_contains (pass->unread, ""))
    return TRUE; /* the root's own list */
  if (g_hash_table_size (pass->unread) > 0 && g_uuid_string_is_valid (path))
    return TRUE; /* of a path too long for an id: it may be there */
  for (char *slash = path + strlen (path); slash != NULL; slash = strrchr (path, '/')) {
    *slash = '\0';
    if (g_hash_table_contains (pass->unread, path))
      return TRUE;
  }
  return FALSE;
}

static gboolean
delete_missing (Pass *pass)
{
  g_autoptr (GPtrArray) ids = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer id = NULL;
  g_hash_table_iter_init (&iter, pass->known);
  while (g_hash_table_iter_next (&iter, &id, NULL))
    if (!is_unread (pass, id))
      g_ptr_array_add (ids, id);
  return ragify_job_delete (pass->job, ids);
}

/* ---- the whole ---- */

static gboolean
run (Pass *pass, char **error)
{
  if (!list (pass, error))
    return FALSE;
  find_changed (pass);
  for (guint i = 0; i < pass->entries->len; i++)
    if (!take_file (pass, g_ptr_array_index (pass->entries, i)))
      return FALSE;
  if (!ragify_job_batch_flush (&pass->batch) || !delete_missing (pass))
    return FALSE;
  ragify_job_memory_complete (pass->job->memory, &pass->store);
  return TRUE;
}

gboolean
ragify_job_pass (RagifyIngestJob *job, char **error)
{
  Pass pass = { .job = job,
                .unread = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL),
                .pending = g_hash_table_new (g_str_hash, g_str_equal) };
  job->impatient = FALSE;
  ragify_job_batch_init (&pass.batch, job);
  pass.batch.settled = settled;
  pass.batch.user = &pass;
  const gboolean well = run (&pass, error);
  ragify_job_batch_clear (&pass.batch);
  g_clear_pointer (&pass.known, g_hash_table_unref);
  g_clear_pointer (&pass.entries, g_ptr_array_unref);
  g_hash_table_unref (pass.unread);
  g_hash_table_unref (pass.pending);
  return well;
}
