/* source-files through the loaded plugin: real folders, real files.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kit.h"

typedef struct Fixture {
  char *root, *outside;
  RagifyKit *kit;
  RagifyKitInstance *source;
} Fixture;

static void
put (const char *folder, const char *path, const char *text)
{
  g_autofree char *full = g_build_filename (folder, path, NULL);
  g_autofree char *parent = g_path_get_dirname (full);
  assert_int_equal (g_mkdir_with_parents (parent, 0700), 0);
  assert_true (g_file_set_contents (full, text, -1, NULL));
}

static void
open_source (Fixture *fixture, const char *extra)
{
  g_autofree char *root = g_strconcat ("root=", fixture->root, NULL);
  const char *config[] = { root, "refresh=1s", extra, NULL };
  fixture->source =
      ragify_kit_open (fixture->kit, g_getenv ("SOURCE_FILES"), RAGIFY_KIND_SOURCE, "files", config, NULL);
  if (fixture->source == NULL)
    fail_msg ("%s", ragify_kit_error (fixture->kit));
}

static int
set_up (void **state)
{
  Fixture *fixture = g_new0 (Fixture, 1);
  fixture->root = g_dir_make_tmp ("ragify-files-XXXXXX", NULL);
  fixture->outside = g_dir_make_tmp ("ragify-outside-XXXXXX", NULL);
  const RagifyKitOptions options = { .quiet = 1 };
  fixture->kit = ragify_kit_new (&options);
  put (fixture->root, "recipes/bread.md", "# Bread\n\nFlour, water, salt and yeast make a dough.\n");
  put (fixture->root, "recipes/deep/er/soup.txt", "A leek soup wants potatoes and cream.\n");
  put (fixture->root, "engine.c", "int main (void) { return potatoes; }\n");
  put (fixture->root, ".hidden/secret.md", "a hidden potato\n");
  put (fixture->outside, "elsewhere.md", "a potato outside the root\n");
  *state = fixture;
  return 0;
}

static int
tear_down (void **state)
{
  Fixture *fixture = *state;
  if (fixture->source != NULL)
    ragify_kit_close (fixture->source);
  assert_int_equal (ragify_kit_faults (fixture->kit), 0);
  ragify_kit_free (fixture->kit);
  const char *argv[] = { "rm", "-rf", fixture->root, fixture->outside, NULL };
  g_spawn_sync (NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
  g_free (fixture->root);
  g_free (fixture->outside);
  g_free (fixture);
  return 0;
}

static RagifyKitCall *
ask (Fixture *fixture, const char *text, guint top_k)
{
  const RagifySourceOperations *operations = ragify_kit_operations (fixture->source);
  const RagifySourceQuery query = { .struct_size = sizeof query, .top_k = top_k, .text = ragify_str_from (text) };
  return ragify_kit_call (fixture->source, (RagifyKitFunction)operations->query, &query, 0);
}

/* The document ids that a query finds, joined by blanks. */
static char *
found_by (Fixture *fixture, const char *text)
{
  RagifyKitCall *call = ask (fixture, text, 10);
  assert_int_equal (call->code, RAGIFY_OK);
  const RagifySourceResult *result = call->result;
  GString *names = g_string_new (NULL);
  for (guint64 i = 0; i < result->chunks.count; i++) {
    const RagifyStr id = result->chunks.items[i].document_id;
    g_string_append_printf (names, "%s%.*s", i > 0 ? " " : "", (int)id.size, id.data);
  }
  ragify_kit_call_free (call);
  return g_string_free (names, FALSE);
}

static void
assert_finds (Fixture *fixture, const char *text, const char *expected)
{
  g_autofree char *found = found_by (fixture, text);
  assert_string_equal (found, expected);
}

static void
finds_by_words_with_stemming (void **state)
{
  Fixture *fixture = *state;
  open_source (fixture, NULL);
  assert_finds (fixture, "how much YEAST for doughs?", "recipes/bread.md");
  assert_finds (fixture, "potato", "recipes/deep/er/soup.txt"); /* not the .c, the hidden, the one outside */
  assert_finds (fixture, "nothing of the kind: zeppelin", "");
}

static void
any_text_is_a_question (void **state)
{
  Fixture *fixture = *state;
  open_source (fixture, NULL);
  assert_finds (fixture, "\" OR 1=1; DROP TABLE words; -- NEAR( * ^ yeast", "recipes/bread.md");
  assert_finds (fixture, "…!?", "");
  g_autofree char *long_text = g_strnfill (32768, 'x');
  assert_finds (fixture, long_text, "");
}

static void
chunks_say_where_they_are (void **state)
{
  Fixture *fixture = *state;
  g_autoptr (GString) text = g_string_new (NULL);
  for (guint i = 0; i < 200; i++)
    g_string_append_printf (text, "Sentence number %u is about größe.\n", i);
  put (fixture->root, "long.txt", text->str);
  open_source (fixture, NULL);
  RagifyKitCall *call = ask (fixture, "größe", 100);
  const RagifySourceResult *result = call->result;
  assert_true (result->chunks.count > 5);
  for (guint64 i = 0; i < result->chunks.count; i++) {
    const RagifyChunk *chunk = &result->chunks.items[i];
    assert_int_equal (chunk->end - chunk->begin, chunk->content.size);
    assert_memory_equal (text->str + chunk->begin, chunk->content.data, chunk->content.size);
    assert_true (g_utf8_validate (chunk->content.data, (gssize)chunk->content.size, NULL));
  }
  ragify_kit_call_free (call);
}

static void
links_do_not_lead_out_of_the_root (void **state)
{
  Fixture *fixture = *state;
  g_autofree char *file = g_build_filename (fixture->outside, "elsewhere.md", NULL);
  g_autofree char *link = g_build_filename (fixture->root, "link.md", NULL);
  g_autofree char *folder_link = g_build_filename (fixture->root, "folder", NULL);
  assert_int_equal (symlink (file, link), 0);
  assert_int_equal (symlink (fixture->outside, folder_link), 0);
  g_autofree char *pipe = g_build_filename (fixture->root, "pipe.md", NULL);
  assert_int_equal (mkfifo (pipe, 0600), 0); /* would block whoever opens it */
  open_source (fixture, NULL);
  assert_finds (fixture, "outside", "");
}

static void
what_is_no_text_is_left_out (void **state)
{
  Fixture *fixture = *state;
  put (fixture->root, "latin1.txt", "caf\xe9 potato");
  g_autofree char *binary = g_build_filename (fixture->root, "binary.txt", NULL);
  assert_true (g_file_set_contents (binary, "potato\0potato", 13, NULL));
  put (fixture->root, "large.txt", "potato");
  g_autofree char *large = g_build_filename (fixture->root, "large.txt", NULL);
  assert_int_equal (truncate (large, 5 << 20), 0);
  open_source (fixture, NULL);
  assert_finds (fixture, "potato", "recipes/deep/er/soup.txt");
}

static void
changes_are_seen (void **state)
{
  Fixture *fixture = *state;
  open_source (fixture, NULL);
  put (fixture->root, "new.md", "zeppelins float");
  g_autofree char *soup = g_build_filename (fixture->root, "recipes/deep/er/soup.txt", NULL);
  assert_int_equal (g_unlink (soup), 0);
  g_usleep (1100000);
  assert_finds (fixture, "zeppelin", "new.md");
  assert_finds (fixture, "potato", "");
  assert_finds (fixture, "yeast", "recipes/bread.md");
}

static void
include_and_exclude_select (void **state)
{
  Fixture *fixture = *state;
  open_source (fixture, "include=recipes/**/*.txt; engine.c");
  assert_finds (fixture, "potatoes", "engine.c recipes/deep/er/soup.txt");
  assert_finds (fixture, "yeast", "");
}

static void
a_missing_root_is_refused_by_name (void **state)
{
  Fixture *fixture = *state;
  const char *config[] = { "root=/nowhere/at/all", NULL };
  fixture->source = NULL;
  assert_null (ragify_kit_open (fixture->kit, g_getenv ("SOURCE_FILES"), RAGIFY_KIND_SOURCE, "files", config, NULL));
  assert_non_null (strstr (ragify_kit_error (fixture->kit), "/nowhere/at/all: No such file or directory"));
}

static void
scan_gives_whole_files_page_by_page (void **state)
{
  Fixture *fixture = *state;
  open_source (fixture, NULL);
  const RagifySourceOperations *operations = ragify_kit_operations (fixture->source);
  RagifySourceScan scan = { .struct_size = sizeof scan, .limit = 1 };
  RagifyKitCall *first = ragify_kit_call (fixture->source, (RagifyKitFunction)operations->scan, &scan, 0);
  assert_int_equal (first->code, RAGIFY_OK);
  assert_int_equal (first->item_count, 1);
  const RagifyChunk *bread = first->items[0];
  assert_int_equal (bread->document_id.size, strlen ("recipes/bread.md"));
  assert_memory_equal (bread->document_id.data, "recipes/bread.md", bread->document_id.size);
  scan.cursor = ((const RagifySourceScanResult *)first->result)->cursor;
  assert_true (scan.cursor.size > 0);
  RagifyKitCall *second = ragify_kit_call (fixture->source, (RagifyKitFunction)operations->scan, &scan, 0);
  assert_int_equal (second->item_count, 1);
  assert_int_equal (((const RagifySourceScanResult *)second->result)->cursor.size, 0);
  ragify_kit_call_free (first);
  ragify_kit_call_free (second);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown (finds_by_words_with_stemming, set_up, tear_down),
    cmocka_unit_test_setup_teardown (any_text_is_a_question, set_up, tear_down),
    cmocka_unit_test_setup_teardown (chunks_say_where_they_are, set_up, tear_down),
    cmocka_unit_test_setup_teardown (links_do_not_lead_out_of_the_root, set_up, tear_down),
    cmocka_unit_test_setup_teardown (what_is_no_text_is_left_out, set_up, tear_down),
    cmocka_unit_test_setup_teardown (changes_are_seen, set_up, tear_down),
    cmocka_unit_test_setup_teardown (include_and_exclude_select, set_up, tear_down),
    cmocka_unit_test_setup_teardown (a_missing_root_is_refused_by_name, set_up, tear_down),
    cmocka_unit_test_setup_teardown (scan_gives_whole_files_page_by_page, set_up, tear_down),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
