/* What SQLite's FTS5 needs of us: the tokenizer that it calls, and a function that tells how often a word stands in a
 * row. */
#ifndef RAGIFY_FTS5_WORDS_H
#define RAGIFY_FTS5_WORDS_H

#include "fault.h"

#include <sqlite3.h>

/* One row that a word stands in. */
typedef struct RagifyPosting {
  uint32_t number;
  uint32_t times;
} RagifyPosting;

typedef struct RagifyPostings {
  RagifyPosting *items;
  uint32_t count;
  uint32_t room;
  bool exhausted; /* memory ran out: the list is not whole */
} RagifyPostings;

/* Makes the tokenizer `ragify` and the auxiliary function `gather (table)` known to a connection. The function adds
 * the row at hand to `postings`, which must live as long as the connection, and returns nothing. */
bool ragify_fts5_words_register (sqlite3 *handle, RagifyPostings *postings, RagifyFault *fault);

#endif
