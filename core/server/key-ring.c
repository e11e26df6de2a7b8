/* SPDX-License-Identifier: MIT */
#include "core/server/key-ring.h"

#include <pthread.h>

#include "core/server/file-watch.h"

struct RagifyKeyRing {
  char *path;
  RagifyFileWatch *watch;
  guint version; /* atomic */
  pthread_mutex_t lock;
  RagifyKeySet *set; /* under the lock */
};

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

static void
file_changed (void *user)
{
  RagifyKeyRing *ring = user;
  g_autoptr (GError) error = NULL;
  g_autoptr (RagifyKeySet) before = ragify_key_ring_set (ring);
  RagifyKeySet *set = ragify_key_set_load (ring->path, before, &error);
  if (set == NULL) {
    g_warning ("%s has changed, and the API keys from before stay in force: %s", ring->path, error->message);
    return;
  }
  g_message ("%s has changed: %u API keys are in force", ring->path, ragify_key_set_count (set));
  put_set (ring, set);
}

RagifyKeyRing *
ragify_key_ring_new (const char *path, GError **error)
{
  RagifyKeyRing *ring = g_new0 (RagifyKeyRing, 1);
  const char *const paths[] = { path, NULL };
  pthread_mutex_init (&ring->lock, NULL);
  ring->path = g_strdup (path);
  ring->watch = ragify_file_watch_new (paths, file_changed, ring); /* first: what is written meanwhile is a change */
  RagifyKeySet *set = ragify_key_set_load (path, NULL, error);
  if (set == NULL) {
    ragify_key_ring_free (ring);
    return NULL;
  }
  put_set (ring, set);
  return ring;
}

void
ragify_key_ring_free (RagifyKeyRing *ring)
{
  ragify_file_watch_free (ring->watch);
  g_clear_pointer (&ring->set, ragify_key_set_unref);
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
