/* Heads of requests: a table of what is refused and why, and of what is understood.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "core/server/head-check.h"

/* Takes a head apart as the HTTP parser does: in place, NULs written over the separators. */
typedef struct Parsed {
  char *text;
  gsize size;
  RagifyHead head;
} Parsed;

static char *
end_of_line (char *at, char **next)
{
  char *end = at;
  while (*end != '\n' && (end[0] != '\r' || end[1] != '\n'))
    end++;
  *next = end + (end[0] == '\r' && end[1] == '\n' ? 2 : 1);
  memset (end, 0, (gsize)(*next - end));
  return end;
}

static void
parse (Parsed *parsed, const char *text, gsize size)
{
  *parsed = (Parsed){ .text = g_memdup2 (text, size), .size = size };
  RagifyHead *head = &parsed->head;
  char *next = NULL;
  char *at = parsed->text;
  char *end = end_of_line (at, &next);
  char *space = strchr (at, ' ');
  char *last = strrchr (at, ' ');
  head->method = ragify_str (at, (gsize)(space - at));
  head->target = ragify_str (space + 1, (gsize)(last - space - 1));
  head->version = ragify_str (last + 1, (gsize)(end - last - 1));
  while (*next != '\r' && *next != '\n') {
    at = next;
    end = end_of_line (at, &next);
    char *colon = strchr (at, ':');
    char *value = colon + 1;
    value += strspn (value, " \t");
    /* The parser takes a value to end at its first NUL. */
    ragify_head_add (head, at, (gsize)(colon - at), value, strlen (value));
  }
}

static const char *
check (const char *text, RagifyHeadFacts *facts, RagifyProblem *problem)
{
  Parsed parsed;
  parse (&parsed, text, strlen (text));
  *facts = (RagifyHeadFacts){ 0 };
  const char *reason = ragify_head_check (&parsed.head, facts, problem);
  g_free (parsed.text);
  return reason;
}

#define START "POST /x HTTP/1.1\r\nHost: a\r\n"

static const struct {
  const char *head;
  const char *reason;
  guint status;
} refused[] = {
  { "GET / HTTP/1.1\r\n\r\n", "no-host", 400 },
  { START "Host: a\r\n\r\n", "several-hosts", 400 },
  { "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "host", 400 },
  { "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "host", 400 },
  { "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "host", 400 },
  { "G@T / HTTP/1.1\r\nHost: a\r\n\r\n", "method", 400 },
  { START "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", "several-content-lengths", 400 },
  { START "Content-Length: 1\r\ncontent-length: 2\r\n\r\n", "several-content-lengths", 400 },
  { START "Content-Length: +1\r\n\r\n", "content-length", 400 },
  { START "Content-Length: 1 1\r\n\r\n", "content-length", 400 },
  { START "Content-Length: 0x1\r\n\r\n", "content-length", 400 },
  { START "Content-Length:\r\n\r\n", "content-length", 400 },
  { START "Content-Length: 9999999999999999999999\r\n\r\n", "content-length", 400 },
  { START "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "length-and-encoding", 400 },
  { START "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", "length-and-encoding", 400 },
  { START "Transfer-Encoding: gzip\r\n\r\n", "transfer-encoding", 400 },
  { START "Transfer-Encoding: gzip, chunked\r\n\r\n", "transfer-encoding", 400 },
  { START "Transfer-Encoding:\r\n\r\n", "transfer-encoding", 400 },
  { START "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "transfer-encoding", 400 },
  { "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "transfer-encoding", 400 },
  { START "X : y\r\n\r\n", "field-name", 400 },
  { START "X\t: y\r\n\r\n", "field-name", 400 },
  { START ": y\r\n\r\n", "field-name", 400 },
  { START "X(): y\r\n\r\n", "field-name", 400 },
  { START "X\xc3\xa4: y\r\n\r\n", "field-name", 400 },
  { START "X: a\x01y\r\n\r\n", "field-value", 400 },
  { START "X: a\x7fy\r\n\r\n", "field-value", 400 },
  { START "Expect: something\r\n\r\n", "expect", 417 },
};

static void
ambiguous_heads_are_refused (void **state)
{
  for (guint i = 0; i < G_N_ELEMENTS (refused); i++) {
    RagifyHeadFacts facts;
    RagifyProblem problem = { 0 };
    const char *reason = check (refused[i].head, &facts, &problem);
    if (reason == NULL || strcmp (reason, refused[i].reason) != 0 || problem.status != refused[i].status)
      fail_msg ("%s: %s (%u)", refused[i].head, reason, problem.status);
    assert_non_null (problem.detail);
    ragify_problem_clear (&problem);
  }
}

static void
facts_are_found (void **state)
{
  static const char text[] = "POST /x?y HTTP/1.1\r\nhOST: [::1]:8080 \t\r\nCONTENT-length:  42\r\nAccept: a/b, c/d\r\n"
                             "Content-Type: application/json\r\nX-Request-ID: id-1\r\nContent-Encoding: gzip\r\n"
                             "Expect: 100-CONTINUE\r\nX-Other:\r\nX-\xff: \r\n\r\n";
  Parsed parsed;
  /* Without the line that is not ASCII. */
  parse (&parsed, text, strlen (text));
  parsed.head.n_fields--;
  RagifyHeadFacts facts = { 0 };
  RagifyProblem problem = { 0 };
  assert_null (ragify_head_check (&parsed.head, &facts, &problem));
  assert_true (ragify_str_is (facts.host, "[::1]:8080"));
  assert_true (facts.has_content_length);
  assert_int_equal (facts.content_length, 42);
  assert_true (ragify_str_is (facts.accept, "a/b, c/d"));
  assert_true (ragify_str_is (facts.content_type, "application/json"));
  assert_true (ragify_str_is (facts.request_id, "id-1"));
  assert_true (ragify_str_is (facts.content_encoding, "gzip"));
  assert_true (facts.expects_continue);
  assert_false (facts.chunked);
  g_free (parsed.text);
}

static void
http_1_0_needs_no_host (void **state)
{
  RagifyHeadFacts facts;
  RagifyProblem problem = { 0 };
  assert_null (check ("GET / HTTP/1.0\r\n\r\n", &facts, &problem));
}

static void
too_many_fields_are_refused (void **state)
{
  RagifyHead head = { .method = ragify_str_from ("GET"), .version = ragify_str_from ("HTTP/1.1") };
  for (guint i = 0; i <= RAGIFY_HEAD_FIELDS; i++)
    ragify_head_add (&head, "X", 1, "y", 1);
  RagifyHeadFacts facts = { 0 };
  RagifyProblem problem = { 0 };
  assert_string_equal (ragify_head_check (&head, &facts, &problem), "too-many-fields");
  assert_int_equal (problem.status, 431);
  ragify_problem_clear (&problem);
}

static gboolean
is_seamless (const char *text, gsize size)
{
  Parsed parsed;
  parse (&parsed, text, size);
  const gboolean seamless = ragify_head_is_seamless (&parsed.head, size);
  g_free (parsed.text);
  return seamless;
}

static void
seams_show_what_the_parser_hides (void **state)
{
#define SEAMLESS(text) is_seamless (text, sizeof (text) - 1)
  assert_true (SEAMLESS ("GET / HTTP/1.1\r\n\r\n"));
  assert_true (SEAMLESS ("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
  assert_true (SEAMLESS ("GET / HTTP/1.1\nHost: a\n\n"));
  assert_true (SEAMLESS ("GET / HTTP/1.1\r\nHost:a\r\nX: \t b \r\nY:\r\n\r\n"));
  assert_false (SEAMLESS ("GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n"));
  assert_false (SEAMLESS ("GET / HTTP/1.1\r\nHost: a\0\r\n\r\n"));
  assert_false (SEAMLESS ("GET / HTTP/1.1\r\nX: a\0\r\nHost: a\r\n\r\n"));
  assert_false (SEAMLESS ("GET / HTTP/1.1\r\nX: a\0\0\0\0\0\0Transfer-Encoding: chunked\r\nHost: a\r\n\r\n"));
}

static void
a_folded_line_is_a_seam (void **state)
{
  static const char text[] = "GET / HTTP/1.1\r\nX: a\r\n b\r\nHost: a\r\n\r\n";
  Parsed parsed = { 0 };
  parse (&parsed, "GET / HTTP/1.1\r\n\r\n", 18);
  g_free (parsed.text);
  /* What the parser makes of it: the field's name is a copy elsewhere. */
  char *memory = g_memdup2 (text, sizeof text);
  char copy[] = "Xb";
  RagifyHead head = { .method = ragify_str (memory, 3),
                      .target = ragify_str (memory + 4, 1),
                      .version = ragify_str (memory + 6, 8) };
  ragify_head_add (&head, copy, 2, memory + 19, 1);
  ragify_head_add (&head, memory + 26, 4, memory + 32, 1);
  assert_false (ragify_head_is_seamless (&head, sizeof text - 1));
  g_free (memory);
}

static void
media_types_are_compared (void **state)
{
  static const struct {
    const char *value;
    gboolean is_json;
  } cases[] = {
    { "application/json", TRUE },
    { "APPLICATION/json ", TRUE },
    { "application/json;charset=utf-8", TRUE },
    { "application/json ; Charset=\"UTF-8\" ; q=1", TRUE },
    { "application/json;version=2", TRUE },
    { "application/json;charset=iso-8859-1", FALSE },
    { "application/jsonp", FALSE },
    { "application/problem+json", FALSE },
    { "text/json", FALSE },
    { "", FALSE },
    { ";", FALSE },
  };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    if (ragify_media_type_is (ragify_str_from (cases[i].value), "application/json") != cases[i].is_json)
      fail_msg ("%s", cases[i].value);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (ambiguous_heads_are_refused),      cmocka_unit_test (facts_are_found),
    cmocka_unit_test (http_1_0_needs_no_host),           cmocka_unit_test (too_many_fields_are_refused),
    cmocka_unit_test (seams_show_what_the_parser_hides), cmocka_unit_test (a_folded_line_is_a_seam),
    cmocka_unit_test (media_types_are_compared),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests_name ("head-check", tests, NULL, NULL);
}
