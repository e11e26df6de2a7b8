/* An owner: the reference-counted thing on whose behalf calls are made, such as a request.
 *
 * SPDX-License-Identifier: MIT
 *
 * It is the first member of a larger struct, and that struct lives in its arena, and so do the calls made for it and
 * their arguments. A call under way holds a reference, so what a plugin was given stays valid until it completes, also
 * when nobody waits any more.
 */
#pragma once

#include "arena.h"
#include "core/observe/trace.h"

typedef struct RagifyOwner RagifyOwner;

struct RagifyOwner {
  gint references;                    /* atomic */
  RagifyArena *arena;                 /* used on the owner's home thread only */
  void (*clear) (RagifyOwner *owner); /* releases what is not in the arena; NULL: nothing */
  RagifyTraceSpot spot;               /* what its calls are a part of; set before the first of them */
};

/* An owner of `size` ≥ sizeof (RagifyOwner) zeroed bytes with one reference. [any] */
RagifyOwner *ragify_owner_new (gsize size, void (*clear) (RagifyOwner *owner));
RagifyOwner *ragify_owner_ref (RagifyOwner *owner);
void ragify_owner_unref (RagifyOwner *owner);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyOwner, ragify_owner_unref)
