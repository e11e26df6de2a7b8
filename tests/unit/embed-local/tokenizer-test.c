/* Tokens of texts, by hand. SPDX-License-Identifier: MIT */
#include "tokenizer.h"

#include "encoder-error.h"
#include "model-folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_IDS = 4096 };

static int
make_folder (void **state)
{
  *state = model_folder_new ();
  return 0;
}

static int
remove_folder (void **state)
{
  model_folder_free (*state);
  return 0;
}

static RagifyTokenizer *
open_sound (const char *folder, RagifyArchitecture architecture)
{
  g_autoptr (GError) error = NULL;
  RagifyTokenizer *const tokenizer = ragify_tokenizer_new (folder, architecture, 40000, &error);

  if (tokenizer == NULL)
    fail_msg ("%s", error->message);
  return tokenizer;
}

/* The tokens of `text` are `expected`, numbers with a blank before each. */
static void
assert_tokens (const RagifyTokenizer *tokenizer, const char *text, gsize size, const char *expected)
{
  guint32 ids[MAX_IDS];
  const gsize count = ragify_tokenizer_encode (tokenizer, text, size, ids, MAX_IDS);
  GString *const found = g_string_new (NULL);

  for (gsize i = 0; i < count; i++)
    g_string_append_printf (found, " %u", ids[i]);
  if (strcmp (found->str, expected) != 0)
    fail_msg ("'%.*s': expected%s, found%s", (int)size, text, expected, found->str);
  assert_int_equal (ragify_tokenizer_count (tokenizer, text, size), count);
  g_string_free (found, TRUE);
}

/* A piece a line; the numbers of the lines are the tokens. */
static const char small_vocabulary[] =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"
    "un\n##aff\n##able\n##a\nthe\n,\n!\n\344\270\226\n\347\225\214\na\n##b\n"
    "[\n]\nsep\ni\nss\ncafe\n\342\205\263\n\316\261\316\270\316\267\316\275\316\261\n";

static void
words_are_cut_into_the_longest_pieces (void **state)
{
  g_autoptr (RagifyTokenizer) tokenizer = NULL;

  model_folder_write (*state, "vocab.txt", small_vocabulary, -1);
  tokenizer = open_sound (*state, RAGIFY_ARCHITECTURE_BERT);
  assert_int_equal (ragify_tokenizer_get_begin (tokenizer), 2);
  assert_int_equal (ragify_tokenizer_get_end (tokenizer), 3);
  assert_tokens (tokenizer, "", 0, "");
  assert_tokens (tokenizer, " \t\r\n\v", 5, "");
  assert_tokens (tokenizer, "unaffable", 9, " 5 6 7");
  assert_tokens (tokenizer, "UNaffaBLE,the!", 14, " 5 6 7 10 9 11");
  assert_tokens (tokenizer, "unaffabel the", 13, " 1 9");
  assert_tokens (tokenizer, "ab", 2, " 14 15");
}

static void
characters_are_cleaned_decomposed_and_lowered (void **state)
{
  g_autoptr (RagifyTokenizer) tokenizer = NULL;

  model_folder_write (*state, "vocab.txt", small_vocabulary, -1);
  tokenizer = open_sound (*state, RAGIFY_ARCHITECTURE_BERT);
  assert_tokens (tokenizer, "t\0h\177e\xef\xbf\xbd", 8, " 9");              /* controls and U+FFFD are dropped */
  assert_tokens (tokenizer, "the\xc2\xa0the\xe3\x80\x80the", 14, " 9 9 9"); /* wide blanks separate */
  assert_tokens (tokenizer, "CAF\xc3\x89 cafe\xcc\x81", 12, " 21 21");
  assert_tokens (tokenizer, "\xc4\xb0", 2, " 19");     /* capital i with a dot */
  assert_tokens (tokenizer, "\xe2\x85\xa3", 3, " 22"); /* the Roman numeral four has a lower case */
  assert_tokens (tokenizer, "\xce\x91\xce\x98\xce\x97\xce\x9d\xce\x91", 10, " 23");
  assert_tokens (tokenizer,
                 "a\xe4\xb8\x96\xe7\x95\x8c"
                 "a",
                 8, " 14 12 13 14");                            /* ideographs stand alone */
  assert_tokens (tokenizer, "the\xff\xfe the\xc3", 10, " 9 9"); /* what is not UTF-8 is left out */
}

static void
special_tokens_in_a_text_are_found_as_they_stand (void **state)
{
  g_autoptr (RagifyTokenizer) tokenizer = NULL;

  model_folder_write (*state, "vocab.txt", small_vocabulary, -1);
  tokenizer = open_sound (*state, RAGIFY_ARCHITECTURE_BERT);
  assert_tokens (tokenizer, "the[SEP]the", 11, " 9 3 9");
  assert_tokens (tokenizer, "[CLS][MASK]", 11, " 2 4");
  assert_tokens (tokenizer, "[sep]", 5, " 16 18 17");
  assert_tokens (tokenizer, "[SEP", 4, " 16 18");
}

static void
long_words_are_unknown (void **state)
{
  g_autoptr (RagifyTokenizer) tokenizer = NULL;
  char word[102];

  model_folder_write (*state, "vocab.txt", small_vocabulary, -1);
  tokenizer = open_sound (*state, RAGIFY_ARCHITECTURE_BERT);
  memset (word, 'b', sizeof word);
  word[0] = 'a';
  assert_int_equal (ragify_tokenizer_count (tokenizer, word, 100), 100);
  assert_tokens (tokenizer, word, 101, " 1");
}

static void
encoding_stops_when_there_is_no_room (void **state)
{
  g_autoptr (RagifyTokenizer) tokenizer = NULL;
  guint32 ids[4] = { 0, 0, 0, 99 };

  model_folder_write (*state, "vocab.txt", small_vocabulary, -1);
  tokenizer = open_sound (*state, RAGIFY_ARCHITECTURE_BERT);
  assert_int_equal (ragify_tokenizer_encode (tokenizer, "the the", 7, ids, 3), 2);
  assert_int_equal (ragify_tokenizer_encode (tokenizer, "the the the", 11, ids, 3), 3);
  assert_int_equal (ragify_tokenizer_encode (tokenizer, "the the unaffable the", 21, ids, 3), 4);
  assert_int_equal (ids[2], 5);
  assert_int_equal (ids[3], 99);
}

static void
json_files_give_what_lists_give (void **state)
{
  static const char json[] =
      "{\"truncation\":{\"max_length\":17},"
      "\"added_tokens\":[{\"id\":0,\"content\":\"<s>\",\"normalized\":false},{\"id\":1,\"content\":\"</s>\"},"
      "{\"id\":2,\"content\":\"<UNK>\",\"normalized\":true},"
      "{\"id\":7,\"content\":\"tok\",\"single_word\":true}],"
      "\"normalizer\":{\"type\":\"BertNormalizer\",\"lowercase\":true,\"strip_accents\":null},"
      "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},"
      "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"<unk>\",\"max_input_chars_per_word\":5,"
      "\"vocab\":{\"<s>\":0,\"</s>\":1,\"<unk>\":2,\"the\":3,\"##se\":4,\"\\u00e9\":5,\"e\":6}}}";
  g_autoptr (RagifyTokenizer) tokenizer = NULL;

  model_folder_write (*state, "tokenizer.json", json, -1);
  tokenizer = open_sound (*state, RAGIFY_ARCHITECTURE_MPNET);
  assert_int_equal (ragify_tokenizer_get_max_tokens (tokenizer), 17);
  assert_int_equal (ragify_tokenizer_get_begin (tokenizer), 0);
  assert_int_equal (ragify_tokenizer_get_end (tokenizer), 1);
  assert_tokens (tokenizer, "The these thesee \xc3\x89", 19, " 3 3 4 2 6");
  assert_tokens (tokenizer, "the<s>the<Unk>the", 17, " 3 0 3 2 3"); /* a normalised one is found in any case */
  assert_tokens (tokenizer, "tok token _tok", 14, " 7 2 2 2");
}

static void
assert_refused (const char *folder, RagifyEncoderError code, const char *reason)
{
  g_autoptr (GError) error = NULL;

  assert_null (ragify_tokenizer_new (folder, RAGIFY_ARCHITECTURE_BERT, 10, &error));
  if (strstr (error->message, reason) == NULL)
    fail_msg ("expected '%s' in: %s", reason, error->message);
  assert_true (g_error_matches (error, RAGIFY_ENCODER_ERROR, (int)code));
}

static void
faulty_files_are_refused_with_the_reason (void **state)
{
  assert_refused (*state, RAGIFY_ENCODER_ERROR_FILE, "tokenizer.json or vocab.txt in it, found neither");
  model_folder_write (*state, "vocab.txt", "[PAD]\n[CLS]\n[SEP]\n", -1);
  assert_refused (*state, RAGIFY_ENCODER_ERROR_FORMAT, "expected a line '[UNK]', found none among 3");
  model_folder_write (*state, "vocab.txt", "[PAD]\n[UNK]\n[SEP]\n", -1);
  assert_refused (*state, RAGIFY_ENCODER_ERROR_FORMAT, "expected the token '[CLS]'");
  model_folder_write (*state, "vocab.txt", "1\n2\n3\n4\n5\n6\n7\n8\n9\n0\n[UNK]\n[CLS]\n[SEP]\n", -1);
  assert_refused (*state, RAGIFY_ENCODER_ERROR_FORMAT, "vocab_size of 10 lines");
  model_folder_write (*state, "tokenizer.json", "{", -1);
  assert_refused (*state, RAGIFY_ENCODER_ERROR_FORMAT, "tokenizer.json:1:");
  model_folder_write (*state, "tokenizer.json", "{\"normalizer\":{\"type\":\"NFC\"}}", -1);
  assert_refused (*state, RAGIFY_ENCODER_ERROR_UNSUPPORTED, "normalizer 'NFC' is not supported");
  model_folder_write (*state, "tokenizer.json",
                      "{\"normalizer\":{\"type\":\"BertNormalizer\"},\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},"
                      "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":1}}}",
                      -1);
  assert_refused (*state, RAGIFY_ENCODER_ERROR_UNSUPPORTED, "'BPE' is not supported; expected WordPiece");
  model_folder_write (*state, "tokenizer.json",
                      "{\"normalizer\":{\"type\":\"BertNormalizer\"},\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},"
                      "\"model\":{\"vocab\":{\"a\":10}}}",
                      -1);
  assert_refused (*state, RAGIFY_ENCODER_ERROR_FORMAT, "token 'a': expected a number below");
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown (words_are_cut_into_the_longest_pieces, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (characters_are_cleaned_decomposed_and_lowered, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (special_tokens_in_a_text_are_found_as_they_stand, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (long_words_are_unknown, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (encoding_stops_when_there_is_no_room, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (json_files_give_what_lists_give, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (faulty_files_are_refused_with_the_reason, make_folder, remove_folder),
  };

  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests_name ("tokenizer", tests, NULL, NULL);
}
