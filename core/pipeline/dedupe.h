/* Duplicates among the passages of an answer: exact ones, by a 64-bit hash of their content.
 *
 * SPDX-License-Identifier: MIT
 *
 * Passages are shown best first; the first of equal ones is kept.
 */
#pragma once

#include "core/call/arena.h"
#include <ragify/ragify.h>

typedef struct RagifyDedupe {
  RagifyArena *arena;
  guint64 *hashes;
  guint count, capacity;
} RagifyDedupe;

void ragify_dedupe_init (RagifyDedupe *dedupe, RagifyArena *arena);

/* The hash of a passage's content. */
guint64 ragify_dedupe_hash (RagifyStr content);

/* TRUE where no equal passage was admitted before. */
gboolean ragify_dedupe_admit (RagifyDedupe *dedupe, guint64 hash);
