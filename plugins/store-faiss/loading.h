/* From the database into the index, at start. */
#ifndef RAGIFY_LOADING_H
#define RAGIFY_LOADING_H

#include "connection.h"
#include "index.h"

/* Stages the vectors of all chunks that can be found, and publishes them. *without: how many chunks have none. */
bool ragify_loading_run (RagifyConnection *connection, RagifyIndex *index, uint64_t *without, RagifyFault *fault);

#endif
