/* What makes one order of unlike sources: near-duplicates, authority, freshness.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "core/pipeline/near.h"
#include "core/pipeline/run.h"
#include "rig.h"

#define DAY ((gint64)86400 * G_USEC_PER_SEC)

static const char original[] = "The lease of the office ends in the year 2031 and may be renewed once for five years, "
                               "provided that the tenant gives notice in writing at least six months before its end.";
static const char copied[] = "THE LEASE of the office ends in the year 2031, and may be renewed once for five years "
                             "(provided that the tenant gives notice in writing at least six months before its end)!";
static const char other[] = "Log files are rotated by a job that runs each night and are kept for thirty days, after "
                            "which they are removed unless an auditor has asked for them to be kept any longer.";

/* The words of the first in another order. */
static const char shuffled[] =
    "For five years once renewed, provided the lease of the office may be and ends in 2031 the "
    "year that in writing before at least six months its end gives notice the tenant.";

/* ---- sketches ---- */

static double
similarity (const char *one, const char *two)
{
  RagifySketch a, b;
  ragify_sketch_make (&a, ragify_str_from (one));
  ragify_sketch_make (&b, ragify_str_from (two));
  return ragify_sketch_similarity (&a, &b);
}

static void
sketches_tell_copies_from_others (void **state)
{
  assert_true (similarity (original, original) == 1);
  assert_true (similarity (original, copied) == 1); /* letters and punctuation do not count */
  assert_true (similarity (original, other) < 0.1);
  assert_true (similarity ("", "") == 1);
  assert_true (similarity ("one", "two") < 0.5);
  assert_true (similarity ("yes, no", "Yes: no!") == 1);
}

/* The estimate is that of the sets: half of the triples in common is a third of the union. */
static void
similarity_estimates_jaccard (void **state)
{
  GString *one = g_string_new (NULL), *two = g_string_new (NULL);
  for (guint i = 0; i < 400; i++) {
    g_string_append_printf (one, "word%u ", i);
    g_string_append_printf (two, "word%u ", i + 200);
  }
  const double found = similarity (one->str, two->str);
  assert_true (found > 0.333 - 0.18 && found < 0.333 + 0.18); /* three standard errors */
  g_string_free (one, TRUE);
  g_string_free (two, TRUE);
}

/* ---- in a pipeline ---- */

typedef struct {
  Rig *rig;
  Script scripts[2];
  Passage passages[2];
  RagifyRetriever retrievers[2];
  RagifyPipelineOptions options;
  RagifyPipeline *pipeline;
} World;

static int
set_up (void **state)
{
  static const char *const names[] = { "a", "b" };
  World *world = g_new0 (World, 1);
  world->rig = rig_new (1);
  world->passages[0] = (Passage){ "d1", "", "", original, "" };
  world->passages[1] = (Passage){ "d2", "", "", other, "" };
  for (guint i = 0; i < 2; i++) {
    world->scripts[i] = (Script){ .passages = &world->passages[i], .n_passages = 1 };
    world->retrievers[i] =
        (RagifyRetriever){ .node = rig_scripted (world->rig, names[i], &scripted_source, &world->scripts[i]),
                           .source_type = "database",
                           .weight = 1 };
  }
  world->options = (RagifyPipelineOptions){
    .name = "p", .retrievers = world->retrievers, .n_retrievers = 2, .dedupe = TRUE, .deadline_us = 10 * G_USEC_PER_SEC
  };
  *state = world;
  return 0;
}

static int
tear_down (void **state)
{
  World *world = *state;
  ragify_pipeline_free (world->pipeline);
  rig_free (world->rig);
  g_free (world);
  return 0;
}

static json_t *
ask (World *world)
{
  world->pipeline = ragify_pipeline_new (&world->rig->runtime, &world->options);
  Reply reply = rig_ask (world->rig, 0, world->pipeline, "{\"query\":\"lease\"}");
  assert_int_equal (reply.status, 200);
  json_t *root = json_loads (reply.text, 0, NULL);
  reply_clear (&reply);
  json_t *chunks = json_incref (json_object_get (root, "chunks"));
  json_decref (root);
  return chunks;
}

static const char *
source_of (const json_t *chunks, guint index)
{
  return json_string_value (json_object_get (json_object_get (json_array_get (chunks, index), "source"), "name"));
}

static double
score_of (const json_t *chunks, guint index, const char *name)
{
  const json_t *score = json_object_get (json_object_get (json_array_get (chunks, index), "scores"), name);
  return score != NULL ? json_number_value (score) : -1;
}

static void
near_duplicates_of_another_source_are_dropped (void **state)
{
  World *world = *state;
  world->passages[1].content = copied;
  world->options.near_duplicates = 0.7;
  json_t *chunks = ask (world);
  assert_int_equal (json_array_size (chunks), 1);
  json_decref (chunks);
}

/* `store`: the better one is a vector store's, the other a source's; otherwise both are sources'. */
static void
expect_near_by_vector (World *world, gboolean store, double cosine, guint expected)
{
  static Script embedder;
  g_clear_pointer (&world->pipeline, ragify_pipeline_free);
  RagifyNode *node = rig_scripted (world->rig, "embedder", &scripted_embedder, &embedder);
  world->passages[1].content = shuffled;
  for (guint i = 0; i < 2; i++) {
    world->retrievers[i].score = RAGIFY_SCORE_EMBED;
    world->retrievers[i].embedder = node;
  }
  if (store) {
    RagifyNode *docs = rig_scripted (world->rig, "docs", &scripted_store, &world->scripts[0]);
    world->retrievers[0].type = RAGIFY_RETRIEVER_VECTOR_STORE;
    world->retrievers[0].node = world->retrievers[0].store = docs;
  }
  world->options.near_duplicates = 0.7;
  world->options.near_cosine = cosine;
  json_t *chunks = ask (world);
  assert_int_equal (json_array_size (chunks), expected);
  json_decref (chunks);
}

static void
what_means_the_same_is_near_by_its_vector (void **state)
{
  assert_true (similarity (original, shuffled) < 0.3);
  expect_near_by_vector (*state, FALSE, 0, 2);
  expect_near_by_vector (*state, FALSE, 0.9, 1);
  expect_near_by_vector (*state, TRUE, 0, 2);
  expect_near_by_vector (*state, TRUE, 0.9, 1);
}

/* … or of a store whose vectors are lost. */
static void
what_has_no_vector_is_near_by_its_words (void **state)
{
  World *world = *state;
  world->passages[1].content = copied;
  world->options.near_duplicates = 0.7;
  world->options.near_cosine = 0.9;
  json_t *chunks = ask (world);
  assert_int_equal (json_array_size (chunks), 1);
  json_decref (chunks);
  world->scripts[0].no_vectors = TRUE;
  expect_near_by_vector (world, TRUE, 0.9, 2);
}

static void
they_stay_where_nobody_said_so (void **state)
{
  World *world = *state;
  world->passages[1].content = copied;
  json_t *chunks = ask (world);
  assert_int_equal (json_array_size (chunks), 2);
  assert_true (score_of (chunks, 0, "authority") == -1 && score_of (chunks, 0, "freshness") == -1);
  json_decref (chunks);
}

static void
authority_decides_between_equals (void **state)
{
  for (guint first = 0; first < 2; first++) {
    World *world = *state;
    g_clear_pointer (&world->pipeline, ragify_pipeline_free);
    world->retrievers[first].authority = 2;
    world->retrievers[1 - first].authority = 1;
    json_t *chunks = ask (world);
    assert_string_equal (source_of (chunks, 0), first == 0 ? "a" : "b");
    assert_true (score_of (chunks, 0, "authority") == 2);
    assert_true (fabs (score_of (chunks, 0, "fused") - 2 * score_of (chunks, 1, "fused")) < 1e-5);
    json_decref (chunks);
  }
}

static void
the_newer_one_comes_first (void **state)
{
  for (guint newer = 0; newer < 2; newer++) {
    World *world = *state;
    g_clear_pointer (&world->pipeline, ragify_pipeline_free);
    world->options.freshness_half_life_us = 30 * (guint64)DAY;
    world->options.freshness_weight = 0.5;
    world->scripts[newer].updated_at = g_get_real_time ();
    world->scripts[1 - newer].updated_at = g_get_real_time () - 30 * DAY;
    json_t *chunks = ask (world);
    assert_string_equal (source_of (chunks, 0), newer == 0 ? "a" : "b");
    assert_true (fabs (score_of (chunks, 0, "freshness") - 1) < 0.001);
    assert_true (fabs (score_of (chunks, 1, "freshness") - 0.75) < 0.001);
    json_decref (chunks);
  }
}

static void
freshness_halves_and_forgives_what_has_no_date (void **state)
{
  const RagifyPipelineOptions options = { .freshness_half_life_us = 10 * (guint64)DAY, .freshness_weight = 0.8 };
  const gint64 now = 1700000000 * (gint64)G_USEC_PER_SEC;
  assert_true (ragify_freshness (&options, now, now) == 1);
  assert_true (ragify_freshness (&options, now + DAY, now) == 1); /* clocks differ */
  assert_true (fabs (ragify_freshness (&options, now - 10 * DAY, now) - 0.6) < 1e-9);
  assert_true (fabs (ragify_freshness (&options, now - 20 * DAY, now) - 0.4) < 1e-9);
  assert_true (ragify_freshness (&options, 0, now) == 1);
}

int
main (void)
{
#define CASE(name) cmocka_unit_test_setup_teardown (name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (sketches_tell_copies_from_others),
    cmocka_unit_test (similarity_estimates_jaccard),
    CASE (near_duplicates_of_another_source_are_dropped),
    CASE (what_means_the_same_is_near_by_its_vector),
    CASE (what_has_no_vector_is_near_by_its_words),
    CASE (they_stay_where_nobody_said_so),
    CASE (authority_decides_between_equals),
    CASE (the_newer_one_comes_first),
    cmocka_unit_test (freshness_halves_and_forgives_what_has_no_date),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
