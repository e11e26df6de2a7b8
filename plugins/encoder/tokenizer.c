/* SPDX-License-Identifier: MIT */
#include "tokenizer.h"

#include "character.h"
#include "tokenizer-rules.h"

#include <string.h>

enum {
  CLASS_WORD,
  CLASS_SPACE,
  CLASS_PUNCTUATION,
};

struct _RagifyTokenizer {
  RagifyTokenizerRules rules;
  guint8 classes[0x80]; /* CLASS_… of each ASCII character */
  guint8 starts[256];   /* by the first byte of added tokens: 1 for one in raw text, 2 for one in normalised text */
};

enum {
  START_RAW = 1,
  START_NORMALISED = 2,
};

typedef struct {
  const RagifyTokenizer *tokenizer;
  guint32 *ids; /* NULL: only count */
  gsize capacity;
  gsize count;
} Sink;

static gboolean
sink_is_full (const Sink *sink)
{
  return sink->count > sink->capacity;
}

static void
sink_add (Sink *sink, guint32 id)
{
  if (sink_is_full (sink))
    return;
  if (sink->ids != NULL && sink->count < sink->capacity)
    sink->ids[sink->count] = id;
  sink->count++;
}

/* Added tokens are searched in the normalised text by what they become there. */
static void
normalise_token (RagifyTokenizer *self, RagifyAddedToken *token)
{
  g_auto (RagifyTextBuffer) normalised = { 0 };

  ragify_normaliser_append (&self->rules.normaliser, token->content, token->size, &normalised);
  g_free (token->content);
  token->size = normalised.size;
  token->content = g_strndup (normalised.data, normalised.size);
}

static void
prepare_added_tokens (RagifyTokenizer *self)
{
  for (guint i = 0; i < self->rules.added_tokens->len; i++) {
    RagifyAddedToken *const token = &g_array_index (self->rules.added_tokens, RagifyAddedToken, i);

    if (token->normalised)
      normalise_token (self, token);
    if (token->size > 0)
      self->starts[(guint8)token->content[0]] |= token->normalised ? START_NORMALISED : START_RAW;
  }
}

RagifyTokenizer *
ragify_tokenizer_new (const char *folder, RagifyArchitecture architecture, gsize vocabulary_size, GError **error)
{
  const gboolean bert = architecture != RAGIFY_ARCHITECTURE_MPNET;
  RagifyTokenizerRules rules;
  RagifyTokenizer *self;

  if (!ragify_tokenizer_rules_read (folder, bert ? "[CLS]" : "<s>", bert ? "[SEP]" : "</s>", vocabulary_size, &rules,
                                    error))
    return NULL;
  self = g_new0 (RagifyTokenizer, 1);
  self->rules = rules;
  for (gunichar c = 0; c < 0x80; c++)
    self->classes[c] = ragify_character_is_space (c)         ? CLASS_SPACE
                       : ragify_character_is_punctuation (c) ? CLASS_PUNCTUATION
                                                             : CLASS_WORD;
  prepare_added_tokens (self);
  return self;
}

void
ragify_tokenizer_free (RagifyTokenizer *self)
{
  ragify_tokenizer_rules_clear (&self->rules);
  g_free (self);
}

/* Longest piece first, then on from where it ends; a word with a part that no piece fits is unknown as a whole. */
static void
encode_word (Sink *sink, const char *word, gsize size, gsize characters)
{
  const RagifyTokenizerRules *const rules = &sink->tokenizer->rules;
  const gsize count = sink->count;
  gsize at = 0;

  while (at < size && characters <= rules->max_word) {
    guint32 id;
    const gsize length = ragify_vocabulary_match (rules->vocabulary, word + at, size - at, at > 0, &id);

    if (length == 0)
      break;
    sink_add (sink, id);
    at += length;
  }
  if (at < size) {
    sink->count = count;
    sink_add (sink, rules->unknown);
  }
}

static int
classify (const RagifyTokenizer *self, const char *text, gsize *length)
{
  const guint8 byte = (guint8)*text;
  gunichar c;

  *length = 1;
  if (byte < 0x80)
    return self->classes[byte];
  c = g_utf8_get_char (text);
  *length = (guint8)g_utf8_skip[byte];
  return ragify_character_is_space (c)         ? CLASS_SPACE
         : ragify_character_is_punctuation (c) ? CLASS_PUNCTUATION
                                               : CLASS_WORD;
}

/* Cuts normalised text at white space and around each punctuation character. */
static void
encode_words (Sink *sink, const char *text, gsize size)
{
  const RagifyTokenizer *const self = sink->tokenizer;
  gsize at = 0;

  while (at < size && !sink_is_full (sink)) {
    const gsize start = at;
    gsize characters = 0;
    gsize length = 0;
    int class = CLASS_WORD;

    while (at < size && (class = classify (self, text + at, &length)) == CLASS_WORD) {
      at += length;
      characters++;
    }
    if (at > start)
      encode_word (sink, text + start, at - start, characters);
    if (class == CLASS_PUNCTUATION)
      encode_word (sink, text + at, length, 1);
    if (class != CLASS_WORD)
      at += length;
  }
}

static gboolean
is_word_character (const char *text, const char *end)
{
  const gunichar c = text < end ? g_utf8_get_char_validated (text, end - text) : 0;

  return c != (gunichar)-1 && c != (gunichar)-2 && (c == '_' || g_unichar_isalnum (c));
}

static gboolean
is_alone (const char *text, gsize size, gsize at, gsize length)
{
  const char *const before = at == 0 ? NULL : g_utf8_find_prev_char (text, text + at);

  return (before == NULL || !is_word_character (before, text + at)) &&
         !is_word_character (text + at + length, text + size);
}

/* The longest added token of the kind at `at`, or NULL. */
static const RagifyAddedToken *
find_added_token (const RagifyTokenizer *self, gboolean normalised, const char *text, gsize size, gsize at)
{
  const RagifyAddedToken *best = NULL;

  for (guint i = 0; i < self->rules.added_tokens->len; i++) {
    const RagifyAddedToken *const token = &g_array_index (self->rules.added_tokens, RagifyAddedToken, i);

    if (token->normalised != normalised || token->size == 0 || token->size > size - at ||
        memcmp (token->content, text + at, token->size) != 0 || (best != NULL && best->size >= token->size))
      continue;
    if (!token->single_word || is_alone (text, size, at, token->size))
      best = token;
  }
  return best;
}

typedef void (*EncodePart) (Sink *sink, const char *text, gsize size);

/* Takes the added tokens of a kind out of `text` and hands what lies between them to `encode_part`. */
static void
encode_around_added_tokens (Sink *sink, const char *text, gsize size, gboolean normalised, EncodePart encode_part)
{
  const RagifyTokenizer *const self = sink->tokenizer;
  const guint8 start = normalised ? START_NORMALISED : START_RAW;
  gsize done = 0;

  for (gsize at = 0; at < size; at++) {
    const RagifyAddedToken *token;

    if ((self->starts[(guint8)text[at]] & start) == 0)
      continue;
    token = find_added_token (self, normalised, text, size, at);
    if (token == NULL)
      continue;
    encode_part (sink, text + done, at - done);
    sink_add (sink, token->id);
    done = at + token->size;
    at = done - 1;
  }
  encode_part (sink, text + done, size - done);
}

static void
encode_raw (Sink *sink, const char *text, gsize size)
{
  g_auto (RagifyTextBuffer) normalised = { 0 };

  if (size == 0 || sink_is_full (sink))
    return;
  ragify_text_buffer_reserve (&normalised, size + 16);
  ragify_normaliser_append (&sink->tokenizer->rules.normaliser, text, size, &normalised);
  encode_around_added_tokens (sink, normalised.data, normalised.size, TRUE, encode_words);
}

gsize
ragify_tokenizer_encode (const RagifyTokenizer *self, const char *text, gsize size, guint32 *ids, gsize capacity)
{
  Sink sink = { .tokenizer = self, .ids = ids, .capacity = capacity };

  encode_around_added_tokens (&sink, text, size, FALSE, encode_raw);
  return sink.count;
}

gsize
ragify_tokenizer_count (const RagifyTokenizer *self, const char *text, gsize size)
{
  return ragify_tokenizer_encode (self, text, size, NULL, G_MAXSIZE - 1);
}

guint32
ragify_tokenizer_get_begin (const RagifyTokenizer *self)
{
  return self->rules.begin;
}

guint32
ragify_tokenizer_get_end (const RagifyTokenizer *self)
{
  return self->rules.end;
}

gsize
ragify_tokenizer_get_max_tokens (const RagifyTokenizer *self)
{
  return self->rules.max_tokens;
}

guint64
ragify_tokenizer_digest (const RagifyTokenizer *self)
{
  const RagifyNormaliser *const normaliser = &self->rules.normaliser;
  guint64 digest = ragify_vocabulary_digest (self->rules.vocabulary);

  digest = digest * 31 + (guint64)(normaliser->clean_text + 2 * normaliser->split_ideographs +
                                   4 * normaliser->strip_accents + 8 * normaliser->lower_case);
  for (guint i = 0; i < self->rules.added_tokens->len; i++) {
    const RagifyAddedToken *const token = &g_array_index (self->rules.added_tokens, RagifyAddedToken, i);

    digest = digest * 31 + g_str_hash (token->content);
    digest = digest * 31 + token->id * 4 + (guint64)(token->normalised + 2 * token->single_word);
  }
  digest = digest * 31 + self->rules.max_word;
  digest = digest * 31 + self->rules.unknown;
  digest = digest * 31 + self->rules.begin;
  return digest * 31 + self->rules.end;
}
