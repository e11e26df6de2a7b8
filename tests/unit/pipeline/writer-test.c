/* The writer: what it writes reads back; dedupe and token counts beside it.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "core/pipeline/dedupe.h"
#include "core/pipeline/token-counts.h"
#include "core/pipeline/writer.h"

static void
reads_back (const char *text, gsize size)
{
  RagifyWriter writer;
  ragify_writer_init (&writer, 1);
  ragify_writer_string (&writer, ragify_str (text, size));
  json_error_t error;
  json_t *json = json_loadb (writer.data, writer.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
  if (json == NULL)
    fail_msg ("%s: %.*s", error.text, (int)writer.size, writer.data);
  assert_int_equal (json_string_length (json), size);
  assert_memory_equal (json_string_value (json), text, size);
  json_decref (json);
  ragify_writer_clear (&writer);
}

static void
strings_read_back (void **state)
{
  reads_back ("", 0);
  reads_back ("plain", 5);
  reads_back ("eight by", 8);
  reads_back ("\"\\/\b\f\n\r\t\x01\x1f\x7f", 11);
  reads_back ("a\0b", 3);
  reads_back ("grüße 😀 \xe2\x80\xa8", strlen ("grüße 😀 \xe2\x80\xa8"));
}

/* A character at every place of the eight bytes that are looked at together, and the one above it. */
static void
every_character_at_every_place_reads_back (void **state)
{
  for (guint c = 0; c < 0x80; c++)
    for (guint place = 0; place < 19; place++) {
      char text[20];
      memset (text, 'x', sizeof text);
      text[place] = (char)c;
      text[place + 1] = (char)(c ^ 1);
      reads_back (text, sizeof text);
    }
}

static void
naughty_strings_read_back (void **state)
{
  const char *root = g_getenv ("RAGIFY_TEST_DATA");
  g_autofree char *path = g_build_filename (root != NULL ? root : "../shared/data", "vectors/naughty_strings", NULL);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  if (dir == NULL) {
    g_free (g_steal_pointer (&path)); /* skip jumps over what would free it */
    skip ();
    return;
  }
  guint count = 0;
  for (const char *name; (name = g_dir_read_name (dir)) != NULL;) {
    g_autofree char *file = g_build_filename (path, name, NULL);
    json_t *list = json_load_file (file, JSON_ALLOW_NUL, NULL);
    gsize i;
    json_t *item;
    json_array_foreach (list, i, item)
    {
      if (!json_is_string (item))
        continue;
      reads_back (json_string_value (item), json_string_length (item));
      count++;
    }
    json_decref (list);
  }
  assert_true (count > 400);
}

static void
writes_number (double value, guint decimals, const char *expected)
{
  RagifyWriter writer;
  ragify_writer_init (&writer, 1);
  ragify_writer_number (&writer, value, decimals);
  ragify_writer_bytes (&writer, "", 1);
  assert_string_equal (writer.data, expected);
  ragify_writer_clear (&writer);
}

static void
numbers_are_rounded_and_short (void **state)
{
  writes_number (0, 6, "0");
  writes_number (-0.0, 6, "0");
  writes_number (1, 6, "1");
  writes_number (0.5, 6, "0.5");
  writes_number (-12.25, 6, "-12.25");
  writes_number (0.1234567, 6, "0.123457");
  writes_number (0.9999999, 6, "1");
  writes_number (-0.0000001, 6, "0");
  writes_number (0.000001, 6, "0.000001");
  writes_number (999999999.5, 1, "999999999.5");
  writes_number (1e18, 6, "1e+18");
}

static void
writes_time (gint64 wall_us, const char *expected)
{
  RagifyWriter writer;
  ragify_writer_init (&writer, 1);
  ragify_writer_time (&writer, wall_us);
  ragify_writer_bytes (&writer, "", 1);
  assert_string_equal (writer.data, expected);
  ragify_writer_clear (&writer);
}

static void
times_are_rfc_3339 (void **state)
{
  writes_time (0, "null");
  writes_time (1, "\"1970-01-01T00:00:00.000001Z\"");
  writes_time (-1, "\"1969-12-31T23:59:59.999999Z\"");
  writes_time (951782400000000, "\"2000-02-29T00:00:00Z\"");
  writes_time (1709251199123456, "\"2024-02-29T23:59:59.123456Z\"");
  writes_time (4107542400000000, "\"2100-03-01T00:00:00Z\"");
  writes_time (G_MAXINT64, "null");
  writes_time (G_MININT64, "null");
  for (gint64 day = -200000; day < 400000; day += 97) { /* beside GLib's calendar */
    g_autoptr (GDateTime) glib = g_date_time_new_from_unix_utc (day * 86400 + 1);
    g_autofree char *expected = g_date_time_format (glib, "\"%Y-%m-%dT%H:%M:%SZ\"");
    writes_time ((day * 86400 + 1) * G_USEC_PER_SEC, expected);
  }
}

static void
integers_and_ids_are_written (void **state)
{
  const RagifyUuid id = { { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255 } };
  RagifyWriter writer;
  ragify_writer_init (&writer, 1);
  ragify_writer_uint (&writer, 0);
  ragify_writer_uint (&writer, G_MAXUINT64);
  ragify_writer_uuid (&writer, &id);
  ragify_writer_bytes (&writer, "", 1);
  assert_string_equal (writer.data, "01844674407370955161500010203-0405-0607-0809-0a0b0c0d0eff");
  ragify_writer_clear (&writer);
}

static void
the_first_of_equal_passages_is_admitted (void **state)
{
  g_autoptr (RagifyArena) arena = ragify_arena_new (0);
  RagifyDedupe dedupe;
  ragify_dedupe_init (&dedupe, arena);
  for (guint round = 0; round < 2; round++)
    for (guint i = 0; i < 1000; i++) {
      g_autofree char *text = g_strdup_printf ("passage %u", i);
      assert_int_equal (ragify_dedupe_admit (&dedupe, ragify_dedupe_hash (ragify_str_from (text))), round == 0);
    }
}

static void
token_counts_are_remembered (void **state)
{
  RagifyTokenCounts *counts = ragify_token_counts_new ();
  const guint64 hash = ragify_dedupe_hash (ragify_str_from ("text"));
  guint32 tokens = 77;
  assert_false (ragify_token_counts_get (counts, hash, &tokens));
  ragify_token_counts_put (counts, hash, 12);
  assert_true (ragify_token_counts_get (counts, hash, &tokens));
  assert_int_equal (tokens, 12);
  assert_false (ragify_token_counts_get (counts, hash ^ (1ULL << 60), &tokens)); /* the same slot, another text */
  ragify_token_counts_free (counts);
  assert_int_equal (ragify_token_estimate (0), 0);
  assert_int_equal (ragify_token_estimate (9), 3);
}

int
main (void)
{
  cmocka_set_message_output (CM_OUTPUT_TAP);
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (strings_read_back),
    cmocka_unit_test (every_character_at_every_place_reads_back),
    cmocka_unit_test (naughty_strings_read_back),
    cmocka_unit_test (numbers_are_rounded_and_short),
    cmocka_unit_test (times_are_rfc_3339),
    cmocka_unit_test (integers_and_ids_are_written),
    cmocka_unit_test (the_first_of_equal_passages_is_admitted),
    cmocka_unit_test (token_counts_are_remembered),
  };
  return cmocka_run_group_tests_name ("writer", tests, NULL, NULL);
}
