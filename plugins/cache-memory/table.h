/* Entries by key: open addressing with linear probing over pointers, of a fixed size. Found without a lock, changed
 * under the owner's. SPDX-License-Identifier: MIT */
#ifndef MEMORY_TABLE_H
#define MEMORY_TABLE_H

#include "policy.h"

#include <ragify/ragify.h>

/* One cached value. But for the node nothing changes while it can be found. */
typedef struct MemoryEntry {
  MemoryNode node; /* first: the two are converted into each other; `user` is the key's size */
  uint64_t hash;
  RagifyBuffer *value;
  uint64_t expires_us; /* monotonic; 0: never */
  uint8_t key[];
} MemoryEntry;

typedef struct MemoryTable MemoryTable;

/* The bytes of a table for up to `entries`, a multiple of a cache line; 0: too many. */
uint64_t memory_table_size (uint64_t entries);

/* Makes one of so many zeros at a multiple of a cache line. They stay the caller's. */
MemoryTable *memory_table_init (void *zeros, uint64_t entries);

/* How many entries it takes. */
uint64_t memory_table_capacity (const MemoryTable *table);

/* Begins to fetch what memory_table_find() will read, without waiting. */
void memory_table_prefetch (const MemoryTable *table, uint64_t hash);

/* The entry of a key, or NULL. Without the lock it may answer NULL for a key that is being moved just then, if that
 * happens many times over; and what it finds stays valid only between memory_readers_enter and _leave. */
MemoryEntry *memory_table_find (MemoryTable *table, uint64_t hash, RagifyBytes key);

/* Under the lock: puts in a key that is not there (below capacity); takes an entry out; puts one in another's place. */
void memory_table_insert (MemoryTable *table, MemoryEntry *entry);
void memory_table_remove (MemoryTable *table, MemoryEntry *entry);
void memory_table_replace (MemoryTable *table, MemoryEntry *old_entry, MemoryEntry *entry);

/* Under the lock: what is at a place, 0 ≤ place < memory_table_places(); NULL: nothing. */
uint64_t memory_table_places (const MemoryTable *table);
MemoryEntry *memory_table_at (MemoryTable *table, uint64_t place);

#endif
