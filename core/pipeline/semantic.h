/* The semantic cache: queries that were answered lately, found again by meaning.
 *
 * SPDX-License-Identifier: MIT
 *
 * It keeps embeddings and the keys of the answers, not the answers: those are in the tier, with their time to live. A
 * bounded number of queries is kept, the oldest is replaced. A look-up compares with all of them in one pass.
 */
#pragma once

#include "core/cache/tier.h"

typedef struct RagifySemantic RagifySemantic;

/* [control] */
RagifySemantic *ragify_semantic_new (guint entries);
void ragify_semantic_free (RagifySemantic *semantic);

/* The nearest query of the same `scope` (everything else that changes the answer) whose cosine with `vector` is at
 * least `threshold`: `*key` is that of its answer, `*cosine` how near it is. FALSE: there is none. [any] */
gboolean ragify_semantic_find (RagifySemantic *semantic, const RagifyTierKey *scope, const RagifyVectors *vector,
                               double threshold, RagifyTierKey *key, double *cosine);
/* Keeps a query, or that it was asked again. [any] */
void ragify_semantic_add (RagifySemantic *semantic, const RagifyTierKey *scope, const RagifyVectors *vector,
                          const RagifyTierKey *key);
/* Its answer is gone. [any] */
void ragify_semantic_forget (RagifySemantic *semantic, const RagifyTierKey *key);
guint ragify_semantic_count (RagifySemantic *semantic); /* [any] */
