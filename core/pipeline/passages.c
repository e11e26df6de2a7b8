/* SPDX-License-Identifier: MIT */
#include "core/pipeline/passages.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define SHARDS 16u       /* so that loops seldom meet at a lock */
#define WAYS 8u          /* places where a passage may be */
#define TYPICAL 512u     /* bytes of a small passage: there are places for as many of these as fit */
#define LARGEST_SHARE 8u /* of a shard's bytes, that one passage may have: 1/8 */
#define AGE_US (60 * (guint64)G_USEC_PER_SEC)

typedef struct Entry {
  RagifyPassage passage; /* first */
  atomic_int references;
  guint64 state, until;
  gsize bytes;
  guint16 holder;
  gboolean used; /* since the hand went by; under the shard's lock */
  char texts[];
} Entry;

typedef struct Place {
  guint64 tag; /* of the entry: most others are told apart by it alone */
  Entry *entry;
} Place;

typedef struct Shard {
  pthread_mutex_t lock; /* guards what follows */
  Place *places;        /* sets of WAYS */
  guint hand;           /* the next place that may have to go */
  gsize bytes;
} Shard;

struct RagifyPassages {
  gsize limit; /* of a shard */
  guint sets;  /* of a shard, a power of two */
  Shard shards[SHARDS];
};

static guint64
hash_of (const RagifyUuid *id, guint16 holder)
{
  guint64 halves[2];
  memcpy (halves, id->bytes, sizeof halves);
  const guint64 mixed = (halves[0] ^ (halves[1] * 0x9E3779B97F4A7C15ULL) ^ holder) * 0xD6E8FEB86659FD93ULL;
  return mixed ^ mixed >> 32;
}

static Shard *
shard_of (RagifyPassages *passages, guint64 hash)
{
  return &passages->shards[hash % SHARDS];
}

static Place *
set_of (const RagifyPassages *passages, const Shard *shard, guint64 hash)
{
  return &shard->places[(hash / SHARDS & (passages->sets - 1)) * WAYS];
}

static gboolean
is_entry_of (const Place *place, guint64 hash, const RagifyUuid *id, guint16 holder)
{
  return place->entry != NULL && place->tag == hash && place->entry->holder == holder &&
         memcmp (&place->entry->passage.chunk.id, id, sizeof *id) == 0;
}

RagifyPassages *
ragify_passages_new (gsize limit)
{
  RagifyPassages *passages = g_new0 (RagifyPassages, 1);
  passages->limit = limit / SHARDS;
  passages->sets = 1;
  while (passages->sets * WAYS * TYPICAL < passages->limit)
    passages->sets *= 2;
  for (guint i = 0; i < SHARDS; i++) {
    pthread_mutex_init (&passages->shards[i].lock, NULL);
    passages->shards[i].places = g_new0 (Place, (gsize)passages->sets * WAYS);
  }
  return passages;
}

void
ragify_passage_unref (const RagifyPassage *passage)
{
  Entry *entry = (Entry *)passage;
  if (atomic_fetch_sub_explicit (&entry->references, 1, memory_order_acq_rel) == 1)
    g_free (entry);
}

/* With the lock held. */
static void
vacate (Shard *shard, Place *place)
{
  shard->bytes -= place->entry->bytes;
  ragify_passage_unref (&place->entry->passage);
  *place = (Place){ 0 };
}

void
ragify_passages_free (RagifyPassages *passages)
{
  for (guint i = 0; i < SHARDS; i++) {
    Shard *shard = &passages->shards[i];
    for (guint at = 0; at < passages->sets * WAYS; at++)
      if (shard->places[at].entry != NULL)
        vacate (shard, &shard->places[at]);
    pthread_mutex_destroy (&shard->lock);
    g_free (shard->places);
  }
  g_free (passages);
}

const RagifyPassage *
ragify_passages_get (RagifyPassages *passages, guint16 holder, guint64 state, const RagifyUuid *id, guint64 now)
{
  const guint64 hash = hash_of (id, holder);
  Shard *shard = shard_of (passages, hash);
  Entry *found = NULL;
  pthread_mutex_lock (&shard->lock);
  Place *set = set_of (passages, shard, hash);
  for (guint i = 0; i < WAYS && found == NULL; i++)
    if (is_entry_of (&set[i], hash, id, holder))
      found = set[i].entry;
  if (found != NULL && (found->state != state || found->until < now))
    found = NULL;
  if (found != NULL) {
    found->used = TRUE;
    atomic_fetch_add_explicit (&found->references, 1, memory_order_relaxed);
  }
  pthread_mutex_unlock (&shard->lock);
  return found != NULL ? &found->passage : NULL;
}

static gsize
texts_size (const RagifyChunk *chunk)
{
  return chunk->document_id.size + chunk->content.size + chunk->title.size + chunk->uri.size + chunk->metadata.size;
}

static Entry *
copy_chunk (const RagifyChunk *chunk, gsize bytes)
{
  Entry *entry = g_malloc (bytes);
  *entry = (Entry){ .references = 1, .bytes = bytes };
  memcpy (&entry->passage.chunk, chunk, MIN (chunk->struct_size, sizeof *chunk));
  RagifyChunk *copy = &entry->passage.chunk;
  copy->struct_size = sizeof *copy;
  RagifyStr *const texts[] = { &copy->document_id, &copy->content, &copy->title, &copy->uri, &copy->metadata };
  char *to = entry->texts;
  for (guint i = 0; i < G_N_ELEMENTS (texts); i++) {
    if (texts[i]->size > 0)
      memcpy (to, texts[i]->data, texts[i]->size);
    texts[i]->data = to;
    to += texts[i]->size;
  }
  return entry;
}

/* The place for a chunk: where an older reading of it stands, a free one, or that of one without a second chance. With
 * the lock held. */
static Place *
choose_place (Place *set, guint64 hash, const RagifyUuid *id, guint16 holder)
{
  Place *chosen = NULL;
  for (guint i = 0; i < WAYS; i++) {
    if (is_entry_of (&set[i], hash, id, holder))
      return &set[i];
    if (chosen == NULL ||
        (chosen->entry != NULL && (set[i].entry == NULL || (chosen->entry->used && !set[i].entry->used))))
      chosen = &set[i];
  }
  return chosen;
}

/* Lets the hand go round until there are `most` bytes. With the lock held. */
static void
cut_down (const RagifyPassages *passages, Shard *shard, gsize most)
{
  while (shard->bytes > most) {
    Place *place = &shard->places[shard->hand];
    shard->hand = (shard->hand + 1) % (passages->sets * WAYS);
    if (place->entry != NULL && !place->entry->used)
      vacate (shard, place);
    else if (place->entry != NULL)
      place->entry->used = FALSE;
  }
}

void
ragify_passages_put (RagifyPassages *passages, guint16 holder, guint64 state, const RagifyChunk *chunk, guint64 now)
{
  const gsize bytes = sizeof (Entry) + texts_size (chunk);
  if (bytes > passages->limit / LARGEST_SHARE)
    return;
  Entry *entry = copy_chunk (chunk, bytes);
  entry->holder = holder;
  entry->state = state;
  entry->until = now + AGE_US;
  const guint64 hash = hash_of (&chunk->id, holder);
  Shard *shard = shard_of (passages, hash);
  pthread_mutex_lock (&shard->lock);
  Place *place = choose_place (set_of (passages, shard, hash), hash, &chunk->id, holder);
  if (place->entry != NULL)
    vacate (shard, place);
  cut_down (passages, shard, passages->limit - bytes);
  *place = (Place){ .tag = hash, .entry = entry };
  shard->bytes += bytes;
  pthread_mutex_unlock (&shard->lock);
}

void
ragify_passages_shrink (RagifyPassages *passages)
{
  for (guint i = 0; i < SHARDS; i++) {
    Shard *shard = &passages->shards[i];
    pthread_mutex_lock (&shard->lock);
    cut_down (passages, shard, shard->bytes / 2);
    pthread_mutex_unlock (&shard->lock);
  }
}

gsize
ragify_passages_bytes (RagifyPassages *passages)
{
  gsize bytes = 0;
  for (guint i = 0; i < SHARDS; i++) {
    Shard *shard = &passages->shards[i];
    pthread_mutex_lock (&shard->lock);
    bytes += shard->bytes;
    pthread_mutex_unlock (&shard->lock);
  }
  return bytes;
}
