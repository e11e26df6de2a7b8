/*
 * A product of a few rows of integers by a panel of PANEL_VECTORS vectors: multiply_int8 (product, rows). What includes
 * linear-int8.inc.h has, besides it:
 *
 *   Activation     an integer type that holds 0 to 255
 *   INT8_STEP      depths of a column that stand side by side in a panel
 *   INT8_DEPTH     depths are padded to a multiple of it
 *   store_activations (to, integers), a vector of them
 *
 * SPDX-License-Identifier: MIT
 */

typedef struct {
  const Activation *input; /* rows of `depth` */
  const int8_t *panel;
  size_t depth;
  int32_t *output;   /* rows of PANEL_COLUMNS; as with floats, as many may be written as make TILE_ROWS */
  const void *ahead; /* as in Product */
  size_t ahead_bytes;
} Int8Product;
