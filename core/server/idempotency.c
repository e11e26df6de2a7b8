/* SPDX-License-Identifier: MIT */
#include "idempotency.h"

#include <pthread.h>
#include <string.h>

#define DEFAULT_ENTRIES 10000u
#define DEFAULT_BYTES (64 * (gsize)1024 * 1024)
#define DEFAULT_AGE_US (24 * 3600 * (guint64)G_USEC_PER_SEC)

typedef struct Entry {
  char *key;
  guint64 began;
  gboolean answered;
  RagifyRequestDigest digest;
  char *body;
  gsize size;
  GList place; /* in `order` */
} Entry;

struct RagifyIdempotency {
  guint most;
  gsize most_bytes;
  guint64 age_us;
  pthread_mutex_t lock; /* guards what follows */
  GHashTable *entries;  /* Entry.key → Entry */
  GQueue order;         /* Entry: the oldest first */
  gsize bytes;
};

RagifyIdempotency *
ragify_idempotency_new (guint entries, gsize bytes, guint64 age_us)
{
  RagifyIdempotency *idempotency = g_new0 (RagifyIdempotency, 1);
  idempotency->most = entries != 0 ? entries : DEFAULT_ENTRIES;
  idempotency->most_bytes = bytes != 0 ? bytes : DEFAULT_BYTES;
  idempotency->age_us = age_us != 0 ? age_us : DEFAULT_AGE_US;
  idempotency->entries = g_hash_table_new (g_str_hash, g_str_equal);
  g_queue_init (&idempotency->order);
  pthread_mutex_init (&idempotency->lock, NULL);
  return idempotency;
}

/* With the lock held. */
static void
drop (RagifyIdempotency *idempotency, Entry *entry)
{
  g_hash_table_remove (idempotency->entries, entry->key);
  g_queue_unlink (&idempotency->order, &entry->place);
  idempotency->bytes -= entry->size;
  g_free (entry->key);
  g_free (entry->body);
  g_free (entry);
}

void
ragify_idempotency_free (RagifyIdempotency *idempotency)
{
  if (idempotency == NULL)
    return;
  while (!g_queue_is_empty (&idempotency->order))
    drop (idempotency, g_queue_peek_head (&idempotency->order));
  g_hash_table_unref (idempotency->entries);
  pthread_mutex_destroy (&idempotency->lock);
  g_free (idempotency);
}

/* Lets go of what is too old, and of the oldest where there is too much. Those that are not answered stay: requests
 * that are under way are bounded elsewhere. With the lock held. */
static void
make_room (RagifyIdempotency *idempotency, guint64 now)
{
  GList *next = NULL;
  for (GList *at = idempotency->order.head; at != NULL; at = next) {
    Entry *entry = at->data;
    next = at->next;
    const gboolean old = now - entry->began > idempotency->age_us;
    const gboolean full = idempotency->order.length > idempotency->most || idempotency->bytes > idempotency->most_bytes;
    if (!old && !full)
      return;
    if (entry->answered)
      drop (idempotency, entry);
  }
}

RagifyIdempotentState
ragify_idempotency_begin (RagifyIdempotency *idempotency, const char *key, guint64 now)
{
  pthread_mutex_lock (&idempotency->lock);
  make_room (idempotency, now);
  Entry *entry = g_hash_table_lookup (idempotency->entries, key);
  RagifyIdempotentState state = RAGIFY_IDEMPOTENT_NEW;
  if (entry != NULL) {
    state = entry->answered ? RAGIFY_IDEMPOTENT_ANSWERED : RAGIFY_IDEMPOTENT_RUNNING;
  } else {
    entry = g_new0 (Entry, 1);
    entry->key = g_strdup (key);
    entry->began = now;
    entry->place.data = entry;
    g_hash_table_insert (idempotency->entries, entry->key, entry);
    g_queue_push_tail_link (&idempotency->order, &entry->place);
  }
  pthread_mutex_unlock (&idempotency->lock);
  return state;
}

void
ragify_idempotency_finish (RagifyIdempotency *idempotency, const char *key, const RagifyRequestDigest *digest,
                           const char *body, gsize size)
{
  pthread_mutex_lock (&idempotency->lock);
  Entry *entry = g_hash_table_lookup (idempotency->entries, key);
  if (entry != NULL && !entry->answered) {
    entry->answered = TRUE;
    entry->digest = *digest;
    entry->body = g_memdup2 (body, size);
    entry->size = size;
    idempotency->bytes += size;
    make_room (idempotency, entry->began);
  }
  pthread_mutex_unlock (&idempotency->lock);
}

void
ragify_idempotency_abandon (RagifyIdempotency *idempotency, const char *key)
{
  pthread_mutex_lock (&idempotency->lock);
  Entry *entry = g_hash_table_lookup (idempotency->entries, key);
  if (entry != NULL && !entry->answered)
    drop (idempotency, entry);
  pthread_mutex_unlock (&idempotency->lock);
}

char *
ragify_idempotency_answer (RagifyIdempotency *idempotency, const char *key, const RagifyRequestDigest *digest,
                           gsize *size, gboolean *gone)
{
  char *body = NULL;
  pthread_mutex_lock (&idempotency->lock);
  const Entry *entry = g_hash_table_lookup (idempotency->entries, key);
  *gone = entry == NULL || !entry->answered;
  if (!*gone && entry->digest.high == digest->high && entry->digest.low == digest->low) {
    body = g_memdup2 (entry->body, MAX (entry->size, 1));
    *size = entry->size;
  }
  pthread_mutex_unlock (&idempotency->lock);
  return body;
}
