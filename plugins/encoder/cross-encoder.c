/* SPDX-License-Identifier: MIT */
#include "cross-encoder.h"

#include "encoder-error.h"
#include "transformer.h"

#include <math.h>
#include <string.h>

enum { SPECIAL_TOKENS = 3 }; /* of a pair */

/* score = classifier . tanh (pooler * first token's vector + bias) + bias */
typedef struct {
  float *pooler; /* size x size */
  float *pooler_bias;
  float *classifier;
  float classifier_bias;
} Head;

struct _RagifyCrossEncoder {
  RagifyTransformer transformer;
  Head head;
};

/* One call on its way. */
typedef struct {
  const RagifyCrossEncoder *model;
  RagifyBatch batch;
  guint32 *question; /* its tokens, as many as could ever count */
  gsize question_tokens;
  float *scores; /* where the next one goes */
  gsize truncated;
  GError **error;
} Run;

/* --- loading --- */

static float *
read_tensor (const RagifyTransformer *transformer, const char *name, gsize rows, gsize columns, GError **error)
{
  const RagifySafetensors *const file = transformer->weights->file;
  g_autofree char *prefixed = g_strconcat ("bert.", name, NULL);
  RagifyTensor tensor;
  float *values;

  if (!ragify_safetensors_find (file, ragify_safetensors_has (file, prefixed) ? prefixed : name, rows, columns, &tensor,
                                error))
    return NULL;
  values = g_new (float, MAX (rows, 1) * columns);
  for (gsize row = 0; row < MAX (rows, 1); row++)
    ragify_tensor_read_row (&tensor, row, values + row * columns);
  return values;
}

static gboolean
load_head (RagifyCrossEncoder *self, GError **error)
{
  const RagifyTransformer *const transformer = &self->transformer;
  const gsize size = transformer->weights->config.hidden_size;
  Head *const head = &self->head;
  g_autofree float *bias = NULL;

  head->pooler = read_tensor (transformer, "pooler.dense.weight", size, size, error);
  if (head->pooler == NULL)
    return FALSE;
  head->pooler_bias = read_tensor (transformer, "pooler.dense.bias", 0, size, error);
  if (head->pooler_bias == NULL)
    return FALSE;
  head->classifier = read_tensor (transformer, "classifier.weight", 1, size, error);
  if (head->classifier == NULL)
    return FALSE;
  bias = read_tensor (transformer, "classifier.bias", 0, 1, error);
  if (bias == NULL)
    return FALSE;
  head->classifier_bias = *bias;
  return TRUE;
}

static gboolean
check_kind (const char *folder, const RagifyModelConfig *config, GError **error)
{
  if (config->labels == 1 && config->architecture == RAGIFY_ARCHITECTURE_BERT)
    return TRUE;
  if (config->labels == 0)
    g_set_error (error, RAGIFY_ENCODER_ERROR, RAGIFY_ENCODER_ERROR_UNSUPPORTED,
                 "%s/config.json: expected a cross-encoder (BertForSequenceClassification), found no classifier; a "
                 "sentence encoder is for [embedder] with plugin = local",
                 folder);
  else
    g_set_error (error, RAGIFY_ENCODER_ERROR, RAGIFY_ENCODER_ERROR_UNSUPPORTED,
                 "%s/config.json: expected a bert cross-encoder with one label, found %s with %" G_GSIZE_FORMAT, folder,
                 ragify_architecture_name (config->architecture), config->labels);
  return FALSE;
}

RagifyCrossEncoder *
ragify_cross_encoder_open (const char *folder, const RagifyEncoderOptions *options, GError **error)
{
  g_autoptr (RagifyCrossEncoder) self = g_new0 (RagifyCrossEncoder, 1);
  RagifyModelConfig config;

  if (!ragify_model_config_read (folder, &config, error) || !check_kind (folder, &config, error) ||
      !ragify_transformer_open (&self->transformer, folder, &config, options, error) || !load_head (self, error))
    return NULL;
  if (config.max_tokens <= SPECIAL_TOKENS + 1) {
    g_set_error (error, RAGIFY_ENCODER_ERROR, RAGIFY_ENCODER_ERROR_FORMAT,
                 "%s: expected a limit of 5 tokens at least, found %" G_GSIZE_FORMAT, folder, config.max_tokens);
    return NULL;
  }
  ragify_safetensors_forget_pages (self->transformer.weights->file);
  return g_steal_pointer (&self);
}

void
ragify_cross_encoder_free (RagifyCrossEncoder *self)
{
  ragify_transformer_clear (&self->transformer);
  g_free (self->head.pooler);
  g_free (self->head.pooler_bias);
  g_free (self->head.classifier);
  g_free (self);
}

gsize
ragify_cross_encoder_get_dimension (const RagifyCrossEncoder *self)
{
  return self->transformer.weights->config.hidden_size;
}

gsize
ragify_cross_encoder_get_layers (const RagifyCrossEncoder *self)
{
  return self->transformer.weights->config.layers;
}

gsize
ragify_cross_encoder_get_max_tokens (const RagifyCrossEncoder *self)
{
  return self->transformer.weights->config.max_tokens;
}

const char *
ragify_cross_encoder_get_precision (const RagifyCrossEncoder *self)
{
  return self->transformer.weights->kernels->precision;
}

const char *
ragify_cross_encoder_get_kernel (const RagifyCrossEncoder *self)
{
  return self->transformer.weights->kernels->name;
}

/* --- scoring --- */

static float
classify (const Head *head, gsize size, const float *first)
{
  float score = head->classifier_bias;

  for (gsize row = 0; row < size; row++) {
    float sum = head->pooler_bias[row];

    for (gsize i = 0; i < size; i++)
      sum += head->pooler[row * size + i] * first[i];
    score += head->classifier[row] * tanhf (sum);
  }
  return score;
}

/* Computes the pairs gathered so far, and empties the batch. */
static gboolean
compute (Run *run)
{
  const RagifyTransformer *const transformer = &run->model->transformer;
  const RagifyWeights *const weights = transformer->weights;
  const float *hidden = run->batch.workspace->hidden;

  if (!ragify_batch_compute (&run->batch, run->error))
    return FALSE;
  for (gsize i = 0; i < run->batch.count; i++) {
    *run->scores = classify (&run->model->head, weights->config.hidden_size, hidden);
    if (!isfinite (*run->scores)) {
      g_set_error (run->error, RAGIFY_ENCODER_ERROR, RAGIFY_ENCODER_ERROR_FORMAT,
                   "%s: expected weights that give a finite score, found some that do not", transformer->path);
      return FALSE;
    }
    run->scores++;
    hidden += run->batch.workspace->sequences[i].tokens * weights->hidden_stride;
  }
  run->batch.count = 0;
  run->batch.tokens = 0;
  return TRUE;
}

/* How many tokens of both stay when the longer one gives way until `room` is enough: the one that was longer, or the
 * passage, has one more where that cannot be even. */
static void
share_room (gsize room, gsize *question, gsize *passage)
{
  const gsize half = room / 2;

  if (*question + *passage <= room)
    return;
  if (*passage <= half)
    *question = room - *passage;
  else if (*question <= half)
    *passage = room - *question;
  else {
    *question = *question > *passage ? room - half : half;
    *passage = room - *question;
  }
}

static gboolean
add_pair (Run *run, const RagifyText *text)
{
  const RagifyTransformer *const transformer = &run->model->transformer;
  const gsize room = transformer->weights->config.max_tokens - SPECIAL_TOKENS;
  const guint32 end = ragify_tokenizer_get_end (transformer->tokenizer);
  guint32 *const ids = ragify_batch_get_ids (&run->batch);
  gsize question = run->question_tokens;
  const gsize found = ragify_tokenizer_encode (transformer->tokenizer, text->data, text->size, ids + 2, room);
  gsize passage = found;

  share_room (room, &question, &passage);
  run->truncated += question < run->question_tokens || passage < found;
  memmove (ids + question + 2, ids + 2, passage * sizeof *ids);
  memcpy (ids + 1, run->question, question * sizeof *ids);
  ids[0] = ragify_tokenizer_get_begin (transformer->tokenizer);
  ids[question + 1] = end;
  ids[question + passage + 2] = end;

  const RagifySequence pair = {
    .tokens = question + passage + SPECIAL_TOKENS,
    .first_tokens = question + 2,
    .begins = TRUE,
    .ends = TRUE,
  };

  return !ragify_batch_add (&run->batch, pair) || compute (run);
}

static gboolean
score_all (Run *run, const RagifyText *passages, gsize count)
{
  for (gsize i = 0; i < count; i++)
    if (!add_pair (run, &passages[i]))
      return FALSE;
  return run->batch.count == 0 || compute (run);
}

gboolean
ragify_cross_encoder_score (const RagifyCrossEncoder *self, const RagifyText *question, const RagifyText *passages,
                            gsize count, RagifyEncoderStop stop, gpointer user, float *scores, gsize *truncated,
                            GError **error)
{
  const gsize room = self->transformer.weights->config.max_tokens - SPECIAL_TOKENS;
  g_autofree guint32 *tokens = g_new (guint32, room);
  Run run = { .model = self, .question = tokens, .scores = scores, .error = error };
  gboolean done;

  if (!ragify_batch_begin (&run.batch, &self->transformer, stop, user, error))
    return FALSE;
  run.question_tokens =
      ragify_tokenizer_encode (self->transformer.tokenizer, question->data, question->size, tokens, room);
  done = score_all (&run, passages, count);
  ragify_batch_end (&run.batch);
  if (done && truncated != NULL)
    *truncated = run.truncated;
  return done;
}
