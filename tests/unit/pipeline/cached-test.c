/* A pipeline and its cache: stale answers renewed, deletes checked, shared stores asked, queries that mean the same.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "core/pipeline/request-text.h"
#include "core/pipeline/semantic.h"
#include "rig.h"

static const Passage passages[] = {
  { "cats", "Cats", "file:cats", "cats sleep in the sun", "{}" },
  { "dogs", "Dogs", "file:dogs", "dogs bark at night", "{}" },
};

typedef struct {
  Rig *rig;
  Script store, embedder, index;
  RagifyNode *store_node, *embedder_node, *cache_node;
  RagifyTier *tier;
  RagifyPipeline *pipeline;
} World;

typedef struct {
  const RagifyComponent *store;
  guint64 ttl_us, stale_us, invalidate_every_us, max_staleness_us;
  double semantic_threshold;
  gboolean by_words; /* with a text index of the store */
} Wish;

static int
set_up (void **state)
{
  World *world = g_new0 (World, 1);
  world->rig = rig_new (2);
  world->store.passages = passages;
  world->store.n_passages = G_N_ELEMENTS (passages);
  world->index.passages = passages;
  world->index.n_passages = G_N_ELEMENTS (passages);
  *state = world;
  return 0;
}

static void
build (World *world, const Wish *wish)
{
  world->embedder_node = rig_scripted (world->rig, "words-64", &scripted_embedder, &world->embedder);
  world->store_node =
      rig_scripted (world->rig, "docs", wish->store != NULL ? wish->store : &scripted_store, &world->store);
  world->cache_node = rig_plugin (world->rig, "ram", "CACHE_MEMORY", RAGIFY_KIND_CACHE, "memory", "");
  const RagifyTierLevel level = { .node = world->cache_node,
                                  .kind = "memory",
                                  .ttl_us = wish->ttl_us != 0 ? wish->ttl_us : 60 * G_USEC_PER_SEC };
  const RagifyTierOptions tier = { .name = "answers", .levels = &level, .n_levels = 1, .stale_us = wish->stale_us };
  world->tier = ragify_tier_new (&world->rig->runtime, &tier);
  const RagifyRetriever store = { .type = RAGIFY_RETRIEVER_VECTOR_STORE,
                                  .node = world->store_node,
                                  .store = world->store_node,
                                  .embedder = world->embedder_node,
                                  .source_type = "vector",
                                  .weight = 1 };
  RagifyRetriever retrievers[] = { store, store };
  retrievers[1].type = RAGIFY_RETRIEVER_TEXT_INDEX;
  if (wish->by_words)
    retrievers[1].node = rig_scripted (world->rig, "words", &scripted_index, &world->index);
  const RagifyPipelineOptions options = { .name = "default",
                                          .retrievers = retrievers,
                                          .n_retrievers = wish->by_words ? 2 : 1,
                                          .tier = world->tier,
                                          .fuse_weight = 0.6,
                                          .deadline_us = 60 * G_USEC_PER_SEC,
                                          .invalidate_every_us = wish->invalidate_every_us,
                                          .max_staleness_us = wish->max_staleness_us,
                                          .semantic_threshold = wish->semantic_threshold,
                                          .semantic_entries = 100 };
  world->pipeline = ragify_pipeline_new (&world->rig->runtime, &options);
}

static int
tear_down (void **state)
{
  World *world = *state;
  if (world->pipeline != NULL)
    ragify_pipeline_free (world->pipeline); /* first, as it may still be renewing */
  if (world->tier != NULL)
    ragify_tier_free (world->tier);
  rig_free (world->rig);
  g_free (world);
  return 0;
}

/* Expects where the answer comes from. */
static void
expect (World *world, const char *request, const char *cache)
{
  Reply reply = rig_ask (world->rig, 0, world->pipeline, request);
  if (reply.status != 200 || strcmp (reply.cache, cache) != 0)
    fail_msg ("%s: expected %s, found %u from %s: %s", request, cache, reply.status, reply.cache, reply.text);
  reply_clear (&reply);
}

static void
tell (World *world, guint64 counter, const RagifyUuid *removed, gboolean behind)
{
  const RagifyGeneration generation = { .store = passage_id (77), .counter = counter };
  const RagifyUuidList list = { .items = removed, .count = removed != NULL ? 1 : 0 };
  ragify_pipeline_store_changed (world->pipeline, world->store_node, &generation, &list, behind);
}

static void
commit (World *world, guint64 counter, const RagifyUuid *removed)
{
  tell (world, counter, removed, FALSE);
}

/* Otherwise what it finds late would be missing in answers for as long as they are kept. */
static void
nothing_is_kept_of_a_text_index_that_is_behind (void **state)
{
  World *world = *state;
  build (world, &(Wish){ .by_words = TRUE });
  expect (world, "{\"query\": \"cats\"}", "miss");
  expect (world, "{\"query\": \"cats\"}", "memory");
  tell (world, 5, NULL, TRUE);
  expect (world, "{\"query\": \"cats\"}", "miss");
  expect (world, "{\"query\": \"cats\"}", "miss");
  expect (world, "{\"query\": \"cats\", \"mode\": \"dense\"}", "miss"); /* it is not asked for this */
  expect (world, "{\"query\": \"cats\", \"mode\": \"dense\"}", "memory");
  tell (world, 5, NULL, FALSE); /* it has caught up */
  expect (world, "{\"query\": \"cats\"}", "miss");
  expect (world, "{\"query\": \"cats\"}", "memory");
}

static void
a_stale_answer_is_renewed_behind_the_back (void **state)
{
  World *world = *state;
  build (world, &(Wish){ .ttl_us = 150000, .stale_us = 60 * G_USEC_PER_SEC });
  expect (world, "{\"query\": \"cats\"}", "miss");
  g_usleep (200000);
  const gint searches = g_atomic_int_get (&world->store.searches);
  expect (world, "{\"query\": \"cats\"}", "memory");
  for (guint i = 0; i < 60000 && g_atomic_int_get (&world->store.searches) == searches; i++)
    g_usleep (1000);
  assert_int_equal (g_atomic_int_get (&world->store.searches), searches + 1);
}

static void
a_renewal_that_fails_leaves_the_stale_answer (void **state)
{
  World *world = *state;
  build (world, &(Wish){ .ttl_us = 100000, .stale_us = 60 * G_USEC_PER_SEC });
  expect (world, "{\"query\": \"cats\"}", "miss");
  g_usleep (150000);
  world->store.code = RAGIFY_E_UNAVAILABLE;
  for (guint i = 0; i < 5; i++) {
    expect (world, "{\"query\": \"cats\"}", "memory");
    g_usleep (20000);
  }
}

static void
a_pipeline_is_freed_while_it_renews (void **state)
{
  World *world = *state;
  build (world, &(Wish){ .ttl_us = 50000, .stale_us = 60 * G_USEC_PER_SEC });
  expect (world, "{\"query\": \"cats\"}", "miss");
  g_usleep (100000);
  world->store.hangs = TRUE;
  expect (world, "{\"query\": \"cats\"}", "memory");
  const guint64 began = ragify_now ();
  ragify_pipeline_free (g_steal_pointer (&world->pipeline));
  assert_true (ragify_now () - began < 30 * (guint64)G_USEC_PER_SEC); /* cancelled, not waited for */
}

static void
what_was_deleted_is_not_given_between_invalidations (void **state)
{
  World *world = *state;
  build (world, &(Wish){ .invalidate_every_us = 3600 * (guint64)G_USEC_PER_SEC });
  expect (world, "{\"query\": \"cats\"}", "miss");
  commit (world, 2, NULL);
  expect (world, "{\"query\": \"cats\"}", "memory"); /* the cache outlives the commit */
  const RagifyUuid other = passage_id (500), mine = passage_id (0);
  commit (world, 3, &other);
  expect (world, "{\"query\": \"cats\"}", "memory");
  commit (world, 4, &mine);
  expect (world, "{\"query\": \"cats\"}", "miss");
}

static void
a_shared_store_is_asked_for_each_request (void **state)
{
  World *world = *state;
  build (world, &(Wish){ .store = &scripted_shared_store, .max_staleness_us = 0 });
  const gint asked = g_atomic_int_get (&world->store.generations);
  expect (world, "{\"query\": \"cats\"}", "miss");
  expect (world, "{\"query\": \"cats\"}", "memory");
  assert_int_equal (g_atomic_int_get (&world->store.generations), asked + 2);
  g_atomic_int_inc (&world->store.commits);
  expect (world, "{\"query\": \"cats\"}", "miss");
}

/* How often an old answer is given after a commit of others; it asserts that none is when it is known to be old. */
static guint
old_answers_after_commit (World *world, guint64 max_staleness_us)
{
  g_atomic_int_inc (&world->store.commits);
  const guint64 committed = ragify_now ();
  for (guint old = 0;; old++) {
    const guint64 began = ragify_now ();
    Reply reply = rig_ask (world->rig, 0, world->pipeline, "{\"query\": \"cats\"}");
    const gboolean fresh = strcmp (reply.cache, "miss") == 0;
    reply_clear (&reply);
    if (fresh)
      return old;
    assert_true (began - committed < max_staleness_us);
    g_usleep (10000);
  }
}

static void
what_others_committed_is_seen_within_max_staleness (void **state)
{
  World *world = *state;
  build (world, &(Wish){ .store = &scripted_shared_store, .max_staleness_us = 300000 });
  expect (world, "{\"query\": \"cats\"}", "miss");
  guint old = 0;
  for (guint i = 0; i < 20 && old == 0; i++) /* on a machine that pauses the first question may come late */
    old = old_answers_after_commit (world, 300000);
  assert_true (old > 0);
}

static void
a_shared_store_that_does_not_tell_is_not_cached (void **state)
{
  World *world = *state;
  build (world, &(Wish){ .store = &scripted_shared_store, .max_staleness_us = 0 });
  expect (world, "{\"query\": \"cats\"}", "miss");
  g_atomic_int_set (&world->store.untold, TRUE);
  expect (world, "{\"query\": \"cats\"}", "miss");
  expect (world, "{\"query\": \"cats\"}", "miss");
  g_atomic_int_set (&world->store.untold, FALSE);
  expect (world, "{\"query\": \"cats\"}", "memory");
}

static void
what_means_the_same_is_answered_from_the_cache (void **state)
{
  World *world = *state;
  build (world, &(Wish){ .semantic_threshold = 0.97 });
  expect (world, "{\"query\": \"cats sleep\"}", "miss");
  const gint searches = g_atomic_int_get (&world->store.searches);
  expect (world, "{\"query\": \"sleep cats\"}", "semantic"); /* the same bag of words */
  assert_int_equal (g_atomic_int_get (&world->store.searches), searches);
  expect (world, "{\"query\": \"cats sleep\"}", "memory");
  expect (world, "{\"query\": \"dogs bark\"}", "miss");
  expect (world, "{\"query\": \"sleep cats\", \"max_chunks\": 1}", "miss"); /* other parameters */
  expect (world, "{\"query\": \"sleep cats\", \"cache\": \"bypass\"}", "miss");
  expect (world, "{\"query\": \"sleep, cats\", \"cache\": \"refresh\"}", "miss");
  commit (world, 2, NULL);
  expect (world, "{\"query\": \"cats; sleep\"}", "miss"); /* another generation */
}

static void
a_deleted_chunk_is_not_given_to_what_means_the_same (void **state)
{
  World *world = *state;
  build (world, &(Wish){ .semantic_threshold = 0.97, .invalidate_every_us = 3600 * (guint64)G_USEC_PER_SEC });
  expect (world, "{\"query\": \"cats sleep\"}", "miss");
  const RagifyUuid mine = passage_id (0);
  commit (world, 2, &mine);
  expect (world, "{\"query\": \"sleep cats\"}", "miss");
}

static void
many_that_mean_the_same_ask_once (void **state)
{
  World *world = *state;
  build (world, &(Wish){ .semantic_threshold = 0.97 });
  expect (world, "{\"query\": \"cats sleep\"}", "miss");
  const gint searches = g_atomic_int_get (&world->store.searches);
  Reply replies[64];
  rig_ask_many (world->rig, world->pipeline, "{\"query\": \"sleep cats\"}", G_N_ELEMENTS (replies), replies);
  for (guint i = 0; i < G_N_ELEMENTS (replies); i++) {
    assert_int_equal (replies[i].status, 200);
    assert_string_equal (replies[i].cache, "semantic");
    reply_clear (&replies[i]);
  }
  assert_int_equal (g_atomic_int_get (&world->store.searches), searches);
}

static void
the_oldest_query_is_replaced (void **state)
{
  RagifySemantic *semantic = ragify_semantic_new (3);
  const RagifyTierKey scope = { .bytes = { 1 } };
  RagifyTierKey found = { 0 };
  double cosine;
  for (guint i = 0; i < 4; i++) {
    float vector[16] = { 0 };
    vector[i] = 2; /* brought to length 1 */
    const RagifyTierKey key = { .bytes = { (guint8)(10 + i) } };
    ragify_semantic_add (semantic, &scope, &(RagifyVectors){ vector, 1, 16 }, &key);
  }
  assert_int_equal (ragify_semantic_count (semantic), 3);
  float first[16] = { 1 }, last[16] = { 0, 0, 0, 5 }, nothing[16] = { 0 };
  assert_false (ragify_semantic_find (semantic, &scope, &(RagifyVectors){ first, 1, 16 }, 0.9, &found, &cosine));
  assert_true (ragify_semantic_find (semantic, &scope, &(RagifyVectors){ last, 1, 16 }, 0.9, &found, &cosine));
  assert_int_equal (found.bytes[0], 13);
  assert_true (cosine > 0.999 && cosine < 1.001);
  assert_false (ragify_semantic_find (semantic, &(RagifyTierKey){ .bytes = { 2 } }, &(RagifyVectors){ last, 1, 16 },
                                      0.9, &found, &cosine));
  assert_false (ragify_semantic_find (semantic, &scope, &(RagifyVectors){ nothing, 1, 16 }, 0.5, &found, &cosine));
  ragify_semantic_forget (semantic, &found);
  assert_false (ragify_semantic_find (semantic, &scope, &(RagifyVectors){ last, 1, 16 }, 0.9, &found, &cosine));
  ragify_semantic_free (semantic);
}

/* What a request becomes as text and again a request. */
static void
reads_back (const char *request, const char *expected)
{
  RagifyProblem problem = { 0 };
  RagifyRequest *first = ragify_request_parse_json (request, strlen (request), &problem);
  if (first == NULL)
    fail_msg ("%s: %s", request, problem.detail);
  g_autofree char *text = ragify_request_text (first);
  ragify_owner_unref (&first->owner);
  RagifyRequest *second = ragify_request_parse_json (text, strlen (text), &problem);
  if (second == NULL)
    fail_msg ("%s: %s", text, problem.detail);
  g_autofree char *again = ragify_request_text (second);
  ragify_owner_unref (&second->owner);
  assert_string_equal (text, again);
  if (expected != NULL)
    assert_string_equal (text, expected);
}

static void
a_request_reads_back_from_its_text (void **state)
{
  reads_back ("{\"query\": \"a \\u2603 \\\"b\\\"\", \"timeout_ms\": 5, \"cache\": \"refresh\"}",
              "{\"query\":\"a \xE2\x98\x83 \\\"b\\\"\",\"pipeline\":\"default\"}");
  reads_back ("{\"query\": \"a\", \"mode\": \"hybrid\", \"max_chunks\": 7, \"min_relevance\": 0}",
              "{\"query\":\"a\",\"max_chunks\":7,\"min_relevance\":0.0,\"pipeline\":\"default\",\"mode\":\"hybrid\"}");
  reads_back ("{\"query\": \"a\", \"mode\": \"lexical\", \"format\": \"prompt\", \"explain\": true, \"max_tokens\": 9,"
              " \"sources\": [\"x\", \"y\"], \"exclude_sources\": [\"z\"], \"min_relevance\": 0.1, \"pipeline\": \"p\","
              " \"search\": {\"nprobe\": 32, \"exact\": true, \"x\": 0.3, \"y\": \"z\"}}",
              NULL);
  reads_back ("{\"query\": \"a\", \"filter\": {\"lang\": \"en\", \"year\": {\"gte\": 2020, \"lt\": 2024.5},"
              " \"or\": [{\"team\": {\"in\": [\"a\", 1, null, true]}}, {\"not\": {\"draft\": true}}, {\"not\": {}}]}}",
              NULL);
}

int
main (void)
{
  cmocka_set_message_output (CM_OUTPUT_TAP);
#define CASE(name) cmocka_unit_test_setup_teardown (name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
    CASE (a_stale_answer_is_renewed_behind_the_back),
    CASE (a_renewal_that_fails_leaves_the_stale_answer),
    CASE (a_pipeline_is_freed_while_it_renews),
    CASE (nothing_is_kept_of_a_text_index_that_is_behind),
    CASE (what_was_deleted_is_not_given_between_invalidations),
    CASE (a_shared_store_is_asked_for_each_request),
    CASE (what_others_committed_is_seen_within_max_staleness),
    CASE (a_shared_store_that_does_not_tell_is_not_cached),
    CASE (what_means_the_same_is_answered_from_the_cache),
    CASE (a_deleted_chunk_is_not_given_to_what_means_the_same),
    CASE (many_that_mean_the_same_ask_once),
    cmocka_unit_test (the_oldest_query_is_replaced),
    cmocka_unit_test (a_request_reads_back_from_its_text),
  };
  return cmocka_run_group_tests_name ("cached", tests, NULL, NULL);
}
