/* Memory in large pages where the system gives them, so that a random access need not wait for the page tables too.
 * All functions [any]. SPDX-License-Identifier: MIT */
#ifndef MEMORY_PAGES_H
#define MEMORY_PAGES_H

#include <stddef.h>

/* The size of a large page, bytes. */
#define MEMORY_LARGE_PAGE ((size_t)2 << 20)

/* `size` bytes of zeros at a multiple of `alignment` (a power of two, a page at least); from MEMORY_LARGE_PAGE on they
 * are meant to lie in large pages. NULL when memory is exhausted. Free with memory_pages_free() and the same size. */
void *memory_pages_new (size_t size, size_t alignment);
void memory_pages_free (void *memory, size_t size);

/* Gives pages back to the system; they read as zeros from now on. */
void memory_pages_drop (void *memory, size_t size);

#endif
