/*
 * The arithmetic of the encoder, behind one table of functions for each kind of CPU.
 *
 * A table is chosen once, when a model is loaded, by what the CPU can do. All tables compute the same thing; they
 * differ in the width of their vectors, in the type of an *element*, the form in which activations go from function to
 * function, bfloat16 (2 bytes) or float (4 bytes), and in what linear layers multiply: elements, or 8-bit integers, to
 * which they round their inputs themselves. Sums of elements, biases, residuals and norms are float everywhere.
 *
 * Weights are stored in *panels*: `panel_columns` outputs side by side, and for each step of a few inputs the weights
 * of all of these outputs. A product walks through a panel from front to back, once for every few rows.
 *
 * Memory that is passed to these functions is aligned to 64 bytes, and so are the rows of it: strides, depths and
 * columns are multiples of `panel_columns` (and hence of `vector_lanes`), padded with zeros. All functions are [any]:
 * they keep no state, and two threads may use one table at once on different outputs.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_KERNELS_H
#define RAGIFY_KERNELS_H

#include <stdbool.h>
#include <stddef.h>

typedef enum {
  RAGIFY_OUTPUT_PLAIN,    /* output = product + bias, as elements */
  RAGIFY_OUTPUT_GELU,     /* output = gelu (product + bias), as elements */
  RAGIFY_OUTPUT_RESIDUAL, /* output += product + bias, as floats */
} RagifyOutput;

/* A layer `y = W x + b`: `columns` outputs of `depth` inputs, both padded. */
typedef struct {
  const void *weights; /* packed by pack_row; packed_size bytes, zeros where no row was packed */
  const float *bias;   /* `columns` floats */
  size_t columns;
  size_t depth;
} RagifyLinear;

/* A layer norm over the first `size` of a row's elements; gain and bias are padded with zeros to `padded_size`. */
typedef struct {
  const float *gain;
  const float *bias;
  size_t size;
  size_t padded_size;
  float epsilon;
} RagifyNorm;

/*
 * Self-attention over the rows of one text. A row of the input holds the queries of all heads, then their keys, then
 * their values, `head_size` elements each; the scale 1/sqrt (size) is already in the queries.
 *
 * `position_bias`, or NULL, points for each head to `position_bias_stride` floats of which number
 * `position_bias_origin + key - query` is added to that score; vector_lanes further floats may be read behind the last.
 */
typedef struct {
  size_t heads;
  size_t head_size; /* padded to vector_lanes */
  const float *position_bias;
  size_t position_bias_stride;
  size_t position_bias_origin;
} RagifyAttention;

typedef struct {
  const char *name;      /* what the key `kernel` calls it */
  const char *precision; /* "bf16", "fp32" or "int8" */
  size_t element_size;   /* bytes */
  size_t vector_lanes;   /* floats in a vector */
  size_t panel_columns;
  size_t row_slack; /* rows behind the last of an input that may be read, whatever they hold */

  /* Whether this CPU and its operating system can run this table. The other functions may only be called if so. */
  bool (*is_supported) (void);

  /* Bytes of a layer's packed weights. */
  size_t (*packed_size) (size_t columns, size_t depth);

  /* Puts the weights of output number `row`, `depth` floats, into their place among `packed`. */
  void (*pack_row) (void *packed, size_t depth, size_t row, const float *weights);

  /* Bytes of scratch memory that a layer of `depth` needs for so many rows; may be 0. */
  size_t (*linear_scratch) (size_t rows, size_t depth);

  /* Strides in elements; the output's are floats for RAGIFY_OUTPUT_RESIDUAL. */
  void (*linear) (const RagifyLinear *layer, RagifyOutput kind, size_t rows, const void *input, size_t input_stride,
                  void *output, size_t output_stride, void *scratch);

  /* Normalises `rows` rows in place and also writes them as elements. */
  void (*normalise) (const RagifyNorm *norm, size_t rows, float *values, void *elements, size_t stride);

  /* Bytes of scratch memory that a text of so many tokens needs. */
  size_t (*attention_scratch) (const RagifyAttention *attention, size_t tokens);

  /* Writes the context, heads * head_size elements a row. */
  void (*attend) (const RagifyAttention *attention, size_t tokens, const void *input, size_t input_stride, void *output,
                  size_t output_stride, void *scratch);
} RagifyKernels;

/* The tables of this build, those of a precision best first, NULL-terminated. The last of each runs everywhere. */
const RagifyKernels *const *ragify_kernels_list (void);

/*
 * The best table that this CPU supports among those of `precision` ("auto", "bf16", "fp32" or "int8") and of `name`
 * ("auto" or the name of one). What is lost by integers is seen, so that int8 is chosen only by its own name or that of
 * one of its tables. NULL if there is none.
 */
const RagifyKernels *ragify_kernels_choose (const char *precision, const char *name);

#endif
