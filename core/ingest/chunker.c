/* SPDX-License-Identifier: MIT */
#include "core/ingest/chunker.h"

#include <unicode/ubrk.h>
#include <unicode/utext.h>

#define BLOCK (64 * 1024) /* bytes, where chunks are not very long */
#define BYTES_OF_TOKEN 4

struct RagifyChunker {
  UBreakIterator *sentences, *words;
  guint size, overlap;
  RagifyWeigh weigh; /* NULL: characters count */
  void *user;
};

RagifyChunker *
ragify_chunker_new_weighed (guint size, guint overlap, RagifyWeigh weigh, void *user)
{
  UErrorCode status = U_ZERO_ERROR;
  UBreakIterator *sentences = ubrk_open (UBRK_SENTENCE, "", NULL, 0, &status);
  UBreakIterator *words = ubrk_open (UBRK_WORD, "", NULL, 0, &status);
  if (U_FAILURE (status)) {
    g_clear_pointer (&sentences, ubrk_close);
    g_clear_pointer (&words, ubrk_close);
    return NULL;
  }
  RagifyChunker *chunker = g_new (RagifyChunker, 1);
  *chunker = (RagifyChunker){
    sentences, words, MAX (size, 50), MIN (overlap, MAX (size, 50) / 2 - 1), weigh, user,
  };
  return chunker;
}

RagifyChunker *
ragify_chunker_new (guint size, guint overlap)
{
  return ragify_chunker_new_weighed (size, overlap, NULL, NULL);
}

void
ragify_chunker_free (RagifyChunker *chunker)
{
  ubrk_close (chunker->sentences);
  ubrk_close (chunker->words);
  g_free (chunker);
}

guint
ragify_chunker_size (const RagifyChunker *chunker)
{
  return chunker->size;
}

guint
ragify_chunker_overlap (const RagifyChunker *chunker)
{
  return chunker->overlap;
}

gboolean
ragify_chunker_counts_tokens (const RagifyChunker *chunker)
{
  return chunker->weigh != NULL;
}

gsize
ragify_chunker_block (const RagifyChunker *chunker)
{
  return MAX ((gsize)BLOCK, (gsize)chunker->size * 16);
}

static guint
count_characters (const char *text, gsize begin, gsize end)
{
  guint count = 0;
  for (gsize i = begin; i < end; i++)
    count += (text[i] & 0xc0) != 0x80;
  return count;
}

/* The end of the longest piece from `begin` that has at most `limit` characters and ends at a word boundary, or
 * between characters where there is none. */
static gsize
end_of_piece (RagifyChunker *chunker, const char *text, gsize begin, gsize end, guint limit)
{
  gsize hard = begin;
  for (guint i = 0; i < limit && hard < end; i++)
    hard = (gsize)(g_utf8_next_char (text + hard) - text);
  if (hard >= end)
    return end;
  const int32_t soft = ubrk_preceding (chunker->words, (int32_t)hard + 1);
  return soft != UBRK_DONE && (gsize)soft > begin + (hard - begin) / 2 ? (gsize)soft : hard;
}

static gboolean
is_blank (const char *text, gsize begin, gsize end)
{
  for (gsize i = begin; i < end; i = (gsize)(g_utf8_next_char (text + i) - text))
    if (!g_unichar_isspace (g_utf8_get_char (text + i)))
      return FALSE;
  return TRUE;
}

static void
add_unit (const char *text, gsize begin, gsize end, GArray *units)
{
  const RagifyCutUnit unit = { begin, end, count_characters (text, begin, end) };
  if (!is_blank (text, begin, end)) /* a chunk never begins or ends with one */
    g_array_append_val (units, unit);
}

/* [begin, end) in pieces that no chunk is too small for; up to `limit`, which is the end where the text ends. Returns
 * how far it came. */
static gsize
add_pieces (RagifyChunker *chunker, const char *text, gsize begin, gsize end, gsize limit, GArray *units)
{
  while (begin < end) {
    const gsize past = end_of_piece (chunker, text, begin, end, chunker->size);
    if (past > limit)
      break;
    add_unit (text, begin, past, units);
    begin = past;
  }
  return begin;
}

/* ---- weighing ---- */

/* Weights of the units from `first` on; their places are in `text`. */
static void
weigh_units (RagifyChunker *chunker, const char *text, GArray *units, guint first)
{
  const guint count = units->len - first;
  g_autofree RagifyStr *texts = g_new (RagifyStr, MAX (count, 1));
  g_autofree guint *weights = g_new (guint, MAX (count, 1));
  if (chunker->weigh == NULL || count == 0)
    return;
  for (guint i = 0; i < count; i++) {
    const RagifyCutUnit *unit = &g_array_index (units, RagifyCutUnit, first + i);
    texts[i] = ragify_str (text + unit->begin, unit->end - unit->begin);
  }
  const gboolean weighed = chunker->weigh (chunker->user, texts, count, weights);
  for (guint i = 0; i < count; i++)
    g_array_index (units, RagifyCutUnit, first + i).weight =
        weighed ? MAX (weights[i], 1) : (guint)(texts[i].size / BYTES_OF_TOKEN) + 1;
}

/* Those that weigh too much, in pieces: as many characters as may be tokens, since a character is one at least. */
static void
split_heavy (RagifyChunker *chunker, const char *text, GArray *units, guint first)
{
  g_autoptr (GArray) whole = g_array_new (FALSE, FALSE, sizeof (RagifyCutUnit));
  gboolean heavy = FALSE;
  for (guint i = first; i < units->len; i++)
    heavy |= g_array_index (units, RagifyCutUnit, i).weight > chunker->size;
  if (!heavy)
    return;
  g_array_append_vals (whole, &g_array_index (units, RagifyCutUnit, first), units->len - first);
  g_array_set_size (units, first);
  for (guint i = 0; i < whole->len; i++) {
    const RagifyCutUnit *unit = &g_array_index (whole, RagifyCutUnit, i);
    const guint begin = units->len;
    if (unit->weight <= chunker->size) {
      g_array_append_val (units, *unit);
      continue;
    }
    add_pieces (chunker, text, unit->begin, unit->end, unit->end, units);
    weigh_units (chunker, text, units, begin);
  }
}

/* ---- a block ---- */

/* Sentences up to `limit`, in characters; of one that goes on, the pieces. Returns how far it came. */
static gsize
find_sentences (RagifyChunker *chunker, const char *text, gsize size, gsize limit, GArray *units)
{
  gsize begin = 0;
  for (int32_t next = ubrk_next (chunker->sentences); next != UBRK_DONE; next = ubrk_next (chunker->sentences)) {
    const gsize end = (gsize)next;
    const gboolean whole = end <= limit;
    const gboolean fits = chunker->weigh != NULL || count_characters (text, begin, end) <= chunker->size;
    if (!whole && begin > 0)
      return begin; /* the next block begins with it */
    if (!whole || !fits)
      begin = add_pieces (chunker, text, begin, end, limit, units);
    else
      add_unit (text, begin, end, units);
    if (!whole)
      return begin;
    begin = end;
  }
  return MAX (begin, 1);
}

gsize
ragify_chunker_find_units (RagifyChunker *chunker, const char *block, gsize size, gboolean last, guint64 place,
                           GArray *units)
{
  UErrorCode status = U_ZERO_ERROR;
  UText *reader = utext_openUTF8 (NULL, block, (int64_t)size, &status);
  const gsize limit = last ? size : size - size / 4; /* what comes later may move boundaries near the end */
  const guint first = units->len;
  gsize used = size;
  ubrk_setUText (chunker->sentences, reader, &status);
  ubrk_setUText (chunker->words, reader, &status);
  if (U_SUCCESS (status))
    used = find_sentences (chunker, block, size, limit, units);
  else
    add_pieces (chunker, block, 0, size, size, units);
  weigh_units (chunker, block, units, first);
  split_heavy (chunker, block, units, first);
  utext_close (reader);
  for (guint i = first; i < units->len; i++) {
    g_array_index (units, RagifyCutUnit, i).begin += place;
    g_array_index (units, RagifyCutUnit, i).end += place;
  }
  return used;
}
