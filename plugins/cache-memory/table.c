/* SPDX-License-Identifier: MIT */
#include "table.h"

#include <stddef.h>
#include <string.h>

/* Bits that the addresses do not need carry bits of the hash, so that wrong entries are passed over without looking at
 * them: four where entries are multiples of 16, six more where only the value's cache line matters. */
#define TAG_MASK ((uintptr_t)15)
#define LINE 64
#define HINT_MASK ((uintptr_t)LINE - 1)
#define TRIES 64
_Static_assert(_Alignof(max_align_t) >= 16, "what malloc returns has four low bits to spare");

typedef struct Slot {
  _Atomic uintptr_t entry; /* with its tag; 0: nothing */
  _Atomic uintptr_t value; /* its line with more of the tag; never followed: fetched along with the entry, not after */
} Slot;

struct MemoryTable {
  uint64_t places;
  uint64_t capacity;
  _Atomic uint32_t version; /* odd while entries are being moved */
  _Alignas(LINE) Slot slots[];
};

static uint64_t
count_places (uint64_t entries)
{
  return entries + entries / 5 * 2 + 8;
}

uint64_t
memory_table_size (uint64_t entries)
{
  if (entries > UINT32_MAX / 2)
    return 0;
  const uint64_t size = sizeof (MemoryTable) + count_places (entries) * sizeof (Slot);
  return (size + LINE - 1) / LINE * LINE;
}

MemoryTable *
memory_table_init (void *zeros, uint64_t entries)
{
  MemoryTable *table = zeros;
  table->places = count_places (entries);
  table->capacity = table->places - table->places / 8 - 1;
  return table;
}

uint64_t
memory_table_capacity (const MemoryTable *table)
{
  return table->capacity;
}

uint64_t
memory_table_places (const MemoryTable *table)
{
  return table->places;
}

static uint64_t
find_home (const MemoryTable *table, uint64_t hash)
{
  return ((hash & UINT32_MAX) * table->places) >> 32;
}

static uint64_t
next_place (const MemoryTable *table, uint64_t place)
{
  return place + 1 < table->places ? place + 1 : 0;
}

static uintptr_t
make_slot (const MemoryEntry *entry)
{
  return (uintptr_t)entry | (uintptr_t)(entry->hash >> 55 & TAG_MASK);
}

static MemoryEntry *
slot_entry (uintptr_t slot)
{
  return (MemoryEntry *)(slot & ~TAG_MASK);
}

static uintptr_t
make_hint (const MemoryEntry *entry)
{
  return ((uintptr_t)entry->value & ~HINT_MASK) | (uintptr_t)(entry->hash >> 49 & HINT_MASK);
}

void
memory_table_prefetch (const MemoryTable *table, uint64_t hash)
{
  /* Where the place is in the second half of its cache line, the search often goes on in the next one. */
  const Slot *home = &table->slots[find_home (table, hash)];
  __builtin_prefetch (home);
  __builtin_prefetch ((const char *)home + LINE / 2);
}

/* The host's keys have 16 bytes: two words, compared without a call. */
static bool
is_same (const uint8_t *key, RagifyBytes other)
{
  uint64_t words[2], others[2];
  if (other.size != sizeof words)
    return memcmp (key, other.data, other.size) == 0;
  memcpy (words, key, sizeof words);
  memcpy (others, other.data, sizeof others);
  return words[0] == others[0] && words[1] == others[1];
}

static bool
is_key (const MemoryEntry *entry, uint64_t hash, RagifyBytes key)
{
  return entry->hash == hash && entry->node.user == key.size && is_same (entry->key, key);
}

static MemoryEntry *
probe (MemoryTable *table, uint64_t hash, RagifyBytes key)
{
  const uintptr_t tag = hash >> 55, hint_tag = hash >> 49;
  Slot *place = &table->slots[find_home (table, hash)];
  const Slot *end = &table->slots[table->places];
  for (uint64_t left = table->places; left > 0; left--) {
    const uintptr_t slot = atomic_load (&place->entry);
    if (slot == 0)
      return NULL;
    const uintptr_t hint = atomic_load_explicit (&place->value, memory_order_relaxed);
    if (((slot ^ tag) & TAG_MASK) == 0 && ((hint ^ hint_tag) & HINT_MASK) == 0) {
      MemoryEntry *entry = slot_entry (slot);
      /* Its count is about to be raised. Two cache misses at once take as long as one. */
      __builtin_prefetch ((const void *)(hint & ~HINT_MASK), 1);
      __builtin_prefetch (entry, 1);
      if (is_key (entry, hash, key))
        return entry;
    }
    if (++place == end)
      place = table->slots;
  }
  return NULL;
}

MemoryEntry *
memory_table_find (MemoryTable *table, uint64_t hash, RagifyBytes key)
{
  for (int i = 0; i < TRIES; i++) {
    const uint32_t before = atomic_load (&table->version);
    MemoryEntry *entry = probe (table, hash, key);
    /* What was not found may have been on its way from a place not yet looked at to one looked at before. */
    if (entry != NULL || (before % 2 == 0 && before == atomic_load (&table->version)))
      return entry;
  }
  return NULL;
}

static uint64_t
find_place (const MemoryTable *table, const MemoryEntry *entry)
{
  uint64_t place = find_home (table, entry->hash);
  while (slot_entry (atomic_load_explicit (&table->slots[place].entry, memory_order_relaxed)) != entry)
    place = next_place (table, place);
  return place;
}

static void
fill (Slot *slot, const MemoryEntry *entry)
{
  atomic_store_explicit (&slot->value, make_hint (entry), memory_order_relaxed);
  atomic_store (&slot->entry, make_slot (entry));
}

void
memory_table_insert (MemoryTable *table, MemoryEntry *entry)
{
  uint64_t place = find_home (table, entry->hash);
  while (atomic_load_explicit (&table->slots[place].entry, memory_order_relaxed) != 0)
    place = next_place (table, place);
  fill (&table->slots[place], entry);
}

void
memory_table_replace (MemoryTable *table, MemoryEntry *old_entry, MemoryEntry *entry)
{
  fill (&table->slots[find_place (table, old_entry)], entry);
}

void
memory_table_remove (MemoryTable *table, MemoryEntry *entry)
{
  /* Closes the gap, so that there are no tombstones and probes stay short for ever (Knuth, TAOCP 3, 6.4, algorithm R).
   */
  uint64_t gap = find_place (table, entry);
  const uint32_t version = atomic_load_explicit (&table->version, memory_order_relaxed);
  atomic_store (&table->version, version + 1);
  for (uint64_t place = next_place (table, gap);; place = next_place (table, place)) {
    const uintptr_t slot = atomic_load_explicit (&table->slots[place].entry, memory_order_relaxed);
    if (slot == 0)
      break;
    const uint64_t home = find_home (table, slot_entry (slot)->hash);
    const bool reachable = gap <= place ? gap < home && home <= place : gap < home || home <= place;
    if (reachable)
      continue;
    fill (&table->slots[gap], slot_entry (slot));
    gap = place;
  }
  atomic_store (&table->slots[gap].entry, 0);
  atomic_store (&table->version, version + 2);
}

MemoryEntry *
memory_table_at (MemoryTable *table, uint64_t place)
{
  return slot_entry (atomic_load_explicit (&table->slots[place].entry, memory_order_relaxed));
}
