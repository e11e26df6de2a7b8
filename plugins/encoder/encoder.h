/*
 * A sentence encoder: texts in, vectors of unit length out, by a transformer of the BERT, DistilBERT or MPNet kind
 * whose Hugging Face folder it reads (config.json, model.safetensors, tokenizer.json or vocab.txt, and what
 * sentence-transformers adds). Knows nothing of the plugin ABI.
 *
 *     g_autoptr (RagifyEncoder) encoder = ragify_encoder_open (folder, NULL, &error);
 *     const RagifyText text = { "What is a cell?", 15 };
 *     float *vector = g_new (float, ragify_encoder_get_dimension (encoder));
 *     ragify_encoder_embed (encoder, &text, 1, NULL, NULL, vector, NULL, &error);
 *
 * A text of more tokens than the model's limit is cut, or, with `max_windows`, embedded as that many windows at most
 * that overlap by an eighth, the last one by more: its vector is the mean of theirs, made a unit vector.
 *
 * An encoder is immutable: all functions but open and free are [any], at once from as many threads as there are. Each
 * call computes on its own thread, in memory that the encoder keeps for the next one (about 4 MB a thread for MiniLM).
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_ENCODER_H
#define RAGIFY_ENCODER_H

#include "encoder-types.h"

typedef struct _RagifyEncoder RagifyEncoder;

/* Texts of one call that were longer than the limit. */
typedef struct {
  gsize truncated; /* and lost their end */
  gsize windowed;  /* and were embedded in windows; those that lost their end as well count in both */
} RagifyEncoderCounts;

/*
 * Loads the model in `folder`; takes about 50 ms for MiniLM once its file is in the page cache. NULL with an
 * ENCODER_ERROR that names the file, what was expected and what was found.
 */
RagifyEncoder *ragify_encoder_open (const char *folder, const RagifyEncoderOptions *options, GError **error);

void ragify_encoder_free (RagifyEncoder *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyEncoder, ragify_encoder_free)

/* Floats in a vector. */
gsize ragify_encoder_get_dimension (const RagifyEncoder *self);

gsize ragify_encoder_get_layers (const RagifyEncoder *self);

/* Tokens of one text, or of one window, that count, special tokens included. */
gsize ragify_encoder_get_max_tokens (const RagifyEncoder *self);

/*
 * Equal exactly when two encoders' vectors may be compared: names the architecture, the dimension, the pooling, the
 * limit, whether there are windows, and a hash of all weights and of the tokenizer. bf16 and fp32 have the same one
 * (cosine above 0.9999); int8, which is further off, one of its own.
 */
const char *ragify_encoder_get_fingerprint (const RagifyEncoder *self);

/* The precision and the kernel in use, such as "bf16" and "avx512bf16". */
const char *ragify_encoder_get_precision (const RagifyEncoder *self);
const char *ragify_encoder_get_kernel (const RagifyEncoder *self);

/* The tokens of a text without the special ones, however many there are. */
gsize ragify_encoder_count_tokens (const RagifyEncoder *self, const char *text, gsize size);

/*
 * Writes `count` vectors to `vectors`, in the order of `texts`, and fills `counts`, unless NULL. `stop` may be NULL.
 * FALSE with ENCODER_ERROR_CANCELLED, _MEMORY or, where the weights make a vector that is not finite, _FORMAT; then
 * `vectors` may be written in part.
 */
gboolean ragify_encoder_embed (const RagifyEncoder *self, const RagifyText *texts, gsize count, RagifyEncoderStop stop,
                               gpointer user, float *vectors, RagifyEncoderCounts *counts, GError **error);

#endif
