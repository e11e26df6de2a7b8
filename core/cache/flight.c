/* SPDX-License-Identifier: MIT */
#include "core/cache/flight.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define SHARDS 64 /* a power of two */
#define HEIRS 2   /* who lead after a leader gave up: their number doubles each time */

typedef struct {
  RagifyTierKey key;
  RagifyWaiter *first, *last;
  guint leaders;
  RagifyBuffer *envelope; /* set: settled */
  const char *level;
} Flight;

typedef struct {
  _Alignas(64) pthread_mutex_t lock;
  GHashTable *flights;    /* RagifyTierKey in Flight */
  _Atomic guint64 landed; /* how many so far */
} Shard;

struct RagifyFlights {
  Shard shards[SHARDS];
};

static guint
key_hash (gconstpointer key)
{
  guint hash;
  memcpy (&hash, ((const RagifyTierKey *)key)->bytes, sizeof hash);
  return hash;
}

static gboolean
key_equal (gconstpointer a, gconstpointer b)
{
  const RagifyTierKey *first = a, *second = b;
  return memcmp (first->bytes, second->bytes, sizeof first->bytes) == 0 && first->flight == second->flight;
}

static Shard *
shard_of (RagifyFlights *flights, const RagifyTierKey *key)
{
  return &flights->shards[key->bytes[15] % SHARDS]; /* not the bytes that key_hash takes */
}

static void
append (Flight *flight, RagifyWaiter *waiter)
{
  waiter->queued = TRUE;
  waiter->next = NULL;
  waiter->previous = flight->last;
  if (flight->last != NULL)
    flight->last->next = waiter;
  else
    flight->first = waiter;
  flight->last = waiter;
}

static void
take_out (Flight *flight, RagifyWaiter *waiter)
{
  *(waiter->previous != NULL ? &waiter->previous->next : &flight->first) = waiter->next;
  *(waiter->next != NULL ? &waiter->next->previous : &flight->last) = waiter->previous;
  waiter->queued = FALSE;
}

/* Takes the whole list; nobody can leave it afterwards. Locked. */
static RagifyWaiter *
take_all (Flight *flight)
{
  RagifyWaiter *first = flight->first;
  for (RagifyWaiter *waiter = first; waiter != NULL; waiter = waiter->next)
    waiter->queued = FALSE;
  flight->first = flight->last = NULL;
  return first;
}

static Flight *
find (Shard *shard, const RagifyTierKey *key)
{
  return g_hash_table_lookup (shard->flights, key);
}

RagifyFlights *
ragify_flights_new (void)
{
  RagifyFlights *flights = g_aligned_alloc0 (1, sizeof *flights, 64);
  for (guint i = 0; i < SHARDS; i++) {
    pthread_mutex_init (&flights->shards[i].lock, NULL);
    flights->shards[i].flights = g_hash_table_new (key_hash, key_equal);
  }
  return flights;
}

void
ragify_flights_free (RagifyFlights *flights)
{
  for (guint i = 0; i < SHARDS; i++) {
    g_warn_if_fail (g_hash_table_size (flights->shards[i].flights) == 0);
    g_hash_table_unref (flights->shards[i].flights);
    pthread_mutex_destroy (&flights->shards[i].lock);
  }
  g_aligned_free (flights);
}

guint64
ragify_flights_landed (RagifyFlights *flights, const RagifyTierKey *key)
{
  return atomic_load_explicit (&shard_of (flights, key)->landed, memory_order_acquire);
}

RagifyFlightJoin
ragify_flights_join (RagifyFlights *flights, const RagifyTierKey *key, guint64 landed, RagifyWaiter *waiter,
                     RagifyBuffer **envelope, const char **level)
{
  Shard *shard = shard_of (flights, key);
  RagifyFlightJoin result = RAGIFY_FLIGHT_WAITS;
  pthread_mutex_lock (&shard->lock);
  Flight *flight = find (shard, key);
  if (flight == NULL) {
    flight = g_new0 (Flight, 1);
    flight->key = *key;
    flight->leaders = 1;
    g_hash_table_insert (shard->flights, &flight->key, flight);
    const gboolean news = atomic_load_explicit (&shard->landed, memory_order_relaxed) != landed;
    result = news ? RAGIFY_FLIGHT_LEADS_ANEW : RAGIFY_FLIGHT_LEADS;
  } else if (flight->envelope != NULL) {
    *envelope = flight->envelope;
    flight->envelope->ref (flight->envelope);
    *level = flight->level;
    result = RAGIFY_FLIGHT_DONE;
  } else
    append (flight, waiter);
  pthread_mutex_unlock (&shard->lock);
  return result;
}

gboolean
ragify_flights_leave (RagifyFlights *flights, const RagifyTierKey *key, RagifyWaiter *waiter)
{
  Shard *shard = shard_of (flights, key);
  pthread_mutex_lock (&shard->lock);
  const gboolean queued = waiter->queued;
  if (queued)
    take_out (find (shard, key), waiter);
  pthread_mutex_unlock (&shard->lock);
  return queued;
}

gboolean
ragify_flights_settle (RagifyFlights *flights, const RagifyTierKey *key, RagifyBuffer *envelope, const char *level)
{
  Shard *shard = shard_of (flights, key);
  pthread_mutex_lock (&shard->lock);
  Flight *flight = find (shard, key);
  const gboolean open = flight != NULL && flight->envelope == NULL;
  RagifyWaiter *waiter = NULL;
  if (open) {
    flight->envelope = envelope;
    envelope->ref (envelope);
    flight->level = level;
    waiter = take_all (flight);
  }
  pthread_mutex_unlock (&shard->lock);
  while (waiter != NULL) {
    RagifyWaiter *next = waiter->next; /* woken, it may be gone */
    envelope->ref (envelope);
    waiter->wake (waiter, envelope, level);
    waiter = next;
  }
  return open;
}

void
ragify_flights_land (RagifyFlights *flights, const RagifyTierKey *key)
{
  Shard *shard = shard_of (flights, key);
  pthread_mutex_lock (&shard->lock);
  Flight *flight = find (shard, key);
  g_hash_table_remove (shard->flights, key);
  atomic_fetch_add_explicit (&shard->landed, 1, memory_order_release);
  pthread_mutex_unlock (&shard->lock);
  g_return_if_fail (flight != NULL && flight->first == NULL);
  flight->envelope->unref (flight->envelope);
  g_free (flight);
}

void
ragify_flights_abandon (RagifyFlights *flights, const RagifyTierKey *key)
{
  Shard *shard = shard_of (flights, key);
  RagifyWaiter *heirs[HEIRS];
  guint n_heirs = 0;
  pthread_mutex_lock (&shard->lock);
  Flight *flight = find (shard, key);
  const gboolean open = flight != NULL && flight->envelope == NULL;
  for (; open && n_heirs < HEIRS && flight->first != NULL; n_heirs++) {
    heirs[n_heirs] = flight->first;
    take_out (flight, flight->first);
  }
  gboolean over = FALSE;
  if (open) {
    flight->leaders += n_heirs - 1;
    over = flight->leaders == 0;
  }
  if (over)
    g_hash_table_remove (shard->flights, key);
  pthread_mutex_unlock (&shard->lock);
  if (over)
    g_free (flight);
  for (guint i = 0; i < n_heirs; i++)
    heirs[i]->wake (heirs[i], NULL, NULL);
}
