/* "did you mean": the nearest of some names.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_CONFIG_SUGGEST_H
#define RAGIFY_CONFIG_SUGGEST_H

#include <glib.h>

G_BEGIN_DECLS

/* Gathers candidates for one wrong word. On the stack; nothing to free; `word` and the candidates must outlive it. */
typedef struct RagifySuggestion {
  const char *word;
  const char *best; /* NULL: nothing is near enough */
  unsigned int best_distance;
  unsigned int *budget; /* comparisons left, shared by all suggestions of one load; NULL: no bound */
} RagifySuggestion;

void ragify_suggestion_init (RagifySuggestion *suggestion, const char *word, unsigned int *budget);
/* Considers one candidate. The first of equally near ones wins. */
void ragify_suggestion_try (RagifySuggestion *suggestion, const char *candidate);
/* "; did you mean 'x'?", or "". The caller frees it. */
char *ragify_suggestion_text (const RagifySuggestion *suggestion);

/* Edit distance in bytes, letter case and '_' for '-' not counting: insertions, deletions, replacements and swaps of
 * neighbours (optimal string alignment). Any distance above `limit` is returned as `limit` + 1. */
unsigned int ragify_edit_distance (const char *a, const char *b, unsigned int limit);

G_END_DECLS
#endif
