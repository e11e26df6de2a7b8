#include "base.h"

#include <stdlib.h>
#include <string.h>

bool
ragify_base_init (RagifyBase *base, uint64_t room, RagifyFault *fault)
{
  *base = (RagifyBase){ 0 };
  base->ids = malloc ((room + 1) * sizeof *base->ids);
  base->metadata = malloc ((room + 1) * sizeof *base->metadata);
  base->own_chunks = malloc ((room + 1) * sizeof *base->own_chunks);
  base->chunks = base->own_chunks;
  if (base->ids != NULL && base->metadata != NULL && base->own_chunks != NULL)
    return true;
  ragify_base_clear (base);
  return ragify_fault_memory (fault);
}

void
ragify_base_clear (RagifyBase *base)
{
  ragify_approximate_free (base->approximate);
  free (base->ids);
  free (base->metadata);
  free (base->own_chunks);
  *base = (RagifyBase){ 0 };
}

bool
ragify_base_reorder (RagifyBase *base, const uint64_t *order, RagifyFault *fault)
{
  RagifyBase fresh;
  if (!ragify_base_init (&fresh, base->count, fault))
    return false;
  for (uint64_t row = 0; row < base->count; row++) {
    fresh.ids[row] = base->ids[order[row]];
    fresh.metadata[row] = base->metadata[order[row]];
    fresh.own_chunks[row] = base->chunks[order[row]];
  }
  fresh.count = base->count;
  fresh.approximate = base->approximate;
  base->approximate = NULL;
  ragify_base_clear (base);
  *base = fresh;
  return true;
}
