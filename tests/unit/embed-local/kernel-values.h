/*
 * Numbers for tests of kernels, and memory as kernels want it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_KERNEL_VALUES_H
#define RAGIFY_KERNEL_VALUES_H

#include "kernels.h"

#include <glib.h>

/* The next of a sequence of numbers from -1 to 1, the same in each run. */
float kernel_random (void);

/* Zeros, aligned to 64 bytes, and not more of them than fill the last 64; to be freed by free(). */
void *kernel_allocate (gsize bytes);

gsize kernel_round_up (gsize value, gsize step);

/* Elements of either type from floats, which are rounded to what an element can hold, and back. */
void kernel_to_elements (const RagifyKernels *kernels, float *values, gsize count, void *elements);
double kernel_from_element (const RagifyKernels *kernels, const void *elements, gsize i);

#endif
