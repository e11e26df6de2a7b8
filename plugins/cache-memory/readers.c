/* SPDX-License-Identifier: MIT
 *
 * Why it is safe. A reader adds itself to the counter of the turn that it saw, then looks into the table. A writer
 * takes a node out of the table, then looks at the counters. A full barrier lies between the two on both sides, so
 * either the writer sees the reader or the reader does not see the node. reclaim() changes the turn only when the other
 * turn's counter is 0; what was retired before that change is freed only when then the old turn's counter is 0 too. A
 * reader that saw the turn long ago and adds itself late adds itself after the check, and so cannot see what was taken
 * out before it.
 *
 * A barrier, and a counter that several threads change, cost a reader more than all the rest of it does. So the first
 * threads have a slot each, which nobody else writes; and where Linux has it, the writer's membarrier(2) is the
 * barrier of all readers, too (Desnoyers et al., "User-Level Implementations of Read-Copy Update", IEEE TPDS 2012). */
#include "readers.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SLOTS 64u
#define SHARED (SLOTS - 1) /* of all threads that come after those with a slot of their own */
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
  bool remote;          /* the writer makes the readers' barriers */
  pthread_mutex_t lock; /* guards the rest */
  Limbo now;            /* retired in this turn */
  Limbo before;         /* retired in turns before */
  void (*release) (MemoryNode *node, void *user);
  void *user;
};

/* The kernel answers a command the same way until the machine is started again. */
static bool
has_membarrier (void)
{
  return syscall (SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0 &&
         syscall (SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
}

MemoryReaders *
memory_readers_new (void (*release) (MemoryNode *node, void *user), void *user)
{
  void *memory = NULL;
  if (posix_memalign (&memory, 64, sizeof (MemoryReaders)) != 0)
    return NULL;
  MemoryReaders *readers = memory;
  *readers = (MemoryReaders){ .release = release, .user = user, .remote = has_membarrier () };
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

/* A thread has the same slot for all caches, and keeps it for ever: threads that read are few and live long. */
static uint32_t
own_slot (void)
{
  static atomic_uint threads;
  static _Thread_local uint32_t number; /* from 1 on */
  if (number == 0) {
    const unsigned before = atomic_load (&threads) < SHARED ? atomic_fetch_add (&threads, 1) : SHARED;
    number = (before < SHARED ? before : SHARED) + 1;
  }
  return number - 1;
}

MemoryTicket
memory_readers_enter (MemoryReaders *readers)
{
  const MemoryTicket ticket = {
    .slot = own_slot (),
    .turn = atomic_load_explicit (&readers->turn, memory_order_relaxed),
  };
  atomic_uint *active = &readers->slots[ticket.slot].active[ticket.turn];
  if (ticket.slot == SHARED || !readers->remote) {
    atomic_fetch_add (active, 1);
    return ticket;
  }
  atomic_store_explicit (active, atomic_load_explicit (active, memory_order_relaxed) + 1, memory_order_relaxed);
  atomic_signal_fence (memory_order_seq_cst);
  return ticket;
}

void
memory_readers_leave (MemoryReaders *readers, MemoryTicket ticket)
{
  atomic_uint *active = &readers->slots[ticket.slot].active[ticket.turn];
  if (ticket.slot == SHARED)
    atomic_fetch_sub_explicit (active, 1, memory_order_release);
  else
    atomic_store_explicit (active, atomic_load_explicit (active, memory_order_relaxed) - 1, memory_order_release);
}

void
memory_readers_count (MemoryReaders *readers, MemoryTicket ticket, int what)
{
  atomic_uint_fast64_t *count = &readers->slots[ticket.slot].counts[what];
  if (ticket.slot == SHARED)
    atomic_fetch_add_explicit (count, 1, memory_order_relaxed);
  else
    atomic_store_explicit (count, atomic_load_explicit (count, memory_order_relaxed) + 1, memory_order_relaxed);
}

uint64_t
memory_readers_sum (MemoryReaders *readers, int what)
{
  uint64_t sum = 0;
  for (uint32_t i = 0; i < SLOTS; i++)
    sum += atomic_load_explicit (&readers->slots[i].counts[what], memory_order_relaxed);
  return sum;
}

/* With the lock held: what is retired in this turn is out of the table before the barrier. */
static bool
is_quiet (MemoryReaders *readers, unsigned turn)
{
  if (readers->remote)
    (void)syscall (SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
  for (uint32_t i = 0; i < SLOTS; i++) {
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
