/* An adaptive limit of concurrency, by how the time of one piece of work changes with it.
 *
 * SPDX-License-Identifier: MIT
 *
 * After Gradient2 of Netflix's concurrency-limits, itself after TCP Vegas (Brakmo and Peterson 1995): each window
 *   limit = limit × clamp (2 × best ÷ now, 0.5, 1) + √limit,  smoothed
 * where `now` is the window's mean and `best` the mean while little was under way: at the beginning, and each 200
 * windows for one window in which the limit is a quarter. It grows only while it is used.
 */
#pragma once

#include <glib.h>

#define RAGIFY_GRADIENT_LEAST 4.0

typedef struct RagifyGradient {
  double most, limit, best;
  double sum, kept; /* kept: the limit while it is cut to look for the best */
  guint samples, peak, windows;
  guint64 window_end;
} RagifyGradient;

/* Begins at four, never exceeds `most`, and is never below four unless `most` is. */
void ragify_gradient_init (RagifyGradient *gradient, guint most);
/* A piece of work took `duration_us`, while `active` were under way. Returns the limit from now on. */
guint ragify_gradient_sample (RagifyGradient *gradient, double duration_us, guint active, guint64 now);
guint ragify_gradient_limit (const RagifyGradient *gradient);
