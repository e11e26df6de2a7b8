#include "tools/common/text-file.h"

#include "tap.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Each test gets a folder of its own, and a file beside it that nobody may reach. */
typedef struct {
  char *base;
  char *root;
} Fixture;

static int
remove_tree (const char *path)
{
  struct stat status;
  if (lstat (path, &status) == 0 && S_ISDIR (status.st_mode)) {
    g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
    for (const char *name = g_dir_read_name (dir); name != NULL; name = g_dir_read_name (dir)) {
      g_autofree char *entry = g_build_filename (path, name, NULL);
      remove_tree (entry);
    }
  }
  return remove (path);
}

static void
write_file (const Fixture *fixture, const char *path, const char *text, gssize length)
{
  g_autofree char *full = g_build_filename (fixture->root, path, NULL);
  g_autofree char *folder = g_path_get_dirname (full);
  g_mkdir_with_parents (folder, 0700);
  assert_true (g_file_set_contents (full, text, length, NULL));
}

static int
set_up (void **state)
{
  Fixture *fixture = g_new0 (Fixture, 1);
  fixture->base = g_dir_make_tmp ("ragify-walk-XXXXXX", NULL);
  fixture->root = g_build_filename (fixture->base, "root", NULL);
  g_mkdir (fixture->root, 0700);
  write_file (fixture, "../secret.md", "outside", -1);
  *state = fixture;
  return fixture->base != NULL ? 0 : -1;
}

static int
tear_down (void **state)
{
  Fixture *fixture = *state;
  remove_tree (fixture->base);
  g_free (fixture->base);
  g_free (fixture->root);
  g_free (fixture);
  return 0;
}

/* The paths found, joined by blanks. */
static char *
found (const RagifyTextFolder *folder)
{
  GString *text = g_string_new (NULL);
  for (guint i = 0; i < folder->files->len; i++) {
    const RagifyTextFile *file = g_ptr_array_index (folder->files, i);
    g_string_append_printf (text, "%s%s", i > 0 ? " " : "", file->path);
  }
  return g_string_free (text, FALSE);
}

static void
text_files_are_found_by_name_in_order (void **state)
{
  const Fixture *fixture = *state;
  write_file (fixture, "b.md", "b", -1);
  write_file (fixture, "a.TXT", "a", -1);
  write_file (fixture, "README", "r", -1);
  write_file (fixture, "picture.png", "p", -1);
  write_file (fixture, "deep/er/x.rst", "x", -1);
  write_file (fixture, ".hidden.md", "h", -1);
  write_file (fixture, ".git/config", "h", -1);
  write_file (fixture, "empty.md", "", 0);
  g_autoptr (RagifyTextFolder) folder = ragify_text_folder_walk (fixture->root, NULL, NULL, NULL);
  g_autofree char *paths = found (folder);
  assert_string_equal (paths, "README a.TXT b.md deep/er/x.rst");
  assert_int_equal (folder->skipped[RAGIFY_SKIP_HIDDEN], 2);
  assert_int_equal (folder->skipped[RAGIFY_SKIP_NAME], 1);
  assert_int_equal (folder->skipped[RAGIFY_SKIP_EMPTY], 1);
  assert_int_equal (folder->bytes, 4);
}

static void
links_are_not_followed (void **state)
{
  const Fixture *fixture = *state;
  write_file (fixture, "real/a.md", "a", -1);
  g_autofree char *file_link = g_build_filename (fixture->root, "link.md", NULL);
  g_autofree char *folder_link = g_build_filename (fixture->root, "up", NULL);
  g_autofree char *inner_link = g_build_filename (fixture->root, "same", NULL);
  assert_int_equal (symlink ("../secret.md", file_link), 0);
  assert_int_equal (symlink ("..", folder_link), 0);
  assert_int_equal (symlink ("real", inner_link), 0);
  g_autoptr (RagifyTextFolder) folder = ragify_text_folder_walk (fixture->root, NULL, NULL, NULL);
  g_autofree char *paths = found (folder);
  assert_string_equal (paths, "real/a.md");
  assert_int_equal (folder->skipped[RAGIFY_SKIP_LINK], 3);
}

static void
a_link_put_in_the_way_after_the_walk_is_not_followed (void **state)
{
  const Fixture *fixture = *state;
  write_file (fixture, "docs/secret.md", "inside", -1);
  g_autoptr (RagifyTextFolder) folder = ragify_text_folder_walk (fixture->root, NULL, NULL, NULL);
  assert_int_equal (folder->files->len, 1);
  g_autofree char *docs = g_build_filename (fixture->root, "docs", NULL);
  remove_tree (docs);
  assert_int_equal (symlink ("..", docs), 0);

  char *text = NULL;
  RagifySkipReason reason = RAGIFY_SKIP_HIDDEN;
  g_autoptr (GError) error = NULL;
  RagifyTextResult result = ragify_text_file_read (fixture->root, "docs/secret.md", &text, &reason, &error);
  assert_int_not_equal (result, RAGIFY_TEXT_READ);
  assert_null (text);

  remove (docs);
  write_file (fixture, "docs/other.md", "x", -1);
  g_autofree char *last = g_build_filename (fixture->root, "docs", "secret.md", NULL);
  assert_int_equal (symlink ("../../secret.md", last), 0);
  result = ragify_text_file_read (fixture->root, "docs/secret.md", &text, &reason, NULL);
  assert_int_equal (result, RAGIFY_TEXT_SKIPPED);
  assert_int_equal (reason, RAGIFY_SKIP_LINK);
}

static void
patterns_choose_names_and_folders (void **state)
{
  const Fixture *fixture = *state;
  write_file (fixture, "a.log", "a", -1);
  write_file (fixture, "a.md", "a", -1);
  write_file (fixture, "old/b.log", "b", -1);
  write_file (fixture, "new/c.log", "c", -1);
  const char *const include[] = { "*.log", NULL };
  const char *const exclude[] = { "old", "new/c.*", NULL };
  g_autoptr (RagifyTextFolder) all = ragify_text_folder_walk (fixture->root, include, NULL, NULL);
  g_autofree char *all_paths = found (all);
  assert_string_equal (all_paths, "a.log new/c.log old/b.log");
  g_autoptr (RagifyTextFolder) some = ragify_text_folder_walk (fixture->root, include, exclude, NULL);
  g_autofree char *some_paths = found (some);
  assert_string_equal (some_paths, "a.log");
}

static void
only_utf8_text_is_read (void **state)
{
  const Fixture *fixture = *state;
  char *text = NULL;
  RagifySkipReason reason = RAGIFY_SKIP_HIDDEN;
  write_file (fixture, "good.md",
              "\xef\xbb\xbfGr\xc3\xbc\xc3\x9f"
              "e\n",
              -1);
  assert_int_equal (ragify_text_file_read (fixture->root, "good.md", &text, &reason, NULL), RAGIFY_TEXT_READ);
  assert_string_equal (text, "Gr\xc3\xbc\xc3\x9f"
                             "e\n");
  g_clear_pointer (&text, g_free);

  static const struct {
    const char *bytes;
    gssize length;
    RagifySkipReason reason;
  } bad[] = {
    { "a\0b", 3, RAGIFY_SKIP_BINARY },      { "latin \xe4", -1, RAGIFY_SKIP_BINARY },
    { "cut \xc3", -1, RAGIFY_SKIP_BINARY }, { "\x01\x02", -1, RAGIFY_SKIP_BINARY },
    { " \n\t ", -1, RAGIFY_SKIP_EMPTY },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    write_file (fixture, "bad.md", bad[i].bytes, bad[i].length);
    assert_int_equal (ragify_text_file_read (fixture->root, "bad.md", &text, &reason, NULL), RAGIFY_TEXT_SKIPPED);
    assert_int_equal (reason, bad[i].reason);
    assert_null (text);
  }
}

static void
what_cannot_be_read_says_why (void **state)
{
  const Fixture *fixture = *state;
  g_autoptr (GError) error = NULL;
  char *text = NULL;
  RagifySkipReason reason = RAGIFY_SKIP_HIDDEN;
  assert_int_equal (ragify_text_file_read (fixture->root, "gone.md", &text, &reason, &error), RAGIFY_TEXT_FAILED);
  assert_non_null (error);
  g_autoptr (GError) walk_error = NULL;
  assert_null (ragify_text_folder_walk ("/nowhere/at/all", NULL, NULL, &walk_error));
  assert_non_null (strstr (walk_error->message, "/nowhere/at/all"));
}

int
main (void)
{
  cmocka_set_message_output (CM_OUTPUT_TAP);
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown (text_files_are_found_by_name_in_order, set_up, tear_down),
    cmocka_unit_test_setup_teardown (links_are_not_followed, set_up, tear_down),
    cmocka_unit_test_setup_teardown (a_link_put_in_the_way_after_the_walk_is_not_followed, set_up, tear_down),
    cmocka_unit_test_setup_teardown (patterns_choose_names_and_folders, set_up, tear_down),
    cmocka_unit_test_setup_teardown (only_utf8_text_is_read, set_up, tear_down),
    cmocka_unit_test_setup_teardown (what_cannot_be_read_says_why, set_up, tear_down),
  };
  return cmocka_run_group_tests (tests, NULL, NULL);
}
