/* SPDX-License-Identifier: MIT */
#include "core/balance/gradient.h"

#include <math.h>

#define WINDOW_US (100 * 1000)
#define WINDOW_SAMPLES 10u
#define TOLERANCE 2.0
#define SMOOTHING 0.2
#define LOOK_EVERY 200u /* windows */
#define LOOK_PART 4

static double
bounded (const RagifyGradient *gradient, double limit)
{
  return CLAMP (limit, MIN (RAGIFY_GRADIENT_LEAST, gradient->most), gradient->most);
}

void
ragify_gradient_init (RagifyGradient *gradient, guint most)
{
  *gradient = (RagifyGradient){ .most = most };
  gradient->limit = bounded (gradient, 0);
}

static void
end_window (RagifyGradient *gradient)
{
  const double mean = gradient->sum / gradient->samples;
  if (gradient->kept != 0) { /* this was the window of a look */
    gradient->best = mean;
    gradient->limit = gradient->kept;
    gradient->kept = 0;
    return;
  }
  gradient->best = gradient->best == 0 ? mean : MIN (gradient->best, mean);
  const double slope = CLAMP (TOLERANCE * gradient->best / mean, 0.5, 1);
  const gboolean used = gradient->peak + 1 >= (guint)gradient->limit;
  const double wanted = gradient->limit * slope + (used ? sqrt (gradient->limit) : 0);
  gradient->limit = bounded (gradient, gradient->limit + SMOOTHING * (wanted - gradient->limit));
  if (++gradient->windows % LOOK_EVERY != 0)
    return;
  gradient->kept = gradient->limit;
  gradient->limit = bounded (gradient, gradient->limit / LOOK_PART);
}

guint
ragify_gradient_sample (RagifyGradient *gradient, double duration_us, guint active, guint64 now)
{
  gradient->sum += duration_us;
  gradient->samples++;
  gradient->peak = MAX (gradient->peak, active);
  if (now >= gradient->window_end && gradient->samples >= WINDOW_SAMPLES) {
    end_window (gradient);
    gradient->sum = 0;
    gradient->samples = gradient->peak = 0;
    gradient->window_end = now + WINDOW_US;
  }
  return ragify_gradient_limit (gradient);
}

guint
ragify_gradient_limit (const RagifyGradient *gradient)
{
  return (guint)gradient->limit;
}
