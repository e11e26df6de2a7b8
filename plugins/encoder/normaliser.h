/*
 * What is done to a text before it is cut into words, as Hugging Face's BertNormalizer does it, in this order: remove
 * control characters and make all white space blanks; put blanks around ideographs; decompose (NFD) and drop accents;
 * lower the case.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_NORMALISER_H
#define RAGIFY_NORMALISER_H

#include "text-buffer.h"

#include <glib.h>

typedef struct {
  gboolean clean_text;
  gboolean split_ideographs;
  gboolean strip_accents;
  gboolean lower_case;
} RagifyNormaliser;

/*
 * Appends the normalised `text` to `output`, as valid UTF-8. Bytes of `text` that are not UTF-8 count as U+FFFD. [any]
 */
void ragify_normaliser_append (const RagifyNormaliser *self, const char *text, gsize size, RagifyTextBuffer *output);

#endif
