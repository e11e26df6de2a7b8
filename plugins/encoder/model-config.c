/* SPDX-License-Identifier: MIT */
#include "model-config.h"

#include "encoder-error.h"
#include "json-file.h"

#include <string.h>

/* Bounds that no encoder of this family comes near; they keep every product of two sizes far from overflow. */
enum {
  MAX_HIDDEN = 16384,
  MAX_INTERMEDIATE = 65536,
  MAX_LAYERS = 256,
  MAX_VOCABULARY = 4 * 1024 * 1024,
  MAX_POSITIONS = 65536,
  MAX_BUCKETS = 1024,
};

static gboolean
refuse (const RagifyJsonFile *file, GError **error, const char *what, const char *found, const char *supported)
{
  g_set_error (error, RAGIFY_ENCODER_ERROR, RAGIFY_ENCODER_ERROR_UNSUPPORTED,
               "%s: %s '%s' is not supported; expected %s", ragify_json_file_get_path (file), what,
               found == NULL ? "" : found, supported);
  return FALSE;
}

static gboolean
read_architecture (const RagifyJsonFile *file, RagifyModelConfig *config, GError **error)
{
  const json_t *const root = ragify_json_file_get_root (file);
  const char *const type = json_string_value (json_object_get (root, "model_type"));
  const char *const class = json_string_value (json_array_get (json_object_get (root, "architectures"), 0));

  if (g_strcmp0 (type, "bert") == 0 || (type == NULL && g_strcmp0 (class, "BertModel") == 0))
    config->architecture = RAGIFY_ARCHITECTURE_BERT;
  else if (g_strcmp0 (type, "mpnet") == 0 || (type == NULL && g_strcmp0 (class, "MPNetModel") == 0))
    config->architecture = RAGIFY_ARCHITECTURE_MPNET;
  else if (g_strcmp0 (type, "distilbert") == 0 || (type == NULL && g_strcmp0 (class, "DistilBertModel") == 0))
    config->architecture = RAGIFY_ARCHITECTURE_DISTILBERT;
  else
    return refuse (file, error, "architecture", type == NULL ? class : type, "one of: bert, mpnet, distilbert");
  return TRUE;
}

/* A file without labels means two of them, as Hugging Face's own configuration has it. */
static void
read_labels (const RagifyJsonFile *file, RagifyModelConfig *config)
{
  const json_t *const root = ragify_json_file_get_root (file);
  const char *const class = json_string_value (json_array_get (json_object_get (root, "architectures"), 0));
  const json_t *const names = json_object_get (root, "id2label");
  const json_t *const count = json_object_get (root, "num_labels");

  if (class == NULL || !g_str_has_suffix (class, "ForSequenceClassification"))
    return;
  config->labels = json_is_object (names)    ? json_object_size (names)
                   : json_is_integer (count) ? (gsize)CLAMP (json_integer_value (count), 1, G_MAXINT)
                                             : 2;
}

/* What the architectures call their sizes. */
typedef struct {
  const char *hidden_size;
  const char *layers;
  const char *heads;
  const char *intermediate_size;
  const char *activation;
} SizeNames;

static const SizeNames *
find_names (RagifyArchitecture architecture)
{
  static const SizeNames usual = { "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
                                   "hidden_act" };
  static const SizeNames distilbert = { "dim", "n_layers", "n_heads", "hidden_dim", "activation" };

  return architecture == RAGIFY_ARCHITECTURE_DISTILBERT ? &distilbert : &usual;
}

static gboolean
read_sizes (const RagifyJsonFile *file, RagifyModelConfig *config, GError **error)
{
  const SizeNames *const names = find_names (config->architecture);

  return ragify_json_file_get_size (file, names->hidden_size, 1, MAX_HIDDEN, &config->hidden_size, error) &&
         ragify_json_file_get_size (file, names->layers, 1, MAX_LAYERS, &config->layers, error) &&
         ragify_json_file_get_size (file, names->heads, 1, config->hidden_size, &config->heads, error) &&
         ragify_json_file_get_size (file, names->intermediate_size, 1, MAX_INTERMEDIATE, &config->intermediate_size,
                                    error) &&
         ragify_json_file_get_size (file, "vocab_size", 1, MAX_VOCABULARY, &config->vocabulary_size, error) &&
         ragify_json_file_get_size (file, "max_position_embeddings", 4, MAX_POSITIONS, &config->positions, error);
}

static gboolean
read_architecture_sizes (const RagifyJsonFile *file, RagifyModelConfig *config, GError **error)
{
  const json_t *const root = ragify_json_file_get_root (file);

  if (config->architecture == RAGIFY_ARCHITECTURE_BERT) {
    const char *const positions = json_string_value (json_object_get (root, "position_embedding_type"));

    if (positions != NULL && strcmp (positions, "absolute") != 0)
      return refuse (file, error, "position_embedding_type", positions, "absolute");
    return ragify_json_file_get_size (file, "type_vocab_size", 1, MAX_BUCKETS, &config->token_types, error);
  }

  if (config->architecture == RAGIFY_ARCHITECTURE_DISTILBERT)
    return TRUE;
  config->padding_token = 1;
  config->relative_buckets = 32;
  if (json_object_get (root, "pad_token_id") != NULL &&
      !ragify_json_file_get_size (file, "pad_token_id", 0, config->positions - 3, &config->padding_token, error))
    return FALSE;
  if (json_object_get (root, "relative_attention_num_buckets") != NULL &&
      !ragify_json_file_get_size (file, "relative_attention_num_buckets", 4, MAX_BUCKETS, &config->relative_buckets,
                                  error))
    return FALSE;
  config->first_position = config->padding_token + 1;
  return TRUE;
}

static gboolean
read_model (const char *folder, RagifyModelConfig *config, GError **error)
{
  g_autoptr (RagifyJsonFile) file = ragify_json_file_read (folder, "config.json", error);

  if (file == NULL)
    return FALSE;

  const json_t *const root = ragify_json_file_get_root (file);
  const json_t *const epsilon = json_object_get (root, "layer_norm_eps");
  const SizeNames *names;
  const json_t *activation;

  if (!read_architecture (file, config, error) || !read_sizes (file, config, error) ||
      !read_architecture_sizes (file, config, error))
    return FALSE;
  names = find_names (config->architecture);
  activation = json_object_get (root, names->activation);
  if (config->hidden_size % config->heads != 0)
    return ragify_json_file_fail (file, error, "%s %" G_GSIZE_FORMAT " is no multiple of %s %" G_GSIZE_FORMAT,
                                  names->hidden_size, config->hidden_size, names->heads, config->heads);
  if (activation != NULL && g_strcmp0 (json_string_value (activation), "gelu") != 0)
    return refuse (file, error, names->activation, json_string_value (activation), "gelu");
  if (epsilon != NULL && !(json_number_value (epsilon) > 0 && json_number_value (epsilon) < 1))
    return ragify_json_file_fail (file, error, "'layer_norm_eps': expected a number between 0 and 1");
  read_labels (file, config);
  config->norm_epsilon = epsilon == NULL ? 1e-12F : (float)json_number_value (epsilon);
  return TRUE;
}

/*
 * modules.json lists the steps of the sentence encoder: the transformer, a pooling, often a normalisation (vectors get
 * unit length here in any case). Finds the pooling's folder; the path is the model's own word, so it may not lead out.
 */
static gboolean
read_modules (const char *folder, char **pooling_folder, GError **error)
{
  g_autoptr (RagifyJsonFile) file = NULL;
  gsize i;
  json_t *module;

  if (!ragify_json_file_read_optional (folder, "modules.json", &file, error))
    return FALSE;
  *pooling_folder = g_build_filename (folder, "1_Pooling", NULL);
  if (file == NULL)
    return TRUE;

  json_array_foreach (ragify_json_file_get_root (file), i, module)
  {
    const char *const type = json_string_value (json_object_get (module, "type"));
    const char *const path = json_string_value (json_object_get (module, "path"));

    if (type == NULL || path == NULL || strstr (path, "..") != NULL || path[0] == '/')
      return ragify_json_file_fail (file, error,
                                    "module %" G_GSIZE_FORMAT ": expected a type and a path inside the folder", i);
    if (g_str_has_suffix (type, ".Pooling")) {
      g_free (*pooling_folder);
      *pooling_folder = g_build_filename (folder, path, NULL);
    } else if (!g_str_has_suffix (type, ".Transformer") && !g_str_has_suffix (type, ".Normalize"))
      return refuse (file, error, "module", type, "Transformer, Pooling and Normalize");
  }
  return TRUE;
}

static gboolean
read_pooling (const char *folder, RagifyModelConfig *config, GError **error)
{
  g_autofree char *pooling_folder = NULL;
  g_autoptr (RagifyJsonFile) file = NULL;
  const char *name;
  json_t *value;
  const char *chosen = NULL;
  gsize size;

  config->pooling = RAGIFY_POOLING_MEAN;
  if (!read_modules (folder, &pooling_folder, error) ||
      !ragify_json_file_read_optional (pooling_folder, "config.json", &file, error))
    return FALSE;
  if (file == NULL)
    return TRUE;

  json_object_foreach ((json_t *)ragify_json_file_get_root (file), name, value)
  {
    if (!g_str_has_prefix (name, "pooling_mode_") || !json_is_true (value))
      continue;
    if (chosen != NULL)
      return refuse (file, error, "pooling by more than one mode:", name, "one mode");
    chosen = name;
  }
  if (g_strcmp0 (chosen, "pooling_mode_cls_token") == 0)
    config->pooling = RAGIFY_POOLING_CLS;
  else if (g_strcmp0 (chosen, "pooling_mode_mean_tokens") != 0)
    return refuse (file, error, "pooling", chosen, "pooling_mode_mean_tokens or pooling_mode_cls_token");
  if (json_object_get (ragify_json_file_get_root (file), "word_embedding_dimension") == NULL)
    return TRUE;
  return ragify_json_file_get_size (file, "word_embedding_dimension", config->hidden_size, config->hidden_size, &size,
                                    error);
}

static gboolean
read_limit (const char *folder, RagifyModelConfig *config, GError **error)
{
  g_autoptr (RagifyJsonFile) file = NULL;
  const json_t *limit;

  if (!ragify_json_file_read_optional (folder, "sentence_bert_config.json", &file, error))
    return FALSE;
  limit = file == NULL ? NULL : json_object_get (ragify_json_file_get_root (file), "max_seq_length");
  if (limit == NULL || json_is_null (limit))
    return TRUE;
  return ragify_json_file_get_size (file, "max_seq_length", 3, config->positions - config->first_position,
                                    &config->max_tokens, error);
}

gboolean
ragify_model_config_read (const char *folder, RagifyModelConfig *config, GError **error)
{
  RagifyModelConfig found = { 0 };

  if (!read_model (folder, &found, error) || !read_pooling (folder, &found, error) ||
      !read_limit (folder, &found, error))
    return FALSE;
  *config = found;
  return TRUE;
}

const char *
ragify_architecture_name (RagifyArchitecture architecture)
{
  return architecture == RAGIFY_ARCHITECTURE_BERT    ? "bert"
         : architecture == RAGIFY_ARCHITECTURE_MPNET ? "mpnet"
                                                     : "distilbert";
}
