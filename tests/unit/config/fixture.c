/* SPDX-License-Identifier: MIT */
#include "tests/unit/config/fixture.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

char *
fixture_folder_new (void)
{
  char *folder = g_dir_make_tmp ("ragify-config-XXXXXX", NULL);

  assert_non_null (folder);
  return folder;
}

static void
remove_tree (const char *path)
{
  g_autoptr (GDir) folder = g_file_test (path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open (path, 0, NULL);
  const char *name = NULL;

  while (folder != NULL && (name = g_dir_read_name (folder)) != NULL) {
    g_autofree char *below = g_build_filename (path, name, NULL);
    remove_tree (below);
  }
  g_remove (path);
}

void
fixture_folder_free (char *folder)
{
  remove_tree (folder);
  g_free (folder);
}

void
fixture_write (const char *folder, const char *name, const char *text)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autofree char *parent = g_path_get_dirname (path);

  assert_int_equal (g_mkdir_with_parents (parent, 0700), 0);
  assert_true (g_file_set_contents (path, text, -1, NULL));
}

RagifyConfig *
fixture_load_input (const RagifyConfigInput *input, char **problems)
{
  g_autoptr (RagifyDiagnostics) diagnostics = ragify_diagnostics_new ();
  RagifyConfig *config = ragify_config_load (input, &test_components, diagnostics);

  if (problems != NULL)
    *problems = ragify_diagnostics_to_text (diagnostics);
  assert_int_equal (config == NULL, ragify_diagnostics_count (diagnostics, RAGIFY_SEVERITY_ERROR) > 0);
  return config;
}

static char *
without (char *text, const char *part)
{
  g_auto (GStrv) pieces = g_strsplit (text, part, -1);

  g_free (text);
  return g_strjoinv ("", pieces);
}

RagifyConfig *
fixture_load (const char *text, char **problems)
{
  char *folder = fixture_folder_new ();
  g_autofree char *path = g_build_filename (folder, "t.conf", NULL);
  g_autofree char *prefix = g_strconcat (folder, "/", NULL);
  const char *const paths[] = { path, NULL };
  RagifyConfigInput input = { .paths = paths };
  RagifyConfig *config = NULL;

  fixture_write (folder, "t.conf", text);
  config = fixture_load_input (&input, problems);
  if (problems != NULL)
    *problems = without (*problems, prefix);
  fixture_folder_free (folder);
  return config;
}

RagifyConfig *
fixture_load_sound (const char *text)
{
  g_autofree char *problems = NULL;
  RagifyConfig *config = fixture_load (text, &problems);

  if (config == NULL)
    print_message ("%s", problems);
  assert_non_null (config);
  return config;
}
