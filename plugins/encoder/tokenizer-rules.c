/* SPDX-License-Identifier: MIT */
#include "tokenizer-rules.h"

#include "encoder-error.h"
#include "json-file.h"

#include <string.h>

static const char continuation_prefix[] = "##";

enum {
  DEFAULT_MAX_WORD = 100,
  MAX_TOKENS = 65536,
};

static void
added_token_clear (gpointer data)
{
  RagifyAddedToken *const token = data;

  g_free (token->content);
}

static void
rules_init (RagifyTokenizerRules *rules, gsize expected_size)
{
  *rules = (RagifyTokenizerRules){
    .vocabulary = ragify_vocabulary_new (expected_size),
    .normaliser = { .clean_text = TRUE, .split_ideographs = TRUE, .strip_accents = TRUE, .lower_case = TRUE },
    .added_tokens = g_array_new (FALSE, TRUE, sizeof (RagifyAddedToken)),
    .max_word = DEFAULT_MAX_WORD,
  };
  g_array_set_clear_func (rules->added_tokens, added_token_clear);
}

void
ragify_tokenizer_rules_clear (RagifyTokenizerRules *rules)
{
  g_clear_pointer (&rules->vocabulary, ragify_vocabulary_free);
  g_clear_pointer (&rules->added_tokens, g_array_unref);
}

static void
add_piece (RagifyTokenizerRules *rules, const char *piece, gsize size, guint32 id)
{
  const gsize prefix = sizeof continuation_prefix - 1;

  /* "##" alone stays a word: it continues with nothing. */
  if (size > prefix && memcmp (piece, continuation_prefix, prefix) == 0)
    ragify_vocabulary_add (rules->vocabulary, piece + prefix, size - prefix, TRUE, id);
  else
    ragify_vocabulary_add (rules->vocabulary, piece, size, FALSE, id);
}

static gboolean
refuse (const RagifyJsonFile *file, GError **error, const char *what, const char *found, const char *supported)
{
  g_set_error (error, RAGIFY_ENCODER_ERROR, RAGIFY_ENCODER_ERROR_UNSUPPORTED,
               "%s: %s '%s' is not supported; expected %s", ragify_json_file_get_path (file), what,
               found == NULL ? "" : found, supported);
  return FALSE;
}

/* A token's number, which must be a row of the model's table. */
static gboolean
read_id (const RagifyJsonFile *file, const char *token, const json_t *value, gsize vocabulary_size, guint32 *id,
         GError **error)
{
  const json_int_t number = json_integer_value (value);

  if (!json_is_integer (value) || number < 0 || number >= (json_int_t)vocabulary_size)
    return ragify_json_file_fail (file, error,
                                  "token '%s': expected a number below the model's vocab_size %" G_GSIZE_FORMAT
                                  ", found %" JSON_INTEGER_FORMAT,
                                  token, vocabulary_size, number);
  *id = (guint32)number;
  return TRUE;
}

static gboolean
read_flag (const json_t *object, const char *name, gboolean otherwise)
{
  const json_t *const value = json_object_get (object, name);

  return json_is_boolean (value) ? json_is_true (value) : otherwise;
}

static gboolean
read_normaliser (const RagifyJsonFile *file, RagifyTokenizerRules *rules, GError **error)
{
  const json_t *const root = ragify_json_file_get_root (file);
  const json_t *const normaliser = json_object_get (root, "normalizer");
  const char *const type = json_string_value (json_object_get (normaliser, "type"));
  const char *const words = json_string_value (json_object_get (json_object_get (root, "pre_tokenizer"), "type"));

  if (g_strcmp0 (type, "BertNormalizer") != 0)
    return refuse (file, error, "normalizer", type, "BertNormalizer");
  if (g_strcmp0 (words, "BertPreTokenizer") != 0)
    return refuse (file, error, "pre_tokenizer", words, "BertPreTokenizer");
  rules->normaliser.clean_text = read_flag (normaliser, "clean_text", TRUE);
  rules->normaliser.split_ideographs = read_flag (normaliser, "handle_chinese_chars", TRUE);
  rules->normaliser.lower_case = read_flag (normaliser, "lowercase", TRUE);
  rules->normaliser.strip_accents = read_flag (normaliser, "strip_accents", rules->normaliser.lower_case);
  return TRUE;
}

static gboolean
read_model (const RagifyJsonFile *file, gsize vocabulary_size, RagifyTokenizerRules *rules, GError **error)
{
  const json_t *const model = json_object_get (ragify_json_file_get_root (file), "model");
  const char *const type = json_string_value (json_object_get (model, "type"));
  const char *const prefix = json_string_value (json_object_get (model, "continuing_subword_prefix"));
  const char *const unknown = json_string_value (json_object_get (model, "unk_token"));
  const json_int_t max_word = json_integer_value (json_object_get (model, "max_input_chars_per_word"));
  json_t *const vocabulary = json_object_get (model, "vocab");
  const char *piece;
  json_t *value;

  if (type != NULL && strcmp (type, "WordPiece") != 0)
    return refuse (file, error, "tokenizer model", type, "WordPiece");
  if (prefix != NULL && strcmp (prefix, continuation_prefix) != 0)
    return refuse (file, error, "continuing_subword_prefix", prefix, "##");
  if (json_object_size (vocabulary) == 0)
    return ragify_json_file_fail (file, error, "expected a vocabulary in model.vocab, found none");
  if (max_word > 0)
    rules->max_word = (gsize)max_word;

  json_object_foreach (vocabulary, piece, value)
  {
    guint32 id = 0;

    if (!read_id (file, piece, value, vocabulary_size, &id, error))
      return FALSE;
    add_piece (rules, piece, strlen (piece), id);
  }
  return read_id (file, unknown == NULL ? "[UNK]" : unknown,
                  json_object_get (vocabulary, unknown == NULL ? "[UNK]" : unknown), vocabulary_size, &rules->unknown,
                  error);
}

static gboolean
read_added_tokens (const RagifyJsonFile *file, gsize vocabulary_size, RagifyTokenizerRules *rules, GError **error)
{
  const json_t *const added = json_object_get (ragify_json_file_get_root (file), "added_tokens");
  gsize i;
  json_t *value;

  json_array_foreach (added, i, value)
  {
    const char *const content = json_string_value (json_object_get (value, "content"));
    RagifyAddedToken token = { 0 };

    if (content == NULL || *content == '\0')
      return ragify_json_file_fail (file, error, "added token %" G_GSIZE_FORMAT ": expected its content", i);
    if (!read_id (file, content, json_object_get (value, "id"), vocabulary_size, &token.id, error))
      return FALSE;
    token.normalised = read_flag (value, "normalized", FALSE);
    token.single_word = read_flag (value, "single_word", FALSE);
    token.content = g_strdup (content);
    token.size = strlen (content);
    g_array_append_val (rules->added_tokens, token);
  }
  return TRUE;
}

static gboolean
find_whole (const RagifyTokenizerRules *rules, const char *token, guint32 *id)
{
  const gsize size = strlen (token);

  for (guint i = 0; i < rules->added_tokens->len; i++) {
    const RagifyAddedToken *const added = &g_array_index (rules->added_tokens, RagifyAddedToken, i);

    if (strcmp (added->content, token) == 0) {
      *id = added->id;
      return TRUE;
    }
  }
  return ragify_vocabulary_match (rules->vocabulary, token, size, FALSE, id) == size;
}

static gboolean
find_ends (const char *path, const char *begin, const char *end, RagifyTokenizerRules *rules, GError **error)
{
  const char *const missing = !find_whole (rules, begin, &rules->begin) ? begin
                              : !find_whole (rules, end, &rules->end)   ? end
                                                                        : NULL;

  if (missing == NULL)
    return TRUE;
  g_set_error (error, RAGIFY_ENCODER_ERROR, RAGIFY_ENCODER_ERROR_FORMAT,
               "%s: expected the token '%s', which the model's architecture needs around a text, found none", path,
               missing);
  return FALSE;
}

static gboolean
read_json (const RagifyJsonFile *file, const char *begin, const char *end, gsize vocabulary_size,
           RagifyTokenizerRules *rules, GError **error)
{
  const json_t *const truncation = json_object_get (ragify_json_file_get_root (file), "truncation");
  const json_int_t max_tokens = json_integer_value (json_object_get (truncation, "max_length"));

  rules_init (rules, vocabulary_size);
  if (max_tokens > 2 && max_tokens <= MAX_TOKENS)
    rules->max_tokens = (gsize)max_tokens;
  return read_normaliser (file, rules, error) && read_model (file, vocabulary_size, rules, error) &&
         read_added_tokens (file, vocabulary_size, rules, error) &&
         find_ends (ragify_json_file_get_path (file), begin, end, rules, error);
}

/* --- vocab.txt --- */

static gboolean
read_case (const char *folder, RagifyTokenizerRules *rules, GError **error)
{
  g_autoptr (RagifyJsonFile) file = NULL;
  const json_t *root;

  if (!ragify_json_file_read_optional (folder, "tokenizer_config.json", &file, error))
    return FALSE;
  if (file == NULL)
    return TRUE;
  root = ragify_json_file_get_root (file);
  rules->normaliser.lower_case = read_flag (root, "do_lower_case", TRUE);
  rules->normaliser.split_ideographs = read_flag (root, "tokenize_chinese_chars", TRUE);
  rules->normaliser.strip_accents = read_flag (root, "strip_accents", rules->normaliser.lower_case);
  return TRUE;
}

static void
add_special_token (RagifyTokenizerRules *rules, const char *content)
{
  RagifyAddedToken token = { .size = strlen (content) };

  if (ragify_vocabulary_match (rules->vocabulary, content, token.size, FALSE, &token.id) != token.size)
    return;
  token.content = g_strdup (content);
  g_array_append_val (rules->added_tokens, token);
}

static gboolean
read_lines (const char *path, const char *text, gsize size, gsize vocabulary_size, RagifyTokenizerRules *rules,
            GError **error)
{
  static const char *const special[] = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]" };
  static const char *const special_mpnet[] = { "<pad>", "[UNK]", "<s>", "</s>", "<mask>" };
  const char *const end = text + size;
  guint32 id = 0;

  for (const char *line = text; line < end; id++) {
    const char *const stop = memchr (line, '\n', (gsize)(end - line));
    const char *const next = stop == NULL ? end : stop;
    const gsize length = (gsize)(next - line);

    if (id >= vocabulary_size) {
      g_set_error (error, RAGIFY_ENCODER_ERROR, RAGIFY_ENCODER_ERROR_FORMAT,
                   "%s: expected at most the model's vocab_size of %" G_GSIZE_FORMAT " lines, found more", path,
                   vocabulary_size);
      return FALSE;
    }
    add_piece (rules, line, length > 0 && line[length - 1] == '\r' ? length - 1 : length, id);
    line = next + 1;
  }
  if (!find_whole (rules, "[UNK]", &rules->unknown) && !find_whole (rules, "<unk>", &rules->unknown)) {
    g_set_error (error, RAGIFY_ENCODER_ERROR, RAGIFY_ENCODER_ERROR_FORMAT,
                 "%s: expected a line '[UNK]', found none among %u", path, id);
    return FALSE;
  }

  const gboolean mpnet = find_whole (rules, "<s>", &id);

  for (gsize i = 0; i < G_N_ELEMENTS (special); i++)
    add_special_token (rules, mpnet ? special_mpnet[i] : special[i]);
  return TRUE;
}

static gboolean
read_text (const char *folder, const char *begin, const char *end, gsize vocabulary_size, RagifyTokenizerRules *rules,
           GError **error)
{
  g_autofree char *path = g_build_filename (folder, "vocab.txt", NULL);
  g_autofree char *text = NULL;
  g_autoptr (GError) failure = NULL;
  gsize size = 0;

  if (!g_file_get_contents (path, &text, &size, &failure)) {
    g_set_error (error, RAGIFY_ENCODER_ERROR, RAGIFY_ENCODER_ERROR_FILE,
                 "%s: expected a model folder with tokenizer.json or vocab.txt in it, found neither: %s", folder,
                 failure->message);
    return FALSE;
  }
  rules_init (rules, vocabulary_size);
  return read_case (folder, rules, error) && read_lines (path, text, size, vocabulary_size, rules, error) &&
         find_ends (path, begin, end, rules, error);
}

gboolean
ragify_tokenizer_rules_read (const char *folder, const char *begin, const char *end, gsize vocabulary_size,
                             RagifyTokenizerRules *rules, GError **error)
{
  g_autoptr (RagifyJsonFile) file = NULL;
  g_auto (RagifyTokenizerRules) found = { 0 };

  if (!ragify_json_file_read_optional (folder, "tokenizer.json", &file, error))
    return FALSE;
  if (file == NULL ? !read_text (folder, begin, end, vocabulary_size, &found, error)
                   : !read_json (file, begin, end, vocabulary_size, &found, error))
    return FALSE;
  *rules = found;
  found = (RagifyTokenizerRules){ 0 };
  return TRUE;
}
