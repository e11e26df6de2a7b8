/* SPDX-License-Identifier: MIT */
#include "core/call/handle.h"

#include <pthread.h>
#include <stdatomic.h>

#define SEGMENT_SLOTS 1024u
#define SEGMENTS 4096u /* 4 M calls at once */
#define CACHED 32u     /* free slots that a thread keeps for itself */

/* `word`: generation << 3 | cancelled << 2 | state. */
enum { STATE = 3, CANCELLED = 4, SHIFT = 3 };

typedef struct Slot {
  _Atomic guint64 word;
  _Atomic guint64 deadline;
  _Atomic (RagifyCall *) call;
  _Atomic (RagifyTally *) tally;
} Slot;

static struct {
  pthread_mutex_t lock; /* guards `free` and `count` */
  GArray *free;         /* slot numbers */
  guint count;          /* slots made so far */
  _Atomic (Slot *) segments[SEGMENTS];
} table = { .lock = PTHREAD_MUTEX_INITIALIZER };

typedef struct Cache {
  guint count;
  guint32 numbers[CACHED * 2];
} Cache;

static _Thread_local Cache cache;
static pthread_key_t cache_end; /* a thread that ends gives back what it kept */

G_STATIC_ASSERT (sizeof (void *) == 8);

/* A handle is generation << 24 | number, with the lowest bit of the number's field never making it NULL: generations
 * begin at 1. */
static RagifyCall *
to_handle (guint32 number, guint64 generation)
{
  return (RagifyCall *)(guintptr)(generation << 24 | number); /* NOLINT: never dereferenced */
}

static Slot *
slot_of (RagifyCall *handle, guint64 *generation)
{
  const guint64 value = (guint64)(guintptr)handle;
  const guint32 number = value & 0xffffff;
  *generation = value >> 24;
  if (number / SEGMENT_SLOTS >= SEGMENTS)
    return NULL;
  Slot *segment = atomic_load_explicit (&table.segments[number / SEGMENT_SLOTS], memory_order_acquire);
  return segment != NULL ? &segment[number % SEGMENT_SLOTS] : NULL;
}

/* With the lock held. */
static void
add_segment (void)
{
  g_assert (table.count / SEGMENT_SLOTS < SEGMENTS);
  Slot *segment = g_new0 (Slot, SEGMENT_SLOTS);
  atomic_store_explicit (&table.segments[table.count / SEGMENT_SLOTS], segment, memory_order_release);
  for (guint32 i = 0; i < SEGMENT_SLOTS; i++) {
    const guint32 number = table.count++;
    g_array_append_val (table.free, number);
  }
}

static void
empty_cache (void *data)
{
  Cache *ending = data;
  pthread_mutex_lock (&table.lock);
  g_array_append_vals (table.free, ending->numbers, ending->count);
  ending->count = 0;
  pthread_mutex_unlock (&table.lock);
}

static void
make_cache_end (void)
{
  pthread_key_create (&cache_end, empty_cache);
}

/* Before a thread keeps slots. */
static void
prepare_cache (void)
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once (&once, make_cache_end);
  pthread_setspecific (cache_end, &cache);
}

static void
fill_cache (void)
{
  prepare_cache ();
  pthread_mutex_lock (&table.lock);
  if (table.free == NULL)
    table.free = g_array_new (FALSE, FALSE, sizeof (guint32));
  while (cache.count < CACHED) {
    if (table.free->len == 0)
      add_segment ();
    cache.numbers[cache.count++] = g_array_index (table.free, guint32, table.free->len - 1);
    g_array_set_size (table.free, table.free->len - 1);
  }
  pthread_mutex_unlock (&table.lock);
}

RagifyCall *
ragify_handle_new (RagifyCall *call, RagifyTally *tally, guint64 deadline)
{
  if (cache.count == 0)
    fill_cache ();
  const guint32 number = cache.numbers[--cache.count];
  guint64 unused;
  Slot *slot = slot_of (to_handle (number, 0), &unused);
  const guint64 generation =
      ((atomic_load_explicit (&slot->word, memory_order_relaxed) >> SHIFT) + 1) & G_GUINT64_CONSTANT (0xffffffffff);
  atomic_store_explicit (&slot->call, call, memory_order_relaxed);
  atomic_store_explicit (&slot->tally, tally, memory_order_relaxed);
  atomic_store_explicit (&slot->deadline, deadline, memory_order_relaxed);
  atomic_store_explicit (&slot->word, MAX (generation, 1) << SHIFT | RAGIFY_HANDLE_OPEN, memory_order_release);
  return to_handle (number, MAX (generation, 1));
}

RagifyCall *
ragify_handle_call (RagifyCall *handle)
{
  guint64 generation;
  Slot *slot = slot_of (handle, &generation);
  if (slot == NULL)
    return NULL;
  const guint64 word = atomic_load_explicit (&slot->word, memory_order_acquire);
  if (word >> SHIFT != generation || (word & STATE) == RAGIFY_HANDLE_GONE)
    return NULL;
  return atomic_load_explicit (&slot->call, memory_order_relaxed);
}

/* Moves the handle from one of two states to another, keeping or setting the cancelled bit; FALSE when it is in
 * neither. */
static gboolean
change (RagifyCall *handle, gboolean also_abandoned, guint64 state, guint64 bits, guint64 *before)
{
  guint64 generation;
  Slot *slot = slot_of (handle, &generation);
  if (slot == NULL)
    return FALSE;
  guint64 word = atomic_load_explicit (&slot->word, memory_order_acquire);
  for (;;) {
    const guint64 found = word & STATE;
    if (word >> SHIFT != generation || found == RAGIFY_HANDLE_GONE ||
        (found == RAGIFY_HANDLE_ABANDONED && !also_abandoned))
      return FALSE;
    const guint64 next = (word & ~(guint64)STATE) | (state != STATE ? state : found) | bits;
    *before = found;
    if (atomic_compare_exchange_weak (&slot->word, &word, next))
      return TRUE;
  }
}

gboolean
ragify_handle_abandon (RagifyCall *handle)
{
  guint64 before;
  return change (handle, FALSE, RAGIFY_HANDLE_ABANDONED, CANCELLED, &before);
}

void
ragify_handle_cancel (RagifyCall *handle)
{
  guint64 before;
  change (handle, TRUE, STATE, CANCELLED, &before);
}

gboolean
ragify_handle_cancelled (RagifyCall *handle)
{
  guint64 generation;
  Slot *slot = slot_of (handle, &generation);
  const guint64 word = slot != NULL ? atomic_load_explicit (&slot->word, memory_order_acquire) : 0;
  return slot == NULL || word >> SHIFT != generation || (word & STATE) == RAGIFY_HANDLE_GONE || (word & CANCELLED) != 0;
}

guint64
ragify_handle_deadline (RagifyCall *handle)
{
  guint64 generation;
  Slot *slot = slot_of (handle, &generation);
  const guint64 deadline = slot != NULL ? atomic_load_explicit (&slot->deadline, memory_order_relaxed) : 0;
  /* Read before the generation is: when that still fits, the deadline was this call's. */
  atomic_thread_fence (memory_order_acquire);
  const gboolean same = slot != NULL && atomic_load_explicit (&slot->word, memory_order_relaxed) >> SHIFT == generation;
  return same ? MAX (deadline, 1) : 1;
}

RagifyHandleState
ragify_handle_complete (RagifyCall *handle, RagifyCall **call)
{
  guint64 generation;
  Slot *slot = slot_of (handle, &generation);
  RagifyCall *found = slot != NULL ? atomic_load_explicit (&slot->call, memory_order_acquire) : NULL;
  guint64 before;
  if (!change (handle, TRUE, RAGIFY_HANDLE_GONE, 0, &before))
    return RAGIFY_HANDLE_GONE;
  *call = found; /* the same generation before and after: the slot was not used for another call in between */
  return (RagifyHandleState)before;
}

RagifyTally *
ragify_tally_find (const char *name)
{
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  static GHashTable *tallies;
  pthread_mutex_lock (&lock);
  if (tallies == NULL)
    tallies = g_hash_table_new (g_str_hash, g_str_equal);
  RagifyTally *tally = g_hash_table_lookup (tallies, name);
  if (tally == NULL) {
    tally = g_new0 (RagifyTally, 1);
    tally->name = g_strdup (name);
    g_hash_table_insert (tallies, (gpointer)tally->name, tally);
  }
  pthread_mutex_unlock (&lock);
  return tally;
}

void
ragify_handle_doubled (RagifyCall *handle)
{
  guint64 generation;
  Slot *slot = slot_of (handle, &generation);
  const gboolean same = slot != NULL && atomic_load (&slot->word) >> SHIFT == generation;
  RagifyTally *tally = same ? atomic_load_explicit (&slot->tally, memory_order_relaxed) : NULL;
  if (tally != NULL)
    __atomic_fetch_add (&tally->doubled, 1, __ATOMIC_RELAXED);
  g_warning ("%s: completed a call a second time; ignored", tally != NULL ? tally->name : "a plugin");
}

void
ragify_handle_free (RagifyCall *handle)
{
  const guint32 number = (guint64)(guintptr)handle & 0xffffff;
  if (cache.count == 0)
    prepare_cache ();
  if (cache.count == G_N_ELEMENTS (cache.numbers)) {
    pthread_mutex_lock (&table.lock);
    cache.count -= CACHED;
    g_array_append_vals (table.free, &cache.numbers[cache.count], CACHED);
    pthread_mutex_unlock (&table.lock);
  }
  cache.numbers[cache.count++] = number;
}
