/* SPDX-License-Identifier: MIT */
#include "core/pipeline/token-counts.h"

#include <stdatomic.h>

#define SLOT_BITS 16
#define COUNT_BITS 24 /* of a slot; the rest is the hash */
#define COUNT_MASK ((1u << COUNT_BITS) - 1)

/* One word holds both hash and count, so that readers never see half of an entry. The slot's number stands for the low
 * bits of the hash, the word for the high ones. 0: empty. */
struct RagifyTokenCounts {
  _Atomic guint64 slots[1u << SLOT_BITS];
};

static guint
slot_of (guint64 hash)
{
  return (guint)(hash & ((1u << SLOT_BITS) - 1));
}

RagifyTokenCounts *
ragify_token_counts_new (void)
{
  return g_new0 (RagifyTokenCounts, 1); /* pages come from the system as they are touched */
}

void
ragify_token_counts_free (RagifyTokenCounts *counts)
{
  g_free (counts);
}

gboolean
ragify_token_counts_get (const RagifyTokenCounts *counts, guint64 hash, guint32 *tokens)
{
  const guint64 word = atomic_load_explicit (&counts->slots[slot_of (hash)], memory_order_relaxed);
  if (word == 0 || (word & ~(guint64)COUNT_MASK) != (hash & ~(guint64)COUNT_MASK))
    return FALSE;
  *tokens = (guint32)(word & COUNT_MASK);
  return TRUE;
}

void
ragify_token_counts_put (RagifyTokenCounts *counts, guint64 hash, guint32 tokens)
{
  const guint64 word = (hash & ~(guint64)COUNT_MASK) | MIN (tokens, COUNT_MASK);
  atomic_store_explicit (&counts->slots[slot_of (hash)], word, memory_order_relaxed);
}

guint32
ragify_token_estimate (guint64 bytes)
{
  return (guint32)MIN ((bytes + 3) / 4, G_MAXUINT32);
}
