/*
 * A cross-encoder: a question and passages in, a score for each passage out, by a BERT model with a classifier of one
 * output (BertForSequenceClassification), whose Hugging Face folder it reads. Knows nothing of the plugin ABI.
 *
 * A question and a passage become one sequence, [CLS] question [SEP] passage [SEP], the passage with the second token
 * type. Where they have too many tokens together, the longer one of both loses its end, token by token, as Hugging
 * Face's `longest_first` has it.
 *
 * A cross-encoder is immutable: all functions but open and free are [any]; each call computes on its own thread.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_CROSS_ENCODER_H
#define RAGIFY_CROSS_ENCODER_H

#include "encoder-types.h"

typedef struct _RagifyCrossEncoder RagifyCrossEncoder;

/* `options->max_windows` does not count. NULL with an ENCODER_ERROR that names the file. */
RagifyCrossEncoder *ragify_cross_encoder_open (const char *folder, const RagifyEncoderOptions *options, GError **error);

void ragify_cross_encoder_free (RagifyCrossEncoder *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyCrossEncoder, ragify_cross_encoder_free)

gsize ragify_cross_encoder_get_dimension (const RagifyCrossEncoder *self);
gsize ragify_cross_encoder_get_layers (const RagifyCrossEncoder *self);

/* Tokens of a question and a passage together, special tokens included. */
gsize ragify_cross_encoder_get_max_tokens (const RagifyCrossEncoder *self);

const char *ragify_cross_encoder_get_precision (const RagifyCrossEncoder *self);
const char *ragify_cross_encoder_get_kernel (const RagifyCrossEncoder *self);

/*
 * Writes the classifier's output for each passage, any number: larger is better, and 1 / (1 + e^-x) is the probability
 * that the model was trained for. `truncated`, unless NULL: pairs that lost tokens. `stop` may be NULL. FALSE with
 * ENCODER_ERROR_CANCELLED, _MEMORY or, where a score is not finite, _FORMAT.
 */
gboolean ragify_cross_encoder_score (const RagifyCrossEncoder *self, const RagifyText *question,
                                     const RagifyText *passages, gsize count, RagifyEncoderStop stop, gpointer user,
                                     float *scores, gsize *truncated, GError **error);

#endif
