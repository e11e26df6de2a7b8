/* Embeddings as OpenAI's API has them: questions and answers.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <ragify/ragify.h>

#include "core/call/arena.h"
#include "core/pipeline/request.h"

#define RAGIFY_EMBEDDINGS_MOST 2048u
#define RAGIFY_EMBEDDINGS_LONGEST 262144u /* bytes of one text */

typedef struct RagifyEmbeddingsQuestion {
  RagifyStr *texts;
  guint count;
  const char *model; /* NULL: not said */
  guint dimensions;  /* 0: not said */
  gboolean base64;
} RagifyEmbeddingsQuestion;

/* Reads a body; what it keeps lies in the arena. FALSE with a problem. [any] */
gboolean ragify_embeddings_parse (const char *body, gsize size, RagifyArena *arena, RagifyEmbeddingsQuestion *question,
                                  RagifyProblem *problem);

/* The answer's text, of `count` vectors; free with g_free. [any] */
char *ragify_embeddings_encode (const float *const *vectors, guint count, guint dimension, gboolean base64,
                                const char *model, guint64 tokens, gsize *size);
