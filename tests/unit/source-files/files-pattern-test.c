/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "files-ignore.h"
#include "files-pattern.h"

#include <string.h>

static gboolean
matches (const char *text, const char *path)
{
  g_auto (GStrv) names = g_strsplit (path, "/", -1);
  FilesPattern *pattern = files_pattern_new (text);
  const gboolean match = files_pattern_match (pattern, (const char *const *)names);
  files_pattern_free (pattern);
  return match;
}

static void
stars_stand_for_names_and_folders (void **state)
{
  static const struct {
    const char *pattern, *path;
    gboolean match;
  } cases[] = {
    { "*.md", "a.md", TRUE },
    { "*.md", "b/a.md", FALSE },
    { "**/*.md", "a.md", TRUE },
    { "**/*.md", "b/c/a.md", TRUE },
    { "b/**/*.md", "b/a.md", TRUE },
    { "b/**/*.md", "b/c/d/a.md", TRUE },
    { "b/**/*.md", "c/b/a.md", FALSE },
    { "b/**", "b/c/a.md", TRUE },
    { "b/**", "b", FALSE },
    { "**", "a/b/c", TRUE },
    { "**/c/**/e", "a/c/d/c/x/e", TRUE },
    { "**/c/**/e", "a/c/d/c/x/f", FALSE },
    { "a/*/c", "a/b/c", TRUE },
    { "a/*/c", "a/b/b/c", FALSE },
    { "a/?[b-d].txt", "a/xc.txt", TRUE },
    { "a/?[!b-d].txt", "a/xc.txt", FALSE },
    { "a\\*b", "a*b", TRUE },
    { "a\\*b", "axb", FALSE },
  };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    if (matches (cases[i].pattern, cases[i].path) != cases[i].match)
      fail_msg ("%s and %s", cases[i].pattern, cases[i].path);
}

/* With a matcher that goes back to every '**' this would not end. */
static void
many_stars_take_no_time (void **state)
{
  g_autoptr (GString) pattern = g_string_new (NULL);
  g_autoptr (GString) path = g_string_new (NULL);
  for (guint i = 0; i < 30; i++) {
    g_string_append (pattern, "**/a/");
    g_string_append (path, "a/a/");
  }
  g_string_append (pattern, "b");
  g_string_append (path, "c");
  assert_false (matches (pattern->str, path->str));
}

static gboolean
ignored (const FilesIgnore *ignore, const char *path)
{
  const gboolean folder = g_str_has_suffix (path, "/");
  g_autofree char *plain = g_strndup (path, strlen (path) - (folder ? 1 : 0));
  g_auto (GStrv) names = g_strsplit (plain, "/", -1);
  return files_ignore_match (ignore, (const char *const *)names, folder);
}

static void
ignore_files_say_what_gitignore_says (void **state)
{
  FilesIgnore *ignore = files_ignore_new ();
  files_ignore_add (ignore,
                    "# note\n\n*.o\n!main.o\n/top\ndocs/*.txt\nbuild/\n\\#sharp\n\\!bang\nspace \nkept\\ \n"
                    "dos\r\na/**/z\n",
                    0);
  static const struct {
    const char *path;
    gboolean ignored;
  } cases[] = {
    { "x.o", TRUE },           { "deep/er/x.o", TRUE }, { "main.o", FALSE },    { "deep/main.o", FALSE },
    { "top", TRUE },           { "deep/top", FALSE },   { "docs/a.txt", TRUE }, { "docs/b/a.txt", FALSE },
    { "x/docs/a.txt", FALSE }, { "build/", TRUE },      { "build", FALSE },     { "deep/build/", TRUE },
    { "#sharp", TRUE },        { "!bang", TRUE },       { "space", TRUE },      { "kept ", TRUE },
    { "dos", TRUE },           { "a/z", TRUE },         { "a/b/c/z", TRUE },    { "note", FALSE },
  };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    if (ignored (ignore, cases[i].path) != cases[i].ignored)
      fail_msg ("%s", cases[i].path);
  const guint count = files_ignore_count (ignore);
  files_ignore_add (ignore, "!x.o\n/only-here\n", 1);
  assert_false (ignored (ignore, "sub/x.o"));
  assert_true (ignored (ignore, "sub/only-here"));
  assert_false (ignored (ignore, "sub/sub/only-here"));
  files_ignore_cut (ignore, count);
  assert_true (ignored (ignore, "sub/x.o"));
  files_ignore_free (ignore);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (stars_stand_for_names_and_folders),
    cmocka_unit_test (many_stars_take_no_time),
    cmocka_unit_test (ignore_files_say_what_gitignore_says),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
