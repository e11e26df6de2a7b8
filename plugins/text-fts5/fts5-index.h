/* The text index on SQLite's FTS5: one file words.db in a folder of its own.
 *
 * FTS5 keeps the posting lists and nothing else: no text, no lengths. A removed chunk stays in them under a number that
 * stands for nobody any more, and does not count; when such numbers outweigh the others, a start begins an empty
 * index, which the host fills again. */
#ifndef RAGIFY_FTS5_INDEX_H
#define RAGIFY_FTS5_INDEX_H

#include "text-plugin.h"

extern const RagifyTextBackend ragify_fts5_backend;

#endif
