/* The plugin `xapian`: finds chunks by their words, on Xapian. */
#include "xapian-index.h"

static int32_t
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  return ragify_text_plugin_create (&ragify_xapian_backend, host, context, which, instance);
}

static const RagifyComponent component = {
  .struct_size = sizeof component,
  .kind = RAGIFY_KIND_TEXT_INDEX,
  .name = "xapian",
  .summary = "Finds chunks by their words, with Xapian.",
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

/* Linked with Xapian, which is under the GPL: so is the module as a whole. */
static const RagifyPlugin plugin_description = {
  .magic = RAGIFY_PLUGIN_MAGIC,
  .abi_major = RAGIFY_ABI_MAJOR,
  .abi_minor_needed = RAGIFY_NEEDS_MINOR,
  .struct_size = sizeof plugin_description,
  .id = "org.ragify.text-xapian",
  .version = RAGIFY_VERSION,
  .licence = "GPL-2.0-or-later",
  .summary = "A text index on Xapian.",
  .url = "",
  .components = components,
};

const RagifyPlugin *
ragify_plugin_query (void)
{
  return &plugin_description;
}
