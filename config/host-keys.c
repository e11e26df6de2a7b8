/* SPDX-License-Identifier: MIT */
#include "config/host-keys-private.h"

#include <string.h>

static const RagifyKindInfo kinds[RAGIFY_N_KINDS] = {
  [RAGIFY_KIND_ID_HOST] = { .name = "host",
                            .root = true,
                            .summary = "The process as a whole.",
                            .example = "[host]\nprofile = high_throughput\nthreads = 0        # one per core\n" },
  [RAGIFY_KIND_ID_HTTP] = { .name = "http",
                            .named = true,
                            .root = true,
                            .summary = "An address that the HTTP API is served on.",
                            .example = "[http public]\nlisten = 127.0.0.1:8080\napi-keys-file = /etc/ragify/keys\n" },
  [RAGIFY_KIND_ID_EMBEDDER] = { .name = "embedder",
                                .abi_kind = RAGIFY_KIND_EMBEDDER,
                                .named = true,
                                .summary = "Turns texts into vectors.",
                                .example = "[embedder minilm]\nplugin = local\nmodel = fast\n" },
  [RAGIFY_KIND_ID_VECTOR_STORE] = { .name = "vector-store",
                                    .abi_kind = RAGIFY_KIND_VECTOR_STORE,
                                    .named = true,
                                    .names = RAGIFY_NAMES_RETRIEVERS,
                                    .summary =
                                        "Keeps chunks of documents with their vectors, and finds them by meaning.",
                                    .example =
                                        "[vector-store docs]\nplugin = faiss\nembedder = minilm\npath = docs\n" },
  [RAGIFY_KIND_ID_TEXT_INDEX] = { .name = "text-index",
                                  .abi_kind = RAGIFY_KIND_TEXT_INDEX,
                                  .named = true,
                                  .names = RAGIFY_NAMES_RETRIEVERS,
                                  .summary = "Finds the chunks of a vector store by their words.",
                                  .example = "[text-index words]\nplugin = xapian\nfallback = fts5\nof = docs\n" },
  [RAGIFY_KIND_ID_SOURCE] = { .name = "source",
                              .abi_kind = RAGIFY_KIND_SOURCE,
                              .named = true,
                              .names = RAGIFY_NAMES_RETRIEVERS,
                              .summary = "A place that is asked as it is: a database, an API, a folder.",
                              .example = "[source notes]\nplugin = files\nroot = /srv/notes\ndeadline = 300ms\n" },
  [RAGIFY_KIND_ID_BALANCER] = { .name = "balancer",
                                .named = true,
                                .names = RAGIFY_NAMES_RETRIEVERS,
                                .summary = "Several sources with the same content, of which one is asked.",
                                .example = "[balancer handbook]\nmembers = handbook-a; handbook-b\npolicy = "
                                           "weighted-random\n" },
  [RAGIFY_KIND_ID_CACHE] = { .name = "cache",
                             .abi_kind = RAGIFY_KIND_CACHE,
                             .named = true,
                             .names = RAGIFY_NAMES_CACHES,
                             .summary = "Keeps answers.",
                             .example = "[cache ram]\nplugin = memory\nmax-entries = 10000\nttl = 5min\n" },
  [RAGIFY_KIND_ID_TIER] = { .name = "tier",
                            .named = true,
                            .names = RAGIFY_NAMES_CACHES,
                            .summary = "Caches that are asked one after the other.",
                            .example = "[tier answers]\nlevels = ram; shared; disk\n" },
  [RAGIFY_KIND_ID_RERANKER] = { .name = "reranker",
                                .abi_kind = RAGIFY_KIND_RERANKER,
                                .named = true,
                                .summary = "Reads the query with each of the best chunks, and orders them anew.",
                                .example = "[reranker cross]\nplugin = http\nbase-url = https://rerank.example\n" },
  [RAGIFY_KIND_ID_EXTRACTOR] = { .name = "extractor",
                                 .abi_kind = RAGIFY_KIND_EXTRACTOR,
                                 .named = true,
                                 .root = true, /* chosen by media type */
                                 .summary = "Gets the text out of documents of some media types.",
                                 .example = "[extractor pdf]\nplugin = pdf\nisolation = process\n" },
  [RAGIFY_KIND_ID_INGEST] = { .name = "ingest",
                              .named = true,
                              .root = true,
                              .summary = "Keeps a folder or a source in step with a vector store.",
                              .example = "[ingest library]\nroot = /srv/library\nstore = docs\nchunk-size = 1000\n" },
  [RAGIFY_KIND_ID_PIPELINE] = { .name = "pipeline",
                                .named = true,
                                .root = true,
                                .names = RAGIFY_NAMES_RETRIEVERS,
                                .summary =
                                    "From a query to an answer. Requests use the one called `default` unless they "
                                    "name another.",
                                .example = "[pipeline default]\ncache = answers\nretrieve = docs; words\nfuse = "
                                           "convex\ndeadline = 900ms\n" },
};

static const RagifyHostKeyTable *const tables[] = {
  &ragify_host_keys_of_server, &ragify_host_keys_of_nodes,     &ragify_host_keys_of_composed,
  &ragify_host_keys_of_ingest, &ragify_host_keys_of_pipelines,
};

/* The table by kind, made once. */
typedef struct KeysOfKind {
  const RagifyHostKey **keys;
  size_t count;
} KeysOfKind;

static KeysOfKind
keys_of (uint32_t kind_bit)
{
  g_autoptr (GPtrArray) keys = g_ptr_array_new ();

  for (size_t t = 0; t < G_N_ELEMENTS (tables); t++)
    for (size_t i = 0; i < tables[t]->count; i++)
      if ((tables[t]->keys[i].kinds & kind_bit) != 0)
        g_ptr_array_add (keys, (gpointer)&tables[t]->keys[i]);

  const size_t count = keys->len;
  return (KeysOfKind){ (const RagifyHostKey **)g_ptr_array_free (g_steal_pointer (&keys), FALSE), count };
}

static const KeysOfKind *
keys_by_kind (void)
{
  static KeysOfKind by_kind[RAGIFY_N_KINDS];
  static gsize made = 0;

  if (!g_once_init_enter (&made))
    return by_kind;
  for (unsigned int kind = 0; kind < RAGIFY_N_KINDS; kind++)
    by_kind[kind] = keys_of (RAGIFY_KIND_BIT (kind));
  g_once_init_leave (&made, 1);
  return by_kind;
}

const RagifyKindInfo *
ragify_kind_info (RagifyKind kind)
{
  return &kinds[kind];
}

bool
ragify_kind_from_name (const char *name, RagifyKind *kind)
{
  for (unsigned int i = 0; i < RAGIFY_N_KINDS; i++) {
    if (strcmp (kinds[i].name, name) != 0)
      continue;
    *kind = (RagifyKind)i;
    return true;
  }
  return false;
}

const RagifyHostKey *const *
ragify_host_keys (RagifyKind kind, size_t *count)
{
  const KeysOfKind *of_kind = &keys_by_kind ()[kind];

  *count = of_kind->count;
  return of_kind->keys;
}

const RagifyHostKey *
ragify_host_key (RagifyKind kind, const char *name)
{
  const KeysOfKind *of_kind = &keys_by_kind ()[kind];

  for (size_t i = 0; i < of_kind->count; i++)
    if (strcmp (of_kind->keys[i]->key.name, name) == 0)
      return of_kind->keys[i];
  return NULL;
}

bool
ragify_host_key_is_reserved (const char *abi_kind, const char *key)
{
  for (unsigned int kind = 0; kind < RAGIFY_N_KINDS; kind++)
    if (kinds[kind].abi_kind != NULL && strcmp (kinds[kind].abi_kind, abi_kind) == 0)
      return ragify_host_key ((RagifyKind)kind, key) != NULL;
  return false;
}

char *
ragify_kinds_text (uint32_t bits, const char *last_separator)
{
  GString *text = g_string_new (NULL);

  for (unsigned int kind = 0; kind < RAGIFY_N_KINDS; kind++) {
    uint32_t bit = RAGIFY_KIND_BIT (kind);

    if ((bits & bit) == 0)
      continue;
    bits &= ~bit;
    if (text->len > 0)
      g_string_append (text, bits == 0 ? last_separator : ", ");
    g_string_append_printf (text, "[%s]", kinds[kind].name);
  }
  return g_string_free (text, FALSE);
}
