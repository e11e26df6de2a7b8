/* Repeatable random numbers: xoshiro256++ (D. Blackman and S. Vigna, "Scrambled linear pseudorandom number generators",
 * ACM TOMS 2021), its state filled by splitmix64 as its authors advise. Not for secrets. Not thread-safe. */
#pragma once

#include <glib.h>

typedef struct {
  guint64 state[4];
} RagifyRandomSource;

void ragify_random_source_init (RagifyRandomSource *source, guint64 seed);
guint64 ragify_random_source_next (RagifyRandomSource *source);

/* Uniform in [0, 1), 53 bits. */
double ragify_random_source_next_double (RagifyRandomSource *source);
