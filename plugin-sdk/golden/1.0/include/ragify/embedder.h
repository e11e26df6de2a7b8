/* Ragify plugin SDK: embedders, which turn texts into vectors.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_EMBEDDER_H
#define RAGIFY_EMBEDDER_H

#include "plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define RAGIFY_KIND_EMBEDDER "ragify.embedder/1"

#define RAGIFY_PURPOSE_QUERY 1u
#define RAGIFY_PURPOSE_DOCUMENT 2u

typedef struct RagifyEmbedderTokenize {
  uint32_t struct_size;
  uint32_t reserved;
  RagifyStrList texts;
} RagifyEmbedderTokenize;

typedef struct RagifyEmbedderTokenizeResult {
  uint32_t struct_size;
  uint32_t reserved;
  RagifyU32List counts; /* tokens of each text, special tokens left out, not cut at the limit */
} RagifyEmbedderTokenizeResult;

typedef struct RagifyEmbedderEmbed {
  uint32_t struct_size;
  uint32_t purpose; /* RAGIFY_PURPOSE_… */
  RagifyStrList texts;
} RagifyEmbedderEmbed;

typedef struct RagifyEmbedderEmbedResult {
  uint32_t struct_size;
  uint32_t truncated;    /* how many texts were longer than the token limit */
  RagifyVectors vectors; /* one for each text, in their order, unit length, finite */
} RagifyEmbedderEmbedResult;

typedef struct RagifyEmbedderOperations {
  uint32_t struct_size;
  uint32_t reserved;
  void (*describe) (void *instance, RagifyCall *call, const RagifyNothing *args); /* [call] RagifyEmbedderInfo */
  /* [call] NULL: cannot; the host then counts bytes ÷ 4. RagifyEmbedderTokenizeResult */
  void (*tokenize) (void *instance, RagifyCall *call, const RagifyEmbedderTokenize *args);
  void (*embed) (void *instance, RagifyCall *call,
                 const RagifyEmbedderEmbed *args); /* [call] RagifyEmbedderEmbedResult */
} RagifyEmbedderOperations;

#ifdef __cplusplus
}
#endif
#endif
