/* What is said of folders that cannot be looked into: whoever follows a tree must not take them for gone.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "files-tree.h"

#define NESTED 70u
#define FEW 64u /* descriptors */

typedef struct Rig {
  char *root;
  FilesTree tree;
  guint counts[N_FILES_REASONS];
  GPtrArray *said; /* paths that were left out */
} Rig;

static void
left_out (void *user, const char *path, FilesReason reason)
{
  g_ptr_array_add (((Rig *)user)->said, g_strdup (path));
}

static int
set_up (void **state)
{
  static char *none[] = { NULL };
  Rig *rig = g_new0 (Rig, 1);
  rig->root = g_dir_make_tmp ("ragify-tree-XXXXXX", NULL);
  rig->said = g_ptr_array_new_with_free_func (g_free);
  rig->tree = (FilesTree){ .root = rig->root,
                           .include = g_ptr_array_new (),
                           .exclude = g_ptr_array_new (),
                           .ignore_files = none,
                           .max_file_size = G_MAXUINT64,
                           .max_size = G_MAXUINT64,
                           .max_files = G_MAXUINT,
                           .left_out = left_out,
                           .user = rig };
  g_autofree char *file = g_build_filename (rig->root, "a.txt", NULL);
  assert_true (g_file_set_contents (file, "text", -1, NULL));
  *state = rig;
  return 0;
}

static int
tear_down (void **state)
{
  Rig *rig = *state;
  g_autofree char *file = g_build_filename (rig->root, "a.txt", NULL);
  (void)g_remove (file);
  (void)g_rmdir (rig->root);
  g_ptr_array_unref (rig->tree.include);
  g_ptr_array_unref (rig->tree.exclude);
  g_ptr_array_unref (rig->said);
  g_free (rig->root);
  g_free (rig);
  return 0;
}

static void
a_root_without_a_descriptor_for_it_is_unreadable (void **state)
{
  Rig *rig = *state;
  struct rlimit before;
  g_autoptr (GArray) taken = g_array_new (FALSE, FALSE, sizeof (int));
  assert_int_equal (getrlimit (RLIMIT_NOFILE, &before), 0);
  const struct rlimit few = { MIN (FEW, before.rlim_max), before.rlim_max };
  assert_int_equal (setrlimit (RLIMIT_NOFILE, &few), 0);
  for (int fd = dup (0); fd >= 0; fd = dup (0))
    g_array_append_val (taken, fd);
  close (g_array_index (taken, int, taken->len - 1)); /* one is left, which the root gets */
  g_array_set_size (taken, taken->len - 1);
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) entries = files_tree_list (&rig->tree, rig->counts, &error);
  for (guint i = 0; i < taken->len; i++)
    close (g_array_index (taken, int, i));
  assert_int_equal (setrlimit (RLIMIT_NOFILE, &before), 0);
  assert_non_null (entries);
  assert_int_equal (entries->len, 0);
  assert_int_equal (rig->counts[FILES_UNREADABLE], 1);
  assert_string_equal (g_ptr_array_index (rig->said, 0), "");
}

static void
a_folder_in_too_many_others_is_named (void **state)
{
  Rig *rig = *state;
  g_autoptr (GString) path = g_string_new (rig->root);
  for (guint i = 0; i < NESTED; i++) {
    g_string_append (path, "/d");
    assert_int_equal (g_mkdir (path->str, 0700), 0);
  }
  g_autoptr (GPtrArray) entries = files_tree_list (&rig->tree, rig->counts, NULL);
  for (; path->len > strlen (rig->root); g_string_truncate (path, path->len - 2))
    assert_int_equal (g_rmdir (path->str), 0);
  assert_int_equal (entries->len, 1);
  assert_int_equal (rig->counts[FILES_TOO_DEEP], 1);
  assert_int_equal (rig->said->len, 1);
  assert_true (g_str_has_prefix (g_ptr_array_index (rig->said, 0), "d/d/d"));
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown (a_root_without_a_descriptor_for_it_is_unreadable, set_up, tear_down),
    cmocka_unit_test_setup_teardown (a_folder_in_too_many_others_is_named, set_up, tear_down),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
