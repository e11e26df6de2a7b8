/*
 * Linear layers whose weights are elements, over the functions of kernels.inc.h.
 *
 * SPDX-License-Identifier: MIT
 */

static size_t
packed_size (size_t columns, size_t depth)
{
  return columns * depth * sizeof (Element);
}

static size_t
linear_scratch (size_t rows, size_t depth)
{
  (void)rows;
  (void)depth;
  return 0;
}

static void
pack_row (void *packed, size_t depth, size_t row, const float *weights)
{
  Element *const panel = (Element *)packed + row / PANEL_COLUMNS * PANEL_COLUMNS * depth;
  Element *to = panel + row % PANEL_COLUMNS * DEPTH_STEP;
  Element converted[4 * LANES];

  for (size_t k = 0; k < depth; k += LANES) {
    store_elements (converted, load (weights + k));
    for (size_t i = 0; i < LANES; i += DEPTH_STEP, to += (size_t)PANEL_COLUMNS * DEPTH_STEP)
      memcpy (to, converted + i, DEPTH_STEP * sizeof *to);
  }
}

static inline __attribute__ ((always_inline)) void
finish_tile (const RagifyOutput kind, const float *sums, size_t rows, const float *bias, void *output, size_t stride)
{
  for (size_t row = 0; row < rows; row++)
    for (size_t column = 0; column < PANEL_COLUMNS; column += LANES) {
      const Vector value = load (sums + row * PANEL_COLUMNS + column) + load (bias + column);

      write_outputs (kind, output, row * stride + column, value);
    }
}

static void
linear (const RagifyLinear *layer, RagifyOutput kind, size_t rows, const void *input, size_t input_stride, void *output,
        size_t output_stride, void *scratch)
{
  const size_t tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
  _Alignas(VECTOR_BYTES) float sums[TILE_ROWS * PANEL_COLUMNS];

  (void)scratch;
  begin_products ();
  for (size_t column = 0; column < layer->columns; column += PANEL_COLUMNS) {
    const Element *const panel = (const Element *)layer->weights + column * layer->depth;
    const size_t panel_bytes = PANEL_COLUMNS * layer->depth * sizeof *panel;
    const size_t share = round_up (panel_bytes / tiles, 64); /* of the next panel, while a tile is computed */

    for (size_t tile = 0, row = 0; tile < tiles; tile++) {
      const size_t tile_rows = rows_of_tile (rows, tiles, tile, row);
      const size_t at = row * output_stride + column;
      const Product product = {
        .input = (const Element *)input + row * input_stride,
        .input_stride = input_stride,
        .panel = panel,
        .depth = layer->depth,
        .output = sums,
        .output_stride = PANEL_COLUMNS,
        .ahead = (const char *)panel + panel_bytes + tile * share,
        .ahead_bytes = share,
      };

      multiply (&product, tile_rows, PANEL_VECTORS);
      if (kind == RAGIFY_OUTPUT_RESIDUAL)
        finish_tile (RAGIFY_OUTPUT_RESIDUAL, sums, tile_rows, layer->bias + column, (float *)output + at,
                     output_stride);
      else if (kind == RAGIFY_OUTPUT_GELU)
        finish_tile (RAGIFY_OUTPUT_GELU, sums, tile_rows, layer->bias + column, (Element *)output + at, output_stride);
      else
        finish_tile (RAGIFY_OUTPUT_PLAIN, sums, tile_rows, layer->bias + column, (Element *)output + at, output_stride);
      row += tile_rows;
    }
  }
  end_products ();
}
