/* What every test program here starts with: cmocka, and its results as TAP. */
#pragma once

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <math.h>

/* cmocka 1.1.5 compares no doubles. */
static inline void
assert_close (double found, double expected, double tolerance)
{
  if (fabs (found - expected) <= tolerance)
    return;
  print_message ("# found %.17g, expected %.17g within %g\n", found, expected, tolerance);
  fail ();
}
