/* SPDX-License-Identifier: MIT */
#include "config/profiles.h"

#include <string.h>

typedef struct ProfileDefault {
  const char *profile;
  RagifyKind kind;
  const char *component; /* NULL: any */
  const char *key;
  const char *value;
} ProfileDefault;

static const ProfileDefault defaults[] = {
  { "default", RAGIFY_KIND_ID_SOURCE, NULL, "retry", "3" },
  { "default", RAGIFY_KIND_ID_BALANCER, NULL, "retry", "3" },
  { "default", RAGIFY_KIND_ID_CACHE, "memory", "ttl", "1h" },
  { "default", RAGIFY_KIND_ID_PIPELINE, NULL, "max-concurrent-sources", "10" },
  { "default", RAGIFY_KIND_ID_PIPELINE, NULL, "deadline", "30s" },

  { "high_throughput", RAGIFY_KIND_ID_SOURCE, NULL, "retry", "2" },
  { "high_throughput", RAGIFY_KIND_ID_BALANCER, NULL, "retry", "2" },
  { "high_throughput", RAGIFY_KIND_ID_CACHE, "redis", "ttl", "30min" },
  { "high_throughput", RAGIFY_KIND_ID_PIPELINE, NULL, "max-concurrent-sources", "20" },
  { "high_throughput", RAGIFY_KIND_ID_PIPELINE, NULL, "source-batch", "20" },
  { "high_throughput", RAGIFY_KIND_ID_PIPELINE, NULL, "deadline", "15s" },

  { "low_latency", RAGIFY_KIND_ID_SOURCE, NULL, "retry", "1" },
  { "low_latency", RAGIFY_KIND_ID_BALANCER, NULL, "retry", "1" },
  { "low_latency", RAGIFY_KIND_ID_CACHE, "memory", "ttl", "1h" },
  { "low_latency", RAGIFY_KIND_ID_PIPELINE, NULL, "max-concurrent-sources", "5" },
  { "low_latency", RAGIFY_KIND_ID_PIPELINE, NULL, "deadline", "5s" },

  { "memory_efficient", RAGIFY_KIND_ID_SOURCE, NULL, "retry", "3" },
  { "memory_efficient", RAGIFY_KIND_ID_BALANCER, NULL, "retry", "3" },
  { "memory_efficient", RAGIFY_KIND_ID_CACHE, "disk", "ttl", "2h" },
  { "memory_efficient", RAGIFY_KIND_ID_PIPELINE, NULL, "max-concurrent-sources", "3" },
  { "memory_efficient", RAGIFY_KIND_ID_PIPELINE, NULL, "deadline", "30s" },
};

/* memory_efficient runs without a cache: there is none to expect. */
static const RagifyProfileBackend backends[] = {
  { "default", RAGIFY_KIND_ID_CACHE, "memory",
    "add [cache ram] with plugin = memory, and cache = ram to the pipelines" },
  { "high_throughput", RAGIFY_KIND_ID_CACHE, "redis",
    "add [cache shared] with plugin = redis and url = redis://HOST:PORT/0, and cache = shared to the pipelines" },
  { "high_throughput", RAGIFY_KIND_ID_VECTOR_STORE, "faiss",
    "add [vector-store docs] with plugin = faiss, and docs to `retrieve` of the pipelines" },
  { "low_latency", RAGIFY_KIND_ID_CACHE, "memory",
    "add [cache ram] with plugin = memory, and cache = ram to the pipelines" },
  { "low_latency", RAGIFY_KIND_ID_VECTOR_STORE, "chroma",
    "add [vector-store docs] with plugin = chroma, and docs to `retrieve` of the pipelines" },
  { "memory_efficient", RAGIFY_KIND_ID_VECTOR_STORE, "faiss",
    "add [vector-store docs] with plugin = faiss, and docs to `retrieve` of the pipelines" },
};

static const char *const names[] = { "default", "high_throughput", "low_latency", "memory_efficient", NULL };

const char *const *
ragify_profile_names (void)
{
  return names;
}

const char *
ragify_profile_value (const char *profile, RagifyKind kind, const char *component, const char *key)
{
  if (profile == NULL)
    return NULL;
  for (size_t i = 0; i < G_N_ELEMENTS (defaults); i++) {
    const ProfileDefault *entry = &defaults[i];

    if (entry->kind != kind || strcmp (entry->profile, profile) != 0 || strcmp (entry->key, key) != 0)
      continue;
    if (entry->component == NULL || g_strcmp0 (entry->component, component) == 0)
      return entry->value;
  }
  return NULL;
}

const RagifyProfileBackend *
ragify_profile_backends (const char *profile, size_t *count)
{
  const RagifyProfileBackend *first = NULL;

  *count = 0;
  for (size_t i = 0; i < G_N_ELEMENTS (backends); i++) {
    if (g_strcmp0 (backends[i].profile, profile) != 0)
      continue;
    if (first == NULL)
      first = &backends[i];
    ++*count;
  }
  return first;
}

bool
ragify_profile_print (const char *name, GString *text)
{
  const ProfileDefault *last = NULL;
  size_t n_backends = 0;
  const RagifyProfileBackend *expected = ragify_profile_backends (name, &n_backends);

  if (!g_strv_contains (names, name))
    return false;
  g_string_append_printf (text, "# What `[host] profile = %s` sets where the files do not.\n[host]\nprofile = %s\n",
                          name, name);
  for (size_t i = 0; i < G_N_ELEMENTS (defaults); i++) {
    const ProfileDefault *entry = &defaults[i];

    if (strcmp (entry->profile, name) != 0)
      continue;
    if (last == NULL || last->kind != entry->kind) {
      g_string_append_printf (text, "\n# every [%s …]", ragify_kind_info (entry->kind)->name);
      if (entry->component != NULL)
        g_string_append_printf (text, " with plugin = %s", entry->component);
      g_string_append_c (text, '\n');
    }
    g_string_append_printf (text, "#%s = %s\n", entry->key, entry->value);
    last = entry;
  }
  for (size_t i = 0; i < n_backends; i++)
    g_string_append_printf (text, "\n# It expects a [%s] with plugin = %s:\n#   %s.\n",
                            ragify_kind_info (expected[i].kind)->name, expected[i].component, expected[i].advice);
  if (strcmp (name, "memory_efficient") == 0)
    g_string_append (text, "\n# It keeps no answers: pipelines without `cache`.\n");
  return true;
}
