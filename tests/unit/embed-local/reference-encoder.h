/*
 * A sentence encoder in double precision, written for clarity and from the papers: what the fast one is compared with.
 * BERT: Devlin et al., 2019. MPNet: Song et al., 2020, with the relative positions of Raffel et al., 2020.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_REFERENCE_ENCODER_H
#define RAGIFY_REFERENCE_ENCODER_H

#include "encoder.h"

#include <glib.h>

typedef struct _ReferenceEncoder ReferenceEncoder;

/* Reads the folder's config.json and model.safetensors; the process ends if they cannot be read. */
ReferenceEncoder *reference_encoder_new (const char *folder);
void reference_encoder_free (ReferenceEncoder *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ReferenceEncoder, reference_encoder_free)

/* The vector of unit length of a text of these tokens, special ones included. */
void reference_encoder_embed (const ReferenceEncoder *self, const guint32 *ids, gsize count, double *vector);

/*
 * The smallest cosine between the vectors of an encoder and of this reference, over `count` texts. The encoder must
 * have been opened on the same folder, with so many windows. NaN if it refuses to embed them.
 */
double reference_encoder_compare (const ReferenceEncoder *self, const RagifyEncoder *encoder, gsize max_windows,
                                  const RagifyText *texts, gsize count);

/* The score of a cross-encoder (Nogueira and Cho, 2019): pooler, tanh, one linear output; `limit` tokens at most. */
double reference_encoder_score (const ReferenceEncoder *self, const RagifyText *question, const RagifyText *passage,
                                gsize limit);

#endif
