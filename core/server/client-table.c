/* SPDX-License-Identifier: MIT */
#include "client-table.h"

#include <netinet/in.h>
#include <pthread.h>
#include <string.h>

struct RagifyClientTable {
  pthread_mutex_t lock;
  GHashTable *counts; /* key → number */
};

static guint
key_hash (gconstpointer data)
{
  guint32 words[4];
  memcpy (words, data, sizeof words);
  return (words[0] * 0x9e3779b1u) ^ (words[1] * 0x85ebca77u) ^ (words[2] * 0xc2b2ae3du) ^ (words[3] * 0x27d4eb2fu);
}

static gboolean
key_equal (gconstpointer a, gconstpointer b)
{
  return memcmp (a, b, sizeof (RagifyClientKey)) == 0;
}

RagifyClientTable *
ragify_client_table_new (void)
{
  RagifyClientTable *table = g_new0 (RagifyClientTable, 1);
  pthread_mutex_init (&table->lock, NULL);
  table->counts = g_hash_table_new_full (key_hash, key_equal, g_free, NULL);
  return table;
}

void
ragify_client_table_free (RagifyClientTable *table)
{
  if (table == NULL)
    return;
  g_hash_table_unref (table->counts);
  pthread_mutex_destroy (&table->lock);
  g_free (table);
}

RagifyClientKey
ragify_client_key (const struct sockaddr *address)
{
  RagifyClientKey key = { 0 };
  if (address != NULL && address->sa_family == AF_INET) {
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
    memset (key.bytes + 10, 0xff, 2);
    memcpy (key.bytes + 12, &v4->sin_addr, 4);
  } else if (address != NULL && address->sa_family == AF_INET6) {
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
    const gsize size = IN6_IS_ADDR_V4MAPPED (&v6->sin6_addr) ? 16 : 8;
    memcpy (key.bytes, &v6->sin6_addr, size);
    /* Loopback is all 0 in its first half. */
    if (size == 8 && IN6_IS_ADDR_LOOPBACK (&v6->sin6_addr))
      key.bytes[15] = 1;
  }
  return key;
}

static gboolean
is_counted (const RagifyClientKey *key)
{
  static const RagifyClientKey none;
  return !key_equal (key, &none);
}

guint
ragify_client_table_add (RagifyClientTable *table, const RagifyClientKey *key)
{
  if (!is_counted (key))
    return 0;
  pthread_mutex_lock (&table->lock);
  const guint count = GPOINTER_TO_UINT (g_hash_table_lookup (table->counts, key)) + 1;
  g_hash_table_replace (table->counts, g_memdup2 (key, sizeof *key), GUINT_TO_POINTER (count));
  pthread_mutex_unlock (&table->lock);
  return count;
}

void
ragify_client_table_remove (RagifyClientTable *table, const RagifyClientKey *key)
{
  if (!is_counted (key))
    return;
  pthread_mutex_lock (&table->lock);
  const guint count = GPOINTER_TO_UINT (g_hash_table_lookup (table->counts, key));
  if (count > 1)
    g_hash_table_replace (table->counts, g_memdup2 (key, sizeof *key), GUINT_TO_POINTER (count - 1));
  else
    g_hash_table_remove (table->counts, key);
  pthread_mutex_unlock (&table->lock);
}

guint
ragify_client_table_count (RagifyClientTable *table, const RagifyClientKey *key)
{
  pthread_mutex_lock (&table->lock);
  const guint count = GPOINTER_TO_UINT (g_hash_table_lookup (table->counts, key));
  pthread_mutex_unlock (&table->lock);
  return count;
}
