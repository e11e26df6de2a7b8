/* The plugin `fts5`: finds chunks by their words, on SQLite's FTS5. */
#include "fts5-index.h"

static int32_t
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  return ragify_text_plugin_create (&ragify_fts5_backend, host, context, which, instance);
}

static const RagifyComponent component = {
  .struct_size = sizeof component,
  .kind = RAGIFY_KIND_TEXT_INDEX,
  .name = "fts5",
  .summary = "Finds chunks by their words, with SQLite's FTS5; nothing else needs to be installed.",
  .run_class = RAGIFY_RUN_WORKER,
  .max_parallel = 64,
  .schema = { .keys = ragify_text_plugin_keys, .count = RAGIFY_TEXT_PLUGIN_KEYS, .stride = sizeof (RagifyKey) },
  .operations = &ragify_text_plugin_operations,
  .create = create,
  .start = ragify_text_plugin_start,
  .stop = ragify_text_plugin_stop,
  .destroy = ragify_text_plugin_destroy,
  .probe = ragify_text_plugin_probe,
  .stats = ragify_text_plugin_stats,
};

static const RagifyComponent *const components[] = { &component, NULL };

static const RagifyPlugin plugin_description = {
  .magic = RAGIFY_PLUGIN_MAGIC,
  .abi_major = RAGIFY_ABI_MAJOR,
  .abi_minor_needed = RAGIFY_NEEDS_MINOR,
  .struct_size = sizeof plugin_description,
  .id = "org.ragify.text-fts5",
  .version = RAGIFY_VERSION,
  .licence = "MIT",
  .summary = "A text index on SQLite's FTS5.",
  .url = "",
  .components = components,
};

const RagifyPlugin *
ragify_plugin_query (void)
{
  return &plugin_description;
}
