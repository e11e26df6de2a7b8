/* SPDX-License-Identifier: MIT */
#include "encoder.h"

#include "encoder-error.h"
#include "tokenizer.h"
#include "weights.h"
#include "workspace.h"

#include <math.h>
#include <string.h>
#include <xxhash.h>

static const char weights_name[] = "model.safetensors";

struct _RagifyEncoder {
  RagifyTokenizer *tokenizer;
  RagifyWeights *weights;
  RagifyWorkspacePool *workspaces;
  char *path; /* of the weights */
  char *fingerprint;
};

/* Texts that are computed together, in one workspace. */
typedef struct {
  const RagifyEncoder *encoder;
  RagifyWorkspace *workspace;
  RagifyEncoderStop stop;
  gpointer user;
  gsize texts;
  gsize tokens;
  float *vectors; /* where the first text's goes */
  gsize truncated;
  GError **error;
} Batch;

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

/* The model's own limit, otherwise the tokenizer's, otherwise all positions; a lower one where it is asked for. */
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

/* The whole file is hashed: two models of one shape may differ anywhere. */
static char *
make_fingerprint (const RagifyEncoder *self)
{
  const RagifyModelConfig *const config = &self->weights->config;
  const guint64 tokenizer = ragify_tokenizer_digest (self->tokenizer);
  gsize size;
  const guint8 *const data = ragify_safetensors_get_data (self->weights->file, &size);
  const XXH128_hash_t hash = XXH3_128bits_withSeed (data, size, tokenizer);

  return g_strdup_printf ("%s-%" G_GSIZE_FORMAT "x%" G_GSIZE_FORMAT "-%s-%" G_GSIZE_FORMAT
                          "-unit-float-%016" G_GINT64_MODIFIER "x%016" G_GINT64_MODIFIER "x",
                          ragify_architecture_name (config->architecture), config->layers, config->hidden_size,
                          config->pooling == RAGIFY_POOLING_MEAN ? "mean" : "cls", config->max_tokens,
                          (guint64)hash.high64, (guint64)hash.low64);
}

RagifyEncoder *
ragify_encoder_open (const char *folder, const RagifyEncoderOptions *options, GError **error)
{
  g_autoptr (RagifyEncoder) self = g_new0 (RagifyEncoder, 1);
  RagifyModelConfig config;
  const RagifyKernels *kernels;

  if (!choose_kernels (options, &kernels, error) || !ragify_model_config_read (folder, &config, error))
    return NULL;
  self->tokenizer = ragify_tokenizer_new (folder, config.architecture, config.vocabulary_size, error);
  if (self->tokenizer == NULL)
    return NULL;
  set_max_tokens (&config, self->tokenizer, options);
  self->path = g_build_filename (folder, weights_name, NULL);
  self->weights = ragify_weights_load (self->path, &config, kernels, error);
  if (self->weights == NULL)
    return NULL;
  self->fingerprint = make_fingerprint (self);
  self->workspaces = ragify_workspace_pool_new (self->weights);
  ragify_safetensors_forget_pages (self->weights->file);
  return g_steal_pointer (&self);
}

void
ragify_encoder_free (RagifyEncoder *self)
{
  g_clear_pointer (&self->workspaces, ragify_workspace_pool_free);
  g_clear_pointer (&self->weights, ragify_weights_free);
  g_clear_pointer (&self->tokenizer, ragify_tokenizer_free);
  g_free (self->path);
  g_free (self->fingerprint);
  g_free (self);
}

gsize
ragify_encoder_get_dimension (const RagifyEncoder *self)
{
  return self->weights->config.hidden_size;
}

gsize
ragify_encoder_get_max_tokens (const RagifyEncoder *self)
{
  return self->weights->config.max_tokens;
}

const char *
ragify_encoder_get_fingerprint (const RagifyEncoder *self)
{
  return self->fingerprint;
}

const char *
ragify_encoder_get_precision (const RagifyEncoder *self)
{
  return self->weights->kernels->precision;
}

const char *
ragify_encoder_get_kernel (const RagifyEncoder *self)
{
  return self->weights->kernels->name;
}

gsize
ragify_encoder_count_tokens (const RagifyEncoder *self, const char *text, gsize size)
{
  return ragify_tokenizer_count (self->tokenizer, text, size);
}

/* --- the computation --- */

static void *
element_at (const RagifyWeights *weights, void *elements, gsize index)
{
  return (char *)elements + index * weights->kernels->element_size;
}

/* MPNet counts positions from behind the padding's, and padding tokens in a text stay at that. */
static void
embed_tokens (const Batch *batch)
{
  const RagifyWeights *const weights = batch->encoder->weights;
  const RagifyModelConfig *const config = &weights->config;
  const RagifyWorkspace *const workspace = batch->workspace;
  const gboolean skips_padding = config->first_position > 0;
  const guint32 *id = workspace->ids;
  float *hidden = workspace->hidden;

  for (gsize text = 0; text < batch->texts; text++) {
    gsize position = config->first_position;

    for (gsize i = 0; i < workspace->lengths[text]; i++, id++, hidden += weights->hidden_stride) {
      const gboolean padding = skips_padding && *id == config->padding_token;
      const float *const place =
          weights->positions + (padding ? config->padding_token : position) * weights->hidden_stride;

      position += !padding;
      memset (hidden + config->hidden_size, 0, (weights->hidden_stride - config->hidden_size) * sizeof *hidden);
      ragify_tensor_read_row (&weights->words, *id, hidden);
      for (gsize k = 0; k < config->hidden_size; k++)
        hidden[k] += place[k];
    }
  }
  weights->kernels->normalise (&weights->embedding_norm, batch->tokens, workspace->hidden, workspace->elements,
                               weights->hidden_stride);
}

static void
attend (const Batch *batch)
{
  const RagifyWeights *const weights = batch->encoder->weights;
  const RagifyWorkspace *const workspace = batch->workspace;
  gsize first = 0;

  for (gsize text = 0; text < batch->texts; text++) {
    weights->kernels->attend (&weights->attention, workspace->lengths[text],
                              element_at (weights, workspace->qkv, first * weights->qkv_stride), weights->qkv_stride,
                              element_at (weights, workspace->context, first * weights->context_stride),
                              weights->context_stride, workspace->scratch);
    first += workspace->lengths[text];
  }
}

/* All of a layer behind the attention, for a block of tokens at a time. */
static void
finish_layer (const Batch *batch, const RagifyLayer *layer, gsize first, gsize tokens)
{
  const RagifyWeights *const weights = batch->encoder->weights;
  const RagifyKernels *const kernels = weights->kernels;
  const RagifyWorkspace *const workspace = batch->workspace;
  const gsize stride = weights->hidden_stride;
  float *const hidden = workspace->hidden + first * stride;
  void *const elements = element_at (weights, workspace->elements, first * stride);

  kernels->linear (&layer->attention_output, RAGIFY_OUTPUT_RESIDUAL, tokens,
                   element_at (weights, workspace->context, first * weights->context_stride), weights->context_stride,
                   hidden, stride);
  kernels->normalise (&layer->attention_norm, tokens, hidden, elements, stride);
  kernels->linear (&layer->up, RAGIFY_OUTPUT_GELU, tokens, elements, stride, workspace->intermediate,
                   weights->intermediate_stride);
  kernels->linear (&layer->down, RAGIFY_OUTPUT_RESIDUAL, tokens, workspace->intermediate, weights->intermediate_stride,
                   hidden, stride);
  kernels->normalise (&layer->output_norm, tokens, hidden, elements, stride);
}

static void
compute_layer (const Batch *batch, const RagifyLayer *layer)
{
  const RagifyWeights *const weights = batch->encoder->weights;
  const RagifyWorkspace *const workspace = batch->workspace;

  weights->kernels->linear (&layer->qkv, RAGIFY_OUTPUT_PLAIN, batch->tokens, workspace->elements,
                            weights->hidden_stride, workspace->qkv, weights->qkv_stride);
  attend (batch);
  for (gsize first = 0; first < batch->tokens; first += RAGIFY_WORKSPACE_BLOCK)
    finish_layer (batch, layer, first, MIN (batch->tokens - first, RAGIFY_WORKSPACE_BLOCK));
}

/* The mean of the tokens' vectors, or the first one, at unit length. FALSE if it is not finite. */
static gboolean
pool (const RagifyWeights *weights, const float *hidden, gsize tokens, float *vector)
{
  const gsize size = weights->config.hidden_size;
  const gsize rows = weights->config.pooling == RAGIFY_POOLING_MEAN ? tokens : 1;
  double squares = 0;
  float scale;

  memcpy (vector, hidden, size * sizeof *vector);
  for (gsize row = 1; row < rows; row++)
    for (gsize i = 0; i < size; i++)
      vector[i] += hidden[row * weights->hidden_stride + i];
  for (gsize i = 0; i < size; i++)
    squares += (double)vector[i] * (double)vector[i];
  if (!isfinite (squares) || squares <= 0)
    return FALSE;
  scale = (float)(1 / sqrt (squares));
  for (gsize i = 0; i < size; i++)
    vector[i] *= scale;
  return TRUE;
}

static gboolean
pool_all (Batch *batch)
{
  const RagifyWeights *const weights = batch->encoder->weights;
  const float *hidden = batch->workspace->hidden;

  for (gsize text = 0; text < batch->texts; text++) {
    const gsize tokens = batch->workspace->lengths[text];

    if (!pool (weights, hidden, tokens, batch->vectors)) {
      g_set_error (batch->error, RAGIFY_ENCODER_ERROR, RAGIFY_ENCODER_ERROR_FORMAT,
                   "%s: expected weights that give a finite vector, found some that do not", batch->encoder->path);
      return FALSE;
    }
    hidden += tokens * weights->hidden_stride;
    batch->vectors += weights->config.hidden_size;
  }
  return TRUE;
}

/* Computes the texts gathered so far, and empties the batch. */
static gboolean
compute (Batch *batch)
{
  const RagifyWeights *const weights = batch->encoder->weights;

  embed_tokens (batch);
  for (gsize i = 0; i < weights->config.layers; i++) {
    if (batch->stop != NULL && batch->stop (batch->user)) {
      g_set_error_literal (batch->error, RAGIFY_ENCODER_ERROR, RAGIFY_ENCODER_ERROR_CANCELLED,
                           "the embedding was cancelled");
      return FALSE;
    }
    compute_layer (batch, &weights->layers[i]);
  }
  if (!pool_all (batch))
    return FALSE;
  batch->texts = 0;
  batch->tokens = 0;
  return TRUE;
}

static void
add_text (Batch *batch, const RagifyText *text)
{
  const RagifyTokenizer *const tokenizer = batch->encoder->tokenizer;
  const gsize limit = batch->encoder->weights->config.max_tokens - 2;
  guint32 *const ids = batch->workspace->ids + batch->tokens;
  gsize count = ragify_tokenizer_encode (tokenizer, text->data, text->size, ids + 1, limit);

  if (count > limit) {
    batch->truncated++;
    count = limit;
  }
  ids[0] = ragify_tokenizer_get_begin (tokenizer);
  ids[count + 1] = ragify_tokenizer_get_end (tokenizer);
  batch->workspace->lengths[batch->texts++] = count + 2;
  batch->tokens += count + 2;
}

static gboolean
embed_all (Batch *batch, const RagifyText *texts, gsize count)
{
  const gsize longest = batch->encoder->weights->config.max_tokens;

  for (gsize i = 0; i < count; i++) {
    add_text (batch, &texts[i]);
    if ((i + 1 == count || batch->tokens + longest > batch->workspace->tokens) && !compute (batch))
      return FALSE;
  }
  return TRUE;
}

gboolean
ragify_encoder_embed (const RagifyEncoder *self, const RagifyText *texts, gsize count, RagifyEncoderStop stop,
                      gpointer user, float *vectors, gsize *truncated, GError **error)
{
  Batch batch = { .encoder = self, .stop = stop, .user = user, .vectors = vectors, .error = error };
  gboolean done;

  batch.workspace = ragify_workspace_pool_take (self->workspaces);
  if (batch.workspace == NULL) {
    g_set_error_literal (error, RAGIFY_ENCODER_ERROR, RAGIFY_ENCODER_ERROR_MEMORY,
                         "expected memory for the computation, found none left");
    return FALSE;
  }
  done = embed_all (&batch, texts, count);
  ragify_workspace_pool_put (self->workspaces, batch.workspace);
  if (done && truncated != NULL)
    *truncated = batch.truncated;
  return done;
}
