/* SPDX-License-Identifier: MIT */
#include "core/ingest/chunker.h"

#include <unicode/ubrk.h>
#include <unicode/utext.h>

struct RagifyChunker {
  UBreakIterator *sentences, *words;
  guint size, overlap;
};

/* A stretch that is never cut: a sentence, or a part of one that was too long. */
typedef struct Unit {
  gsize begin, end;
  guint characters;
} Unit;

RagifyChunker *
ragify_chunker_new (guint size, guint overlap)
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
  *chunker = (RagifyChunker){ sentences, words, MAX (size, 50), MIN (overlap, MAX (size, 50) / 2 - 1) };
  return chunker;
}

void
ragify_chunker_free (RagifyChunker *chunker)
{
  ubrk_close (chunker->sentences);
  ubrk_close (chunker->words);
  g_free (chunker);
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
add_units (RagifyChunker *chunker, const char *text, gsize begin, gsize end, GArray *units)
{
  while (begin < end) {
    Unit unit = { begin, end, count_characters (text, begin, end) };
    if (unit.characters > chunker->size) {
      unit.end = end_of_piece (chunker, text, begin, end, chunker->size);
      unit.characters = count_characters (text, begin, unit.end);
    }
    if (!is_blank (text, unit.begin, unit.end)) /* a chunk never begins or ends with one */
      g_array_append_val (units, unit);
    begin = unit.end;
  }
}

static GArray *
find_units (RagifyChunker *chunker, const char *text, gsize size)
{
  GArray *units = g_array_new (FALSE, FALSE, sizeof (Unit));
  UErrorCode status = U_ZERO_ERROR;
  UText *reader = utext_openUTF8 (NULL, text, (int64_t)size, &status);
  ubrk_setUText (chunker->sentences, reader, &status);
  ubrk_setUText (chunker->words, reader, &status);
  if (U_SUCCESS (status)) {
    gsize begin = 0;
    for (int32_t end = ubrk_next (chunker->sentences); end != UBRK_DONE; end = ubrk_next (chunker->sentences)) {
      add_units (chunker, text, begin, (gsize)end, units);
      begin = (gsize)end;
    }
  } else {
    add_units (chunker, text, 0, size, units);
  }
  utext_close (reader);
  return units;
}

/* Appends [begin, end) without the white space around it, unless nothing is left. */
static void
add_cut (const char *text, gsize begin, gsize end, GArray *cuts)
{
  while (begin < end && g_unichar_isspace (g_utf8_get_char (text + begin)))
    begin = (gsize)(g_utf8_next_char (text + begin) - text);
  while (begin < end) {
    const char *last = g_utf8_prev_char (text + end);
    if (!g_unichar_isspace (g_utf8_get_char (last)))
      break;
    end = (gsize)(last - text);
  }
  const RagifyCut cut = { begin, end };
  if (begin < end)
    g_array_append_val (cuts, cut);
}

GArray *
ragify_chunker_cut (RagifyChunker *chunker, const char *text, gsize size)
{
  GArray *cuts = g_array_new (FALSE, FALSE, sizeof (RagifyCut));
  g_autoptr (GArray) units = find_units (chunker, text, size);
  guint first = 0;
  while (first < units->len) {
    guint next = first;
    guint characters = 0;
    while (next < units->len &&
           (next == first || characters + g_array_index (units, Unit, next).characters <= chunker->size))
      characters += g_array_index (units, Unit, next++).characters;
    add_cut (text, g_array_index (units, Unit, first).begin, g_array_index (units, Unit, next - 1).end, cuts);
    if (next == units->len)
      break;
    /* The next chunk begins with as many of these sentences as fit the overlap, and never with all of them. */
    guint shared = 0;
    guint back = next;
    while (back > first + 1 && shared + g_array_index (units, Unit, back - 1).characters <= chunker->overlap)
      shared += g_array_index (units, Unit, --back).characters;
    first = back;
  }
  return cuts;
}
