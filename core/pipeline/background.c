/* SPDX-License-Identifier: MIT */
#include "core/pipeline/background.h"

#include <pthread.h>

#define POLL_US 200

struct RagifyBackground {
  pthread_mutex_t lock; /* guards what follows */
  GHashTable *requests; /* RagifyRequest, under way */
  gboolean closing;
};

/* A cancellation on its way to the request's loop. */
typedef struct {
  RagifyTask task;
  RagifyRequest *request; /* a reference */
} Cancel;

RagifyBackground *
ragify_background_new (void)
{
  RagifyBackground *background = g_new0 (RagifyBackground, 1);
  pthread_mutex_init (&background->lock, NULL);
  background->requests = g_hash_table_new (NULL, NULL);
  return background;
}

static void
run_cancel (RagifyTask *task)
{
  Cancel *cancel = (Cancel *)task;
  ragify_pipeline_cancel (cancel->request);
  ragify_owner_unref (&cancel->request->owner);
  g_free (cancel);
}

static void
cancel_all (RagifyBackground *background)
{
  GHashTableIter iter;
  gpointer request;
  g_hash_table_iter_init (&iter, background->requests);
  while (g_hash_table_iter_next (&iter, &request, NULL)) {
    Cancel *cancel = g_new0 (Cancel, 1);
    cancel->task.run = run_cancel;
    cancel->request = request;
    ragify_owner_ref (&cancel->request->owner);
    ragify_loop_post (cancel->request->loop, &cancel->task);
  }
}

static gboolean
is_over (RagifyBackground *background)
{
  pthread_mutex_lock (&background->lock);
  const gboolean over = g_hash_table_size (background->requests) == 0;
  pthread_mutex_unlock (&background->lock);
  return over;
}

void
ragify_background_close (RagifyBackground *background)
{
  pthread_mutex_lock (&background->lock);
  background->closing = TRUE;
  cancel_all (background);
  pthread_mutex_unlock (&background->lock);
  while (!is_over (background)) /* no run outlives its deadline */
    g_usleep (POLL_US);
}

void
ragify_background_free (RagifyBackground *background)
{
  ragify_background_close (background);
  g_hash_table_unref (background->requests);
  pthread_mutex_destroy (&background->lock);
  g_free (background);
}

gboolean
ragify_background_begin (RagifyBackground *background, RagifyRequest *request)
{
  request->began = ragify_now ();
  request->of_host = TRUE;
  g_strlcpy (request->id, "background", sizeof request->id);
  pthread_mutex_lock (&background->lock);
  const gboolean open = !background->closing;
  if (open)
    g_hash_table_add (background->requests, request);
  pthread_mutex_unlock (&background->lock);
  return open;
}

void
ragify_background_end (RagifyBackground *background, RagifyRequest *request)
{
  pthread_mutex_lock (&background->lock);
  g_hash_table_remove (background->requests, request);
  pthread_mutex_unlock (&background->lock);
}
