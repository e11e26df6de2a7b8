/* SPDX-License-Identifier: MIT
 *
 * Why it is safe. A reader adds itself to the counter of the turn that it saw, then looks into the table. A writer
 * takes a node out of the table, then looks at the counters. All of these are sequentially consistent, so either the
 * writer sees the reader or the reader does not see the node. reclaim() changes the turn only when the other turn's
 * counter is 0; what was retired before that change is freed only when then the old turn's counter is 0 too. A reader
 * that saw the turn long ago and adds itself late adds itself after the check, and so cannot see what was taken out
 * before it. */
#include "readers.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#define SLOTS 32
#define LIMBO_NODES 32
#define LIMBO_BYTES (1u << 20)

typedef struct Slot {
  _Alignas(64) atomic_uint active[2];
  atomic_uint_fast64_t counts[MEMORY_COUNTS];
} Slot;

typedef struct Limbo {
  MemoryNode *first;
  uint64_t count;
  uint64_t bytes;
} Limbo;

struct MemoryReaders {
  Slot slots[SLOTS];
  _Alignas(64) atomic_uint turn;
  pthread_mutex_t lock; /* guards the rest */
  Limbo now;            /* retired in this turn */
  Limbo before;         /* retired in turns before */
  void (*release) (MemoryNode *node, void *user);
  void *user;
};

MemoryReaders *
memory_readers_new (void (*release) (MemoryNode *node, void *user), void *user)
{
  void *memory = NULL;
  if (posix_memalign (&memory, 64, sizeof (MemoryReaders)) != 0)
    return NULL;
  MemoryReaders *readers = memory;
  *readers = (MemoryReaders){ .release = release, .user = user };
  pthread_mutex_init (&readers->lock, NULL);
  return readers;
}

static void
release_all (MemoryReaders *readers, Limbo limbo)
{
  while (limbo.first != NULL) {
    MemoryNode *node = limbo.first;
    limbo.first = node->next;
    readers->release (node, readers->user);
  }
}

void
memory_readers_free (MemoryReaders *readers)
{
  release_all (readers, readers->now);
  release_all (readers, readers->before);
  pthread_mutex_destroy (&readers->lock);
  free (readers);
}

MemoryTicket
memory_readers_enter (MemoryReaders *readers)
{
  /* Threads that share a slot share a cache line and nothing else. */
  const uint64_t self = (uint64_t)pthread_self () * 0x9e3779b97f4a7c15u;
  const MemoryTicket ticket = {
    .slot = (uint32_t)(self >> 59),
    .turn = atomic_load (&readers->turn),
  };
  atomic_fetch_add (&readers->slots[ticket.slot].active[ticket.turn], 1);
  return ticket;
}

void
memory_readers_leave (MemoryReaders *readers, MemoryTicket ticket)
{
  atomic_fetch_sub_explicit (&readers->slots[ticket.slot].active[ticket.turn], 1, memory_order_release);
}

void
memory_readers_count (MemoryReaders *readers, MemoryTicket ticket, int what)
{
  atomic_fetch_add_explicit (&readers->slots[ticket.slot].counts[what], 1, memory_order_relaxed);
}

uint64_t
memory_readers_sum (MemoryReaders *readers, int what)
{
  uint64_t sum = 0;
  for (int i = 0; i < SLOTS; i++)
    sum += atomic_load_explicit (&readers->slots[i].counts[what], memory_order_relaxed);
  return sum;
}

static bool
is_quiet (MemoryReaders *readers, unsigned turn)
{
  for (int i = 0; i < SLOTS; i++) {
    if (atomic_load (&readers->slots[i].active[turn]) != 0)
      return false;
  }
  return true;
}

/* One step: frees what was retired before this turn and begins the next, if the other turn's readers have left. What it
 * gives is to be released without the lock. */
static bool
step (MemoryReaders *readers, Limbo *freed)
{
  *freed = (Limbo){ 0 };
  pthread_mutex_lock (&readers->lock);
  const unsigned turn = atomic_load (&readers->turn);
  const bool quiet = is_quiet (readers, 1 - turn);
  if (quiet) {
    *freed = readers->before;
    readers->before = readers->now;
    readers->now = (Limbo){ 0 };
    atomic_store (&readers->turn, 1 - turn);
  }
  pthread_mutex_unlock (&readers->lock);
  return quiet;
}

void
memory_readers_reclaim (MemoryReaders *readers, bool wait)
{
  for (int done = 0; done < 2;) {
    Limbo freed;
    const bool quiet = step (readers, &freed);
    release_all (readers, freed);
    if (quiet)
      done++;
    else if (wait)
      sched_yield ();
    else
      return;
  }
}

void
memory_readers_retire (MemoryReaders *readers, MemoryNode *node, uint64_t bytes)
{
  pthread_mutex_lock (&readers->lock);
  node->next = readers->now.first;
  readers->now.first = node;
  readers->now.count++;
  readers->now.bytes += bytes;
  const bool many = readers->now.count >= LIMBO_NODES || readers->now.bytes + readers->before.bytes >= LIMBO_BYTES;
  pthread_mutex_unlock (&readers->lock);
  if (many)
    memory_readers_reclaim (readers, false);
}
