/* SPDX-License-Identifier: MIT */
#include "core/call/arena.h"

#include <string.h>

#define FIRST_BLOCK 4096
#define LARGEST_BLOCK (256 * 1024)

typedef struct Block Block;

struct Block {
  Block *next;
  gsize size; /* of the bytes behind the head */
  gsize used;
  gsize padding;
};

struct RagifyArena {
  Block *blocks; /* the first is the one in use */
  gsize next_size;
  gsize total;
  gsize limit;
};

static guint8 *
block_bytes (Block *block)
{
  return (guint8 *)(block + 1);
}

static Block *
block_new (RagifyArena *arena, gsize size)
{
  if (arena->limit != 0 && (size > arena->limit || arena->total > arena->limit - size))
    return NULL;
  Block *block = g_malloc (sizeof *block + size);
  block->size = size;
  block->used = 0;
  arena->total += size;
  return block;
}

RagifyArena *
ragify_arena_new (gsize limit)
{
  RagifyArena *arena = g_new0 (RagifyArena, 1);
  arena->next_size = FIRST_BLOCK - sizeof (Block);
  arena->limit = limit;
  return arena;
}

void
ragify_arena_free (RagifyArena *arena)
{
  for (Block *block = arena->blocks; block != NULL;) {
    Block *next = block->next;
    g_free (block);
    block = next;
  }
  g_free (arena);
}

/* A piece of the block, or NULL where it does not fit. */
static void *
take (Block *block, gsize size, gsize align)
{
  guint8 *bytes = block_bytes (block);
  const gsize start = ((gsize)(bytes + block->used) + align - 1) / align * align - (gsize)bytes;
  if (start > block->size || size > block->size - start)
    return NULL;
  block->used = start + size;
  return memset (bytes + start, 0, size);
}

void *
ragify_arena_alloc (RagifyArena *arena, gsize size)
{
  const gsize align = size >= 64 ? 64 : 16;
  if (size > G_MAXSIZE / 4)
    return NULL;
  void *piece = arena->blocks != NULL ? take (arena->blocks, size, align) : NULL;
  if (piece != NULL)
    return piece;

  const gboolean large = size + align > arena->next_size / 2;
  Block *block = block_new (arena, large ? size + align : arena->next_size);
  if (block == NULL)
    return NULL;
  if (large && arena->blocks != NULL) { /* a block of its own, behind the one in use, which still has room */
    block->next = arena->blocks->next;
    arena->blocks->next = block;
  } else {
    block->next = arena->blocks;
    arena->blocks = block;
    arena->next_size = MIN (arena->next_size * 2, LARGEST_BLOCK);
  }
  return take (block, size, align);
}

char *
ragify_arena_copy (RagifyArena *arena, const void *data, gsize size)
{
  char *copy = ragify_arena_alloc (arena, size + 1);
  if (copy != NULL && size > 0)
    memcpy (copy, data, size);
  return copy;
}

void
ragify_arena_graft (RagifyArena *arena, RagifyArena *other)
{
  Block *last = other->blocks;
  if (last != NULL) {
    while (last->next != NULL)
      last = last->next;
    if (arena->blocks == NULL) {
      arena->blocks = other->blocks;
    } else {
      last->next = arena->blocks->next;
      arena->blocks->next = other->blocks;
    }
    arena->total += other->total;
  }
  g_free (other);
}

gsize
ragify_arena_size (const RagifyArena *arena)
{
  return arena->total;
}
