/* Many sources at once: how many, and for whom an answer waits.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <string.h>

#include "rig.h"

#define SOURCES 6

static const Passage passages[] = {
  { "d1", "Cats", "", "cats sleep most of the day", "" },
  { "d2", "Dogs", "", "dogs bark at the cats", "" },
  { "d3", "Fish", "", "fish swim in the sea", "" },
};

/* Counts how many sources are asked at once: all share it. */
typedef struct {
  Rig *rig;
  Script scripts[SOURCES], embedder, store, index;
  RagifyNode *nodes[SOURCES];
  RagifyRetriever retrievers[SOURCES + 2];
  RagifyPipelineOptions options;
  RagifyPipeline *pipeline;
} World;

static int
set_up (void **state)
{
  static char names[SOURCES][8];
  World *world = g_new0 (World, 1);
  world->rig = rig_new (2);
  world->options = (RagifyPipelineOptions){ .name = "default", .dedupe = TRUE, .deadline_us = 60 * G_USEC_PER_SEC };
  for (guint i = 0; i < SOURCES; i++) {
    g_snprintf (names[i], sizeof names[i], "s%u", i);
    world->scripts[i] = (Script){ .passages = passages, .n_passages = G_N_ELEMENTS (passages) };
    world->nodes[i] = rig_scripted (world->rig, names[i], &scripted_source, &world->scripts[i]);
    world->retrievers[i] = (RagifyRetriever){ .node = world->nodes[i], .source_type = "database", .weight = 1 };
  }
  world->options.retrievers = world->retrievers;
  world->options.n_retrievers = SOURCES;
  *state = world;
  return 0;
}

static int
tear_down (void **state)
{
  World *world = *state;
  while (world->rig->nodes->len > 0)
    assert_true (ragify_node_free (g_ptr_array_steal_index (world->rig->nodes, world->rig->nodes->len - 1),
                                   ragify_now () + 60 * G_USEC_PER_SEC));
  ragify_pipeline_free (world->pipeline);
  rig_free (world->rig);
  g_free (world);
  return 0;
}

static json_t *
ask (World *world, const char *request)
{
  if (world->pipeline == NULL)
    world->pipeline = ragify_pipeline_new (&world->rig->runtime, &world->options);
  Reply reply = rig_ask (world->rig, 0, world->pipeline, request);
  if (reply.status != 200)
    fail_msg ("%u: %s", reply.status, reply.text);
  json_t *json = json_loadb (reply.text, reply.size, JSON_REJECT_DUPLICATES, NULL);
  assert_non_null (json);
  reply_clear (&reply);
  return json;
}

static guint
with_status (const json_t *answer, const char *status)
{
  const char *name;
  json_t *source;
  guint count = 0;
  json_object_foreach (json_object_get (answer, "sources"), name,
                       source) if (strcmp (json_string_value (json_object_get (source, "status")), status) == 0)
      count++;
  return count;
}

static guint
asked (World *world)
{
  guint count = 0;
  for (guint i = 0; i < SOURCES; i++)
    count += (guint)g_atomic_int_get (&world->scripts[i].calls);
  return count;
}

static gboolean
is_degraded (const json_t *answer)
{
  return json_is_true (json_object_get (answer, "degraded"));
}

/* The first hangs: while it does, the others come one after the other, never two at once. */
static void
so_many_are_asked_at_once_and_the_next_when_one_is_done (void **state)
{
  World *world = *state;
  world->options.max_at_once = 2;
  world->scripts[0].hangs = TRUE;
  world->retrievers[0].deadline_us = G_USEC_PER_SEC;
  for (guint i = 1; i < SOURCES; i++)
    world->scripts[i].delay_ms = 10;
  json_t *answer = ask (world, "{\"query\":\"cats\"}");
  assert_int_equal (asked (world), SOURCES);
  assert_int_equal (with_status (answer, "ok"), SOURCES - 1);
  assert_int_equal (with_status (answer, "timeout"), 1);
  assert_true (is_degraded (answer));
  json_decref (answer);
}

static void
the_next_wave_waits_for_the_one_before (void **state)
{
  World *world = *state;
  world->options.source_batch = 2;
  world->scripts[0].hangs = TRUE; /* … and so the second wave has no time left */
  json_t *answer = ask (world, "{\"query\":\"cats\",\"timeout_ms\":2000}");
  assert_int_equal (asked (world), 2);
  assert_int_equal (with_status (answer, "skipped"), SOURCES - 2);
  json_decref (answer);
}

static void
the_first_answer_ends_the_asking (void **state)
{
  World *world = *state;
  world->options.finish = RAGIFY_FINISH_FIRST;
  for (guint i = 1; i < SOURCES; i++)
    world->scripts[i].hangs = TRUE;
  json_t *answer = ask (world, "{\"query\":\"cats\"}");
  assert_int_equal (with_status (answer, "ok"), 1);
  assert_int_equal (with_status (answer, "skipped"), SOURCES - 1);
  assert_false (is_degraded (answer));
  assert_int_equal (json_array_size (json_object_get (answer, "warnings")), 0);
  assert_int_equal (json_array_size (json_object_get (answer, "chunks")), G_N_ELEMENTS (passages));
  json_decref (answer);
}

static void
an_empty_answer_or_a_failure_is_not_the_first (void **state)
{
  World *world = *state;
  world->options.finish = RAGIFY_FINISH_FIRST;
  world->scripts[0].n_passages = 0;
  world->scripts[1].code = RAGIFY_E_INTERNAL;
  for (guint i = 2; i < SOURCES; i++)
    world->scripts[i].hangs = TRUE;
  world->scripts[2].hangs = FALSE;
  world->scripts[2].delay_ms = 50;
  json_t *answer = ask (world, "{\"query\":\"cats\"}");
  assert_int_equal (with_status (answer, "ok"), 2);
  assert_int_equal (with_status (answer, "error"), 1);
  assert_true (is_degraded (answer)); /* what failed before has failed */
  json_decref (answer);
}

static void
enough_good_chunks_end_the_asking (void **state)
{
  World *world = *state;
  world->options.finish = RAGIFY_FINISH_ENOUGH;
  for (guint i = 2; i < SOURCES; i++)
    world->scripts[i].hangs = TRUE;
  json_t *answer = ask (world, "{\"query\":\"cats\",\"max_chunks\":6}");
  assert_int_equal (with_status (answer, "ok"), 2); /* three each */
  assert_int_equal (with_status (answer, "skipped"), SOURCES - 2);
  assert_false (is_degraded (answer));
  json_decref (answer);
}

/* By rank the second and third are worth 0.83 and 0.71: two of three are good, so it takes three sources. */
static void
poor_chunks_are_not_counted (void **state)
{
  World *world = *state;
  world->options.finish = RAGIFY_FINISH_ENOUGH;
  for (guint i = 3; i < SOURCES; i++)
    world->scripts[i].hangs = TRUE;
  json_t *answer = ask (world, "{\"query\":\"cats\",\"max_chunks\":6,\"min_relevance\":0.8}");
  assert_int_equal (with_status (answer, "ok"), 3);
  assert_int_equal (with_status (answer, "skipped"), SOURCES - 3);
  json_decref (answer);
}

static void
words_alone_are_never_enough (void **state)
{
  World *world = *state;
  world->options.finish = RAGIFY_FINISH_ENOUGH;
  world->store = world->index = (Script){ .passages = passages, .n_passages = G_N_ELEMENTS (passages) };
  world->store.delay_ms = 50;
  RagifyNode *embedder = rig_scripted (world->rig, "words-64", &scripted_embedder, &world->embedder);
  RagifyNode *store = rig_scripted (world->rig, "docs", &scripted_store, &world->store);
  RagifyNode *index = rig_scripted (world->rig, "words", &scripted_index, &world->index);
  world->retrievers[0] = (RagifyRetriever){
    .type = RAGIFY_RETRIEVER_TEXT_INDEX, .node = index, .store = store, .embedder = embedder, .weight = 1
  };
  world->retrievers[1] = (RagifyRetriever){ .type = RAGIFY_RETRIEVER_VECTOR_STORE,
                                            .node = store,
                                            .store = store,
                                            .embedder = embedder,
                                            .source_type = "vector",
                                            .weight = 1 };
  for (guint i = 2; i < SOURCES; i++)
    world->scripts[i].hangs = TRUE;
  json_t *answer = ask (world, "{\"query\":\"cats\",\"max_chunks\":1}");
  assert_int_equal (with_status (answer, "ok"), 2);
  json_t *chunk = json_array_get (json_object_get (answer, "chunks"), 0);
  assert_string_equal (json_string_value (json_object_get (chunk, "score_kind")), "cosine");
  json_decref (answer);
}

static void
what_a_request_leaves_open_the_pipeline_says (void **state)
{
  World *world = *state;
  world->options.max_chunks = 2;
  json_t *answer = ask (world, "{\"query\":\"cats\"}");
  assert_int_equal (json_array_size (json_object_get (answer, "chunks")), 2);
  json_decref (answer);
  answer = ask (world, "{\"query\":\"cats\",\"max_chunks\":3}");
  assert_int_equal (json_array_size (json_object_get (answer, "chunks")), 3);
  json_decref (answer);
  ragify_pipeline_free (world->pipeline);
  world->options.max_tokens = 7; /* a quarter of 26 bytes, and no more */
  world->options.mode = RAGIFY_MODE_DENSE;
  world->pipeline = ragify_pipeline_new (&world->rig->runtime, &world->options);
  answer = ask (world, "{\"query\":\"cats\",\"mode\":\"lexical\",\"max_chunks\":3}");
  assert_int_equal (json_array_size (json_object_get (answer, "chunks")), 1);
  json_decref (answer);
  Reply reply = rig_ask (world->rig, 0, world->pipeline, "{\"query\":\"cats\"}");
  assert_int_equal (reply.status, 422); /* no source searches by meaning */
  reply_clear (&reply);
}

int
main (void)
{
#define CASE(name) cmocka_unit_test_setup_teardown (name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
    CASE (so_many_are_asked_at_once_and_the_next_when_one_is_done),
    CASE (the_next_wave_waits_for_the_one_before),
    CASE (the_first_answer_ends_the_asking),
    CASE (an_empty_answer_or_a_failure_is_not_the_first),
    CASE (enough_good_chunks_end_the_asking),
    CASE (poor_chunks_are_not_counted),
    CASE (words_alone_are_never_enough),
    CASE (what_a_request_leaves_open_the_pipeline_says),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
