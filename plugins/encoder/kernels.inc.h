/*
 * The functions of a RagifyKernels table but for its linear layers, written once over `Vector` (vector.inc.h),
 * `Element` with its operations (element-*.inc.h), and products of a few rows (product-type.inc.h says what they must
 * have). Behind it comes linear.inc.h or linear-int8.inc.h.
 *
 * SPDX-License-Identifier: MIT
 */

enum { PANEL_COLUMNS = PANEL_VECTORS * LANES };

static inline size_t
round_up (size_t value, size_t step)
{
  return (value + step - 1) / step * step;
}

/* Part number `part` of `count` when it is split evenly over `parts`: none is left with one or two. */
static inline size_t
share_of (size_t count, size_t parts, size_t part)
{
  return count / parts + (part < count % parts);
}

/* Rows of tile number `tile` of `tiles`, of which `row` is the first: whole steps, but for the last. */
static inline size_t
rows_of_tile (size_t rows, size_t tiles, size_t tile, size_t row)
{
  const size_t steps = share_of ((rows + ROW_STEP - 1) / ROW_STEP, tiles, tile);

  return steps * ROW_STEP < rows - row ? steps * ROW_STEP : rows - row;
}

/* Hands on the outputs of a layer from `at` on. */
static inline __attribute__ ((always_inline)) void
write_outputs (const RagifyOutput kind, void *output, size_t at, Vector value)
{
  if (kind == RAGIFY_OUTPUT_RESIDUAL)
    store ((float *)output + at, load ((float *)output + at) + value);
  else if (kind == RAGIFY_OUTPUT_GELU)
    store_elements ((Element *)output + at, gelu (value));
  else
    store_elements ((Element *)output + at, value);
}

/* The mean is taken off before squares are summed: a variance as a difference of large numbers would lose its digits.
 */
static void
normalise (const RagifyNorm *norm, size_t rows, float *values, void *elements, size_t stride)
{
  const size_t size = norm->size;

  for (size_t row = 0; row < rows; row++, values += stride) {
    Element *const to = (Element *)elements + row * stride;
    Vector sum = { 0 };
    Vector squares = { 0 };

    for (size_t i = 0; i < size; i += LANES)
      sum += load (values + i);

    const float mean = sum_of_lanes (sum) / (float)size;

    for (size_t i = 0; i < size; i += LANES) {
      const Vector centred = choose (lanes_below (i, size), load (values + i) - splat (mean), (Vector){ 0 });

      squares += centred * centred;
      store (values + i, centred);
    }

    const float variance = sum_of_lanes (squares) / (float)size;
    const Vector scale = splat (1.0F / __builtin_sqrtf (variance + norm->epsilon));

    for (size_t i = 0; i < norm->padded_size; i += LANES) {
      const Vector value = load (values + i) * scale * load (norm->gain + i) + load (norm->bias + i);

      store (values + i, value);
      store_elements (to + i, value);
    }
  }
}

/* --- attention --- */

/* How the columns of a small matrix of the attention are cut into panels of at most PANEL_VECTORS vectors each. */
typedef struct {
  size_t vectors;
  size_t panels;
} Split;

static inline Split
split_columns (size_t columns)
{
  const size_t vectors = (columns + LANES - 1) / LANES;

  return (Split){ .vectors = vectors, .panels = (vectors + PANEL_VECTORS - 1) / PANEL_VECTORS };
}

typedef struct {
  size_t tokens;
  size_t padded_tokens; /* to TOKEN_STEP */
  size_t head_size;
  Element *keys;          /* of one head, packed: depth head_size, columns tokens */
  Element *values;        /* of one head, packed: depth padded_tokens, columns head_size */
  float *scores;          /* TILE_ROWS x padded_tokens */
  Element *probabilities; /* TILE_ROWS x padded_tokens */
  float *context;         /* TILE_ROWS x head_size */
} Scratch;

static size_t
lay_out_scratch (Scratch *scratch, void *memory, const RagifyAttention *attention, size_t tokens)
{
  const size_t padded = round_up (tokens, TOKEN_STEP);
  const size_t matrix = round_up (padded * attention->head_size * sizeof (Element), 64);
  const size_t scores = round_up (TILE_ROWS * padded * sizeof (float), 64);
  const size_t context = round_up (TILE_ROWS * attention->head_size * sizeof (float), 64);
  char *const start = memory;

  if (memory != NULL)
    *scratch = (Scratch){
      .tokens = tokens,
      .padded_tokens = padded,
      .head_size = attention->head_size,
      .keys = (Element *)start,
      .values = (Element *)(start + matrix),
      .scores = (float *)(start + 2 * matrix),
      .probabilities = (Element *)(start + 2 * matrix + scores),
      .context = (float *)(start + 2 * matrix + 2 * scores),
    };
  return 2 * matrix + 2 * scores + context;
}

static size_t
attention_scratch (const RagifyAttention *attention, size_t tokens)
{
  return lay_out_scratch (NULL, NULL, attention, tokens);
}

/* Keys are the columns: a step of all of them lies side by side. Columns behind the last token are zero. */
static void
pack_keys (const Scratch *scratch, const Element *keys, size_t stride)
{
  const Split split = split_columns (scratch->tokens);
  Element *to = scratch->keys;

  for (size_t panel = 0, first = 0; panel < split.panels; panel++) {
    const size_t columns = share_of (split.vectors, split.panels, panel) * LANES;

    for (size_t column = 0; column < columns; column++) {
      const Element *const key = keys + (first + column) * stride;
      Element *const start = to + column * DEPTH_STEP;

      if (first + column < scratch->tokens)
        for (size_t k = 0; k < scratch->head_size; k += DEPTH_STEP)
          memcpy (start + k * columns, key + k, DEPTH_STEP * sizeof *key);
      else
        for (size_t k = 0; k < scratch->head_size; k += DEPTH_STEP)
          memset (start + k * columns, 0, DEPTH_STEP * sizeof *key);
    }
    to += columns * scratch->head_size;
    first += columns;
  }
}

/* Values are the rows: tokens are the depth. Rows behind the last token are zero. */
static void
pack_values (const Scratch *scratch, const Element *values, size_t stride)
{
  static const Element zeros[PANEL_COLUMNS] = { 0 };
  const Split split = split_columns (scratch->head_size);
  Element *to = scratch->values;

  for (size_t panel = 0, first = 0; panel < split.panels; panel++) {
    const size_t columns = share_of (split.vectors, split.panels, panel) * LANES;

    for (size_t token = 0; token < scratch->padded_tokens; token += DEPTH_STEP, to += DEPTH_STEP * columns) {
      const Element *const value = values + token * stride + first;

      pair_elements (to, token < scratch->tokens ? value : zeros,
                     token + DEPTH_STEP - 1 < scratch->tokens ? value + stride : zeros, columns);
    }
    first += columns;
  }
}

/* Multiplies a few rows by a matrix in panels of `split`. */
static void
multiply_split (const Element *input, size_t input_stride, size_t rows, size_t depth, const Element *packed,
                Split split, float *output, size_t output_stride)
{
  for (size_t panel = 0; panel < split.panels; panel++) {
    const size_t vectors = share_of (split.vectors, split.panels, panel);
    const Product product = {
      .input = input,
      .input_stride = input_stride,
      .panel = packed,
      .depth = depth,
      .output = output,
      .output_stride = output_stride,
    };

    multiply (&product, rows, vectors);
    packed += vectors * LANES * depth;
    output += vectors * LANES;
  }
}

/* Turns a row of scores into the numerators of their softmax; returns the denominator. */
static float
exponentiate_row (const Scratch *scratch, float *scores, const float *bias, Element *probabilities)
{
  const float nothing = -3.0e38F; /* e to the power of it vanishes */
  Vector largest = splat (nothing);
  Vector sum = { 0 };

  if (bias != NULL)
    for (size_t i = 0; i < scratch->padded_tokens; i += LANES)
      store (scores + i, load (scores + i) + load (bias + i));
  for (size_t i = scratch->tokens; i < scratch->padded_tokens; i++)
    scores[i] = nothing;
  for (size_t i = 0; i < scratch->padded_tokens; i += LANES)
    largest = maximum (largest, load (scores + i));

  const Vector top = splat (maximum_of_lanes (largest));

  for (size_t i = 0; i < scratch->padded_tokens; i += LANES) {
    const Vector numerator = exponential (load (scores + i) - top);

    sum += numerator;
    store_elements (probabilities + i, numerator);
  }
  return sum_of_lanes (sum);
}

/* `query` is the text's row number of the first of these rows. */
static void
attend_rows (const RagifyAttention *attention, const Scratch *scratch, size_t head, size_t query, size_t rows,
             const Element *queries, size_t input_stride, Element *output, size_t output_stride)
{
  float sums[TILE_ROWS];

  multiply_split (queries, input_stride, rows, scratch->head_size, scratch->keys, split_columns (scratch->tokens),
                  scratch->scores, scratch->padded_tokens);
  for (size_t row = 0; row < rows; row++) {
    const float *bias = NULL;

    if (attention->position_bias != NULL)
      bias = attention->position_bias + head * attention->position_bias_stride + attention->position_bias_origin -
             (query + row);
    sums[row] = exponentiate_row (scratch, scratch->scores + row * scratch->padded_tokens, bias,
                                  scratch->probabilities + row * scratch->padded_tokens);
  }
  multiply_split (scratch->probabilities, scratch->padded_tokens, rows, scratch->padded_tokens, scratch->values,
                  split_columns (scratch->head_size), scratch->context, scratch->head_size);
  for (size_t row = 0; row < rows; row++)
    for (size_t i = 0; i < scratch->head_size; i += LANES)
      store_elements (output + row * output_stride + i,
                      load (scratch->context + row * scratch->head_size + i) * splat (1.0F / sums[row]));
}

static void
attend (const RagifyAttention *attention, size_t tokens, const void *input, size_t input_stride, void *output,
        size_t output_stride, void *memory)
{
  const size_t width = attention->heads * attention->head_size;
  const size_t tiles = (tokens + TILE_ROWS - 1) / TILE_ROWS;
  Scratch scratch = { 0 };

  lay_out_scratch (&scratch, memory, attention, tokens);
  begin_products ();
  for (size_t head = 0; head < attention->heads; head++) {
    const Element *const queries = (const Element *)input + head * attention->head_size;
    Element *const context = (Element *)output + head * attention->head_size;

    pack_keys (&scratch, queries + width, input_stride);
    pack_values (&scratch, queries + 2 * width, input_stride);
    for (size_t tile = 0, row = 0; tile < tiles; tile++) {
      const size_t rows = rows_of_tile (tokens, tiles, tile, row);

      attend_rows (attention, &scratch, head, row, rows, queries + row * input_stride, input_stride,
                   context + row * output_stride, output_stride);
      row += rows;
    }
  }
  end_products ();
}
