/* The pipeline over the plugins that ship: store-faiss, text-fts5 or text-xapian, cache-memory.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib/gstdio.h>
#include <jansson.h>
#include <string.h>

#include "core/call/operations.h"
#include "rig.h"

#define DIMENSION 64
#define FILLERS 300

static const Passage passages[] = {
  { "cats", "Cats", "file:///cats.txt", "cats sleep most of the day", "{\"lang\":\"en\",\"year\":2020}" },
  { "dogs", "Dogs", "file:///dogs.txt", "dogs bark at the postman", "{\"lang\":\"en\",\"year\":2022}" },
  { "fish", "Fish", "file:///fish.txt", "fish swim in the sea all day", "{\"lang\":\"de\",\"year\":2023}" },
};

static const RagifyEmbedderInfo info = { .struct_size = sizeof info,
                                         .dimension = DIMENSION,
                                         .fingerprint = { "words-64", 8 } };

typedef struct {
  Rig *rig;
  char *folder;
  Script embedder;
  RagifyNode *embedder_node, *store, *index, *cache;
  RagifyTier *tier;
  RagifyPipeline *pipeline;
} World;

static const void *
must_call (RagifyOwner *owner, RagifyNode *node, const RagifyOperation *operation, const void *arguments)
{
  RagifyCall *call = ragify_call_new (owner, operation, arguments, ragify_now () + 30 * G_USEC_PER_SEC, NULL, NULL);
  if (ragify_call_wait (node, call) != RAGIFY_OK)
    fail_msg ("%s", ragify_call_message (call));
  return ragify_call_result (call);
}

static void
describe_passage (guint number, RagifyChunk *chunk, RagifyDocument *document, char *filler)
{
  const Passage filling = { filler, "", "", filler, "{\"lang\":\"fr\"}" };
  const Passage *passage = number < G_N_ELEMENTS (passages) ? &passages[number] : &filling;
  *chunk = (RagifyChunk){ .struct_size = sizeof *chunk,
                          .id = passage_id (number),
                          .document_id = ragify_str_from (passage->document),
                          .content = ragify_str_from (passage->content),
                          .title = ragify_str_from (passage->title),
                          .uri = ragify_str_from (passage->uri),
                          .metadata = ragify_str_from (passage->metadata) };
  *document = (RagifyDocument){ .struct_size = sizeof *document,
                                .id = chunk->document_id,
                                .uri = chunk->uri,
                                .title = chunk->title,
                                .metadata = chunk->metadata,
                                .content_hash = passage_id (1000 + number) };
}

static void
ingest (World *world)
{
  enum { COUNT = G_N_ELEMENTS (passages) + FILLERS };
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof *owner, NULL);
  g_autofree RagifyChunk *chunks = g_new0 (RagifyChunk, COUNT);
  g_autofree RagifyDocument *documents = g_new0 (RagifyDocument, COUNT);
  g_autofree RagifyStr *texts = g_new0 (RagifyStr, COUNT);
  char *fillers[COUNT];
  for (guint i = 0; i < COUNT; i++) {
    fillers[i] = g_strdup_printf ("filler-%u stands at the side of passage-%u", i, i * 7);
    describe_passage (i, &chunks[i], &documents[i], fillers[i]);
    texts[i] = chunks[i].content;
  }
  const RagifyEmbedderEmbed embed = { .struct_size = sizeof embed,
                                      .purpose = RAGIFY_PURPOSE_DOCUMENT,
                                      .texts = { .items = texts, .count = COUNT } };
  const RagifyEmbedderEmbedResult *embedded =
      must_call (owner, world->embedder_node, &ragify_operation_embedder_embed, &embed);
  const RagifyChunkList list = { .items = chunks, .count = COUNT, .stride = sizeof *chunks };
  const RagifyStoreUpsert upsert = {
    .struct_size = sizeof upsert,
    .documents = { .items = documents, .count = COUNT, .stride = sizeof *documents },
    .chunks = list,
    .vectors = embedded->vectors,
  };
  const RagifyStoreUpsertResult *stored = must_call (owner, world->store, &ragify_operation_store_upsert, &upsert);
  assert_int_equal (stored->inserted, COUNT);
  const RagifyTextUpsert words = { .struct_size = sizeof words, .chunks = list, .generation = stored->generation };
  must_call (owner, world->index, &ragify_operation_text_upsert, &words);
  for (guint i = 0; i < COUNT; i++)
    g_free (fillers[i]);
}

static void
make_pipeline (World *world)
{
  const RagifyTierLevel level = { .node = world->cache, .kind = "memory", .ttl_us = 60 * G_USEC_PER_SEC };
  const RagifyTierOptions tier = { .name = "answers", .levels = &level, .n_levels = 1 };
  world->tier = ragify_tier_new (&world->rig->runtime, &tier);
  const RagifyRetriever retrievers[] = {
    { .type = RAGIFY_RETRIEVER_VECTOR_STORE,
      .node = world->store,
      .store = world->store,
      .embedder = world->embedder_node,
      .weight = 1 },
    { .type = RAGIFY_RETRIEVER_TEXT_INDEX, .node = world->index, .store = world->store, .weight = 1 },
  };
  const RagifyPipelineOptions options = { .name = "default",
                                          .retrievers = retrievers,
                                          .n_retrievers = 2,
                                          .tier = world->tier,
                                          .fuse_weight = 0.6,
                                          .dedupe = TRUE };
  world->pipeline = ragify_pipeline_new (&world->rig->runtime, &options);
}

static int
set_up (void **state)
{
  World *world = g_new0 (World, 1);
  world->rig = rig_new (2);
  world->rig->embedder = &info;
  world->folder = g_dir_make_tmp ("ragify-pipeline-XXXXXX", NULL);
  g_autofree char *docs = g_strdup_printf ("path=%s/docs", world->folder);
  g_autofree char *words = g_strdup_printf ("path=%s/words", world->folder);
  world->embedder_node = rig_scripted (world->rig, "words-64", &scripted_embedder, &world->embedder);
  world->store = rig_plugin (world->rig, "docs", "STORE_FAISS", RAGIFY_KIND_VECTOR_STORE, "faiss", docs);
  world->index =
      rig_plugin (world->rig, "words", "TEXT_INDEX", RAGIFY_KIND_TEXT_INDEX, g_getenv ("TEXT_INDEX_NAME"), words);
  world->cache = rig_plugin (world->rig, "ram", "CACHE_MEMORY", RAGIFY_KIND_CACHE, "memory", "");
  ingest (world);
  make_pipeline (world);
  *state = world;
  return 0;
}

static void
remove_folder (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  for (const char *name; dir != NULL && (name = g_dir_read_name (dir)) != NULL;) {
    g_autofree char *child = g_build_filename (path, name, NULL);
    remove_folder (child);
  }
  g_remove (path);
}

static int
tear_down (void **state)
{
  World *world = *state;
  Rig *rig = world->rig;
  while (rig->nodes->len > 0)
    assert_true (ragify_node_free (g_ptr_array_steal_index (rig->nodes, rig->nodes->len - 1),
                                   ragify_now () + 60 * G_USEC_PER_SEC));
  ragify_pipeline_free (world->pipeline);
  ragify_tier_free (world->tier);
  rig_free (rig);
  remove_folder (world->folder);
  g_free (world->folder);
  g_free (world);
  return 0;
}

static json_t *
ask (World *world, const char *request)
{
  Reply reply = rig_ask (world->rig, 0, world->pipeline, request);
  if (reply.status != 200)
    fail_msg ("%u: %s", reply.status, reply.text);
  json_t *json = json_loadb (reply.text, reply.size, JSON_REJECT_DUPLICATES, NULL);
  assert_non_null (json);
  if (json_is_true (json_object_get (json, "degraded")))
    fail_msg ("degraded: %s", reply.text);
  reply_clear (&reply);
  return json;
}

static const json_t *
chunk_at (const json_t *answer, guint index)
{
  return json_array_get (json_object_get (answer, "chunks"), index);
}

static const char *
text_of (const json_t *json, const char *name)
{
  return json_string_value (json_object_get (json, name));
}

static void
each_mode_finds_the_passage (void **state)
{
  static const char *const modes[] = { "hybrid", "dense", "lexical" };
  for (guint i = 0; i < G_N_ELEMENTS (modes); i++) {
    g_autofree char *request = g_strdup_printf ("{\"query\": \"cats sleep all day\", \"mode\": \"%s\"}", modes[i]);
    json_t *answer = ask (*state, request);
    const json_t *first = chunk_at (answer, 0);
    assert_string_equal (text_of (first, "document_id"), "cats");
    assert_string_equal (text_of (first, "content"), "cats sleep most of the day");
    assert_string_equal (text_of (first, "title"), "Cats");
    assert_string_equal (text_of (first, "score_kind"), "cosine");
    assert_string_equal (text_of (json_object_get (first, "metadata"), "lang"), "en");
    json_decref (answer);
  }
}

/* The dense list of 200 does not hold every passage, so what words alone found gets its vector from the store. */
static void
words_alone_get_the_stored_cosine (void **state)
{
  json_t *answer = ask (*state, "{\"query\": \"passage-21 passage-28 passage-2100\", \"max_chunks\": 5}");
  gsize i;
  json_t *chunk;
  json_array_foreach (json_object_get (answer, "chunks"), i, chunk)
  {
    assert_string_equal (text_of (chunk, "score_kind"), "cosine");
  }
  assert_int_equal (i, 5);
  json_decref (answer);
}

static void
filters_hold_for_both_lists (void **state)
{
  json_t *answer = ask (*state, "{\"query\": \"the day\", \"filter\": {\"year\": {\"gte\": 2021}}}");
  assert_int_equal (json_array_size (json_object_get (answer, "chunks")), 2);
  json_decref (answer);
  answer = ask (*state, "{\"query\": \"the day\", \"mode\": \"lexical\", \"filter\": {\"lang\": \"de\"}}");
  assert_int_equal (json_array_size (json_object_get (answer, "chunks")), 1);
  assert_string_equal (text_of (chunk_at (answer, 0), "document_id"), "fish");
  json_decref (answer);
}

static void
a_deleted_passage_is_not_found_again (void **state)
{
  World *world = *state;
  json_decref (ask (world, "{\"query\": \"cats sleep\"}"));
  json_t *answer = ask (world, "{\"query\": \"cats sleep\"}");
  assert_string_equal (text_of (answer, "cache"), "memory");
  json_decref (answer);

  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof *owner, NULL);
  const RagifyStr document = ragify_str_from ("cats");
  const RagifyStoreRemove remove = { .struct_size = sizeof remove, .documents = { .items = &document, .count = 1 } };
  const RagifyStoreRemoveResult *removed = must_call (owner, world->store, &ragify_operation_store_remove, &remove);
  assert_int_equal (removed->removed.count, 1);
  /* The index lags behind: what it still names is left out. */
  ragify_pipeline_store_changed (world->pipeline, world->store, &removed->generation, &removed->removed, FALSE);
  answer = ask (world, "{\"query\": \"cats sleep\"}");
  assert_string_equal (text_of (answer, "cache"), "miss");
  gsize i;
  json_t *chunk;
  json_array_foreach (json_object_get (answer, "chunks"), i, chunk)
  {
    assert_string_not_equal (text_of (chunk, "document_id"), "cats");
  }
  assert_true (i > 0);
  json_decref (answer);
}

static void
many_at_once_are_answered_alike (void **state)
{
  World *world = *state;
  Reply replies[64];
  rig_ask_many (world->rig, world->pipeline, "{\"query\": \"fish swim\", \"cache\": \"bypass\"}", 64, replies);
  for (guint i = 0; i < 64; i++) {
    assert_int_equal (replies[i].status, 200);
    const char *chunks = strstr (replies[i].text, "\"chunks\":");
    assert_int_equal (strncmp (chunks, strstr (replies[0].text, "\"chunks\":"), 200), 0);
  }
  for (guint i = 0; i < 64; i++)
    reply_clear (&replies[i]);
}

int
main (void)
{
  cmocka_set_message_output (CM_OUTPUT_TAP);
#define CASE(name) cmocka_unit_test_setup_teardown (name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
    CASE (each_mode_finds_the_passage),     CASE (words_alone_get_the_stored_cosine),
    CASE (filters_hold_for_both_lists),     CASE (a_deleted_passage_is_not_found_again),
    CASE (many_at_once_are_answered_alike),
  };
  return cmocka_run_group_tests_name ("plugins", tests, NULL, NULL);
}
