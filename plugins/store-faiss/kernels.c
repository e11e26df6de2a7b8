#include "kernels.h"

#include <math.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define WITH_X86 1
#else
#define WITH_X86 0
#endif

/* Eight sums side by side: the compiler may not reorder float additions itself, so the order is spelled out. */
static float
dot_portable (const float *left, const float *right, size_t count)
{
  float sums[8] = { 0 };
  size_t i = 0;
  for (; i + 8 <= count; i += 8)
    for (size_t lane = 0; lane < 8; lane++)
      sums[lane] += left[i + lane] * right[i + lane];
  float total = ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
  for (; i < count; i++)
    total += left[i] * right[i];
  return total;
}

static void
scan_portable (const int8_t *codes, size_t stride, size_t rows, const int16_t *query, int32_t *sums)
{
  for (size_t row = 0; row < rows; row++) {
    const int8_t *code = codes + row * stride;
    int32_t sum = 0;
    for (size_t i = 0; i < stride; i++)
      sum += (int32_t)code[i] * query[i];
    sums[row] = sum;
  }
}

static float
encode_portable (const float *values, size_t count, float inverse, float scale, int8_t *codes)
{
  float sum = 0;
  for (size_t i = 0; i < count; i++) {
    codes[i] = (int8_t)lrintf (values[i] * inverse);
    float lost = values[i] - codes[i] * scale;
    sum += lost * lost;
  }
  return sum;
}

static const RagifyKernels portable = {
  .name = "portable", .dot = dot_portable, .scan = scan_portable, .encode = encode_portable
};

#if WITH_X86

#define AVX2 __attribute__ ((target ("avx2,fma")))
#define AVX512 __attribute__ ((target ("avx512f,avx512bw,avx512vl,avx2,fma")))

AVX2 static float
dot_avx2 (const float *left, const float *right, size_t count)
{
  __m256 a = _mm256_setzero_ps (), b = a, c = a, d = a;
  size_t i = 0;
  for (; i + 32 <= count; i += 32) {
    a = _mm256_fmadd_ps (_mm256_loadu_ps (left + i), _mm256_loadu_ps (right + i), a);
    b = _mm256_fmadd_ps (_mm256_loadu_ps (left + i + 8), _mm256_loadu_ps (right + i + 8), b);
    c = _mm256_fmadd_ps (_mm256_loadu_ps (left + i + 16), _mm256_loadu_ps (right + i + 16), c);
    d = _mm256_fmadd_ps (_mm256_loadu_ps (left + i + 24), _mm256_loadu_ps (right + i + 24), d);
  }
  a = _mm256_add_ps (_mm256_add_ps (a, c), _mm256_add_ps (b, d));
  __m128 s = _mm_add_ps (_mm256_castps256_ps128 (a), _mm256_extractf128_ps (a, 1));
  s = _mm_add_ps (s, _mm_movehl_ps (s, s));
  float total = _mm_cvtss_f32 (s) + _mm_cvtss_f32 (_mm_movehdup_ps (s));
  for (; i < count; i++)
    total += left[i] * right[i];
  return total;
}

/* The sum of the eight lanes of each of four registers. */
AVX2 static __m128i
fold_avx2 (__m256i a, __m256i b, __m256i c, __m256i d)
{
  __m256i all = _mm256_hadd_epi32 (_mm256_hadd_epi32 (a, b), _mm256_hadd_epi32 (c, d));
  return _mm_add_epi32 (_mm256_castsi256_si128 (all), _mm256_extracti128_si256 (all, 1));
}

AVX2 static __m256i
step_avx2 (__m256i sum, const int8_t *code, __m256i query)
{
  __m256i wide = _mm256_cvtepi8_epi16 (_mm_load_si128 ((const __m128i *)code));
  return _mm256_add_epi32 (sum, _mm256_madd_epi16 (wide, query));
}

/* Four rows at a time share the loads of the query. */
AVX2 static void
scan_avx2 (const int8_t *codes, size_t stride, size_t rows, const int16_t *query, int32_t *sums)
{
  size_t row = 0;
  for (; row + 4 <= rows; row += 4) {
    const int8_t *code = codes + row * stride;
    __m256i a = _mm256_setzero_si256 (), b = a, c = a, d = a;
    for (size_t i = 0; i < stride; i += 16) {
      __m256i part = _mm256_load_si256 ((const __m256i *)(query + i));
      a = step_avx2 (a, code + i, part);
      b = step_avx2 (b, code + stride + i, part);
      c = step_avx2 (c, code + 2 * stride + i, part);
      d = step_avx2 (d, code + 3 * stride + i, part);
    }
    _mm_storeu_si128 ((__m128i *)(sums + row), fold_avx2 (a, b, c, d));
  }
  scan_portable (codes + row * stride, stride, rows - row, query, sums + row);
}

AVX2 static float
encode_avx2 (const float *values, size_t count, float inverse, float scale, int8_t *codes)
{
  __m256 sum = _mm256_setzero_ps ();
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    __m256 value = _mm256_loadu_ps (values + i);
    __m256i code = _mm256_cvtps_epi32 (_mm256_mul_ps (value, _mm256_set1_ps (inverse)));
    __m256 lost = _mm256_fnmadd_ps (_mm256_cvtepi32_ps (code), _mm256_set1_ps (scale), value);
    sum = _mm256_fmadd_ps (lost, lost, sum);
    __m128i words = _mm_packs_epi32 (_mm256_castsi256_si128 (code), _mm256_extracti128_si256 (code, 1));
    _mm_storel_epi64 ((__m128i *)(codes + i), _mm_packs_epi16 (words, words));
  }
  __m128 s = _mm_add_ps (_mm256_castps256_ps128 (sum), _mm256_extractf128_ps (sum, 1));
  s = _mm_add_ps (s, _mm_movehl_ps (s, s));
  float total = _mm_cvtss_f32 (s) + _mm_cvtss_f32 (_mm_movehdup_ps (s));
  return total + encode_portable (values + i, count - i, inverse, scale, codes + i);
}

AVX512 static float
dot_avx512 (const float *left, const float *right, size_t count)
{
  __m512 a = _mm512_setzero_ps (), b = a, c = a, d = a;
  size_t i = 0;
  for (; i + 64 <= count; i += 64) {
    a = _mm512_fmadd_ps (_mm512_loadu_ps (left + i), _mm512_loadu_ps (right + i), a);
    b = _mm512_fmadd_ps (_mm512_loadu_ps (left + i + 16), _mm512_loadu_ps (right + i + 16), b);
    c = _mm512_fmadd_ps (_mm512_loadu_ps (left + i + 32), _mm512_loadu_ps (right + i + 32), c);
    d = _mm512_fmadd_ps (_mm512_loadu_ps (left + i + 48), _mm512_loadu_ps (right + i + 48), d);
  }
  for (; i < count; i += 16) {
    __mmask16 mask = count - i >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << (count - i)) - 1);
    a = _mm512_fmadd_ps (_mm512_maskz_loadu_ps (mask, left + i), _mm512_maskz_loadu_ps (mask, right + i), a);
  }
  return _mm512_reduce_add_ps (_mm512_add_ps (_mm512_add_ps (a, c), _mm512_add_ps (b, d)));
}

AVX512 static __m512i
step_avx512 (__m512i sum, const int8_t *code, __m512i query)
{
  __m512i wide = _mm512_cvtepi8_epi16 (_mm256_load_si256 ((const __m256i *)code));
  return _mm512_add_epi32 (sum, _mm512_madd_epi16 (wide, query));
}

AVX512 static __m256i
halve_avx512 (__m512i sum)
{
  return _mm256_add_epi32 (_mm512_castsi512_si256 (sum), _mm512_extracti64x4_epi64 (sum, 1));
}

AVX512 static void
scan_avx512 (const int8_t *codes, size_t stride, size_t rows, const int16_t *query, int32_t *sums)
{
  size_t row = 0;
  for (; row + 4 <= rows; row += 4) {
    const int8_t *code = codes + row * stride;
    __m512i a = _mm512_setzero_si512 (), b = a, c = a, d = a;
    for (size_t i = 0; i < stride; i += 32) {
      __m512i part = _mm512_load_si512 (query + i);
      a = step_avx512 (a, code + i, part);
      b = step_avx512 (b, code + stride + i, part);
      c = step_avx512 (c, code + 2 * stride + i, part);
      d = step_avx512 (d, code + 3 * stride + i, part);
    }
    _mm_storeu_si128 ((__m128i *)(sums + row),
                      fold_avx2 (halve_avx512 (a), halve_avx512 (b), halve_avx512 (c), halve_avx512 (d)));
  }
  scan_portable (codes + row * stride, stride, rows - row, query, sums + row);
}

static const RagifyKernels avx2 = { .name = "avx2", .dot = dot_avx2, .scan = scan_avx2, .encode = encode_avx2 };
static const RagifyKernels avx512 = { .name = "avx512", .dot = dot_avx512, .scan = scan_avx512, .encode = encode_avx2 };

static int
can_avx2 (void)
{
  return __builtin_cpu_supports ("avx2") && __builtin_cpu_supports ("fma");
}

static int
can_avx512 (void)
{
  return can_avx2 () && __builtin_cpu_supports ("avx512f") && __builtin_cpu_supports ("avx512bw") &&
         __builtin_cpu_supports ("avx512vl");
}

const RagifyKernels *
ragify_kernels_choose (void)
{
  if (can_avx512 ())
    return &avx512;
  return can_avx2 () ? &avx2 : &portable;
}

const RagifyKernels *
ragify_kernels_find (const char *name)
{
  if (strcmp (name, avx512.name) == 0)
    return can_avx512 () ? &avx512 : NULL;
  if (strcmp (name, avx2.name) == 0)
    return can_avx2 () ? &avx2 : NULL;
  return strcmp (name, portable.name) == 0 ? &portable : NULL;
}

#else

const RagifyKernels *
ragify_kernels_choose (void)
{
  return &portable;
}

const RagifyKernels *
ragify_kernels_find (const char *name)
{
  return strcmp (name, portable.name) == 0 ? &portable : NULL;
}

#endif
