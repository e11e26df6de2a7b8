/*
 * The pieces of words that a model knows, and their numbers: an open-addressing hash table over bytes.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_VOCABULARY_H
#define RAGIFY_VOCABULARY_H

#include <glib.h>

typedef struct _RagifyVocabulary RagifyVocabulary;

enum { RAGIFY_VOCABULARY_MAX_PIECE = 255 }; /* bytes; a longer piece can never be found */

RagifyVocabulary *ragify_vocabulary_new (gsize expected_size);
void ragify_vocabulary_free (RagifyVocabulary *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyVocabulary, ragify_vocabulary_free)

/* Adds a piece, or renumbers it. `continues`: it goes on with a word and cannot begin one. */
void ragify_vocabulary_add (RagifyVocabulary *self, const char *piece, gsize size, gboolean continues, guint32 id);

/*
 * The longest piece at the beginning of the `size` bytes of `text` that ends at a character's end: sets `*id` and
 * returns its length in bytes, or returns 0 if there is none. [any] once the last piece was added.
 */
gsize
ragify_vocabulary_match (const RagifyVocabulary *self, const char *text, gsize size, gboolean continues, guint32 *id);

/* A hash of all pieces and numbers, whatever the order in which they were added. */
guint64 ragify_vocabulary_digest (const RagifyVocabulary *self);

#endif
