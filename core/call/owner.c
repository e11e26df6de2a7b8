/* SPDX-License-Identifier: MIT */
#include "core/call/owner.h"

RagifyOwner *
ragify_owner_new (gsize size, void (*clear) (RagifyOwner *owner))
{
  RagifyArena *arena = ragify_arena_new (0);
  RagifyOwner *owner = ragify_arena_alloc (arena, size);
  owner->references = 1;
  owner->arena = arena;
  owner->clear = clear;
  return owner;
}

RagifyOwner *
ragify_owner_ref (RagifyOwner *owner)
{
  g_atomic_int_inc (&owner->references);
  return owner;
}

void
ragify_owner_unref (RagifyOwner *owner)
{
  if (!g_atomic_int_dec_and_test (&owner->references))
    return;
  if (owner->clear != NULL)
    owner->clear (owner);
  if (owner->spot.trace != NULL)
    ragify_trace_spot_clear (&owner->spot);
  ragify_arena_free (owner->arena); /* and with it the owner */
}
