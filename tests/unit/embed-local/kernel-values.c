/* SPDX-License-Identifier: MIT */
#include "kernel-values.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static guint32 random_state = 1;

float
kernel_random (void)
{
  random_state = random_state * 1664525 + 1013904223;
  return (float)(random_state >> 8) / (float)(1 << 23) - 1;
}

void *
kernel_allocate (gsize bytes)
{
  const gsize size = MAX ((bytes + 63) / 64 * 64, 64);
  void *const memory = aligned_alloc (64, size);

  assert_non_null (memory);
  memset (memory, 0, size);
  return memory;
}

gsize
kernel_round_up (gsize value, gsize step)
{
  return (value + step - 1) / step * step;
}

void
kernel_to_elements (const RagifyKernels *kernels, float *values, gsize count, void *elements)
{
  for (gsize i = 0; i < count; i++) {
    guint32 bits;

    memcpy (&bits, &values[i], sizeof bits);
    if (kernels->element_size == 2) {
      const guint16 half = (guint16)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);

      memcpy ((char *)elements + 2 * i, &half, sizeof half);
      bits = (guint32)half << 16;
      memcpy (&values[i], &bits, sizeof bits);
    } else
      memcpy ((char *)elements + 4 * i, &values[i], sizeof values[i]);
  }
}

double
kernel_from_element (const RagifyKernels *kernels, const void *elements, gsize i)
{
  float value;

  if (kernels->element_size == 4)
    memcpy (&value, (const char *)elements + 4 * i, sizeof value);
  else {
    guint32 bits = 0;

    memcpy ((char *)&bits + 2, (const char *)elements + 2 * i, 2);
    memcpy (&value, &bits, sizeof value);
  }
  return (double)value;
}
