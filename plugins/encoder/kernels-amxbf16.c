/*
 * bfloat16 products on AMX: each instruction multiplies 16 rows by 32 depths by 16 columns. Everything but products is
 * AVX-512, as in kernels-avx512bf16.c.
 *
 * A product is at most 2 x 2 tiles of sums, so that each tile that is loaded is used twice. Tiles always have 16 rows:
 * what they hold behind the last row costs nothing and is not looked at.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels-tables.h"

#include <cpuid.h>
#include <immintrin.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define VECTOR_BYTES 64
#define TILE_ROWS 32
#include "vector.inc.h"

#include "element-bf16.inc.h"

enum {
  PANEL_VECTORS = 2,
  ROW_STEP = 16,
  TOKEN_STEP = 32,
  ROW_SLACK = TILE_ROWS,
  DEPTH = 32,      /* of one instruction */
  TILE_BYTES = 64, /* of a row of a tile */
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

/* Tiles 0 to 3 are sums, 4 and 5 rows of input, 6 and 7 columns of weights. The two flags are constants. */
static inline __attribute__ ((always_inline)) void
multiply_tiles (const Product *product, const bool two_rows, const bool two_columns)
{
  const size_t input_bytes = product->input_stride * sizeof (Element);
  const size_t panel_bytes = (two_columns ? 2 : 1) * TILE_BYTES;
  const size_t output_bytes = product->output_stride * sizeof (float);
  const char *input = (const char *)product->input;
  const char *panel = (const char *)product->panel;
  float *const output = product->output;

  _tile_zero (0);
  _tile_zero (1);
  _tile_zero (2);
  _tile_zero (3);
  for (size_t k = 0; k < product->depth; k += DEPTH) {
    _tile_loadd (4, input, input_bytes);
    _tile_loadd (6, panel, panel_bytes);
    _tile_dpbf16ps (0, 4, 6);
    if (two_columns) {
      _tile_loadd (7, panel + TILE_BYTES, panel_bytes);
      _tile_dpbf16ps (1, 4, 7);
    }
    if (two_rows) {
      _tile_loadd (5, input + 16 * input_bytes, input_bytes);
      _tile_dpbf16ps (2, 5, 6);
      if (two_columns)
        _tile_dpbf16ps (3, 5, 7);
    }
    input += DEPTH * sizeof (Element);
    panel += DEPTH / DEPTH_STEP * panel_bytes;
  }
  _tile_stored (0, output, output_bytes);
  if (two_columns)
    _tile_stored (1, output + LANES, output_bytes);
  if (two_rows)
    _tile_stored (2, output + 16 * product->output_stride, output_bytes);
  if (two_rows && two_columns)
    _tile_stored (3, output + 16 * product->output_stride + LANES, output_bytes);
}

static void
multiply (const Product *product, size_t rows, size_t vectors)
{
  /* Compilers do not know that loading a tile reads memory. */
  __asm__ volatile("" ::: "memory");
  if (rows > 16 && vectors > 1)
    multiply_tiles (product, true, true);
  else if (rows > 16)
    multiply_tiles (product, true, false);
  else if (vectors > 1)
    multiply_tiles (product, false, true);
  else
    multiply_tiles (product, false, false);
}

/* The system gives a process the room for tiles only when it asks: Linux, Documentation/arch/x86/xstate.rst. */
static bool
may_use_tiles (void)
{
  enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 }; /* ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA */

  return syscall (SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

static bool
is_supported (void)
{
  enum { AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24 }; /* bits of EDX */
  unsigned int a = 0;
  unsigned int b = 0;
  unsigned int c = 0;
  unsigned int d = 0;

  return ragify_kernels_avx512bf16.is_supported () && __get_cpuid_count (7, 0, &a, &b, &c, &d) != 0 &&
         (d & AMX_TILE) != 0 && (d & AMX_BF16) != 0 && may_use_tiles ();
}

#include "kernels.inc.h"

/* Vectors count as twice as long as they are: depths are then whole steps of an instruction. */
const RagifyKernels ragify_kernels_amxbf16 = {
  .name = "amxbf16",
  .precision = "bf16",
  .element_size = sizeof (Element),
  .vector_lanes = DEPTH,
  .panel_columns = PANEL_COLUMNS,
  .depth_step = DEPTH_STEP,
  .row_slack = ROW_SLACK,
  .is_supported = is_supported,
  .pack_row = pack_row,
  .linear = linear,
  .normalise = normalise,
  .attention_scratch = attention_scratch,
  .attend = attend,
};
