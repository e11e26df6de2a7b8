/* Reranking and diversity: the order of the answer, its scores, and what happens when they fail.
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

#define MANY 90

/* Short texts have the larger cosine, long ones more of the query's words. */
static const Passage passages[] = {
  { "short", "", "", "red cars", "{\"lang\":\"en\"}" },
  { "long", "", "", "red fast cars were seen by many people on the way to the old harbour yesterday", "{}" },
  { "twin", "", "", "red cars", "{}" },
  { "near", "", "", "red cars here", "{\"lang\":\"en\"}" },
  { "other", "", "", "green boats", "{\"lang\":\"en\"}" },
};

typedef struct {
  Rig *rig;
  Script embedder, store, reranker;
  Passage many[MANY];
  char texts[MANY][64];
  Passage *large;
  char *large_texts;
  RagifyRetriever retriever;
  RagifyPipelineOptions options;
  RagifyPipeline *pipeline;
} World;

static int
set_up (void **state)
{
  World *world = g_new0 (World, 1);
  world->rig = rig_new (2);
  world->rig->options.breaker = (RagifyBreakerOptions){ .failures = 3, .open_us = 60 * (guint64)G_USEC_PER_SEC };
  world->store = (Script){ .passages = passages, .n_passages = G_N_ELEMENTS (passages) };
  world->retriever = (RagifyRetriever){ .type = RAGIFY_RETRIEVER_VECTOR_STORE, .source_type = "vector", .weight = 1 };
  world->retriever.node = rig_scripted (world->rig, "docs", &scripted_store, &world->store);
  world->retriever.store = world->retriever.node;
  world->retriever.embedder = rig_scripted (world->rig, "mini", &scripted_embedder, &world->embedder);
  world->options = (RagifyPipelineOptions){ .name = "default",
                                            .retrievers = &world->retriever,
                                            .n_retrievers = 1,
                                            .fuse_weight = 0.6,
                                            .dedupe = TRUE,
                                            .deadline_us = 60 * (guint64)G_USEC_PER_SEC };
  world->options.reranker = rig_scripted (world->rig, "cross", &scripted_reranker, &world->reranker);
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
  g_free (world->large);
  g_free (world->large_texts);
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

static json_t *
chunk (const json_t *answer, guint place)
{
  return json_array_get (json_object_get (answer, "chunks"), place);
}

static void
assert_documents (const json_t *answer, const char *expected)
{
  g_autoptr (GString) found = g_string_new (NULL);
  for (guint i = 0; i < json_array_size (json_object_get (answer, "chunks")); i++)
    g_string_append_printf (found, "%s%s", i > 0 ? " " : "",
                            json_string_value (json_object_get (chunk (answer, i), "document_id")));
  assert_string_equal (found->str, expected);
}

static double
relevance (const json_t *answer, guint place)
{
  return json_number_value (json_object_get (chunk (answer, place), "relevance_score"));
}

static const char *
score_kind (const json_t *answer, guint place)
{
  return json_string_value (json_object_get (chunk (answer, place), "score_kind"));
}

static gboolean
is_degraded (const json_t *answer)
{
  return json_is_true (json_object_get (answer, "degraded"));
}

static const char *
warning (const json_t *answer)
{
  const char *text = json_string_value (json_array_get (json_object_get (answer, "warnings"), 0));
  return text != NULL ? text : "";
}

#define QUESTION "\"query\":\"red fast cars\""

static void
the_reranker_decides_the_order_and_the_relevance (void **state)
{
  World *world = *state;
  json_t *answer = ask (world, "{" QUESTION ",\"explain\":true}");
  assert_documents (answer, "long short near other"); /* and the twin is gone before it */
  assert_string_equal (score_kind (answer, 0), "reranker");
  assert_float_equal (relevance (answer, 0), 1, 1e-5);
  assert_float_equal (relevance (answer, 1), 2.0 / 3, 1e-5);
  const json_t *scores = json_object_get (chunk (answer, 1), "scores");
  assert_float_equal (json_number_value (json_object_get (scores, "reranker")), 2.0 / 3, 1e-5);
  assert_true (json_number_value (json_object_get (scores, "cosine")) > 0.7);
  assert_non_null (json_object_get (scores, "fused"));
  const json_t *stages = json_object_get (json_object_get (answer, "explain"), "stages");
  assert_non_null (json_object_get (stages, "rerank"));
  assert_null (json_object_get (stages, "diversify"));
  assert_false (is_degraded (answer));
  assert_int_equal (world->reranker.top_k, 4);
  json_decref (answer);
}

static void
thresholds_filters_and_budgets_are_those_of_the_new_order (void **state)
{
  World *world = *state;
  /* The long one's cosine is below the threshold, and does not count. */
  json_t *answer = ask (world, "{" QUESTION ",\"min_relevance\":0.9}");
  assert_documents (answer, "long");
  json_decref (answer);
  answer = ask (world, "{" QUESTION ",\"max_chunks\":1}");
  assert_documents (answer, "long");
  json_decref (answer);
  answer = ask (world, "{" QUESTION ",\"filter\":{\"lang\":\"en\"}}");
  assert_documents (answer, "short near other");
  json_decref (answer);
  answer = ask (world, "{" QUESTION ",\"max_tokens\":5}"); /* the long one does not fit */
  assert_documents (answer, "short near");
  assert_int_equal (json_integer_value (json_object_get (answer, "total_tokens")), 5);
  json_decref (answer);
}

static void
it_sees_the_best_candidates_only_but_as_many_as_are_wanted (void **state)
{
  World *world = *state;
  for (guint i = 0; i < MANY; i++) {
    g_snprintf (world->texts[i], sizeof world->texts[i], "red cars number n%u", i);
    world->many[i] = (Passage){ world->texts[i], "", "", world->texts[i], "" };
  }
  world->store.passages = world->many;
  world->store.n_passages = MANY;
  world->options.rerank_candidates = 20;
  json_t *answer = ask (world, "{" QUESTION "}");
  assert_int_equal (world->reranker.top_k, 20);
  assert_int_equal (json_array_size (json_object_get (answer, "chunks")), 10);
  json_decref (answer);
  answer = ask (world, "{" QUESTION ",\"max_chunks\":70}");
  assert_int_equal (world->reranker.top_k, 70);
  assert_int_equal (json_array_size (json_object_get (answer, "chunks")), 70);
  json_decref (answer);
  answer = ask (world, "{" QUESTION ",\"max_chunks\":1000}");
  assert_int_equal (world->reranker.top_k, MANY);
  json_decref (answer);
}

static void
what_it_leaves_out_is_no_part_of_the_answer (void **state)
{
  World *world = *state;
  static const Passage judged[] = { { "a", "", "", "red cars (unjudged)", "" }, { "b", "", "", "red boats", "" } };
  world->store.passages = judged;
  world->store.n_passages = G_N_ELEMENTS (judged);
  json_t *answer = ask (world, "{" QUESTION "}");
  assert_documents (answer, "b");
  json_decref (answer);
  world->reranker.forgets = TRUE; /* all of them: then it has failed */
  answer = ask (world, "{" QUESTION "}");
  assert_documents (answer, "a b");
  assert_true (is_degraded (answer));
  assert_non_null (strstr (warning (answer), "no ranks"));
  json_decref (answer);
}

/* The order of fusion, cosines as relevance, and a warning. */
static void
assert_failed_open (json_t *answer, const char *why)
{
  assert_documents (answer, "short near long other");
  assert_string_equal (score_kind (answer, 0), "cosine");
  assert_null (json_object_get (json_object_get (chunk (answer, 0), "scores"), "reranker"));
  assert_true (is_degraded (answer));
  if (strstr (warning (answer), "cross did not rerank: ") == NULL || strstr (warning (answer), why) == NULL)
    fail_msg ("%s", warning (answer));
  json_decref (answer);
}

static void
without_it_the_former_order_stays_and_the_answer_says_so (void **state)
{
  World *world = *state;
  world->reranker.code = RAGIFY_E_UNAVAILABLE;
  assert_failed_open (ask (world, "{" QUESTION "}"), "as the script says");
  json_t *answer = ask (world, "{" QUESTION ",\"min_relevance\":0.5}"); /* of the cosine, then */
  assert_documents (answer, "short near");
  json_decref (answer);
  assert_failed_open (ask (world, "{" QUESTION "}"), "as the script says");
  const gint calls = g_atomic_int_get (&world->reranker.calls);
  assert_int_equal (calls, 3); /* three failures in a row: it is left alone */
  assert_failed_open (ask (world, "{" QUESTION "}"), "");
  assert_int_equal (g_atomic_int_get (&world->reranker.calls), calls);
}

static void
a_late_one_costs_its_own_deadline_and_no_more (void **state)
{
  World *world = *state;
  world->reranker.hangs = TRUE;
  world->options.rerank_deadline_us = G_USEC_PER_SEC;
  assert_failed_open (ask (world, "{" QUESTION "}"), "deadline");
  assert_int_equal (g_atomic_int_get (&world->reranker.cancels), 1);
}

static void
the_request_has_its_answer_though_the_reranker_hangs (void **state)
{
  World *world = *state;
  world->reranker.hangs = TRUE;
  assert_failed_open (ask (world, "{" QUESTION ",\"timeout_ms\":2000}"), "deadline");
}

static void
one_that_is_switched_off_is_not_asked (void **state)
{
  World *world = *state;
  ragify_node_set_enabled (world->options.reranker, FALSE);
  json_t *answer = ask (world, "{" QUESTION "}");
  assert_documents (answer, "short near long other");
  assert_false (is_degraded (answer));
  assert_int_equal (g_atomic_int_get (&world->reranker.calls), 0);
  json_decref (answer);
}

static void
nothing_found_is_nothing_to_rerank (void **state)
{
  World *world = *state;
  world->store.n_passages = 0;
  json_t *answer = ask (world, "{" QUESTION "}");
  assert_documents (answer, "");
  assert_false (is_degraded (answer));
  assert_int_equal (g_atomic_int_get (&world->reranker.calls), 0);
  json_decref (answer);
}

static void
who_leaves_meanwhile_cancels_it (void **state)
{
  World *world = *state;
  world->reranker.hangs = TRUE;
  world->pipeline = ragify_pipeline_new (&world->rig->runtime, &world->options);
  Reply reply = rig_ask_and_leave (world->rig, 0, world->pipeline, "{" QUESTION "}", 100);
  assert_int_equal (reply.status, 499);
  reply_clear (&reply);
}

/* ---- diversity ---- */

static void
near_repetitions_go_down (void **state)
{
  World *world = *state;
  world->options.reranker = NULL;
  world->options.diversify = 0.7;
  json_t *answer = ask (world, "{" QUESTION ",\"explain\":true}");
  assert_documents (answer, "short other long near");
  assert_string_equal (score_kind (answer, 1), "cosine"); /* the order is another, relevance what it was */
  assert_non_null (json_object_get (json_object_get (json_object_get (answer, "explain"), "stages"), "diversify"));
  assert_int_equal (g_atomic_int_get (&world->store.vector_fetches), 1);
  json_decref (answer);
  answer = ask (world, "{" QUESTION ",\"max_chunks\":2}");
  assert_documents (answer, "short other");
  json_decref (answer);
  answer = ask (world, "{" QUESTION ",\"min_relevance\":0.2}"); /* what is not relevant is no diversity */
  assert_documents (answer, "short long near");
  json_decref (answer);
}

static void
it_comes_after_the_reranker (void **state)
{
  World *world = *state;
  static const Passage cars[] = { { "a", "", "", "red fast cars", "" },
                                  { "b", "", "", "red fast cars now", "" },
                                  { "c", "", "", "red bicycles", "" } };
  world->store.passages = cars;
  world->store.n_passages = G_N_ELEMENTS (cars);
  world->options.diversify = 0.8;
  json_t *answer = ask (world, "{" QUESTION "}");
  assert_documents (answer, "a c b");
  assert_string_equal (score_kind (answer, 0), "reranker");
  json_decref (answer);
}

static void
without_vectors_the_order_stays_and_the_answer_says_so (void **state)
{
  World *world = *state;
  world->options.reranker = NULL;
  world->options.diversify = 0.7;
  world->store.no_vectors = TRUE;
  json_t *answer = ask (world, "{" QUESTION "}");
  assert_documents (answer, "short near long other");
  assert_true (is_degraded (answer));
  assert_non_null (strstr (warning (answer), "docs: not diversified: "));
  json_decref (answer);
}

/* So many that a worker computes the order. */
static void
large_ones_are_computed_elsewhere_with_the_same_result (void **state)
{
  World *world = *state;
  Passage *many = world->large = g_new0 (Passage, 400); /* still read by a search when its client has left */
  char *texts = world->large_texts = g_malloc0 ((gsize)400 * 64);
  for (guint i = 0; i < 400; i++) {
    g_snprintf (texts + (gsize)i * 64, 64, "red cars n%u m%u", i % 7, i % 31);
    many[i] = (Passage){ .document = texts + (gsize)i * 64, .title = "", .uri = "", .metadata = "" };
    many[i].content = many[i].document;
  }
  world->store.passages = many;
  world->store.n_passages = 400;
  world->options.reranker = NULL;
  world->options.diversify = 0.5;
  world->options.fuse_candidates = 400;
  json_t *few = ask (world, "{" QUESTION ",\"max_chunks\":12}");
  json_t *all = ask (world, "{" QUESTION ",\"max_chunks\":400}");
  assert_true (json_array_size (json_object_get (all, "chunks")) > 200);
  for (guint i = 0; i < 2; i++) /* the pool is larger, but what is first is first */
    assert_string_equal (json_string_value (json_object_get (chunk (few, 0), "document_id")),
                         json_string_value (json_object_get (chunk (all, 0), "document_id")));
  json_decref (few);
  json_decref (all);
  world->reranker.hangs = TRUE;
  Reply reply = rig_ask_and_leave (world->rig, 0, world->pipeline, "{" QUESTION ",\"max_chunks\":400}", 1);
  assert_true (reply.status == 499 || reply.status == 200);
  reply_clear (&reply);
}

int
main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
    TEST (the_reranker_decides_the_order_and_the_relevance),
    TEST (thresholds_filters_and_budgets_are_those_of_the_new_order),
    TEST (it_sees_the_best_candidates_only_but_as_many_as_are_wanted),
    TEST (what_it_leaves_out_is_no_part_of_the_answer),
    TEST (without_it_the_former_order_stays_and_the_answer_says_so),
    TEST (a_late_one_costs_its_own_deadline_and_no_more),
    TEST (the_request_has_its_answer_though_the_reranker_hangs),
    TEST (one_that_is_switched_off_is_not_asked),
    TEST (nothing_found_is_nothing_to_rerank),
    TEST (who_leaves_meanwhile_cancels_it),
    TEST (near_repetitions_go_down),
    TEST (it_comes_after_the_reranker),
    TEST (without_vectors_the_order_stays_and_the_answer_says_so),
    TEST (large_ones_are_computed_elsewhere_with_the_same_result),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
