/* source-http through the loaded plugin, against a real server: what it asks, and what it makes of answers.
 *
 * SPDX-License-Identifier: MIT
 */
#include "http-fixture.h"

#include <gio/gio.h>
#include <string.h>

static void
asks_and_maps_the_usual_way (void **state)
{
  HttpFixture *fixture = *state;
  http_open (fixture, "ok", NULL);
  RagifyKitCall *call = http_ask (fixture, "leek soup", 3, 0);
  assert_int_equal (((const RagifySourceResult *)call->result)->chunks.count, 3);
  const RagifyChunk *chunk = http_chunk (call, 1);
  http_assert_str (chunk->document_id, "doc-1");
  http_assert_str (chunk->content, "leek soup: passage 1");
  http_assert_str (chunk->title, "Title 1");
  http_assert_str (chunk->uri, "https://docs.test/1");
  http_assert_str (chunk->metadata, "{\"lang\":\"en\",\"n\":1}");
  assert_true (chunk->flags & RAGIFY_CHUNK_SCORED);
  assert_float_equal (chunk->score, 0.99, 1e-9);
  assert_int_equal (chunk->created_at, 1714521600000000);
  assert_int_equal (chunk->updated_at, 1714608000000000);
  ragify_kit_call_free (call);
}

/* What the server saw, as the content of its answer. */
static char *
seen (HttpFixture *fixture, const char *text)
{
  RagifyKitCall *call = http_ask (fixture, text, 7, 0);
  const RagifyChunk *chunk = http_chunk (call, 0);
  char *content = g_strndup (chunk->content.data, chunk->content.size);
  ragify_kit_call_free (call);
  return content;
}

#define assert_has(text, part)                                                                                         \
  do {                                                                                                                 \
    if (strstr (text, part) == NULL)                                                                                   \
      fail_msg ("no '%s' in %s", part, text);                                                                          \
  } while (0)

static void
sends_what_an_api_expects (void **state)
{
  HttpFixture *fixture = *state;
  http_open (fixture, "echo", NULL);
  g_autofree char *said = seen (fixture, "x");
  assert_has (said, "\"method\": \"GET\"");
  assert_has (said, "\"target\": \"/echo/search?q=x&limit=7\"");
  assert_has (said, "\"user-agent\": \"Ragify/1.0\"");
  assert_has (said, "\"accept\": \"application/json\"");
  assert_has (said, "\"accept-encoding\": \"gzip, deflate\"");
  assert_null (strstr (said, "authorization"));
}

static void
a_query_stays_one_parameter (void **state)
{
  HttpFixture *fixture = *state;
  http_open (fixture, "echo", NULL);
  g_autofree char *said = seen (fixture, "a&limit=9999#x?y=1/../..\r\nHost: evil %41 {limit} ü");
  assert_has (said, "\"target\": \"/echo/search?q=a%26limit%3D9999%23x%3Fy%3D1%2F..%2F..%0D%0AHost%3A%20evil%20%2541%20"
                    "%7Blimit%7D%20%C3%BC&limit=7\"");
  assert_has (said, "\"host\": \"127.0.0.1:");
}

static void
a_body_takes_the_query_as_a_json_string (void **state)
{
  HttpFixture *fixture = *state;
  http_open (fixture, "echo", "method=POST", "url={base-url}/find",
             "body={\"q\": \"{query}\", \"size\": {limit}, \"o\": {}}", NULL);
  g_autofree char *said = seen (fixture, "he said \"hi\", \"size\": 1\n\\ \x01");
  assert_has (said, "\"method\": \"POST\"");
  assert_has (said, "\"target\": \"/echo/find\"");
  assert_has (said, "\"content-type\": \"application/json\"");
  assert_has (said,
              "{\\\"q\\\": \\\"he said \\\\\\\"hi\\\\\\\", \\\\\\\"size\\\\\\\": 1\\\\u000a\\\\\\\\ \\\\u0001\\\", "
              "\\\"size\\\": 7, \\\"o\\\": {}}");
}

static void
a_form_takes_it_percent_encoded (void **state)
{
  HttpFixture *fixture = *state;
  http_open (fixture, "echo", "method=POST", "content-type=application/x-www-form-urlencoded",
             "body=q={query}&n={limit}", NULL);
  g_autofree char *said = seen (fixture, "a&b=c");
  assert_has (said, "\"body\": \"q=a%26b%3Dc&n=7\"");
}

static void
credentials_of_every_kind (void **state)
{
  HttpFixture *fixture = *state;
  http_open (fixture, "echo", "token=s3cret", NULL);
  g_autofree char *bearer = seen (fixture, "x");
  assert_has (bearer, "\"authorization\": \"Bearer s3cret\"");
  http_close (fixture);
  http_open (fixture, "echo", "user=ann", "password=p:w", NULL);
  g_autofree char *basic = seen (fixture, "x");
  assert_has (basic, "\"authorization\": \"Basic YW5uOnA6dw==\"");
  http_close (fixture);
  http_open (fixture, "echo", "auth=api-key", "token=k1", "headers=X-Tenant: blue", NULL);
  g_autofree char *key = seen (fixture, "x");
  assert_has (key, "\"x-api-key\": \"k1\"");
  assert_has (key, "\"x-tenant\": \"blue\"");
  http_close (fixture);
  http_open (fixture, "echo", "auth=api-key", "token=k&2", "api-key-in=query", "api-key-name=key", NULL);
  g_autofree char *query = seen (fixture, "x");
  assert_has (query, "\"target\": \"/echo/search?q=x&limit=7&key=k%262\"");
}

static void
new_credentials_are_used_from_then_on (void **state)
{
  HttpFixture *fixture = *state;
  http_open (fixture, "echo", "token=old", NULL);
  g_autofree char *before = seen (fixture, "x");
  assert_has (before, "Bearer old");
  g_autofree char *url = g_strdup_printf ("base-url=http://127.0.0.1:%u/echo", scripted_http_port (fixture->server));
  const char *config[] = { url, "token=new", NULL };
  assert_int_equal (ragify_kit_reconfigure (fixture->source, config), RAGIFY_OK);
  g_autofree char *after = seen (fixture, "x");
  assert_has (after, "Bearer new");
}

static void
pointers_find_nested_members (void **state)
{
  HttpFixture *fixture = *state;
  http_open (fixture, "lie/nested", "results-pointer=/data/a~1b", "content-pointer=/nothing; /doc/t/1",
             "score-pointer=/rank", "score-scale=100", NULL);
  RagifyKitCall *call = http_ask (fixture, "x", 5, 0);
  http_assert_str (http_chunk (call, 0)->content, "one");
  assert_float_equal (http_chunk (call, 0)->score, 0.5, 1e-9);
  ragify_kit_call_free (call);
}

static void
lines_are_results_too (void **state)
{
  HttpFixture *fixture = *state;
  http_open (fixture, "lie/lines", "format=ndjson", NULL);
  RagifyKitCall *call = http_ask (fixture, "x", 5, 0);
  assert_int_equal (((const RagifySourceResult *)call->result)->chunks.count, 3);
  http_assert_str (http_chunk (call, 2)->content, "third");
  ragify_kit_call_free (call);
  assert_int_equal (http_stat (fixture, "unusable_results"), 1);
}

static void
a_large_answer_is_read_whole (void **state)
{
  HttpFixture *fixture = *state;
  http_open (fixture, "large", NULL);
  RagifyKitCall *call = http_ask (fixture, "x", 250, 0);
  assert_int_equal (((const RagifySourceResult *)call->result)->chunks.count, 250);
  assert_int_equal (http_chunk (call, 249)->content.size, strlen (": passage 249") + 1000);
  ragify_kit_call_free (call);
}

static void
compressed_answers_are_read (void **state)
{
  HttpFixture *fixture = *state;
  http_open (fixture, "gzip", NULL);
  RagifyKitCall *call = http_ask (fixture, "zip", 1, 0);
  http_assert_str (http_chunk (call, 0)->content, "zip: passage 0");
  ragify_kit_call_free (call);
}

static void
what_has_not_changed_is_not_sent_again (void **state)
{
  HttpFixture *fixture = *state;
  http_open (fixture, "etag", NULL);
  for (guint i = 0; i < 3; i++) {
    RagifyKitCall *call = http_ask (fixture, "same", 1, 0);
    http_assert_str (http_chunk (call, 0)->content, "same: passage 0");
    ragify_kit_call_free (call);
  }
  RagifyKitCall *other = http_ask (fixture, "other", 1, 0); /* has no part in it */
  ragify_kit_call_free (other);
  assert_int_equal (http_stat (fixture, "not_modified"), 2);
  assert_true (http_stat (fixture, "remembered") >= 1);
}

/* The answer that "nothing has changed" is about was displaced while the service took its time to say so. */
static void
what_was_forgotten_meanwhile_is_still_answered (void **state)
{
  HttpFixture *fixture = *state;
  http_open (fixture, "etag-held", "remember=1", NULL);
  ragify_kit_call_free (http_ask (fixture, "same", 1, 0));
  const RagifySourceOperations *operations = ragify_kit_operations (fixture->source);
  const RagifySourceQuery query = { .struct_size = sizeof query, .top_k = 1, .text = ragify_str_from ("same") };
  RagifyKitCall *call = ragify_kit_begin (fixture->source, (RagifyKitFunction)operations->query, &query, 0);
  assert_true (scripted_http_await (fixture->server, "/_events", "if-none-match"));
  ragify_kit_call_free (http_ask (fixture, "other", 1, 0));
  g_free (scripted_http_get (fixture->server, "/_release"));
  call = ragify_kit_wait (call);
  if (call->code != RAGIFY_OK)
    fail_msg ("%s", call->message);
  http_assert_str (http_chunk (call, 0)->content, "same: passage 0");
  ragify_kit_call_free (call);
  assert_int_equal (http_stat (fixture, "not_modified"), 1);
}

static void
connections_are_used_again (void **state)
{
  HttpFixture *fixture = *state;
  http_open (fixture, "ok", NULL);
  for (guint i = 0; i < 20; i++)
    ragify_kit_call_free (http_ask (fixture, "x", 1, 0));
  assert_int_equal (http_stat (fixture, "requests"), 20);
  assert_int_equal (http_stat (fixture, "connections_made"), 1);
  assert_int_equal (http_stat (fixture, "connections_open"), 1);
}

/* 60 at once where 5 are allowed: never more than 5 at the server, and all are answered. */
static void
the_limit_of_connections_holds (void **state)
{
  HttpFixture *fixture = *state;
  http_open (fixture, "slow/0.02", "max-connections-per-host=5", NULL);
  const RagifySourceOperations *operations = ragify_kit_operations (fixture->source);
  const RagifySourceQuery query = { .struct_size = sizeof query, .top_k = 1, .text = ragify_str_from ("x") };
  RagifyKitCall *calls[60];
  for (guint i = 0; i < G_N_ELEMENTS (calls); i++)
    calls[i] = ragify_kit_begin (fixture->source, (RagifyKitFunction)operations->query, &query, 0);
  for (guint i = 0; i < G_N_ELEMENTS (calls); i++) {
    RagifyKitCall *call = ragify_kit_wait (calls[i]);
    if (call->code != RAGIFY_OK)
      fail_msg ("%s", call->message);
    ragify_kit_call_free (call);
  }
  assert_true (http_stat (fixture, "connections_made") <= 5);
  assert_int_equal (http_stat (fixture, "active"), 0);
}

/* One of two instances keeps half of what the node may have; the rest is closed once it is idle. */
static void
a_loop_keeps_its_share_of_idle_connections (void **state)
{
  HttpFixture *fixture = *state;
  g_autofree char *url =
      g_strdup_printf ("base-url=http://127.0.0.1:%u/slow/0.05", scripted_http_port (fixture->server));
  const char *config[] = { url, "max-connections-per-host=4", NULL };
  const RagifyPlugin *plugin = ragify_kit_load (fixture->kit, g_getenv ("SOURCE_HTTP"));
  const RagifyKitNode node = { .index = 0, .count = 2 };
  fixture->source = ragify_kit_create (fixture->kit, ragify_kit_find (fixture->kit, plugin, RAGIFY_KIND_SOURCE, "http"),
                                       config, &node);
  assert_non_null (fixture->source);
  assert_int_equal (ragify_kit_start (fixture->source, NULL), RAGIFY_OK);
  const RagifySourceOperations *operations = ragify_kit_operations (fixture->source);
  const RagifySourceQuery query = { .struct_size = sizeof query, .top_k = 1, .text = ragify_str_from ("x") };
  RagifyKitCall *calls[12];
  for (guint i = 0; i < G_N_ELEMENTS (calls); i++)
    calls[i] = ragify_kit_begin (fixture->source, (RagifyKitFunction)operations->query, &query, 0);
  for (guint i = 0; i < G_N_ELEMENTS (calls); i++) {
    RagifyKitCall *call = ragify_kit_wait (calls[i]);
    assert_int_equal (call->code, RAGIFY_OK);
    ragify_kit_call_free (call);
  }
  for (guint i = 0; i < 3000 && http_stat (fixture, "connections_open") > 2; i++)
    g_usleep (10000);
  assert_true (http_stat (fixture, "connections_open") <= 2);
  ragify_kit_call_free (http_ask (fixture, "x", 1, 0));
  assert_true (http_stat (fixture, "connections_open") <= 2);
}

static void
a_probe_is_a_real_query (void **state)
{
  HttpFixture *fixture = *state;
  http_open (fixture, "ok", NULL);
  const RagifyNothing nothing = { .struct_size = sizeof nothing };
  const RagifyKitFunction probe = (RagifyKitFunction)ragify_kit_component (fixture->source)->probe;
  RagifyKitCall *call = ragify_kit_call (fixture->source, probe, &nothing, 0);
  assert_int_equal (call->code, RAGIFY_OK);
  const RagifyStr detail = ((const RagifyProbeResult *)call->result)->detail;
  g_autofree char *text = g_strndup (detail.data, detail.size);
  assert_has (text, "HTTP 200 in ");
  assert_has (text, "1 passages");
  ragify_kit_call_free (call);
}

static void
bad_configuration_is_refused_with_a_reason (void **state)
{
  HttpFixture *fixture = *state;
  static const struct {
    const char *config[5];
    const char *words;
  } cases[] = {
    { { "base-url=ftp://h/" }, "expected http:// or https:// and a host, found ftp://h/" },
    { { "base-url=http://ann:pw@h/" }, "holds a user name" },
    { { "base-url=http://h/?a=1" }, "expected no query" },
    { { "base-url=http://h", "url={base-url}/{q}" }, "expected {query}, {limit} or {base-url}, found {q}" },
    { { "base-url=http://h", "url=http://other/{query}" }, "leads to http://other:80, and base-url to http://h:80" },
    { { "base-url=http://h", "auth=bearer" }, "auth = bearer needs `token`" },
    { { "base-url=http://h", "auth=basic", "user=a" }, "needs `user` and `password`" },
    { { "base-url=http://h", "headers=No Colon" }, "headers: item 1: expected Name: value" },
    { { "base-url=http://h", "headers=A: x\ny" }, "headers: item 1" },
    { { "base-url=http://h", "token=a\nb" }, "control character" },
    { { "base-url=http://h", "content-pointer=text" },
      "content-pointer: expected a JSON pointer such as /data/0/text, found 'text'" },
    { { "base-url=http://h", "body={}" }, "body: needs method = POST or PUT" },
    { { "base-url=https://h", "tls-ca=/nowhere.pem" }, "tls-ca: /nowhere.pem" },
  };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    assert_null (http_try_open (fixture, cases[i].config));
    if (strstr (ragify_kit_error (fixture->kit), cases[i].words) == NULL)
      fail_msg ("case %u: expected '%s', found '%s'", i, cases[i].words, ragify_kit_error (fixture->kit));
  }
}

int
main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, http_set_up, http_tear_down)
  const struct CMUnitTest tests[] = {
    TEST (asks_and_maps_the_usual_way),
    TEST (sends_what_an_api_expects),
    TEST (a_query_stays_one_parameter),
    TEST (a_body_takes_the_query_as_a_json_string),
    TEST (a_form_takes_it_percent_encoded),
    TEST (credentials_of_every_kind),
    TEST (new_credentials_are_used_from_then_on),
    TEST (pointers_find_nested_members),
    TEST (lines_are_results_too),
    TEST (a_large_answer_is_read_whole),
    TEST (compressed_answers_are_read),
    TEST (what_has_not_changed_is_not_sent_again),
    TEST (what_was_forgotten_meanwhile_is_still_answered),
    TEST (connections_are_used_again),
    TEST (the_limit_of_connections_holds),
    TEST (a_loop_keeps_its_share_of_idle_connections),
    TEST (a_probe_is_a_real_query),
    TEST (bad_configuration_is_refused_with_a_reason),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, http_group_tear_down);
}
