/*
 * bfloat16 products on AMX: each instruction multiplies 16 rows by 32 depths by 16 columns. Everything but products is
 * AVX-512, as in kernels-avx512bf16.c.
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

#include "product-amx.inc.h"

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
#include "linear.inc.h"

/* Vectors count as twice as long as they are: depths are then whole steps of an instruction. */
#define TABLE ragify_kernels_amxbf16
#define TABLE_NAME "amxbf16"
#define TABLE_PRECISION "bf16"
#define TABLE_LANES DEPTH
#include "table.inc.h"
