/* Configurations far larger than any that people write. SPDX-License-Identifier: MIT
 *
 * What is asserted is the outcome; CPU times are printed for people to see (1,000 nodes are meant to take under 200
 * ms). */
#include "config/scanner.h"
#include "tests/unit/config/fixture.h"

#include <glib/gstdio.h>
#include <string.h>
#include <time.h>

static double
cpu_ms (void)
{
  return (double)clock () * 1000 / CLOCKS_PER_SEC;
}

static void
a_thousand_nodes_load (void **state)
{
  GString *text = g_string_new (FIXTURE_HTTP "[pipeline default]\nretrieve = b0\n");
  g_autoptr (RagifyConfig) config = NULL;
  double began = 0;
  size_t count = 0;

  for (int i = 0; i < 100; i++) {
    g_string_append_printf (text, "[balancer b%d]\nmembers = s%d", i, i * 8);
    for (int j = 1; j < 8; j++)
      g_string_append_printf (text, "; s%d", i * 8 + j);
    g_string_append_printf (text, "\n[pipeline p%d]\nretrieve = b%d; s%d\ndeadline = 900ms\n", i, i, i);
  }
  for (int i = 0; i < 800; i++)
    g_string_append_printf (text, "[source s%d]\nplugin = http\nbase-url = https://h%d.example/api\ndeadline = 250ms\n",
                            i, i);
  began = cpu_ms ();
  config = fixture_load_sound (text->str);
  print_message ("# 1,003 nodes: %.1f ms of CPU\n", cpu_ms () - began);
  ragify_config_nodes (config, &count);
  assert_int_equal (count, 1003);
  g_string_free (text, TRUE);
}

/* Each line wrong: as many diagnostics as are kept, each with its search for a near name, and an end to it. */
static void
ten_thousand_wrong_references_end (void **state)
{
  GString *text = g_string_new (FIXTURE_BASE);
  g_autofree char *problems = NULL;
  double began = 0;

  for (int i = 0; i < 12000; i++)
    g_string_append_printf (text, "[pipeline p%d]\nretrieve = q%d\n", i, i);
  began = cpu_ms ();
  assert_null (fixture_load (text->str, &problems));
  print_message ("# 12,000 wrong references: %.1f ms of CPU\n", cpu_ms () - began);
  assert_non_null (strstr (problems, "… and 2000 more\n"));
  g_string_free (text, TRUE);
}

static void
a_million_groups_are_scanned_and_refused (void **state)
{
  GString *text = g_string_sized_new (16 << 20);
  g_autoptr (RagifyDiagnostics) diagnostics = ragify_diagnostics_new ();
  RagifyScan *scan = NULL;
  g_autofree char *problems = NULL;
  double began = 0;

  for (int i = 0; i < 1000000; i++)
    g_string_append_printf (text, "[cache c%d]\n", i);
  began = cpu_ms ();
  scan = ragify_scan_bytes ("f", text->str, text->len, diagnostics);
  print_message ("# a million groups scanned: %.0f ms of CPU\n", cpu_ms () - began);
  assert_int_equal (scan->groups->len, 1000000);
  assert_int_equal (ragify_diagnostics_count (diagnostics, RAGIFY_SEVERITY_ERROR), 0);
  ragify_scan_free (scan);
  began = cpu_ms ();
  assert_null (fixture_load (text->str, &problems));
  print_message ("# … and loaded: %.0f ms of CPU\n", cpu_ms () - began);
  assert_non_null (strstr (problems, "more than 65536 groups in all"));
  g_string_free (text, TRUE);
}

static void
a_long_chain_of_pipelines_does_not_overflow (void **state)
{
  GString *text = g_string_new (FIXTURE_HTTP FIXTURE_SOURCE);
  g_autofree char *problems = NULL;

  for (int i = 0; i < 20000; i++)
    g_string_append_printf (text, "[pipeline p%d]\nretrieve = p%d\n", i, i + 1);
  g_string_append (text, "[pipeline p20000]\nretrieve = s\n");
  assert_null (fixture_load (text->str, &problems));
  assert_non_null (strstr (problems, "pipelines stand more than 8 deep in one another"));
  g_string_free (text, TRUE);
}

static void
a_file_of_100_mb_is_refused (void **state)
{
  char *folder = fixture_folder_new ();
  g_autofree char *path = g_build_filename (folder, "t.conf", NULL);
  g_autofree char *block = g_strnfill (1 << 20, '#');
  const char *const paths[] = { path, NULL };
  RagifyConfigInput input = { .paths = paths };
  g_autofree char *problems = NULL;
  g_autofree char *expected =
      g_strdup_printf ("%s: error: larger than 16 MiB; this is not a configuration file\n", path);
  FILE *file = fopen (path, "w");

  assert_non_null (file);
  for (int i = 0; i < 100; i++)
    assert_int_equal (fwrite (block, 1, 1 << 20, file), 1 << 20);
  assert_int_equal (fclose (file), 0);
  assert_null (fixture_load_input (&input, &problems));
  assert_true (g_str_has_prefix (problems, expected));
  fixture_folder_free (folder);
}

static void
endless_files_end (void **state)
{
  const char *const paths[] = { "/dev/zero", NULL };
  RagifyConfigInput input = { .paths = paths };
  g_autofree char *problems = NULL;

  assert_null (fixture_load_input (&input, &problems));
  assert_true (g_str_has_prefix (problems, "/dev/zero: error: larger than 16 MiB"));
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (a_thousand_nodes_load),
    cmocka_unit_test (ten_thousand_wrong_references_end),
    cmocka_unit_test (a_million_groups_are_scanned_and_refused),
    cmocka_unit_test (a_long_chain_of_pipelines_does_not_overflow),
    cmocka_unit_test (a_file_of_100_mb_is_refused),
    cmocka_unit_test (endless_files_end),
  };

  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
