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
ragify_mapping_leave (const RagifyMapping *mapping, size_t offset, size_t size)
{
  const size_t page = (size_t)sysconf (_SC_PAGESIZE);
  const size_t first = (offset + page - 1) / page * page, past = (offset + size) / page * page;
  if (first < past)
    (void)madvise ((void *)(mapping->bytes + first), past - first, MADV_DONTNEED);
}

void
ragify_mapping_close (RagifyMapping *mapping)
{
  if (mapping->bytes != NULL)
    (void)munmap ((void *)mapping->bytes, mapping->size);
  *mapping = (RagifyMapping){ 0 };
}
