/* Runs the checked-in configurations. SPDX-License-Identifier: MIT
 *
 *   corpus bad FOLDER    each NAME.conf, or folder NAME.d, must give exactly the text of NAME.expected, and be refused
 *                        unless that text has no error in it
 *   corpus good FOLDER   each must load without any error or warning; where NAME.print is there, --print-config of it
 * must be that text corpus write FOLDER  writes NAME.expected of all cases that have none yet, for a person to read and
 * judge
 *
 * Paths are relative to FOLDER, so that texts do not depend on where it lies. A file NAME.set holds overrides, one a
 * line.
 */
#include "tests/config/components.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const environment[] = { "RAGIFY_TEST_PORT=8181",
                                           "RAGIFY_TEST_TOKEN=hush-hush",
                                           "RAGIFY_TEST_WORDS=one; two # three",
                                           "CREDENTIALS_DIRECTORY=credentials",
                                           "HOME=/nowhere",
                                           NULL };

/* What must never be seen in any output. */
static const char *const secrets[] = { "hush-hush", "hunter2", NULL };

static unsigned int n_cases = 0;
static unsigned int n_failed = 0;

static void
verdict (bool passed, const char *name, const char *detail)
{
  g_auto (GStrv) lines = g_strsplit (detail == NULL ? "" : detail, "\n", -1);

  printf ("%s %u - %s\n", passed ? "ok" : "not ok", ++n_cases, name);
  if (passed)
    return;
  n_failed++;
  for (size_t i = 0; lines[i] != NULL; i++)
    printf ("# %s\n", lines[i]);
}

static RagifyConfig *
load (const char *name, char **text, unsigned int *problems)
{
  const char *const paths[] = { name, NULL };
  g_autofree char *stem = g_strndup (name, (gsize)(strrchr (name, '.') - name));
  g_autofree char *set_path = g_strconcat (stem, ".set", NULL);
  g_autofree char *set_text = NULL;
  g_auto (GStrv) overrides = NULL;
  g_autoptr (RagifyDiagnostics) diagnostics = ragify_diagnostics_new ();
  RagifyConfigInput input = { .paths = paths, .environment = environment, .default_state_dir = "/var/lib/ragify" };
  RagifyConfig *config = NULL;

  if (g_file_get_contents (set_path, &set_text, NULL, NULL)) {
    overrides = g_strsplit (g_strchomp (set_text), "\n", -1);
    input.overrides = (const char *const *)overrides;
  }
  config = ragify_config_load (&input, &test_components, diagnostics);
  *text = ragify_diagnostics_to_text (diagnostics);
  *problems = ragify_diagnostics_count (diagnostics, RAGIFY_SEVERITY_ERROR) +
              ragify_diagnostics_count (diagnostics, RAGIFY_SEVERITY_WARNING);
  return config;
}

static bool
leaks_secret (const char *text)
{
  for (size_t i = 0; secrets[i] != NULL; i++)
    if (strstr (text, secrets[i]) != NULL)
      return true;
  return false;
}

static void
run_bad (const char *name, const char *stem, bool write)
{
  g_autofree char *expected_path = g_strconcat (stem, ".expected", NULL);
  g_autofree char *expected = NULL;
  g_autofree char *found = NULL;
  g_autofree char *detail = NULL;
  unsigned int problems = 0;
  g_autoptr (RagifyConfig) config = load (name, &found, &problems);
  bool refused = config == NULL;
  bool present = g_file_get_contents (expected_path, &expected, NULL, NULL);

  if (write && !present) {
    g_file_set_contents (expected_path, found, -1, NULL);
    printf ("%s\n%s", name, found);
    return;
  }
  detail = g_strdup_printf ("expected:\n%sfound (%s):\n%s", present ? expected : "(no file)\n",
                            refused ? "refused" : "loaded", found);
  verdict (present && strcmp (expected, found) == 0 && !leaks_secret (found) &&
               refused == (strstr (found, " error: ") != NULL) && *found != '\0',
           stem, detail);
}

static void
run_good (const char *name, const char *stem)
{
  g_autofree char *print_path = g_strconcat (stem, ".print", NULL);
  g_autofree char *expected = NULL;
  g_autofree char *found = NULL;
  unsigned int problems = 0;
  g_autoptr (RagifyConfig) config = load (name, &found, &problems);
  g_autoptr (GString) printed = g_string_new (NULL);
  g_autofree char *detail = NULL;
  bool passed = config != NULL && problems == 0;

  if (config != NULL)
    ragify_config_print (config, printed);
  if (g_file_get_contents (print_path, &expected, NULL, NULL))
    passed = passed && strcmp (expected, printed->str) == 0;
  passed = passed && !leaks_secret (printed->str) && !leaks_secret (found);
  detail = g_strdup_printf ("%s%s", found, expected == NULL ? "" : printed->str);
  verdict (passed, stem, detail);
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

int
main (int argc, char **argv)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GDir) folder = NULL;
  const char *name = NULL;

  if (argc != 3 || chdir (argv[2]) != 0 || (folder = g_dir_open (".", 0, NULL)) == NULL) {
    fprintf (stderr, "usage: corpus bad|good|write FOLDER\n");
    return 2;
  }
  while ((name = g_dir_read_name (folder)) != NULL)
    if (g_str_has_suffix (name, ".conf") || g_str_has_suffix (name, ".d"))
      g_ptr_array_add (names, g_strdup (name));
  g_ptr_array_sort (names, compare_names);
  if (strcmp (argv[1], "write") != 0)
    printf ("1..%u\n", names->len);
  for (unsigned int i = 0; i < names->len; i++) {
    const char *path = g_ptr_array_index (names, i);
    g_autofree char *stem = g_strndup (path, (gsize)(strrchr (path, '.') - path));

    if (strcmp (argv[1], "good") == 0)
      run_good (path, stem);
    else
      run_bad (path, stem, strcmp (argv[1], "write") == 0);
  }
  return n_failed == 0 ? 0 : 1;
}
