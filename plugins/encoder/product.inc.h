/*
 * Products in vector registers, over `Vector` (vector.inc.h) and `Element` with its operations (element-*.inc.h).
 * TILE_ROWS x PANEL_VECTORS sums stay in registers for the whole depth of a product: TILE_ROWS, which the includer
 * defines, is chosen so that they, a row of weights and one broadcast input just fit.
 *
 * SPDX-License-Identifier: MIT
 */

enum {
  PANEL_VECTORS = 3,
  ROW_STEP = 1,
  TOKEN_STEP = LANES,
  ROW_SLACK = 0,
};

#include "product-type.inc.h"

static inline void
begin_products (void)
{
}

static inline void
end_products (void)
{
}

/* `rows` and `vectors` are constants wherever this is expanded, so that `sums` becomes registers. */
static inline __attribute__ ((always_inline)) void
multiply_tile (const Product *product, const size_t rows, const size_t vectors)
{
  const Element *input = product->input;
  const Element *panel = product->panel;
  const size_t stride = product->input_stride;
  const size_t output_stride = product->output_stride;
  float *const output = product->output;
  Vector sums[TILE_ROWS][PANEL_VECTORS];

#pragma GCC unroll 8
  for (size_t row = 0; row < rows; row++)
#pragma GCC unroll 3
    for (size_t v = 0; v < vectors; v++)
      sums[row][v] = (Vector){ 0 };

  for (size_t k = 0; k < product->depth; k += DEPTH_STEP) {
    Operand weights[PANEL_VECTORS];

#pragma GCC unroll 3
    for (size_t v = 0; v < vectors; v++)
      weights[v] = load_operand (panel + v * LANES * DEPTH_STEP);
#pragma GCC unroll 8
    for (size_t row = 0; row < rows; row++) {
      const Operand value = broadcast_operand (input + row * stride);

#pragma GCC unroll 3
      for (size_t v = 0; v < vectors; v++)
        sums[row][v] = multiply_add (sums[row][v], value, weights[v]);
    }
    input += DEPTH_STEP;
    panel += vectors * LANES * DEPTH_STEP;
  }

#pragma GCC unroll 8
  for (size_t row = 0; row < rows; row++)
#pragma GCC unroll 3
    for (size_t v = 0; v < vectors; v++)
      store (output + row * output_stride + v * LANES, sums[row][v]);
}

static inline __attribute__ ((always_inline)) void
multiply_rows (const Product *product, const size_t rows, size_t vectors)
{
  if (vectors == 3)
    multiply_tile (product, rows, 3);
  else if (vectors == 2)
    multiply_tile (product, rows, 2);
  else
    multiply_tile (product, rows, 1);
}

/* output = input * panel, for at most TILE_ROWS rows and PANEL_VECTORS vectors of columns. */
static void
multiply (const Product *product, size_t rows, size_t vectors)
{
  switch (rows) {
  case 1:
    multiply_rows (product, 1, vectors);
    break;
  case 2:
    multiply_rows (product, 2, vectors);
    break;
  case 3:
    multiply_rows (product, 3, vectors);
    break;
#if TILE_ROWS > 4
  case 4:
    multiply_rows (product, 4, vectors);
    break;
  case 5:
    multiply_rows (product, 5, vectors);
    break;
  case 6:
    multiply_rows (product, 6, vectors);
    break;
  case 7:
    multiply_rows (product, 7, vectors);
    break;
#endif
  default:
    multiply_rows (product, TILE_ROWS, vectors);
    break;
  }
}
