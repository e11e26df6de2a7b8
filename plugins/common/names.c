#include "names.h"

#include <glib.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>

#define KEEP_US (30 * (guint64)G_USEC_PER_SEC)
#define MOST_ADDRESSES 16

typedef struct Entry {
  char *name;
  GPtrArray *addresses; /* NULL: not known */
  guint64 found;
  gboolean asking;
  RagifyNameWait *waits;
} Entry;

struct RagifyNames {
  const RagifyHost *host;
  RagifyErrands *errands;
  GHashTable *entries;
};

typedef struct Lookup {
  char *name;
  RagifyNames *names;
  GPtrArray *addresses;
  char *error;
} Lookup;

static void
entry_free (gpointer data)
{
  Entry *entry = data;
  g_free (entry->name);
  g_clear_pointer (&entry->addresses, g_ptr_array_unref);
  g_free (entry);
}

static void
lookup_free (void *user)
{
  Lookup *lookup = user;
  g_clear_pointer (&lookup->addresses, g_ptr_array_unref);
  g_free (lookup->error);
  g_free (lookup->name);
  g_free (lookup);
}

RagifyNames *
ragify_names_new (const RagifyHost *host, RagifyErrands *errands)
{
  RagifyNames *names = g_new0 (RagifyNames, 1);
  names->host = host;
  names->errands = errands;
  names->entries = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, entry_free);
  return names;
}

void
ragify_names_free (RagifyNames *names)
{
  if (names == NULL)
    return;
  g_hash_table_unref (names->entries);
  g_free (names);
}

static void
look_up (void *user)
{
  Lookup *lookup = user;
  const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
  struct addrinfo *found = NULL;
  const int code = getaddrinfo (lookup->name, NULL, &hints, &found);
  if (code != 0) {
    lookup->error = g_strdup (gai_strerror (code));
    return;
  }
  lookup->addresses = g_ptr_array_new_with_free_func (g_free);
  for (const struct addrinfo *at = found; at != NULL && lookup->addresses->len < MOST_ADDRESSES; at = at->ai_next) {
    char text[NI_MAXHOST];
    if (getnameinfo (at->ai_addr, at->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) == 0)
      g_ptr_array_add (lookup->addresses, g_strdup (text));
  }
  freeaddrinfo (found);
  if (lookup->addresses->len == 0) {
    g_clear_pointer (&lookup->addresses, g_ptr_array_unref);
    lookup->error = g_strdup ("it has no address");
    return;
  }
  g_ptr_array_add (lookup->addresses, NULL);
}

/* Who is answered may ask again, or take others back. */
static void
answer_all (Entry *entry, GPtrArray *addresses, const char *error)
{
  while (entry->waits != NULL) {
    RagifyNameWait *wait = entry->waits;
    entry->waits = wait->next;
    wait->entry = NULL;
    wait->answer (wait, addresses != NULL ? (const char *const *)addresses->pdata : NULL, error);
  }
}

static void
looked_up (void *user)
{
  Lookup *lookup = user;
  RagifyNames *names = lookup->names;
  Entry *entry = g_hash_table_lookup (names->entries, lookup->name);
  g_autoptr (GPtrArray) addresses = g_steal_pointer (&lookup->addresses);
  entry->asking = FALSE;
  if (addresses != NULL) {
    g_clear_pointer (&entry->addresses, g_ptr_array_unref);
    entry->addresses = g_ptr_array_ref (addresses);
    entry->found = names->host->clock_us ();
  }
  answer_all (entry, addresses, lookup->error);
  lookup_free (lookup);
}

static Entry *
entry_of (RagifyNames *names, const char *name)
{
  Entry *entry = g_hash_table_lookup (names->entries, name);
  if (entry != NULL)
    return entry;
  entry = g_new0 (Entry, 1);
  entry->name = g_strdup (name);
  g_hash_table_insert (names->entries, entry->name, entry);
  return entry;
}

static gboolean
begin_look_up (RagifyNames *names, const char *name)
{
  Lookup *lookup = g_new0 (Lookup, 1);
  lookup->name = g_strdup (name);
  lookup->names = names;
  const RagifyErrand errand = { .work = look_up, .finished = looked_up, .orphaned = lookup_free, .user = lookup };
  if (ragify_errands_run (names->errands, &errand))
    return TRUE;
  lookup_free (lookup);
  return FALSE;
}

void
ragify_names_ask (RagifyNames *names, const char *name, RagifyNameWait *wait)
{
  Entry *entry = entry_of (names, name);
  const gboolean fresh = entry->addresses != NULL && names->host->clock_us () - entry->found < KEEP_US;
  wait->entry = NULL;
  if (fresh) {
    g_autoptr (GPtrArray) addresses = g_ptr_array_ref (entry->addresses);
    wait->answer (wait, (const char *const *)addresses->pdata, NULL);
    return;
  }
  if (!entry->asking && !begin_look_up (names, name)) {
    wait->answer (wait, NULL, "too many look-ups are under way");
    return;
  }
  entry->asking = TRUE;
  wait->entry = entry;
  wait->next = entry->waits;
  entry->waits = wait;
}

void
ragify_names_forget (RagifyNames *names, RagifyNameWait *wait)
{
  Entry *entry = wait->entry;
  if (entry == NULL)
    return;
  RagifyNameWait **at = &entry->waits;
  while (*at != wait)
    at = &(*at)->next;
  *at = wait->next;
  wait->entry = NULL;
}
