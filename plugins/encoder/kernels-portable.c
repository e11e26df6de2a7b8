/*
 * float products in what every CPU of this architecture has.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels-tables.h"

#include <stdint.h>
#include <string.h>

#define VECTOR_BYTES 16
#define TILE_ROWS 4
#include "vector.inc.h"

#include "element-float.inc.h"

static bool
is_supported (void)
{
  return true;
}

#include "product.inc.h"

#include "kernels.inc.h"
#include "linear.inc.h"

#define TABLE ragify_kernels_portable
#define TABLE_NAME "portable"
#define TABLE_PRECISION "fp32"
#define TABLE_LANES LANES
#include "table.inc.h"
