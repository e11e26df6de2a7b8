/* SPDX-License-Identifier: MIT */
#include "core/app/service.h"

#include <stdatomic.h>

#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>

#define POLL_US 1000
#define PATIENCE_POLLS 500

/* A word to a loop thread, and whether it is still on its way. */
typedef struct Word {
  RagifyTask task;
  atomic_bool out;
} Word;

struct RagifyService {
  guint watchdog; /* source id; 0: none */
  RagifyRuntime *runtime;
  Word *words; /* one for each loop */
};

static void
heard (RagifyTask *task)
{
  atomic_store (&((Word *)task)->out, FALSE);
}

/* A loop that a plugin blocks has not heard the last word: then the service manager is to find out. */
static gboolean
feed_watchdog (gpointer data)
{
  RagifyService *service = data;
  gboolean alive = TRUE;
  for (guint i = 0; i < service->runtime->n_loops; i++) {
    Word *word = &service->words[i];
    if (atomic_exchange (&word->out, TRUE)) {
      alive = FALSE;
      continue;
    }
    word->task.run = heard;
    ragify_loop_post (service->runtime->loops[i], &word->task);
  }
  if (alive)
    sd_notify (0, "WATCHDOG=1");
  return G_SOURCE_CONTINUE;
}

RagifyService *
ragify_service_begin (RagifyRuntime *runtime)
{
  RagifyService *service = g_new0 (RagifyService, 1);
  uint64_t interval = 0;
  service->runtime = runtime;
  service->words = g_new0 (Word, runtime->n_loops);
  if (sd_watchdog_enabled (0, &interval) > 0 && interval > 0)
    service->watchdog = g_timeout_add ((guint)MAX (interval / 3000, 1), feed_watchdog, service);
  sd_notify (0, "READY=1");
  return service;
}

void
ragify_service_reloading (void)
{
  sd_notifyf (0, "RELOADING=1\nMONOTONIC_USEC=%" G_GINT64_FORMAT, g_get_monotonic_time ());
}

void
ragify_service_reloaded (gboolean applied)
{
  sd_notifyf (0, "READY=1\nSTATUS=%s",
              applied ? "Serving" : "Serving; the last reload was refused, see the log or run ragify-host --check");
}

static gboolean
all_heard (const RagifyService *service)
{
  for (guint i = 0; i < service->runtime->n_loops; i++)
    if (atomic_load (&service->words[i].out))
      return FALSE;
  return TRUE;
}

void
ragify_service_end (RagifyService *service)
{
  sd_notify (0, "STOPPING=1");
  if (service->watchdog != 0)
    g_source_remove (service->watchdog);
  for (guint i = 0; i < PATIENCE_POLLS && !all_heard (service); i++)
    g_usleep (POLL_US);
  if (!all_heard (service))
    return; /* a loop that hangs keeps its word */
  g_free (service->words);
  g_free (service);
}

#else

RagifyService *
ragify_service_begin (RagifyRuntime *runtime)
{
  return NULL;
}

void
ragify_service_reloading (void)
{
}

void
ragify_service_reloaded (gboolean applied)
{
}

void
ragify_service_end (RagifyService *service)
{
}

#endif
