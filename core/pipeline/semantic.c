/* SPDX-License-Identifier: MIT */
#include "core/pipeline/semantic.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#include "core/pipeline/fuse.h"

typedef struct {
  RagifyTierKey scope, key;
  gboolean used;
} Entry;

struct RagifySemantic {
  guint capacity;
  pthread_rwlock_t lock; /* guards what follows */
  Entry *entries;
  float *vectors; /* of length 1; NULL before the first */
  guint dimension;
  guint count, next; /* places in use from the first on; the one that is replaced next */
};

RagifySemantic *
ragify_semantic_new (guint entries)
{
  RagifySemantic *semantic = g_new0 (RagifySemantic, 1);
  semantic->capacity = MAX (entries, 1);
  semantic->entries = g_new0 (Entry, semantic->capacity);
  pthread_rwlock_init (&semantic->lock, NULL);
  return semantic;
}

void
ragify_semantic_free (RagifySemantic *semantic)
{
  pthread_rwlock_destroy (&semantic->lock);
  g_free (semantic->vectors);
  g_free (semantic->entries);
  g_free (semantic);
}

static gboolean
is_key (const RagifyTierKey *one, const RagifyTierKey *other)
{
  return memcmp (one->bytes, other->bytes, sizeof one->bytes) == 0;
}

/* What brings the vector to length 1; 0: it has none. */
static double
scale_of (const RagifyVectors *vector)
{
  const float square = ragify_dot (vector->items, vector->items, vector->dimension);
  return square > 0 && isfinite (square) ? 1 / sqrt ((double)square) : 0;
}

gboolean
ragify_semantic_find (RagifySemantic *semantic, const RagifyTierKey *scope, const RagifyVectors *vector,
                      double threshold, RagifyTierKey *key, double *cosine)
{
  const double scale = scale_of (vector);
  double best = -2;
  pthread_rwlock_rdlock (&semantic->lock);
  const guint count = vector->dimension == semantic->dimension && scale > 0 ? semantic->count : 0;
  for (guint i = 0; i < count; i++) {
    const Entry *entry = &semantic->entries[i];
    if (!entry->used || !is_key (&entry->scope, scope))
      continue;
    const float *other = semantic->vectors + (gsize)i * semantic->dimension;
    const double near = scale * (double)ragify_dot (vector->items, other, semantic->dimension);
    if (near <= best)
      continue;
    best = near;
    if (near >= threshold)
      *key = entry->key;
  }
  pthread_rwlock_unlock (&semantic->lock);
  if (best < threshold)
    return FALSE;
  *cosine = best;
  return TRUE;
}

/* The place for a query; locked. */
static guint
place_for (RagifySemantic *semantic, const RagifyTierKey *key)
{
  for (guint i = 0; i < semantic->count; i++)
    if (semantic->entries[i].used && is_key (&semantic->entries[i].key, key))
      return i;
  if (semantic->count < semantic->capacity)
    return semantic->count++;
  const guint place = semantic->next;
  semantic->next = (place + 1) % semantic->capacity;
  return place;
}

void
ragify_semantic_add (RagifySemantic *semantic, const RagifyTierKey *scope, const RagifyVectors *vector,
                     const RagifyTierKey *key)
{
  const double scale = scale_of (vector);
  if (scale == 0)
    return;
  pthread_rwlock_wrlock (&semantic->lock);
  if (semantic->dimension != vector->dimension) { /* the first, or another model */
    g_free (semantic->vectors);
    semantic->vectors = g_new0 (float, (gsize)semantic->capacity * vector->dimension);
    semantic->dimension = vector->dimension;
    semantic->count = semantic->next = 0;
  }
  const guint place = place_for (semantic, key);
  float *own = semantic->vectors + (gsize)place * semantic->dimension;
  for (guint i = 0; i < semantic->dimension; i++)
    own[i] = (float)((double)vector->items[i] * scale);
  semantic->entries[place] = (Entry){ .scope = *scope, .key = *key, .used = TRUE };
  pthread_rwlock_unlock (&semantic->lock);
}

void
ragify_semantic_forget (RagifySemantic *semantic, const RagifyTierKey *key)
{
  pthread_rwlock_wrlock (&semantic->lock);
  for (guint i = 0; i < semantic->count; i++)
    if (is_key (&semantic->entries[i].key, key))
      semantic->entries[i].used = FALSE;
  pthread_rwlock_unlock (&semantic->lock);
}

guint
ragify_semantic_count (RagifySemantic *semantic)
{
  guint used = 0;
  pthread_rwlock_rdlock (&semantic->lock);
  for (guint i = 0; i < semantic->count; i++)
    used += semantic->entries[i].used ? 1 : 0;
  pthread_rwlock_unlock (&semantic->lock);
  return used;
}
