/* SPDX-License-Identifier: MIT */
#include "model-folder.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

typedef struct {
  const ModelShape *shape;
  GString *header;
  GByteArray *data;
  guint32 random;
} Writer;

char *
model_folder_new (void)
{
  g_autoptr (GError) error = NULL;
  char *const folder = g_dir_make_tmp ("ragify-model-XXXXXX", &error);

  if (folder == NULL)
    g_error ("%s", error->message);
  return folder;
}

void
model_folder_free (char *folder)
{
  GDir *const directory = g_dir_open (folder, 0, NULL);
  const char *name;

  while (directory != NULL && (name = g_dir_read_name (directory)) != NULL) {
    g_autofree char *path = g_build_filename (folder, name, NULL);

    if (g_file_test (path, G_FILE_TEST_IS_DIR))
      model_folder_free (g_steal_pointer (&path));
    else
      g_unlink (path);
  }
  if (directory != NULL)
    g_dir_close (directory);
  g_rmdir (folder);
  g_free (folder);
}

void
model_folder_write (const char *folder, const char *name, const char *text, gssize size)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autofree char *directory = g_path_get_dirname (path);
  g_autoptr (GError) error = NULL;

  g_mkdir_with_parents (directory, 0700);
  if (!g_file_set_contents (path, text, size, &error))
    g_error ("%s", error->message);
}

void
model_folder_write_safetensors (const char *folder, const char *header, gsize data_size)
{
  const guint64 length = GUINT64_TO_LE (strlen (header));
  GByteArray *const file = g_byte_array_new ();
  g_autofree guint8 *zeros = g_malloc0 (data_size);

  g_byte_array_append (file, (const guint8 *)&length, sizeof length);
  g_byte_array_append (file, (const guint8 *)header, (guint)strlen (header));
  g_byte_array_append (file, zeros, (guint)data_size);
  model_folder_write (folder, "model.safetensors", (const char *)file->data, file->len);
  g_byte_array_unref (file);
}

/* Numbers that look random, the same in each run. */
static float
next_random (Writer *writer)
{
  writer->random = writer->random * 1664525 + 1013904223;
  return (float)(writer->random >> 8) / (float)(1 << 23) - 1;
}

/* Exact for the normal halves that tests need. */
static guint16
half_from_float (float value)
{
  guint32 bits;

  memcpy (&bits, &value, sizeof bits);
  if (fabsf (value) < 1.0F / 16384)
    return 0;
  return (guint16)((bits >> 16 & 0x8000) | ((bits >> 23 & 0xff) - 112) << 10 | (bits >> 13 & 0x3ff));
}

static void
add_tensor (Writer *writer, const char *layer, const char *part, gsize rows, gsize columns, float middle, float spread)
{
  const gboolean half = writer->shape->half && rows > 0;
  const gsize count = MAX (rows, 1) * columns;
  const guint begin = writer->data->len;
  g_autofree char *shape = rows == 0 ? g_strdup_printf ("%" G_GSIZE_FORMAT, columns)
                                     : g_strdup_printf ("%" G_GSIZE_FORMAT ",%" G_GSIZE_FORMAT, rows, columns);

  for (gsize i = 0; i < count; i++) {
    const float value = middle + spread * next_random (writer);
    const guint16 small = half_from_float (value);

    if (half)
      g_byte_array_append (writer->data, (const guint8 *)&small, sizeof small);
    else
      g_byte_array_append (writer->data, (const guint8 *)&value, sizeof value);
  }
  g_string_append_printf (writer->header, "%s\"%s%s%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%u,%u]}",
                          writer->header->len > 1 ? "," : "",
                          writer->shape->prefix == NULL ? "" : writer->shape->prefix, layer, part, half ? "F16" : "F32",
                          shape, begin, writer->data->len);
}

static void
add_linear (Writer *writer, const char *layer, const char *part, gsize rows, gsize columns)
{
  g_autofree char *weight = g_strconcat (part, ".weight", NULL);
  g_autofree char *bias = g_strconcat (part, ".bias", NULL);

  add_tensor (writer, layer, weight, rows, columns, 0, 1.2F / sqrtf ((float)columns));
  add_tensor (writer, layer, bias, 0, rows, 0, 0.1F);
}

static void
add_norm (Writer *writer, const char *layer, const char *part)
{
  g_autofree char *weight = g_strconcat (part, ".weight", NULL);
  g_autofree char *bias = g_strconcat (part, ".bias", NULL);

  add_tensor (writer, layer, weight, 0, writer->shape->hidden, 1, 0.2F);
  add_tensor (writer, layer, bias, 0, writer->shape->hidden, 0, 0.2F);
}

/* In the order: queries, keys, values, output, its norm, up, down, their norm. */
static const char *const *
find_parts (const ModelShape *shape)
{
  static const char *const bert[] = {
    "attention.self.query",       "attention.self.key", "attention.self.value", "attention.output.dense",
    "attention.output.LayerNorm", "intermediate.dense", "output.dense",         "output.LayerNorm"
  };
  static const char *const mpnet[] = { "attention.attn.q", "attention.attn.k",    "attention.attn.v",
                                       "attention.attn.o", "attention.LayerNorm", "intermediate.dense",
                                       "output.dense",     "output.LayerNorm" };
  static const char *const distilbert[] = { "attention.q_lin",   "attention.k_lin",  "attention.v_lin",
                                            "attention.out_lin", "sa_layer_norm",    "ffn.lin1",
                                            "ffn.lin2",          "output_layer_norm" };

  return shape->mpnet ? mpnet : shape->distilbert ? distilbert : bert;
}

static void
add_layer (Writer *writer, gsize number)
{
  const ModelShape *const shape = writer->shape;
  const char *const *const parts = find_parts (shape);
  g_autofree char *layer =
      g_strdup_printf ("%s.layer.%" G_GSIZE_FORMAT ".", shape->distilbert ? "transformer" : "encoder", number);

  for (gsize i = 0; i < 4; i++)
    add_linear (writer, layer, parts[i], shape->hidden, shape->hidden);
  add_norm (writer, layer, parts[4]);
  add_linear (writer, layer, parts[5], shape->intermediate, shape->hidden);
  add_linear (writer, layer, parts[6], shape->hidden, shape->intermediate);
  add_norm (writer, layer, parts[7]);
}

/* The classifier's own name has no prefix. */
static void
add_classifier (Writer *writer)
{
  const ModelShape *const shape = writer->shape;
  ModelShape bare = *shape;

  add_linear (writer, "", "pooler.dense", shape->hidden, shape->hidden);
  bare.prefix = NULL;
  writer->shape = &bare;
  add_linear (writer, "", "classifier", shape->labels, shape->hidden);
  writer->shape = shape;
}

static gsize
write_vocabulary (const ModelShape *shape, const char *folder)
{
  GString *const text = g_string_new (shape->mpnet ? "<s>\n<pad>\n</s>\n[UNK]\n" : "[PAD]\n[UNK]\n[CLS]\n[SEP]\n");
  gsize count = 4;

  for (char c = '!'; c < 0x7f; c++)
    if (!g_ascii_isupper (c)) {
      g_string_append_printf (text, "%c\n##%c\n", c, c);
      count += 2;
    }
  g_string_append (text, "the\nquick\nbrown\nfox\n##ing\nn\303\270rd\n");
  count += 6;
  model_folder_write (folder, "vocab.txt", text->str, (gssize)text->len);
  g_string_free (text, TRUE);
  return count;
}

/* DistilBERT's sizes have names of their own. */
static void
write_distilbert_config (const ModelShape *shape, gsize vocabulary, const char *folder)
{
  g_autofree char *config = g_strdup_printf (
      "{\"model_type\":\"distilbert\",\"dim\":%" G_GSIZE_FORMAT ",\"n_heads\":%" G_GSIZE_FORMAT
      ",\"n_layers\":%" G_GSIZE_FORMAT ",\"hidden_dim\":%" G_GSIZE_FORMAT ",\"vocab_size\":%" G_GSIZE_FORMAT
      ",\"max_position_embeddings\":%" G_GSIZE_FORMAT ",\"activation\":\"gelu\"}",
      shape->hidden, shape->heads, shape->layers, shape->intermediate, vocabulary, shape->positions);

  model_folder_write (folder, "config.json", config, -1);
}

static void
write_config (const ModelShape *shape, gsize vocabulary, const char *folder)
{
  g_autofree char *labels =
      shape->labels == 0
          ? g_strdup ("")
          : g_strdup_printf (",\"architectures\":[\"BertForSequenceClassification\"],\"num_labels\":%" G_GSIZE_FORMAT,
                             shape->labels);
  g_autofree char *config = g_strdup_printf (
      "{\"model_type\":\"%s\",\"hidden_size\":%" G_GSIZE_FORMAT ",\"num_attention_heads\":%" G_GSIZE_FORMAT
      ",\"num_hidden_layers\":%" G_GSIZE_FORMAT ",\"intermediate_size\":%" G_GSIZE_FORMAT
      ",\"vocab_size\":%" G_GSIZE_FORMAT ",\"max_position_embeddings\":%" G_GSIZE_FORMAT
      ",\"layer_norm_eps\":1e-5,\"hidden_act\":\"gelu\",\"type_vocab_size\":2%s%s}",
      shape->mpnet ? "mpnet" : "bert", shape->hidden, shape->heads, shape->layers, shape->intermediate, vocabulary,
      shape->positions, shape->mpnet ? ",\"pad_token_id\":1,\"relative_attention_num_buckets\":32" : "", labels);

  model_folder_write (folder, "config.json", config, -1);
}

void
model_folder_fill (const char *folder, const ModelShape *shape)
{
  const gsize vocabulary = write_vocabulary (shape, folder);
  Writer writer = { .shape = shape, .header = g_string_new ("{"), .data = g_byte_array_new (), .random = 7 };
  guint64 length;

  (shape->distilbert ? write_distilbert_config : write_config) (shape, vocabulary, folder);
  add_tensor (&writer, "embeddings.", "word_embeddings.weight", vocabulary, shape->hidden, 0, 1);
  add_tensor (&writer, "embeddings.", "position_embeddings.weight", shape->positions, shape->hidden, 0, 0.5F);
  if (shape->mpnet)
    add_tensor (&writer, "encoder.", "relative_attention_bias.weight", 32, shape->heads, 0, 1);
  else if (!shape->distilbert)
    add_tensor (&writer, "embeddings.", "token_type_embeddings.weight", 2, shape->hidden, 0, 0.5F);
  add_norm (&writer, "embeddings.", "LayerNorm");
  for (gsize i = 0; i < shape->layers; i++)
    add_layer (&writer, i);
  if (shape->labels > 0)
    add_classifier (&writer);
  g_string_append_c (writer.header, '}');

  length = GUINT64_TO_LE (writer.header->len);
  g_string_prepend_len (writer.header, (const char *)&length, sizeof length);
  g_string_append_len (writer.header, (const char *)writer.data->data, (gssize)writer.data->len);
  model_folder_write (folder, "model.safetensors", writer.header->str, (gssize)writer.header->len);
  g_string_free (writer.header, TRUE);
  g_byte_array_unref (writer.data);
}
