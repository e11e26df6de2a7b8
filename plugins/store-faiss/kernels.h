/* The arithmetic of the flat index, chosen once by what the CPU can do.
 *
 * All functions are [any]: they keep no state. Codes are rows of 8-bit integers, a query is 16-bit integers; rows and
 * query are padded with zeros to a multiple of RAGIFY_CODE_ALIGNMENT and aligned to it.
 */
#ifndef RAGIFY_KERNELS_H
#define RAGIFY_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#define RAGIFY_CODE_ALIGNMENT 64u

typedef struct RagifyKernels {
  const char *name; /* for people */

  /* The inner product of two vectors of `count` floats. */
  float (*dot) (const float *left, const float *right, size_t count);

  /* sums[i] = the inner product of the query with row i, for `rows` rows of `stride` codes. Exact, so equal on every
   * CPU; the caller chooses the query's range so that no sum overflows. */
  void (*scan) (const int8_t *codes, size_t stride, size_t rows, const int16_t *query, int32_t *sums);

  /* codes[i] = values[i] × inverse, rounded; |values[i]| × inverse ≤ 127. The answer is the square of what that loses:
   * the sum of (values[i] − codes[i] × scale)². */
  float (*encode) (const float *values, size_t count, float inverse, float scale, int8_t *codes);
} RagifyKernels;

/* The fastest that this CPU can run; constant. */
const RagifyKernels *ragify_kernels_choose (void);

/* The one called `name` ("portable", "avx2", "avx512"), or NULL where this CPU cannot run it; for tests. */
const RagifyKernels *ragify_kernels_find (const char *name);

#endif
