/* SPDX-License-Identifier: MIT */
#include "remembered.h"

#include <string.h>

typedef struct Entry {
  HttpMemory memory; /* first: the two are converted into each other */
  char *request;
  gsize bytes;
  GList link; /* in HttpRemembered.order */
} Entry;

struct HttpRemembered {
  guint most;
  gsize most_bytes, bytes;
  GHashTable *entries; /* request → Entry */
  GQueue order;        /* used last first */
};

static void
entry_free (gpointer data)
{
  Entry *entry = data;
  g_bytes_unref (entry->memory.body);
  g_free (entry->memory.etag);
  g_free (entry->memory.last_modified);
  g_free (entry->request);
  g_free (entry);
}

HttpRemembered *
http_remembered_new (guint most, gsize most_bytes)
{
  HttpRemembered *remembered = g_new0 (HttpRemembered, 1);
  remembered->most = most;
  remembered->most_bytes = most_bytes;
  remembered->entries = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, entry_free);
  return remembered;
}

void
http_remembered_free (HttpRemembered *remembered)
{
  if (remembered == NULL)
    return;
  g_hash_table_unref (remembered->entries);
  g_free (remembered);
}

const HttpMemory *
http_remembered_get (HttpRemembered *remembered, const char *request)
{
  Entry *entry = g_hash_table_lookup (remembered->entries, request);
  if (entry == NULL)
    return NULL;
  g_queue_unlink (&remembered->order, &entry->link);
  g_queue_push_head_link (&remembered->order, &entry->link);
  return &entry->memory;
}

static void
drop (HttpRemembered *remembered, Entry *entry)
{
  g_queue_unlink (&remembered->order, &entry->link);
  remembered->bytes -= entry->bytes;
  g_hash_table_remove (remembered->entries, entry->request);
}

void
http_remembered_forget (HttpRemembered *remembered, const char *request)
{
  Entry *entry = g_hash_table_lookup (remembered->entries, request);
  if (entry != NULL)
    drop (remembered, entry);
}

void
http_remembered_put (HttpRemembered *remembered, const char *request, const char *etag, const char *last_modified,
                     GBytes *body)
{
  http_remembered_forget (remembered, request);
  const gsize bytes = g_bytes_get_size (body) + strlen (request) + sizeof (Entry);
  if (remembered->most == 0 || bytes > remembered->most_bytes)
    return;
  while (g_hash_table_size (remembered->entries) >= remembered->most ||
         remembered->bytes + bytes > remembered->most_bytes)
    drop (remembered, remembered->order.tail->data);
  Entry *entry = g_new0 (Entry, 1);
  entry->memory =
      (HttpMemory){ .etag = g_strdup (etag), .last_modified = g_strdup (last_modified), .body = g_bytes_ref (body) };
  entry->request = g_strdup (request);
  entry->bytes = bytes;
  entry->link.data = entry;
  remembered->bytes += bytes;
  g_hash_table_insert (remembered->entries, entry->request, entry);
  g_queue_push_head_link (&remembered->order, &entry->link);
}

guint
http_remembered_count (const HttpRemembered *remembered)
{
  return g_hash_table_size (remembered->entries);
}
