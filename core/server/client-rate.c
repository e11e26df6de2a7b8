/* SPDX-License-Identifier: MIT */
#include "client-rate.h"

#include <pthread.h>
#include <string.h>

#include "gcra.h"

#define MOST_CLIENTS 65536u

typedef struct Entry {
  RagifyClientKey client; /* first */
  guint64 due;            /* of ragify_gcra_take */
} Entry;

struct RagifyClientRate {
  pthread_mutex_t lock;
  GHashTable *entries; /* Entry, its own key */
  guint64 swept;       /* monotonic µs */
};

static guint
client_hash (gconstpointer data)
{
  guint64 words[2];
  memcpy (words, data, sizeof words);
  const guint64 mixed = (words[0] ^ (words[1] * 0x9E3779B97F4A7C15u)) * 0xBF58476D1CE4E5B9u;
  return (guint)(mixed >> 32);
}

static gboolean
client_equal (gconstpointer a, gconstpointer b)
{
  return memcmp (a, b, sizeof (RagifyClientKey)) == 0;
}

RagifyClientRate *
ragify_client_rate_new (void)
{
  RagifyClientRate *rates = g_new0 (RagifyClientRate, 1);
  pthread_mutex_init (&rates->lock, NULL);
  rates->entries = g_hash_table_new_full (client_hash, client_equal, g_free, NULL);
  return rates;
}

void
ragify_client_rate_free (RagifyClientRate *rates)
{
  if (rates == NULL)
    return;
  g_hash_table_unref (rates->entries);
  pthread_mutex_destroy (&rates->lock);
  g_free (rates);
}

static gboolean
is_idle (gpointer key, gpointer value, gpointer user)
{
  return ((const Entry *)key)->due <= *(const guint64 *)user;
}

/* Who has used nothing up is as good as new: once a second at most. NULL: there is no room. With the lock held. */
static Entry *
find_entry (RagifyClientRate *rates, const RagifyClientKey *client, guint64 now)
{
  Entry *entry = g_hash_table_lookup (rates->entries, client);
  if (entry != NULL)
    return entry;
  if (g_hash_table_size (rates->entries) >= MOST_CLIENTS && now - rates->swept > G_USEC_PER_SEC) {
    rates->swept = now;
    g_hash_table_foreach_remove (rates->entries, is_idle, &now);
  }
  if (g_hash_table_size (rates->entries) >= MOST_CLIENTS)
    return NULL;
  entry = g_new0 (Entry, 1);
  entry->client = *client;
  g_hash_table_add (rates->entries, entry);
  return entry;
}

gboolean
ragify_client_rate_take (RagifyClientRate *rates, const RagifyClientKey *client, double rate, guint burst, guint64 now,
                         guint *retry_after)
{
  static const RagifyClientKey none;
  if (client_equal (client, &none))
    return TRUE;
  guint64 unused = 0;
  pthread_mutex_lock (&rates->lock);
  Entry *entry = find_entry (rates, client, now);
  const gboolean allowed = ragify_gcra_take (entry != NULL ? &entry->due : &unused, rate, burst, now, retry_after);
  pthread_mutex_unlock (&rates->lock);
  return allowed;
}
