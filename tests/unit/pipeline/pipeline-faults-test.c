/* What a pipeline answers when its parts fail or are slow, and to many who ask the same at once.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "world.h"

/* Asks for an answer in a short while, and in a longer one where nobody at all had answered: the machine paused. */
static json_t *
ask_in_haste (World *world)
{
  for (guint ms = 50;; ms *= 2) {
    g_autofree char *request = g_strdup_printf ("{\"query\": \"cats\", \"timeout_ms\": %u}", ms);
    Reply reply = rig_ask (world->rig, 0, world->pipeline, request);
    if (reply.status == 200 || ms > 20000)
      return world_parse (reply, 200);
    reply_clear (&reply);
  }
}

static void
a_failing_source_degrades_the_answer (void **state)
{
  World *world = *state;
  world_add_store (world);
  world_add_source (world, world->source_node, RAGIFY_SCORE_RANK);
  world_build (world);
  world->source.code = RAGIFY_E_UNAVAILABLE;
  json_t *answer = world_ask (world, "{\"query\": \"cats\"}", 200);
  assert_true (json_is_true (json_object_get (answer, "degraded")));
  assert_string_equal (source_status (answer, "tickets"), "error");
  assert_non_null (strstr (json_string_value (json_array_get (json_object_get (answer, "warnings"), 0)), "tickets"));
  assert_true (chunk_count (answer) > 0);
  json_decref (answer);
  world->source.code = RAGIFY_OK;
  answer = world_ask (world, "{\"query\": \"cats\"}", 200);
  assert_string_equal (text_of (answer, "cache"), "miss"); /* a degraded answer was not kept */
  assert_string_equal (source_status (answer, "tickets"), "ok");
  json_decref (answer);
}

static void
a_slow_source_is_not_waited_for (void **state)
{
  World *world = *state;
  world_add_index (world);
  world_add_source (world, world->source_node, RAGIFY_SCORE_RANK);
  world->retrievers[1].deadline_us = 30000;
  world_build (world);
  world->source.hangs = TRUE;
  json_t *answer = world_ask (world, "{\"query\": \"cats\"}", 200);
  assert_string_equal (source_status (answer, "tickets"), "timeout");
  assert_true (json_number_value (json_object_get (answer, "processing_time")) < 30);
  json_decref (answer);
}

static void
a_request_has_its_answer_at_its_own_deadline (void **state)
{
  World *world = *state;
  world_add_index (world);
  world_add_source (world, world->source_node, RAGIFY_SCORE_RANK);
  world_build (world);
  world->source.hangs = TRUE;
  json_t *answer = ask_in_haste (world);
  assert_string_equal (source_status (answer, "tickets"), "timeout");
  json_decref (answer);
}

static void
a_source_that_never_completes_is_abandoned (void **state)
{
  World *world = *state;
  world_add_index (world);
  world_add_source (world, world->source_node, RAGIFY_SCORE_RANK);
  world_build (world);
  world->source.holds = TRUE;
  json_t *answer = ask_in_haste (world);
  assert_string_equal (source_status (answer, "tickets"), "timeout");
  assert_true (chunk_count (answer) > 0);
  json_decref (answer);
  world->source.holds = FALSE;
}

static void
when_nothing_answers_the_reasons_are_told (void **state)
{
  World *world = *state;
  world_add_store (world);
  world_add_source (world, world->source_node, RAGIFY_SCORE_RANK);
  world_build (world);
  world->source.code = RAGIFY_E_UNAUTHORIZED;
  world->store.code = RAGIFY_E_INTERNAL;
  json_t *problem = world_ask (world, "{\"query\": \"cats\"}", 503);
  assert_non_null (strstr (text_of (problem, "detail"), "tickets"));
  assert_non_null (strstr (text_of (problem, "detail"), "docs"));
  assert_string_equal (source_status (problem, "tickets"), "error");
  assert_string_equal (text_of (problem, "request_id"), "test-request");
  json_decref (problem);
  Reply reply = rig_ask (world->rig, 0, world->pipeline, "{\"query\": \"cats\"}");
  assert_string_equal (reply.content_type, "application/problem+json");
  assert_int_equal (reply.retry_after, 2); /* the longest that a source asked for, 1.5 s, in whole seconds */
  reply_clear (&reply);
}

static void
partial_answers_can_be_refused (void **state)
{
  World *world = *state;
  world_add_index (world);
  world_add_source (world, world->source_node, RAGIFY_SCORE_RANK);
  world->options.fail_on_partial = TRUE;
  world_build (world);
  json_decref (world_ask (world, "{\"query\": \"cats\"}", 200));
  world->source.code = RAGIFY_E_UNAVAILABLE;
  json_decref (world_ask (world, "{\"query\": \"dogs\"}", 503));
}

static void
without_the_embedder_words_still_answer (void **state)
{
  World *world = *state;
  world_add_store (world);
  world_add_index (world);
  world_build (world);
  world->embedder.code = RAGIFY_E_INTERNAL;
  json_t *answer = world_ask (world, "{\"query\": \"cats sleep\"}", 200);
  assert_true (json_is_true (json_object_get (answer, "degraded")));
  assert_string_equal (source_status (answer, "docs"), "error");
  assert_string_equal (text_of (chunk_at (answer, 0), "score_kind"), "rank");
  assert_int_equal (world->store.searches, 0);
  json_decref (answer);
  json_decref (world_ask (world, "{\"query\": \"cats sleep\", \"mode\": \"dense\"}", 503));
}

static void
missing_vectors_degrade (void **state)
{
  World *world = *state;
  world_add_store (world);
  world_add_index (world);
  world_build (world);
  world->store.no_vectors = TRUE;
  json_t *answer = world_ask (world, "{\"query\": \"cats sleep\", \"mode\": \"lexical\"}", 200);
  assert_true (json_is_true (json_object_get (answer, "degraded")));
  assert_string_equal (text_of (chunk_at (answer, 0), "score_kind"), "rank");
  json_decref (answer);
}

static void
contents_that_are_gone_are_left_out (void **state)
{
  World *world = *state;
  world_add_store (world);
  world_build (world);
  world->store.forgets = TRUE;
  json_t *answer = world_ask (world, "{\"query\": \"cats\"}", 200);
  assert_int_equal (chunk_count (answer), 0);
  assert_int_equal (json_integer_value (json_object_get (answer, "total_chunks")), 0);
  json_decref (answer);
}

static void
broken_metadata_does_not_break_the_answer (void **state)
{
  World *world = *state;
  world_add_store (world);
  world_build (world);
  json_t *answer = world_ask (world, "{\"query\": \"cats and dogs and fish\"}", 200);
  assert_string_equal (text_of (chunk_at (answer, 0), "document_id"), "d6");
  assert_int_equal (json_object_size (json_object_get (chunk_at (answer, 0), "metadata")), 0);
  json_decref (answer);
}

static void
waves_bound_how_many_are_asked_at_once (void **state)
{
  World *world = *state;
  Script scripts[4];
  for (guint i = 0; i < 4; i++) {
    g_autofree char *name = g_strdup_printf ("source-%u", i);
    scripts[i] = (Script){ .passages = world_passages, .n_passages = 1, .delay_ms = 5 };
    world_add_source (world, rig_scripted (world->rig, name, &scripted_source, &scripts[i]), RAGIFY_SCORE_RANK);
  }
  world->options.source_batch = 1;
  world_build (world);
  json_t *answer = world_ask (world, "{\"query\": \"cats\"}", 200);
  assert_true (json_number_value (json_object_get (answer, "processing_time")) >= 0.02);
  assert_int_equal (json_object_size (json_object_get (answer, "sources")), 4);
  assert_int_equal (chunk_count (answer), 1); /* all say the same */
  json_decref (answer);
}

static void
later_waves_are_skipped_when_the_time_is_up (void **state)
{
  World *world = *state;
  world_add_index (world);
  world_add_source (world, world->source_node, RAGIFY_SCORE_RANK);
  world_add_source (world, world->other_node, RAGIFY_SCORE_RANK);
  world->options.source_batch = 2;
  world_build (world);
  world->source.hangs = TRUE;
  json_t *answer = ask_in_haste (world);
  assert_string_equal (source_status (answer, "tickets"), "timeout");
  assert_string_equal (source_status (answer, "notes"), "skipped");
  json_decref (answer);
}

static void
who_leaves_is_no_longer_computed_for (void **state)
{
  World *world = *state;
  world_add_index (world);
  world_add_source (world, world->source_node, RAGIFY_SCORE_RANK);
  world_build (world);
  world->source.hangs = TRUE;
  Reply reply = rig_ask_and_leave (world->rig, 0, world->pipeline, "{\"query\": \"cats\"}", 100);
  assert_int_equal (reply.status, 499);
  reply_clear (&reply);
  /* It may have left before the source was asked. */
  for (guint i = 0; i < 60000 && g_atomic_int_get (&world->source.cancels) < g_atomic_int_get (&world->source.calls);
       i++)
    g_usleep (1000);
  assert_int_equal (g_atomic_int_get (&world->source.cancels), g_atomic_int_get (&world->source.calls));
  world->source.hangs = FALSE;
  json_decref (world_ask (world, "{\"query\": \"cats\"}", 200));
}

static void
many_who_ask_the_same_are_computed_for_once (void **state)
{
  World *world = *state;
  world_add_store (world);
  world_add_index (world);
  world_build (world);
  world->embedder.delay_ms = 50;
  Reply replies[200];
  rig_ask_many (world->rig, world->pipeline, "{\"query\": \"cats sleep\"}", G_N_ELEMENTS (replies), replies);
  for (guint i = 0; i < G_N_ELEMENTS (replies); i++) {
    assert_int_equal (replies[i].status, 200);
    assert_non_null (strstr (replies[i].text, "cats sleep most of the day"));
    reply_clear (&replies[i]);
  }
  assert_int_equal (world->embedder.calls, 1);
  assert_int_equal (world->store.searches, 1);
}

static void
a_degraded_answer_is_shared_but_not_kept (void **state)
{
  World *world = *state;
  world_add_index (world);
  world_add_source (world, world->source_node, RAGIFY_SCORE_RANK);
  world_build (world);
  world->source.code = RAGIFY_E_UNAVAILABLE;
  gint searches = 0;
  for (guint ms = 50; searches != 1 && ms < 20000; ms *= 2) { /* who comes late, as the machine paused, searches anew */
    world->source.delay_ms = ms;
    const gint before = g_atomic_int_get (&world->index.searches);
    Reply replies[20];
    rig_ask_many (world->rig, world->pipeline, "{\"query\": \"cats\"}", G_N_ELEMENTS (replies), replies);
    for (guint i = 0; i < G_N_ELEMENTS (replies); i++) {
      assert_int_equal (replies[i].status, 200);
      assert_true (replies[i].degraded);
      reply_clear (&replies[i]);
    }
    searches = g_atomic_int_get (&world->index.searches) - before;
  }
  assert_int_equal (searches, 1);
  searches = g_atomic_int_get (&world->index.searches);
  json_decref (world_ask (world, "{\"query\": \"cats\"}", 200));
  assert_int_equal (g_atomic_int_get (&world->index.searches), searches + 1);
}

/* Fifteen who wait for what fails after 20 ms: 1 + 2 + 4 + 8 ask, and not one after the other. */
static void
failures_are_not_waited_for_in_turn (void **state)
{
  World *world = *state;
  world_add_source (world, world->source_node, RAGIFY_SCORE_RANK);
  world_build (world);
  world->source.code = RAGIFY_E_UNAVAILABLE;
  world->source.delay_ms = 20;
  Reply replies[15];
  rig_ask_many (world->rig, world->pipeline, "{\"query\": \"cats\"}", G_N_ELEMENTS (replies), replies);
  for (guint i = 0; i < G_N_ELEMENTS (replies); i++) {
    assert_int_equal (replies[i].status, 503);
    reply_clear (&replies[i]);
  }
  assert_int_equal (world->source.calls, 15);
  assert_true (world->source.most_under_way >= 2);
}

static void
the_hurried_keep_their_poor_answer_to_themselves (void **state)
{
  World *world = *state;
  world_add_index (world);
  world_add_source (world, world->source_node, RAGIFY_SCORE_RANK);
  world_build (world);
  gboolean in_time = FALSE;
  for (guint ms = 30; !in_time && ms < 20000;
       ms *= 2) { /* in time for the words, that is, and too late for the source */
    world->source.delay_ms = 2 * ms;
    g_autofree char *hurried = g_strdup_printf ("{\"query\": \"cats %u\", \"timeout_ms\": %u}", ms, ms);
    g_autofree char *patient = g_strdup_printf ("{\"query\": \"cats %u\"}", ms);
    const char *requests[] = { hurried, patient };
    Reply replies[2];
    rig_ask_each (world->rig, world->pipeline, requests, 2, 0, replies);
    in_time = replies[0].status == 200 && replies[0].degraded;
    assert_int_equal (replies[1].status, 200);
    assert_false (replies[1].degraded);
    reply_clear (&replies[0]);
    reply_clear (&replies[1]);
  }
  assert_true (in_time);
}

int
main (void)
{
  cmocka_set_message_output (CM_OUTPUT_TAP);
#define CASE(name) cmocka_unit_test_setup_teardown (name, world_set_up, world_tear_down)
  const struct CMUnitTest tests[] = {
    CASE (a_failing_source_degrades_the_answer),
    CASE (a_slow_source_is_not_waited_for),
    CASE (a_request_has_its_answer_at_its_own_deadline),
    CASE (a_source_that_never_completes_is_abandoned),
    CASE (when_nothing_answers_the_reasons_are_told),
    CASE (partial_answers_can_be_refused),
    CASE (without_the_embedder_words_still_answer),
    CASE (missing_vectors_degrade),
    CASE (contents_that_are_gone_are_left_out),
    CASE (broken_metadata_does_not_break_the_answer),
    CASE (waves_bound_how_many_are_asked_at_once),
    CASE (later_waves_are_skipped_when_the_time_is_up),
    CASE (who_leaves_is_no_longer_computed_for),
    CASE (many_who_ask_the_same_are_computed_for_once),
    CASE (a_degraded_answer_is_shared_but_not_kept),
    CASE (failures_are_not_waited_for_in_turn),
    CASE (the_hurried_keep_their_poor_answer_to_themselves),
  };
  return cmocka_run_group_tests_name ("pipeline-faults", tests, NULL, NULL);
}
