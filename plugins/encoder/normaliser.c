/* SPDX-License-Identifier: MIT */
#include "normaliser.h"

#include "character.h"

/* The longest canonical decomposition of a character, says g_unichar_fully_decompose(). */
enum { MAX_DECOMPOSITION = G_UNICHAR_MAX_DECOMPOSITION_LENGTH };

typedef struct {
  gunichar character;
  int combining_class;
} Mark;

typedef struct {
  const RagifyNormaliser *rules;
  RagifyTextBuffer *output;
  Mark *marks; /* kept marks that wait for their canonical order; NULL until there is one */
  gsize mark_count;
  gsize mark_capacity;
} State;

static void
append_cased (State *state, gunichar c)
{
  gunichar lower[2] = { c, 0 };
  gsize count = 1;

  if (state->rules->lower_case)
    count = ragify_character_to_lower (c, lower);
  for (gsize i = 0; i < count; i++)
    ragify_text_buffer_append_character (state->output, lower[i]);
}

static int
compare_marks (gconstpointer a, gconstpointer b, gpointer user)
{
  return ((const Mark *)a)->combining_class - ((const Mark *)b)->combining_class;
}

/* Marks behind a character are put in the order of their combining classes; those of one class keep theirs: GLib's
 * sort is stable, and not quadratic for a text that is all marks. */
static void
flush_marks (State *state)
{
  if (state->mark_count == 0)
    return;
  if (state->mark_count > 1)
    g_qsort_with_data (state->marks, (int)state->mark_count, sizeof *state->marks, compare_marks, NULL);
  for (gsize i = 0; i < state->mark_count; i++)
    append_cased (state, state->marks[i].character);
  state->mark_count = 0;
}

static void
keep_mark (State *state, Mark mark)
{
  if (state->mark_count == state->mark_capacity) {
    state->mark_capacity = MAX (16, state->mark_capacity * 2);
    state->marks = g_renew (Mark, state->marks, state->mark_capacity);
  }
  state->marks[state->mark_count++] = mark;
}

static void
append_decomposed (State *state, gunichar c)
{
  gunichar parts[MAX_DECOMPOSITION];
  const gsize count = g_unichar_fully_decompose (c, FALSE, parts, MAX_DECOMPOSITION);

  for (gsize i = 0; i < count; i++) {
    const Mark mark = { .character = parts[i], .combining_class = g_unichar_combining_class (parts[i]) };

    if (mark.combining_class == 0)
      flush_marks (state);
    if (ragify_character_is_accent (parts[i]))
      continue;
    if (mark.combining_class == 0)
      append_cased (state, parts[i]);
    else
      keep_mark (state, mark);
  }
}

static void
append_character (State *state, gunichar c)
{
  const RagifyNormaliser *const rules = state->rules;
  const gboolean ideograph = rules->split_ideographs && ragify_character_is_ideograph (c);

  if (rules->clean_text) {
    if (ragify_character_is_control (c))
      return;
    if (ragify_character_is_space (c))
      c = ' ';
  }
  if (ideograph) {
    flush_marks (state);
    ragify_text_buffer_append_byte (state->output, ' ');
  }
  if (rules->strip_accents)
    append_decomposed (state, c);
  else
    append_cased (state, c);
  if (ideograph) {
    flush_marks (state);
    ragify_text_buffer_append_byte (state->output, ' ');
  }
}

void
ragify_normaliser_append (const RagifyNormaliser *self, const char *text, gsize size, RagifyTextBuffer *output)
{
  State state = { .rules = self, .output = output };
  const char *const end = text + size;

  while (text < end) {
    const guchar byte = (guchar)*text;

    if (byte >= 0x80) {
      gunichar c = g_utf8_get_char_validated (text, end - text);
      const gboolean valid = c != (gunichar)-1 && c != (gunichar)-2;

      append_character (&state, valid ? c : 0xfffd);
      text += valid ? g_utf8_skip[byte] : 1;
      continue;
    }
    text++;
    if (byte < ' ' || byte == 0x7f) {
      append_character (&state, byte);
      continue;
    }
    flush_marks (&state);
    if (byte >= 'A' && byte <= 'Z' && self->lower_case)
      ragify_text_buffer_append_byte (output, (char)(byte + ('a' - 'A')));
    else
      ragify_text_buffer_append_byte (output, (char)byte);
  }
  flush_marks (&state);
  g_free (state.marks);
}
