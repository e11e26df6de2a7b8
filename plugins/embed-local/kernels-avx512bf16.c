/* bfloat16 products on AVX-512: each instruction adds two products to each of 16 sums. */
#include "kernels-tables.h"

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define VECTOR_BYTES 64
#define TILE_ROWS 8
#include "vector.inc.h"

typedef uint16_t Element;
typedef __m512bh Operand;

enum { DEPTH_STEP = 2 };

static inline Operand
load_operand (const Element *from)
{
  return (__m512bh) _mm512_loadu_si512 (from);
}

static inline Operand
broadcast_operand (const Element *from)
{
  int32_t pair;

  memcpy (&pair, from, sizeof pair);
  return (__m512bh) _mm512_set1_epi32 (pair);
}

static inline Vector
multiply_add (Vector sum, Operand left, Operand right)
{
  return (Vector) _mm512_dpbf16_ps ((__m512) sum, left, right);
}

static inline void
store_elements (Element *to, Vector values)
{
  const __m256bh rounded = _mm512_cvtneps_pbh ((__m512) values);

  _mm256_storeu_si256 ((__m256i *) to, (__m256i) rounded);
}

static bool
is_supported (void)
{
  return __builtin_cpu_supports ("avx512bf16") && __builtin_cpu_supports ("avx512bw") &&
         __builtin_cpu_supports ("avx512vl") && __builtin_cpu_supports ("avx512dq") && __builtin_cpu_supports ("fma");
}

#include "kernels.inc.h"

const RagifyKernels ragify_kernels_avx512bf16 = {
  .name = "avx512bf16",
  .precision = "bf16",
  .element_size = sizeof (Element),
  .vector_lanes = LANES,
  .panel_columns = PANEL_COLUMNS,
  .depth_step = DEPTH_STEP,
  .is_supported = is_supported,
  .pack_row = pack_row,
  .linear = linear,
  .normalise = normalise,
  .attention_scratch = attention_scratch,
  .attend = attend,
};
