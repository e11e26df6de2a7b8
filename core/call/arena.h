/* An arena: memory that is allocated piece by piece and freed all at once.
 *
 * SPDX-License-Identifier: MIT
 *
 * One thread at a time. Blocks double in size from the first; large pieces get a block of their own.
 */
#pragma once

#include <glib.h>

typedef struct RagifyArena RagifyArena;

/* A new arena; nothing is allocated until it is used. `limit` bounds its bytes in all; 0: no bound. [any] */
RagifyArena *ragify_arena_new (gsize limit);
void ragify_arena_free (RagifyArena *arena);

/* `size` zeroed bytes, aligned to 16, or to 64 when size ≥ 64. NULL when the limit is reached (never for lack of
 * memory: that ends the process, as everywhere with GLib). */
void *ragify_arena_alloc (RagifyArena *arena, gsize size);

/* A copy of `size` bytes with a NUL after them; NULL when the limit is reached. */
char *ragify_arena_copy (RagifyArena *arena, const void *data, gsize size);

/* Moves all of `other`'s blocks into `arena`; what was allocated there stays where it is. `other` is freed. */
void ragify_arena_graft (RagifyArena *arena, RagifyArena *other);

/* Bytes taken from the system so far. */
gsize ragify_arena_size (const RagifyArena *arena);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyArena, ragify_arena_free)
