/* Scores gathered in ranges are those gathered at once, to the last bit. */
#include "accumulator.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NUMBERS 20000u
#define WORDS 5u
#define WANTED 300u

static const RagifyBm25 bm25 = { .k1 = 1.2F, .b = 0.75F };

static RagifyRoster *
make_roster (void)
{
  RagifyRoster *roster = ragify_roster_new ();
  assert_non_null (roster);
  for (uint32_t number = 1; number < NUMBERS; number++) {
    RagifyUuid id = { { 0x40 } };
    memcpy (id.bytes + 12, &number, sizeof number);
    assert_true (ragify_roster_set (roster, number, &id, 1 + number * 2654435761u % 97));
  }
  return roster;
}

/* How often the word stands in the chunk; words of different frequency, and many equal scores. */
static uint32_t
times_of (uint32_t word, uint32_t number)
{
  uint32_t hash = (number * WORDS + word) * 2246822519u;
  return (hash >> 8) % (2 + 7 * word) == 0 ? 1 + (hash >> 3) % 3 : 0;
}

static uint32_t
ask (RagifyAccumulator *accumulator, const RagifyRoster *roster, uint32_t span, uint32_t wanted, RagifyHit *hits)
{
  uint32_t found = 0;
  ragify_accumulator_begin (accumulator, roster, wanted, &bm25, 48);
  for (uint32_t first = 0; first < NUMBERS; first += span) {
    assert_true (ragify_accumulator_range (accumulator, first, span));
    for (uint32_t word = 0; word < WORDS; word++) {
      ragify_accumulator_word (accumulator, NUMBERS / (2.0 + 7 * word), NUMBERS, 1 + word % 2);
      for (uint32_t number = first; number < first + span && number < NUMBERS; number++)
        if (number > 0 && times_of (word, number) > 0)
          ragify_accumulator_add (accumulator, number, times_of (word, number));
    }
  }
  assert_true (ragify_accumulator_end (accumulator, hits, &found));
  return found;
}

static void
check_spans (uint32_t wanted)
{
  static const uint32_t spans[] = { 1, 7, 512, 4096, 19999, NUMBERS, 2 * NUMBERS };
  RagifyRoster *roster = make_roster ();
  RagifyAccumulator accumulator = { 0 };
  RagifyHit *expected = calloc (NUMBERS + 1, sizeof *expected), *hits = calloc (NUMBERS + 1, sizeof *hits);
  uint32_t count = ask (&accumulator, roster, NUMBERS, wanted, expected);
  assert_in_range (count, 1, wanted);
  for (uint32_t i = 1; i < count; i++)
    assert_true (expected[i].score <= expected[i - 1].score);
  for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) {
    assert_int_equal (ask (&accumulator, roster, spans[i], wanted, hits), count);
    for (uint32_t j = 0; j < count; j++) {
      assert_memory_equal (&hits[j].id, &expected[j].id, sizeof hits[j].id);
      assert_memory_equal (&hits[j].score, &expected[j].score, sizeof hits[j].score);
    }
  }
  free (expected);
  free (hits);
  ragify_accumulator_clear (&accumulator);
  ragify_roster_free (roster);
}

static void
test_ranges_change_nothing (void **state)
{
  check_spans (WANTED);
  check_spans (1);
}

static void
test_all_may_be_wanted (void **state)
{
  check_spans (NUMBERS);
}

static void
test_one_that_is_given_up_leaves_nothing (void **state)
{
  RagifyRoster *roster = make_roster ();
  RagifyAccumulator accumulator = { 0 };
  RagifyHit expected[WANTED + 1], hits[WANTED + 1];
  uint32_t count = ask (&accumulator, roster, NUMBERS, WANTED, expected);
  ragify_accumulator_begin (&accumulator, roster, 1, &bm25, 48);
  assert_true (ragify_accumulator_range (&accumulator, 100, 50));
  ragify_accumulator_word (&accumulator, 1, NUMBERS, 1);
  ragify_accumulator_add (&accumulator, 99, 1); /* not one of the range */
  ragify_accumulator_add (&accumulator, 150, 1);
  ragify_accumulator_add (&accumulator, 120, 1);
  ragify_accumulator_abandon (&accumulator);
  assert_int_equal (ask (&accumulator, roster, 4096, WANTED, hits), count);
  for (uint32_t i = 0; i < count; i++)
    assert_memory_equal (&hits[i].score, &expected[i].score, sizeof hits[i].score);
  ragify_accumulator_clear (&accumulator);
  ragify_roster_free (roster);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_ranges_change_nothing),
    cmocka_unit_test (test_all_may_be_wanted),
    cmocka_unit_test (test_one_that_is_given_up_leaves_nothing),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
