/* SPDX-License-Identifier: MIT */
#include "postgres-options.h"

#include "settings.h"

RagifyPostgresPoolOptions
ragify_postgres_options_read (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which,
                              RagifyFault *fault)
{
  return (RagifyPostgresPoolOptions){
    .target = ragify_postgres_target_new (ragify_setting_str (host, context, "dsn"),
                                          ragify_setting_str (host, context, "password"), fault),
    .which = which,
    .min_size = (guint)ragify_setting_int (host, context, "min-size"),
    .max_size = (guint)ragify_setting_int (host, context, "max-size"),
    .max_inactive_us = ragify_setting_duration_us (host, context, "max-inactive-lifetime"),
    .connect_timeout_us = ragify_setting_duration_us (host, context, "connect-timeout"),
    .max_waiting = (guint)ragify_setting_int (host, context, "max-waiting"),
    .max_row = ragify_setting_size (host, context, "max-row"),
  };
}
