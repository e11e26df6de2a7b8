/* Making a store's vectors anew for another embedder, while it answers with those that it has.
 *
 * SPDX-License-Identifier: MIT
 *
 * One for each store that was started with its `former-embedder`, on a thread of its own. The store keeps what is made,
 * so that it goes on after a restart where it was.
 */
#pragma once

#include <jansson.h>

#include "core/ingest/documents.h"

typedef struct RagifyReindexer RagifyReindexer;

typedef struct RagifyReindexerOptions {
  const char *store_name, *former_name; /* of the store and of the embedder that it has */
  RagifyLibrary *library;               /* the store's writer */
  RagifyNode *store;
  RagifyNode *embedder; /* whose vectors are to be made */
  const RagifyEmbedderInfo *info;
} RagifyReindexerOptions;

/* Everything is copied; library and nodes outlive it. [control] */
RagifyReindexer *ragify_reindexer_new (RagifyRuntime *runtime, const RagifyReindexerOptions *options);
void ragify_reindexer_free (RagifyReindexer *reindexer); /* waits for the call under way. [control] */

/* Begins to look; goes on at once where something was begun before. `whole (user)` runs on its thread when all vectors
 * are there and the store is to be started with the new embedder; again after a while, until it is. No effect where it
 * has begun. [control] */
void ragify_reindexer_begin (RagifyReindexer *reindexer, void (*whole) (void *user), void *user);

/* Has it make the vectors. [any] */
void ragify_reindexer_start (RagifyReindexer *reindexer);

/* How far it is, for people and programs. [any] */
json_t *ragify_reindexer_describe (RagifyReindexer *reindexer);
const char *ragify_reindexer_store (const RagifyReindexer *reindexer);

/* Whether the store has the new embedder's vectors: it is to be started with that one. [any] */
gboolean ragify_reindexer_is_finished (RagifyReindexer *reindexer);
