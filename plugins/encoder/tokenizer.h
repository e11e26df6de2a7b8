/*
 * The WordPiece tokenizer of BERT and MPNet models: text in, numbers of the model's vocabulary out, the same ones as
 * Hugging Face's `tokenizers` gives.
 *
 * A RagifyTokenizer is immutable: all functions but new and free are [any].
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_TOKENIZER_H
#define RAGIFY_TOKENIZER_H

#include <glib.h>

#include "model-config.h"

typedef struct _RagifyTokenizer RagifyTokenizer;

/*
 * Reads `folder`/tokenizer.json or, where there is none, vocab.txt (one piece a line) and tokenizer_config.json. The
 * tokens that begin and end a text are the architecture's: [CLS] and [SEP], or <s> and </s>.
 *
 * NULL with ENCODER_ERROR_FILE, _FORMAT (also where a token's number is not below `vocabulary_size`) or _UNSUPPORTED
 * (another tokenizer than WordPiece).
 */
RagifyTokenizer *
ragify_tokenizer_new (const char *folder, RagifyArchitecture architecture, gsize vocabulary_size, GError **error);

void ragify_tokenizer_free (RagifyTokenizer *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyTokenizer, ragify_tokenizer_free)

/*
 * The tokens of `text`, without those that begin and end it. Writes at most `capacity` of them to `ids` and stops when
 * there are more; returns how many were written, or `capacity` + 1 when some did not fit.
 */
gsize ragify_tokenizer_encode (const RagifyTokenizer *self, const char *text, gsize size, guint32 *ids, gsize capacity);

/* How many tokens `text` has, without those that begin and end it. */
gsize ragify_tokenizer_count (const RagifyTokenizer *self, const char *text, gsize size);

guint32 ragify_tokenizer_get_begin (const RagifyTokenizer *self);
guint32 ragify_tokenizer_get_end (const RagifyTokenizer *self);

/* The limit that tokenizer.json sets, special tokens included; 0: none. A model's own limit goes before it. */
gsize ragify_tokenizer_get_max_tokens (const RagifyTokenizer *self);

/* A hash of all that decides what a text's tokens are. */
guint64 ragify_tokenizer_digest (const RagifyTokenizer *self);

#endif
