/*
 * A product of a few rows by one panel. What includes this has, besides it:
 *
 *   TILE_ROWS      the most rows of one product
 *   ROW_STEP       rows are split over products in multiples of it
 *   PANEL_VECTORS  the most vectors of columns
 *   TOKEN_STEP     the depths of the attention's second product are multiples of it
 *   ROW_SLACK      rows behind the last that may be read, whatever they hold; as many of the output are written as
 *                  make TILE_ROWS
 *   multiply (product, rows, vectors), between begin_products() and end_products() on its thread
 *
 * SPDX-License-Identifier: MIT
 */

typedef struct {
  const Element *input;
  size_t input_stride;
  const Element *panel;
  size_t depth;
  float *output;
  size_t output_stride;
  const void *ahead; /* multiplied by after this, and far away; fetched, never read: it may lie behind the end */
  size_t ahead_bytes;
} Product;
