/* From text to the words that a text index keeps.
 *
 * A word is a run of letters, digits and their marks; a point between digits belongs to a number, a comma before three
 * digits is left out of it, and c++ and c# keep their signs. Words come in lower case, in Unicode's compatibility form,
 * without the accents of Latin, Greek and Cyrillic and without the vowel signs of Arabic and Hebrew. A single letter at
 * an apostrophe (it's, l'eau) is dropped.
 *
 * Scripts that write without spaces, or whose words change too much for them (Han, kana, Hangul, Thai, Lao, Khmer,
 * Burmese, Tibetan), come as pairs of neighbouring characters, each character with its marks; and, in documents, also
 * as single ones, so that a query of one character finds something. */
#ifndef RAGIFY_TOKENIZER_H
#define RAGIFY_TOKENIZER_H

#include <ragify/base.h>

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RAGIFY_TOKENIZER_VERSION 1 /* grows when the same text gives other words; indexes are then made anew */
#define RAGIFY_TOKEN_BYTES 96      /* longer words are cut */

typedef struct RagifyToken {
  const char *text; /* not NUL-terminated; valid during the call */
  size_t size;      /* 1..RAGIFY_TOKEN_BYTES */
  size_t begin;     /* where it stands in the text: first byte … */
  size_t end;       /* … and one past the last */
  bool word;        /* a whole word; false: one or two characters of a script without spaces */
} RagifyToken;

typedef enum {
  RAGIFY_TOKENIZE_DOCUMENT,
  RAGIFY_TOKENIZE_QUERY,
} RagifyTokenizePurpose;

/* Calls `take` for each word in its order until it answers false; whether it never did. Any bytes are safe: what is not
 * UTF-8 separates words. [any] */
bool ragify_tokenize (RagifyStr text, RagifyTokenizePurpose purpose,
                      bool (*take) (void *user, const RagifyToken *token), void *user);

/* Whether an English word says so little that a query does without it where it has others. [any] */
bool ragify_is_stop_word (const char *text, size_t size);

#ifdef __cplusplus
}
#endif
#endif
