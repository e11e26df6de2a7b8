/*
 * A transformer of the BERT, DistilBERT or MPNet kind, loaded from a Hugging Face folder, and the computation that its
 * uses have in common: sequences of tokens in, one vector for each token out. An encoder (encoder.h) makes of them a
 * vector for each text, a cross-encoder (cross-encoder.h) a score for each pair of texts.
 *
 * A RagifyTransformer is immutable once open: all functions but open and clear are [any], at once from as many threads
 * as there are. A batch belongs to one thread.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_TRANSFORMER_H
#define RAGIFY_TRANSFORMER_H

#include "encoder-types.h"
#include "tokenizer.h"
#include "weights.h"
#include "workspace.h"

typedef struct {
  RagifyTokenizer *tokenizer;
  RagifyWeights *weights;
  RagifyWorkspacePool *workspaces;
  char *path; /* of the weights */
} RagifyTransformer;

/*
 * Loads the model that `config` describes. `config->max_tokens` becomes the limit in force: the model's own, otherwise
 * the tokenizer's, otherwise all positions; the options' where that is lower. FALSE with an ENCODER_ERROR; the
 * transformer may be filled in part then, and wants to be cleared all the same.
 */
gboolean ragify_transformer_open (RagifyTransformer *self, const char *folder, RagifyModelConfig *config,
                                  const RagifyEncoderOptions *options, GError **error);
void ragify_transformer_clear (RagifyTransformer *self);

/* Sequences that are computed together. Those of a batch never have more tokens than its workspace has room for. */
typedef struct {
  const RagifyTransformer *transformer;
  RagifyWorkspace *workspace;
  RagifyEncoderStop stop; /* NULL: wanted to the end */
  gpointer user;
  gsize count;  /* of sequences so far */
  gsize tokens; /* of them */
} RagifyBatch;

/* FALSE with ENCODER_ERROR_MEMORY. */
gboolean ragify_batch_begin (RagifyBatch *batch, const RagifyTransformer *transformer, RagifyEncoderStop stop,
                             gpointer user, GError **error);
void ragify_batch_end (RagifyBatch *batch);

/* Where the next sequence's tokens go: there is room for the model's limit. */
guint32 *ragify_batch_get_ids (const RagifyBatch *batch);

/* Adds the sequence whose tokens were written there; TRUE: there may be no room for another, compute first. */
gboolean ragify_batch_add (RagifyBatch *batch, RagifySequence sequence);

/*
 * Computes the vectors of all tokens into workspace->hidden, sequence after sequence. The caller sets `count` and
 * `tokens` to 0 when it has taken them. FALSE with ENCODER_ERROR_CANCELLED.
 */
gboolean ragify_batch_compute (const RagifyBatch *batch, GError **error);

#endif
