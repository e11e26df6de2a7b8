/*
 * Products of integers in vector registers: what product.inc.h does for elements, with
 *
 *   Int8Weights, load_int8_weights (from), those of a vector's columns and INT8_STEP depths
 *   Int8Activations, broadcast_activations (from), INT8_STEP of them
 *   multiply_add_int8 (sums, activations, weights)
 *
 * SPDX-License-Identifier: MIT
 */

enum { INT8_DEPTH = INT8_STEP };

#include "product-int8-type.inc.h"

/* `rows` is a constant wherever this is expanded, so that `sums` becomes registers. */
static inline __attribute__ ((always_inline)) void
multiply_int8_tile (const Int8Product *product, const size_t rows)
{
  const Activation *input = product->input;
  const int8_t *panel = product->panel;
  const size_t depth = product->depth;
  Lanes sums[TILE_ROWS][PANEL_VECTORS];

#pragma GCC unroll 8
  for (size_t row = 0; row < rows; row++)
#pragma GCC unroll 3
    for (size_t v = 0; v < PANEL_VECTORS; v++)
      sums[row][v] = (Lanes){ 0 };

  for (size_t k = 0; k < depth; k += INT8_STEP) {
    Int8Weights weights[PANEL_VECTORS];

#pragma GCC unroll 3
    for (size_t v = 0; v < PANEL_VECTORS; v++)
      weights[v] = load_int8_weights (panel + v * LANES * INT8_STEP);
#pragma GCC unroll 8
    for (size_t row = 0; row < rows; row++) {
      const Int8Activations value = broadcast_activations (input + row * depth);

#pragma GCC unroll 3
      for (size_t v = 0; v < PANEL_VECTORS; v++)
        sums[row][v] = multiply_add_int8 (sums[row][v], value, weights[v]);
    }
    input += INT8_STEP;
    panel += PANEL_VECTORS * LANES * INT8_STEP;
  }

#pragma GCC unroll 8
  for (size_t row = 0; row < rows; row++)
#pragma GCC unroll 3
    for (size_t v = 0; v < PANEL_VECTORS; v++)
      store_integers (product->output + (row * PANEL_VECTORS + v) * LANES, sums[row][v]);
}

static void
multiply_int8 (const Int8Product *product, size_t rows)
{
  switch (rows) {
  case 1:
    multiply_int8_tile (product, 1);
    break;
  case 2:
    multiply_int8_tile (product, 2);
    break;
  case 3:
    multiply_int8_tile (product, 3);
    break;
#if TILE_ROWS > 4
  case 4:
    multiply_int8_tile (product, 4);
    break;
  case 5:
    multiply_int8_tile (product, 5);
    break;
  case 6:
    multiply_int8_tile (product, 6);
    break;
  case 7:
    multiply_int8_tile (product, 7);
    break;
#endif
  default:
    multiply_int8_tile (product, TILE_ROWS);
    break;
  }
}
