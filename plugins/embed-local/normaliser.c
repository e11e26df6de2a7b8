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
  GString *output;
  GArray *marks; /* of Mark: kept marks that wait for their canonical order; NULL until there is one */
} State;

static void
append_cased (State *state, gunichar c)
{
  gunichar lower[2] = { c, 0 };
  gsize count = 1;

  if (state->rules->lower_case)
    count = ragify_character_to_lower (c, lower);
  for (gsize i = 0; i < count; i++)
    if (lower[i] < 0x80)
      g_string_append_c (state->output, (char)lower[i]);
    else
      g_string_append_unichar (state->output, lower[i]);
}

/* Marks behind a character are put in the order of their combining classes; those of one class keep theirs. */
static void
flush_marks (State *state)
{
  if (state->marks == NULL)
    return;

  for (guint i = 1; i < state->marks->len; i++) {
    const Mark mark = g_array_index (state->marks, Mark, i);
    guint to = i;

    for (; to > 0 && g_array_index (state->marks, Mark, to - 1).combining_class > mark.combining_class; to--)
      g_array_index (state->marks, Mark, to) = g_array_index (state->marks, Mark, to - 1);
    g_array_index (state->marks, Mark, to) = mark;
  }
  for (guint i = 0; i < state->marks->len; i++)
    append_cased (state, g_array_index (state->marks, Mark, i).character);
  g_clear_pointer (&state->marks, g_array_unref);
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
    else {
      if (state->marks == NULL)
        state->marks = g_array_new (FALSE, FALSE, sizeof mark);
      g_array_append_val (state->marks, mark);
    }
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
    g_string_append_c (state->output, ' ');
  }
  if (rules->strip_accents)
    append_decomposed (state, c);
  else
    append_cased (state, c);
  if (ideograph) {
    flush_marks (state);
    g_string_append_c (state->output, ' ');
  }
}

void
ragify_normaliser_append (const RagifyNormaliser *self, const char *text, gsize size, GString *output)
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
      g_string_append_c (output, (char)(byte + ('a' - 'A')));
    else
      g_string_append_c (output, (char)byte);
  }
  flush_marks (&state);
}
