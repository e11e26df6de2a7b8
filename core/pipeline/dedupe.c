/* SPDX-License-Identifier: MIT */
#include "core/pipeline/dedupe.h"

#include <string.h>
#include <xxhash.h>

#define FIRST_CAPACITY 32

void
ragify_dedupe_init (RagifyDedupe *dedupe, RagifyArena *arena)
{
  *dedupe = (RagifyDedupe){ .arena = arena };
}

guint64
ragify_dedupe_hash (RagifyStr content)
{
  return XXH3_64bits (content.data, content.size);
}

gboolean
ragify_dedupe_admit (RagifyDedupe *dedupe, guint64 hash)
{
  /* An answer has ten passages, at the most a thousand: comparing with each is quicker than a table. */
  for (guint i = 0; i < dedupe->count; i++)
    if (dedupe->hashes[i] == hash)
      return FALSE;
  if (dedupe->count == dedupe->capacity) {
    const guint capacity = MAX (dedupe->capacity * 2, FIRST_CAPACITY);
    guint64 *hashes = ragify_arena_alloc (dedupe->arena, capacity * sizeof *hashes);
    if (dedupe->count > 0)
      memcpy (hashes, dedupe->hashes, dedupe->count * sizeof *hashes);
    dedupe->hashes = hashes;
    dedupe->capacity = capacity;
  }
  dedupe->hashes[dedupe->count++] = hash;
  return TRUE;
}
