/* SPDX-License-Identifier: MIT */
#include "config/drop-ins.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static void G_GNUC_PRINTF (3, 4) report (RagifyDiagnostics *diagnostics, const char *path, const char *format, ...)
{
  RagifyPlace place = { .file = path };
  g_autofree char *message = NULL;
  va_list arguments;

  va_start (arguments, format);
  message = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  ragify_diagnostics_report (diagnostics, RAGIFY_SEVERITY_ERROR, &place, "%s", message);
}

static void
clear_drop_in (gpointer drop_in)
{
  g_free (((RagifyDropIn *)drop_in)->path);
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

/* The files found so far, and where each name stands among them. */
typedef struct Listing {
  GArray *files;       /* RagifyDropIn; a NULL path has been shadowed */
  GHashTable *by_name; /* → index + 1 */
} Listing;

/* Takes a file in at the end, and what it shadows out. */
static void
add_file (Listing *list, const char *path, bool named)
{
  RagifyDropIn drop_in = { g_strdup (path), named };
  char *name = g_path_get_basename (path);
  unsigned int earlier = GPOINTER_TO_UINT (g_hash_table_lookup (list->by_name, name));

  if (earlier > 0)
    g_clear_pointer (&g_array_index (list->files, RagifyDropIn, earlier - 1).path, g_free);
  g_array_append_val (list->files, drop_in);
  g_hash_table_replace (list->by_name, name, GUINT_TO_POINTER (list->files->len));
}

static void
add_directory (Listing *list, const char *path, RagifyDiagnostics *diagnostics)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GDir) directory = g_dir_open (path, 0, &error);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  const char *name = NULL;

  if (directory == NULL) {
    report (diagnostics, path, "cannot be listed: %s", error->message);
    return;
  }
  while ((name = g_dir_read_name (directory)) != NULL)
    if (name[0] != '.' && g_str_has_suffix (name, ".conf"))
      g_ptr_array_add (names, g_strdup (name));
  g_ptr_array_sort (names, compare_names);
  for (unsigned int i = 0; i < names->len; i++) {
    g_autofree char *file = g_build_filename (path, g_ptr_array_index (names, i), NULL);

    add_file (list, file, false);
  }
}

static void
add_standard (Listing *list, const RagifyConfigInput *input, RagifyDiagnostics *diagnostics)
{
  const char *directories[] = { input->vendor_directory, input->system_directory };
  bool found = false;

  for (size_t i = 0; i < G_N_ELEMENTS (directories); i++) {
    if (directories[i] == NULL || !g_file_test (directories[i], G_FILE_TEST_IS_DIR))
      continue;
    add_directory (list, directories[i], diagnostics);
    found = true;
  }
  if (found || (input->overrides != NULL && input->overrides[0] != NULL))
    return;
  report (diagnostics, input->system_directory == NULL ? "ragify.conf.d" : input->system_directory,
          "no configuration: this folder does not exist; make it, or name another with --config");
}

static void
add_named (Listing *list, const char *path, RagifyDiagnostics *diagnostics)
{
  struct stat status;

  if (stat (path, &status) != 0)
    report (diagnostics, path, "cannot be read: %s", g_strerror (errno));
  else if (S_ISDIR (status.st_mode))
    add_directory (list, path, diagnostics);
  else
    add_file (list, path, true);
}

GArray *
ragify_drop_ins_list (const RagifyConfigInput *input, RagifyDiagnostics *diagnostics)
{
  g_autoptr (GHashTable) by_name = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  Listing list = { g_array_new (FALSE, FALSE, sizeof (RagifyDropIn)), by_name };
  unsigned int kept = 0;

  if (input->paths == NULL || input->paths[0] == NULL)
    add_standard (&list, input, diagnostics);
  else
    for (size_t i = 0; input->paths[i] != NULL; i++)
      add_named (&list, input->paths[i], diagnostics);
  for (unsigned int i = 0; i < list.files->len; i++)
    if (g_array_index (list.files, RagifyDropIn, i).path != NULL)
      g_array_index (list.files, RagifyDropIn, kept++) = g_array_index (list.files, RagifyDropIn, i);
  g_array_set_size (list.files, kept);
  g_array_set_clear_func (list.files, clear_drop_in);
  return list.files;
}

static bool
is_dev_null (const struct stat *status)
{
  return S_ISCHR (status->st_mode) && status->st_rdev == makedev (1, 3);
}

/* An open descriptor, or −1 and a reason. */
static int
open_drop_in (const RagifyDropIn *drop_in, RagifyDiagnostics *diagnostics)
{
  /* A named pipe that lies in a directory by mistake must not hold the start up. */
  int flags = O_RDONLY | O_CLOEXEC | (drop_in->named ? 0 : O_NONBLOCK);
  int fd = open (drop_in->path, flags);
  struct stat status;

  if (fd < 0) {
    int reason = errno;
    bool dangling = reason == ENOENT && g_file_test (drop_in->path, G_FILE_TEST_IS_SYMLINK);

    report (diagnostics, drop_in->path, "cannot be read: %s",
            dangling ? "it is a link to nothing" : g_strerror (reason));
    return -1;
  }
  if (drop_in->named || (fstat (fd, &status) == 0 && (S_ISREG (status.st_mode) || is_dev_null (&status))))
    return fd;
  report (diagnostics, drop_in->path, "is not a file");
  close (fd);
  return -1;
}

RagifyScan *
ragify_drop_in_scan (const RagifyDropIn *drop_in, RagifyDiagnostics *diagnostics)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  guint8 buffer[65536];
  int fd = open_drop_in (drop_in, diagnostics);
  ssize_t got = 0;

  if (fd < 0)
    return ragify_scan_new (drop_in->path);
  /* One byte beyond the limit is enough for the scanner to refuse it. */
  while (bytes->len <= RAGIFY_SCAN_FILE_MAX) {
    got = read (fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      break;
    g_byte_array_append (bytes, buffer, (guint)got);
  }
  if (got < 0)
    report (diagnostics, drop_in->path, "cannot be read: %s", g_strerror (errno));
  close (fd);
  return ragify_scan_bytes (drop_in->path, (const char *)bytes->data, bytes->len, diagnostics);
}
