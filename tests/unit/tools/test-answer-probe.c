#include "tools/ragify-bench/answer-probe.h"

#include "tap.h"

#include <string.h>

/* Feeds text in pieces of every size and checks what is seen each time. */
static void
expect (const char *text, const char *level, gboolean degraded)
{
  for (gsize piece = 1; piece <= strlen (text); piece++) {
    RagifyAnswerProbe probe;
    ragify_answer_probe_reset (&probe);
    for (gsize i = 0; i < strlen (text); i += piece)
      ragify_answer_probe_feed (&probe, text + i, MIN (piece, strlen (text) - i));
    assert_string_equal (ragify_answer_probe_get_level (&probe), level);
    assert_int_equal (ragify_answer_probe_is_degraded (&probe), degraded);
  }
}

static void
level_and_degradation_are_seen (void **state)
{
  expect ("{\"request_id\":\"a\",\"query\":\"q\",\"cache\":\"memory\",\"degraded\":false,\"chunks\":[]}", "memory",
          FALSE);
  expect ("{\"degraded\":true,\"query\":\"q\",\"cache\":\"miss\"}", "miss", TRUE);
}

static void
a_query_cannot_pass_for_them (void **state)
{
  expect ("{\"query\":\"\\\"cache\\\":\\\"redis\\\",\\\"degraded\\\":true\",\"cache\":\"disk\",\"degraded\":false}",
          "disk", FALSE);
  expect ("{\"cache\":7,\"degraded_by\":true}", "", FALSE);
}

static void
metadata_cannot_pass_for_them (void **state)
{
  expect ("{\"cache\":\"miss\",\"chunks\":[{\"metadata\":{\"cache\":\"disk\",\"degraded\":true}}],\"degraded\":false}",
          "miss", FALSE);
}

static void
a_false_start_is_started_again (void **state)
{
  expect ("{\"ca\"cache\":\"miss\"\"degra\"degraded\":true}", "miss", TRUE);
}

static void
the_time_in_the_host_is_read (void **state)
{
  static const char answer[] =
      "{\"query\":\"q\",\"processing_time\":1.5e-3,\"cache\":\"miss\",\"metadata\":{\"processing_time\":9}}";
  RagifyAnswerProbe probe;
  ragify_answer_probe_reset (&probe);
  assert_true (isnan (ragify_answer_probe_get_processing_time (&probe)));
  ragify_answer_probe_feed (&probe, answer, 30);
  ragify_answer_probe_feed (&probe, answer + 30, strlen (answer) - 30);
  assert_close (ragify_answer_probe_get_processing_time (&probe), 0.0015, 1e-12);
  assert_string_equal (ragify_answer_probe_get_level (&probe), "miss");
}

static void
a_level_longer_than_its_room_is_cut (void **state)
{
  expect ("{\"cache\":\"abcdefghijklmnopqrstuvwxyz\",\"degraded\":true}", "abcdefghijklmnopqrstuvw", TRUE);
}

int
main (void)
{
  cmocka_set_message_output (CM_OUTPUT_TAP);
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (level_and_degradation_are_seen), cmocka_unit_test (a_query_cannot_pass_for_them),
    cmocka_unit_test (metadata_cannot_pass_for_them),  cmocka_unit_test (a_false_start_is_started_again),
    cmocka_unit_test (the_time_in_the_host_is_read),   cmocka_unit_test (a_level_longer_than_its_room_is_cut),
  };
  return cmocka_run_group_tests (tests, NULL, NULL);
}
