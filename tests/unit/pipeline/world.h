/* A pipeline of scripted parts, with a cache in front, and what tests of it ask for.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_TEST_WORLD_H
#define RAGIFY_TEST_WORLD_H

#include <jansson.h>

#include "rig.h"

extern const Passage world_passages[6];

typedef struct {
  Rig *rig;
  Script embedder, store, index, source, other;
  RagifyNode *embedder_node, *store_node, *index_node, *source_node, *other_node, *cache_node;
  RagifyTier *tier;
  RagifyPipelineOptions options;
  RagifyRetriever retrievers[8];
  RagifyPipeline *pipeline;
} World;

/* For cmocka, with a World in `state`. */
int world_set_up (void **state);
int world_tear_down (void **state);

void world_add_store (World *world);
void world_add_index (World *world);
void world_add_source (World *world, RagifyNode *node, RagifyScore score);
/* Call after the retrievers were added. */
void world_build (World *world);

/* Checks and parses an answer, and clears it; transfer full. */
json_t *world_parse (Reply reply, guint status);
json_t *world_ask (World *world, const char *request, guint status);

/* Of an answer; borrowed. */
const char *text_of (const json_t *json, const char *name);
json_t *chunk_at (const json_t *answer, guint index);
guint chunk_count (const json_t *answer);
const char *source_status (const json_t *answer, const char *name);

#endif
