/*
 * Elements that are bfloat16: two products a lane and step. Included after vector.inc.h.
 *
 * SPDX-License-Identifier: MIT
 */

typedef uint16_t Element;
typedef __m512bh Operand;

enum { DEPTH_STEP = 2 };

static inline Operand
load_operand (const Element *from)
{
  return (__m512bh)_mm512_loadu_si512 (from);
}

static inline Operand
broadcast_operand (const Element *from)
{
  int32_t pair;

  memcpy (&pair, from, sizeof pair);
  return (__m512bh)_mm512_set1_epi32 (pair);
}

static inline Vector
multiply_add (Vector sum, Operand left, Operand right)
{
  return (Vector)_mm512_dpbf16_ps ((__m512)sum, left, right);
}

static inline void
store_elements (Element *to, Vector values)
{
  const __m256bh rounded = _mm512_cvtneps_pbh ((__m512)values);

  _mm256_storeu_si256 ((__m256i *)to, (__m256i)rounded);
}

static inline Vector
load_elements (const Element *from)
{
  const __m512i halves = _mm512_cvtepu16_epi32 (_mm256_loadu_si256 ((const __m256i *)from));

  return (Vector)_mm512_slli_epi32 (halves, 16);
}

/* A row of weights for one step of one panel: elements of the same column and two depths stand side by side. */
static inline void
pair_elements (Element *to, const Element *first, const Element *second, size_t count)
{
  for (size_t i = 0; i < count; i++) {
    const uint32_t pair = first[i] | (uint32_t)second[i] << 16;

    memcpy (to + 2 * i, &pair, sizeof pair);
  }
}

/*
 * x/2 * (1 + erf (x / sqrt 2)), to be rounded to 8 bits: with a rational function x P(x^2) / Q(x^2) of a lower degree
 * than the one for floats, fitted in the same way on [-4.5, 4.5], and the CPU's approximate reciprocal (2^-14).
 */
static inline Vector
gelu (Vector x)
{
  const Vector clamped = minimum (maximum (x, splat (-4.5F)), splat (4.5F));
  const Vector u = clamped * clamped;
  const Vector half = x * splat (0.5F);
  Vector p = splat (6.736246723448858e-05F);
  Vector q = splat (0.0011740024201571941F);

  p = p * u + splat (0.007674730848520994F);
  p = p * u + splat (0.05422259122133255F);
  p = p * u + splat (0.7978878021240234F);
  q = q * u + splat (0.02368042804300785F);
  q = q * u + splat (0.23465389013290405F);
  q = q * u + splat (1.0F);
  return half + half * (clamped * p * (Vector)_mm512_rcp14_ps ((__m512)q));
}
