/* What source-postgres asks and what it makes of the answers: a real server, the loaded plugin.
 *
 * SPDX-License-Identifier: MIT
 */
#include "fixture.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

static void
by_default_content_that_has_the_query_in_order_of_relevance (void **state)
{
  Fixture *fixture = *state;
  fixture_open (fixture, NULL, NULL);
  fixture_finds (fixture, "SALT", "bread percent soup thousand"); /* a NULL score is last */
  fixture_finds (fixture, "leek soup", "soup");
  fixture_finds (fixture, "soup leek", "");
  RagifyKitCall *call = fixture_ask (fixture, "salt", 2, 0);
  assert_int_equal (((const RagifySourceResult *)call->result)->chunks.count, 2);
  const RagifyChunk *chunk = fixture_chunk (call, 0);
  assert_true (chunk->score == 0.9);
  assert_true (chunk->flags & RAGIFY_CHUNK_SCORED);
  assert_memory_equal (chunk->metadata.data, "{\"lang\":\"en\",\"year\":2020}", chunk->metadata.size);
  ragify_kit_call_free (call);
}

static void
wildcards_stand_for_themselves (void **state)
{
  Fixture *fixture = *state;
  fixture_open (fixture, NULL, NULL);
  fixture_finds (fixture, "100%", "percent");
  fixture_finds (fixture, "salt_", "percent");
  fixture_finds (fixture, "\\o/", "percent");
  fixture_finds (fixture, "%", "percent");
}

static void
a_query_is_never_sql (void **state)
{
  Fixture *fixture = *state;
  static const char *const hostile[] = {
    "'; DROP TABLE documents; --",
    "\\'; DROP TABLE documents; --",
    "$1",
    "$query",
    "%s%n",
    "' OR '1'='1",
    "x') UNION SELECT usename FROM pg_user --",
    "\xf0\x9f\x92\xa3 \xe2\x80\xae",
    "E'\\x27'",
  };
  static const char *const ways[] = {
    "statement=ilike",
    "statement=fulltext",
    "match=all",
    "statement=SELECT id, content FROM documents WHERE content ILIKE $pattern OR content = $query LIMIT $limit",
  };
  for (guint w = 0; w < G_N_ELEMENTS (ways); w++) {
    fixture_open (fixture, ways[w], w == 2 ? "statement=fulltext" : NULL, NULL);
    for (guint i = 0; i < G_N_ELEMENTS (hostile); i++) {
      RagifyKitCall *call = fixture_ask (fixture, hostile[i], 10, 0);
      if (call->code != RAGIFY_OK)
        fail_msg ("%s: %s: %s", ways[w], hostile[i], call->message);
      ragify_kit_call_free (call);
    }
    fixture_close (fixture);
  }
  fixture_open (fixture, NULL, NULL);
  fixture_finds (fixture, "DROP TABLE documents; --", "quote");
  assert_int_equal (ragify_test_postgres_count (fixture->server, "SELECT count(*) FROM documents"), 5);
  const RagifySourceOperations *operations = ragify_kit_operations (fixture->source);
  const RagifySourceQuery query = { .struct_size = sizeof query, .top_k = 1, .text = { "a\0b", 3 } };
  fixture_fails (ragify_kit_call (fixture->source, (RagifyKitFunction)operations->query, &query, 0), RAGIFY_E_INVALID,
                 "U+0000");
}

static void
text_search_ranks_by_words (void **state)
{
  Fixture *fixture = *state;
  fixture_open (fixture, "statement=fulltext", NULL);
  fixture_finds (fixture, "which soups have potato & cream?", "soup");
  fixture_finds (fixture, "salty salted yeast doughs with flour", "bread soup percent thousand");
  RagifyKitCall *call = fixture_ask (fixture, "salt", 10, 0);
  const RagifyChunk *chunk = fixture_chunk (call, 0);
  assert_true (chunk->score > 0 && chunk->score < 1 && (chunk->flags & RAGIFY_CHUNK_SCORED));
  ragify_kit_call_free (call);
  fixture_close (fixture);
  fixture_open (fixture, "statement=fulltext", "match=all", "language=simple", NULL);
  fixture_finds (fixture, "leek soup", "soup");
  fixture_finds (fixture, "soups", "");
  fixture_finds (fixture, "salt -leek", "bread percent");
}

static void
names_in_a_statement_are_parameters_unless_quoted (void **state)
{
  Fixture *fixture = *state;
  fixture_open (fixture,
                "statement=SELECT '$query' || $$ $limit $$ || $x$ $filter $x$ || E'\\'$query' AS title /* $nothing /* "
                "$more */ */, $query || '?' AS content, \"id\" -- $neither\n FROM documents WHERE content ILIKE "
                "$pattern ORDER BY id LIMIT $limit",
                NULL);
  RagifyKitCall *call = fixture_ask (fixture, "leek", 3, 0);
  const RagifyChunk *chunk = fixture_chunk (call, 0);
  assert_memory_equal (chunk->content.data, "leek?", chunk->content.size);
  assert_memory_equal (chunk->title.data, "$query $limit  $filter '$query", chunk->title.size);
  ragify_kit_call_free (call);
}

static void
wrong_statements_are_refused_with_reason (void **state)
{
  Fixture *fixture = *state;
  static const char *const cases[][2] = {
    { "statement=SELECT $text AS content", "found $text" },
    { "statement=SELECT $1 AS content", "found $1" },
    { "statement=SELECT $embedding AS content", "postgres-vector" },
    { "statement=SELEC content FROM documents", "syntax error" },
    { "table=nowhere", "relation \"nowhere\" does not exist" },
    { "title-column=headline", "column \"headline\" does not exist" },
    { "content-column=", "content-column" },
  };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    const char *keys[] = { cases[i][0], NULL };
    g_autofree char *error = fixture_try (fixture, "postgres", NULL, NULL, keys);
    if (error == NULL || strstr (error, cases[i][1]) == NULL)
      fail_msg ("%s: %s", cases[i][0], error != NULL ? error : "(taken)");
  }
  g_autofree char *error = fixture_try (fixture, "postgres-vector", NULL, NULL, NULL);
  assert_non_null (strstr (error, "$embedding"));
}

static void
a_result_without_content_says_what_it_has (void **state)
{
  Fixture *fixture = *state;
  fixture_open (fixture, "statement=SELECT id, metadata FROM documents WHERE content ILIKE $pattern", NULL);
  fixture_fails (fixture_ask (fixture, "leek", 10, 0), RAGIFY_E_INVALID, "no column 'content'; it has id, metadata");
}

static void
values_that_are_not_text (void **state)
{
  Fixture *fixture = *state;
  fixture_open (fixture,
                "statement=SELECT '6f1c0e1a-9b7d-4b3e-8a52-0f0f0f0f0f0f'::uuid AS id, 'a-book' AS document_id,"
                " '\\x736f7570'::bytea AS content, 'NaN'::float8 AS score, '2024-05-01 12:00:00.5+02'::timestamptz AS "
                "created_at, '2024-05-02'::date AS updated_at, '{\"kept\": [1, {\"a\": null}]}'::jsonb AS metadata,"
                " 12345678901234567890.5::numeric AS big, 7::int2 AS small, true AS yes, NULL::text AS nothing,"
                " ARRAY['x','y'] AS tags, '[1,2]'::json AS list, 'inf'::float4 AS endless, interval '1 day' AS span,"
                " '\\x00ff'::bytea AS raw",
                NULL);
  RagifyKitCall *call = fixture_ask (fixture, "x", 10, 0);
  const RagifyChunk *chunk = fixture_chunk (call, 0);
  assert_memory_equal (chunk->content.data, "soup", chunk->content.size);
  assert_int_equal (chunk->id.bytes[0], 0x6f);
  assert_memory_equal (chunk->document_id.data, "a-book", chunk->document_id.size);
  assert_true (chunk->score == 0 && (chunk->flags & RAGIFY_CHUNK_SCORED) == 0);
  assert_int_equal (chunk->created_at, 1714557600500000);
  assert_int_equal (chunk->updated_at, 1714608000000000);
  json_t *metadata = json_loadb (chunk->metadata.data, chunk->metadata.size, 0, NULL);
  assert_true (json_is_array (json_object_get (metadata, "kept")));
  assert_true (json_is_real (json_object_get (metadata, "big")));
  assert_int_equal (json_integer_value (json_object_get (metadata, "small")), 7);
  assert_true (json_is_true (json_object_get (metadata, "yes")));
  assert_null (json_object_get (metadata, "nothing"));
  assert_string_equal (json_string_value (json_object_get (metadata, "tags")), "{x,y}");
  assert_int_equal (json_array_size (json_object_get (metadata, "list")), 2);
  assert_string_equal (json_string_value (json_object_get (metadata, "endless")), "Infinity");
  assert_string_equal (json_string_value (json_object_get (metadata, "span")), "1 day");
  assert_string_equal (json_string_value (json_object_get (metadata, "raw")), "\\x00ff");
  json_decref (metadata);
  ragify_kit_call_free (call);
  assert_true (ragify_kit_counts (fixture->kit).warnings > 0); /* the score */
}

static void
metadata_that_is_no_object_is_left_out (void **state)
{
  Fixture *fixture = *state;
  fixture_open (fixture, "statement=SELECT 'a' AS content, '[1]' AS metadata UNION ALL SELECT 'b', '{' ", NULL);
  RagifyKitCall *call = fixture_ask (fixture, "x", 10, 0);
  assert_int_equal (fixture_chunk (call, 0)->metadata.size, 0);
  assert_int_equal (fixture_chunk (call, 1)->metadata.size, 0);
  ragify_kit_call_free (call);
}

static void
text_of_an_old_encoding_is_mended (void **state)
{
  Fixture *fixture = *state;
  ragify_test_postgres_run (fixture->server, "CREATE DATABASE old ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' "
                                             "TEMPLATE template0");
  g_autofree char *dsn = ragify_test_postgres_dsn (fixture->server, "old");
  const char *keys[] = { "statement=SELECT convert_from('\\x636166e9', 'SQL_ASCII') AS content", NULL };
  g_autofree char *error = fixture_try (fixture, "postgres", dsn, NULL, keys);
  if (error != NULL)
    fail_msg ("%s", error);
  RagifyKitCall *call = fixture_ask (fixture, "caf\xc3\xa9", 10, 0);
  assert_memory_equal (fixture_chunk (call, 0)->content.data, "caf\xef\xbf\xbd", 6);
  ragify_kit_call_free (call);
  fixture_close (fixture);
  fixture_await (fixture, CONNECTED, 0);
  ragify_test_postgres_run (fixture->server, "DROP DATABASE old");
}

static void
the_embedding_and_the_filter_are_parameters (void **state)
{
  Fixture *fixture = *state;
  const char *keys[] = {
    "statement=SELECT id, content || $embedding::text AS content, $filter AS metadata FROM documents "
    "WHERE metadata->>'lang' = $filter->'lang'->>'eq' ORDER BY id LIMIT $limit",
    NULL
  };
  g_autofree char *error = fixture_try (fixture, "postgres-vector", NULL, NULL, keys);
  if (error != NULL)
    fail_msg ("%s", error);
  const float vector[] = { 0.5f, -1, 1e-7f };
  const RagifyValue ga = { .type = RAGIFY_VALUE_STRING, .string = ragify_str_from ("ga") };
  const RagifyFilter filter = {
    .struct_size = sizeof filter, .op = RAGIFY_FILTER_EQ, .field = ragify_str_from ("lang"), .values = { &ga, 1 }
  };
  RagifySourceQuery query = { .struct_size = sizeof query,
                              .top_k = 3,
                              .text = ragify_str_from ("x"),
                              .embedding = { vector, 1, 3 },
                              .filter = &filter };
  const RagifySourceOperations *operations = ragify_kit_operations (fixture->source);
  RagifyKitCall *call = ragify_kit_call (fixture->source, (RagifyKitFunction)operations->query, &query, 0);
  const RagifyChunk *chunk = fixture_chunk (call, 0);
  g_autofree char *content = g_strndup (chunk->content.data, chunk->content.size);
  assert_true (g_str_has_suffix (content, "--[0.5,-1,1.00000001e-07]"));
  ragify_kit_call_free (call);
  query.embedding.count = 0;
  fixture_fails (ragify_kit_call (fixture->source, (RagifyKitFunction)operations->query, &query, 0),
                 RAGIFY_E_UNAVAILABLE, "no embedding");
}

/* All documents of a scan with pages of `limit`, joined by blanks. */
static char *
scanned (Fixture *fixture, guint limit, gint64 since)
{
  const RagifySourceOperations *operations = ragify_kit_operations (fixture->source);
  GString *names = g_string_new (NULL);
  g_autofree char *cursor = g_strdup ("");
  do {
    const RagifySourceScan scan = {
      .struct_size = sizeof scan, .limit = limit, .cursor = ragify_str_from (cursor), .since = since
    };
    RagifyKitCall *call = ragify_kit_call (fixture->source, (RagifyKitFunction)operations->scan, &scan, 0);
    if (call->code != RAGIFY_OK)
      fail_msg ("%s", call->message);
    for (size_t i = 0; i < call->item_count; i++) {
      const RagifyChunk *chunk = call->items[i];
      g_string_append_printf (names, "%.*s ", (int)chunk->document_id.size, chunk->document_id.data);
    }
    const RagifyStr next = ((const RagifySourceScanResult *)call->result)->cursor;
    g_free (cursor);
    cursor = g_strndup (next.size > 0 ? next.data : "", next.size);
    ragify_kit_call_free (call);
  } while (cursor[0] != '\0');
  return g_string_free (names, FALSE);
}

static void
a_scan_gives_every_row_page_by_page (void **state)
{
  Fixture *fixture = *state;
  fixture_open (fixture, NULL, NULL);
  for (guint limit = 0; limit < 7; limit++) {
    g_autofree char *found = scanned (fixture, limit, 0);
    assert_string_equal (found, "bread percent quote soup thousand ");
  }
  fixture_close (fixture);
  ragify_test_postgres_run (fixture->server, "CREATE TABLE numbered AS SELECT i AS id, 'text ' || i AS content,"
                                             " now() - i * interval '1 day' AS changed FROM generate_series(1, 30) i");
  fixture_open (fixture, "table=numbered", "score-column=", "metadata-column=", "updated-column=changed", NULL);
  g_autofree char *found = scanned (fixture, 7, g_get_real_time () - 11 * 86400 * (gint64)G_USEC_PER_SEC);
  assert_string_equal (found, "1 2 3 4 5 6 7 8 9 10 "); /* by number, not by text */
  ragify_test_postgres_run (fixture->server, "DROP TABLE numbered");
}

static void
a_scan_waits_for_credit (void **state)
{
  Fixture *fixture = *state;
  const RagifyKitOptions options = { .quiet = 1, .credit = 3 };
  ragify_kit_free (fixture->kit);
  fixture->kit = ragify_kit_new (&options);
  ragify_test_postgres_run (fixture->server, "CREATE TABLE large AS SELECT i AS id, repeat('text ', 2000) AS content "
                                             "FROM generate_series(1, 500) i");
  fixture_open (fixture, "table=large", "score-column=", "metadata-column=", NULL);
  g_autofree char *found = scanned (fixture, 0, 0);
  g_auto (GStrv) ids = g_strsplit (found, " ", -1);
  assert_int_equal (g_strv_length (ids), 501);
  fixture_close (fixture);
  ragify_test_postgres_run (fixture->server, "DROP TABLE large");
}

static void
a_probe_checks_the_statement (void **state)
{
  Fixture *fixture = *state;
  static const RagifyNothing nothing = { .struct_size = sizeof nothing };
  ragify_test_postgres_run (fixture->server, "CREATE TABLE passing AS SELECT * FROM documents");
  fixture_open (fixture, "table=passing", NULL);
  const RagifyComponent *component = ragify_kit_component (fixture->source);
  RagifyKitCall *call = ragify_kit_call (fixture->source, (RagifyKitFunction)component->probe, &nothing, 0);
  assert_int_equal (call->code, RAGIFY_OK);
  const RagifyProbeResult *result = call->result;
  assert_true (g_str_has_prefix (result->detail.data, "PostgreSQL 1"));
  ragify_kit_call_free (call);
  ragify_test_postgres_run (fixture->server, "DROP TABLE passing");
  fixture_fails (ragify_kit_call (fixture->source, (RagifyKitFunction)component->probe, &nothing, 0),
                 RAGIFY_E_NOT_FOUND, "relation \"passing\" does not exist");
  fixture_fails (fixture_ask (fixture, "x", 10, 0), RAGIFY_E_NOT_FOUND, "relation \"passing\" does not exist");
}

static void
a_changed_table_is_prepared_anew (void **state)
{
  Fixture *fixture = *state;
  ragify_test_postgres_run (fixture->server, "CREATE TABLE shifting AS SELECT id, content FROM documents");
  fixture_open (fixture, "statement=SELECT * FROM shifting WHERE content ILIKE $pattern LIMIT $limit", "min-size=1",
                NULL);
  fixture_finds (fixture, "leek", "soup");
  ragify_test_postgres_run (fixture->server, "ALTER TABLE shifting ADD COLUMN title text DEFAULT 'new'");
  RagifyKitCall *call = fixture_ask (fixture, "leek", 10, 0);
  assert_memory_equal (fixture_chunk (call, 0)->title.data, "new", 3);
  ragify_kit_call_free (call);
  fixture_close (fixture);
  ragify_test_postgres_run (fixture->server, "DROP TABLE shifting");
}

int
main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, fixture_set_up, fixture_tear_down)
  const struct CMUnitTest tests[] = {
    TEST (by_default_content_that_has_the_query_in_order_of_relevance),
    TEST (wildcards_stand_for_themselves),
    TEST (a_query_is_never_sql),
    TEST (text_search_ranks_by_words),
    TEST (names_in_a_statement_are_parameters_unless_quoted),
    TEST (wrong_statements_are_refused_with_reason),
    TEST (a_result_without_content_says_what_it_has),
    TEST (values_that_are_not_text),
    TEST (metadata_that_is_no_object_is_left_out),
    TEST (text_of_an_old_encoding_is_mended),
    TEST (the_embedding_and_the_filter_are_parameters),
    TEST (a_scan_gives_every_row_page_by_page),
    TEST (a_scan_waits_for_credit),
    TEST (a_probe_checks_the_statement),
    TEST (a_changed_table_is_prepared_anew),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, fixture_start_server, fixture_stop_server);
}
