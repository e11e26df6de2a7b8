/* From the database into the index: at start, and into an approximate index that is built anew. */
#ifndef RAGIFY_LOADING_H
#define RAGIFY_LOADING_H

#include "connection.h"
#include "index.h"
#include "snapshot.h"

/* Stages the vectors of all chunks that can be found, and publishes them; those that the snapshot has are searched in
 * it. Takes the snapshot's index over and clears the rest of it; NULL: there is none. *without: how many chunks have no
 * vector. */
bool ragify_loading_run (RagifyConnection *connection, RagifyIndex *index, RagifySnapshot *snapshot, uint64_t *without,
                         RagifyFault *fault);

/* Builds an approximate index of all vectors that can be found. Takes its time, and gives up when `cancelled` says
 * so. */
bool ragify_loading_build (RagifyConnection *connection, const char *name, uint32_t dimension,
                           bool (*cancelled) (void *user), void *user, RagifySnapshot *snapshot, RagifyFault *fault);

#endif
