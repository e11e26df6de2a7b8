/* SPDX-License-Identifier: MIT */
#include "core/app/service.h"

#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>

struct RagifyService {
  guint watchdog; /* source id; 0: none */
};

static gboolean
feed_watchdog (gpointer data)
{
  sd_notify (0, "WATCHDOG=1");
  return G_SOURCE_CONTINUE;
}

RagifyService *
ragify_service_begin (void)
{
  RagifyService *service = g_new0 (RagifyService, 1);
  uint64_t interval = 0;
  if (sd_watchdog_enabled (0, &interval) > 0 && interval > 0)
    service->watchdog = g_timeout_add ((guint)MAX (interval / 3000, 1), feed_watchdog, NULL);
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

void
ragify_service_end (RagifyService *service)
{
  sd_notify (0, "STOPPING=1");
  if (service->watchdog != 0)
    g_source_remove (service->watchdog);
  g_free (service);
}

#else

RagifyService *
ragify_service_begin (void)
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
