#include "tools/ragify-bench/response-reader.h"

#include "tap.h"

#include <string.h>

typedef struct {
  const char *name;
  const char *bytes;
  guint status;
  const char *body;
  gboolean keeps_alive;
} GoodCase;

static const GoodCase good_cases[] = {
  { "content-length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", TRUE },
  { "empty body", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", TRUE },
  { "no reason phrase", "HTTP/1.1 404\r\ncontent-length:3\r\n\r\nabc", 404, "abc", TRUE },
  { "close", "HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 1\r\n\r\nx", 200, "x", FALSE },
  { "no content", "HTTP/1.1 204 No Content\r\n\r\n", 204, "", TRUE },
  { "chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nWiki\r\nA;x=1\r\npedia in c\r\n0\r\n\r\n", 200,
    "Wikipedia in c", TRUE },
  { "trailers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\n", 200, "x",
    TRUE },
  { "continue first", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok", TRUE },
  { "body that looks like a head", "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n\r\n\r\n\r\n\r\n", 200,
    "\r\n\r\n\r\n\r\n", TRUE },
};

static void
collect (const char *bytes, gsize length, gpointer user_data)
{
  g_string_append_len (user_data, bytes, (gssize)length);
}

/* Feeds bytes in pieces of one size and returns the last state; *used is how many were consumed. */
static RagifyResponseState
feed_in_pieces (RagifyResponseReader *reader, const char *bytes, gsize length, gsize piece, gsize *used)
{
  RagifyResponseState state = RAGIFY_RESPONSE_MORE;
  *used = 0;
  while (*used < length && state == RAGIFY_RESPONSE_MORE) {
    gsize consumed = 0;
    gsize given = MIN (piece, length - *used);
    state = ragify_response_reader_feed (reader, bytes + *used, given, &consumed);
    assert_true (consumed <= given);
    *used += consumed;
  }
  return state;
}

static void
answers_read_the_same_in_pieces_of_any_size (void **state)
{
  for (gsize i = 0; i < G_N_ELEMENTS (good_cases); i++) {
    const GoodCase *good = &good_cases[i];
    gsize length = strlen (good->bytes);
    for (gsize piece = 1; piece <= length; piece++) {
      g_autoptr (GString) body = g_string_new (NULL);
      g_autoptr (RagifyResponseReader) reader = ragify_response_reader_new (collect, body);
      gsize used = 0;
      assert_int_equal (feed_in_pieces (reader, good->bytes, length, piece, &used), RAGIFY_RESPONSE_DONE);
      assert_int_equal (used, length);
      assert_int_equal (ragify_response_reader_get_status (reader), good->status);
      assert_string_equal (body->str, good->body);
      assert_int_equal (ragify_response_reader_get_body_length (reader), strlen (good->body));
      assert_int_equal (ragify_response_reader_keeps_alive (reader), good->keeps_alive);
    }
  }
}

static void
bytes_behind_the_answer_are_left_for_the_next (void **state)
{
  static const char two[] =
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 503 No\r\nContent-Length: 1\r\n\r\nb";
  g_autoptr (GString) body = g_string_new (NULL);
  g_autoptr (RagifyResponseReader) reader = ragify_response_reader_new (collect, body);
  gsize first = 0;
  gsize second = 0;
  assert_int_equal (ragify_response_reader_feed (reader, two, strlen (two), &first), RAGIFY_RESPONSE_DONE);
  ragify_response_reader_reset (reader);
  assert_true (ragify_response_reader_is_untouched (reader));
  assert_int_equal (ragify_response_reader_feed (reader, two + first, strlen (two) - first, &second),
                    RAGIFY_RESPONSE_DONE);
  assert_int_equal (first + second, strlen (two));
  assert_int_equal (ragify_response_reader_get_status (reader), 503);
  assert_string_equal (body->str, "ab");
}

static void
an_answer_cut_anywhere_is_not_done (void **state)
{
  for (gsize i = 0; i < G_N_ELEMENTS (good_cases); i++)
    for (gsize length = 0; length < strlen (good_cases[i].bytes); length++) {
      g_autoptr (RagifyResponseReader) reader = ragify_response_reader_new (NULL, NULL);
      gsize used = 0;
      assert_int_equal (feed_in_pieces (reader, good_cases[i].bytes, length, length + 1, &used), RAGIFY_RESPONSE_MORE);
    }
}

static void
what_is_not_strictly_http_is_refused (void **state)
{
  static const char *const bad[] = {
    "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/2 200\r\n\r\n",
    "<html>",
    "HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: 5 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\n: x\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nno-colon\r\nContent-Length: 0\r\n\r\n",
  };
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    for (gsize piece = 1; piece <= strlen (bad[i]); piece += strlen (bad[i]) - 1) {
      g_autoptr (RagifyResponseReader) reader = ragify_response_reader_new (NULL, NULL);
      gsize used = 0;
      RagifyResponseState result = feed_in_pieces (reader, bad[i], strlen (bad[i]), piece, &used);
      if (result != RAGIFY_RESPONSE_BAD)
        print_message ("# taken: %s\n", bad[i]);
      assert_int_equal (result, RAGIFY_RESPONSE_BAD);
      assert_non_null (ragify_response_reader_get_problem (reader));
    }
}

static void
a_head_without_end_is_refused_at_its_bound (void **state)
{
  g_autoptr (RagifyResponseReader) reader = ragify_response_reader_new (NULL, NULL);
  g_autoptr (GString) endless = g_string_new ("HTTP/1.1 200 OK\r\n");
  while (endless->len < 20000)
    g_string_append (endless, "X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n");
  gsize used = 0;
  assert_int_equal (feed_in_pieces (reader, endless->str, endless->len, 1000, &used), RAGIFY_RESPONSE_BAD);
  assert_true (used <= 17000);
}

int
main (void)
{
  cmocka_set_message_output (CM_OUTPUT_TAP);
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (answers_read_the_same_in_pieces_of_any_size),
    cmocka_unit_test (bytes_behind_the_answer_are_left_for_the_next),
    cmocka_unit_test (an_answer_cut_anywhere_is_not_done),
    cmocka_unit_test (what_is_not_strictly_http_is_refused),
    cmocka_unit_test (a_head_without_end_is_refused_at_its_bound),
  };
  return cmocka_run_group_tests (tests, NULL, NULL);
}
