/* A question's way through a pipeline: what is asked, and what comes back.
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

static void
a_hybrid_answer_has_every_field (void **state)
{
  World *world = *state;
  world_add_store (world);
  world_add_index (world);
  world_build (world);
  json_t *answer = world_ask (world, "{\"query\": \"cats sleep\", \"max_chunks\": 3}", 200);
  assert_string_equal (text_of (answer, "request_id"), "test-request");
  assert_string_equal (text_of (answer, "query"), "cats sleep");
  assert_string_equal (text_of (answer, "cache"), "miss");
  assert_true (json_real_value (json_object_get (answer, "processing_time")) > 0);
  assert_false (json_is_true (json_object_get (answer, "degraded")));
  assert_int_equal (chunk_count (answer), 3);
  assert_int_equal (json_integer_value (json_object_get (answer, "total_chunks")), 5); /* one is a copy */
  const json_t *first = chunk_at (answer, 0);
  assert_string_equal (text_of (first, "id"), "01020304-0506-4708-8900-000000000001");
  assert_string_equal (text_of (first, "document_id"), "d1");
  assert_string_equal (text_of (first, "title"), "Cats");
  assert_string_equal (text_of (first, "content"), "cats sleep most of the day");
  assert_string_equal (text_of (first, "score_kind"), "cosine");
  assert_string_equal (text_of (first, "created_at"), "2023-11-14T22:13:20Z");
  assert_string_equal (text_of (first, "updated_at"), "2023-11-14T22:13:20.500000Z");
  assert_string_equal (text_of (json_object_get (first, "source"), "name"), "docs");
  assert_string_equal (text_of (json_object_get (first, "source"), "type"), "vector");
  assert_string_equal (text_of (json_object_get (first, "source"), "uri"), "file:///cats.txt");
  assert_string_equal (text_of (json_object_get (first, "metadata"), "lang"), "en");
  const double relevance = json_number_value (json_object_get (first, "relevance_score"));
  assert_true (relevance > 0.4 && relevance <= 1);
  assert_non_null (json_object_get (json_object_get (first, "scores"), "docs"));
  assert_true (json_number_value (json_object_get (json_object_get (first, "scores"), "words")) == 2);
  assert_string_equal (source_status (answer, "docs"), "ok");
  assert_string_equal (source_status (answer, "words"), "ok");
  json_decref (answer);
}

static void
a_repeated_question_comes_from_memory (void **state)
{
  World *world = *state;
  world_add_store (world);
  world_add_index (world);
  world_build (world);
  json_decref (world_ask (world, "{\"query\": \"cats sleep\"}", 200));
  const gint embedded = world->embedder.calls;
  json_t *answer = world_ask (world, "{\"query\": \"  cats \\t sleep \", \"max_chunks\": 10}", 200);
  assert_string_equal (text_of (answer, "cache"), "memory");
  assert_string_equal (text_of (answer, "query"), "  cats \t sleep ");
  assert_int_equal (world->embedder.calls, embedded);
  assert_true (chunk_count (answer) > 0);
  json_decref (answer);
  answer = world_ask (world, "{\"query\": \"cats sleep\", \"max_chunks\": 9}", 200);
  assert_string_equal (text_of (answer, "cache"), "miss");
  json_decref (answer);
}

static void
refresh_and_bypass_compute_anew (void **state)
{
  World *world = *state;
  world_add_index (world);
  world_build (world);
  json_decref (world_ask (world, "{\"query\": \"cats\", \"cache\": \"bypass\"}", 200));
  json_decref (world_ask (world, "{\"query\": \"cats\"}", 200));
  assert_int_equal (world->index.searches, 2);
  json_t *answer = world_ask (world, "{\"query\": \"cats\", \"cache\": \"refresh\"}", 200);
  assert_string_equal (text_of (answer, "cache"), "miss");
  assert_int_equal (world->index.searches, 3);
  json_decref (answer);
  answer = world_ask (world, "{\"query\": \"cats\"}", 200);
  assert_string_equal (text_of (answer, "cache"), "memory");
  json_decref (answer);
}

static void
a_changed_store_is_asked_again (void **state)
{
  World *world = *state;
  world_add_store (world);
  world_build (world);
  json_decref (world_ask (world, "{\"query\": \"cats\"}", 200));
  const RagifyGeneration generation = { .store = passage_id (77), .counter = 2 };
  ragify_pipeline_store_changed (world->pipeline, world->store_node, &generation, NULL, FALSE);
  json_t *answer = world_ask (world, "{\"query\": \"cats\"}", 200);
  assert_string_equal (text_of (answer, "cache"), "miss");
  json_decref (answer);
}

/* Asks for one passage by meaning, so that the others are found by words alone, and returns the answer. */
static json_t *
ask_narrowly (World *world)
{
  world->embedder.delay_ms = 50; /* words are found first */
  return world_ask (world, "{\"query\": \"cats sleep\", \"cache\": \"bypass\", \"max_chunks\": 1}", 200);
}

static void
a_search_scores_what_words_have_found (void **state)
{
  World *world = *state;
  world->options.fuse_candidates = 1;
  world_add_store (world);
  world_add_index (world);
  world_build (world);
  world->store.scores = FALSE;
  json_t *expected = ask_narrowly (world);
  const gint fetches = world->store.vector_fetches;
  world->store.scores = TRUE;
  json_t *answer = ask_narrowly (world);
  assert_int_equal (world->store.vector_fetches, fetches);
  assert_true (world->store.to_score > 0);
  assert_true (json_equal (json_object_get (expected, "chunks"), json_object_get (answer, "chunks")));
  json_decref (expected);
  json_decref (answer);
}

static void
passages_are_read_once_until_their_store_changes (void **state)
{
  World *world = *state;
  world->options.passage_bytes = 1 << 20;
  world_add_store (world);
  world_build (world);
  json_t *first = world_ask (world, "{\"query\": \"cats\", \"cache\": \"bypass\"}", 200);
  const gint fetches = world->store.fetches;
  json_t *second = world_ask (world, "{\"query\": \"cats\", \"cache\": \"bypass\"}", 200);
  assert_int_equal (world->store.fetches, fetches);
  assert_true (json_equal (json_object_get (first, "chunks"), json_object_get (second, "chunks")));
  const RagifyGeneration generation = { .store = passage_id (77), .counter = 2 };
  ragify_pipeline_store_changed (world->pipeline, world->store_node, &generation, NULL, FALSE);
  world->store.forgets = TRUE; /* they were deleted */
  json_t *third = world_ask (world, "{\"query\": \"cats\", \"cache\": \"bypass\"}", 200);
  assert_int_equal (chunk_count (third), 0);
  json_decref (first);
  json_decref (second);
  json_decref (third);
}

static void
words_alone_are_scored_by_cosine_too (void **state)
{
  World *world = *state;
  world_add_store (world);
  world_add_index (world);
  world_build (world);
  json_t *answer = world_ask (world, "{\"query\": \"cats sleep\", \"mode\": \"lexical\"}", 200);
  assert_int_equal (world->store.searches, 0);
  assert_int_equal (world->store.vector_fetches, 1);
  assert_string_equal (text_of (chunk_at (answer, 0), "score_kind"), "cosine");
  const json_t *scores = json_object_get (chunk_at (answer, 0), "scores"); /* the order is that of the words */
  assert_true (json_number_value (json_object_get (scores, "fused")) == 1);
  assert_null (json_object_get (json_object_get (answer, "sources"), "docs"));
  json_decref (answer);
  answer = world_ask (world, "{\"query\": \"cats sleep\", \"mode\": \"dense\"}", 200);
  assert_int_equal (world->index.searches, 1);
  assert_string_equal (source_status (answer, "docs"), "ok");
  json_decref (answer);
}

static void
a_store_without_vectors_gives_ranks (void **state)
{
  World *world = *state;
  world_add_index (world);
  world_build (world);
  json_t *answer = world_ask (world, "{\"query\": \"cats sleep\"}", 200);
  assert_string_equal (text_of (chunk_at (answer, 0), "score_kind"), "rank");
  assert_true (json_number_value (json_object_get (chunk_at (answer, 0), "relevance_score")) == 1);
  assert_int_equal (world->embedder.calls, 0);
  json_decref (answer);
  json_decref (world_ask (world, "{\"query\": \"cats\", \"mode\": \"dense\"}", 422));
}

static void
sources_are_chosen_by_name (void **state)
{
  World *world = *state;
  world_add_store (world);
  world_add_index (world);
  world_add_source (world, world->source_node, RAGIFY_SCORE_RANK);
  world_build (world);
  json_t *answer = world_ask (world, "{\"query\": \"cats\", \"sources\": [\"tickets\"]}", 200);
  assert_int_equal (json_object_size (json_object_get (answer, "sources")), 1);
  json_decref (answer);
  answer = world_ask (world, "{\"query\": \"cats\", \"sources\": [\"docs\"]}", 200); /* and the index of it */
  assert_int_equal (json_object_size (json_object_get (answer, "sources")), 2);
  json_decref (answer);
  answer = world_ask (world, "{\"query\": \"cats\", \"exclude_sources\": [\"words\", \"tickets\"]}", 200);
  assert_int_equal (json_object_size (json_object_get (answer, "sources")), 1);
  json_decref (answer);
  json_t *problem = world_ask (world, "{\"query\": \"cats\", \"sources\": [\"docs\", \"tikets\"]}", 422);
  assert_string_equal (text_of (problem, "field"), "sources");
  assert_non_null (strstr (text_of (problem, "detail"), "'tikets'"));
  json_decref (problem);
  json_decref (world_ask (world, "{\"query\": \"cats\", \"exclude_sources\": [\"docs\", \"tickets\"]}", 422));
}

static void
the_host_filters_what_nobody_else_did (void **state)
{
  World *world = *state;
  world_add_store (world);
  world_add_index (world);
  world_build (world);
  json_t *answer =
      world_ask (world, "{\"query\": \"the cats\", \"filter\": {\"lang\": \"en\", \"year\": {\"gte\": 2021}}}", 200);
  assert_int_equal (chunk_count (answer), 1);
  assert_string_equal (text_of (chunk_at (answer, 0), "document_id"), "d2");
  assert_true (world->index.top_k > 200); /* more, since some will go */
  json_decref (answer);
}

/* Somebody may change a chunk between the search, in which it matched, and the reading of it. */
static void
what_is_read_still_matches (void **state)
{
  World *world = *state;
  world->store_node = rig_scripted (world->rig, "held", &scripted_filtering_store, &world->store);
  world_add_store (world);
  world_build (world);
  json_t *answer = world_ask (world, "{\"query\": \"fish in the sea\", \"filter\": {\"lang\": \"en\"}}", 200);
  assert_int_equal (chunk_count (answer), 2); /* and a copy */
  for (guint i = 0; i < chunk_count (answer); i++)
    assert_string_equal (text_of (json_object_get (chunk_at (answer, i), "metadata"), "lang"), "en");
  json_decref (answer);
}

static void
equal_passages_come_once (void **state)
{
  World *world = *state;
  world_add_store (world);
  world_build (world);
  json_t *answer = world_ask (world, "{\"query\": \"cats sleep most\", \"max_chunks\": 2}", 200);
  assert_int_equal (chunk_count (answer), 2);
  assert_string_not_equal (text_of (chunk_at (answer, 0), "content"), text_of (chunk_at (answer, 1), "content"));
  assert_int_equal (world->store.fetches, 2); /* filled up */
  json_decref (answer);
}

static void
the_least_relevance_cuts (void **state)
{
  World *world = *state;
  world_add_store (world);
  world->options.min_relevance = 0.99;
  world_build (world);
  json_t *answer = world_ask (world, "{\"query\": \"cats sleep most of the day\"}", 200);
  assert_int_equal (chunk_count (answer), 1);
  json_decref (answer);
  answer = world_ask (world, "{\"query\": \"cats sleep most of the day\", \"min_relevance\": 0}", 200);
  assert_int_equal (chunk_count (answer), 5);
  json_decref (answer);
}

static void
a_token_budget_skips_what_does_not_fit (void **state)
{
  World *world = *state;
  world_add_store (world);
  world_build (world);
  json_t *answer = world_ask (world, "{\"query\": \"cats sleep most of the day\", \"max_chunks\": 3}", 200);
  assert_int_equal (json_integer_value (json_object_get (answer, "total_tokens")), 6 + 5 + 5);
  json_decref (answer);
  /* The best has six words, the next ones five. */
  answer = world_ask (world, "{\"query\": \"cats sleep most of the day\", \"max_tokens\": 5}", 200);
  assert_int_equal (chunk_count (answer), 1);
  assert_int_equal (json_integer_value (json_object_get (answer, "total_tokens")), 5);
  json_decref (answer);
}

static void
a_source_is_scored_as_the_node_says (void **state)
{
  World *world = *state;
  world->source.scored = TRUE;
  world->source.emits = TRUE;
  world_add_source (world, world->source_node, RAGIFY_SCORE_SOURCE);
  world_add_source (world, world->other_node, RAGIFY_SCORE_RANK);
  world_build (world);
  json_t *answer = world_ask (world, "{\"query\": \"fish\"}", 200);
  assert_int_equal (chunk_count (answer), 3);
  guint by_rank = 0, by_source = 0;
  for (guint i = 0; i < 3; i++) {
    const char *kind = text_of (chunk_at (answer, i), "score_kind");
    by_rank += strcmp (kind, "rank") == 0;
    by_source += strcmp (kind, "source") == 0;
    assert_string_equal (text_of (json_object_get (chunk_at (answer, i), "source"), "type"), "database");
  }
  assert_int_equal (by_rank, 1);
  assert_int_equal (by_source, 2);
  json_decref (answer);
}

static void
a_source_can_be_scored_by_embedding (void **state)
{
  World *world = *state;
  world_add_source (world, world->source_node, RAGIFY_SCORE_EMBED);
  world->retrievers[0].embedder = world->embedder_node;
  world_build (world);
  json_t *answer = world_ask (world, "{\"query\": \"birds sing\"}", 200);
  assert_string_equal (text_of (chunk_at (answer, 0), "score_kind"), "cosine");
  assert_string_equal (text_of (chunk_at (answer, 0), "document_id"), "d4");
  json_decref (answer);
}

static void
a_prompt_is_numbered_and_cites (void **state)
{
  World *world = *state;
  world_add_store (world);
  world_build (world);
  for (guint i = 0; i < 2; i++) { /* the second from the cache */
    Reply reply = rig_ask (world->rig, 0, world->pipeline,
                           "{\"query\": \"cats sleep most of the day\", \"format\": \"prompt\", \"max_chunks\": 1}");
    assert_int_equal (reply.status, 200);
    assert_string_equal (reply.content_type, "text/plain; charset=utf-8");
    assert_string_equal (reply.cache, i == 0 ? "miss" : "memory");
    assert_string_equal (reply.text, "[1] Cats (file:///cats.txt)\ncats sleep most of the day\n");
    reply_clear (&reply);
  }
}

static void
an_explained_answer_has_times_and_ranks (void **state)
{
  World *world = *state;
  world_add_store (world);
  world_add_index (world);
  world_build (world);
  json_t *answer = world_ask (world, "{\"query\": \"cats sleep\", \"explain\": true}", 200);
  const json_t *stages = json_object_get (json_object_get (answer, "explain"), "stages");
  assert_true (json_number_value (json_object_get (stages, "embed")) > 0);
  assert_non_null (json_object_get (stages, "search"));
  assert_non_null (json_object_get (stages, "words"));
  const json_t *began = json_object_get (json_object_get (answer, "explain"), "began");
  assert_int_equal (json_object_size (began), json_object_size (stages));
  const double embedded = json_number_value (json_object_get (began, "embed"));
  assert_true (embedded >= 0 && json_number_value (json_object_get (began, "search")) >= embedded);
  const json_t *ranks = json_object_get (json_object_get (chunk_at (answer, 0), "explain"), "ranks");
  assert_int_equal (json_integer_value (json_object_get (ranks, "words")), 1);
  json_decref (answer);
}

int
main (void)
{
  cmocka_set_message_output (CM_OUTPUT_TAP);
#define CASE(name) cmocka_unit_test_setup_teardown (name, world_set_up, world_tear_down)
  const struct CMUnitTest tests[] = {
    CASE (a_hybrid_answer_has_every_field),
    CASE (a_search_scores_what_words_have_found),
    CASE (passages_are_read_once_until_their_store_changes),
    CASE (a_repeated_question_comes_from_memory),
    CASE (refresh_and_bypass_compute_anew),
    CASE (a_changed_store_is_asked_again),
    CASE (words_alone_are_scored_by_cosine_too),
    CASE (a_store_without_vectors_gives_ranks),
    CASE (sources_are_chosen_by_name),
    CASE (the_host_filters_what_nobody_else_did),
    CASE (what_is_read_still_matches),
    CASE (equal_passages_come_once),
    CASE (the_least_relevance_cuts),
    CASE (a_token_budget_skips_what_does_not_fit),
    CASE (a_source_is_scored_as_the_node_says),
    CASE (a_source_can_be_scored_by_embedding),
    CASE (a_prompt_is_numbered_and_cites),
    CASE (an_explained_answer_has_times_and_ranks),
  };
  return cmocka_run_group_tests_name ("pipeline", tests, NULL, NULL);
}
