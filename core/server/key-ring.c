/* SPDX-License-Identifier: MIT */
#include "core/server/key-ring.h"

#include <pthread.h>
#include <sys/stat.h>

#define LOOK_MS 1000

struct RagifyKeyRing {
  char *path;
  struct stat seen;
  guint timer;
  guint version; /* atomic */
  pthread_mutex_t lock;
  RagifyKeySet *set; /* under the lock */
};

static gboolean
is_same_file (const struct stat *one, const struct stat *other)
{
  return one->st_ino == other->st_ino && one->st_dev == other->st_dev && one->st_size == other->st_size &&
         one->st_mtim.tv_sec == other->st_mtim.tv_sec && one->st_mtim.tv_nsec == other->st_mtim.tv_nsec;
}

static void
put_set (RagifyKeyRing *ring, RagifyKeySet *set)
{
  pthread_mutex_lock (&ring->lock);
  RagifyKeySet *before = ring->set;
  ring->set = set;
  pthread_mutex_unlock (&ring->lock);
  __atomic_fetch_add (&ring->version, 1, __ATOMIC_RELEASE);
  if (before != NULL)
    ragify_key_set_unref (before);
}

static gboolean
look_again (gpointer data)
{
  RagifyKeyRing *ring = data;
  struct stat now = { 0 };
  g_autoptr (GError) error = NULL;
  const gboolean there = stat (ring->path, &now) == 0;
  if (is_same_file (&now, &ring->seen))
    return G_SOURCE_CONTINUE;
  ring->seen = now;
  g_autoptr (RagifyKeySet) before = ragify_key_ring_set (ring);
  RagifyKeySet *set = ragify_key_set_load (ring->path, before, &error);
  if (set == NULL) {
    g_warning ("%s has changed%s, and the API keys from before stay in force: %s", ring->path,
               there ? "" : " (it is gone)", error->message);
    return G_SOURCE_CONTINUE;
  }
  g_message ("%s has changed: %u API keys are in force", ring->path, ragify_key_set_count (set));
  put_set (ring, set);
  return G_SOURCE_CONTINUE;
}

RagifyKeyRing *
ragify_key_ring_new (const char *path, GError **error)
{
  struct stat seen = { 0 };
  stat (path, &seen); /* before it is read: what is written meanwhile is a change */
  RagifyKeySet *set = ragify_key_set_load (path, NULL, error);
  if (set == NULL)
    return NULL;
  RagifyKeyRing *ring = g_new0 (RagifyKeyRing, 1);
  ring->path = g_strdup (path);
  ring->seen = seen;
  pthread_mutex_init (&ring->lock, NULL);
  put_set (ring, set);
  ring->timer = g_timeout_add (LOOK_MS, look_again, ring);
  return ring;
}

void
ragify_key_ring_free (RagifyKeyRing *ring)
{
  g_source_remove (ring->timer);
  ragify_key_set_unref (ring->set);
  pthread_mutex_destroy (&ring->lock);
  g_free (ring->path);
  g_free (ring);
}

guint
ragify_key_ring_version (const RagifyKeyRing *ring)
{
  return __atomic_load_n (&ring->version, __ATOMIC_ACQUIRE);
}

RagifyKeySet *
ragify_key_ring_set (RagifyKeyRing *ring)
{
  pthread_mutex_lock (&ring->lock);
  RagifyKeySet *set = ragify_key_set_ref (ring->set);
  pthread_mutex_unlock (&ring->lock);
  return set;
}
