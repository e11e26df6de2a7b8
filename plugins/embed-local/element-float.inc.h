/* Elements that are floats: one product a lane and step. Included after vector.inc.h. */

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
