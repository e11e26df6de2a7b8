/* A question's way through a pipeline: what is asked, what comes back, what happens when parts fail.
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

static const Passage passages[] = {
  { "d1", "Cats", "file:///cats.txt", "cats sleep most of the day", "{\"lang\":\"en\",\"year\":2020}" },
  { "d2", "Dogs", "file:///dogs.txt", "dogs bark at the cats", "{\"lang\":\"en\",\"year\":2022}" },
  { "d3", "Fish", "file:///fish.txt", "fish swim in the sea", "{\"lang\":\"de\",\"year\":2023}" },
  { "d4", "", "", "birds sing in the morning \"loud\"\n", "" },
  { "d5", "Copy", "file:///copy.txt", "cats sleep most of the day", "{\"lang\":\"en\"}" },
  { "d6", "Broken", "file:///broken.txt", "cats and dogs and fish", "[not json" },
};

typedef struct {
  Rig *rig;
  Script embedder, store, index, source, other;
  RagifyNode *embedder_node, *store_node, *index_node, *source_node, *other_node, *cache_node;
  RagifyTier *tier;
  RagifyPipelineOptions options;
  RagifyRetriever retrievers[8];
  RagifyPipeline *pipeline;
} World;

static void
add (World *world, RagifyRetriever retriever)
{
  retriever.weight = 1;
  world->retrievers[world->options.n_retrievers++] = retriever;
}

static void
add_store (World *world)
{
  add (world, (RagifyRetriever){ .type = RAGIFY_RETRIEVER_VECTOR_STORE,
                                 .node = world->store_node,
                                 .store = world->store_node,
                                 .embedder = world->embedder_node,
                                 .source_type = "vector" });
}

static void
add_index (World *world)
{
  add (world,
       (RagifyRetriever){ .type = RAGIFY_RETRIEVER_TEXT_INDEX, .node = world->index_node, .store = world->store_node });
}

static void
add_source (World *world, RagifyNode *node, RagifyScore score)
{
  add (world,
       (RagifyRetriever){ .type = RAGIFY_RETRIEVER_SOURCE, .node = node, .source_type = "database", .score = score });
}

/* Call after the retrievers were added. */
static void
build (World *world)
{
  world->options.retrievers = world->retrievers;
  world->pipeline = ragify_pipeline_new (&world->rig->runtime, &world->options);
}

static int
set_up (void **state)
{
  World *world = g_new0 (World, 1);
  world->rig = rig_new (2);
  world->store.passages = world->index.passages = passages;
  world->store.n_passages = world->index.n_passages = G_N_ELEMENTS (passages);
  world->source.passages = passages + 2;
  world->source.n_passages = 2;
  world->other.passages = passages;
  world->other.n_passages = 1;
  world->embedder_node = rig_scripted (world->rig, "words-64", &scripted_embedder, &world->embedder);
  world->store_node = rig_scripted (world->rig, "docs", &scripted_store, &world->store);
  world->index_node = rig_scripted (world->rig, "words", &scripted_index, &world->index);
  world->source_node = rig_scripted (world->rig, "tickets", &scripted_source, &world->source);
  world->other_node = rig_scripted (world->rig, "notes", &scripted_source, &world->other);
  world->cache_node = rig_plugin (world->rig, "ram", "CACHE_MEMORY", RAGIFY_KIND_CACHE, "memory", "");
  const RagifyTierLevel level = { .node = world->cache_node, .kind = "memory", .ttl_us = 60 * G_USEC_PER_SEC };
  const RagifyTierOptions tier = { .name = "answers", .levels = &level, .n_levels = 1, .ttl_jitter = 0.05 };
  world->tier = ragify_tier_new (&world->rig->runtime, &tier);
  world->options = (RagifyPipelineOptions){
    .name = "default", .tier = world->tier, .fuse_weight = 0.6, .dedupe = TRUE, .deadline_us = 60 * G_USEC_PER_SEC
  };
  *state = world;
  return 0;
}

static int
tear_down (void **state)
{
  World *world = *state;
  Rig *rig = world->rig;
  /* Nodes first: until they are freed calls may still be on their way. */
  while (rig->nodes->len > 0)
    assert_true (ragify_node_free (g_ptr_array_steal_index (rig->nodes, rig->nodes->len - 1),
                                   ragify_now () + 60 * G_USEC_PER_SEC));
  if (world->pipeline != NULL)
    ragify_pipeline_free (world->pipeline);
  ragify_tier_free (world->tier);
  rig_free (rig);
  g_free (world);
  return 0;
}

/* Checks and parses an answer, and clears it. */
static json_t *
parse (Reply reply, guint status)
{
  if (reply.status != status)
    fail_msg ("expected %u, found %u: %s", status, reply.status, reply.text);
  json_error_t error;
  json_t *json = json_loadb (reply.text, reply.size, JSON_REJECT_DUPLICATES, &error);
  if (json == NULL)
    fail_msg ("%s in %s", error.text, reply.text);
  if (status == 200)
    assert_string_equal (reply.cache, json_string_value (json_object_get (json, "cache")));
  reply_clear (&reply);
  return json;
}

static json_t *
ask (World *world, const char *request, guint status)
{
  return parse (rig_ask (world->rig, 0, world->pipeline, request), status);
}

/* Asks for an answer in a short while, and in a longer one where nobody at all had answered: the machine paused. */
static json_t *
ask_in_haste (World *world)
{
  for (guint ms = 50;; ms *= 2) {
    g_autofree char *request = g_strdup_printf ("{\"query\": \"cats\", \"timeout_ms\": %u}", ms);
    Reply reply = rig_ask (world->rig, 0, world->pipeline, request);
    if (reply.status == 200 || ms > 20000)
      return parse (reply, 200);
    reply_clear (&reply);
  }
}

static const char *
text_of (const json_t *json, const char *name)
{
  return json_string_value (json_object_get (json, name));
}

static json_t *
chunk_at (const json_t *answer, guint index)
{
  return json_array_get (json_object_get (answer, "chunks"), index);
}

static guint
chunk_count (const json_t *answer)
{
  return (guint)json_array_size (json_object_get (answer, "chunks"));
}

static const char *
source_status (const json_t *answer, const char *name)
{
  return text_of (json_object_get (json_object_get (answer, "sources"), name), "status");
}

static void
a_hybrid_answer_has_every_field (void **state)
{
  World *world = *state;
  add_store (world);
  add_index (world);
  build (world);
  json_t *answer = ask (world, "{\"query\": \"cats sleep\", \"max_chunks\": 3}", 200);
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
  add_store (world);
  add_index (world);
  build (world);
  json_decref (ask (world, "{\"query\": \"cats sleep\"}", 200));
  const gint embedded = world->embedder.calls;
  json_t *answer = ask (world, "{\"query\": \"  cats \\t sleep \", \"max_chunks\": 10}", 200);
  assert_string_equal (text_of (answer, "cache"), "memory");
  assert_string_equal (text_of (answer, "query"), "  cats \t sleep ");
  assert_int_equal (world->embedder.calls, embedded);
  assert_true (chunk_count (answer) > 0);
  json_decref (answer);
  answer = ask (world, "{\"query\": \"cats sleep\", \"max_chunks\": 9}", 200);
  assert_string_equal (text_of (answer, "cache"), "miss");
  json_decref (answer);
}

static void
refresh_and_bypass_compute_anew (void **state)
{
  World *world = *state;
  add_index (world);
  build (world);
  json_decref (ask (world, "{\"query\": \"cats\", \"cache\": \"bypass\"}", 200));
  json_decref (ask (world, "{\"query\": \"cats\"}", 200));
  assert_int_equal (world->index.searches, 2);
  json_t *answer = ask (world, "{\"query\": \"cats\", \"cache\": \"refresh\"}", 200);
  assert_string_equal (text_of (answer, "cache"), "miss");
  assert_int_equal (world->index.searches, 3);
  json_decref (answer);
  answer = ask (world, "{\"query\": \"cats\"}", 200);
  assert_string_equal (text_of (answer, "cache"), "memory");
  json_decref (answer);
}

static void
a_changed_store_is_asked_again (void **state)
{
  World *world = *state;
  add_store (world);
  build (world);
  json_decref (ask (world, "{\"query\": \"cats\"}", 200));
  const RagifyGeneration generation = { .store = passage_id (77), .counter = 2 };
  ragify_pipeline_store_changed (world->pipeline, world->store_node, &generation, NULL, FALSE);
  json_t *answer = ask (world, "{\"query\": \"cats\"}", 200);
  assert_string_equal (text_of (answer, "cache"), "miss");
  json_decref (answer);
}

/* Asks for one passage by meaning, so that the others are found by words alone, and returns the answer. */
static json_t *
ask_narrowly (World *world)
{
  world->embedder.delay_ms = 50; /* words are found first */
  return ask (world, "{\"query\": \"cats sleep\", \"cache\": \"bypass\", \"max_chunks\": 1}", 200);
}

static void
a_search_scores_what_words_have_found (void **state)
{
  World *world = *state;
  world->options.fuse_candidates = 1;
  add_store (world);
  add_index (world);
  build (world);
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
  add_store (world);
  build (world);
  json_t *first = ask (world, "{\"query\": \"cats\", \"cache\": \"bypass\"}", 200);
  const gint fetches = world->store.fetches;
  json_t *second = ask (world, "{\"query\": \"cats\", \"cache\": \"bypass\"}", 200);
  assert_int_equal (world->store.fetches, fetches);
  assert_true (json_equal (json_object_get (first, "chunks"), json_object_get (second, "chunks")));
  const RagifyGeneration generation = { .store = passage_id (77), .counter = 2 };
  ragify_pipeline_store_changed (world->pipeline, world->store_node, &generation, NULL, FALSE);
  world->store.forgets = TRUE; /* they were deleted */
  json_t *third = ask (world, "{\"query\": \"cats\", \"cache\": \"bypass\"}", 200);
  assert_int_equal (chunk_count (third), 0);
  json_decref (first);
  json_decref (second);
  json_decref (third);
}

static void
words_alone_are_scored_by_cosine_too (void **state)
{
  World *world = *state;
  add_store (world);
  add_index (world);
  build (world);
  json_t *answer = ask (world, "{\"query\": \"cats sleep\", \"mode\": \"lexical\"}", 200);
  assert_int_equal (world->store.searches, 0);
  assert_int_equal (world->store.vector_fetches, 1);
  assert_string_equal (text_of (chunk_at (answer, 0), "score_kind"), "cosine");
  const json_t *scores = json_object_get (chunk_at (answer, 0), "scores"); /* the order is that of the words */
  assert_true (json_number_value (json_object_get (scores, "fused")) == 1);
  assert_null (json_object_get (json_object_get (answer, "sources"), "docs"));
  json_decref (answer);
  answer = ask (world, "{\"query\": \"cats sleep\", \"mode\": \"dense\"}", 200);
  assert_int_equal (world->index.searches, 1);
  assert_string_equal (source_status (answer, "docs"), "ok");
  json_decref (answer);
}

static void
a_store_without_vectors_gives_ranks (void **state)
{
  World *world = *state;
  add_index (world);
  build (world);
  json_t *answer = ask (world, "{\"query\": \"cats sleep\"}", 200);
  assert_string_equal (text_of (chunk_at (answer, 0), "score_kind"), "rank");
  assert_true (json_number_value (json_object_get (chunk_at (answer, 0), "relevance_score")) == 1);
  assert_int_equal (world->embedder.calls, 0);
  json_decref (answer);
  json_decref (ask (world, "{\"query\": \"cats\", \"mode\": \"dense\"}", 422));
}

static void
a_failing_source_degrades_the_answer (void **state)
{
  World *world = *state;
  add_store (world);
  add_source (world, world->source_node, RAGIFY_SCORE_RANK);
  build (world);
  world->source.code = RAGIFY_E_UNAVAILABLE;
  json_t *answer = ask (world, "{\"query\": \"cats\"}", 200);
  assert_true (json_is_true (json_object_get (answer, "degraded")));
  assert_string_equal (source_status (answer, "tickets"), "error");
  assert_non_null (strstr (json_string_value (json_array_get (json_object_get (answer, "warnings"), 0)), "tickets"));
  assert_true (chunk_count (answer) > 0);
  json_decref (answer);
  world->source.code = RAGIFY_OK;
  answer = ask (world, "{\"query\": \"cats\"}", 200);
  assert_string_equal (text_of (answer, "cache"), "miss"); /* a degraded answer was not kept */
  assert_string_equal (source_status (answer, "tickets"), "ok");
  json_decref (answer);
}

static void
a_slow_source_is_not_waited_for (void **state)
{
  World *world = *state;
  add_index (world);
  add_source (world, world->source_node, RAGIFY_SCORE_RANK);
  world->retrievers[1].deadline_us = 30000;
  build (world);
  world->source.hangs = TRUE;
  json_t *answer = ask (world, "{\"query\": \"cats\"}", 200);
  assert_string_equal (source_status (answer, "tickets"), "timeout");
  assert_true (json_number_value (json_object_get (answer, "processing_time")) < 30);
  json_decref (answer);
}

static void
a_request_has_its_answer_at_its_own_deadline (void **state)
{
  World *world = *state;
  add_index (world);
  add_source (world, world->source_node, RAGIFY_SCORE_RANK);
  build (world);
  world->source.hangs = TRUE;
  json_t *answer = ask_in_haste (world);
  assert_string_equal (source_status (answer, "tickets"), "timeout");
  json_decref (answer);
}

static void
a_source_that_never_completes_is_abandoned (void **state)
{
  World *world = *state;
  add_index (world);
  add_source (world, world->source_node, RAGIFY_SCORE_RANK);
  build (world);
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
  add_store (world);
  add_source (world, world->source_node, RAGIFY_SCORE_RANK);
  build (world);
  world->source.code = RAGIFY_E_UNAUTHORIZED;
  world->store.code = RAGIFY_E_INTERNAL;
  json_t *problem = ask (world, "{\"query\": \"cats\"}", 503);
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
  add_index (world);
  add_source (world, world->source_node, RAGIFY_SCORE_RANK);
  world->options.fail_on_partial = TRUE;
  build (world);
  json_decref (ask (world, "{\"query\": \"cats\"}", 200));
  world->source.code = RAGIFY_E_UNAVAILABLE;
  json_decref (ask (world, "{\"query\": \"dogs\"}", 503));
}

static void
without_the_embedder_words_still_answer (void **state)
{
  World *world = *state;
  add_store (world);
  add_index (world);
  build (world);
  world->embedder.code = RAGIFY_E_INTERNAL;
  json_t *answer = ask (world, "{\"query\": \"cats sleep\"}", 200);
  assert_true (json_is_true (json_object_get (answer, "degraded")));
  assert_string_equal (source_status (answer, "docs"), "error");
  assert_string_equal (text_of (chunk_at (answer, 0), "score_kind"), "rank");
  assert_int_equal (world->store.searches, 0);
  json_decref (answer);
  json_decref (ask (world, "{\"query\": \"cats sleep\", \"mode\": \"dense\"}", 503));
}

static void
missing_vectors_degrade (void **state)
{
  World *world = *state;
  add_store (world);
  add_index (world);
  build (world);
  world->store.no_vectors = TRUE;
  json_t *answer = ask (world, "{\"query\": \"cats sleep\", \"mode\": \"lexical\"}", 200);
  assert_true (json_is_true (json_object_get (answer, "degraded")));
  assert_string_equal (text_of (chunk_at (answer, 0), "score_kind"), "rank");
  json_decref (answer);
}

static void
contents_that_are_gone_are_left_out (void **state)
{
  World *world = *state;
  add_store (world);
  build (world);
  world->store.forgets = TRUE;
  json_t *answer = ask (world, "{\"query\": \"cats\"}", 200);
  assert_int_equal (chunk_count (answer), 0);
  assert_int_equal (json_integer_value (json_object_get (answer, "total_chunks")), 0);
  json_decref (answer);
}

static void
sources_are_chosen_by_name (void **state)
{
  World *world = *state;
  add_store (world);
  add_index (world);
  add_source (world, world->source_node, RAGIFY_SCORE_RANK);
  build (world);
  json_t *answer = ask (world, "{\"query\": \"cats\", \"sources\": [\"tickets\"]}", 200);
  assert_int_equal (json_object_size (json_object_get (answer, "sources")), 1);
  json_decref (answer);
  answer = ask (world, "{\"query\": \"cats\", \"sources\": [\"docs\"]}", 200); /* and the index of it */
  assert_int_equal (json_object_size (json_object_get (answer, "sources")), 2);
  json_decref (answer);
  answer = ask (world, "{\"query\": \"cats\", \"exclude_sources\": [\"words\", \"tickets\"]}", 200);
  assert_int_equal (json_object_size (json_object_get (answer, "sources")), 1);
  json_decref (answer);
  json_t *problem = ask (world, "{\"query\": \"cats\", \"sources\": [\"docs\", \"tikets\"]}", 422);
  assert_string_equal (text_of (problem, "field"), "sources");
  assert_non_null (strstr (text_of (problem, "detail"), "'tikets'"));
  json_decref (problem);
  json_decref (ask (world, "{\"query\": \"cats\", \"exclude_sources\": [\"docs\", \"tickets\"]}", 422));
}

static void
the_host_filters_what_nobody_else_did (void **state)
{
  World *world = *state;
  add_store (world);
  add_index (world);
  build (world);
  json_t *answer =
      ask (world, "{\"query\": \"the cats\", \"filter\": {\"lang\": \"en\", \"year\": {\"gte\": 2021}}}", 200);
  assert_int_equal (chunk_count (answer), 1);
  assert_string_equal (text_of (chunk_at (answer, 0), "document_id"), "d2");
  assert_true (world->index.top_k > 200); /* more, since some will go */
  json_decref (answer);
}

static void
equal_passages_come_once (void **state)
{
  World *world = *state;
  add_store (world);
  build (world);
  json_t *answer = ask (world, "{\"query\": \"cats sleep most\", \"max_chunks\": 2}", 200);
  assert_int_equal (chunk_count (answer), 2);
  assert_string_not_equal (text_of (chunk_at (answer, 0), "content"), text_of (chunk_at (answer, 1), "content"));
  assert_int_equal (world->store.fetches, 2); /* filled up */
  json_decref (answer);
}

static void
the_least_relevance_cuts (void **state)
{
  World *world = *state;
  add_store (world);
  world->options.min_relevance = 0.99;
  build (world);
  json_t *answer = ask (world, "{\"query\": \"cats sleep most of the day\"}", 200);
  assert_int_equal (chunk_count (answer), 1);
  json_decref (answer);
  answer = ask (world, "{\"query\": \"cats sleep most of the day\", \"min_relevance\": 0}", 200);
  assert_int_equal (chunk_count (answer), 5);
  json_decref (answer);
}

static void
a_token_budget_skips_what_does_not_fit (void **state)
{
  World *world = *state;
  add_store (world);
  build (world);
  json_t *answer = ask (world, "{\"query\": \"cats sleep most of the day\", \"max_chunks\": 3}", 200);
  assert_int_equal (json_integer_value (json_object_get (answer, "total_tokens")), 6 + 5 + 5);
  json_decref (answer);
  /* The best has six words, the next ones five. */
  answer = ask (world, "{\"query\": \"cats sleep most of the day\", \"max_tokens\": 5}", 200);
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
  add_source (world, world->source_node, RAGIFY_SCORE_SOURCE);
  add_source (world, world->other_node, RAGIFY_SCORE_RANK);
  build (world);
  json_t *answer = ask (world, "{\"query\": \"fish\"}", 200);
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
  add_source (world, world->source_node, RAGIFY_SCORE_EMBED);
  world->retrievers[0].embedder = world->embedder_node;
  build (world);
  json_t *answer = ask (world, "{\"query\": \"birds sing\"}", 200);
  assert_string_equal (text_of (chunk_at (answer, 0), "score_kind"), "cosine");
  assert_string_equal (text_of (chunk_at (answer, 0), "document_id"), "d4");
  json_decref (answer);
}

static void
broken_metadata_does_not_break_the_answer (void **state)
{
  World *world = *state;
  add_store (world);
  build (world);
  json_t *answer = ask (world, "{\"query\": \"cats and dogs and fish\"}", 200);
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
    scripts[i] = (Script){ .passages = passages, .n_passages = 1, .delay_ms = 5 };
    add_source (world, rig_scripted (world->rig, name, &scripted_source, &scripts[i]), RAGIFY_SCORE_RANK);
  }
  world->options.source_batch = 1;
  build (world);
  json_t *answer = ask (world, "{\"query\": \"cats\"}", 200);
  assert_true (json_number_value (json_object_get (answer, "processing_time")) >= 0.02);
  assert_int_equal (json_object_size (json_object_get (answer, "sources")), 4);
  assert_int_equal (chunk_count (answer), 1); /* all say the same */
  json_decref (answer);
}

static void
later_waves_are_skipped_when_the_time_is_up (void **state)
{
  World *world = *state;
  add_index (world);
  add_source (world, world->source_node, RAGIFY_SCORE_RANK);
  add_source (world, world->other_node, RAGIFY_SCORE_RANK);
  world->options.source_batch = 2;
  build (world);
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
  add_index (world);
  add_source (world, world->source_node, RAGIFY_SCORE_RANK);
  build (world);
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
  json_decref (ask (world, "{\"query\": \"cats\"}", 200));
}

static void
many_who_ask_the_same_are_computed_for_once (void **state)
{
  World *world = *state;
  add_store (world);
  add_index (world);
  build (world);
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
  add_index (world);
  add_source (world, world->source_node, RAGIFY_SCORE_RANK);
  build (world);
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
  json_decref (ask (world, "{\"query\": \"cats\"}", 200));
  assert_int_equal (g_atomic_int_get (&world->index.searches), searches + 1);
}

/* Fifteen who wait for what fails after 20 ms: 1 + 2 + 4 + 8 ask, and not one after the other. */
static void
failures_are_not_waited_for_in_turn (void **state)
{
  World *world = *state;
  add_source (world, world->source_node, RAGIFY_SCORE_RANK);
  build (world);
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
  add_index (world);
  add_source (world, world->source_node, RAGIFY_SCORE_RANK);
  build (world);
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

static void
a_prompt_is_numbered_and_cites (void **state)
{
  World *world = *state;
  add_store (world);
  build (world);
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
  add_store (world);
  add_index (world);
  build (world);
  json_t *answer = ask (world, "{\"query\": \"cats sleep\", \"explain\": true}", 200);
  const json_t *stages = json_object_get (json_object_get (answer, "explain"), "stages");
  assert_true (json_number_value (json_object_get (stages, "embed")) > 0);
  assert_non_null (json_object_get (stages, "search"));
  assert_non_null (json_object_get (stages, "words"));
  const json_t *ranks = json_object_get (json_object_get (chunk_at (answer, 0), "explain"), "ranks");
  assert_int_equal (json_integer_value (json_object_get (ranks, "words")), 1);
  json_decref (answer);
}

int
main (void)
{
  cmocka_set_message_output (CM_OUTPUT_TAP);
#define CASE(name) cmocka_unit_test_setup_teardown (name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
    CASE (a_hybrid_answer_has_every_field),
    CASE (a_search_scores_what_words_have_found),
    CASE (passages_are_read_once_until_their_store_changes),
    CASE (a_repeated_question_comes_from_memory),
    CASE (refresh_and_bypass_compute_anew),
    CASE (a_changed_store_is_asked_again),
    CASE (words_alone_are_scored_by_cosine_too),
    CASE (a_store_without_vectors_gives_ranks),
    CASE (a_failing_source_degrades_the_answer),
    CASE (a_slow_source_is_not_waited_for),
    CASE (a_request_has_its_answer_at_its_own_deadline),
    CASE (a_source_that_never_completes_is_abandoned),
    CASE (when_nothing_answers_the_reasons_are_told),
    CASE (partial_answers_can_be_refused),
    CASE (without_the_embedder_words_still_answer),
    CASE (missing_vectors_degrade),
    CASE (contents_that_are_gone_are_left_out),
    CASE (sources_are_chosen_by_name),
    CASE (the_host_filters_what_nobody_else_did),
    CASE (equal_passages_come_once),
    CASE (the_least_relevance_cuts),
    CASE (a_token_budget_skips_what_does_not_fit),
    CASE (a_source_is_scored_as_the_node_says),
    CASE (a_source_can_be_scored_by_embedding),
    CASE (broken_metadata_does_not_break_the_answer),
    CASE (waves_bound_how_many_are_asked_at_once),
    CASE (later_waves_are_skipped_when_the_time_is_up),
    CASE (who_leaves_is_no_longer_computed_for),
    CASE (many_who_ask_the_same_are_computed_for_once),
    CASE (a_degraded_answer_is_shared_but_not_kept),
    CASE (failures_are_not_waited_for_in_turn),
    CASE (the_hurried_keep_their_poor_answer_to_themselves),
    CASE (a_prompt_is_numbered_and_cites),
    CASE (an_explained_answer_has_times_and_ranks),
  };
  return cmocka_run_group_tests_name ("pipeline", tests, NULL, NULL);
}
