/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "core/ingest/cut-stream.h"

static GArray *
cut (const char *text, guint size, guint overlap)
{
  g_autoptr (RagifyChunker) chunker = ragify_chunker_new (size, overlap);
  assert_non_null (chunker);
  return ragify_chunker_cut (chunker, text, strlen (text));
}

static void
assert_cut (const char *text, const GArray *cuts, guint index, const char *expected)
{
  assert_true (index < cuts->len);
  const RagifyCut *one = &g_array_index (cuts, RagifyCut, index);
  g_autofree char *found = g_strndup (text + one->begin, one->end - one->begin);
  assert_string_equal (found, expected);
}

static void
a_short_text_is_one_chunk_without_its_margins (void **state)
{
  const char *text = "  \n One sentence.  Another one. \n";
  g_autoptr (GArray) cuts = cut (text, 1000, 100);
  assert_int_equal (cuts->len, 1);
  assert_cut (text, cuts, 0, "One sentence.  Another one.");
}

static void
white_space_is_no_chunk (void **state)
{
  g_autoptr (GArray) none = cut ("", 100, 10);
  g_autoptr (GArray) blank = cut (" \n\t\xc2\xa0 \xe2\x80\x83", 100, 10);
  assert_int_equal (none->len, 0);
  assert_int_equal (blank->len, 0);
}

static void
cuts_fall_between_sentences (void **state)
{
  const char *text =
      "The first sentence is here. Dr. Who came at 3.14 p.m. and left. The third one ends it all at last.";
  g_autoptr (GArray) cuts = cut (text, 50, 0);
  assert_int_equal (cuts->len, 3);
  assert_cut (text, cuts, 0, "The first sentence is here. Dr.");
  assert_cut (text, cuts, 2, "The third one ends it all at last.");
}

static void
neighbours_overlap_by_whole_sentences (void **state)
{
  const char *text =
      "Sentence number one is here. Short two. Sentence number three is here. Short four. The fifth is it.";
  g_autoptr (GArray) cuts = cut (text, 60, 20);
  assert_cut (text, cuts, 0, "Sentence number one is here. Short two.");
  assert_cut (text, cuts, 1, "Short two. Sentence number three is here. Short four.");
  assert_cut (text, cuts, 2, "Short four. The fifth is it.");
}

static void
a_long_sentence_is_cut_between_words_and_a_long_word_between_characters (void **state)
{
  g_autofree char *words = g_strnfill (0, ' ');
  g_autoptr (GString) text = g_string_new (words);
  for (guint i = 0; i < 100; i++)
    g_string_append (text, "palabra ");
  g_autoptr (GArray) of_words = cut (text->str, 100, 0);
  assert_true (of_words->len >= 8);
  for (guint i = 0; i < of_words->len; i++) {
    const RagifyCut *one = &g_array_index (of_words, RagifyCut, i);
    assert_true (one->begin % 8 == 0); /* never inside a word */
    assert_true (one->end - one->begin <= 100);
  }

  g_string_truncate (text, 0);
  for (guint i = 0; i < 500; i++)
    g_string_append (text, "ß");
  g_autoptr (GArray) of_one_word = cut (text->str, 100, 0);
  assert_int_equal (of_one_word->len, 5);
  for (guint i = 0; i < of_one_word->len; i++) {
    const RagifyCut *one = &g_array_index (of_one_word, RagifyCut, i);
    assert_true (g_utf8_validate (text->str + one->begin, (gssize)(one->end - one->begin), NULL));
  }
}

static void
scripts_without_blanks_are_cut_too (void **state)
{
  g_autoptr (GString) text = g_string_new (NULL);
  for (guint i = 0; i < 50; i++)
    g_string_append (text, "吾輩は猫である。名前はまだ無い。");
  g_autoptr (GArray) cuts = cut (text->str, 100, 20);
  assert_true (cuts->len >= 8);
  for (guint i = 0; i < cuts->len; i++) {
    const RagifyCut *one = &g_array_index (cuts, RagifyCut, i);
    assert_true (g_utf8_strlen (text->str + one->begin, (gssize)(one->end - one->begin)) <= 100);
  }
}

/* Whatever the text: chunks are in order, inside it, not empty, valid, and leave out white space only. */
static void
nothing_is_lost (void **state)
{
  static const char *const pieces[] = { "word ", "Sentence. ",       "\n\n",   "ß", "猫である。", "!?",
                                        "\t",    "\xf0\x9f\x98\x80", "a.b.c ", "  " };
  g_autoptr (GRand) random = g_rand_new_with_seed (7);
  for (guint round = 0; round < 200; round++) {
    g_autoptr (GString) text = g_string_new (NULL);
    for (gint i = g_rand_int_range (random, 0, 300); i > 0; i--)
      g_string_append (text, pieces[g_rand_int_range (random, 0, G_N_ELEMENTS (pieces))]);
    g_autoptr (GArray) cuts =
        cut (text->str, (guint)g_rand_int_range (random, 50, 300), (guint)g_rand_int_range (random, 0, 100));
    gsize seen = 0;
    gsize begun = 0;
    for (guint i = 0; i < cuts->len; i++) {
      const RagifyCut *one = &g_array_index (cuts, RagifyCut, i);
      assert_true (one->begin < one->end && one->end <= text->len);
      assert_true (i == 0 || one->begin > begun);
      assert_true (g_utf8_validate (text->str + one->begin, (gssize)(one->end - one->begin), NULL));
      for (gsize p = seen; p < one->begin; p = (gsize)(g_utf8_next_char (text->str + p) - text->str))
        assert_true (g_unichar_isspace (g_utf8_get_char (text->str + p)));
      begun = one->begin;
      seen = MAX (seen, one->end);
    }
    for (gsize p = seen; p < text->len; p = (gsize)(g_utf8_next_char (text->str + p) - text->str))
      assert_true (g_unichar_isspace (g_utf8_get_char (text->str + p)));
  }
}

/* ---- texts that come in pieces ---- */

/* A text of several blocks: sentences, one of them longer than a block, and a word longer than a chunk. */
static GString *
make_long_text (void)
{
  static const char *const pieces[] = { "The heron ", "stands. ",     "Größe über ", "alles?! ",         "猫である。",
                                        "\n\n",       "3.14 p.m. x ", "Dr. Who. ",   "\xf0\x9f\x98\x80 " };
  g_autoptr (GRand) random = g_rand_new_with_seed (5);
  GString *text = g_string_new (NULL);
  while (text->len < 300000)
    g_string_append (text, pieces[g_rand_int_range (random, 0, G_N_ELEMENTS (pieces))]);
  for (guint i = 0; i < 30000; i++)
    g_string_append (text, i < 20000 ? "palabra " : "ß");
  return text;
}

typedef struct Taken {
  const char *whole;
  GArray *cuts;
  guint most; /* after which no more is wanted */
} Taken;

static gboolean
take (void *user, const char *text, const RagifyCut *cut)
{
  Taken *taken = user;
  assert_memory_equal (text, taken->whole + cut->begin, cut->end - cut->begin);
  g_array_append_val (taken->cuts, *cut);
  return taken->cuts->len < taken->most;
}

static gsize
end_of_some (const GString *text, gsize begin, gsize size)
{
  gsize end = MIN (begin + size, text->len);
  while (end < text->len && (text->str[end] & 0xc0) == 0x80)
    end++;
  return end;
}

static void
assert_same_cuts (const GArray *left, const GArray *right)
{
  assert_int_equal (left->len, right->len);
  assert_memory_equal (left->data, right->data, left->len * sizeof (RagifyCut));
}

static void
chunks_do_not_depend_on_the_pieces (void **state)
{
  static const gsize sizes[] = { 37, 5000, 70000, 1000000 };
  g_autoptr (RagifyChunker) chunker = ragify_chunker_new (300, 60);
  GString *text = make_long_text ();
  g_autoptr (GArray) whole = ragify_chunker_cut (chunker, text->str, text->len);
  assert_true (whole->len > 1000);
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++) {
    g_autoptr (GArray) cuts = g_array_new (FALSE, FALSE, sizeof (RagifyCut));
    Taken taken = { text->str, cuts, G_MAXUINT };
    g_autoptr (RagifyCutStream) stream = ragify_cut_stream_new (chunker, take, &taken);
    for (gsize begin = 0, end = 0; begin < text->len; begin = end) {
      end = end_of_some (text, begin, sizes[i]);
      assert_true (ragify_cut_stream_add (stream, text->str + begin, end - begin));
    }
    assert_true (ragify_cut_stream_end (stream));
    assert_same_cuts (whole, cuts);
  }
  g_string_free (text, TRUE);
}

static void
one_can_go_on_at_a_place (void **state)
{
  g_autoptr (RagifyChunker) chunker = ragify_chunker_new (300, 60);
  GString *text = make_long_text ();
  g_autoptr (GArray) whole = ragify_chunker_cut (chunker, text->str, text->len);
  for (guint most = 100; most < whole->len; most += 217) {
    RagifyCutPlace place = { 0 };
    g_autoptr (GArray) cuts = g_array_new (FALSE, FALSE, sizeof (RagifyCut));
    Taken taken = { text->str, cuts, most };
    g_autoptr (RagifyCutStream) first = ragify_cut_stream_new (chunker, take, &taken);
    assert_false (ragify_cut_stream_add (first, text->str, text->len) && ragify_cut_stream_end (first));
    ragify_cut_stream_place (first, &place);
    assert_true (place.chunks <= most);
    assert_true (most < 400 || place.begin > 0);

    g_array_set_size (cuts, (guint)place.chunks);
    taken.most = G_MAXUINT;
    g_autoptr (RagifyCutStream) second = ragify_cut_stream_new (chunker, take, &taken);
    if (place.units != NULL)
      ragify_cut_stream_go_on (second, &place);
    ragify_cut_stream_add (second, text->str + place.begin, text->len - (gsize)place.begin);
    ragify_cut_stream_end (second);
    assert_same_cuts (whole, cuts);
    ragify_cut_place_clear (&place);
  }
  g_string_free (text, TRUE);
}

static gboolean
weigh_words (void *user, const RagifyStr *texts, gsize count, guint *weights)
{
  for (gsize i = 0; i < count; i++) {
    weights[i] = 0;
    for (gsize k = 0; k < texts[i].size; k++)
      weights[i] += texts[i].data[k] == ' ';
  }
  return user == NULL;
}

static void
chunks_can_be_measured_in_something_else (void **state)
{
  g_autoptr (RagifyChunker) by_words = ragify_chunker_new_weighed (50, 10, weigh_words, NULL);
  g_autoptr (RagifyChunker) by_guess = ragify_chunker_new_weighed (50, 10, weigh_words, &by_words);
  GString *text = make_long_text ();
  g_autoptr (GArray) cuts = ragify_chunker_cut (by_words, text->str, text->len);
  g_autoptr (GArray) guessed = ragify_chunker_cut (by_guess, text->str, text->len);
  guint full = 0;
  for (guint i = 0; i < cuts->len; i++) {
    const RagifyCut *cut = &g_array_index (cuts, RagifyCut, i);
    const RagifyStr chunk = ragify_str (text->str + cut->begin, cut->end - cut->begin);
    guint weight = 0;
    weigh_words (NULL, &chunk, 1, &weight);
    assert_true (weight <= 50);
    full += weight > 30;
  }
  assert_true (full * 2 > cuts->len);
  assert_true (guessed->len > 0);
  g_string_free (text, TRUE);
}

/* White space between two words is in the chunk that has both, and may be most of a file. */
static void
much_white_space_ends_a_chunk (void **state)
{
  g_autofree char *blank = g_strnfill (3 * 1024 * 1024, ' ');
  g_autofree char *lines = g_strnfill (400, '\n');
  g_autofree char *text =
      g_strdup_printf ("The heron.%sThe owl hunts.\n\n\nThe lark sings.%sThe stoat is white.", blank, lines);
  g_autoptr (GArray) cuts = cut (text, 200, 50);
  assert_int_equal (cuts->len, 3);
  assert_cut (text, cuts, 0, "The heron.");
  assert_cut (text, cuts, 1, "The owl hunts.\n\n\nThe lark sings.");
  assert_cut (text, cuts, 2, "The stoat is white.");
}

/* Many gaps that are small each do not make a large chunk either. */
static void
white_space_counts (void **state)
{
  g_autofree char *gap = g_strnfill (60, '\n');
  g_autoptr (GString) text = g_string_new (NULL);
  for (guint i = 0; i < 3000; i++)
    g_string_append_printf (text, "Word.%s", gap);
  g_autoptr (GArray) cuts = cut (text->str, 500, 100);
  for (guint i = 0; i < cuts->len; i++) {
    const RagifyCut *one = &g_array_index (cuts, RagifyCut, i);
    assert_in_range (one->end - one->begin, 1, 500);
    assert_true (i == 0 || one->begin > g_array_index (cuts, RagifyCut, i - 1).begin);
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (a_short_text_is_one_chunk_without_its_margins),
    cmocka_unit_test (white_space_is_no_chunk),
    cmocka_unit_test (cuts_fall_between_sentences),
    cmocka_unit_test (neighbours_overlap_by_whole_sentences),
    cmocka_unit_test (a_long_sentence_is_cut_between_words_and_a_long_word_between_characters),
    cmocka_unit_test (scripts_without_blanks_are_cut_too),
    cmocka_unit_test (nothing_is_lost),
    cmocka_unit_test (chunks_do_not_depend_on_the_pieces),
    cmocka_unit_test (one_can_go_on_at_a_place),
    cmocka_unit_test (chunks_can_be_measured_in_something_else),
    cmocka_unit_test (much_white_space_ends_a_chunk),
    cmocka_unit_test (white_space_counts),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
