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

const RagifyKernels ragify_kernels_portable = {
  .name = "portable",
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
