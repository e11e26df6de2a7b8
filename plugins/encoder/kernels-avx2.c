/*
 * float products on AVX2 with FMA: 16 registers hold 4 x 3 sums.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels-tables.h"

#include <stdint.h>
#include <string.h>

#define VECTOR_BYTES 32
#define TILE_ROWS 4
#include "vector.inc.h"

#include "element-float.inc.h"

static bool
is_supported (void)
{
  return __builtin_cpu_supports ("avx2") && __builtin_cpu_supports ("fma");
}

#include "product.inc.h"

#include "kernels.inc.h"
#include "linear.inc.h"

const RagifyKernels ragify_kernels_avx2 = {
  .name = "avx2",
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
