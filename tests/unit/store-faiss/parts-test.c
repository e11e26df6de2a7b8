/* The parts of the exact index: kernels of all kinds of CPU, selection, the table of ids, the search itself. */
#include "flat.h"
#include "kernels.h"
#include "places.h"
#include "top.h"
#include "words.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const kernel_names[] = { "portable", "avx2", "avx512" };

static uint32_t
next_random (uint64_t *state)
{
  *state = *state * UINT64_C (6364136223846793005) + UINT64_C (1442695040888963407);
  return (uint32_t)(*state >> 33);
}

static void
fill_unit (uint64_t *state, float *vector, uint32_t dimension)
{
  double sum = 0;
  for (uint32_t i = 0; i < dimension; i++) {
    vector[i] = (float)next_random (state) / (float)(1u << 30) - 1;
    sum += (double)vector[i] * vector[i];
  }
  for (uint32_t i = 0; i < dimension; i++)
    vector[i] = (float)(vector[i] / sqrt (sum));
}

static void
test_keys_order_like_scores (void **state)
{
  static const float scores[] = { 3e38F, 1, 0.5F, 1e-30F, 0, -1e-30F, -0.5F, -1, -3e38F };
  for (size_t i = 0; i < sizeof scores / sizeof *scores; i++) {
    assert_true (ragify_top_score (ragify_top_key (scores[i], 7)) == scores[i]);
    assert_int_equal (ragify_top_number (ragify_top_key (scores[i], 4000000000u)), 4000000000u);
    if (i > 0)
      assert_true (ragify_top_key (scores[i - 1], 9) < ragify_top_key (scores[i], 1));
  }
  assert_true (ragify_top_key (0.5F, 1) < ragify_top_key (0.5F, 2));
}

static int
compare_keys (const void *left, const void *right)
{
  uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
  return (a > b) - (a < b);
}

static void
test_selecting_is_sorting_and_cutting (void **state)
{
  enum { MOST = 3000 };
  static uint64_t keys[MOST], sorted[MOST];
  uint64_t seed = 1;
  for (size_t count = 1; count <= MOST; count += 97) {
    for (int shape = 0; shape < 4; shape++) {
      for (size_t i = 0; i < count; i++)
        sorted[i] = keys[i] = shape == 0   ? i
                              : shape == 1 ? count - i
                              : shape == 2 ? ((uint64_t)(next_random (&seed) % 5) << 32) + i
                                           : ((uint64_t)next_random (&seed) << 32) + i;
      qsort (sorted, count, sizeof *sorted, compare_keys);
      size_t wanted = 1 + next_random (&seed) % count;
      ragify_top_select (keys, count, wanted);
      ragify_top_sort (keys, wanted);
      assert_memory_equal (keys, sorted, wanted * sizeof *keys);
    }
  }
}

static void
test_kernels_agree (void **state)
{
  enum { STRIDE = 448, ROWS = 37 };
  static _Alignas(64) int8_t codes[ROWS * STRIDE];
  static _Alignas(64) int16_t query[STRIDE];
  int32_t expected[ROWS], found[ROWS];
  float left[STRIDE], right[STRIDE];
  int8_t encoded[STRIDE], reference[STRIDE];
  uint64_t seed = 5;
  const RagifyKernels *portable = ragify_kernels_find ("portable");
  for (size_t i = 0; i < sizeof codes; i++)
    codes[i] = (int8_t)(next_random (&seed) % 255 - 127);
  for (size_t i = 0; i < STRIDE; i++)
    query[i] = (int16_t)(next_random (&seed) % 65535 - 32767);
  fill_unit (&seed, left, STRIDE);
  fill_unit (&seed, right, STRIDE);
  portable->scan (codes, STRIDE, ROWS, query, expected);
  for (size_t k = 0; k < 3; k++) {
    const RagifyKernels *kernels = ragify_kernels_find (kernel_names[k]);
    if (kernels == NULL)
      continue;
    kernels->scan (codes, STRIDE, ROWS, query, found);
    assert_memory_equal (found, expected, sizeof expected);
    for (size_t count = 0; count <= STRIDE; count += 5) {
      assert_true (fabsf (kernels->dot (left, right, count) - portable->dot (left, right, count)) < 1e-5F);
      float lost = kernels->encode (left, count, 500, 1.0F / 500, encoded);
      float lost_reference = portable->encode (left, count, 500, 1.0F / 500, reference);
      assert_memory_equal (encoded, reference, count);
      assert_true (fabsf (lost - lost_reference) < 1e-6F);
    }
  }
}

typedef enum { BY_CODES, BY_ROWS, AS_CHOSEN } FlatWay;

/* Whether the answer is that of a scan over all floats, rows of equal score in any order. */
static void
check_search (const RagifyFlat *flat, const float *rows, uint32_t count, uint32_t dimension, const float *query,
              uint32_t wanted, const uint64_t *allowed, FlatWay way)
{
  uint64_t *keys = malloc ((wanted + 1) * sizeof *keys), *all = malloc ((count + 1) * sizeof *all);
  const uint64_t set = allowed == NULL ? count : ragify_words_count (allowed, ragify_words_for (count));
  uint32_t found = 0, possible = 0;
  assert_true (way == BY_CODES  ? ragify_flat_search_codes (flat, query, wanted, allowed, keys, &found)
               : way == BY_ROWS ? ragify_flat_search_rows (flat, query, wanted, allowed, set, keys, &found)
                                : ragify_flat_search (flat, query, wanted, allowed, set, keys, &found));
  for (uint32_t i = 0; i < count; i++) {
    double sum = 0;
    for (uint32_t j = 0; j < dimension; j++)
      sum += (double)rows[(size_t)i * dimension + j] * query[j];
    if (allowed == NULL || ragify_words_has (allowed, i))
      all[possible++] = ragify_top_key ((float)sum, i);
  }
  qsort (all, possible, sizeof *all, compare_keys);
  assert_int_equal (found, wanted < possible ? wanted : possible);
  for (uint32_t i = 0; i < found; i++) {
    assert_true (fabsf (ragify_top_score (keys[i]) - ragify_top_score (all[i])) < 2e-6F);
    uint32_t row = ragify_top_number (keys[i]);
    assert_true (allowed == NULL || ragify_words_has (allowed, row));
    for (uint32_t j = 0; j < i; j++)
      assert_int_not_equal (ragify_top_number (keys[j]), row);
  }
  free (keys);
  free (all);
}

static void
search_in (const RagifyKernels *kernels, uint32_t dimension, uint32_t count, uint32_t copies)
{
  uint64_t seed = dimension + count;
  float *rows = malloc ((size_t)count * dimension * sizeof *rows), *query = malloc (dimension * sizeof *query);
  uint64_t *allowed = calloc (ragify_words_for (count), sizeof *allowed);
  RagifyFlat *flat = ragify_flat_new (dimension, kernels);
  assert_true (ragify_flat_reserve (flat, count));
  for (uint32_t i = 0; i < count; i++) {
    if (i % copies == 0)
      fill_unit (&seed, rows + (size_t)i * dimension, dimension);
    else
      memcpy (rows + (size_t)i * dimension, rows + (size_t)(i - 1) * dimension, dimension * sizeof *rows);
    ragify_flat_write (flat, i, rows + (size_t)i * dimension);
    if (next_random (&seed) % 3 == 0)
      ragify_words_add (allowed, i);
  }
  ragify_flat_resize (flat, count);
  for (uint32_t wanted = 1; wanted < 2 * count; wanted = wanted * 3 + 1) {
    fill_unit (&seed, query, dimension);
    check_search (flat, rows, count, dimension, query, wanted, NULL, AS_CHOSEN);
    check_search (flat, rows, count, dimension, query, wanted, allowed, AS_CHOSEN);
    check_search (flat, rows, count, dimension, query, wanted, allowed, BY_CODES);
    check_search (flat, rows, count, dimension, query, wanted, allowed, BY_ROWS);
  }
  ragify_flat_free (flat);
  free (rows);
  free (query);
  free (allowed);
}

static void
test_a_search_is_exact (void **state)
{
  static const uint32_t dimensions[] = { 1, 7, 64, 100, 384 };
  for (size_t k = 0; k < 3; k++) {
    const RagifyKernels *kernels = ragify_kernels_find (kernel_names[k]);
    for (size_t i = 0; kernels != NULL && i < sizeof dimensions / sizeof *dimensions; i++)
      search_in (kernels, dimensions[i], 700, 1);
  }
  search_in (ragify_kernels_choose (), 32, 5000, 1);
}

static void
test_rows_of_equal_score_are_no_trap (void **state)
{
  search_in (ragify_kernels_choose (), 16, 3000, 3000);
  search_in (ragify_kernels_choose (), 16, 3000, 500);
}

static void
test_the_table_knows_what_was_added_and_removed (void **state)
{
  enum { IDS = 2000, STEPS = 20000 };
  static RagifyUuid ids[IDS];
  static bool there[IDS];
  RagifyPlaces places;
  uint64_t seed = 3;
  assert_true (ragify_places_init (&places, IDS));
  for (uint32_t i = 0; i < IDS; i++) {
    const uint64_t number = i / 2;
    memcpy (ids[i].bytes + (i % 2) * 8, &number, sizeof number);
    ids[i].bytes[15] ^= (uint8_t)(i % 2);
  }
  for (int step = 0; step < STEPS; step++) {
    uint32_t place = next_random (&seed) % IDS;
    assert_int_equal (ragify_places_find (&places, ids, &ids[place]), there[place] ? place : RAGIFY_PLACE_NONE);
    if (there[place])
      ragify_places_remove (&places, ids, place);
    else
      ragify_places_add (&places, ids, place);
    there[place] = !there[place];
  }
  for (uint32_t place = 0; place < IDS; place++)
    assert_int_equal (ragify_places_find (&places, ids, &ids[place]), there[place] ? place : RAGIFY_PLACE_NONE);
  ragify_places_clear (&places);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_keys_order_like_scores),
    cmocka_unit_test (test_selecting_is_sorting_and_cutting),
    cmocka_unit_test (test_kernels_agree),
    cmocka_unit_test (test_a_search_is_exact),
    cmocka_unit_test (test_rows_of_equal_score_are_no_trap),
    cmocka_unit_test (test_the_table_knows_what_was_added_and_removed),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
