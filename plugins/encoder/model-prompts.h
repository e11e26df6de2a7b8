/*
 * What a sentence encoder wants before its texts, such as E5's "query: " and "passage: ", as its folder says in
 * config_sentence_transformers.json.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_MODEL_PROMPTS_H
#define RAGIFY_MODEL_PROMPTS_H

#include <glib.h>

/* Each NULL where the folder has none, or an empty one. */
typedef struct {
  char *query;
  char *document; /* under the name "document" or "passage" */
} RagifyModelPrompts;

/* FALSE with ENCODER_ERROR_FORMAT; a folder without the file, or without prompts, is none. [any] */
gboolean ragify_model_prompts_read (const char *folder, RagifyModelPrompts *prompts, GError **error);

void ragify_model_prompts_clear (RagifyModelPrompts *prompts);

#endif
