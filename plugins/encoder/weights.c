/* SPDX-License-Identifier: MIT */
#include "weights.h"

#include "encoder-error.h"

#include <math.h>
#include <string.h>
#include <sys/mman.h>

/* What the architectures call the parts of a layer. */
typedef struct {
  const char *layer; /* before its number */
  const char *query;
  const char *key;
  const char *value;
  const char *attention_output;
  const char *attention_norm;
  const char *up;
  const char *down;
  const char *output_norm;
} LayerNames;

static const LayerNames layer_names[] = {
  [RAGIFY_ARCHITECTURE_BERT] = {
    .layer = "encoder.layer.",
    .query = "attention.self.query",
    .key = "attention.self.key",
    .value = "attention.self.value",
    .attention_output = "attention.output.dense",
    .attention_norm = "attention.output.LayerNorm",
    .up = "intermediate.dense",
    .down = "output.dense",
    .output_norm = "output.LayerNorm",
  },
  [RAGIFY_ARCHITECTURE_MPNET] = {
    .layer = "encoder.layer.",
    .query = "attention.attn.q",
    .key = "attention.attn.k",
    .value = "attention.attn.v",
    .attention_output = "attention.attn.o",
    .attention_norm = "attention.LayerNorm",
    .up = "intermediate.dense",
    .down = "output.dense",
    .output_norm = "output.LayerNorm",
  },
  [RAGIFY_ARCHITECTURE_DISTILBERT] = {
    .layer = "transformer.layer.",
    .query = "attention.q_lin",
    .key = "attention.k_lin",
    .value = "attention.v_lin",
    .attention_output = "attention.out_lin",
    .attention_norm = "sa_layer_norm",
    .up = "ffn.lin1",
    .down = "ffn.lin2",
    .output_norm = "output_layer_norm",
  },
};

static const gsize huge_page = 2 * 1024 * 1024;

typedef struct {
  RagifyWeights *weights;
  const char *prefix; /* of all names: "", or the architecture's, as some folders have it */
  char *memory;       /* NULL: only count */
  gsize used;
  float *row; /* room for one row of any matrix, padded */
  GError **error;
} Loader;

static gsize
round_up (gsize value, gsize step)
{
  return (value + step - 1) / step * step;
}

/* Memory that starts out as zeros: padding is never written. */
static void *
take (Loader *loader, gsize bytes)
{
  char *const start = loader->memory == NULL ? NULL : loader->memory + loader->used;

  loader->used += round_up (bytes, 64);
  return start;
}

static gboolean
find (const Loader *loader, const char *layer, const char *part, const char *kind, gsize rows, gsize columns,
      RagifyTensor *tensor)
{
  g_autofree char *name = g_strconcat (loader->prefix, layer, part, kind, NULL);

  return ragify_safetensors_find (loader->weights->file, name, rows, columns, tensor, loader->error);
}

/* --- the layout of memory: the same walk counts it and hands it out --- */

static void
place_linear (Loader *loader, RagifyLinear *linear, gsize columns, gsize depth)
{
  *linear = (RagifyLinear){
    .weights = take (loader, loader->weights->kernels->packed_size (columns, depth)),
    .bias = take (loader, columns * sizeof (float)),
    .columns = columns,
    .depth = depth,
  };
}

static void
place_norm (Loader *loader, RagifyNorm *norm)
{
  const RagifyWeights *const weights = loader->weights;

  *norm = (RagifyNorm){
    .gain = take (loader, weights->hidden_stride * sizeof (float)),
    .bias = take (loader, weights->hidden_stride * sizeof (float)),
    .size = weights->config.hidden_size,
    .padded_size = weights->hidden_stride,
    .epsilon = weights->config.norm_epsilon,
  };
}

static void
place_attention (Loader *loader)
{
  RagifyWeights *const weights = loader->weights;
  const RagifyModelConfig *const config = &weights->config;
  RagifyAttention *const attention = &weights->attention;

  *attention = (RagifyAttention){
    .heads = config->heads,
    .head_size = round_up (config->hidden_size / config->heads, weights->kernels->vector_lanes),
  };
  if (config->relative_buckets == 0)
    return;
  attention->position_bias_origin = config->max_tokens - 1;
  attention->position_bias_stride = round_up (2 * config->max_tokens + weights->kernels->vector_lanes, 16);
  attention->position_bias = take (loader, config->heads * attention->position_bias_stride * sizeof (float));
}

static void
place (Loader *loader)
{
  RagifyWeights *const weights = loader->weights;
  const RagifyModelConfig *const config = &weights->config;

  loader->used = 0;
  for (gsize i = 0; i < config->layers; i++) {
    RagifyLayer *const layer = &weights->layers[i];

    place_linear (loader, &layer->qkv, weights->qkv_stride, weights->hidden_stride);
    place_linear (loader, &layer->attention_output, weights->hidden_stride, weights->context_stride);
    place_norm (loader, &layer->attention_norm);
    place_linear (loader, &layer->up, weights->intermediate_stride, weights->hidden_stride);
    place_linear (loader, &layer->down, weights->hidden_stride, weights->intermediate_stride);
    place_norm (loader, &layer->output_norm);
  }
  place_norm (loader, &weights->embedding_norm);
  place_attention (loader);
  weights->positions =
      take (loader, (config->first_position + config->max_tokens) * weights->hidden_stride * sizeof (float));
  if (config->token_types > 1)
    weights->second_type = take (loader, weights->hidden_stride * sizeof (float));
}

/* Queries of 15 tokens walk through all weights once: with huge pages that costs no TLB misses to speak of. */
static gboolean
allocate (Loader *loader)
{
  RagifyWeights *const weights = loader->weights;
  char *memory;

  place (loader);
  weights->memory_size = round_up (loader->used, huge_page) + huge_page;
  memory = mmap (NULL, weights->memory_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    g_set_error (loader->error, RAGIFY_ENCODER_ERROR, RAGIFY_ENCODER_ERROR_MEMORY,
                 "expected %" G_GSIZE_FORMAT " bytes of memory for the model's weights, found less",
                 weights->memory_size);
    return FALSE;
  }
  weights->memory = memory;
  loader->memory = (char *)round_up ((gsize)memory, huge_page);
  madvise (loader->memory, round_up (loader->used, huge_page), MADV_HUGEPAGE);
  place (loader);
  return TRUE;
}

/* --- filling it --- */

static void
read_vector (const RagifyTensor *tensor, const float *to)
{
  ragify_tensor_read_row (tensor, 0, (float *)to);
}

static gboolean
load_norm (Loader *loader, const char *layer, const char *part, const RagifyNorm *norm)
{
  RagifyTensor gain;
  RagifyTensor bias;

  if (!find (loader, layer, part, ".weight", 0, norm->size, &gain) ||
      !find (loader, layer, part, ".bias", 0, norm->size, &bias))
    return FALSE;
  read_vector (&gain, norm->gain);
  read_vector (&bias, norm->bias);
  return TRUE;
}

/* How the rows or columns of a matrix of attention are spread: each head's are padded to whole vectors. */
typedef struct {
  gsize size; /* of a head; or of the whole where there are no heads */
  gsize padded_size;
} Heads;

static gsize
padded_index (Heads heads, gsize index)
{
  return index / heads.size * heads.padded_size + index % heads.size;
}

/* Packs `rows` x `columns` into the outputs from `first` on, times `scale`. */
static gboolean
load_linear (Loader *loader, const char *layer, const char *part, const RagifyLinear *linear, gsize first, gsize rows,
             gsize columns, Heads row_heads, Heads column_heads, float scale)
{
  const RagifyKernels *const kernels = loader->weights->kernels;
  float *const bias = (float *)linear->bias + first;
  g_autofree float *values = g_new (float, MAX (rows, columns));
  RagifyTensor weight;
  RagifyTensor biases;

  if (!find (loader, layer, part, ".weight", rows, columns, &weight) ||
      !find (loader, layer, part, ".bias", 0, rows, &biases))
    return FALSE;

  memset (loader->row, 0, linear->depth * sizeof (float));
  for (gsize row = 0; row < rows; row++) {
    ragify_tensor_read_row (&weight, row, values);
    for (gsize i = 0; i < columns; i += column_heads.size) {
      float *const to = loader->row + padded_index (column_heads, i);
      const gsize count = MIN (column_heads.size, columns - i);

      for (gsize k = 0; k < count; k++)
        to[k] = values[i + k] * scale;
    }
    kernels->pack_row ((void *)linear->weights, linear->depth, first + padded_index (row_heads, row), loader->row);
  }
  ragify_tensor_read_row (&biases, 0, values);
  for (gsize row = 0; row < rows; row++)
    bias[padded_index (row_heads, row)] = values[row] * scale;
  return TRUE;
}

/* The scale of the scores goes into the queries, once and for all. */
static gboolean
load_layer (Loader *loader, gsize number)
{
  const RagifyWeights *const weights = loader->weights;
  const RagifyModelConfig *const config = &weights->config;
  const RagifyLayer *const layer = &weights->layers[number];
  const LayerNames *const names = &layer_names[config->architecture];
  const gsize hidden = config->hidden_size;
  const gsize inner = config->intermediate_size;
  const gsize width = weights->context_stride;
  const Heads whole = { .size = G_MAXSIZE, .padded_size = G_MAXSIZE };
  const Heads heads = { .size = hidden / config->heads, .padded_size = weights->attention.head_size };
  const float scale = 1.0F / sqrtf ((float)heads.size);
  g_autofree char *prefix = g_strdup_printf ("%s%" G_GSIZE_FORMAT ".", names->layer, number);

  return load_linear (loader, prefix, names->query, &layer->qkv, 0, hidden, hidden, heads, whole, scale) &&
         load_linear (loader, prefix, names->key, &layer->qkv, width, hidden, hidden, heads, whole, 1) &&
         load_linear (loader, prefix, names->value, &layer->qkv, 2 * width, hidden, hidden, heads, whole, 1) &&
         load_linear (loader, prefix, names->attention_output, &layer->attention_output, 0, hidden, hidden, whole,
                      heads, 1) &&
         load_norm (loader, prefix, names->attention_norm, &layer->attention_norm) &&
         load_linear (loader, prefix, names->up, &layer->up, 0, inner, hidden, whole, whole, 1) &&
         load_linear (loader, prefix, names->down, &layer->down, 0, hidden, inner, whole, whole, 1) &&
         load_norm (loader, prefix, names->output_norm, &layer->output_norm);
}

/* Rows of positions have the first type in them already. */
static void
load_second_type (RagifyWeights *weights, const RagifyTensor *types, const float *first)
{
  float *const second = (float *)weights->second_type;

  if (second == NULL)
    return;
  ragify_tensor_read_row (types, 1, second);
  for (gsize i = 0; i < weights->config.hidden_size; i++)
    second[i] -= first[i];
}

static gboolean
load_embeddings (Loader *loader)
{
  RagifyWeights *const weights = loader->weights;
  const RagifyModelConfig *const config = &weights->config;
  const gsize hidden = config->hidden_size;
  g_autofree float *type = g_new0 (float, hidden);
  RagifyTensor positions;
  RagifyTensor types;

  if (!find (loader, "embeddings.", "word_embeddings", ".weight", config->vocabulary_size, hidden, &weights->words) ||
      !find (loader, "embeddings.", "position_embeddings", ".weight", config->positions, hidden, &positions) ||
      !load_norm (loader, "embeddings.", "LayerNorm", &weights->embedding_norm))
    return FALSE;
  if (config->token_types > 0) {
    if (!find (loader, "embeddings.", "token_type_embeddings", ".weight", config->token_types, hidden, &types))
      return FALSE;
    ragify_tensor_read_row (&types, 0, type);
    load_second_type (weights, &types, type);
  }
  for (gsize i = 0; i < config->first_position + config->max_tokens; i++) {
    float *const row = (float *)weights->positions + i * weights->hidden_stride;

    ragify_tensor_read_row (&positions, i, row);
    for (gsize k = 0; k < hidden; k++)
      row[k] += type[k];
  }
  return TRUE;
}

/*
 * The bucket of a distance between two tokens, as T5 has it (Raffel et al., 2020, section 2.1) and MPNet took it over:
 * half of the buckets for each direction; of these, half for one distance each, and half for distances that grow as
 * powers up to 128. In float, as the models were trained.
 */
static gsize
find_bucket (gssize distance, gsize buckets)
{
  const gsize half = buckets / 2;
  const gsize exact = half / 2;
  const gsize direction = distance > 0 ? half : 0;
  const gsize length = (gsize)ABS (distance);
  float large;

  if (length < exact)
    return direction + length;
  large = logf ((float)length / (float)exact) / logf (128.0F / (float)exact) * (float)(half - exact);
  return direction + MIN (exact + (gsize)large, half - 1);
}

static gboolean
load_position_bias (Loader *loader)
{
  const RagifyWeights *const weights = loader->weights;
  const RagifyAttention *const attention = &weights->attention;
  const gsize buckets = weights->config.relative_buckets;
  const gssize reach = (gssize)weights->config.max_tokens - 1;
  float *const bias = (float *)attention->position_bias;
  g_autofree float *row = g_new (float, attention->heads);
  RagifyTensor table;

  if (buckets == 0)
    return TRUE;
  if (!find (loader, "encoder.", "relative_attention_bias", ".weight", buckets, attention->heads, &table))
    return FALSE;
  for (gssize distance = -reach; distance <= reach; distance++) {
    ragify_tensor_read_row (&table, find_bucket (distance, buckets), row);
    for (gsize head = 0; head < attention->heads; head++)
      bias[head * attention->position_bias_stride + (gsize)(reach + distance)] = row[head];
  }
  return TRUE;
}

static void
set_strides (RagifyWeights *self)
{
  const RagifyKernels *const kernels = self->kernels;
  const RagifyModelConfig *const config = &self->config;
  const gsize head_size = round_up (config->hidden_size / config->heads, kernels->vector_lanes);

  self->hidden_stride = round_up (config->hidden_size, kernels->panel_columns);
  self->context_stride = config->heads * head_size;
  self->qkv_stride = round_up (3 * self->context_stride, kernels->panel_columns);
  self->intermediate_stride = round_up (config->intermediate_size, kernels->panel_columns);
}

static gboolean
load (Loader *loader)
{
  RagifyWeights *const weights = loader->weights;
  g_autofree char *prefix = g_strconcat (ragify_architecture_name (weights->config.architecture), ".", NULL);
  g_autofree char *prefixed = g_strconcat (prefix, "embeddings.word_embeddings.weight", NULL);
  g_autofree float *row = NULL;

  set_strides (weights);
  if (!allocate (loader))
    return FALSE;
  row = g_new (float, MAX (MAX (weights->hidden_stride, weights->intermediate_stride), weights->context_stride));
  loader->row = row;
  loader->prefix = ragify_safetensors_has (weights->file, prefixed) ? prefix : "";
  if (!load_embeddings (loader) || !load_position_bias (loader))
    return FALSE;
  for (gsize i = 0; i < weights->config.layers; i++)
    if (!load_layer (loader, i))
      return FALSE;
  return TRUE;
}

RagifyWeights *
ragify_weights_load (const char *path, const RagifyModelConfig *config, const RagifyKernels *kernels, GError **error)
{
  g_autoptr (RagifyWeights) self = g_new0 (RagifyWeights, 1);
  Loader loader = { .weights = self, .error = error };

  self->kernels = kernels;
  self->config = *config;
  self->layers = g_new0 (RagifyLayer, config->layers);
  self->file = ragify_safetensors_open (path, error);
  if (self->file == NULL || !load (&loader))
    return NULL;
  return g_steal_pointer (&self);
}

void
ragify_weights_free (RagifyWeights *self)
{
  if (self->memory != NULL)
    munmap (self->memory, self->memory_size);
  g_clear_pointer (&self->file, ragify_safetensors_close);
  g_free (self->layers);
  g_free (self);
}
