/* One query on its way to the service and back. SPDX-License-Identifier: MIT */
#pragma once

#include "http-client.h"
#include "mapping.h"
#include "remembered.h"
#include "template.h"

typedef struct HttpSource {
  const RagifyHost *host;
  RagifyContext *context;
  RagifyHttpSettings *settings;
  RagifyHttpClient *client;
  HttpMapping *mapping;
  HttpTemplate *url, *body; /* body NULL: none */
  char *method, *content_type;
  HttpRemembered *remembered;
  guint64 not_modified, unusable;
  gboolean complained; /* of results that could not be used */
} HttpSource;

/* Asks, and completes the call with passages. `probe`: with a RagifyProbeResult instead. [loop] */
void http_source_ask (HttpSource *source, RagifyCall *call, RagifyStr text, guint limit, gboolean probe);
