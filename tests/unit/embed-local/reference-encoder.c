/* SPDX-License-Identifier: MIT */
#include "reference-encoder.h"

#include "model-config.h"
#include "safetensors.h"
#include "tokenizer.h"

#include <math.h>
#include <string.h>

struct _ReferenceEncoder {
  RagifyModelConfig config;
  RagifySafetensors *file;
  RagifyTokenizer *tokenizer;
  GHashTable *tensors; /* name to double[], read once */
  GHashTable *vectors; /* what embed_text() made, by its arguments: each table of kernels is compared with the same */
  const char *prefix;  /* of all names */
};

ReferenceEncoder *
reference_encoder_new (const char *folder)
{
  ReferenceEncoder *const self = g_new0 (ReferenceEncoder, 1);
  g_autofree char *path = g_build_filename (folder, "model.safetensors", NULL);
  g_autoptr (GError) error = NULL;

  if (!ragify_model_config_read (folder, &self->config, &error))
    g_error ("%s", error->message);
  self->tokenizer = ragify_tokenizer_new (folder, self->config.architecture, self->config.vocabulary_size, &error);
  if (self->tokenizer == NULL)
    g_error ("%s", error->message);
  self->file = ragify_safetensors_open (path, &error);
  if (self->file == NULL)
    g_error ("%s", error->message);
  self->prefix = ragify_safetensors_has (self->file, "bert.embeddings.LayerNorm.weight") ? "bert." : "";
  self->tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  self->vectors = g_hash_table_new_full (g_bytes_hash, g_bytes_equal, (GDestroyNotify)g_bytes_unref, g_free);
  return self;
}

void
reference_encoder_free (ReferenceEncoder *self)
{
  g_hash_table_unref (self->tensors);
  g_hash_table_unref (self->vectors);
  ragify_safetensors_close (self->file);
  ragify_tokenizer_free (self->tokenizer);
  g_free (self);
}

/* rows x columns; a vector where rows is 0. */
static const double *
get_plain (const ReferenceEncoder *self, const char *name, gsize rows, gsize columns)
{
  double *values = g_hash_table_lookup (self->tensors, name);
  g_autofree float *row = NULL;
  RagifyTensor tensor;
  g_autoptr (GError) error = NULL;

  if (values != NULL)
    return values;
  if (!ragify_safetensors_find (self->file, name, rows, columns, &tensor, &error))
    g_error ("%s", error->message);
  values = g_new (double, tensor.rows *columns);
  row = g_new (float, columns);
  for (gsize r = 0; r < tensor.rows; r++) {
    ragify_tensor_read_row (&tensor, r, row);
    for (gsize c = 0; c < columns; c++)
      values[r * columns + c] = (double)row[c];
  }
  g_hash_table_insert (self->tensors, g_strdup (name), values);
  return values;
}

static const double *
get (const ReferenceEncoder *self, const char *layer, const char *part, const char *kind, gsize rows, gsize columns)
{
  g_autofree char *name = g_strconcat (self->prefix, layer, part, kind, NULL);

  return get_plain (self, name, rows, columns);
}

static double
dot (const double *a, const double *b, gsize size)
{
  double sums[8] = { 0 };
  double sum = 0;
  gsize i = 0;

  for (; i + 8 <= size; i += 8)
    for (gsize k = 0; k < 8; k++)
      sums[k] += a[i + k] * b[i + k];
  for (; i < size; i++)
    sum += a[i] * b[i];
  for (gsize k = 0; k < 8; k++)
    sum += sums[k];
  return sum;
}

static double *
linear (const ReferenceEncoder *self, const double *x, gsize count, const char *layer, const char *part, gsize columns,
        gsize depth)
{
  const double *const weights = get (self, layer, part, ".weight", columns, depth);
  const double *const bias = get (self, layer, part, ".bias", 0, columns);
  double *const y = g_new0 (double, count *columns);

  for (gsize row = 0; row < count; row++)
    for (gsize column = 0; column < columns; column++)
      y[row * columns + column] = dot (x + row * depth, weights + column * depth, depth) + bias[column];
  return y;
}

static void
normalise (const ReferenceEncoder *self, double *x, gsize count, const char *layer, const char *part)
{
  const gsize size = self->config.hidden_size;
  const double *const gain = get (self, layer, part, ".weight", 0, size);
  const double *const bias = get (self, layer, part, ".bias", 0, size);

  for (double *row = x; row < x + count * size; row += size) {
    double mean = 0;
    double variance = 0;

    for (gsize i = 0; i < size; i++)
      mean += row[i] / (double)size;
    for (gsize i = 0; i < size; i++)
      variance += (row[i] - mean) * (row[i] - mean) / (double)size;
    for (gsize i = 0; i < size; i++)
      row[i] = (row[i] - mean) / sqrt (variance + (double)self->config.norm_epsilon) * gain[i] + bias[i];
  }
}

static double *
embed_tokens (const ReferenceEncoder *self, const guint32 *ids, gsize count, gsize first_tokens)
{
  const RagifyModelConfig *const config = &self->config;
  const gsize size = config->hidden_size;
  const double *const words = get (self, "embeddings.", "word_embeddings", ".weight", config->vocabulary_size, size);
  const double *const places = get (self, "embeddings.", "position_embeddings", ".weight", config->positions, size);
  const double *types = NULL;
  double *const x = g_new (double, count *size);
  gsize next = config->first_position;

  if (config->token_types > 0)
    types = get (self, "embeddings.", "token_type_embeddings", ".weight", config->token_types, size);
  for (gsize t = 0; t < count; t++) {
    const gboolean padding = config->first_position > 0 && ids[t] == config->padding_token;
    const gsize place = padding ? config->padding_token : next++;
    const double *const type = types == NULL || t < first_tokens ? types : types + size;

    for (gsize i = 0; i < size; i++)
      x[t * size + i] = words[ids[t] * size + i] + places[place * size + i] + (type == NULL ? 0 : type[i]);
  }
  normalise (self, x, count, "embeddings.", "LayerNorm");
  return x;
}

/* Half of the buckets for keys behind the query; of a half, half for single distances, half for powers up to 128. */
static double
position_bias (const ReferenceEncoder *self, gsize head, gsize query, gsize key)
{
  const gsize buckets = self->config.relative_buckets;
  const gsize half = buckets / 2;
  const gsize exact = half / 2;
  const gsize distance = key > query ? key - query : query - key;
  gsize bucket = distance;

  if (buckets == 0)
    return 0;
  if (distance >= exact) {
    const float ratio = logf ((float)distance / (float)exact) / logf (128.0F / (float)exact);

    bucket = MIN (exact + (gsize)(ratio * (float)(half - exact)), half - 1);
  }
  if (key > query)
    bucket += half;
  return get (self, "encoder.", "relative_attention_bias", ".weight", buckets,
              self->config.heads)[bucket * self->config.heads + head];
}

/* One query of one head. */
static void
attend_one (const ReferenceEncoder *self, const double *q, const double *k, const double *v, gsize count, gsize head,
            gsize query, double *context)
{
  const gsize hidden = self->config.hidden_size;
  const gsize size = hidden / self->config.heads;
  g_autofree double *scores = g_new0 (double, count);
  double largest = -INFINITY;
  double sum = 0;

  for (gsize key = 0; key < count; key++) {
    scores[key] = dot (q + query * hidden + head * size, k + key * hidden + head * size, size) / sqrt ((double)size) +
                  position_bias (self, head, query, key);
    largest = MAX (largest, scores[key]);
  }
  for (gsize key = 0; key < count; key++)
    sum += scores[key] = exp (scores[key] - largest);
  for (gsize i = 0; i < size; i++) {
    double *const to = &context[query * hidden + head * size + i];

    *to = 0;
    for (gsize key = 0; key < count; key++)
      *to += scores[key] / sum * v[key * hidden + head * size + i];
  }
}

static void
add_and_normalise (const ReferenceEncoder *self, double *x, const double *y, gsize count, const char *layer,
                   const char *part)
{
  for (gsize i = 0; i < count * self->config.hidden_size; i++)
    x[i] += y[i];
  normalise (self, x, count, layer, part);
}

/* What the architectures call the parts of a layer. */
static const char *
name (const ReferenceEncoder *self, const char *bert, const char *mpnet, const char *distilbert)
{
  return self->config.architecture == RAGIFY_ARCHITECTURE_BERT    ? bert
         : self->config.architecture == RAGIFY_ARCHITECTURE_MPNET ? mpnet
                                                                  : distilbert;
}

static void
attend (const ReferenceEncoder *self, double *x, gsize count, const char *layer)
{
  const gsize hidden = self->config.hidden_size;
  g_autofree double *q =
      linear (self, x, count, layer, name (self, "attention.self.query", "attention.attn.q", "attention.q_lin"), hidden,
              hidden);
  g_autofree double *k = linear (
      self, x, count, layer, name (self, "attention.self.key", "attention.attn.k", "attention.k_lin"), hidden, hidden);
  g_autofree double *v =
      linear (self, x, count, layer, name (self, "attention.self.value", "attention.attn.v", "attention.v_lin"), hidden,
              hidden);
  g_autofree double *context = g_new0 (double, count *hidden);
  g_autofree double *y = NULL;

  for (gsize head = 0; head < self->config.heads; head++)
    for (gsize query = 0; query < count; query++)
      attend_one (self, q, k, v, count, head, query, context);
  y = linear (self, context, count, layer,
              name (self, "attention.output.dense", "attention.attn.o", "attention.out_lin"), hidden, hidden);
  add_and_normalise (self, x, y, count, layer,
                     name (self, "attention.output.LayerNorm", "attention.LayerNorm", "sa_layer_norm"));
}

static void
feed_forward (const ReferenceEncoder *self, double *x, gsize count, const char *layer)
{
  const gsize hidden = self->config.hidden_size;
  const gsize inner = self->config.intermediate_size;
  g_autofree double *up = linear (self, x, count, layer,
                                  name (self, "intermediate.dense", "intermediate.dense", "ffn.lin1"), inner, hidden);
  g_autofree double *down = NULL;

  for (gsize i = 0; i < count * inner; i++)
    up[i] = up[i] / 2 * (1 + erf (up[i] / sqrt (2)));
  down = linear (self, up, count, layer, name (self, "output.dense", "output.dense", "ffn.lin2"), hidden, inner);
  add_and_normalise (self, x, down, count, layer,
                     name (self, "output.LayerNorm", "output.LayerNorm", "output_layer_norm"));
}

/* The vectors of all tokens. */
static double *
transform (const ReferenceEncoder *self, const guint32 *ids, gsize count, gsize first_tokens)
{
  double *const x = embed_tokens (self, ids, count, first_tokens);

  for (gsize i = 0; i < self->config.layers; i++) {
    g_autofree char *layer =
        g_strdup_printf ("%s.layer.%" G_GSIZE_FORMAT ".", name (self, "encoder", "encoder", "transformer"), i);

    attend (self, x, count, layer);
    feed_forward (self, x, count, layer);
  }
  return x;
}

static void
scale (double *vector, gsize size)
{
  const double length = sqrt (dot (vector, vector, size));

  for (gsize i = 0; i < size; i++)
    vector[i] /= length;
}

void
reference_encoder_embed (const ReferenceEncoder *self, const guint32 *ids, gsize count, double *vector)
{
  const gsize size = self->config.hidden_size;
  const gsize pooled = self->config.pooling == RAGIFY_POOLING_MEAN ? count : 1;
  g_autofree double *x = transform (self, ids, count, count);

  memset (vector, 0, size * sizeof *vector);
  for (gsize t = 0; t < pooled; t++)
    for (gsize i = 0; i < size; i++)
      vector[i] += x[t * size + i];
  scale (vector, size);
}

/* A text of so many windows at most, which begin an eighth before the one before ends; the last ends with the text. */
static void
embed_text (const ReferenceEncoder *self, const RagifyText *text, gsize limit, gsize max_windows, double *vector)
{
  const gsize size = self->config.hidden_size;
  const gsize room = limit - 2;
  const gsize step = room - room / 8;
  const gsize most = room + (max_windows - 1) * step;
  g_autofree guint32 *tokens = g_new (guint32, most);
  g_autofree guint32 *ids = g_new (guint32, limit);
  g_autofree double *window = g_new (double, size);
  const gsize count = MIN (ragify_tokenizer_encode (self->tokenizer, text->data, text->size, tokens, most), most);
  const gsize length = MIN (count, room);

  memset (vector, 0, size * sizeof *vector);
  ids[0] = ragify_tokenizer_get_begin (self->tokenizer);
  ids[length + 1] = ragify_tokenizer_get_end (self->tokenizer);
  for (gsize start = 0, ends = 0; ends < MAX (count, 1); start += step) {
    const gsize at = MIN (start, count - length);

    memcpy (ids + 1, tokens + at, length * sizeof *ids);
    reference_encoder_embed (self, ids, length + 2, window);
    for (gsize i = 0; i < size; i++)
      vector[i] += window[i];
    ends = MAX (at + length, 1);
  }
  scale (vector, size);
}

static const double *
get_vector (const ReferenceEncoder *self, const RagifyText *text, gsize limit, gsize max_windows)
{
  GString *const arguments = g_string_new (NULL);
  GBytes *key;
  double *vector;

  g_string_printf (arguments, "%" G_GSIZE_FORMAT " %" G_GSIZE_FORMAT " ", limit, max_windows);
  g_string_append_len (arguments, text->data, (gssize)text->size);
  key = g_string_free_to_bytes (arguments);
  vector = g_hash_table_lookup (self->vectors, key);
  if (vector != NULL) {
    g_bytes_unref (key);
    return vector;
  }
  vector = g_new (double, self->config.hidden_size);
  embed_text (self, text, limit, max_windows, vector);
  g_hash_table_insert (self->vectors, key, vector);
  return vector;
}

static double
cosine (const double *expected, const float *found, gsize size)
{
  double product = 0;
  double squares = 0;

  for (gsize i = 0; i < size; i++) {
    product += (double)found[i] * expected[i];
    squares += (double)found[i] * (double)found[i];
  }
  return product / sqrt (squares);
}

double
reference_encoder_compare (const ReferenceEncoder *self, const RagifyEncoder *encoder, gsize max_windows,
                           const RagifyText *texts, gsize count)
{
  const gsize size = self->config.hidden_size;
  g_autofree float *vectors = g_new0 (float, count *size);
  double smallest = 1;

  if (!ragify_encoder_embed (encoder, texts, count, NULL, NULL, vectors, NULL, NULL))
    return NAN;
  for (gsize i = 0; i < count; i++) {
    const double found = cosine (get_vector (self, &texts[i], ragify_encoder_get_max_tokens (encoder), max_windows),
                                 vectors + i * size, size);

    if (isnan (found))
      return found;
    smallest = MIN (smallest, found);
  }
  return smallest;
}

double
reference_encoder_score (const ReferenceEncoder *self, const RagifyText *question, const RagifyText *passage,
                         gsize limit)
{
  const gsize size = self->config.hidden_size;
  const gsize room = limit - 3;
  g_autofree guint32 *first = g_new (guint32, room + 1);
  g_autofree guint32 *second = g_new (guint32, room + 1);
  g_autoptr (GArray) ids = g_array_new (FALSE, FALSE, sizeof (guint32));
  const guint32 begin = ragify_tokenizer_get_begin (self->tokenizer);
  const guint32 end = ragify_tokenizer_get_end (self->tokenizer);
  gsize firsts = ragify_tokenizer_encode (self->tokenizer, question->data, question->size, first, room);
  gsize seconds = ragify_tokenizer_encode (self->tokenizer, passage->data, passage->size, second, room);
  g_autofree double *x = NULL;
  g_autofree double *pooled = NULL;
  double score;

  if (firsts + seconds > room) {
    const gsize shorter = MIN (MIN (firsts, seconds), room / 2);
    const gboolean question_is_longer = firsts > seconds;

    firsts = question_is_longer ? room - shorter : shorter;
    seconds = room - firsts;
  }
  g_array_append_val (ids, begin);
  g_array_append_vals (ids, first, (guint)firsts);
  g_array_append_val (ids, end);
  g_array_append_vals (ids, second, (guint)seconds);
  g_array_append_val (ids, end);
  x = transform (self, (const guint32 *)(const void *)ids->data, ids->len, firsts + 2);
  pooled = linear (self, x, 1, "", "pooler.dense", size, size);
  score = get_plain (self, "classifier.bias", 0, 1)[0];
  for (gsize i = 0; i < size; i++)
    score += tanh (pooled[i]) * get_plain (self, "classifier.weight", 1, size)[i];
  return score;
}
