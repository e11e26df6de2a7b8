/* The embedding batcher: alone when idle, together when busy, and each with its own deadline.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "rig.h"

#define N 60

static const Passage passages[] = {
  { "d0", "", "", "zero one two three", "" },
  { "d1", "", "", "four five six seven", "" },
  { "d2", "", "", "eight nine ten eleven", "" },
};

typedef struct {
  Rig *rig;
  Script embedder, store;
  RagifyPipeline *pipeline;
  char *requests[N];
} World;

static int
set_up (void **state)
{
  World *world = g_new0 (World, 1);
  world->rig = rig_new (2);
  world->store.passages = passages;
  world->store.n_passages = G_N_ELEMENTS (passages);
  RagifyNode *embedder = rig_scripted (world->rig, "words-64", &scripted_embedder, &world->embedder);
  RagifyNode *store = rig_scripted (world->rig, "docs", &scripted_store, &world->store);
  const RagifyRetriever retriever = {
    .type = RAGIFY_RETRIEVER_VECTOR_STORE, .node = store, .store = store, .embedder = embedder, .weight = 1
  };
  const RagifyPipelineOptions options = { .name = "default",
                                          .retrievers = &retriever,
                                          .n_retrievers = 1,
                                          .fuse_weight = 0.6,
                                          .deadline_us = 60 * G_USEC_PER_SEC };
  world->pipeline = ragify_pipeline_new (&world->rig->runtime, &options);
  for (guint i = 0; i < N; i++)
    world->requests[i] = g_strdup_printf ("{\"query\": \"%s number-%u\", \"max_chunks\": 1, \"timeout_ms\": %u}",
                                          passages[i % 3].content, i, 4000 + i);
  *state = world;
  return 0;
}

static int
tear_down (void **state)
{
  World *world = *state;
  Rig *rig = world->rig;
  while (rig->nodes->len > 0)
    assert_true (ragify_node_free (g_ptr_array_steal_index (rig->nodes, rig->nodes->len - 1),
                                   ragify_now () + 60 * G_USEC_PER_SEC));
  ragify_pipeline_free (world->pipeline);
  rig_free (rig);
  for (guint i = 0; i < N; i++)
    g_free (world->requests[i]);
  g_free (world);
  return 0;
}

/* From the chunks on: what does not change from one asking to the next. */
static char *
chunks_of (const Reply *reply)
{
  const char *begin = strstr (reply->text, "\"chunks\""), *end = strstr (reply->text, ",\"sources\"");
  assert_non_null (begin);
  assert_non_null (end);
  return g_strndup (begin, end - begin);
}

static void
idle_means_alone_and_at_once (void **state)
{
  World *world = *state;
  for (guint i = 0; i < 5; i++) {
    Reply reply = rig_ask (world->rig, i % 2, world->pipeline, world->requests[i]);
    assert_int_equal (reply.status, 200);
    reply_clear (&reply);
  }
  assert_int_equal (world->embedder.calls, 5);
}

static void
busy_means_together_with_the_same_answers (void **state)
{
  World *world = *state;
  char *single[N];
  for (guint i = 0; i < N; i++) {
    Reply reply = rig_ask (world->rig, 0, world->pipeline, world->requests[i]);
    assert_int_equal (reply.status, 200);
    single[i] = chunks_of (&reply);
    reply_clear (&reply);
  }
  world->embedder.calls = 0;
  world->embedder.delay_ms = 10;
  Reply replies[N];
  rig_ask_each (world->rig, world->pipeline, (const char *const *)world->requests, N, 0, replies);
  for (guint i = 0; i < N; i++) {
    assert_int_equal (replies[i].status, 200);
    g_autofree char *chunks = chunks_of (&replies[i]);
    assert_string_equal (chunks, single[i]);
    reply_clear (&replies[i]);
    g_free (single[i]);
  }
  assert_true (world->embedder.calls < N / 2);
  assert_true (world->embedder.calls >= N / 8);
}

static void
who_waits_too_long_gets_a_timeout_alone (void **state)
{
  World *world = *state;
  guint in_time = N / 2;
  for (guint ms = 30; in_time > 0 && ms < 20000; ms *= 2) { /* where the machine pauses the embedder may be the first */
    world->embedder.delay_ms = 2 * ms;
    for (guint i = 0; i < N; i += 2) {
      g_free (world->requests[i]);
      world->requests[i] = g_strdup_printf ("{\"query\": \"hasty %u\", \"timeout_ms\": %u}", i, ms);
    }
    Reply replies[N];
    rig_ask_each (world->rig, world->pipeline, (const char *const *)world->requests, N, 0, replies);
    in_time = 0;
    for (guint i = 0; i < N; i++) {
      if (i % 2 == 0 && replies[i].status == 200)
        in_time++;
      else
        assert_int_equal (replies[i].status, i % 2 == 0 ? 503 : 200);
      reply_clear (&replies[i]);
    }
  }
  assert_int_equal (in_time, 0);
}

static void
who_leaves_is_taken_out (void **state)
{
  World *world = *state;
  world->embedder.holds = TRUE;
  Reply replies[N];
  rig_ask_each (world->rig, world->pipeline, (const char *const *)world->requests, N, 15, replies);
  for (guint i = 0; i < N; i++) {
    assert_int_equal (replies[i].status, 499);
    reply_clear (&replies[i]);
  }
  world->embedder.holds = FALSE;
  Reply reply = rig_ask (world->rig, 0, world->pipeline, world->requests[0]);
  assert_int_equal (reply.status, 200);
  reply_clear (&reply);
}

static void
a_failure_is_everyones (void **state)
{
  World *world = *state;
  world->embedder.delay_ms = 5;
  world->embedder.code = RAGIFY_E_INTERNAL;
  Reply replies[N];
  rig_ask_each (world->rig, world->pipeline, (const char *const *)world->requests, N, 0, replies);
  for (guint i = 0; i < N; i++) {
    assert_int_equal (replies[i].status, 503);
    assert_non_null (strstr (replies[i].text, "as the script says"));
    reply_clear (&replies[i]);
  }
}

int
main (void)
{
  cmocka_set_message_output (CM_OUTPUT_TAP);
#define CASE(name) cmocka_unit_test_setup_teardown (name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
    CASE (idle_means_alone_and_at_once),
    CASE (busy_means_together_with_the_same_answers),
    CASE (who_waits_too_long_gets_a_timeout_alone),
    CASE (who_leaves_is_taken_out),
    CASE (a_failure_is_everyones),
  };
  return cmocka_run_group_tests_name ("embed-batcher", tests, NULL, NULL);
}
