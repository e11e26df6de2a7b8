/* SPDX-License-Identifier: MIT */
#include "encoder.h"

#include "encoder-error.h"
#include "transformer.h"

#include <math.h>
#include <string.h>
#include <xxhash.h>

struct _RagifyEncoder {
  RagifyTransformer transformer;
  gsize max_windows; /* 1: none */
  char *fingerprint;
};

/* One call on its way. */
typedef struct {
  const RagifyEncoder *encoder;
  RagifyBatch batch;
  float *vectors; /* where the next vector goes */
  float *window;  /* room for the vector of one window; NULL so far */
  RagifyEncoderCounts counts;
  GError **error;
} Run;

/* The whole file is hashed: two models of one shape may differ anywhere. */
static char *
make_fingerprint (const RagifyEncoder *self)
{
  const RagifyModelConfig *const config = &self->transformer.weights->config;
  const guint64 tokenizer = ragify_tokenizer_digest (self->transformer.tokenizer);
  gsize size;
  const guint8 *const data = ragify_safetensors_get_data (self->transformer.weights->file, &size);
  const XXH128_hash_t hash = XXH3_128bits_withSeed (data, size, tokenizer);

  return g_strdup_printf ("%s-%" G_GSIZE_FORMAT "x%" G_GSIZE_FORMAT "-%s-%" G_GSIZE_FORMAT
                          "%s%s-unit-float-%016" G_GINT64_MODIFIER "x%016" G_GINT64_MODIFIER "x",
                          ragify_architecture_name (config->architecture), config->layers, config->hidden_size,
                          config->pooling == RAGIFY_POOLING_MEAN ? "mean" : "cls", config->max_tokens,
                          self->max_windows > 1 ? "-windows" : "",
                          strcmp (ragify_encoder_get_precision (self), "int8") == 0 ? "-int8" : "",
                          (guint64)hash.high64, (guint64)hash.low64);
}

static gboolean
check_kind (const char *folder, const RagifyModelConfig *config, GError **error)
{
  if (config->labels == 0)
    return TRUE;
  g_set_error (error, RAGIFY_ENCODER_ERROR, RAGIFY_ENCODER_ERROR_UNSUPPORTED,
               "%s/config.json: expected a sentence encoder, found a model that classifies texts (a cross-encoder is "
               "for [reranker] with plugin = local)",
               folder);
  return FALSE;
}

RagifyEncoder *
ragify_encoder_open (const char *folder, const RagifyEncoderOptions *options, GError **error)
{
  g_autoptr (RagifyEncoder) self = g_new0 (RagifyEncoder, 1);
  RagifyModelConfig config;

  if (!ragify_model_config_read (folder, &config, error) || !check_kind (folder, &config, error) ||
      !ragify_transformer_open (&self->transformer, folder, &config, options, error))
    return NULL;
  self->max_windows = options == NULL ? 1 : MAX (options->max_windows, 1);
  self->fingerprint = make_fingerprint (self);
  ragify_safetensors_forget_pages (self->transformer.weights->file);
  return g_steal_pointer (&self);
}

void
ragify_encoder_free (RagifyEncoder *self)
{
  ragify_transformer_clear (&self->transformer);
  g_free (self->fingerprint);
  g_free (self);
}

gsize
ragify_encoder_get_dimension (const RagifyEncoder *self)
{
  return self->transformer.weights->config.hidden_size;
}

gsize
ragify_encoder_get_layers (const RagifyEncoder *self)
{
  return self->transformer.weights->config.layers;
}

gsize
ragify_encoder_get_max_tokens (const RagifyEncoder *self)
{
  return self->transformer.weights->config.max_tokens;
}

const char *
ragify_encoder_get_fingerprint (const RagifyEncoder *self)
{
  return self->fingerprint;
}

const char *
ragify_encoder_get_precision (const RagifyEncoder *self)
{
  return self->transformer.weights->kernels->precision;
}

const char *
ragify_encoder_get_kernel (const RagifyEncoder *self)
{
  return self->transformer.weights->kernels->name;
}

gsize
ragify_encoder_count_tokens (const RagifyEncoder *self, const char *text, gsize size)
{
  return ragify_tokenizer_count (self->transformer.tokenizer, text, size);
}

/* --- vectors of tokens to vectors of texts --- */

/* Makes it a unit vector. FALSE if it is not finite, or has no direction. */
static gboolean
scale (float *vector, gsize size)
{
  double squares = 0;
  float factor;

  for (gsize i = 0; i < size; i++)
    squares += (double)vector[i] * (double)vector[i];
  if (!isfinite (squares) || squares <= 0)
    return FALSE;
  factor = (float)(1 / sqrt (squares));
  for (gsize i = 0; i < size; i++)
    vector[i] *= factor;
  return TRUE;
}

/* The mean of the tokens' vectors, or the first one, at unit length. */
static gboolean
pool (const RagifyWeights *weights, const float *hidden, gsize tokens, float *vector)
{
  const gsize size = weights->config.hidden_size;
  const gsize rows = weights->config.pooling == RAGIFY_POOLING_MEAN ? tokens : 1;

  memcpy (vector, hidden, size * sizeof *vector);
  for (gsize row = 1; row < rows; row++)
    for (gsize i = 0; i < size; i++)
      vector[i] += hidden[row * weights->hidden_stride + i];
  return scale (vector, size);
}

/* All windows of a text have the same number of tokens, so that they count alike. */
static gboolean
pool_window (Run *run, const RagifySequence *window, const float *hidden)
{
  const RagifyWeights *const weights = run->encoder->transformer.weights;
  const gsize size = weights->config.hidden_size;

  if (run->window == NULL)
    run->window = g_new (float, size);
  if (window->begins)
    memset (run->vectors, 0, size * sizeof *run->vectors);
  if (!pool (weights, hidden, window->tokens, run->window))
    return FALSE;
  for (gsize i = 0; i < size; i++)
    run->vectors[i] += run->window[i];
  return !window->ends || scale (run->vectors, size);
}

/* Computes the sequences gathered so far, and empties the batch. */
static gboolean
compute (Run *run)
{
  const RagifyTransformer *const transformer = &run->encoder->transformer;
  const float *hidden = run->batch.workspace->hidden;

  if (!ragify_batch_compute (&run->batch, run->error))
    return FALSE;
  for (gsize i = 0; i < run->batch.count; i++) {
    const RagifySequence *const sequence = &run->batch.workspace->sequences[i];

    if (!(sequence->begins && sequence->ends ? pool (transformer->weights, hidden, sequence->tokens, run->vectors)
                                             : pool_window (run, sequence, hidden))) {
      g_set_error (run->error, RAGIFY_ENCODER_ERROR, RAGIFY_ENCODER_ERROR_FORMAT,
                   "%s: expected weights that give a finite vector, found some that do not", transformer->path);
      return FALSE;
    }
    hidden += sequence->tokens * transformer->weights->hidden_stride;
    if (sequence->ends)
      run->vectors += transformer->weights->config.hidden_size;
  }
  run->batch.count = 0;
  run->batch.tokens = 0;
  return TRUE;
}

/* --- texts to sequences --- */

/* Adds the sequence whose `count` own tokens stand behind the place of the one that begins it. */
static gboolean
add_sequence (Run *run, gsize count, gboolean begins, gboolean ends)
{
  const RagifyTokenizer *const tokenizer = run->encoder->transformer.tokenizer;
  guint32 *const ids = ragify_batch_get_ids (&run->batch);
  const RagifySequence sequence = {
    .tokens = count + 2,
    .first_tokens = count + 2,
    .begins = begins,
    .ends = ends,
  };

  ids[0] = ragify_tokenizer_get_begin (tokenizer);
  ids[count + 1] = ragify_tokenizer_get_end (tokenizer);
  return !ragify_batch_add (&run->batch, sequence) || compute (run);
}

static gboolean
add_windows (Run *run, const RagifyText *text, gsize limit)
{
  const gsize step = limit - limit / 8;
  const gsize most = limit + (run->encoder->max_windows - 1) * step;
  g_autofree guint32 *ids = g_new (guint32, most);
  const gsize found = ragify_tokenizer_encode (run->encoder->transformer.tokenizer, text->data, text->size, ids, most);
  const gsize last = MIN (found, most) - limit; /* where the last window begins */
  gsize start = 0;

  run->counts.windowed++;
  run->counts.truncated += found > most;
  for (gboolean ends = FALSE; !ends; start += step) {
    const gsize at = MIN (start, last);

    ends = at == last;
    memcpy (ragify_batch_get_ids (&run->batch) + 1, ids + at, limit * sizeof *ids);
    if (!add_sequence (run, limit, at == 0, ends))
      return FALSE;
  }
  return TRUE;
}

static gboolean
add_text (Run *run, const RagifyText *text)
{
  const RagifyTransformer *const transformer = &run->encoder->transformer;
  const gsize limit = transformer->weights->config.max_tokens - 2;
  const gsize count = ragify_tokenizer_encode (transformer->tokenizer, text->data, text->size,
                                               ragify_batch_get_ids (&run->batch) + 1, limit);

  if (count > limit && run->encoder->max_windows > 1)
    return add_windows (run, text, limit);
  run->counts.truncated += count > limit;
  return add_sequence (run, MIN (count, limit), TRUE, TRUE);
}

static gboolean
embed_all (Run *run, const RagifyText *texts, gsize count)
{
  for (gsize i = 0; i < count; i++)
    if (!add_text (run, &texts[i]))
      return FALSE;
  return run->batch.count == 0 || compute (run);
}

gboolean
ragify_encoder_embed (const RagifyEncoder *self, const RagifyText *texts, gsize count, RagifyEncoderStop stop,
                      gpointer user, float *vectors, RagifyEncoderCounts *counts, GError **error)
{
  Run run = { .encoder = self, .vectors = vectors, .error = error };
  gboolean done;

  if (!ragify_batch_begin (&run.batch, &self->transformer, stop, user, error))
    return FALSE;
  done = embed_all (&run, texts, count);
  ragify_batch_end (&run.batch);
  g_free (run.window);
  if (done && counts != NULL)
    *counts = run.counts;
  return done;
}
