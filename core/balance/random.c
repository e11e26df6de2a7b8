/* SPDX-License-Identifier: MIT */
#include "core/balance/random.h"

guint64
ragify_random (void)
{
  static _Thread_local guint64 state;
  if (state == 0)
    state = (guint64)g_random_int () << 32 | g_random_int ();
  guint64 z = state += 0x9E3779B97F4A7C15u;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  return z ^ z >> 31;
}
