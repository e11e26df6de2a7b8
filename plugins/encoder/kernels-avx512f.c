/*
 * float products on AVX-512: 32 registers hold 8 x 3 sums.
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

#include "element-float.inc.h"

static bool
is_supported (void)
{
  return __builtin_cpu_supports ("avx512f");
}

#include "product.inc.h"

#include "kernels.inc.h"
#include "linear.inc.h"

const RagifyKernels ragify_kernels_avx512f = {
  .name = "avx512f",
  .precision = "fp32",
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
