/*
 * Vectors of floats in the compiler's own vector types, and the functions of them that a transformer needs.
 * Included once by each kernels-*.c, which defines VECTOR_BYTES first: everything here is static, so that code for one
 * CPU never ends up in the file of another.
 *
 * SPDX-License-Identifier: MIT
 */

typedef float Vector __attribute__ ((vector_size (VECTOR_BYTES)));
typedef int32_t Lanes __attribute__ ((vector_size (VECTOR_BYTES)));
typedef float UnalignedVector __attribute__ ((vector_size (VECTOR_BYTES), aligned (4), may_alias));
typedef int32_t UnalignedLanes __attribute__ ((vector_size (VECTOR_BYTES), aligned (4), may_alias));

enum { LANES = VECTOR_BYTES / 4 };

static inline Vector
load (const float *from)
{
  return *(const UnalignedVector *)from;
}

static inline void
store (float *to, Vector values)
{
  *(UnalignedVector *)to = values;
}

static inline Lanes
load_integers (const int32_t *from)
{
  return *(const UnalignedLanes *)from;
}

static inline void
store_integers (int32_t *to, Lanes values)
{
  *(UnalignedLanes *)to = values;
}

static inline Vector
splat (float value)
{
  return value - (Vector){ 0 };
}

static inline Vector
choose (Lanes mask, Vector yes, Vector no)
{
  return (Vector)((mask & (Lanes)yes) | (~mask & (Lanes)no));
}

/* Compilers do not find the instructions for these by themselves, since they must not assume that there are no NaNs. */
#if VECTOR_BYTES == 64

static inline Vector
maximum (Vector a, Vector b)
{
  return (Vector)_mm512_max_ps ((__m512)a, (__m512)b);
}

static inline Vector
minimum (Vector a, Vector b)
{
  return (Vector)_mm512_min_ps ((__m512)a, (__m512)b);
}

static inline float
sum_of_lanes (Vector values)
{
  return _mm512_reduce_add_ps ((__m512)values);
}

static inline float
maximum_of_lanes (Vector values)
{
  return _mm512_reduce_max_ps ((__m512)values);
}

#else

static inline Vector
maximum (Vector a, Vector b)
{
  return choose (a > b, a, b);
}

static inline Vector
minimum (Vector a, Vector b)
{
  return choose (a < b, a, b);
}

static inline float
sum_of_lanes (Vector values)
{
  float sum = 0;

  for (int i = 0; i < LANES; i++)
    sum += values[i];
  return sum;
}

static inline float
maximum_of_lanes (Vector values)
{
  float result = values[0];

  for (int i = 1; i < LANES; i++)
    result = values[i] > result ? values[i] : result;
  return result;
}

#endif

/* Lanes whose number, counted from `first`, is below `end`. */
static inline Lanes
lanes_below (size_t first, size_t end)
{
  Lanes number;

  for (int i = 0; i < LANES; i++)
    number[i] = i;
  return number < ((int32_t)(end - first) - (Lanes){ 0 });
}

/*
 * e^x for x <= 0: 2^n * e^r with |r| <= ln 2 / 2, and a polynomial for e^r, fitted by us by reweighted least squares
 * (relative error below 3e-6, a hundred times less than what is lost when scores are rounded). Anything below -87 gives
 * what -87 gives, which is 0 in a sum whose largest term is 1.
 */
static inline Vector
exponential (Vector x)
{
  const Vector round_to_integer = splat (12582912.0F); /* 1.5 * 2^23: its last mantissa bit is worth 1 */
  const Vector clamped = maximum (x, splat (-87.0F));
  const Vector shifted = clamped * splat (1.44269504F) + round_to_integer;
  const Vector r = clamped - (shifted - round_to_integer) * splat (0.69314718F);
  Vector p = splat (0.041458580642938614F);

  p = p * r + splat (0.16790907084941864F);
  p = p * r + splat (0.5000435709953308F);
  p = p * r + splat (0.9999634027481079F);
  p = p * r + splat (0.9999992847442627F);
  return (Vector)((Lanes)p + (((Lanes)shifted) << 23));
}
