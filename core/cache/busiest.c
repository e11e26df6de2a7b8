/* SPDX-License-Identifier: MIT */
#include "core/cache/busiest.h"

#include <pthread.h>
#include <string.h>

#define HALVE_EVERY_US (3600 * (guint64)G_USEC_PER_SEC)

typedef struct {
  RagifyTierKey identity;
  guint64 count, surplus; /* surplus: taken over from who was here before */
  guint place;            /* in the heap */
  char *text;             /* NULL: not known */
} Entry;

typedef struct {
  _Alignas(64) pthread_mutex_t lock;
  GHashTable *entries; /* RagifyTierKey in Entry */
  Entry *all;
  Entry **heap; /* the least counted first */
  guint count;
  guint64 halved_at;
} Table;

struct RagifyBusiest {
  guint n_tables, places;
  Table *tables;
};

static guint
identity_hash (gconstpointer key)
{
  guint hash;
  memcpy (&hash, ((const RagifyTierKey *)key)->bytes, sizeof hash);
  return hash;
}

static gboolean
identity_equal (gconstpointer a, gconstpointer b)
{
  return memcmp (((const RagifyTierKey *)a)->bytes, ((const RagifyTierKey *)b)->bytes, 16) == 0;
}

RagifyBusiest *
ragify_busiest_new (guint tables, guint places)
{
  RagifyBusiest *busiest = g_new0 (RagifyBusiest, 1);
  busiest->n_tables = MAX (tables, 1);
  busiest->places = MAX (places, 1);
  busiest->tables = g_aligned_alloc0 (busiest->n_tables, sizeof *busiest->tables, 64);
  for (guint i = 0; i < busiest->n_tables; i++) {
    Table *table = &busiest->tables[i];
    pthread_mutex_init (&table->lock, NULL);
    table->entries = g_hash_table_new (identity_hash, identity_equal);
    table->all = g_new0 (Entry, busiest->places);
    table->heap = g_new0 (Entry *, busiest->places);
    table->halved_at = ragify_now ();
  }
  return busiest;
}

void
ragify_busiest_free (RagifyBusiest *busiest)
{
  for (guint i = 0; i < busiest->n_tables; i++) {
    Table *table = &busiest->tables[i];
    for (guint k = 0; k < table->count; k++)
      g_free (table->all[k].text);
    g_hash_table_unref (table->entries);
    g_free (table->all);
    g_free (table->heap);
    pthread_mutex_destroy (&table->lock);
  }
  g_aligned_free (busiest->tables);
  g_free (busiest);
}

/* ---- one table; locked ---- */

static void
set_place (Table *table, guint place, Entry *entry)
{
  table->heap[place] = entry;
  entry->place = place;
}

/* The entry has been counted up. */
static void
sink (Table *table, Entry *entry)
{
  guint place = entry->place;
  for (guint child = 2 * place + 1; child < table->count; child = 2 * place + 1) {
    if (child + 1 < table->count && table->heap[child + 1]->count < table->heap[child]->count)
      child++;
    if (table->heap[child]->count >= entry->count)
      break;
    set_place (table, place, table->heap[child]);
    place = child;
  }
  set_place (table, place, entry);
}

static void
rise (Table *table, Entry *entry)
{
  guint place = entry->place;
  while (place > 0 && table->heap[(place - 1) / 2]->count > entry->count) {
    set_place (table, place, table->heap[(place - 1) / 2]);
    place = (place - 1) / 2;
  }
  set_place (table, place, entry);
}

static void
halve (Table *table)
{
  const guint64 now = ragify_now ();
  if (now < table->halved_at + HALVE_EVERY_US)
    return;
  table->halved_at = now;
  for (guint i = 0; i < table->count; i++) { /* the order stays */
    table->all[i].count /= 2;
    table->all[i].surplus /= 2;
  }
}

/* A new request: in a free place, or in that of the least counted one. */
static Entry *
admit (const RagifyBusiest *busiest, Table *table, const RagifyTierKey *identity)
{
  if (table->count < busiest->places) {
    Entry *entry = &table->all[table->count];
    *entry = (Entry){ .identity = *identity, .place = table->count };
    table->heap[table->count++] = entry;
    rise (table, entry);
    g_hash_table_insert (table->entries, &entry->identity, entry);
    return entry;
  }
  Entry *entry = table->heap[0];
  g_hash_table_remove (table->entries, &entry->identity);
  g_clear_pointer (&entry->text, g_free);
  entry->identity = *identity;
  entry->surplus = entry->count;
  g_hash_table_insert (table->entries, &entry->identity, entry);
  return entry;
}

/* ---- what others see ---- */

gboolean
ragify_busiest_count (RagifyBusiest *busiest, guint index, const RagifyTierKey *identity)
{
  Table *table = &busiest->tables[index % busiest->n_tables];
  pthread_mutex_lock (&table->lock);
  halve (table);
  Entry *entry = g_hash_table_lookup (table->entries, identity);
  const gboolean again = entry != NULL;
  if (entry == NULL)
    entry = admit (busiest, table, identity);
  entry->count++;
  sink (table, entry);
  const gboolean wanted = again && entry->text == NULL;
  pthread_mutex_unlock (&table->lock);
  return wanted;
}

void
ragify_busiest_describe (RagifyBusiest *busiest, guint index, const RagifyTierKey *identity, const char *text)
{
  Table *table = &busiest->tables[index % busiest->n_tables];
  const gboolean small = strlen (text) <= RAGIFY_BUSIEST_TEXT_MAX;
  pthread_mutex_lock (&table->lock);
  Entry *entry = g_hash_table_lookup (table->entries, identity);
  if (entry != NULL && entry->text == NULL)
    entry->text = g_strdup (small ? text : "");
  pthread_mutex_unlock (&table->lock);
}

void
ragify_busiest_add (RagifyBusiest *busiest, const RagifyTierKey *identity, guint64 count, const char *text)
{
  Table *table = &busiest->tables[0];
  pthread_mutex_lock (&table->lock);
  Entry *entry = g_hash_table_lookup (table->entries, identity);
  if (entry == NULL)
    entry = admit (busiest, table, identity);
  entry->count += count;
  sink (table, entry);
  pthread_mutex_unlock (&table->lock);
  ragify_busiest_describe (busiest, 0, identity, text);
}

/* Adds one table's requests to those of the others. */
static void
add_table (Table *table, GHashTable *sums)
{
  pthread_mutex_lock (&table->lock);
  for (guint i = 0; i < table->count; i++) {
    const Entry *entry = &table->all[i];
    RagifyBusy *busy = g_hash_table_lookup (sums, &entry->identity);
    if (busy == NULL) {
      busy = g_new0 (RagifyBusy, 1);
      busy->identity = entry->identity;
      g_hash_table_insert (sums, &busy->identity, busy);
    }
    busy->count += entry->count - entry->surplus;
    if (busy->text == NULL && entry->text != NULL && *entry->text != '\0')
      busy->text = g_strdup (entry->text);
  }
  pthread_mutex_unlock (&table->lock);
}

static gint
busier_first (gconstpointer a, gconstpointer b)
{
  const RagifyBusy *first = a, *second = b;
  if (first->count != second->count)
    return first->count > second->count ? -1 : 1;
  return memcmp (first->identity.bytes, second->identity.bytes, sizeof first->identity.bytes);
}

GArray *
ragify_busiest_list (RagifyBusiest *busiest, guint limit)
{
  g_autoptr (GHashTable) sums = g_hash_table_new_full (identity_hash, identity_equal, NULL, g_free);
  for (guint i = 0; i < busiest->n_tables; i++)
    add_table (&busiest->tables[i], sums);
  GArray *list = g_array_new (FALSE, FALSE, sizeof (RagifyBusy));
  GHashTableIter iter;
  gpointer value;
  g_hash_table_iter_init (&iter, sums);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    if (((RagifyBusy *)value)->text != NULL)
      g_array_append_vals (list, value, 1);
  g_array_sort (list, busier_first);
  for (guint i = limit; i < list->len; i++)
    g_free (g_array_index (list, RagifyBusy, i).text);
  g_array_set_size (list, MIN (list->len, limit));
  return list;
}

void
ragify_busy_list_free (GArray *list)
{
  for (guint i = 0; i < list->len; i++)
    g_free (g_array_index (list, RagifyBusy, i).text);
  g_array_unref (list);
}
