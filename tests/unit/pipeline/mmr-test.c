/* Maximal marginal relevance, beside its definition.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "core/pipeline/fuse.h"
#include "core/pipeline/mmr.h"

#define MOST 60
#define DIMENSION 24

typedef struct {
  float items[MOST][DIMENSION];
  float relevances[MOST];
  const float *vectors[MOST];
  guint16 spaces[MOST];
  guint dimensions[2];
  RagifyMmr mmr;
  float nearest[MOST];
  guint order[MOST];
} World;

/* Passages with random vectors, falling relevance, all in one space. */
static void
fill (World *world, GRand *random, guint count)
{
  memset (world, 0, sizeof *world);
  for (guint i = 0; i < count; i++) {
    float square = 0;
    for (guint d = 0; d < DIMENSION; d++) {
      world->items[i][d] = (float)g_rand_double_range (random, -0.3, 1);
      square += world->items[i][d] * world->items[i][d];
    }
    for (guint d = 0; d < DIMENSION; d++)
      world->items[i][d] /= sqrtf (square);
    world->vectors[i] = world->items[i];
    world->relevances[i] = 5 - 0.07F * (float)i;
  }
  world->dimensions[0] = world->dimensions[1] = DIMENSION;
  world->mmr = (RagifyMmr){ .count = count,
                            .relevances = world->relevances,
                            .vectors = world->vectors,
                            .spaces = world->spaces,
                            .dimensions = world->dimensions,
                            .wanted = count };
}

static double
likeness (const World *world, guint a, guint b)
{
  if (world->vectors[a] == NULL || world->vectors[b] == NULL || world->spaces[a] != world->spaces[b])
    return 0;
  return (double)ragify_dot (world->vectors[a], world->vectors[b], DIMENSION);
}

/* The definition, written down as it reads. */
static void
define (const World *world, guint *order)
{
  const RagifyMmr *mmr = &world->mmr;
  const double least = (double)world->relevances[mmr->count - 1], most = (double)world->relevances[0];
  gboolean taken[MOST] = { FALSE };
  for (guint place = 0; place < mmr->count; place++) {
    guint best = G_MAXUINT;
    double best_value = 0;
    for (guint i = 0; i < mmr->count; i++) {
      if (taken[i])
        continue;
      double nearest = 0;
      for (guint k = 0; k < place; k++)
        nearest = MAX (nearest, likeness (world, i, order[k]));
      const double relevance = ((double)world->relevances[i] - least) / (most - least);
      const double value = (1 - mmr->diversify) * relevance - mmr->diversify * nearest;
      if (best == G_MAXUINT || value > best_value + 1e-6) {
        best = i;
        best_value = value;
      }
    }
    taken[best] = TRUE;
    order[place] = best;
  }
}

static void
it_is_what_the_definition_says (void **state)
{
  static const double shares[] = { 0.1, 0.3, 0.5, 0.7, 0.9, 1 };
  g_autoptr (GRand) random = g_rand_new_with_seed (7);
  World world;
  guint expected[MOST];
  for (guint round = 0; round < 60; round++) {
    fill (&world, random, 2 + round % (MOST - 1));
    world.mmr.diversify = shares[round % G_N_ELEMENTS (shares)];
    define (&world, expected);
    ragify_mmr_order (&world.mmr, world.nearest, world.order);
    assert_memory_equal (world.order, expected, world.mmr.count * sizeof *expected);
  }
}

static void
a_share_of_0_keeps_the_order (void **state)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (8);
  World world;
  fill (&world, random, MOST);
  ragify_mmr_order (&world.mmr, world.nearest, world.order);
  for (guint i = 0; i < MOST; i++)
    assert_int_equal (world.order[i], i);
}

static void
a_repetition_comes_after_what_is_new (void **state)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (9);
  World world;
  fill (&world, random, 3);
  memset (world.items, 0, sizeof world.items);
  world.items[0][0] = world.items[1][0] = world.items[2][1] = 1; /* the second repeats the first */
  world.mmr.diversify = 0.5;
  ragify_mmr_order (&world.mmr, world.nearest, world.order);
  assert_int_equal (world.order[0], 0);
  assert_int_equal (world.order[1], 2);
  assert_int_equal (world.order[2], 1);
  /* Vectors of different models are not comparable, … */
  world.spaces[1] = 1;
  ragify_mmr_order (&world.mmr, world.nearest, world.order);
  assert_int_equal (world.order[1], 1);
  /* … and what has no vector is like nothing. */
  world.spaces[1] = 0;
  world.vectors[1] = NULL;
  ragify_mmr_order (&world.mmr, world.nearest, world.order);
  assert_int_equal (world.order[1], 1);
}

static void
behind_those_wanted_the_order_stays (void **state)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (10);
  World world;
  guint whole[MOST];
  fill (&world, random, MOST);
  world.mmr.diversify = 0.8;
  ragify_mmr_order (&world.mmr, world.nearest, whole);
  world.mmr.wanted = 5;
  ragify_mmr_order (&world.mmr, world.nearest, world.order);
  assert_memory_equal (world.order, whole, 5 * sizeof *whole);
  for (guint i = 6; i < MOST; i++)
    assert_true (world.order[i] > world.order[i - 1]);
  world.mmr.count = 0;
  ragify_mmr_order (&world.mmr, world.nearest, world.order);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (it_is_what_the_definition_says),
    cmocka_unit_test (a_share_of_0_keeps_the_order),
    cmocka_unit_test (a_repetition_comes_after_what_is_new),
    cmocka_unit_test (behind_those_wanted_the_order_stays),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
