/*
 * The table of what the files before it have made: TABLE, with its name and precision as texts. TABLE_LANES is LANES,
 * or DEPTH where a whole step of an instruction is longer than a vector.
 *
 * SPDX-License-Identifier: MIT
 */

const RagifyKernels TABLE = {
  .name = TABLE_NAME,
  .precision = TABLE_PRECISION,
  .element_size = sizeof (Element),
  .vector_lanes = TABLE_LANES,
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
