/* SPDX-License-Identifier: MIT */
#include "tuner.h"

#include "ghost.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Larger miniatures choose hardly better, smaller ones err: a sample of too few keys is unlike the whole. */
#define CAPACITY_MAX 8192
#define HEADS 8192
/* A choice is made when an eighth of the miniature's capacity, and so many at least, has been asked for. */
#define ROUND_OF 8
#define ROUND_MIN 64
/* What is left of a score after a round. */
#define DECAY 0.98
/* How much better another mode must be: by this part, and by so many standard deviations of chance, squared. The way
 * back to the first mode, which is never bad, is shorter: a sample that errs should not keep the cache away from it. */
#define MARGIN 0.002
#define CHANCE 0.5
#define CHANCE_BACK 0.1

typedef struct Item {
  MemoryNode node; /* first; `user` is the next item of the chain, 0 for none */
  uint32_t fingerprint;
} Item;

typedef struct Miniature {
  MemoryPolicy policy;
  MemoryGhost *ghost;
  double score;
  uint16_t heads[HEADS]; /* indexes into items, 0 for none */
  uint16_t free;         /* the same: items that are not in use */
  Item *items;           /* `capacity_max` and two more; the first is not used */
} Miniature;

struct MemoryTuner {
  _Atomic uint32_t mask;  /* a request counts when these bits of the upper half of its hash are 0 */
  _Atomic uint32_t mode;  /* index into memory_modes */
  _Atomic uint64_t whole; /* what resize() was told last */
  pthread_mutex_t lock;   /* guards the rest */
  uint64_t capacity;      /* of a miniature; 0: not at work */
  uint64_t capacity_max;  /* that the miniatures have room for */
  uint64_t requests;      /* in this round */
  Miniature miniatures[MEMORY_MODES];
};

static void
reset (Miniature *miniature, uint64_t capacity_max)
{
  memory_policy_init (&miniature->policy, NULL);
  memory_ghost_clear (miniature->ghost);
  miniature->score = 0;
  memset (miniature->heads, 0, sizeof miniature->heads);
  miniature->free = 0;
  for (uint16_t i = (uint16_t)capacity_max + 1; i > 0; i--) {
    miniature->items[i].node.user = miniature->free;
    miniature->free = i;
  }
}

static void
free_items (Miniature *miniature)
{
  memory_ghost_free (miniature->ghost);
  free (miniature->items);
  miniature->ghost = NULL;
  miniature->items = NULL;
}

/* Makes room for miniatures of `capacity`. Without memory for it the tuner rests. The lock is held. */
static bool
make_items (MemoryTuner *tuner, uint64_t capacity)
{
  if (capacity <= tuner->capacity_max)
    return true;
  bool good = true;
  for (int i = 0; i < MEMORY_MODES; i++) {
    Miniature *miniature = &tuner->miniatures[i];
    free_items (miniature);
    miniature->items = calloc (capacity + 2, sizeof *miniature->items);
    miniature->ghost = memory_ghost_new (capacity);
    good = good && miniature->items != NULL && miniature->ghost != NULL;
  }
  tuner->capacity_max = good ? capacity : 0;
  return good;
}

MemoryTuner *
memory_tuner_new (void)
{
  MemoryTuner *tuner = calloc (1, sizeof *tuner);
  if (tuner == NULL)
    return NULL;
  pthread_mutex_init (&tuner->lock, NULL);
  atomic_init (&tuner->mask, UINT32_MAX);
  return tuner;
}

void
memory_tuner_free (MemoryTuner *tuner)
{
  if (tuner == NULL)
    return;
  for (int i = 0; i < MEMORY_MODES; i++)
    free_items (&tuner->miniatures[i]);
  pthread_mutex_destroy (&tuner->lock);
  free (tuner);
}

static uint16_t *
find_head (Miniature *miniature, uint32_t fingerprint)
{
  return &miniature->heads[fingerprint % HEADS];
}

static Item *
find_item (Miniature *miniature, uint32_t fingerprint)
{
  for (uint16_t i = *find_head (miniature, fingerprint); i != 0; i = miniature->items[i].node.user) {
    if (miniature->items[i].fingerprint == fingerprint)
      return &miniature->items[i];
  }
  return NULL;
}

static void
evict_item (Miniature *miniature, const MemoryMode *mode)
{
  bool remember = false;
  MemoryNode *node = memory_policy_evict (&miniature->policy, mode, false, &remember);
  Item *item = (Item *)node;
  const uint16_t index = (uint16_t)(item - miniature->items);
  uint16_t *link = find_head (miniature, item->fingerprint);
  while (*link != index)
    link = &miniature->items[*link].node.user;
  *link = node->user;
  node->user = miniature->free;
  miniature->free = index;
  if (remember)
    memory_ghost_add (miniature->ghost, item->fingerprint * 0x9e3779b97f4a7c15u);
}

static void
insert_item (Miniature *miniature, const MemoryMode *mode, uint32_t fingerprint, uint64_t capacity)
{
  while (memory_policy_count (&miniature->policy) >= capacity)
    evict_item (miniature, mode);
  const uint16_t index = miniature->free;
  Item *item = &miniature->items[index];
  uint16_t *head = find_head (miniature, fingerprint);
  miniature->free = item->node.user;
  item->fingerprint = fingerprint;
  item->node.user = *head;
  *head = index;
  const uint64_t window = (uint64_t)((double)capacity * mode->ghost_share);
  const bool known = memory_ghost_take (miniature->ghost, fingerprint * 0x9e3779b97f4a7c15u, window);
  memory_policy_insert (&miniature->policy, mode, &item->node, known);
}

static bool
is_better (double score, double than, double chance)
{
  const double lead = score - than;
  return lead > MARGIN * than && lead * lead > chance * than;
}

/* Of those that chance alone can have put behind the best one, the first in the table: the modes after it give up more
 * where they err. Soon after the start all that differ from the first mode look alike. */
static uint32_t
choose_mode (const MemoryTuner *tuner)
{
  double best = 0;
  uint32_t chosen = 0;
  for (uint32_t i = 0; i < MEMORY_MODES; i++)
    best = tuner->miniatures[i].score > best ? tuner->miniatures[i].score : best;
  while (is_better (best, tuner->miniatures[chosen].score, CHANCE))
    chosen++;
  return chosen;
}

static void
end_round (MemoryTuner *tuner)
{
  const uint32_t now = atomic_load_explicit (&tuner->mode, memory_order_relaxed);
  const uint32_t chosen = choose_mode (tuner);
  const double chance = chosen == 0 ? CHANCE_BACK : CHANCE;
  if (is_better (tuner->miniatures[chosen].score, tuner->miniatures[now].score, chance))
    atomic_store_explicit (&tuner->mode, chosen, memory_order_relaxed);
  for (uint32_t i = 0; i < MEMORY_MODES; i++)
    tuner->miniatures[i].score *= DECAY;
  tuner->requests = 0;
}

static bool
is_sampled (MemoryTuner *tuner, uint64_t hash)
{
  return ((uint32_t)(hash >> 32) & atomic_load_explicit (&tuner->mask, memory_order_relaxed)) == 0;
}

bool
memory_tuner_request (MemoryTuner *tuner, uint64_t hash, bool hit)
{
  if (!is_sampled (tuner, hash))
    return true;
  if (pthread_mutex_trylock (&tuner->lock) != 0)
    return false;
  const uint32_t fingerprint = (uint32_t)hash;
  for (int i = 0; tuner->capacity > 0 && i < MEMORY_MODES; i++) {
    Miniature *miniature = &tuner->miniatures[i];
    Item *item = find_item (miniature, fingerprint);
    if (item != NULL) {
      miniature->score++;
      if (memory_policy_touch (&miniature->policy, &memory_modes[i], &item->node))
        memory_policy_promote (&miniature->policy, &item->node);
    } else if (hit)
      insert_item (miniature, &memory_modes[i], fingerprint, tuner->capacity);
  }
  if (++tuner->requests >= ROUND_MIN && tuner->requests >= tuner->capacity / ROUND_OF)
    end_round (tuner);
  pthread_mutex_unlock (&tuner->lock);
  return true;
}

void
memory_tuner_admit (MemoryTuner *tuner, uint64_t hash)
{
  if (!is_sampled (tuner, hash))
    return;
  const uint32_t fingerprint = (uint32_t)hash;
  pthread_mutex_lock (&tuner->lock);
  for (int i = 0; tuner->capacity > 0 && i < MEMORY_MODES; i++) {
    if (find_item (&tuner->miniatures[i], fingerprint) == NULL)
      insert_item (&tuner->miniatures[i], &memory_modes[i], fingerprint, tuner->capacity);
  }
  pthread_mutex_unlock (&tuner->lock);
}

void
memory_tuner_resize (MemoryTuner *tuner, uint64_t entries)
{
  const uint64_t before = atomic_load_explicit (&tuner->whole, memory_order_relaxed);
  if (before > 0 && entries > before - before / 8 && entries < before + before / 8 + 1)
    return;
  uint64_t capacity = entries;
  uint32_t mask = 0;
  while (capacity > CAPACITY_MAX) {
    capacity /= 2;
    mask = mask * 2 + 1;
  }
  /* A little more room than now, since the number goes up and down. */
  const uint64_t room = capacity + capacity / 4 < CAPACITY_MAX ? capacity + capacity / 4 + 2 : CAPACITY_MAX;
  pthread_mutex_lock (&tuner->lock);
  /* Another sample is another stream: nothing learnt from the old one holds, but the choice made. */
  const bool afresh =
      capacity > tuner->capacity_max || mask != atomic_load_explicit (&tuner->mask, memory_order_relaxed);
  tuner->capacity = make_items (tuner, capacity > tuner->capacity_max ? room : 0) ? (capacity > 0 ? capacity : 1) : 0;
  for (int i = 0; afresh && tuner->capacity > 0 && i < MEMORY_MODES; i++)
    reset (&tuner->miniatures[i], tuner->capacity_max);
  if (afresh)
    tuner->requests = 0;
  atomic_store_explicit (&tuner->mask, mask, memory_order_relaxed);
  atomic_store_explicit (&tuner->whole, entries, memory_order_relaxed);
  pthread_mutex_unlock (&tuner->lock);
}

const MemoryMode *
memory_tuner_mode (MemoryTuner *tuner)
{
  return &memory_modes[atomic_load_explicit (&tuner->mode, memory_order_relaxed)];
}

uint64_t
memory_tuner_size (MemoryTuner *tuner)
{
  pthread_mutex_lock (&tuner->lock);
  uint64_t size = sizeof *tuner;
  if (tuner->capacity_max > 0)
    size += MEMORY_MODES * ((tuner->capacity_max + 2) * sizeof (Item) + memory_ghost_size (tuner->miniatures[0].ghost));
  pthread_mutex_unlock (&tuner->lock);
  return size;
}
