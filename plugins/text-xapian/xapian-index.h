/* The text index on Xapian. Its folder is one Xapian database; the generation is part of the same commit as the words.
 *
 * Xapian keeps and decodes the posting lists; scores are gathered here, word by word, with lengths and ids from memory:
 * Xapian's own matcher took more than twice the time for the top 200. */
#ifndef RAGIFY_XAPIAN_INDEX_H
#define RAGIFY_XAPIAN_INDEX_H

#include "text-plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const RagifyTextBackend ragify_xapian_backend;

#ifdef __cplusplus
}
#endif
#endif
