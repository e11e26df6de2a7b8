/* SPDX-License-Identifier: MIT */
#include "config/loader.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Longer than any statement or credential. */
enum { KEY_FILE_MAX = 1024 * 1024 };

/* Where KEY-file = `name` is: absolute as it is; otherwise among the service manager's credentials, then beside the
 * file that says it. `*guarded` becomes true for the service manager's, whose folder keeps others out. */
static char *
find_file (RagifyLoader *loader, const RagifyDraftEntry *entry, const char *name, bool *guarded)
{
  const char *credentials = ragify_environment_get (loader->context.environment, "CREDENTIALS_DIRECTORY");
  g_autofree char *folder = NULL;

  if (g_path_is_absolute (name))
    return g_strdup (name);
  if (credentials != NULL) {
    g_autofree char *credential = g_build_filename (credentials, name, NULL);

    if (g_file_test (credential, G_FILE_TEST_EXISTS)) {
      *guarded = true;
      return g_steal_pointer (&credential);
    }
  }
  if (strcmp (entry->scan->path, ragify_command_line) == 0)
    return g_canonicalize_filename (name, NULL);
  folder = g_path_get_dirname (entry->scan->path);
  return g_build_filename (folder, name, NULL);
}

/* The file's text without its last line end, or NULL and a reason. */
static char *
read_file (const char *path, mode_t *mode, const char **reason)
{
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat status;
  g_autofree char *text = NULL;
  size_t size = 0;
  ssize_t got = 0;

  if (fd < 0) {
    *reason = g_strerror (errno);
    return NULL;
  }
  if (fstat (fd, &status) != 0 || !S_ISREG (status.st_mode)) {
    close (fd);
    *reason = "it is not a file";
    return NULL;
  }
  text = g_malloc (KEY_FILE_MAX + 2);
  while (size <= KEY_FILE_MAX) {
    got = read (fd, text + size, KEY_FILE_MAX + 1 - size);
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      break;
    size += (size_t)got;
  }
  *reason = got < 0 ? g_strerror (errno) : NULL;
  close (fd);
  if (size > 0 && text[size - 1] == '\n')
    size--;
  if (size > 0 && text[size - 1] == '\r')
    size--;
  text[size] = '\0';
  *mode = status.st_mode;
  if (*reason == NULL && size > KEY_FILE_MAX)
    *reason = "it is larger than 1 MiB";
  else if (*reason == NULL && (memchr (text, '\0', size) != NULL || !g_utf8_validate_len (text, size, NULL)))
    *reason = "it is not UTF-8 text";
  if (*reason == NULL)
    return g_realloc (g_steal_pointer (&text), size + 1);
  explicit_bzero (text, size);
  return NULL;
}

static void
report_at (RagifyLoader *loader, RagifySeverity severity, const RagifyConfigNode *node, const RagifyDraftEntry *entry,
           const char *message)
{
  RagifyPlace place = ragify_draft_value_place (node->draft, entry, 0);

  ragify_diagnostics_report (loader->diagnostics, severity, &place, "%s", message);
}

bool
ragify_load_value_file (RagifyLoader *loader, RagifyConfigNode *node, int slot, const RagifyDraftEntry *entry)
{
  const RagifyKey *key = ragify_config_node_key (node, (size_t)slot);
  RagifyTextError error = { 0 };
  bool expanded = false;
  bool guarded = false;
  const char *reason = NULL;
  mode_t mode = 0;
  g_autofree char *message = NULL;
  g_autofree char *text = NULL;
  g_autofree char *path = NULL;
  g_autofree char *name = ragify_text_scalar (entry->entry->value, loader->context.environment, &expanded, &error);

  if (name != NULL) {
    path = find_file (loader, entry, name, &guarded);
    text = read_file (path, &mode, &reason);
  }
  if (text == NULL) {
    message = name == NULL ? g_strdup_printf ("'%s': %s", entry->entry->key, error.message)
                           : g_strdup_printf ("'%s': %s cannot be read: %s", entry->entry->key,
                                              expanded ? "the file" : path, reason);
    report_at (loader, RAGIFY_SEVERITY_ERROR, node, entry, message);
    g_free (error.message);
    return false;
  }
  if (key->type == RAGIFY_KEY_SECRET && !guarded && (mode & S_IROTH) != 0) {
    message = g_strdup_printf ("'%s': everybody on this machine can read %s; chmod 600 it", entry->entry->key,
                               expanded ? "the file" : path);
    report_at (loader, RAGIFY_SEVERITY_WARNING, node, entry, message);
  }
  if (!ragify_value_from_text (key, text, &loader->context, &node->values[slot], &error)) {
    report_at (loader, RAGIFY_SEVERITY_ERROR, node, entry, error.message);
    g_free (error.message);
    return false;
  }
  explicit_bzero (text, strlen (text));
  ragify_load_note_origin (loader, node, slot, entry, key->type == RAGIFY_KEY_SECRET);
  return true;
}
