/*
 * The linear layers of 8-bit integers, each table that this CPU has: against sums of plain C that must come out
 * exactly, and against double with the error that rounding to integers can make at most.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernel-values.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST_ACTIVATION = 255, MOST_WEIGHT = 127 };

/* A layer and its input, for one table. */
typedef struct {
  const RagifyKernels *kernels;
  gsize rows, columns, depth; /* as asked for */
  gsize width, stride;        /* columns and depth, padded */
  float *input;
  float *weights;
  void *elements;
  RagifyLinear layer;
} Layer;

static Layer
layer_new (const RagifyKernels *kernels, gsize rows, gsize columns, gsize depth)
{
  const gsize width = kernel_round_up (columns, kernels->panel_columns);
  const gsize stride = kernel_round_up (depth, kernels->panel_columns);

  return (Layer){
    .kernels = kernels,
    .rows = rows,
    .columns = columns,
    .depth = depth,
    .width = width,
    .stride = stride,
    .input = kernel_allocate (rows * stride * sizeof (float)),
    .weights = kernel_allocate (columns * stride * sizeof (float)),
    .elements = kernel_allocate ((rows + kernels->row_slack) * stride * kernels->element_size),
    .layer = {
      .weights = kernel_allocate (kernels->packed_size (width, stride)),
      .bias = kernel_allocate (width * sizeof (float)),
      .columns = width,
      .depth = stride,
    },
  };
}

static void
layer_clear (Layer *layer)
{
  free (layer->input);
  free (layer->weights);
  free (layer->elements);
  free ((void *)layer->layer.weights);
  free ((void *)layer->layer.bias);
}

/* Rows of the output, floats for RAGIFY_OUTPUT_RESIDUAL and otherwise elements; the caller frees them. */
static void *
layer_compute (const Layer *layer, RagifyOutput kind)
{
  const RagifyKernels *const kernels = layer->kernels;
  const gsize size = kind == RAGIFY_OUTPUT_RESIDUAL ? sizeof (float) : kernels->element_size;
  void *const output = kernel_allocate (layer->rows * layer->width * size);
  void *const scratch = kernel_allocate (kernels->linear_scratch (layer->rows, layer->stride));

  kernel_to_elements (kernels, layer->input, layer->rows * layer->stride, layer->elements);
  for (gsize column = 0; column < layer->columns; column++)
    kernels->pack_row ((void *)layer->layer.weights, layer->stride, column, layer->weights + column * layer->stride);
  kernels->linear (&layer->layer, kind, layer->rows, layer->elements, layer->stride, output, layer->width, scratch);
  free (scratch);
  return output;
}

/* --- exact sums --- */

static int
random_below (int end)
{
  return MIN ((int)((kernel_random () + 1) / 2 * (float)end), end - 1);
}

/* Integers from 0 to 255 times a power of 2, less one of them that stands for 0: nothing is lost when they are rounded,
 * since the lowest and the highest are among them. */
static void
fill_row (const Layer *layer, gsize row, gboolean extreme)
{
  const int zero = layer->depth == 1 ? 0 : random_below (MOST_ACTIVATION + 1);

  for (gsize k = 0; k < layer->depth; k++) {
    const int integer = k + 1 == layer->depth || extreme ? MOST_ACTIVATION : k == 0 ? 0 : random_below (256);

    layer->input[row * layer->stride + k] = ldexpf ((float)(integer - (extreme ? 0 : zero)), -5);
  }
}

static void
fill_column (const Layer *layer, gsize column, gboolean extreme)
{
  for (gsize k = 0; k < layer->depth; k++) {
    const int integer = k == column % layer->depth || extreme ? column % 2 == 0 ? MOST_WEIGHT : -MOST_WEIGHT
                                                              : random_below (255) - MOST_WEIGHT;

    layer->weights[column * layer->stride + k] = ldexpf ((float)integer, -8);
  }
}

static void
check_exact (const RagifyKernels *kernels, gsize rows, gsize columns, gsize depth, gboolean extreme)
{
  Layer layer = layer_new (kernels, rows, columns, depth);
  float *output;

  for (gsize row = 0; row < rows; row++)
    fill_row (&layer, row, extreme);
  for (gsize column = 0; column < columns; column++)
    fill_column (&layer, column, extreme);
  output = layer_compute (&layer, RAGIFY_OUTPUT_RESIDUAL);
  for (gsize row = 0; row < rows; row++)
    for (gsize column = 0; column < columns; column++) {
      gint64 sum = 0;

      for (gsize k = 0; k < depth; k++)
        sum += (gint64)ldexpf (layer.input[row * layer.stride + k], 5) *
               (gint64)ldexpf (layer.weights[column * layer.stride + k], 8);
      if ((gint64)ldexpf (output[row * layer.width + column], 13) != (gint64)(float)sum)
        fail_msg ("%s, %" G_GSIZE_FORMAT " x %" G_GSIZE_FORMAT " x %" G_GSIZE_FORMAT ": expected %" G_GINT64_FORMAT
                  ", found %.9g",
                  kernels->name, rows, columns, depth, sum, (double)ldexpf (output[row * layer.width + column], 13));
    }
  free (output);
  layer_clear (&layer);
}

typedef void (*Check) (const RagifyKernels *kernels);

static void
check_tables (Check check)
{
  for (const RagifyKernels *const *table = ragify_kernels_list (); *table != NULL; table++)
    if (strcmp ((*table)->precision, "int8") == 0 && (*table)->is_supported ())
      check (*table);
}

static void
check_every_number_of_rows (const RagifyKernels *kernels)
{
  for (gsize rows = 1; rows <= 34; rows++)
    check_exact (kernels, rows, 50, 37, FALSE);
}

static void
sums_are_exact_at_every_number_of_rows (void **state)
{
  check_tables (check_every_number_of_rows);
}

static void
check_odd_sizes (const RagifyKernels *kernels)
{
  static const gsize sizes[][3] = { { 1, 1, 1 },   { 3, 48, 2 },    { 9, 49, 95 },  { 33, 7, 150 },  { 8, 144, 96 },
                                    { 48, 64, 3 }, { 70, 20, 64 },  { 5, 31, 63 },  { 17, 33, 65 },  { 2, 97, 127 },
                                    { 65, 5, 4 },  { 16, 32, 128 }, { 31, 1, 129 }, { 128, 3, 384 }, { 4, 13, 1536 } };

  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    check_exact (kernels, sizes[i][0], sizes[i][1], sizes[i][2], FALSE);
}

static void
sums_are_exact_at_odd_sizes (void **state)
{
  check_tables (check_odd_sizes);
}

static void
check_random_sizes (const RagifyKernels *kernels)
{
  for (gsize i = 0; i < 60; i++)
    check_exact (kernels, (gsize)random_below (40) + 1, (gsize)random_below (130) + 1, (gsize)random_below (300) + 1,
                 FALSE);
}

static void
sums_are_exact_at_random_sizes (void **state)
{
  check_tables (check_random_sizes);
}

/* All products as large as they can be, of one sign: what adds up pairs of them in 16 bits fails at the first, and the
 * deepest layer that a model may have comes close to the end of 32 bits. */
static void
check_extremes (const RagifyKernels *kernels)
{
  check_exact (kernels, 3, 4, 5, TRUE);
  check_exact (kernels, 17, 50, 3072, TRUE);
  check_exact (kernels, 1, 2, 65536, TRUE);
}

static void
the_largest_products_neither_saturate_nor_overflow (void **state)
{
  check_tables (check_extremes);
}

/* --- rounding --- */

static double
gelu (double x)
{
  return x / 2 * (1 + erf (x / sqrt (2)));
}

static double
largest_of (const float *values, gsize count)
{
  double largest = 0;

  for (gsize i = 0; i < count; i++)
    largest = MAX (largest, fabs ((double)values[i]));
  return largest;
}

/* From the lowest to the highest of a row, of which 0 counts as one. */
static double
range_of (const float *values, gsize count)
{
  double low = 0;
  double high = 0;

  for (gsize i = 0; i < count; i++) {
    low = MIN (low, (double)values[i]);
    high = MAX (high, (double)values[i]);
  }
  return high - low;
}

/* A sum of products, and what it is off by at most when each factor is off by half a step; an input next to either end
 * of its row's range is off by up to a whole one, since the integer that stands for 0 is rounded itself. */
static double
sum_of (const Layer *layer, gsize row, gsize column, double *bound)
{
  const float *const input = layer->input + row * layer->stride;
  const float *const weights = layer->weights + column * layer->stride;
  const double input_step = range_of (input, layer->depth) / MOST_ACTIVATION;
  const double half = largest_of (weights, layer->depth) / MOST_WEIGHT / 2;
  double sum = (double)layer->layer.bias[column];

  *bound = 0;
  for (gsize k = 0; k < layer->depth; k++) {
    sum += (double)input[k] * (double)weights[k];
    *bound += input_step * fabs ((double)weights[k]) + half * fabs ((double)input[k]) + input_step * half;
  }
  return sum;
}

static void
check_kind (const Layer *layer, RagifyOutput kind)
{
  const RagifyKernels *const kernels = layer->kernels;
  const double rounding = kind == RAGIFY_OUTPUT_RESIDUAL || kernels->element_size == 4 ? 2e-5 : 0.008;
  void *const output = layer_compute (layer, kind);

  for (gsize row = 0; row < layer->rows; row++)
    for (gsize column = 0; column < layer->columns; column++) {
      const gsize at = row * layer->width + column;
      double bound;
      const double sum = sum_of (layer, row, column, &bound);
      const double expected = kind == RAGIFY_OUTPUT_GELU ? gelu (sum) : sum;
      const double found =
          kind == RAGIFY_OUTPUT_RESIDUAL ? (double)((float *)output)[at] : kernel_from_element (kernels, output, at);

      bound = 1.13 * bound + rounding * (1 + fabs (expected)); /* GELU is nowhere steeper than 1.13 */
      if (!(fabs (found - expected) <= bound))
        fail_msg ("%s, kind %d: expected %.7g within %.3g, found %.7g", kernels->name, kind, expected, bound, found);
    }
  free (output);
}

static void
check_rounding (const RagifyKernels *kernels)
{
  static const gsize sizes[][3] = { { 5, 50, 37 }, { 33, 96, 200 }, { 2, 3, 1 }, { 16, 33, 64 } };

  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++) {
    Layer layer = layer_new (kernels, sizes[i][0], sizes[i][1], sizes[i][2]);

    for (gsize row = 0; row < layer.rows; row++)
      for (gsize k = 0; k < layer.depth; k++) /* some rows have one sign only */
        layer.input[row * layer.stride + k] = row % 3 == 1   ? 2 + kernel_random ()
                                              : row % 3 == 2 ? -3 + kernel_random ()
                                                             : kernel_random ();
    for (gsize column = 0; column < layer.columns; column++) {
      ((float *)layer.layer.bias)[column] = kernel_random ();
      for (gsize k = 0; k < layer.depth; k++)
        layer.weights[column * layer.stride + k] = kernel_random () * (float)(column + 1);
    }
    for (int kind = RAGIFY_OUTPUT_PLAIN; kind <= RAGIFY_OUTPUT_RESIDUAL; kind++)
      check_kind (&layer, (RagifyOutput)kind);
    layer_clear (&layer);
  }
}

static void
outputs_are_off_by_no_more_than_rounding_explains (void **state)
{
  check_tables (check_rounding);
}

/* --- strange numbers --- */

enum { ROWS = 5, COLUMNS = 4, DEPTH = 70 };

/* Rows: sound, all zeros, hardly more than zero, with a NaN, with an infinity. Columns: sound, with a NaN, with an
 * infinity, all zeros. */
static void
check_strange_numbers (const RagifyKernels *kernels)
{
  Layer layer = layer_new (kernels, ROWS, COLUMNS, DEPTH);
  float *output;

  for (gsize k = 0; k < DEPTH; k++) {
    layer.input[k] = kernel_random ();
    layer.input[2 * layer.stride + k] = 1e-36F;
    layer.input[3 * layer.stride + k] = layer.input[4 * layer.stride + k] = 1;
    for (gsize column = 0; column < COLUMNS - 1; column++)
      layer.weights[column * layer.stride + k] = 1;
  }
  layer.input[3 * layer.stride + 69] = NAN;
  layer.input[4 * layer.stride + 11] = -INFINITY;
  layer.weights[layer.stride + 69] = NAN;
  layer.weights[2 * layer.stride + 3] = INFINITY;
  for (gsize column = 0; column < COLUMNS; column++)
    ((float *)layer.layer.bias)[column] = 0.25F;
  output = layer_compute (&layer, RAGIFY_OUTPUT_RESIDUAL);
  for (gsize row = 0; row < ROWS; row++)
    for (gsize column = 0; column < COLUMNS; column++) {
      const float found = output[row * layer.width + column];
      const gboolean sound = row < 3 && column != 1 && column != 2;

      if (sound != (isfinite (found) != 0))
        fail_msg ("%s: row %" G_GSIZE_FORMAT ", column %" G_GSIZE_FORMAT ": %g", kernels->name, row, column,
                  (double)found);
      if (sound && (row > 0 || column == 3))
        assert_true (found == 0.25F);
    }
  free (output);
  layer_clear (&layer);
}

static void
what_is_not_finite_stays_so_and_alone (void **state)
{
  check_tables (check_strange_numbers);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (sums_are_exact_at_every_number_of_rows),
    cmocka_unit_test (sums_are_exact_at_odd_sizes),
    cmocka_unit_test (sums_are_exact_at_random_sizes),
    cmocka_unit_test (the_largest_products_neither_saturate_nor_overflow),
    cmocka_unit_test (outputs_are_off_by_no_more_than_rounding_explains),
    cmocka_unit_test (what_is_not_finite_stays_so_and_alone),
  };

  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests_name ("kernels-int8", tests, NULL, NULL);
}
