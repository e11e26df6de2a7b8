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

#define TABLE ragify_kernels_avx2
#define TABLE_NAME "avx2"
#define TABLE_PRECISION "fp32"
#define TABLE_LANES LANES
#include "table.inc.h"
