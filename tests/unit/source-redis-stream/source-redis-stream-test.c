/* source-redis-stream through the loaded plugin, against a real Redis.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <glib.h>
#include <signal.h>
#include <string.h>

#include "kit.h"
#include "redis-fixture.h"

typedef struct Fixture {
  RedisServer server;
  RagifyKit *kit;
  RagifyKitInstance *source;
} Fixture;

static void
open_at (Fixture *fixture, guint port, const char *const *more)
{
  g_autofree char *url = g_strdup_printf ("url=redis://127.0.0.1:%u/0", port);
  const char *config[10] = { url, "stream=events" };
  for (guint i = 2; more != NULL && *more != NULL && i < G_N_ELEMENTS (config) - 1; i++, more++)
    config[i] = *more;
  fixture->source = ragify_kit_open (fixture->kit, g_getenv ("SOURCE_REDIS_STREAM"), RAGIFY_KIND_SOURCE, "redis-stream",
                                     config, NULL);
  if (fixture->source == NULL)
    fail_msg ("%s", ragify_kit_error (fixture->kit));
}

static void
open_source (Fixture *fixture, const char *key)
{
  const char *const more[] = { key, NULL };
  open_at (fixture, fixture->server.port, more);
}

static void
close_source (Fixture *fixture)
{
  assert_int_equal (ragify_kit_close (fixture->source), RAGIFY_OK);
  fixture->source = NULL;
  const RagifyKitCounts counts = ragify_kit_counts (fixture->kit);
  assert_true (counts.faults == 0 && counts.watches == 0 && counts.timers == 0 && counts.calls == 0);
}

static int
set_up (void **state)
{
  Fixture *fixture = g_new0 (Fixture, 1);
  redis_server_start (&fixture->server, NULL);
  const RagifyKitOptions options = { .quiet = 1 };
  fixture->kit = ragify_kit_new (&options);
  *state = fixture;
  return 0;
}

static int
tear_down (void **state)
{
  Fixture *fixture = *state;
  if (fixture->source != NULL)
    close_source (fixture);
  ragify_kit_free (fixture->kit);
  redis_server_end (&fixture->server);
  g_free (fixture);
  return 0;
}

static RagifyKitCall *
ask (Fixture *fixture, const char *text, guint top_k, guint64 timeout_us)
{
  const RagifySourceOperations *operations = ragify_kit_operations (fixture->source);
  const RagifySourceQuery query = { .struct_size = sizeof query, .top_k = top_k, .text = ragify_str_from (text) };
  return ragify_kit_call (fixture->source, (RagifyKitFunction)operations->query, &query, timeout_us);
}

/* The contents that a query finds, joined by '|'. */
static void
assert_finds (Fixture *fixture, const char *text, const char *expected)
{
  RagifyKitCall *call = ask (fixture, text, 10, 0);
  if (call->code != RAGIFY_OK)
    fail_msg ("%d: %s", call->code, call->message);
  const RagifySourceResult *result = call->result;
  g_autoptr (GString) found = g_string_new (NULL);
  for (guint64 i = 0; i < result->chunks.count; i++) {
    const RagifyStr content = result->chunks.items[i].content;
    g_string_append_printf (found, "%s%.*s", i > 0 ? "|" : "", (int)content.size, content.data);
  }
  assert_string_equal (found->str, expected);
  ragify_kit_call_free (call);
}

static void
expect (Fixture *fixture, guint64 timeout_us, int32_t code, const char *words)
{
  RagifyKitCall *call = ask (fixture, "potato", 5, timeout_us);
  if (call->code != code || strstr (call->message, words) == NULL || call->hung)
    fail_msg ("expected %d with '%s', found %d '%s'", code, words, call->code, call->message);
  ragify_kit_call_free (call);
}

static void
entries_are_found_by_their_words (void **state)
{
  Fixture *fixture = *state;
  redis_server_ask (&fixture->server, "XADD events 1000-1 content potatoes");
  redis_server_ask (&fixture->server, "XADD events 2000-1 content yeast");
  redis_server_ask (&fixture->server, "XADD events 3000-1 text Potatoes");
  open_source (fixture, NULL);
  assert_finds (fixture, "what about potatoes?", "Potatoes|potatoes"); /* of equals the later first */
  assert_finds (fixture, "YEAST", "yeast");
  assert_finds (fixture, "zeppelin", "");
  assert_finds (fixture, "", "");
  redis_server_ask (&fixture->server, "XADD events 4000-1 content zeppelin");
  assert_finds (fixture, "zeppelin", "zeppelin"); /* at once */
  redis_server_ask (&fixture->server, "XDEL events 4000-1");
  assert_finds (fixture, "zeppelin", ""); /* likewise */
}

static void
fields_become_what_they_are_called (void **state)
{
  Fixture *fixture = *state;
  redis_server_ask (&fixture->server, "XADD events 1714521600123-0 body potato title T url http://h/1 team blue n 3");
  open_source (fixture, NULL);
  RagifyKitCall *call = ask (fixture, "potato", 1, 0);
  const RagifyChunk *chunk = ((const RagifySourceResult *)call->result)->chunks.items;
  assert_memory_equal (chunk->document_id.data, "events/1714521600123-0", chunk->document_id.size);
  assert_memory_equal (chunk->title.data, "T", chunk->title.size);
  assert_memory_equal (chunk->uri.data, "http://h/1", chunk->uri.size);
  assert_memory_equal (chunk->metadata.data, "{\"team\":\"blue\",\"n\":\"3\"}", chunk->metadata.size);
  assert_int_equal (chunk->created_at, 1714521600123000);
  assert_true (chunk->score > 0 && (chunk->flags & RAGIFY_CHUNK_SCORED) == 0);
  ragify_kit_call_free (call);
}

static void
only_the_latest_are_looked_at (void **state)
{
  Fixture *fixture = *state;
  for (guint i = 1; i <= 300; i++)
    redis_server_ask (&fixture->server, "XADD events %u-1 content potato-%u", i, i);
  open_source (fixture, "window=200"); /* enough for a worker */
  assert_finds (fixture, "300", "potato-300");
  assert_finds (fixture, "101", "potato-101");
  assert_finds (fixture, "100", "");
  close_source (fixture);
  open_source (fixture, "max-age=1d"); /* all of them are of 1970 */
  redis_server_ask (&fixture->server, "XADD events * content fresh-potato");
  assert_finds (fixture, "potato", "fresh-potato");
  close_source (fixture);
  open_source (fixture, "match=latest");
  RagifyKitCall *call = ask (fixture, "zeppelin", 3, 0);
  assert_int_equal (((const RagifySourceResult *)call->result)->chunks.count, 3);
  ragify_kit_call_free (call);
}

static void
what_is_no_text_is_left_out (void **state)
{
  Fixture *fixture = *state;
  redis_server_ask (&fixture->server, "XADD events * content potato\xff");
  redis_server_ask (&fixture->server, "XADD events * other potato");
  redis_server_ask (&fixture->server, "XADD events * content potato bad\xfe x value y\xfd");
  open_source (fixture, NULL);
  assert_finds (fixture, "potato", "potato");
}

static void
a_missing_stream_is_empty_and_another_key_an_error (void **state)
{
  Fixture *fixture = *state;
  open_source (fixture, NULL);
  assert_finds (fixture, "potato", "");
  redis_server_ask (&fixture->server, "SET events text");
  RagifyKitCall *call = ask (fixture, "potato", 1, 0);
  assert_int_not_equal (call->code, RAGIFY_OK);
  assert_non_null (strstr (call->message, "WRONGTYPE"));
  ragify_kit_call_free (call);
}

static void
too_large_an_answer_is_not_taken (void **state)
{
  Fixture *fixture = *state;
  g_autofree char *large = g_strnfill (200, 'x');
  for (guint i = 0; i < 300; i++)
    redis_server_ask (&fixture->server, "XADD events * content %s", large);
  open_source (fixture, "max-reply=4KiB");
  RagifyKitCall *call = ask (fixture, "potato", 1, 5000000);
  assert_int_not_equal (call->code, RAGIFY_OK);
  assert_false (call->hung);
  ragify_kit_call_free (call);
}

static void
a_redis_that_is_gone_or_silent_fails_and_comes_back (void **state)
{
  Fixture *fixture = *state;
  open_source (fixture, "reply-timeout=200ms");
  redis_server_ask (&fixture->server, "XADD events * content potato");
  assert_finds (fixture, "potato", "potato");
  redis_server_signal (&fixture->server, SIGSTOP);
  expect (fixture, 100000, RAGIFY_E_TIMEOUT, "");
  redis_server_signal (&fixture->server, SIGCONT);
  redis_server_kill (&fixture->server);
  RagifyKitCall *call = NULL;
  for (guint i = 0; i < 1000 && (call == NULL || call->code != RAGIFY_E_UNAVAILABLE); i++) {
    ragify_kit_call_free (call);
    call = ask (fixture, "potato", 1, 0);
    g_usleep (10000);
  }
  assert_int_equal (call->code, RAGIFY_E_UNAVAILABLE);
  ragify_kit_call_free (call);
  redis_server_restart (&fixture->server);
  redis_server_ask (&fixture->server, "XADD events * content potato");
  for (guint i = 0; i < 3000; i++) {
    call = ask (fixture, "potato", 1, 0);
    const gboolean back = call->code == RAGIFY_OK;
    ragify_kit_call_free (call);
    if (back)
      break;
    g_usleep (10000);
  }
  assert_finds (fixture, "potato", "potato");
}

static void
answers_that_are_cut_or_garbled_are_errors (void **state)
{
  Fixture *fixture = *state;
  redis_server_ask (&fixture->server, "XADD events * content potato");
  FaultProxy proxy = { .pid = 0 };
  fault_proxy_start (&proxy, fixture->server.port);
  open_at (fixture, proxy.port, NULL);
  assert_finds (fixture, "potato", "potato");
  static const char *const faults[] = { "cut 10", "garbage 2b00ff0d0a2a", "stall" };
  for (guint i = 0; i < G_N_ELEMENTS (faults); i++) {
    fault_proxy_tell (&proxy, faults[i]);
    RagifyKitCall *call = ask (fixture, "potato", 1, 500000);
    if (call->code == RAGIFY_OK || call->hung)
      fail_msg ("%s: %d %s", faults[i], call->code, call->message);
    ragify_kit_call_free (call);
  }
  close_source (fixture);
  fault_proxy_end (&proxy);
}

static void
a_cancelled_query_ends_at_once (void **state)
{
  Fixture *fixture = *state;
  open_source (fixture, NULL);
  redis_server_signal (&fixture->server, SIGSTOP);
  const RagifySourceOperations *operations = ragify_kit_operations (fixture->source);
  const RagifySourceQuery query = { .struct_size = sizeof query, .top_k = 1, .text = ragify_str_from ("x") };
  RagifyKitCall *call = ragify_kit_begin (fixture->source, (RagifyKitFunction)operations->query, &query, 0);
  ragify_kit_cancel (call);
  call = ragify_kit_wait (call);
  assert_int_equal (call->code, RAGIFY_E_CANCELLED);
  ragify_kit_call_free (call);
  redis_server_signal (&fixture->server, SIGCONT);
}

static void
a_probe_asks_redis (void **state)
{
  Fixture *fixture = *state;
  open_source (fixture, NULL);
  const RagifyNothing nothing = { .struct_size = sizeof nothing };
  const RagifyKitFunction probe = (RagifyKitFunction)ragify_kit_component (fixture->source)->probe;
  RagifyKitCall *call = ragify_kit_call (fixture->source, probe, &nothing, 0);
  assert_int_equal (call->code, RAGIFY_OK);
  const RagifyStr detail = ((const RagifyProbeResult *)call->result)->detail;
  assert_memory_equal (detail.data, "Redis, no entries", detail.size);
  ragify_kit_call_free (call);
}

int
main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
    TEST (entries_are_found_by_their_words),
    TEST (fields_become_what_they_are_called),
    TEST (only_the_latest_are_looked_at),
    TEST (what_is_no_text_is_left_out),
    TEST (a_missing_stream_is_empty_and_another_key_an_error),
    TEST (too_large_an_answer_is_not_taken),
    TEST (a_redis_that_is_gone_or_silent_fails_and_comes_back),
    TEST (answers_that_are_cut_or_garbled_are_errors),
    TEST (a_cancelled_query_ends_at_once),
    TEST (a_probe_asks_redis),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
