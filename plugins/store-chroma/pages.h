/* All records of a collection that a request lets through, a page at a time, so that no answer is larger than what the
 * client reads, however many there are. */
#ifndef CHROMA_PAGES_H
#define CHROMA_PAGES_H

#include "job.h"

/* Asks for the records that `body` (taken), a request of /get, wants. `take` gets each page and goes on by
 * chroma_pages_next, now or later; NULL: there are no more. What the pages are of may not change meanwhile. [loop] */
void chroma_pages_begin (ChromaJob *job, ChromaCollection which, json_t *body, ChromaTake take);
void chroma_pages_next (ChromaJob *job);

#endif
