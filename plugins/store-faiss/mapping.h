/* A file as it lies in memory: read by the kernel where it is looked at, and given back to it under pressure. */
#ifndef RAGIFY_MAPPING_H
#define RAGIFY_MAPPING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct RagifyMapping {
  const uint8_t *bytes; /* begins on a page; NULL: none */
  size_t size;
} RagifyMapping;

/* Maps the first `size` bytes of a file that is only ever replaced, never changed; false with errno. */
bool ragify_mapping_open (RagifyMapping *mapping, int file, size_t size);

/* Nothing of this part of a mapping is going to be looked at soon. */
void ragify_mapping_leave (const void *from, size_t size);

void ragify_mapping_close (RagifyMapping *mapping);

#ifdef __cplusplus
}
#endif
#endif
