#include "mapping.h"

#include <sys/mman.h>
#include <unistd.h>

bool
ragify_mapping_open (RagifyMapping *mapping, int file, size_t size)
{
  void *bytes = mmap (NULL, size, PROT_READ, MAP_PRIVATE, file, 0);
  if (bytes == MAP_FAILED)
    return false;
  *mapping = (RagifyMapping){ .bytes = bytes, .size = size };
  return true;
}

void
ragify_mapping_leave (const void *from, size_t size)
{
  const uintptr_t page = (uintptr_t)sysconf (_SC_PAGESIZE), begin = (uintptr_t)from;
  const uintptr_t first = (begin + page - 1) / page * page, past = (begin + size) / page * page;
  if (first < past)
    (void)madvise ((char *)from + (first - begin), past - first, MADV_DONTNEED);
}

void
ragify_mapping_close (RagifyMapping *mapping)
{
  if (mapping->bytes != NULL)
    (void)munmap ((void *)mapping->bytes, mapping->size);
  *mapping = (RagifyMapping){ 0 };
}
