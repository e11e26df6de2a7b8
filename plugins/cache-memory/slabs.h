/* Memory for small things of one size, a cache line each, in blocks that lie in large pages. All functions [any].
 * SPDX-License-Identifier: MIT */
#ifndef MEMORY_SLABS_H
#define MEMORY_SLABS_H

#include <stdint.h>

/* Bytes of one item, and what it is a multiple of. */
#define MEMORY_SLAB_ITEM 64

typedef struct MemorySlabs MemorySlabs;

/* For about `items`. NULL when memory is exhausted. */
MemorySlabs *memory_slabs_new (uint64_t items);

/* All items are free. */
void memory_slabs_free (MemorySlabs *slabs);

/* An item of undefined contents; NULL when memory is exhausted. */
void *memory_slabs_take (MemorySlabs *slabs);
void memory_slabs_give (MemorySlabs *slabs, void *item);

/* Returns to the system what no item lies in: whole blocks, and pages of the others. */
void memory_slabs_trim (MemorySlabs *slabs);

#endif
