/* source-sqlite through the loaded plugin: real database files.
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
#include <sqlite3.h>
#include <string.h>
#include <unistd.h>

#include "kit.h"

typedef struct Fixture {
  char *folder, *path;
  sqlite3 *writer;
  RagifyKit *kit;
  RagifyKitInstance *source;
} Fixture;

static void
run (Fixture *fixture, const char *sql)
{
  if (sqlite3_exec (fixture->writer, sql, NULL, NULL, NULL) != SQLITE_OK)
    fail_msg ("%s: %s", sql, sqlite3_errmsg (fixture->writer));
}

static int
set_up (void **state)
{
  Fixture *fixture = g_new0 (Fixture, 1);
  const RagifyKitOptions options = { .quiet = 1 };
  fixture->folder = g_dir_make_tmp ("ragify-sqlite-XXXXXX", NULL);
  fixture->path = g_build_filename (fixture->folder, "notes.db", NULL);
  fixture->kit = ragify_kit_new (&options);
  assert_int_equal (sqlite3_open (fixture->path, &fixture->writer), SQLITE_OK);
  run (fixture, "CREATE VIRTUAL TABLE documents USING fts5 (title, content, tokenize = porter);"
                "INSERT INTO documents VALUES ('Bread', 'Flour, water, salt and yeast make a dough.'),"
                " ('Soup', 'A leek soup wants potatoes, cream and salt.'), ('Odd', 'It is 100% salt_free AND more.');"
                "CREATE TABLE plain (id TEXT PRIMARY KEY, content TEXT, weight REAL, meta TEXT, day TEXT);"
                "INSERT INTO plain VALUES ('a', 'salt 100% of it', 0.5, '{\"n\": 1}', '2024-05-01 12:00:00'),"
                " ('b', 'salt 1000', 0.9, 'no json', NULL), ('c', CAST(x'73616c74e9' AS TEXT), NULL, NULL, NULL)");
  *state = fixture;
  return 0;
}

static void
close_source (Fixture *fixture)
{
  if (fixture->source != NULL)
    ragify_kit_close (fixture->source);
  fixture->source = NULL;
}

static int
tear_down (void **state)
{
  Fixture *fixture = *state;
  close_source (fixture);
  assert_int_equal (ragify_kit_faults (fixture->kit), 0);
  ragify_kit_free (fixture->kit);
  sqlite3_close (fixture->writer);
  const char *argv[] = { "rm", "-rf", fixture->folder, NULL };
  g_spawn_sync (NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
  g_free (fixture->folder);
  g_free (fixture->path);
  g_free (fixture);
  return 0;
}

static void
open_source (Fixture *fixture, const char *a, const char *b, const char *c)
{
  g_autofree char *path = g_strconcat ("path=", fixture->path, NULL);
  const char *config[] = { path, a, b, c, NULL };
  close_source (fixture);
  fixture->source =
      ragify_kit_open (fixture->kit, g_getenv ("SOURCE_SQLITE"), RAGIFY_KIND_SOURCE, "sqlite", config, NULL);
}

static RagifyKitCall *
ask (Fixture *fixture, const char *text, guint64 timeout_us)
{
  if (fixture->source == NULL)
    fail_msg ("%s", ragify_kit_error (fixture->kit));
  const RagifySourceOperations *operations = ragify_kit_operations (fixture->source);
  const RagifySourceQuery query = { .struct_size = sizeof query, .top_k = 10, .text = ragify_str_from (text) };
  return ragify_kit_call (fixture->source, (RagifyKitFunction)operations->query, &query, timeout_us);
}

static const RagifyChunk *
chunk_of (const RagifyKitCall *call, guint index)
{
  if (call->code != RAGIFY_OK)
    fail_msg ("%s", call->message);
  const RagifySourceResult *result = call->result;
  assert_true (index < result->chunks.count);
  return &result->chunks.items[index];
}

static void
assert_finds (Fixture *fixture, const char *text, const char *expected)
{
  RagifyKitCall *call = ask (fixture, text, 0);
  if (call->code != RAGIFY_OK)
    fail_msg ("%s", call->message);
  const RagifySourceResult *result = call->result;
  g_autoptr (GString) names = g_string_new (NULL);
  for (guint64 i = 0; i < result->chunks.count; i++) {
    const RagifyStr id = result->chunks.items[i].document_id;
    g_string_append_printf (names, "%s%.*s", i > 0 ? " " : "", (int)id.size, id.data);
  }
  ragify_kit_call_free (call);
  assert_string_equal (names->str, expected);
}

static void
assert_fails (RagifyKitCall *call, gint32 code, const char *part)
{
  if (call->code != code || strstr (call->message, part) == NULL)
    fail_msg ("expected %d '%s', found %d '%s'", code, part, call->code, call->message);
  ragify_kit_call_free (call);
}

static void
full_text_ranks_by_words (void **state)
{
  Fixture *fixture = *state;
  open_source (fixture, "title-column=title", NULL, NULL);
  assert_finds (fixture, "which potato soups?", "2");
  assert_finds (fixture, "yeast, salt & flour", "1 3 2");
  assert_finds (fixture, "zeppelin", "");
  RagifyKitCall *call = ask (fixture, "yeast", 0);
  assert_memory_equal (chunk_of (call, 0)->title.data, "Bread", 5);
  assert_true (chunk_of (call, 0)->score > 0);
  ragify_kit_call_free (call);
  run (fixture, "INSERT INTO documents VALUES ('New', 'zeppelins float')");
  assert_finds (fixture, "zeppelin", "4");
}

static void
a_query_is_never_syntax (void **state)
{
  Fixture *fixture = *state;
  static const char *const hostile[] = { "'; DROP TABLE documents; --",
                                         "\" OR \"",
                                         "title:soup NEAR( ^* -",
                                         "",
                                         "$match",
                                         "AND",
                                         "\xe2\x80\xa6",
                                         "content : x" };
  static const char *const ways[] = { "statement=fts5", "statement=like" };
  for (guint w = 0; w < G_N_ELEMENTS (ways); w++) {
    open_source (fixture, ways[w], NULL, NULL);
    for (guint i = 0; i < G_N_ELEMENTS (hostile); i++) {
      RagifyKitCall *call = ask (fixture, hostile[i], 0);
      if (call->code != RAGIFY_OK)
        fail_msg ("%s: %s", hostile[i], call->message);
      ragify_kit_call_free (call);
    }
  }
  assert_finds (fixture, "100% salt_", "3");
}

static void
a_plain_table_and_its_types (void **state)
{
  Fixture *fixture = *state;
  open_source (fixture, "statement=like", "table=plain", "score-column=weight");
  assert_finds (fixture, "salt", "2 1 3");
  assert_finds (fixture, "100%", "1");
  open_source (
      fixture,
      "statement=SELECT id, content, weight AS score, meta AS metadata, day AS created_at, 7 AS seven, x'00ff' "
      "AS raw FROM plain WHERE content LIKE $pattern ESCAPE '\\' ORDER BY id LIMIT $limit",
      "metadata-column=metadata", "id-column=id");
  RagifyKitCall *call = ask (fixture, "salt", 0);
  assert_int_equal (chunk_of (call, 0)->created_at, 1714564800000000);
  assert_memory_equal (chunk_of (call, 0)->document_id.data, "a", 1);
  g_autofree char *metadata = g_strndup (chunk_of (call, 0)->metadata.data, chunk_of (call, 0)->metadata.size);
  assert_non_null (strstr (metadata, "\"n\":1"));
  assert_non_null (strstr (metadata, "\"seven\":7"));
  assert_memory_equal (chunk_of (call, 2)->content.data, "salt\xef\xbf\xbd", 7);
  ragify_kit_call_free (call);
}

static void
statements_that_write_or_are_wrong_are_refused (void **state)
{
  Fixture *fixture = *state;
  static const char *const cases[][2] = {
    { "statement=DELETE FROM plain", "expected one that only reads" },
    { "statement=SELEC 1", "syntax error" },
    { "statement=", "expected" },
    { "table=nowhere", "no such table: nowhere" },
    { "statement=ATTACH 'x.db' AS x", "" },
    { "content-column=", "content-column" },
  };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    open_source (fixture, cases[i][0], NULL, NULL);
    if (fixture->source != NULL || strstr (ragify_kit_error (fixture->kit), cases[i][1]) == NULL)
      fail_msg ("%s: %s", cases[i][0], fixture->source != NULL ? "(taken)" : ragify_kit_error (fixture->kit));
  }
  open_source (fixture, "statement=SELECT title FROM documents", NULL, NULL);
  assert_fails (ask (fixture, "x", 0), RAGIFY_E_INVALID, "no column 'content'; it has title");
}

#define ENDLESS                                                                                                        \
  "statement=WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT 'x' AS content FROM n WHERE i < " \
  "0"

static void
an_endless_query_ends_at_its_deadline_or_when_cancelled (void **state)
{
  Fixture *fixture = *state;
  open_source (fixture, ENDLESS, NULL, NULL);
  assert_fails (ask (fixture, "x", 200000), RAGIFY_E_TIMEOUT, "deadline");
  const RagifySourceOperations *operations = ragify_kit_operations (fixture->source);
  const RagifySourceQuery query = { .struct_size = sizeof query, .top_k = 1, .text = ragify_str_from ("x") };
  RagifyKitCall *call = ragify_kit_begin (fixture->source, (RagifyKitFunction)operations->query, &query, 0);
  g_usleep (50000);
  ragify_kit_cancel (call);
  assert_fails (ragify_kit_wait (call), RAGIFY_E_CANCELLED, "cancelled");
}

static void
rows_without_end_cost_no_more_than_those_wanted (void **state)
{
  Fixture *fixture = *state;
  open_source (fixture,
               "statement=WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS rowid, 'x' AS "
               "content FROM n",
               NULL, NULL);
  assert_finds (fixture, "x", "1 2 3 4 5 6 7 8 9 10");
  open_source (fixture, "statement=SELECT replace(hex(zeroblob(200000)), '0', 'x') AS content FROM plain, plain",
               "max-result=1MiB", NULL);
  RagifyKitCall *call = ask (fixture, "x", 0);
  assert_int_equal (((const RagifySourceResult *)call->result)->chunks.count, 3);
  ragify_kit_call_free (call);
}

static void
a_locked_file_is_waited_for (void **state)
{
  Fixture *fixture = *state;
  open_source (fixture, "busy-timeout=200ms", NULL, NULL);
  run (fixture, "BEGIN EXCLUSIVE");
  assert_fails (ask (fixture, "yeast", 0), RAGIFY_E_UNAVAILABLE, "locked");
  run (fixture, "COMMIT");
  assert_finds (fixture, "yeast", "1");
}

static void
a_missing_or_damaged_file_is_said_by_name_and_found_later (void **state)
{
  Fixture *fixture = *state;
  g_autofree char *path = g_strconcat ("path=", fixture->folder, "/later.db", NULL);
  g_autofree char *later = g_build_filename (fixture->folder, "later.db", NULL);
  const char *config[] = { path, NULL };
  fixture->source =
      ragify_kit_open (fixture->kit, g_getenv ("SOURCE_SQLITE"), RAGIFY_KIND_SOURCE, "sqlite", config, NULL);
  assert_fails (ask (fixture, "x", 0), RAGIFY_E_UNAVAILABLE, "later.db: cannot be read");
  assert_true (g_file_set_contents (later, "this is no database, and long enough to be looked at as one", -1, NULL));
  assert_fails (ask (fixture, "x", 0), RAGIFY_E_UNAVAILABLE, "later.db: is damaged, or no SQLite database");
  g_autofree char *copy = g_strdup_printf ("VACUUM INTO '%s/good.db'", fixture->folder);
  g_autofree char *good = g_build_filename (fixture->folder, "good.db", NULL);
  run (fixture, copy);
  assert_int_equal (g_rename (good, later), 0);
  assert_finds (fixture, "yeast", "1");
}

static void
pages_that_are_overwritten_are_an_error (void **state)
{
  Fixture *fixture = *state;
  run (fixture, "BEGIN");
  for (guint i = 0; i < 2000; i++)
    run (fixture, "INSERT INTO plain VALUES (hex(randomblob(16)), hex(randomblob(200)), 1, NULL, NULL)");
  run (fixture, "COMMIT");
  sqlite3_close (fixture->writer);
  fixture->writer = NULL;
  g_autofree char *content = NULL;
  gsize size = 0;
  assert_true (g_file_get_contents (fixture->path, &content, &size, NULL));
  for (gsize i = 4096 * 4; i < size; i++)
    content[i] = (char)(i * 7);
  assert_true (g_file_set_contents (fixture->path, content, (gssize)size, NULL));
  open_source (fixture, "statement=SELECT content FROM plain WHERE content LIKE $pattern", NULL, NULL);
  assert_fails (ask (fixture, "zzz", 0), RAGIFY_E_UNAVAILABLE, "is damaged");
}

static void
a_scan_gives_every_row_page_by_page (void **state)
{
  Fixture *fixture = *state;
  open_source (fixture, "title-column=title", NULL, NULL);
  const RagifySourceOperations *operations = ragify_kit_operations (fixture->source);
  RagifySourceScan scan = { .struct_size = sizeof scan, .limit = 2 };
  RagifyKitCall *first = ragify_kit_call (fixture->source, (RagifyKitFunction)operations->scan, &scan, 0);
  assert_int_equal (first->code, RAGIFY_OK);
  assert_int_equal (first->item_count, 2);
  assert_int_equal (((const RagifyChunk *)first->items[0])->metadata.size, 0);
  scan.cursor = ((const RagifySourceScanResult *)first->result)->cursor;
  RagifyKitCall *second = ragify_kit_call (fixture->source, (RagifyKitFunction)operations->scan, &scan, 0);
  assert_int_equal (second->item_count, 1);
  assert_int_equal (((const RagifySourceScanResult *)second->result)->cursor.size, 0);
  ragify_kit_call_free (first);
  ragify_kit_call_free (second);
}

static void
many_are_asked_at_once (void **state)
{
  Fixture *fixture = *state;
  open_source (fixture, NULL, NULL, NULL);
  const RagifySourceOperations *operations = ragify_kit_operations (fixture->source);
  const RagifySourceQuery query = { .struct_size = sizeof query, .top_k = 3, .text = ragify_str_from ("yeast") };
  RagifyKitCall *calls[50];
  for (guint i = 0; i < G_N_ELEMENTS (calls); i++)
    calls[i] = ragify_kit_begin (fixture->source, (RagifyKitFunction)operations->query, &query, 0);
  for (guint i = 0; i < G_N_ELEMENTS (calls); i++) {
    assert_int_equal (((const RagifySourceResult *)ragify_kit_wait (calls[i])->result)->chunks.count, 1);
    ragify_kit_call_free (calls[i]);
  }
}

int
main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
    TEST (full_text_ranks_by_words),
    TEST (a_query_is_never_syntax),
    TEST (a_plain_table_and_its_types),
    TEST (statements_that_write_or_are_wrong_are_refused),
    TEST (an_endless_query_ends_at_its_deadline_or_when_cancelled),
    TEST (rows_without_end_cost_no_more_than_those_wanted),
    TEST (a_locked_file_is_waited_for),
    TEST (a_missing_or_damaged_file_is_said_by_name_and_found_later),
    TEST (pages_that_are_overwritten_are_an_error),
    TEST (a_scan_gives_every_row_page_by_page),
    TEST (many_are_asked_at_once),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
