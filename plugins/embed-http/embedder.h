/* An embedding service elsewhere: what the plugin's files share. SPDX-License-Identifier: MIT */
#pragma once

#include "http-service.h"

#include <stdatomic.h>

typedef enum { HTTP_EMBEDDER_OPENAI, HTTP_EMBEDDER_TEI } HttpEmbedderApi;

typedef struct HttpEmbedder {
  RagifyHttpService service;
  HttpEmbedderApi api;
  char *model, *query_prefix, *document_prefix; /* prefixes: NULL: none */
  char *fingerprint;                            /* NULL: the dimension is not known yet */
  guint dimension;                              /* 0: not known yet */
  gboolean send_dimension, base64;
  guint request_texts, parallel, token_limit;
  gsize request_size, max_text;
  guint64 texts, truncated;
  _Atomic guint64 tokens, normalised; /* tokens: that the service counted */
} HttpEmbedder;

/* The dimension is known from now on. */
void http_embedder_settle (HttpEmbedder *embedder, guint dimension);

/* ---- wire.c ---- */

/* The body of a request for these texts. */
json_t *http_embedder_ask (const HttpEmbedder *embedder, const char *prefix, const RagifyStr *texts, guint count);

/* Reads the vectors of `count` texts out of an answer, makes them unit vectors, and writes them to `items`, which has
 * room for `dimension` numbers each. Where the dimension is not known, `*dimension` is 0 and gets it; `items` is then
 * not written. FALSE with a fault. [any] */
gboolean http_embedder_read (HttpEmbedder *embedder, const json_t *answer, guint count, guint *dimension, float *items,
                             RagifyFault *fault);

/* ---- asking.c ---- */

void http_embedder_embed (HttpEmbedder *embedder, RagifyCall *call, const RagifyEmbedderEmbed *args);
/* Embeds a short text to see that it works; learns the dimension where that is not known. `done` completes the call. */
void http_embedder_try (HttpEmbedder *embedder, RagifyCall *call,
                        void (*done) (HttpEmbedder *embedder, RagifyCall *call, guint64 took_us));
