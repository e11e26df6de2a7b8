/*
 * The weights of a model in the form that the kernels want, made from a safetensors file. The matrices of the layers
 * are packed into memory of our own; the table of words stays in the mapped file, where a text needs a few rows of it.
 *
 * RagifyWeights are immutable once loaded: all members may be read from any thread.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_WEIGHTS_H
#define RAGIFY_WEIGHTS_H

#include <glib.h>

#include "kernels.h"
#include "model-config.h"
#include "safetensors.h"

typedef struct {
  RagifyLinear qkv; /* queries, keys and values of all heads, one after the other */
  RagifyLinear attention_output;
  RagifyNorm attention_norm;
  RagifyLinear up;
  RagifyLinear down;
  RagifyNorm output_norm;
} RagifyLayer;

typedef struct {
  const RagifyKernels *kernels;
  RagifyModelConfig config;

  gsize hidden_stride;       /* floats or elements from one token to the next, padded */
  gsize qkv_stride;          /* elements */
  gsize context_stride;      /* elements */
  gsize intermediate_stride; /* elements */

  RagifyTensor words;       /* config.vocabulary_size rows */
  const float *positions;   /* rows of hidden_stride: position and first token type, summed */
  const float *second_type; /* what the second of two texts has instead of the first token type; NULL: nothing */
  RagifyNorm embedding_norm;
  RagifyAttention attention;
  RagifyLayer *layers; /* config.layers */

  /* private */
  RagifySafetensors *file;
  void *memory;
  gsize memory_size;
} RagifyWeights;

/*
 * Loads `path`, whose tensors must have the shapes that `config` says; config->max_tokens must be set. NULL with
 * ENCODER_ERROR_FILE, _FORMAT, _UNSUPPORTED or _MEMORY.
 */
RagifyWeights *
ragify_weights_load (const char *path, const RagifyModelConfig *config, const RagifyKernels *kernels, GError **error);

void ragify_weights_free (RagifyWeights *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyWeights, ragify_weights_free)

#endif
