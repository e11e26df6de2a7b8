/* SPDX-License-Identifier: MIT */
#include "transformer.h"

#include "encoder-error.h"

#include <string.h>

static const char weights_name[] = "model.safetensors";

/* --- loading --- */

static gboolean
choose_kernels (const RagifyEncoderOptions *options, const RagifyKernels **kernels, GError **error)
{
  const char *const precision = options == NULL || options->precision == NULL ? "auto" : options->precision;
  const char *const name = options == NULL || options->kernel == NULL ? "auto" : options->kernel;
  GString *available;

  *kernels = ragify_kernels_choose (precision, name);
  if (*kernels != NULL)
    return TRUE;

  available = g_string_new (NULL);
  for (const RagifyKernels *const *table = ragify_kernels_list (); *table != NULL; table++)
    if ((*table)->is_supported ())
      g_string_append_printf (available, "%s%s (%s)", available->len > 0 ? ", " : "", (*table)->name,
                              (*table)->precision);
  g_set_error (error, RAGIFY_ENCODER_ERROR, RAGIFY_ENCODER_ERROR_CPU,
               "precision '%s' with kernel '%s' is not to be had; expected one that this CPU supports: %s", precision,
               name, available->str);
  g_string_free (available, TRUE);
  return FALSE;
}

static void
set_max_tokens (RagifyModelConfig *config, const RagifyTokenizer *tokenizer, const RagifyEncoderOptions *options)
{
  const gsize positions = config->positions - config->first_position;

  if (config->max_tokens == 0)
    config->max_tokens = ragify_tokenizer_get_max_tokens (tokenizer);
  if (config->max_tokens == 0 || config->max_tokens > positions)
    config->max_tokens = positions;
  if (options != NULL && options->max_tokens > 2)
    config->max_tokens = MIN (config->max_tokens, options->max_tokens);
}

gboolean
ragify_transformer_open (RagifyTransformer *self, const char *folder, RagifyModelConfig *config,
                         const RagifyEncoderOptions *options, GError **error)
{
  const RagifyKernels *kernels;

  if (!choose_kernels (options, &kernels, error))
    return FALSE;
  self->tokenizer = ragify_tokenizer_new (folder, config->architecture, config->vocabulary_size, error);
  if (self->tokenizer == NULL)
    return FALSE;
  set_max_tokens (config, self->tokenizer, options);
  self->path = g_build_filename (folder, weights_name, NULL);
  self->weights = ragify_weights_load (self->path, config, kernels, error);
  if (self->weights == NULL)
    return FALSE;
  self->workspaces = ragify_workspace_pool_new (self->weights);
  return TRUE;
}

void
ragify_transformer_clear (RagifyTransformer *self)
{
  g_clear_pointer (&self->workspaces, ragify_workspace_pool_free);
  g_clear_pointer (&self->weights, ragify_weights_free);
  g_clear_pointer (&self->tokenizer, ragify_tokenizer_free);
  g_clear_pointer (&self->path, g_free);
}

/* --- batches --- */

gboolean
ragify_batch_begin (RagifyBatch *batch, const RagifyTransformer *transformer, RagifyEncoderStop stop, gpointer user,
                    GError **error)
{
  *batch = (RagifyBatch){ .transformer = transformer, .stop = stop, .user = user };
  batch->workspace = ragify_workspace_pool_take (transformer->workspaces);
  if (batch->workspace == NULL)
    g_set_error_literal (error, RAGIFY_ENCODER_ERROR, RAGIFY_ENCODER_ERROR_MEMORY,
                         "expected memory for the computation, found none left");
  return batch->workspace != NULL;
}

void
ragify_batch_end (RagifyBatch *batch)
{
  ragify_workspace_pool_put (batch->transformer->workspaces, g_steal_pointer (&batch->workspace));
}

guint32 *
ragify_batch_get_ids (const RagifyBatch *batch)
{
  return batch->workspace->ids + batch->tokens;
}

gboolean
ragify_batch_add (RagifyBatch *batch, RagifySequence sequence)
{
  batch->workspace->sequences[batch->count++] = sequence;
  batch->tokens += sequence.tokens;
  return batch->tokens + batch->transformer->weights->config.max_tokens > batch->workspace->tokens;
}

/* --- the computation --- */

static void *
element_at (const RagifyWeights *weights, void *elements, gsize index)
{
  return (char *)elements + index * weights->kernels->element_size;
}

static void
add_to (float *to, const float *from, gsize size)
{
  for (gsize i = 0; i < size; i++)
    to[i] += from[i];
}

/* MPNet counts positions from behind the padding's, and padding tokens in a text stay at that. */
static void
embed_tokens (const RagifyBatch *batch)
{
  const RagifyWeights *const weights = batch->transformer->weights;
  const RagifyModelConfig *const config = &weights->config;
  const RagifyWorkspace *const workspace = batch->workspace;
  const gboolean skips_padding = config->first_position > 0;
  const guint32 *id = workspace->ids;
  float *hidden = workspace->hidden;

  for (gsize number = 0; number < batch->count; number++) {
    const RagifySequence *const sequence = &workspace->sequences[number];
    gsize position = config->first_position;

    for (gsize i = 0; i < sequence->tokens; i++, id++, hidden += weights->hidden_stride) {
      const gboolean padding = skips_padding && *id == config->padding_token;

      memset (hidden + config->hidden_size, 0, (weights->hidden_stride - config->hidden_size) * sizeof *hidden);
      ragify_tensor_read_row (&weights->words, *id, hidden);
      add_to (hidden, weights->positions + (padding ? config->padding_token : position) * weights->hidden_stride,
              config->hidden_size);
      if (i >= sequence->first_tokens && weights->second_type != NULL)
        add_to (hidden, weights->second_type, config->hidden_size);
      position += !padding;
    }
  }
  weights->kernels->normalise (&weights->embedding_norm, batch->tokens, workspace->hidden, workspace->elements,
                               weights->hidden_stride);
}

static void
attend (const RagifyBatch *batch)
{
  const RagifyWeights *const weights = batch->transformer->weights;
  const RagifyWorkspace *const workspace = batch->workspace;
  gsize first = 0;

  for (gsize number = 0; number < batch->count; number++) {
    const gsize tokens = workspace->sequences[number].tokens;

    weights->kernels->attend (&weights->attention, tokens,
                              element_at (weights, workspace->qkv, first * weights->qkv_stride), weights->qkv_stride,
                              element_at (weights, workspace->context, first * weights->context_stride),
                              weights->context_stride, workspace->scratch);
    first += tokens;
  }
}

/* All of a layer behind the attention, for a block of tokens at a time. */
static void
finish_layer (const RagifyBatch *batch, const RagifyLayer *layer, gsize first, gsize tokens)
{
  const RagifyWeights *const weights = batch->transformer->weights;
  const RagifyKernels *const kernels = weights->kernels;
  const RagifyWorkspace *const workspace = batch->workspace;
  const gsize stride = weights->hidden_stride;
  float *const hidden = workspace->hidden + first * stride;
  void *const elements = element_at (weights, workspace->elements, first * stride);

  kernels->linear (&layer->attention_output, RAGIFY_OUTPUT_RESIDUAL, tokens,
                   element_at (weights, workspace->context, first * weights->context_stride), weights->context_stride,
                   hidden, stride, workspace->scratch);
  kernels->normalise (&layer->attention_norm, tokens, hidden, elements, stride);
  kernels->linear (&layer->up, RAGIFY_OUTPUT_GELU, tokens, elements, stride, workspace->intermediate,
                   weights->intermediate_stride, workspace->scratch);
  kernels->linear (&layer->down, RAGIFY_OUTPUT_RESIDUAL, tokens, workspace->intermediate, weights->intermediate_stride,
                   hidden, stride, workspace->scratch);
  kernels->normalise (&layer->output_norm, tokens, hidden, elements, stride);
}

static void
compute_layer (const RagifyBatch *batch, const RagifyLayer *layer)
{
  const RagifyWeights *const weights = batch->transformer->weights;
  const RagifyWorkspace *const workspace = batch->workspace;

  weights->kernels->linear (&layer->qkv, RAGIFY_OUTPUT_PLAIN, batch->tokens, workspace->elements,
                            weights->hidden_stride, workspace->qkv, weights->qkv_stride, workspace->scratch);
  attend (batch);
  for (gsize first = 0; first < batch->tokens; first += RAGIFY_WORKSPACE_BLOCK)
    finish_layer (batch, layer, first, MIN (batch->tokens - first, RAGIFY_WORKSPACE_BLOCK));
}

gboolean
ragify_batch_compute (const RagifyBatch *batch, GError **error)
{
  const RagifyWeights *const weights = batch->transformer->weights;

  embed_tokens (batch);
  for (gsize i = 0; i < weights->config.layers; i++) {
    if (batch->stop != NULL && batch->stop (batch->user)) {
      g_set_error_literal (error, RAGIFY_ENCODER_ERROR, RAGIFY_ENCODER_ERROR_CANCELLED,
                           "the computation was cancelled");
      return FALSE;
    }
    compute_layer (batch, &weights->layers[i]);
  }
  return TRUE;
}
