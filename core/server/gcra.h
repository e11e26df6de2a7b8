/* The generic cell rate algorithm (ITU-T I.371): one number says when the next request would be due if all came evenly.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <glib.h>

/* Whether a request may begin at `now` (monotonic µs), at `rate` > 0 requests a second on average and `burst` ≥ 1 at
 * once; otherwise `*retry_after` is the seconds until one may. `*due`: atomic, 0 in the beginning. [any] */
static inline gboolean
ragify_gcra_take (guint64 *due, double rate, guint burst, guint64 now, guint *retry_after)
{
  const guint64 step = MAX ((guint64)(G_USEC_PER_SEC / rate), 1), tolerance = step * (burst - 1);
  guint64 next = __atomic_load_n (due, __ATOMIC_RELAXED);
  while (TRUE) {
    const guint64 from = MAX (next, now);
    if (from - now > tolerance) {
      *retry_after = (guint)((from - now - tolerance + G_USEC_PER_SEC - 1) / G_USEC_PER_SEC);
      return FALSE;
    }
    if (__atomic_compare_exchange_n (due, &next, from + step, TRUE, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
      return TRUE;
  }
}
