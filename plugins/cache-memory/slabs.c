/* SPDX-License-Identifier: MIT
 *
 * A block is aligned to its size, so that an item's address tells the block. It begins with its head and a bitmap in
 * which each word stands for one page: 64 items of 64 bytes. A word of ones is a page that can be given back. */
#include "slabs.h"

#include "pages.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(memory, size) ((void)(memory), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(memory, size) ((void)(memory), (void)(size))
#endif

#define PAGE_SIZE ((size_t)4096)
#define PAGE_ITEMS 64
#define BLOCK_MIN ((size_t)64 << 10)
_Static_assert(PAGE_ITEMS *MEMORY_SLAB_ITEM == PAGE_SIZE, "one word of the bitmap is one page");

typedef struct Block {
  struct Block *next; /* of those that have a free item, or of all in trim() */
  struct Block *previous;
  uint64_t free;  /* items */
  uint64_t first; /* no word before this one has a free item */
  uint64_t words[];
} Block;

struct MemorySlabs {
  size_t block_size;
  uint64_t pages;       /* of a block */
  uint64_t head;        /* items that a block's head takes */
  pthread_mutex_t lock; /* guards the rest */
  Block *open;          /* blocks with a free item */
};

MemorySlabs *
memory_slabs_new (uint64_t items)
{
  MemorySlabs *slabs = calloc (1, sizeof *slabs);
  if (slabs == NULL)
    return NULL;
  slabs->block_size = BLOCK_MIN;
  while (slabs->block_size < MEMORY_LARGE_PAGE && slabs->block_size / MEMORY_SLAB_ITEM < items)
    slabs->block_size *= 2;
  slabs->pages = slabs->block_size / PAGE_SIZE;
  slabs->head = (sizeof (Block) + slabs->pages * sizeof (uint64_t) + MEMORY_SLAB_ITEM - 1) / MEMORY_SLAB_ITEM;
  pthread_mutex_init (&slabs->lock, NULL);
  return slabs;
}

static uint64_t
block_items (const MemorySlabs *slabs)
{
  return slabs->pages * PAGE_ITEMS - slabs->head;
}

static void
open_block (MemorySlabs *slabs, Block *block)
{
  block->previous = NULL;
  block->next = slabs->open;
  if (slabs->open != NULL)
    slabs->open->previous = block;
  slabs->open = block;
}

static void
close_block (MemorySlabs *slabs, Block *block)
{
  if (block->previous != NULL)
    block->previous->next = block->next;
  else
    slabs->open = block->next;
  if (block->next != NULL)
    block->next->previous = block->previous;
}

static void
free_block (MemorySlabs *slabs, Block *block)
{
  close_block (slabs, block);
  ASAN_UNPOISON_MEMORY_REGION (block, slabs->block_size);
  memory_pages_free (block, slabs->block_size);
}

/* A bit of 1 is a free item. */
static Block *
make_block (MemorySlabs *slabs)
{
  Block *block = memory_pages_new (slabs->block_size, slabs->block_size);
  if (block == NULL)
    return NULL;
  for (uint64_t i = 0; i < slabs->pages; i++)
    block->words[i] = UINT64_MAX;
  for (uint64_t i = 0; i < slabs->head; i++)
    block->words[i / PAGE_ITEMS] &= ~(UINT64_C (1) << i % PAGE_ITEMS);
  block->free = block_items (slabs);
  block->first = slabs->head / PAGE_ITEMS;
  ASAN_POISON_MEMORY_REGION ((uint8_t *)block + slabs->head * MEMORY_SLAB_ITEM, block->free * MEMORY_SLAB_ITEM);
  open_block (slabs, block);
  return block;
}

void
memory_slabs_free (MemorySlabs *slabs)
{
  if (slabs == NULL)
    return;
  while (slabs->open != NULL)
    free_block (slabs, slabs->open);
  pthread_mutex_destroy (&slabs->lock);
  free (slabs);
}

void *
memory_slabs_take (MemorySlabs *slabs)
{
  void *item = NULL;
  pthread_mutex_lock (&slabs->lock);
  Block *block = slabs->open != NULL ? slabs->open : make_block (slabs);
  if (block != NULL) {
    while (block->words[block->first] == 0)
      block->first++;
    const uint64_t index = block->first * PAGE_ITEMS + (uint64_t)__builtin_ctzll (block->words[block->first]);
    block->words[block->first] &= block->words[block->first] - 1;
    if (--block->free == 0)
      close_block (slabs, block);
    item = (uint8_t *)block + index * MEMORY_SLAB_ITEM;
    ASAN_UNPOISON_MEMORY_REGION (item, MEMORY_SLAB_ITEM);
  }
  pthread_mutex_unlock (&slabs->lock);
  return item;
}

void
memory_slabs_give (MemorySlabs *slabs, void *item)
{
  const uintptr_t offset = (uintptr_t)item & (slabs->block_size - 1);
  Block *block = (Block *)(void *)((uint8_t *)item - offset);
  const uint64_t index = offset / MEMORY_SLAB_ITEM;
  pthread_mutex_lock (&slabs->lock);
  ASAN_POISON_MEMORY_REGION (item, MEMORY_SLAB_ITEM);
  block->words[index / PAGE_ITEMS] |= UINT64_C (1) << index % PAGE_ITEMS;
  if (index / PAGE_ITEMS < block->first)
    block->first = index / PAGE_ITEMS;
  if (block->free++ == 0)
    open_block (slabs, block);
  pthread_mutex_unlock (&slabs->lock);
}

static void
trim_block (const MemorySlabs *slabs, Block *block)
{
  for (uint64_t first = 0; first < slabs->pages;) {
    uint64_t end = first;
    while (end < slabs->pages && block->words[end] == UINT64_MAX)
      end++;
    if (end > first)
      memory_pages_drop ((uint8_t *)block + first * PAGE_SIZE, (end - first) * PAGE_SIZE);
    first = end + 1;
  }
}

void
memory_slabs_trim (MemorySlabs *slabs)
{
  pthread_mutex_lock (&slabs->lock);
  for (Block *block = slabs->open, *next; block != NULL; block = next) {
    next = block->next;
    if (block->free == block_items (slabs))
      free_block (slabs, block);
    else
      trim_block (slabs, block);
  }
  pthread_mutex_unlock (&slabs->lock);
}
