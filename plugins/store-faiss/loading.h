/* From the database into the index: at start, and into an approximate index that is built anew. */
#ifndef RAGIFY_LOADING_H
#define RAGIFY_LOADING_H

#include "connection.h"
#include "index.h"

/* Stages the vectors of all chunks that can be found, and publishes them; those that the base has are searched in it.
 * Takes what is in `base` over in any case; NULL: there is none. *without: how many chunks have no vector. */
bool ragify_loading_run (RagifyConnection *connection, RagifyIndex *index, RagifyBase *base, uint64_t *without,
                         RagifyFault *fault);

/* Builds an approximate index of all vectors that can be found. Takes its time, and gives up when `cancelled` says
 * so. */
bool ragify_loading_build (RagifyConnection *connection, const char *name, uint32_t dimension,
                           bool (*cancelled) (void *user), void *user, RagifyBase *base, RagifyFault *fault);

#endif
