/*
 * What the files of a folder say about its tokenizer, before it is put to work: read from tokenizer.json, or from
 * vocab.txt and tokenizer_config.json.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_TOKENIZER_RULES_H
#define RAGIFY_TOKENIZER_RULES_H

#include <glib.h>

#include "normaliser.h"
#include "vocabulary.h"

/* A token that is found in the text as it stands, before anything is cut into words. */
typedef struct {
  char *content;
  gsize size;
  guint32 id;
  gboolean normalised;  /* looked for in the normalised text, not in the raw one */
  gboolean single_word; /* only where no letter, digit or underscore stands beside it */
} RagifyAddedToken;

typedef struct {
  RagifyVocabulary *vocabulary;
  RagifyNormaliser normaliser;
  GArray *added_tokens; /* of RagifyAddedToken */
  guint32 unknown;
  guint32 begin;
  guint32 end;
  gsize max_word;   /* characters; a longer word is unknown as a whole */
  gsize max_tokens; /* 0: not said */
} RagifyTokenizerRules;

/* See ragify_tokenizer_new(). `begin` and `end` name the tokens around a text. */
gboolean ragify_tokenizer_rules_read (const char *folder, const char *begin, const char *end, gsize vocabulary_size,
                                      RagifyTokenizerRules *rules, GError **error);

void ragify_tokenizer_rules_clear (RagifyTokenizerRules *rules);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (RagifyTokenizerRules, ragify_tokenizer_rules_clear)

#endif
