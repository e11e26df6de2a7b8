#include "tokenizer.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#define CLUSTER_BYTES 32 /* of one character with its marks */

typedef enum {
  OTHER,      /* separates */
  WORD,       /* letters and numbers of scripts with spaces */
  MARK,       /* belongs to the character before it */
  CONTINUOUS, /* scripts without spaces */
} Class;

typedef struct {
  const char *text;
  size_t size;
  size_t at;
  RagifyTokenizePurpose purpose;
  bool (*take) (void *user, const RagifyToken *token);
  void *user;
} Tokenizer;

/* A word as it comes out. */
typedef struct {
  char text[RAGIFY_TOKEN_BYTES];
  size_t size;
} Word;

/* Ends the scan of words that nobody could read. */
static bool
give (Tokenizer *tokenizer, const char *text, size_t size, size_t begin, size_t end, bool word)
{
  const RagifyToken token = { .text = text, .size = size, .begin = begin, .end = end, .word = word };
  return size == 0 || tokenizer->take (tokenizer->user, &token);
}

static bool
is_ascii_word (unsigned char c)
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool
is_digit (unsigned char c)
{
  return c >= '0' && c <= '9';
}

static bool
is_continuous (gunichar character)
{
  switch (g_unichar_get_script (character)) {
  case G_UNICODE_SCRIPT_HAN:
  case G_UNICODE_SCRIPT_HIRAGANA:
  case G_UNICODE_SCRIPT_KATAKANA:
  case G_UNICODE_SCRIPT_BOPOMOFO:
  case G_UNICODE_SCRIPT_HANGUL:
  case G_UNICODE_SCRIPT_YI:
  case G_UNICODE_SCRIPT_THAI:
  case G_UNICODE_SCRIPT_LAO:
  case G_UNICODE_SCRIPT_KHMER:
  case G_UNICODE_SCRIPT_MYANMAR:
  case G_UNICODE_SCRIPT_TIBETAN:
    return true;
  default:
    return false;
  }
}

static Class
classify (gunichar character)
{
  switch (g_unichar_type (character)) {
  case G_UNICODE_NON_SPACING_MARK:
  case G_UNICODE_SPACING_MARK:
  case G_UNICODE_ENCLOSING_MARK:
    return MARK;
  case G_UNICODE_LOWERCASE_LETTER:
  case G_UNICODE_MODIFIER_LETTER:
  case G_UNICODE_OTHER_LETTER:
  case G_UNICODE_TITLECASE_LETTER:
  case G_UNICODE_UPPERCASE_LETTER:
    /* The sign that lengthens kana counts as common to all scripts. */
    return character == 0x30fc || is_continuous (character) ? CONTINUOUS : WORD;
  case G_UNICODE_DECIMAL_NUMBER:
  case G_UNICODE_LETTER_NUMBER:
  case G_UNICODE_OTHER_NUMBER:
    return WORD;
  default:
    return OTHER;
  }
}

/* The character at `at`, and its size; what is not UTF-8 counts as one byte that separates. */
static Class
look (const Tokenizer *tokenizer, size_t at, gunichar *character, size_t *size)
{
  unsigned char first = (unsigned char)tokenizer->text[at];
  *size = 1;
  *character = first;
  if (first < 0x80)
    return is_ascii_word (first) ? WORD : OTHER;
  gunichar found = g_utf8_get_char_validated (tokenizer->text + at, (gssize)(tokenizer->size - at));
  if (found == (gunichar)-1 || found == (gunichar)-2)
    return OTHER;
  *character = found;
  *size = (size_t)g_unichar_to_utf8 (found, NULL);
  return classify (found);
}

/* Scripts whose accents, vowel signs or points people leave out. */
static bool
drops_marks (gunichar character)
{
  switch (g_unichar_get_script (character)) {
  case G_UNICODE_SCRIPT_LATIN:
  case G_UNICODE_SCRIPT_GREEK:
  case G_UNICODE_SCRIPT_CYRILLIC:
  case G_UNICODE_SCRIPT_ARABIC:
  case G_UNICODE_SCRIPT_HEBREW:
  case G_UNICODE_SCRIPT_COMMON:
    return true;
  default:
    return false;
  }
}

static void
put (Word *word, gunichar character)
{
  char bytes[6];
  size_t size = (size_t)g_unichar_to_utf8 (character, bytes);
  if (word->size + size > sizeof word->text)
    return;
  memcpy (word->text + word->size, bytes, size);
  word->size += size;
}

/* The base letter of an accented one; Hangul syllables and Indic letters stay whole. */
static gunichar
without_accent (gunichar character)
{
  gunichar base, mark;
  while (drops_marks (character) && g_unichar_decompose (character, &base, &mark) &&
         (mark == 0 || g_unichar_ismark (mark)))
    character = base;
  return character;
}

/* Letters that have no accent to take off, and that people type otherwise. */
static bool
put_special (Word *word, gunichar character)
{
  switch (character) {
  case 0x00df: /* sharp s */
    put (word, 's');
    put (word, 's');
    return true;
  case 0x00e6: /* ae */
    put (word, 'a');
    put (word, 'e');
    return true;
  case 0x0153: /* oe */
    put (word, 'o');
    put (word, 'e');
    return true;
  case 0x00f8: /* o with stroke */
    put (word, 'o');
    return true;
  case 0x0142: /* l with stroke */
    put (word, 'l');
    return true;
  case 0x0131: /* dotless i */
    put (word, 'i');
    return true;
  case 0x03c2: /* final sigma */
    put (word, 0x03c3);
    return true;
  default:
    return false;
  }
}

/* Folds a piece of text that has more than ASCII in it. */
static void
fold (const char *text, size_t size, Word *word)
{
  /* Longer than any word that is kept whole: a normal form is made of no more than is needed. */
  char *normal = g_utf8_normalize (text, (gssize)(size < 8 * RAGIFY_TOKEN_BYTES ? size : 8 * RAGIFY_TOKEN_BYTES),
                                   G_NORMALIZE_NFKC);
  bool keep_marks = false;
  word->size = 0;
  for (const char *at = normal; at != NULL && *at != '\0'; at = g_utf8_next_char (at)) {
    gunichar character = g_utf8_get_char (at);
    if (g_unichar_ismark (character)) {
      if (keep_marks)
        put (word, character);
      continue;
    }
    if (!g_unichar_isalnum (character) && character != '.')
      continue;
    keep_marks = !drops_marks (character);
    character = without_accent (g_unichar_tolower (character));
    if (!put_special (word, character))
      put (word, character);
  }
  g_free (normal);
}

/* c++, c#: the signs that follow a word directly, where nothing follows them. */
static size_t
count_signs (const Tokenizer *tokenizer, size_t at)
{
  size_t signs = 0;
  while (at + signs < tokenizer->size && signs < 2 &&
         (tokenizer->text[at + signs] == '+' || tokenizer->text[at + signs] == '#'))
    signs++;
  gunichar character;
  size_t size;
  if (signs == 0 || (at + signs < tokenizer->size && look (tokenizer, at + signs, &character, &size) != OTHER))
    return 0;
  return signs;
}

/* Whether a point or comma stands between digits of one number: 3.5 and 1,000, but not 1,2. */
static bool
continues_number (const Tokenizer *tokenizer, size_t at)
{
  const char *text = tokenizer->text;
  if (at == 0 || at + 1 >= tokenizer->size || !is_digit ((unsigned char)text[at - 1]) ||
      !is_digit ((unsigned char)text[at + 1]))
    return false;
  if (text[at] == '.')
    return true;
  if (text[at] != ',' || at + 3 >= tokenizer->size)
    return false;
  bool three = is_digit ((unsigned char)text[at + 2]) && is_digit ((unsigned char)text[at + 3]);
  return three && (at + 4 >= tokenizer->size || !is_digit ((unsigned char)text[at + 4]));
}

static bool
is_apostrophe (const Tokenizer *tokenizer, size_t at, bool before)
{
  static const char curly[] = "\xe2\x80\x99";
  if (before)
    return (at >= 1 && tokenizer->text[at - 1] == '\'') ||
           (at >= 3 && memcmp (tokenizer->text + at - 3, curly, 3) == 0);
  return (at < tokenizer->size && tokenizer->text[at] == '\'') ||
         (at + 3 <= tokenizer->size && memcmp (tokenizer->text + at, curly, 3) == 0);
}

/* The end of the word that begins at `at`, and whether it is ASCII alone. */
static size_t
find_word_end (const Tokenizer *tokenizer, size_t at, bool *ascii)
{
  gunichar character;
  size_t size;
  *ascii = true;
  while (at < tokenizer->size) {
    Class class = look (tokenizer, at, &character, &size);
    if (class == OTHER && !continues_number (tokenizer, at))
      break;
    if (class == CONTINUOUS)
      break;
    if (size > 1)
      *ascii = false;
    at += size;
  }
  return at;
}

static void
lower_ascii (const char *text, size_t size, Word *word)
{
  word->size = 0;
  for (size_t i = 0; i < size && word->size < sizeof word->text; i++) {
    char c = text[i];
    if (c == ',')
      continue;
    word->text[word->size++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
  }
}

static bool
take_word (Tokenizer *tokenizer)
{
  Word word;
  bool ascii;
  size_t begin = tokenizer->at;
  size_t end = find_word_end (tokenizer, begin, &ascii);
  tokenizer->at = end;
  if (end - begin == 1 && !is_digit ((unsigned char)tokenizer->text[begin]) &&
      (is_apostrophe (tokenizer, begin, true) || is_apostrophe (tokenizer, end, false)))
    return true;
  if (ascii)
    lower_ascii (tokenizer->text + begin, end - begin, &word);
  else
    fold (tokenizer->text + begin, end - begin, &word);
  size_t signs = count_signs (tokenizer, end);
  if (signs > 0 && word.size + signs <= sizeof word.text) {
    memcpy (word.text + word.size, tokenizer->text + end, signs);
    word.size += signs;
    tokenizer->at = end += signs;
  }
  return give (tokenizer, word.text, word.size, begin, end, true);
}

/* One character of a script without spaces, with the marks that follow it, folded. Returns its end. */
static size_t
read_cluster (const Tokenizer *tokenizer, size_t at, Word *cluster)
{
  gunichar character;
  size_t size, begin = at;
  (void)look (tokenizer, at, &character, &size);
  at += size;
  while (at < tokenizer->size && look (tokenizer, at, &character, &size) == MARK && at + size - begin <= CLUSTER_BYTES)
    at += size;
  fold (tokenizer->text + begin, at - begin, cluster);
  return at;
}

/* A run of a script without spaces. */
static bool
take_run (Tokenizer *tokenizer)
{
  Word before = { .size = 0 }, cluster, both;
  size_t before_begin = tokenizer->at, count = 0;
  gunichar character;
  size_t size;
  bool singles = tokenizer->purpose == RAGIFY_TOKENIZE_DOCUMENT;
  while (tokenizer->at < tokenizer->size && look (tokenizer, tokenizer->at, &character, &size) == CONTINUOUS) {
    size_t begin = tokenizer->at;
    tokenizer->at = read_cluster (tokenizer, begin, &cluster);
    if (singles && !give (tokenizer, cluster.text, cluster.size, begin, tokenizer->at, false))
      return false;
    if (count++ > 0 && before.size + cluster.size <= sizeof both.text) {
      memcpy (both.text, before.text, before.size);
      memcpy (both.text + before.size, cluster.text, cluster.size);
      if (!give (tokenizer, both.text, before.size + cluster.size, before_begin, tokenizer->at, false))
        return false;
    }
    before = cluster;
    before_begin = begin;
  }
  if (!singles && count == 1)
    return give (tokenizer, before.text, before.size, before_begin, tokenizer->at, false);
  return true;
}

bool
ragify_tokenize (RagifyStr text, RagifyTokenizePurpose purpose, bool (*take) (void *user, const RagifyToken *token),
                 void *user)
{
  Tokenizer tokenizer = { .text = text.data, .size = text.size, .purpose = purpose, .take = take, .user = user };
  while (tokenizer.at < tokenizer.size) {
    gunichar character;
    size_t size;
    switch (look (&tokenizer, tokenizer.at, &character, &size)) {
    case WORD:
      if (!take_word (&tokenizer))
        return false;
      break;
    case CONTINUOUS:
      if (!take_run (&tokenizer))
        return false;
      break;
    case MARK:
    case OTHER:
      tokenizer.at += size;
      break;
    }
  }
  return true;
}

static int
compare_words (const void *left, const void *right)
{
  return strcmp (left, *(const char *const *)right);
}

/* Function words: articles, pronouns, prepositions, conjunctions, auxiliaries, question words. No word that carries a
 * meaning of its own is among them, and none of "no", "not" and "without", which turn a meaning round. */
bool
ragify_is_stop_word (const char *text, size_t size)
{
  static const char *const words[] = {
    "a",      "about", "after",  "all",     "also", "am",   "an",   "and",   "any",   "are",  "as",    "at",
    "be",     "been",  "before", "being",   "both", "but",  "by",   "can",   "could", "did",  "do",    "does",
    "for",    "from",  "had",    "has",     "have", "he",   "her",  "here",  "his",   "how",  "i",     "if",
    "in",     "into",  "is",     "it",      "its",  "me",   "my",   "of",    "on",    "or",   "our",   "she",
    "should", "so",    "some",   "such",    "than", "that", "the",  "their", "them",  "then", "there", "these",
    "they",   "this",  "those",  "through", "to",   "was",  "we",   "were",  "what",  "when", "where", "which",
    "while",  "who",   "whom",   "whose",   "why",  "will", "with", "would", "you",   "your",
  };
  char word[16];
  if (size >= sizeof word)
    return false;
  memcpy (word, text, size);
  word[size] = '\0';
  return bsearch (word, words, sizeof words / sizeof *words, sizeof *words, compare_words) != NULL;
}
