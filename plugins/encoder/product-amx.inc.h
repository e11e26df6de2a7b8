/*
 * Products on AMX: each instruction multiplies 16 rows by 64 bytes of depth by 16 columns. The includer has bfloat16
 * elements.
 *
 * A product is at most 2 x 2 tiles of sums, so that each tile that is loaded is used twice. Tiles always have 16 rows:
 * what they hold behind the last row costs nothing and is not looked at.
 *
 * Processors do not foresee what tiles load: what comes next is asked for by the way.
 *
 * SPDX-License-Identifier: MIT
 */

enum {
  PANEL_VECTORS = 2,
  ROW_STEP = 16,
  TOKEN_STEP = 32,
  ROW_SLACK = TILE_ROWS,
  DEPTH = 32,      /* of one instruction */
  TILE_BYTES = 64, /* of a row of a tile: as many bytes of depth are multiplied by one instruction */
};

#include "product-type.inc.h"

/* What LDTILECFG reads: Intel's manual, volume 1, section 18.3. */
typedef struct {
  uint8_t palette;
  uint8_t start_row;
  uint8_t reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
} TileShapes;

/* The shapes belong to the thread; while they are set, the system saves eight kilobytes more for it. */
static inline void
begin_products (void)
{
  static const TileShapes shapes = {
    .palette = 1,
    .row_bytes = { TILE_BYTES, TILE_BYTES, TILE_BYTES, TILE_BYTES, TILE_BYTES, TILE_BYTES, TILE_BYTES, TILE_BYTES },
    .rows = { 16, 16, 16, 16, 16, 16, 16, 16 },
  };

  _tile_loadconfig (&shapes);
}

static inline void
end_products (void)
{
  _tile_release ();
}

/* A product of rows by columns that take two bytes of depth, or one, in memory. */
typedef struct {
  const char *input;
  size_t input_bytes; /* from row to row */
  const char *panel;
  size_t depth_bytes; /* whole rows of tiles */
  void *output;
  size_t output_bytes; /* from row to row */
  const char *ahead;
  size_t ahead_bytes;
} TileProduct;

/*
 * Tiles 0 to 3 are sums, 4 and 5 rows of input, 6 and 7 columns of weights, which `integers` says are 8-bit integers
 * with 32-bit sums. The three flags are constants.
 */
static inline __attribute__ ((always_inline)) void
multiply_tiles (const TileProduct *product, const bool integers, const bool two_rows, const bool two_columns)
{
  const size_t panel_bytes = (two_columns ? 2 : 1) * TILE_BYTES;
  const size_t ahead_bytes = product->ahead_bytes * TILE_BYTES / product->depth_bytes; /* in each round */
  const char *input = product->input;
  const char *panel = product->panel;
  const char *ahead = product->ahead;
  char *const output = product->output;

  _tile_zero (0);
  _tile_zero (1);
  _tile_zero (2);
  _tile_zero (3);
  for (size_t k = 0; k < product->depth_bytes; k += TILE_BYTES) {
    _tile_loadd (4, input, product->input_bytes);
    _tile_loadd (6, panel, panel_bytes);
    if (integers)
      _tile_dpbusd (0, 4, 6);
    else
      _tile_dpbf16ps (0, 4, 6);
    if (two_columns) {
      _tile_loadd (7, panel + TILE_BYTES, panel_bytes);
      if (integers)
        _tile_dpbusd (1, 4, 7);
      else
        _tile_dpbf16ps (1, 4, 7);
    }
    if (two_rows) {
      _tile_loadd (5, input + 16 * product->input_bytes, product->input_bytes);
      if (integers)
        _tile_dpbusd (2, 5, 6);
      else
        _tile_dpbf16ps (2, 5, 6);
      if (two_columns) {
        if (integers)
          _tile_dpbusd (3, 5, 7);
        else
          _tile_dpbf16ps (3, 5, 7);
      }
    }
    for (size_t i = 0; i < ahead_bytes; i += TILE_BYTES)
      _mm_prefetch (ahead + i, _MM_HINT_T1);
    input += TILE_BYTES;
    panel += 16 * panel_bytes;
    ahead += ahead_bytes;
  }
  _tile_stored (0, output, product->output_bytes);
  if (two_columns)
    _tile_stored (1, output + TILE_BYTES, product->output_bytes);
  if (two_rows)
    _tile_stored (2, output + 16 * product->output_bytes, product->output_bytes);
  if (two_rows && two_columns)
    _tile_stored (3, output + 16 * product->output_bytes + TILE_BYTES, product->output_bytes);
}

static inline void
multiply_any (const TileProduct *product, const bool integers, size_t rows, size_t vectors)
{
  /* Compilers do not know that loading a tile reads memory. */
  __asm__ volatile("" ::: "memory");
  if (rows > 16 && vectors > 1)
    multiply_tiles (product, integers, true, true);
  else if (rows > 16)
    multiply_tiles (product, integers, true, false);
  else if (vectors > 1)
    multiply_tiles (product, integers, false, true);
  else
    multiply_tiles (product, integers, false, false);
}

static void
multiply (const Product *product, size_t rows, size_t vectors)
{
  const TileProduct tiles = {
    .input = (const char *)product->input,
    .input_bytes = product->input_stride * sizeof (Element),
    .panel = (const char *)product->panel,
    .depth_bytes = product->depth * sizeof (Element),
    .output = product->output,
    .output_bytes = product->output_stride * sizeof (float),
    .ahead = product->ahead,
    .ahead_bytes = product->ahead_bytes,
  };

  multiply_any (&tiles, false, rows, vectors);
}
