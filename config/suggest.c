/* SPDX-License-Identifier: MIT */
#include "config/suggest.h"

#include <stdbool.h>
#include <string.h>

/* Longer words are never compared: no name that exists is as long. */
#define WORD_MAX 64

static char
fold (char c)
{
  return c == '_' ? '-' : g_ascii_tolower (c);
}

static unsigned int
limit_for (const char *word)
{
  size_t size = strlen (word);

  if (size > WORD_MAX)
    return 0;
  /* Between words of one or two letters everything is near everything. */
  if (size <= 2)
    return 0;
  return size == 3 ? 1 : 2;
}

unsigned int
ragify_edit_distance (const char *a, const char *b, unsigned int limit)
{
  size_t a_size = strnlen (a, WORD_MAX + 1);
  size_t b_size = strnlen (b, WORD_MAX + 1);
  unsigned int rows[3][WORD_MAX + 1];
  unsigned int *before = rows[0];
  unsigned int *last = rows[1];
  unsigned int *row = rows[2];

  if (a_size > WORD_MAX || b_size > WORD_MAX)
    return limit + 1;
  if (MAX (a_size, b_size) - MIN (a_size, b_size) > limit)
    return limit + 1;

  for (size_t j = 0; j <= b_size; j++)
    last[j] = (unsigned int)j;
  for (size_t i = 1; i <= a_size; i++) {
    unsigned int *spare = before;
    unsigned int lowest = 0;

    row[0] = (unsigned int)i;
    lowest = row[0];
    for (size_t j = 1; j <= b_size; j++) {
      bool same = fold (a[i - 1]) == fold (b[j - 1]);
      unsigned int best = MIN (MIN (last[j], row[j - 1]) + 1, last[j - 1] + (same ? 0 : 1));

      if (i > 1 && j > 1 && fold (a[i - 1]) == fold (b[j - 2]) && fold (a[i - 2]) == fold (b[j - 1]))
        best = MIN (best, before[j - 2] + 1);
      row[j] = best;
      lowest = MIN (lowest, best);
    }
    if (lowest > limit)
      return limit + 1;
    before = last;
    last = row;
    row = spare;
  }
  return MIN (last[b_size], limit + 1);
}

void
ragify_suggestion_init (RagifySuggestion *suggestion, const char *word, unsigned int *budget)
{
  suggestion->word = word;
  suggestion->best = NULL;
  suggestion->best_distance = limit_for (word) + 1;
  suggestion->budget = budget;
}

void
ragify_suggestion_try (RagifySuggestion *suggestion, const char *candidate)
{
  unsigned int distance = 0;

  if (suggestion->best_distance == 0)
    return;
  if (suggestion->budget != NULL) {
    if (*suggestion->budget == 0)
      return;
    --*suggestion->budget;
  }
  distance = ragify_edit_distance (suggestion->word, candidate, suggestion->best_distance - 1);
  if (distance >= suggestion->best_distance)
    return;
  suggestion->best = candidate;
  suggestion->best_distance = distance;
}

char *
ragify_suggestion_text (const RagifySuggestion *suggestion)
{
  if (suggestion->best == NULL)
    return g_strdup ("");
  return g_strdup_printf ("; did you mean '%s'?", suggestion->best);
}
