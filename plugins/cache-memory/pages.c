/* SPDX-License-Identifier: MIT */
#include "pages.h"

#include <stdint.h>
#include <sys/mman.h>

void *
memory_pages_new (size_t size, size_t alignment)
{
  if (size == 0 || size > SIZE_MAX - alignment)
    return NULL;
  uint8_t *memory = mmap (NULL, size + alignment, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return NULL;
  const size_t before = (alignment - ((uintptr_t)memory & (alignment - 1))) & (alignment - 1);
  if (before > 0)
    munmap (memory, before);
  munmap (memory + before + size, alignment - before);
  memory += before;
  if (size >= MEMORY_LARGE_PAGE)
    (void)madvise (memory, size, MADV_HUGEPAGE); /* without it everything works, only slower */
  return memory;
}

void
memory_pages_free (void *memory, size_t size)
{
  if (memory != NULL)
    munmap (memory, size);
}

void
memory_pages_drop (void *memory, size_t size)
{
  (void)madvise (memory, size, MADV_DONTNEED);
}
