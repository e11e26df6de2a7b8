/* SPDX-License-Identifier: MIT */
#include "tests/config/components.h"

#include <ragify/ragify.h>
#include <string.h>

unsigned int test_components_prepared = 0;
char test_components_folders[256] = "";

static const RagifyKey files_keys[] = {
  { .name = "root", .type = RAGIFY_KEY_PATH, .flags = RAGIFY_KEY_REQUIRED, .summary = "The folder." },
  { .name = "include", .type = RAGIFY_KEY_LIST, .flags = RAGIFY_KEY_RELOADABLE, .default_value = "**/*.md; **/*.txt" },
  { .name = "exclude", .type = RAGIFY_KEY_LIST },
};

static const RagifyKey http_keys[] = {
  { .name = "base-url", .type = RAGIFY_KEY_URI, .flags = RAGIFY_KEY_REQUIRED },
  { .name = "token", .type = RAGIFY_KEY_SECRET, .flags = RAGIFY_KEY_RELOADABLE },
  { .name = "header", .type = RAGIFY_KEY_STRING },
  { .name = "auth", .type = RAGIFY_KEY_ENUM, .default_value = "none", .choices = "none|basic|bearer|api-key" },
  { .name = "max-connections", .type = RAGIFY_KEY_INT, .default_value = "100", .minimum = "1", .maximum = "1000" },
};

static const RagifyKey postgres_keys[] = {
  { .name = "dsn", .type = RAGIFY_KEY_SECRET, .flags = RAGIFY_KEY_REQUIRED },
  { .name = "statement", .type = RAGIFY_KEY_STRING },
  { .name = "max-size", .type = RAGIFY_KEY_INT, .default_value = "20", .minimum = "1", .maximum = "1000" },
};

static const RagifyKey old_keys[] = {
  { .name = "place", .type = RAGIFY_KEY_STRING },
  { .name = "location", .type = RAGIFY_KEY_STRING, .flags = RAGIFY_KEY_DEPRECATED, .replaced_by = "place" },
  { .name = "speed", .type = RAGIFY_KEY_INT, .flags = RAGIFY_KEY_DEPRECATED },
};

static const RagifyKey broken_keys[] = {
  { .name = "count", .type = RAGIFY_KEY_INT, .default_value = "many" },
};

static const RagifyKey memory_keys[] = {
  { .name = "max-entries",
    .type = RAGIFY_KEY_INT,
    .flags = RAGIFY_KEY_RELOADABLE,
    .default_value = "10000",
    .minimum = "1" },
  { .name = "max-bytes", .type = RAGIFY_KEY_SIZE, .default_value = "256MiB", .minimum = "1MiB" },
  { .name = "ttl",
    .type = RAGIFY_KEY_DURATION,
    .flags = RAGIFY_KEY_RELOADABLE,
    .default_value = "5min",
    .minimum = "1s" },
};

static const RagifyKey redis_keys[] = {
  { .name = "url", .type = RAGIFY_KEY_URI, .flags = RAGIFY_KEY_REQUIRED },
  { .name = "password", .type = RAGIFY_KEY_SECRET },
  { .name = "ttl", .type = RAGIFY_KEY_DURATION, .default_value = "1h" },
  { .name = "compress-above", .type = RAGIFY_KEY_SIZE, .flags = RAGIFY_KEY_RELOADABLE, .default_value = "4KiB" },
  { .name = "reply-timeout", .type = RAGIFY_KEY_DURATION, .default_value = "2s", .minimum = "10ms" },
  { .name = "max-in-flight", .type = RAGIFY_KEY_INT, .default_value = "4096", .minimum = "1", .maximum = "1000000" },
};

static const RagifyKey disk_keys[] = {
  { .name = "path", .type = RAGIFY_KEY_PATH, .default_value = "cache" },
  { .name = "max-bytes", .type = RAGIFY_KEY_SIZE, .default_value = "1GiB", .minimum = "1MiB" },
  { .name = "ttl", .type = RAGIFY_KEY_DURATION, .default_value = "1d" },
};

static const RagifyKey local_keys[] = {
  { .name = "model", .type = RAGIFY_KEY_STRING, .default_value = "balanced" },
};

static const RagifyKey remote_keys[] = {
  { .name = "base-url", .type = RAGIFY_KEY_URI, .flags = RAGIFY_KEY_REQUIRED },
  { .name = "dimension", .type = RAGIFY_KEY_INT, .flags = RAGIFY_KEY_REQUIRED, .minimum = "1", .maximum = "65536" },
};

static const RagifyKey faiss_keys[] = {
  { .name = "path", .type = RAGIFY_KEY_PATH, .flags = RAGIFY_KEY_REQUIRED },
  { .name = "in-memory", .type = RAGIFY_KEY_BOOL, .default_value = "false" },
  { .name = "index", .type = RAGIFY_KEY_STRING, .default_value = "IVF1000,Flat" },
  { .name = "nprobe", .type = RAGIFY_KEY_INT, .flags = RAGIFY_KEY_RELOADABLE, .default_value = "10", .minimum = "1" },
};

static const RagifyKey chroma_keys[] = {
  { .name = "base-url", .type = RAGIFY_KEY_URI, .flags = RAGIFY_KEY_REQUIRED },
  { .name = "collection", .type = RAGIFY_KEY_STRING, .default_value = "ragify" },
};

static const RagifyKey pgvector_keys[] = {
  { .name = "dsn", .type = RAGIFY_KEY_SECRET, .flags = RAGIFY_KEY_REQUIRED },
  { .name = "dimension", .type = RAGIFY_KEY_INT },
};

static const RagifyKey fts5_keys[] = {
  { .name = "path", .type = RAGIFY_KEY_PATH },
  { .name = "tokenizer", .type = RAGIFY_KEY_ENUM, .default_value = "porter", .choices = "porter|unicode61" },
};

static const RagifyKey reranker_keys[] = {
  { .name = "base-url", .type = RAGIFY_KEY_URI, .flags = RAGIFY_KEY_REQUIRED },
};

#define SCHEMA(list) .schema = { .keys = (list), .count = G_N_ELEMENTS (list), .stride = sizeof (RagifyKey) }

static const RagifyComponent components[] = {
  { .kind = RAGIFY_KIND_SOURCE, .name = "broken", .summary = "A schema with a wrong default.", SCHEMA (broken_keys) },
  { .kind = RAGIFY_KIND_SOURCE, .name = "files", .summary = "A folder of texts.", SCHEMA (files_keys) },
  { .kind = RAGIFY_KIND_SOURCE, .name = "http", .summary = "A search API.", SCHEMA (http_keys) },
  { .kind = RAGIFY_KIND_SOURCE, .name = "old", .summary = "With deprecated keys.", SCHEMA (old_keys) },
  { .kind = RAGIFY_KIND_SOURCE, .name = "postgres", .summary = "A PostgreSQL table.", SCHEMA (postgres_keys) },
  { .kind = RAGIFY_KIND_CACHE, .name = "disk", .summary = "A file.", SCHEMA (disk_keys) },
  { .kind = RAGIFY_KIND_CACHE, .name = "memory", .summary = "The host's memory.", SCHEMA (memory_keys) },
  { .kind = RAGIFY_KIND_CACHE, .name = "redis", .summary = "A Redis server.", SCHEMA (redis_keys) },
  { .kind = RAGIFY_KIND_EMBEDDER, .name = "local", .summary = "A model on this machine.", SCHEMA (local_keys) },
  { .kind = RAGIFY_KIND_EMBEDDER, .name = "remote", .summary = "An embedding API.", SCHEMA (remote_keys) },
  { .kind = RAGIFY_KIND_VECTOR_STORE, .name = "chroma", .summary = "On a server.", SCHEMA (chroma_keys) },
  { .kind = RAGIFY_KIND_VECTOR_STORE, .name = "faiss", .summary = "On this machine.", SCHEMA (faiss_keys) },
  { .kind = RAGIFY_KIND_VECTOR_STORE, .name = "pgvector", .summary = "In PostgreSQL.", SCHEMA (pgvector_keys) },
  { .kind = RAGIFY_KIND_TEXT_INDEX, .name = "fts5", .summary = "SQLite's.", SCHEMA (fts5_keys) },
  { .kind = RAGIFY_KIND_RERANKER, .name = "http", .summary = "A reranking API.", SCHEMA (reranker_keys) },
  { .kind = RAGIFY_KIND_EXTRACTOR, .name = "pdf", .summary = "PDF." },
};

static void
prepare (void *data, const char *const *plugin_dirs)
{
  g_autofree char *joined = g_strjoinv (":", (char **)plugin_dirs);

  test_components_prepared++;
  g_strlcpy (test_components_folders, joined, sizeof test_components_folders);
}

static const RagifyComponent *
find (void *data, const char *abi_kind, const char *plugin)
{
  for (size_t i = 0; i < G_N_ELEMENTS (components); i++)
    if (strcmp (components[i].kind, abi_kind) == 0 && strcmp (components[i].name, plugin) == 0)
      return &components[i];
  return NULL;
}

static char **
list (void *data, const char *abi_kind)
{
  GPtrArray *names = g_ptr_array_new ();

  for (size_t i = 0; i < G_N_ELEMENTS (components); i++)
    if (strcmp (components[i].kind, abi_kind) == 0)
      g_ptr_array_add (names, g_strdup (components[i].name));
  g_ptr_array_add (names, NULL);
  return (char **)g_ptr_array_free (names, FALSE);
}

/* The dimension of the models that `local` knows, as a real host would read it from the model's folder. */
static uint32_t
dimension (void *data, const RagifyConfigNode *node)
{
  const RagifyComponent *component = ragify_config_node_component (node);

  if (strcmp (component->name, "local") != 0)
    return 0;
  return g_strcmp0 (ragify_config_node_get_string (node, "model"), "fast") == 0 ? 384 : 768;
}

const RagifySchemaLookup test_components = { .prepare = prepare, .find = find, .list = list, .dimension = dimension };
