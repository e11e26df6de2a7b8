/* Fusion, against values worked out by hand; the ranking; candidates.
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

#include "core/pipeline/candidates.h"

#define NEAR(value, expected) assert_true (fabs ((double)(value) - (expected)) < 1e-5)

/* Candidates 0..3; by vectors 0, 1, 2; by words 1, 3. */
static const RagifyListHit dense_hits[] = { { 0, 0.9f }, { 1, 0.7f }, { 2, 0.5f } };
static const RagifyListHit word_hits[] = { { 1, 8 }, { 3, 4 } };
static const RagifyList lists[] = {
  { .type = RAGIFY_LIST_DENSE, .weight = 1, .hits = dense_hits, .count = 3 },
  { .type = RAGIFY_LIST_WORDS, .weight = 1, .hits = word_hits, .count = 2 },
};
static const float cosines[] = { 0.9f, 0.7f, 0.5f, 0.6f };
static const float ones[] = { 1, 1, 1, 1, 1, 1 };
static const guint16 one_space[] = { 0, 0, 0, 0, 0, 0 };
static const RagifyFuseInput input = { .lists = lists,
                                       .n_lists = 2,
                                       .n_candidates = 4,
                                       .cosines = cosines,
                                       .weights = ones,
                                       .spaces = one_space,
                                       .n_spaces = 1 };

static void
convex_adds_normalised_parts (void **state)
{
  float fused[4];
  ragify_fuse (RAGIFY_FUSE_CONVEX, 0.6, 60, &input, fused);
  NEAR (fused[0], 0.6);             /* (0.9 − 0.5) ÷ 0.4 = 1 */
  NEAR (fused[1], 0.6 * 0.5 + 0.4); /* (0.7 − 0.5) ÷ 0.4, 8 ÷ 8 */
  NEAR (fused[2], 0);
  NEAR (fused[3], 0.6 * 0.25 + 0.2); /* (0.6 − 0.5) ÷ 0.4, 4 ÷ 8 */
}

static void
convex_of_one_kind_alone (void **state)
{
  const float unknown[] = { NAN, NAN, NAN, NAN };
  RagifyFuseInput words = input;
  words.cosines = unknown;
  float fused[4];
  ragify_fuse (RAGIFY_FUSE_CONVEX, 0.6, 60, &words, fused);
  NEAR (fused[1], 0.4);
  NEAR (fused[3], 0.2);
  NEAR (fused[0], 0);
  RagifyFuseInput dense = input;
  dense.n_lists = 1;
  ragify_fuse (RAGIFY_FUSE_CONVEX, 0.6, 60, &dense, fused);
  NEAR (fused[0], 0.6);
  NEAR (fused[1], 0.3);
}

static void
convex_keeps_models_apart_and_takes_sources (void **state)
{
  const RagifyListHit source_hits[] = { { 4, 1 }, { 5, 0.8f } };
  const RagifyList three[] = { lists[0],
                               lists[1],
                               { .type = RAGIFY_LIST_SOURCE, .weight = 0.5, .hits = source_hits, .count = 2 } };
  const float mixed[] = { 0.9f, 0.7f, 0.2f, 0.1f, NAN, NAN };
  const guint16 spaces[] = { 0, 0, 1, 1, 65535, 65535 };
  const RagifyFuseInput both = {
    .lists = three, .n_lists = 3, .n_candidates = 6, .cosines = mixed, .weights = ones, .spaces = spaces, .n_spaces = 2
  };
  float fused[6];
  ragify_fuse (RAGIFY_FUSE_CONVEX, 0.6, 60, &both, fused);
  NEAR (fused[0], 0.6);
  NEAR (fused[1], 0.4);
  NEAR (fused[2], 0.6); /* the best of its own model */
  NEAR (fused[3], 0.2);
  NEAR (fused[4], 0.5); /* its relevance for both parts, times the list's weight */
  NEAR (fused[5], 0.4);
}

static void
equal_cosines_count_fully (void **state)
{
  const float equal[] = { 0.5f, 0.5f, 0.5f, 0.5f };
  RagifyFuseInput same = input;
  same.cosines = equal;
  float fused[4];
  ragify_fuse (RAGIFY_FUSE_CONVEX, 0.6, 60, &same, fused);
  NEAR (fused[0], 0.6);
  NEAR (fused[2], 0.6);
}

static void
reciprocal_ranks_add_up (void **state)
{
  RagifyList weighted[] = { lists[0], lists[1] };
  weighted[1].weight = 2;
  RagifyFuseInput ranked = input;
  ranked.lists = weighted;
  float fused[4];
  ragify_fuse (RAGIFY_FUSE_RRF, 0.6, 60, &ranked, fused);
  NEAR (fused[0], 1.0 / 61);
  NEAR (fused[1], 1.0 / 62 + 2.0 / 61);
  NEAR (fused[2], 1.0 / 63);
  NEAR (fused[3], 2.0 / 62);
}

static void
max_takes_the_best (void **state)
{
  float fused[4];
  ragify_fuse (RAGIFY_FUSE_MAX, 0.6, 60, &input, fused);
  NEAR (fused[0], 0.9);
  NEAR (fused[1], 1);
  NEAR (fused[2], 0.5);
  NEAR (fused[3], 0.5);
}

static void
dbsf_places_in_the_distribution (void **state)
{
  float fused[4];
  ragify_fuse (RAGIFY_FUSE_DBSF, 0.6, 60, &input, fused);
  /* by vectors: mean 0.7, deviation 0.2; by words: mean 6, deviation √8 */
  const double words = 2 / (6 * sqrt (8));
  NEAR (fused[0], 0.2 / 1.2 + 0.5);
  NEAR (fused[1], 0.5 + words + 0.5);
  NEAR (fused[2], 0.5 - 0.2 / 1.2);
  NEAR (fused[3], 0.5 - words);
  const RagifyList single = { .type = RAGIFY_LIST_WORDS, .weight = 1, .hits = word_hits, .count = 1 };
  RagifyFuseInput one = input;
  one.lists = &single;
  one.n_lists = 1;
  ragify_fuse (RAGIFY_FUSE_DBSF, 0.6, 60, &one, fused);
  NEAR (fused[1], 0.5);
}

static void
ranking_falls_and_breaks_ties_by_id (void **state)
{
  enum { N = 500 };
  float scores[N];
  RagifyUuid ids[N] = { 0 };
  guint32 heap[N];
  for (guint i = 0; i < N; i++) {
    scores[i] = (float)(i * 7919 % 100);
    ids[i].bytes[0] = (guint8)(i * 31);
    ids[i].bytes[1] = (guint8)(i >> 8);
  }
  RagifyRanking ranking;
  ragify_ranking_init (&ranking, heap, N, scores, ids);
  guint32 last, next;
  assert_true (ragify_ranking_next (&ranking, &last));
  for (guint i = 1; i < N; i++) {
    assert_true (ragify_ranking_next (&ranking, &next));
    assert_true (scores[last] >= scores[next]);
    if (scores[last] == scores[next])
      assert_true (memcmp (&ids[last], &ids[next], sizeof ids[0]) < 0);
    last = next;
  }
  assert_false (ragify_ranking_next (&ranking, &next));
}

static void
ranks_have_a_falling_relevance (void **state)
{
  NEAR (ragify_rank_relevance (1), 1);
  NEAR (ragify_rank_relevance (6), 0.5);
  for (guint rank = 1; rank < 1000; rank++)
    assert_true (ragify_rank_relevance (rank) > ragify_rank_relevance (rank + 1));
}

static void
dot_products_take_any_dimension (void **state)
{
  float a[67], b[67];
  double expected = 0;
  for (guint i = 0; i < 67; i++) {
    a[i] = (float)i / 10;
    b[i] = 1 - (float)i / 50;
    expected += (double)a[i] * b[i];
  }
  assert_true (fabs (ragify_dot (a, b, 67) - expected) < 1e-3);
  assert_true (ragify_dot (a, b, 0) == 0);
}

static void
a_candidate_is_there_once (void **state)
{
  enum { N = 3000 };
  g_autoptr (RagifyArena) arena = ragify_arena_new (0);
  RagifyCandidates candidates;
  ragify_candidates_init (&candidates, arena, 2 * N);
  for (guint round = 0; round < 2; round++)
    for (guint i = 0; i < N; i++) {
      RagifyUuid id = { { (guint8)i, (guint8)(i >> 8) } }; /* ids that differ in few bits */
      gboolean is_new;
      assert_int_equal (ragify_candidates_add (&candidates, &id, 0, &is_new), 2 * i);
      assert_int_equal (is_new, round == 0);
      assert_int_equal (ragify_candidates_add (&candidates, &id, 1, &is_new), 2 * i + 1); /* another holder's */
    }
  assert_int_equal (candidates.count, 2 * N);
  assert_true (isnan (candidates.cosines[0]));
}

int
main (void)
{
  cmocka_set_message_output (CM_OUTPUT_TAP);
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (convex_adds_normalised_parts),
    cmocka_unit_test (convex_of_one_kind_alone),
    cmocka_unit_test (convex_keeps_models_apart_and_takes_sources),
    cmocka_unit_test (equal_cosines_count_fully),
    cmocka_unit_test (reciprocal_ranks_add_up),
    cmocka_unit_test (max_takes_the_best),
    cmocka_unit_test (dbsf_places_in_the_distribution),
    cmocka_unit_test (ranking_falls_and_breaks_ties_by_id),
    cmocka_unit_test (ranks_have_a_falling_relevance),
    cmocka_unit_test (dot_products_take_any_dimension),
    cmocka_unit_test (a_candidate_is_there_once),
  };
  return cmocka_run_group_tests_name ("fuse", tests, NULL, NULL);
}
