/*
 * What a Hugging Face folder says about its model: config.json, and the files that sentence-transformers adds
 * (modules.json, sentence_bert_config.json, 1_Pooling/config.json).
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_MODEL_CONFIG_H
#define RAGIFY_MODEL_CONFIG_H

#include <glib.h>

typedef enum {
  RAGIFY_ARCHITECTURE_BERT,
  RAGIFY_ARCHITECTURE_MPNET,
  RAGIFY_ARCHITECTURE_DISTILBERT,
} RagifyArchitecture;

typedef enum {
  RAGIFY_POOLING_MEAN, /* of all tokens' vectors, special ones included */
  RAGIFY_POOLING_CLS,  /* the first token's vector */
} RagifyPooling;

typedef struct {
  RagifyArchitecture architecture;
  gsize hidden_size; /* the dimension of an embedding */
  gsize layers;
  gsize heads;
  gsize intermediate_size;
  gsize vocabulary_size;
  gsize positions;      /* rows of the position table */
  gsize first_position; /* the row of a text's first token: 0, or padding + 1 for MPNet */
  gsize padding_token;
  gsize token_types;      /* 0 for MPNet and DistilBERT */
  gsize relative_buckets; /* of MPNet's relative position bias; 0 for the others */
  float norm_epsilon;
  gsize max_tokens; /* of one text, special tokens included; 0: the folder does not say */
  RagifyPooling pooling;
  gsize labels; /* outputs of a classifier of whole sequences; 0: there is none */
} RagifyModelConfig;

/*
 * Reads the folder's configuration. FALSE with ENCODER_ERROR_FILE, _FORMAT or, for an architecture, an activation, a
 * pooling or a further module that the encoder does not compute, _UNSUPPORTED with what is supported. [any]
 */
gboolean ragify_model_config_read (const char *folder, RagifyModelConfig *config, GError **error);

/* "bert", "mpnet" or "distilbert". */
const char *ragify_architecture_name (RagifyArchitecture architecture);

#endif
