/*
 * Vectors of floats in the compiler's own vector types, and the functions of them that a transformer needs.
 * Included once by each kernels-*.c, which defines VECTOR_BYTES first: everything here is static, so that code for one
 * CPU never ends up in the file of another.
 */

typedef float Vector __attribute__ ((vector_size (VECTOR_BYTES)));
typedef int32_t Lanes __attribute__ ((vector_size (VECTOR_BYTES)));
typedef float UnalignedVector __attribute__ ((vector_size (VECTOR_BYTES), aligned (4), may_alias));

enum { LANES = VECTOR_BYTES / 4 };

static inline Vector
load (const float *from)
{
  return *(const UnalignedVector *) from;
}

static inline void
store (float *to, Vector values)
{
  *(UnalignedVector *) to = values;
}

static inline Vector
splat (float value)
{
  return value - (Vector) { 0 };
}

static inline Vector
choose (Lanes mask, Vector yes, Vector no)
{
  return (Vector) ((mask & (Lanes) yes) | (~mask & (Lanes) no));
}

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

/* Lanes whose number, counted from `first`, is below `end`. */
static inline Lanes
lanes_below (size_t first, size_t end)
{
  Lanes number;

  for (int i = 0; i < LANES; i++)
    number[i] = i;
  return number < ((int32_t) (end - first) - (Lanes) { 0 });
}

/*
 * e^x for x <= 0: 2^n * e^r with |r| <= ln 2 / 2, and the Taylor polynomial of e^r (relative error below 2e-7).
 * Anything below -87 gives what -87 gives, which is 0 for a sum whose largest term is 1.
 */
static inline Vector
exponential (Vector x)
{
  const Vector round_to_integer = splat (12582912.0F); /* 1.5 * 2^23: its last mantissa bit is worth 1 */
  const Vector clamped = maximum (x, splat (-87.0F));
  const Vector shifted = clamped * splat (1.44269504F) + round_to_integer;
  const Vector n = shifted - round_to_integer;
  const Vector r = (clamped - n * splat (0.693359375F)) + n * splat (2.12194440e-4F); /* ln 2 in two parts */
  Vector p = splat (1.0F / 720);

  p = p * r + splat (1.0F / 120);
  p = p * r + splat (1.0F / 24);
  p = p * r + splat (1.0F / 6);
  p = p * r + splat (0.5F);
  p = p * r + splat (1.0F);
  p = p * r + splat (1.0F);
  return (Vector) ((Lanes) p + (((Lanes) shifted) << 23));
}

/*
 * x/2 * (1 + erf (x / sqrt 2)). The error function is a rational one, x P(x^2) / Q(x^2), fitted by us by reweighted
 * least squares on [-5.3, 5.3], beyond which it is 1 in a float; the result is within 1.5e-6 of the exact one.
 */
static inline Vector
gelu (Vector x)
{
  const Vector clamped = minimum (maximum (x, splat (-5.3F)), splat (5.3F));
  const Vector u = clamped * clamped;
  Vector p = splat (-3.521678948459339e-08F);
  Vector q = splat (0.0001566300925333053F);
  const Vector half = x * splat (0.5F);

  p = p * u + splat (1.2043547940265853e-05F);
  p = p * u + splat (0.0009309503948315978F);
  p = p * u + splat (0.012858596630394459F);
  p = p * u + splat (0.13063466548919678F);
  p = p * u + splat (0.7978832125663757F);
  q = q * u + splat (0.003565889084711671F);
  q = q * u + splat (0.04620037227869034F);
  q = q * u + splat (0.33038169145584106F);
  q = q * u + splat (1.0F);
  return half + half * (clamped * p / q);
}
