/*
 * Elements that are floats: one product a lane and step. Included after vector.inc.h.
 *
 * SPDX-License-Identifier: MIT
 */

typedef float Element;
typedef Vector Operand;

enum { DEPTH_STEP = 1 };

static inline Operand
load_operand (const Element *from)
{
  return load (from);
}

static inline Operand
broadcast_operand (const Element *from)
{
  return splat (*from);
}

static inline Vector
multiply_add (Vector sum, Operand left, Operand right)
{
  return sum + left * right;
}

static inline void
store_elements (Element *to, Vector values)
{
  store (to, values);
}

static inline Vector
load_elements (const Element *from)
{
  return load (from);
}

/* A row of weights for one step of one panel: here each element stands alone. */
static inline void
pair_elements (Element *to, const Element *first, const Element *second, size_t count)
{
  (void)second;
  memcpy (to, first, count * sizeof *to);
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
  const Vector half = x * splat (0.5F);
  Vector p = splat (-3.521678948459339e-08F);
  Vector q = splat (0.0001566300925333053F);

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
