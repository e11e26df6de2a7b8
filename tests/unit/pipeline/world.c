/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "world.h"

const Passage world_passages[] = {
  { "d1", "Cats", "file:///cats.txt", "cats sleep most of the day", "{\"lang\":\"en\",\"year\":2020}" },
  { "d2", "Dogs", "file:///dogs.txt", "dogs bark at the cats", "{\"lang\":\"en\",\"year\":2022}" },
  { "d3", "Fish", "file:///fish.txt", "fish swim in the sea", "{\"lang\":\"de\",\"year\":2023}" },
  { "d4", "", "", "birds sing in the morning \"loud\"\n", "" },
  { "d5", "Copy", "file:///copy.txt", "cats sleep most of the day", "{\"lang\":\"en\"}" },
  { "d6", "Broken", "file:///broken.txt", "cats and dogs and fish", "[not json" },
};

static void
add (World *world, RagifyRetriever retriever)
{
  retriever.weight = 1;
  world->retrievers[world->options.n_retrievers++] = retriever;
}

void
world_add_store (World *world)
{
  add (world, (RagifyRetriever){ .type = RAGIFY_RETRIEVER_VECTOR_STORE,
                                 .node = world->store_node,
                                 .store = world->store_node,
                                 .embedder = world->embedder_node,
                                 .source_type = "vector" });
}

void
world_add_index (World *world)
{
  add (world,
       (RagifyRetriever){ .type = RAGIFY_RETRIEVER_TEXT_INDEX, .node = world->index_node, .store = world->store_node });
}

void
world_add_source (World *world, RagifyNode *node, RagifyScore score)
{
  add (world,
       (RagifyRetriever){ .type = RAGIFY_RETRIEVER_SOURCE, .node = node, .source_type = "database", .score = score });
}

void
world_build (World *world)
{
  world->options.retrievers = world->retrievers;
  world->pipeline = ragify_pipeline_new (&world->rig->runtime, &world->options);
}

int
world_set_up (void **state)
{
  World *world = g_new0 (World, 1);
  world->rig = rig_new (2);
  world->store.passages = world->index.passages = world_passages;
  world->store.n_passages = world->index.n_passages = G_N_ELEMENTS (world_passages);
  world->source.passages = world_passages + 2;
  world->source.n_passages = 2;
  world->other.passages = world_passages;
  world->other.n_passages = 1;
  world->embedder_node = rig_scripted (world->rig, "words-64", &scripted_embedder, &world->embedder);
  world->store_node = rig_scripted (world->rig, "docs", &scripted_store, &world->store);
  world->index_node = rig_scripted (world->rig, "words", &scripted_index, &world->index);
  world->source_node = rig_scripted (world->rig, "tickets", &scripted_source, &world->source);
  world->other_node = rig_scripted (world->rig, "notes", &scripted_source, &world->other);
  world->cache_node = rig_plugin (world->rig, "ram", "CACHE_MEMORY", RAGIFY_KIND_CACHE, "memory", "");
  const RagifyTierLevel level = { .node = world->cache_node, .kind = "memory", .ttl_us = 60 * G_USEC_PER_SEC };
  const RagifyTierOptions tier = { .name = "answers", .levels = &level, .n_levels = 1, .ttl_jitter = 0.05 };
  world->tier = ragify_tier_new (&world->rig->runtime, &tier);
  world->options = (RagifyPipelineOptions){
    .name = "default", .tier = world->tier, .fuse_weight = 0.6, .dedupe = TRUE, .deadline_us = 60 * G_USEC_PER_SEC
  };
  *state = world;
  return 0;
}

int
world_tear_down (void **state)
{
  World *world = *state;
  Rig *rig = world->rig;
  /* Nodes first: until they are freed calls may still be on their way. */
  while (rig->nodes->len > 0)
    assert_true (ragify_node_free (g_ptr_array_steal_index (rig->nodes, rig->nodes->len - 1),
                                   ragify_now () + 60 * G_USEC_PER_SEC));
  if (world->pipeline != NULL)
    ragify_pipeline_free (world->pipeline);
  ragify_tier_free (world->tier);
  rig_free (rig);
  g_free (world);
  return 0;
}

json_t *
world_parse (Reply reply, guint status)
{
  if (reply.status != status)
    fail_msg ("expected %u, found %u: %s", status, reply.status, reply.text);
  json_error_t error;
  json_t *json = json_loadb (reply.text, reply.size, JSON_REJECT_DUPLICATES, &error);
  if (json == NULL)
    fail_msg ("%s in %s", error.text, reply.text);
  if (status == 200)
    assert_string_equal (reply.cache, json_string_value (json_object_get (json, "cache")));
  reply_clear (&reply);
  return json;
}

json_t *
world_ask (World *world, const char *request, guint status)
{
  return world_parse (rig_ask (world->rig, 0, world->pipeline, request), status);
}

const char *
text_of (const json_t *json, const char *name)
{
  return json_string_value (json_object_get (json, name));
}

json_t *
chunk_at (const json_t *answer, guint index)
{
  return json_array_get (json_object_get (answer, "chunks"), index);
}

guint
chunk_count (const json_t *answer)
{
  return (guint)json_array_size (json_object_get (answer, "chunks"));
}

const char *
source_status (const json_t *answer, const char *name)
{
  return text_of (json_object_get (json_object_get (answer, "sources"), name), "status");
}
