/* Components to test configurations against: schemas as plugins have them, in one table, so that the expected texts do
 * not hang on which plugins were built.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_TESTS_CONFIG_COMPONENTS_H
#define RAGIFY_TESTS_CONFIG_COMPONENTS_H

#include "config/config.h"

/* Sources files, http, postgres and old; caches memory, redis and disk; embedders local and remote; the stores faiss
 * and pgvector; the text index fts5 (xapian is not "installed"); the reranker http; the extractor pdf. */
extern const RagifySchemaLookup test_components;

/* How often prepare() ran, and the folders that it was last given, joined with ':'. */
extern unsigned int test_components_prepared;
extern char test_components_folders[256];

#endif
