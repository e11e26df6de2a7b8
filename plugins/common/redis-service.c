/* SPDX-License-Identifier: MIT */
#include "redis-service.h"

#include "settings.h"

static void
changed (void *user, const char *server, bool up, const RagifyFault *fault)
{
  RagifyRedisService *service = user;
  RagifyCall *call = g_steal_pointer (&service->starting);
  g_autofree char *text = up ? g_strdup_printf ("connected to Redis at %s", server)
                             : g_strdup_printf ("no connection to Redis: %s", fault->message);
  const bool warns = !up && (call != NULL || !service->quiet);
  service->host->log (service->context, warns ? RAGIFY_LOG_WARNING : RAGIFY_LOG_INFO, ragify_str_from (text));
  if (call != NULL)
    service->host->call_done (call, NULL);
}

bool
ragify_redis_service_init (RagifyRedisService *service, const RagifyHost *host, RagifyContext *context,
                           RagifyRedisBounds bounds, RagifyFault *fault)
{
  const RagifyRedisOptions options = {
    .host = host,
    .context = context,
    .url = ragify_setting_str (host, context, "url"),
    .username = ragify_setting_str (host, context, "username"),
    .password = ragify_setting_str (host, context, "password"),
    .sentinel_username = ragify_setting_str (host, context, "sentinel-username"),
    .sentinel_password = ragify_setting_str (host, context, "sentinel-password"),
    .tls_ca_file = ragify_setting_str (host, context, "tls-ca"),
    .tls_certificate_file = ragify_setting_str (host, context, "tls-certificate"),
    .tls_key_file = ragify_setting_str (host, context, "tls-key"),
    .tls_no_verify = !ragify_setting_bool (host, context, "tls-verify"),
    .client_name = "ragify",
    .connect_timeout_us = ragify_setting_duration_us (host, context, "connect-timeout"),
    .reply_timeout_us = ragify_setting_duration_us (host, context, "reply-timeout"),
    .reply_bytes_max = bounds.reply_bytes,
    .in_flight_max = bounds.in_flight,
    .changed = changed,
    .user = service,
  };
  service->host = host;
  service->context = context;
  service->redis = ragify_redis_new (&options, fault);
  return service->redis != NULL;
}

void
ragify_redis_service_clear (RagifyRedisService *service)
{
  ragify_redis_free (g_steal_pointer (&service->redis));
}

void
ragify_redis_service_start (RagifyRedisService *service, RagifyCall *call)
{
  service->starting = call;
  ragify_redis_start (service->redis);
}

void
ragify_redis_service_stop (RagifyRedisService *service, RagifyCall *call)
{
  ragify_redis_stop (service->redis);
  service->host->call_done (call, NULL);
}
