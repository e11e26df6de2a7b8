/* How many tokens passages have, remembered.
 *
 * SPDX-License-Identifier: MIT
 *
 * A bounded table from the hash of a content to its count, shared by all loops without locks. It may forget, and with
 * a chance of about 2⁻⁴⁰ a look-up it may be wrong.
 */
#pragma once

#include <glib.h>

typedef struct RagifyTokenCounts RagifyTokenCounts;

RagifyTokenCounts *ragify_token_counts_new (void);
void ragify_token_counts_free (RagifyTokenCounts *counts);

/* [any] */
gboolean ragify_token_counts_get (const RagifyTokenCounts *counts, guint64 hash, guint32 *tokens);
void ragify_token_counts_put (RagifyTokenCounts *counts, guint64 hash, guint32 tokens);

/* Where no tokenizer is: bytes ÷ 4, rounded up. */
guint32 ragify_token_estimate (guint64 bytes);
