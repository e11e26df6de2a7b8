/* Cache keys: 128 bits of everything that an answer depends on.
 *
 * SPDX-License-Identifier: MIT
 *
 * XXH3-128 over the parts in the order of adding, each with its type and size, so that no two different requests run
 * into one another. Keys are the same on every machine that runs the same version.
 */
#pragma once

#include <ragify/ragify.h>

#include "tier.h"

/* On the stack: room for the state of the hash. */
typedef struct RagifyKeyBuilder {
  _Alignas(64) guint8 state[640];
} RagifyKeyBuilder;

void ragify_key_begin (RagifyKeyBuilder *builder);
/* A text as people type it: Unicode NFKC, runs of white space as one space, none at the ends; case counts. */
void ragify_key_add_words (RagifyKeyBuilder *builder, RagifyStr text);
void ragify_key_add_text (RagifyKeyBuilder *builder, RagifyStr text);
void ragify_key_add_integer (RagifyKeyBuilder *builder, guint64 value);
void ragify_key_add_number (RagifyKeyBuilder *builder, double value);
void ragify_key_add_texts (RagifyKeyBuilder *builder, RagifyStrList texts);
void ragify_key_add_pairs (RagifyKeyBuilder *builder, RagifyPairList pairs);
void ragify_key_add_filter (RagifyKeyBuilder *builder, const RagifyFilter *filter); /* NULL: none */
RagifyTierKey ragify_key_finish (RagifyKeyBuilder *builder);

/* A key of another and of numbers, such as the generations of stores. */
RagifyTierKey ragify_key_combine (const RagifyTierKey *key, const guint64 *numbers, guint count);
