#include "tools/ragify-bench/arrival-schedule.h"
#include "tools/ragify-bench/query-sampler.h"

#include "tap.h"

#include <math.h>

enum {
  DRAWS = 400000,
};

static void
zipf_draws_each_rank_as_often_as_its_probability_says (void **state)
{
  enum { COUNT = 50 };
  g_autoptr (RagifyQuerySampler) sampler = ragify_query_sampler_new (RAGIFY_DISTRIBUTION_ZIPF, 1.1, COUNT, 3);
  guint64 seen[COUNT] = { 0 };
  for (guint i = 0; i < DRAWS; i++) {
    guint index = COUNT;
    assert_true (ragify_query_sampler_next (sampler, &index));
    assert_true (index < COUNT);
    seen[index]++;
  }
  /* Chi-square with 49 degrees of freedom: above 85.4 once in a thousand seeds; the seed is fixed. */
  double chi = 0;
  for (guint rank = 0; rank < COUNT; rank++) {
    double expected = ragify_query_sampler_get_probability (sampler, rank) * DRAWS;
    double difference = (double)seen[ragify_query_sampler_get_index (sampler, rank)] - expected;
    chi += difference * difference / expected;
  }
  assert_true (chi < 85.4);
}

static void
zipf_probabilities_fall_as_the_power_of_the_rank (void **state)
{
  g_autoptr (RagifyQuerySampler) sampler = ragify_query_sampler_new (RAGIFY_DISTRIBUTION_ZIPF, 0.92, 1000, 1);
  double first = ragify_query_sampler_get_probability (sampler, 0);
  double sum = 0;
  for (guint rank = 0; rank < 1000; rank++) {
    double probability = ragify_query_sampler_get_probability (sampler, rank);
    assert_close (probability / first, pow (rank + 1.0, -0.92), 1e-6);
    sum += probability;
  }
  assert_close (sum, 1, 1e-9);
}

static void
the_popular_queries_are_spread_over_the_file (void **state)
{
  g_autoptr (RagifyQuerySampler) sampler = ragify_query_sampler_new (RAGIFY_DISTRIBUTION_ZIPF, 1, 300, 1);
  gboolean seen[300] = { FALSE };
  guint in_place = 0;
  for (guint rank = 0; rank < 300; rank++) {
    guint index = ragify_query_sampler_get_index (sampler, rank);
    assert_false (seen[index]);
    seen[index] = TRUE;
    in_place += index == rank ? 1 : 0;
  }
  assert_true (in_place < 30);
}

static void
the_same_seed_draws_the_same (void **state)
{
  g_autoptr (RagifyQuerySampler) one = ragify_query_sampler_new (RAGIFY_DISTRIBUTION_ZIPF, 1, 100, 5);
  g_autoptr (RagifyQuerySampler) two = ragify_query_sampler_new (RAGIFY_DISTRIBUTION_ZIPF, 1, 100, 5);
  for (guint i = 0; i < 1000; i++) {
    guint a = 0;
    guint b = 1;
    ragify_query_sampler_next (one, &a);
    ragify_query_sampler_next (two, &b);
    assert_int_equal (a, b);
  }
}

static void
once_gives_each_in_order_and_ends (void **state)
{
  g_autoptr (RagifyQuerySampler) sampler = ragify_query_sampler_new (RAGIFY_DISTRIBUTION_ONCE, 1, 3, 1);
  guint index = 9;
  for (guint i = 0; i < 3; i++) {
    assert_true (ragify_query_sampler_next (sampler, &index));
    assert_int_equal (index, i);
  }
  assert_false (ragify_query_sampler_next (sampler, &index));
}

static void
uniform_reaches_every_query (void **state)
{
  g_autoptr (RagifyQuerySampler) sampler = ragify_query_sampler_new (RAGIFY_DISTRIBUTION_UNIFORM, 1, 10, 1);
  guint seen[10] = { 0 };
  for (guint i = 0; i < 10000; i++) {
    guint index = 10;
    ragify_query_sampler_next (sampler, &index);
    seen[index]++;
  }
  for (guint i = 0; i < 10; i++)
    assert_in_range (seen[i], 850, 1150);
}

static void
distributions_are_read_from_words (void **state)
{
  RagifyDistribution kind = RAGIFY_DISTRIBUTION_ONCE;
  double exponent = 0;
  assert_true (ragify_query_sampler_parse ("zipf", &kind, &exponent));
  assert_close (exponent, 1, 0);
  assert_true (ragify_query_sampler_parse ("zipf:0.92", &kind, &exponent));
  assert_int_equal (kind, RAGIFY_DISTRIBUTION_ZIPF);
  assert_close (exponent, 0.92, 0);
  assert_true (ragify_query_sampler_parse ("once", &kind, &exponent));
  static const char *const bad[] = { "", "zipf:", "zipf:x", "zipf:0", "zipf:nan", "zipf:1 ", "Uniform", "often" };
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    assert_false (ragify_query_sampler_parse (bad[i], &kind, &exponent));
}

static void
fixed_arrivals_do_not_drift (void **state)
{
  g_autoptr (RagifyArrivalSchedule) schedule = ragify_arrival_schedule_new (3, FALSE, 1);
  assert_int_equal (ragify_arrival_schedule_peek (schedule), 0);
  for (guint i = 0; i < 3 * 3600; i++)
    ragify_arrival_schedule_advance (schedule);
  assert_in_range (ragify_arrival_schedule_peek (schedule), 3600ull * 1000000000 - 10, 3600ull * 1000000000 + 10);
}

static void
poisson_arrivals_have_the_rate_and_the_spread (void **state)
{
  g_autoptr (RagifyArrivalSchedule) schedule = ragify_arrival_schedule_new (1000, TRUE, 1);
  double previous = 0;
  double sum = 0;
  double squares = 0;
  for (guint i = 0; i < DRAWS; i++) {
    double time = (double)ragify_arrival_schedule_peek (schedule) * 1e-6;
    sum += time - previous;
    squares += (time - previous) * (time - previous);
    previous = time;
    ragify_arrival_schedule_advance (schedule);
  }
  double mean = sum / DRAWS;
  /* An exponential gap's deviation equals its mean: 1 ms. */
  assert_close (mean, 1, 0.01);
  assert_close (sqrt (squares / DRAWS - mean * mean), 1, 0.01);
}

int
main (void)
{
  cmocka_set_message_output (CM_OUTPUT_TAP);
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (zipf_draws_each_rank_as_often_as_its_probability_says),
    cmocka_unit_test (zipf_probabilities_fall_as_the_power_of_the_rank),
    cmocka_unit_test (the_popular_queries_are_spread_over_the_file),
    cmocka_unit_test (the_same_seed_draws_the_same),
    cmocka_unit_test (once_gives_each_in_order_and_ends),
    cmocka_unit_test (uniform_reaches_every_query),
    cmocka_unit_test (distributions_are_read_from_words),
    cmocka_unit_test (fixed_arrivals_do_not_drift),
    cmocka_unit_test (poisson_arrivals_have_the_rate_and_the_spread),
  };
  return cmocka_run_group_tests (tests, NULL, NULL);
}
