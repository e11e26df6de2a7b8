/*
 * Linear layers of 8-bit integers, over the functions of kernels.inc.h and the products of product-int8.inc.h.
 *
 * Weights are integers from -127 to 127 times a scale of their output; a row of input is integers from 0 to 255, of
 * which `zero` stands for 0, times a scale of the row, found anew for each row: GELU's outputs, which are hardly ever
 * below 0, lose no bit to a sign that they do not have. Sums of products are exact, and the same with each kernel:
 * 65,536 inputs, as many as a model may have, stay below 2^31.
 *
 * A panel begins with the scales of its columns and the sums of their weights. Then come weights, those of a column and
 * INT8_STEP depths side by side. `Activation` is what a kernel wants for an integer of input.
 *
 * SPDX-License-Identifier: MIT
 */

enum { MOST_ACTIVATION = 255, MOST_WEIGHT = 127 };

typedef struct {
  float scales[PANEL_COLUMNS];
  int32_t sums[PANEL_COLUMNS];
} PanelHead;

/* How a row of input was quantised. */
typedef struct {
  float scale;
  int32_t zero;
} RowScale;

static size_t
panel_size (size_t depth)
{
  return sizeof (PanelHead) + PANEL_COLUMNS * round_up (depth, INT8_DEPTH);
}

static size_t
packed_size (size_t columns, size_t depth)
{
  return columns / PANEL_COLUMNS * panel_size (depth);
}

/* A weight that is not finite makes the scale NaN, and so all that comes of it. */
static void
pack_row (void *packed, size_t depth, size_t row, const float *weights)
{
  char *const panel = (char *)packed + row / PANEL_COLUMNS * panel_size (depth);
  PanelHead *const head = (PanelHead *)(void *)panel;
  int8_t *const to = (int8_t *)panel + sizeof *head;
  const size_t column = row % PANEL_COLUMNS;
  float largest = 0;
  float strange = 0;
  float inverse;
  int32_t sum = 0;

  for (size_t k = 0; k < depth; k++) {
    const float size = __builtin_fabsf (weights[k]);

    largest = size > largest ? size : largest;
    strange += weights[k] * 0;
  }
  inverse = strange == 0 && largest > 1e-30F ? MOST_WEIGHT / largest : 0;
  for (size_t k = 0; inverse > 0 && k < depth; k++) {
    const float scaled = weights[k] * inverse;
    const int32_t rounded = (int32_t)(scaled < 0 ? scaled - 0.5F : scaled + 0.5F);

    to[(k / INT8_STEP * PANEL_COLUMNS + column) * INT8_STEP + k % INT8_STEP] = (int8_t)rounded;
    sum += rounded;
  }
  head->scales[column] = largest / MOST_WEIGHT + strange;
  head->sums[column] = sum;
}

/* --- the input --- */

static size_t
scales_size (size_t rows)
{
  return round_up (rows * sizeof (RowScale), 64);
}

static size_t
linear_scratch (size_t rows, size_t depth)
{
  return scales_size (rows) + (rows + ROW_SLACK) * round_up (depth, INT8_DEPTH) * sizeof (Activation);
}

/* As in pack_row, what is not finite makes the scale NaN; what is nearly so, too. */
static RowScale
find_scale (const Element *from, size_t depth, float *inverse)
{
  Vector lowest = { 0 };
  Vector highest = { 0 };
  Vector strange = { 0 };

  for (size_t k = 0; k < depth; k += LANES) {
    const Vector value = load_elements (from + k);

    lowest = minimum (lowest, value);
    highest = maximum (highest, value);
    strange += value * splat (0);
  }

  const float low = -maximum_of_lanes (-lowest);
  const float range = maximum_of_lanes (highest) - low + sum_of_lanes (strange);

  *inverse = range > 1e-30F && range < 1e38F ? MOST_ACTIVATION / range : 0;
  return (RowScale){
    .scale = range < 1e38F ? range / MOST_ACTIVATION : __builtin_nanf (""),
    .zero = *inverse > 0 ? (int32_t)(0.5F - low * *inverse) : 0,
  };
}

static RowScale
quantise_row (const Element *from, size_t depth, Activation *to)
{
  const Vector round_to_integer = splat (12582912.0F); /* as in exponential() */
  const Vector most = splat (MOST_ACTIVATION);
  float inverse;
  const RowScale row = find_scale (from, depth, &inverse);
  const Vector zero = splat ((float)row.zero);

  for (size_t k = 0; k < depth; k += LANES) {
    const Vector scaled = load_elements (from + k) * splat (inverse) + zero;
    const Vector shifted = minimum (maximum (scaled, (Vector){ 0 }), most) + round_to_integer;

    store_activations (to + k, (Lanes)shifted & 0xff);
  }
  memset (to + depth, 0, (round_up (depth, INT8_DEPTH) - depth) * sizeof *to);
  return row;
}

static void
quantise_rows (const Element *from, size_t from_stride, size_t rows, size_t depth, void *scratch)
{
  const size_t stride = round_up (depth, INT8_DEPTH);
  RowScale *const scales = scratch;
  Activation *const to = (Activation *)(void *)((char *)scratch + scales_size (rows));

  for (size_t row = 0; row < rows; row++)
    scales[row] = quantise_row (from + row * from_stride, depth, to + row * stride);
}

/* --- products --- */

static inline __attribute__ ((always_inline)) void
finish_tile (const RagifyOutput kind, const int32_t *sums, size_t rows, const RowScale *scales, const PanelHead *head,
             const float *bias, void *output, size_t stride)
{
  for (size_t row = 0; row < rows; row++)
    for (size_t column = 0; column < PANEL_COLUMNS; column += LANES) {
      const Lanes zeros = load_integers (head->sums + column) * scales[row].zero;
      const Lanes sum = load_integers (sums + row * PANEL_COLUMNS + column) - zeros;
      const Vector scale = load (head->scales + column) * splat (scales[row].scale);

      write_outputs (kind, output, row * stride + column,
                     __builtin_convertvector(sum, Vector) * scale + load (bias + column));
    }
}

static void
multiply_panel (const RagifyLinear *layer, RagifyOutput kind, size_t column, size_t rows, const void *scratch,
                void *output, size_t output_stride)
{
  const size_t stride = round_up (layer->depth, INT8_DEPTH);
  const size_t tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
  const size_t share = round_up (panel_size (layer->depth) / tiles, 64); /* as with floats */
  const char *const panel = (const char *)layer->weights + column / PANEL_COLUMNS * panel_size (layer->depth);
  const PanelHead *const head = (const PanelHead *)(const void *)panel;
  const RowScale *const scales = scratch;
  const Activation *const input = (const Activation *)(const void *)((const char *)scratch + scales_size (rows));
  const float *const bias = layer->bias + column;
  _Alignas(VECTOR_BYTES) int32_t sums[TILE_ROWS * PANEL_COLUMNS];

  for (size_t tile = 0, row = 0; tile < tiles; tile++) {
    const size_t count = rows_of_tile (rows, tiles, tile, row);
    const size_t at = row * output_stride + column;
    const Int8Product product = {
      .input = input + row * stride,
      .panel = (const int8_t *)panel + sizeof *head,
      .depth = stride,
      .output = sums,
      .ahead = panel + panel_size (layer->depth) + tile * share,
      .ahead_bytes = share,
    };

    multiply_int8 (&product, count);
    if (kind == RAGIFY_OUTPUT_RESIDUAL)
      finish_tile (RAGIFY_OUTPUT_RESIDUAL, sums, count, scales + row, head, bias, (float *)output + at, output_stride);
    else if (kind == RAGIFY_OUTPUT_GELU)
      finish_tile (RAGIFY_OUTPUT_GELU, sums, count, scales + row, head, bias, (Element *)output + at, output_stride);
    else
      finish_tile (RAGIFY_OUTPUT_PLAIN, sums, count, scales + row, head, bias, (Element *)output + at, output_stride);
    row += count;
  }
}

static void
linear (const RagifyLinear *layer, RagifyOutput kind, size_t rows, const void *input, size_t input_stride, void *output,
        size_t output_stride, void *scratch)
{
  quantise_rows (input, input_stride, rows, layer->depth, scratch);
  begin_products ();
  for (size_t column = 0; column < layer->columns; column += PANEL_COLUMNS)
    multiply_panel (layer, kind, column, rows, scratch, output, output_stride);
  end_products ();
}
