/* In the place of approximate.cc where FAISS was not found: every index but the exact one is refused. */
#include "approximate.h"

static bool
refuse (RagifyFault *fault)
{
  return ragify_fault_set (fault, RAGIFY_E_INVALID, "index: expected Flat, since this build was made without FAISS");
}

bool
ragify_approximate_available (RagifyFault *fault)
{
  return refuse (fault);
}

RagifyApproximate *
ragify_approximate_new (const char *name, uint32_t dimension, const float *sample, size_t count, RagifyFault *fault)
{
  (void)refuse (fault);
  return NULL;
}

void
ragify_approximate_free (RagifyApproximate *approximate)
{
}

bool
ragify_approximate_add (RagifyApproximate *approximate, const float *vectors, size_t count, RagifyFault *fault)
{
  return refuse (fault);
}

bool
ragify_approximate_finish (RagifyApproximate *approximate, uint64_t *order, RagifyFault *fault)
{
  return refuse (fault);
}

uint64_t
ragify_approximate_count (const RagifyApproximate *approximate)
{
  return 0;
}

uint64_t
ragify_approximate_bytes (const RagifyApproximate *approximate)
{
  return 0;
}

bool
ragify_approximate_search (const RagifyApproximate *approximate, const float *query, uint32_t wanted,
                           const uint64_t *allowed, uint64_t allowed_count, const RagifyApproximateTuning *tuning,
                           float *scores, int64_t *rows, uint32_t *found, RagifyFault *fault)
{
  return refuse (fault);
}

bool
ragify_approximate_row (const RagifyApproximate *approximate, uint64_t row, float *vector, RagifyFault *fault)
{
  return refuse (fault);
}

bool
ragify_approximate_write (const RagifyApproximate *approximate, FILE *stream, RagifyFault *fault)
{
  return refuse (fault);
}

RagifyApproximate *
ragify_approximate_read (FILE *stream, uint32_t dimension, RagifyFault *fault)
{
  (void)refuse (fault);
  return NULL;
}

RagifyApproximate *
ragify_approximate_map (RagifyMapping *mapping, size_t offset, uint32_t dimension, RagifyFault *fault)
{
  (void)refuse (fault);
  return NULL;
}
