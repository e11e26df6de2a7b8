/* SPDX-License-Identifier: MIT */
#include "core/cache/store-watch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <xxhash.h>

#include "core/call/operations.h"

#define FIRST_DEADLINE_US (10 * (guint64)G_USEC_PER_SEC)
#define EARLY_DEADLINE_US G_USEC_PER_SEC
#define MAX_REMEMBERED 100000u /* deleted chunks; with more, all that is cached is outdated */
#define POLL_US 200

struct RagifyStoreWatch {
  RagifyStoreWatchOptions options;
  gboolean is_shared;          /* others write to it, too */
  _Atomic guint64 generation;  /* that keys hold, as a hash; 0: not known */
  _Atomic guint64 deletions;   /* batches with deletions so far, while they are remembered */
  _Atomic guint64 outdates_at; /* monotonic µs: when `generation` has to follow; 0: it is up to date */
  _Atomic guint64 asked_at;    /* monotonic µs: when the last answer was asked for */
  _Atomic gboolean asking;     /* early */
  _Atomic gboolean ahead;      /* the store itself was the last to tell a generation */
  pthread_mutex_t lock;        /* guards what follows, and changes of the above */
  RagifyGeneration known;      /* the store's own */
  guint64 raised_at;           /* when `generation` was raised last */
  GHashTable *gone;            /* RagifyUuid: deleted since */
};

static guint
uuid_hash (gconstpointer key)
{
  return (guint)XXH3_64bits (key, sizeof (RagifyUuid));
}

static gboolean
uuid_equal (gconstpointer a, gconstpointer b)
{
  return memcmp (a, b, sizeof (RagifyUuid)) == 0;
}

static guint64
hash_generation (const RagifyGeneration *generation)
{
  const guint64 counter = GUINT64_TO_LE (generation->counter);
  const guint64 hash =
      XXH3_64bits_withSeed (generation->store.bytes, sizeof generation->store.bytes, XXH3_64bits (&counter, 8));
  return hash != 0 ? hash : 1;
}

/* Keys hold the store's generation from now on. Locked. */
static void
raise_generation (RagifyStoreWatch *watch)
{
  /* First the generation: who finds that nothing is remembered must also find that it has been raised. */
  atomic_store (&watch->generation, hash_generation (&watch->known));
  atomic_store (&watch->outdates_at, 0);
  watch->raised_at = ragify_now ();
  g_hash_table_remove_all (watch->gone);
}

/* A commit that `removed` tells all about. Locked. */
static void
take_commit (RagifyStoreWatch *watch, const RagifyUuidList *removed)
{
  const guint64 due = watch->raised_at + watch->options.invalidate_every_us;
  const guint64 count = removed->count;
  if (ragify_now () >= due || g_hash_table_size (watch->gone) + count > MAX_REMEMBERED) {
    raise_generation (watch);
    return;
  }
  for (guint64 i = 0; i < count; i++)
    g_hash_table_add (watch->gone, g_memdup2 (&removed->items[i], sizeof (RagifyUuid)));
  if (count > 0)
    atomic_fetch_add (&watch->deletions, 1);
  if (atomic_load (&watch->outdates_at) == 0)
    atomic_store (&watch->outdates_at, due);
}

gboolean
ragify_store_watch_changed (RagifyStoreWatch *watch, const RagifyGeneration *generation, const RagifyUuidList *removed)
{
  pthread_mutex_lock (&watch->lock);
  const gboolean next = memcmp (&generation->store, &watch->known.store, sizeof generation->store) == 0 &&
                        generation->counter == watch->known.counter + 1;
  const gboolean same = memcmp (generation, &watch->known, sizeof *generation) == 0;
  watch->known = *generation;
  atomic_store (&watch->ahead, FALSE);
  if (next && removed != NULL && watch->options.invalidate_every_us > 0 && atomic_load (&watch->generation) != 0)
    take_commit (watch, removed);
  else if (!same || atomic_load (&watch->generation) == 0)
    raise_generation (watch); /* others have written as well, and what they deleted is not known */
  pthread_mutex_unlock (&watch->lock);
  return !same;
}

/* What the store said when it was asked at `asked_at`. */
static void
take_told (RagifyStoreWatch *watch, const RagifyGeneration *generation, guint64 asked_at)
{
  pthread_mutex_lock (&watch->lock);
  const gboolean same_store = memcmp (&generation->store, &watch->known.store, sizeof generation->store) == 0;
  /* What was told may be older than what a commit here has told since. */
  if (!same_store || generation->counter > watch->known.counter || atomic_load (&watch->generation) == 0) {
    watch->known = *generation;
    atomic_store (&watch->ahead, TRUE); /* before the generation: who finds that must find this */
    raise_generation (watch);
  }
  atomic_store (&watch->asked_at, MAX (asked_at, atomic_load (&watch->asked_at)));
  pthread_mutex_unlock (&watch->lock);
}

RagifyStoreMark
ragify_store_watch_mark (RagifyStoreWatch *watch)
{
  const guint64 outdates_at = atomic_load_explicit (&watch->outdates_at, memory_order_acquire);
  if (outdates_at != 0 && ragify_now () >= outdates_at) {
    pthread_mutex_lock (&watch->lock);
    if (atomic_load (&watch->outdates_at) == outdates_at)
      raise_generation (watch);
    pthread_mutex_unlock (&watch->lock);
  }
  return (RagifyStoreMark){ .generation = atomic_load_explicit (&watch->generation, memory_order_acquire),
                            .deletions = atomic_load_explicit (&watch->deletions, memory_order_acquire) };
}

gboolean
ragify_store_watch_allows (RagifyStoreWatch *watch, const RagifyStoreMark *mark, const guint8 *ids, guint n_ids)
{
  if (watch->options.invalidate_every_us == 0)
    return TRUE;
  gboolean gone = FALSE;
  if (atomic_load_explicit (&watch->outdates_at, memory_order_acquire) != 0) {
    pthread_mutex_lock (&watch->lock);
    for (guint i = 0; i < n_ids && !gone && g_hash_table_size (watch->gone) > 0; i++)
      gone = g_hash_table_contains (watch->gone, ids + (gsize)i * sizeof (RagifyUuid));
    pthread_mutex_unlock (&watch->lock);
  }
  return !gone && atomic_load (&watch->generation) == mark->generation;
}

gboolean
ragify_store_watch_is_ahead (const RagifyStoreWatch *watch)
{
  return atomic_load_explicit (&watch->ahead, memory_order_acquire);
}

/* ---- asking ---- */

gboolean
ragify_store_watch_is_recent (const RagifyStoreWatch *watch)
{
  if (!watch->is_shared)
    return TRUE;
  const guint64 asked_at = atomic_load_explicit (&watch->asked_at, memory_order_acquire);
  return watch->options.max_staleness_us > 0 && ragify_now () < asked_at + watch->options.max_staleness_us;
}

typedef struct {
  RagifyStoreWatch *watch;
  guint64 asked_at;
  gboolean early;
  void (*done) (gboolean known, void *user);
  void *user;
} Refresh;

static const RagifyNothing nothing = { .struct_size = sizeof nothing };

static void
told (RagifyCall *call, void *user)
{
  const Refresh *refresh = user;
  const RagifyStoreGeneration *result = ragify_call_result (call);
  if (result != NULL)
    take_told (refresh->watch, &result->generation, refresh->asked_at);
  if (refresh->early)
    atomic_store (&refresh->watch->asking, FALSE);
  if (refresh->done != NULL)
    refresh->done (result != NULL, refresh->user);
}

static void
ask (RagifyStoreWatch *watch, RagifyOwner *owner, guint64 deadline, const Refresh *as)
{
  Refresh *refresh = ragify_arena_alloc (owner->arena, sizeof *refresh);
  *refresh = *as;
  refresh->watch = watch;
  refresh->asked_at = ragify_now ();
  RagifyCall *call = ragify_call_new (owner, &ragify_operation_store_generation, &nothing, deadline, told, refresh);
  ragify_node_call (watch->options.store, call);
}

void
ragify_store_watch_refresh (RagifyStoreWatch *watch, RagifyOwner *owner, guint64 deadline,
                            void (*done) (gboolean known, void *user), void *user)
{
  ask (watch, owner, deadline, &(Refresh){ .done = done, .user = user });
}

void
ragify_store_watch_refresh_early (RagifyStoreWatch *watch)
{
  if (!watch->is_shared || watch->options.max_staleness_us == 0 ||
      ragify_now () < atomic_load (&watch->asked_at) + watch->options.max_staleness_us / 2 ||
      atomic_exchange (&watch->asking, TRUE))
    return;
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof *owner, NULL);
  ask (watch, owner, ragify_now () + EARLY_DEADLINE_US, &(Refresh){ .early = TRUE });
}

/* ---- making ---- */

RagifyStoreWatch *
ragify_store_watch_new (const RagifyStoreWatchOptions *options)
{
  RagifyStoreWatch *watch = g_new0 (RagifyStoreWatch, 1);
  watch->options = *options;
  watch->is_shared = (ragify_node_component (options->store)->flags & RAGIFY_COMPONENT_REMOTE) != 0;
  watch->gone = g_hash_table_new_full (uuid_hash, uuid_equal, g_free, NULL);
  pthread_mutex_init (&watch->lock, NULL);
  const guint64 asked_at = ragify_now ();
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof *owner, NULL);
  RagifyCall *call =
      ragify_call_new (owner, &ragify_operation_store_generation, &nothing, asked_at + FIRST_DEADLINE_US, NULL, NULL);
  if (ragify_call_wait (options->store, call) == RAGIFY_OK) {
    take_told (watch, &((const RagifyStoreGeneration *)ragify_call_result (call))->generation, asked_at);
    return watch;
  }
  const char *name = ragify_node_name (options->store);
  g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_WARNING, "RAGIFY_NODE", name, "MESSAGE",
                    "answers from %s are not cached: %s", name, ragify_call_message (call));
  return watch;
}

void
ragify_store_watch_free (RagifyStoreWatch *watch)
{
  while (atomic_load (&watch->asking)) /* the host does not wait for a call beyond its deadline */
    g_usleep (POLL_US);
  g_hash_table_unref (watch->gone);
  pthread_mutex_destroy (&watch->lock);
  g_free (watch);
}
