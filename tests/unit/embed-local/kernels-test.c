/* Each table of kernels that this CPU has, against plain loops in double; the linear layers of integers are in
 * kernels-int8-test.c.
 *
 * SPDX-License-Identifier: MIT */
#include "kernel-values.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void
assert_close (const RagifyKernels *kernels, double found, double expected, const char *what)
{
  const double tolerance = (kernels->element_size == 2 ? 0.008 : 2e-5) * (1 + fabs (expected));

  if (!(fabs (found - expected) <= tolerance))
    fail_msg ("%s, %s: expected %.7g, found %.7g", kernels->name, what, expected, found);
}

static double
gelu (double x)
{
  return x / 2 * (1 + erf (x / sqrt (2)));
}

/* One product of an odd size in all three kinds. What lies behind the rows may be read, and must not matter. */
static void
check_linear (const RagifyKernels *kernels, gsize rows, gsize columns, gsize depth)
{
  const gsize padded_columns = kernel_round_up (columns, kernels->panel_columns);
  const gsize padded_depth = kernel_round_up (depth, kernels->panel_columns);
  float *const input = kernel_allocate (rows * padded_depth * sizeof (float));
  void *const elements = kernel_allocate ((rows + kernels->row_slack) * padded_depth * kernels->element_size);
  float *const weights = kernel_allocate (padded_columns * padded_depth * sizeof (float));
  void *const row_elements = kernel_allocate (padded_depth * kernels->element_size);
  void *const packed = kernel_allocate (kernels->packed_size (padded_columns, padded_depth));
  float *const bias = kernel_allocate (padded_columns * sizeof (float));
  float *const output = kernel_allocate (rows * padded_columns * sizeof (float));
  const RagifyLinear layer = { .weights = packed, .bias = bias, .columns = padded_columns, .depth = padded_depth };

  for (gsize row = 0; row < rows; row++)
    for (gsize k = 0; k < depth; k++)
      input[row * padded_depth + k] = kernel_random ();
  kernel_to_elements (kernels, input, rows * padded_depth, elements);
  memset ((char *)elements + rows * padded_depth * kernels->element_size, 0xff,
          kernels->row_slack * padded_depth * kernels->element_size);
  for (gsize column = 0; column < columns; column++) {
    for (gsize k = 0; k < depth; k++)
      weights[column * padded_depth + k] = kernel_random ();
    kernels->pack_row (packed, padded_depth, column, weights + column * padded_depth);
    kernel_to_elements (kernels, weights + column * padded_depth, padded_depth, row_elements);
    bias[column] = kernel_random ();
  }

  for (int kind = RAGIFY_OUTPUT_PLAIN; kind <= RAGIFY_OUTPUT_RESIDUAL; kind++) {
    for (gsize i = 0; i < rows * padded_columns; i++)
      output[i] = 0.5F;
    kernels->linear (&layer, (RagifyOutput)kind, rows, elements, padded_depth, output, padded_columns, NULL);
    for (gsize row = 0; row < rows; row++)
      for (gsize column = 0; column < columns; column++) {
        const gsize at = row * padded_columns + column;
        double sum = (double)bias[column];

        for (gsize k = 0; k < depth; k++)
          sum += (double)input[row * padded_depth + k] * (double)weights[column * padded_depth + k];
        if (kind == RAGIFY_OUTPUT_PLAIN)
          assert_close (kernels, kernel_from_element (kernels, output, at), sum, "plain product");
        else if (kind == RAGIFY_OUTPUT_GELU)
          assert_close (kernels, kernel_from_element (kernels, output, at), gelu (sum), "gelu");
        else
          assert_close (kernels, (double)output[at], sum + 0.5, "residual");
      }
  }
  free (input);
  free (elements);
  free (weights);
  free (row_elements);
  free (packed);
  free (bias);
  free (output);
}

static gboolean
multiplies_elements (const RagifyKernels *kernels)
{
  return kernels->is_supported () && strcmp (kernels->precision, "int8") != 0;
}

static void
products_agree_at_every_number_of_rows (void **state)
{
  for (const RagifyKernels *const *table = ragify_kernels_list (); *table != NULL; table++)
    for (gsize rows = 1; multiplies_elements (*table) && rows <= 18; rows++)
      check_linear (*table, rows, 50, 37);
}

static void
products_agree_at_odd_sizes (void **state)
{
  static const gsize sizes[][3] = { { 1, 1, 1 },    { 3, 48, 2 },   { 9, 49, 95 }, { 33, 7, 150 },
                                    { 8, 144, 96 }, { 48, 64, 33 }, { 70, 20, 64 } };

  for (const RagifyKernels *const *table = ragify_kernels_list (); *table != NULL; table++)
    for (gsize i = 0; multiplies_elements (*table) && i < G_N_ELEMENTS (sizes); i++)
      check_linear (*table, sizes[i][0], sizes[i][1], sizes[i][2]);
}

static void
check_normalise (const RagifyKernels *kernels, gsize size)
{
  const gsize stride = kernel_round_up (size, kernels->panel_columns);
  const gsize rows = 3;
  float *const values = kernel_allocate (rows * stride * sizeof (float));
  float *const original = kernel_allocate (rows * stride * sizeof (float));
  float *const gain = kernel_allocate (stride * sizeof (float));
  float *const bias = kernel_allocate (stride * sizeof (float));
  void *const elements = kernel_allocate (rows * stride * kernels->element_size);
  const RagifyNorm norm = { .gain = gain, .bias = bias, .size = size, .padded_size = stride, .epsilon = 1e-12F };

  for (gsize i = 0; i < size; i++) {
    gain[i] = 1 + kernel_random ();
    bias[i] = kernel_random ();
    for (gsize row = 0; row < rows; row++)
      values[row * stride + i] = 100 + kernel_random (); /* a large mean costs a naive variance its digits */
  }
  memcpy (original, values, rows * stride * sizeof (float));
  kernels->normalise (&norm, rows, values, elements, stride);
  for (gsize row = 0; row < rows; row++) {
    double mean = 0;
    double variance = 0;

    for (gsize i = 0; i < size; i++)
      mean += (double)original[row * stride + i] / (double)size;
    for (gsize i = 0; i < size; i++)
      variance += pow ((double)original[row * stride + i] - mean, 2) / (double)size;
    for (gsize i = 0; i < stride; i++) {
      const double centred = i < size ? (double)original[row * stride + i] - mean : 0;
      const double expected = centred / sqrt (variance + 1e-12) * (double)gain[i] + (double)bias[i];

      if (fabs ((double)values[row * stride + i] - expected) > 1e-3)
        fail_msg ("%s, norm: expected %g, found %g", kernels->name, expected, (double)values[row * stride + i]);
      assert_close (kernels, kernel_from_element (kernels, elements, row * stride + i),
                    (double)values[row * stride + i], "norm");
    }
  }
  free (values);
  free (original);
  free (gain);
  free (bias);
  free (elements);
}

static void
norms_agree_and_keep_the_padding_zero (void **state)
{
  static const gsize sizes[] = { 2, 16, 17, 47, 48, 100, 384 };

  for (const RagifyKernels *const *table = ragify_kernels_list (); *table != NULL; table++)
    for (gsize i = 0; (*table)->is_supported () && i < G_N_ELEMENTS (sizes); i++)
      check_normalise (*table, sizes[i]);
}

/* One query of one head, in double. */
static void
attend_one (const RagifyAttention *attention, gsize tokens, const float *input, gsize stride, gsize head, gsize query,
            double *context)
{
  const gsize size = attention->head_size;
  const gsize width = attention->heads * size;
  g_autofree double *scores = g_new0 (double, tokens);
  double sum = 0;

  for (gsize key = 0; key < tokens; key++) {
    scores[key] = 0;
    for (gsize i = 0; i < size; i++)
      scores[key] +=
          (double)input[query * stride + head * size + i] * (double)input[key * stride + width + head * size + i];
    if (attention->position_bias != NULL)
      scores[key] +=
          (double)attention
              ->position_bias[head * attention->position_bias_stride + attention->position_bias_origin + key - query];
    sum += scores[key] = exp (scores[key]);
  }
  for (gsize i = 0; i < size; i++) {
    context[i] = 0;
    for (gsize key = 0; key < tokens; key++)
      context[i] += scores[key] / sum * (double)input[key * stride + 2 * width + head * size + i];
  }
}

static void
check_attention (const RagifyKernels *kernels, gsize tokens, gsize head_size, gboolean biased)
{
  const gsize heads = 3;
  const gsize size = kernel_round_up (head_size, kernels->vector_lanes);
  const gsize stride = kernel_round_up (3 * heads * size, kernels->panel_columns);
  const gsize bias_stride = kernel_round_up (2 * tokens + kernels->vector_lanes, 16);
  float *const input = kernel_allocate (tokens * stride * sizeof (float));
  void *const elements = kernel_allocate ((tokens + kernels->row_slack) * stride * kernels->element_size);
  void *const output = kernel_allocate (tokens * heads * size * kernels->element_size);
  float *const bias = kernel_allocate (heads * bias_stride * sizeof (float));
  g_autofree double *expected = g_new0 (double, size);
  const RagifyAttention attention = {
    .heads = heads,
    .head_size = size,
    .position_bias = biased ? bias : NULL,
    .position_bias_stride = bias_stride,
    .position_bias_origin = tokens - 1,
  };
  void *const scratch = kernel_allocate (kernels->attention_scratch (&attention, tokens));

  for (gsize i = 0; i < tokens * stride; i++)
    input[i] = i % stride % size < head_size ? 2 * kernel_random () : 0;
  for (gsize i = 0; i < heads * bias_stride; i++)
    bias[i] = kernel_random ();
  kernel_to_elements (kernels, input, tokens * stride, elements);
  kernels->attend (&attention, tokens, elements, stride, output, heads * size, scratch);
  for (gsize query = 0; query < tokens; query++)
    for (gsize head = 0; head < heads; head++) {
      attend_one (&attention, tokens, input, stride, head, query, expected);
      for (gsize i = 0; i < size; i++)
        assert_close (kernels, kernel_from_element (kernels, output, (query * heads + head) * size + i), expected[i],
                      "attention");
    }
  free (input);
  free (elements);
  free (output);
  free (bias);
  free (scratch);
}

static void
attention_agrees_for_texts_of_any_length (void **state)
{
  static const gsize lengths[] = { 1, 2, 3, 8, 15, 16, 17, 31, 48, 49, 65, 130 };

  for (const RagifyKernels *const *table = ragify_kernels_list (); *table != NULL; table++)
    for (gsize i = 0; (*table)->is_supported () && i < G_N_ELEMENTS (lengths); i++) {
      check_attention (*table, lengths[i], 32, FALSE);
      check_attention (*table, lengths[i], 64, TRUE);
      check_attention (*table, lengths[i], 20, TRUE);
    }
}

static void
the_best_table_is_chosen_and_others_by_name (void **state)
{
  const RagifyKernels *const best = ragify_kernels_choose ("auto", "auto");

  assert_non_null (best);
  assert_string_equal (ragify_kernels_choose ("fp32", "auto")->precision, "fp32");
  assert_string_equal (ragify_kernels_choose ("auto", "portable")->name, "portable");
  assert_null (ragify_kernels_choose ("bf16", "portable"));
  assert_string_not_equal (best->precision, "int8");
  assert_string_equal (ragify_kernels_choose ("int8", "auto")->precision, "int8");
  assert_string_equal (ragify_kernels_choose ("auto", "portableint8")->precision, "int8");
  assert_null (ragify_kernels_choose ("fp32", "portableint8"));
  assert_null (ragify_kernels_choose ("int8", "portable"));
  assert_null (ragify_kernels_choose ("auto", "abacus"));
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (products_agree_at_every_number_of_rows),
    cmocka_unit_test (products_agree_at_odd_sizes),
    cmocka_unit_test (norms_agree_and_keep_the_padding_zero),
    cmocka_unit_test (attention_agrees_for_texts_of_any_length),
    cmocka_unit_test (the_best_table_is_chosen_and_others_by_name),
  };

  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests_name ("kernels", tests, NULL, NULL);
}
