/*
 * bfloat16 products on AVX-512: each instruction adds two products to each of 16 sums.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels-tables.h"

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define VECTOR_BYTES 64
#define TILE_ROWS 8
#include "vector.inc.h"

#include "element-bf16.inc.h"

static bool
is_supported (void)
{
  return __builtin_cpu_supports ("avx512bf16") && __builtin_cpu_supports ("avx512bw") &&
         __builtin_cpu_supports ("avx512vl") && __builtin_cpu_supports ("avx512dq") && __builtin_cpu_supports ("fma");
}

#include "product.inc.h"

#include "kernels.inc.h"
#include "linear.inc.h"

const RagifyKernels ragify_kernels_avx512bf16 = {
  .name = "avx512bf16",
  .precision = "bf16",
  .element_size = sizeof (Element),
  .vector_lanes = LANES,
  .panel_columns = PANEL_COLUMNS,
  .row_slack = ROW_SLACK,
  .is_supported = is_supported,
  .packed_size = packed_size,
  .pack_row = pack_row,
  .linear_scratch = linear_scratch,
  .linear = linear,
  .normalise = normalise,
  .attention_scratch = attention_scratch,
  .attend = attend,
};
