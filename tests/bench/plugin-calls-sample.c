/* What the benchmark of calls calls: a source of each run class that answers at once with nothing.
 * SPDX-License-Identifier: MIT */
#include <ragify/ragify.h>

#include <stdlib.h>

static const RagifyHost *our_host;

static int32_t
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  (void)which;
  our_host = host;
  *instance = context;
  return RAGIFY_OK;
}

static void
start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  (void)instance;
  (void)args;
  our_host->call_done (call, NULL);
}

static void
destroy (void *instance)
{
  (void)instance;
}

static void
query (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  (void)instance;
  (void)args;
  const RagifySourceResult result = { .struct_size = sizeof result };
  our_host->call_done (call, &result);
}

static const RagifySourceOperations operations = { .struct_size = sizeof operations, .query = query };

#define COMPONENT(variable, name_text, class)                                                                          \
  static const RagifyComponent variable = {                                                                            \
    .struct_size = sizeof variable,                                                                                    \
    .kind = RAGIFY_KIND_SOURCE,                                                                                        \
    .name = name_text,                                                                                                 \
    .summary = "Answers nothing, at once.",                                                                            \
    .run_class = class,                                                                                                \
    .operations = &operations,                                                                                         \
    .create = create,                                                                                                  \
    .start = start,                                                                                                    \
    .destroy = destroy,                                                                                                \
  }

COMPONENT (on_any, "shared", RAGIFY_RUN_SHARED);
COMPONENT (on_loop, "loop", RAGIFY_RUN_LOOP);
COMPONENT (on_worker, "worker", RAGIFY_RUN_WORKER);

static const RagifyComponent *const components[] = { &on_any, &on_loop, &on_worker, NULL };

static const RagifyPlugin plugin = {
  .magic = RAGIFY_PLUGIN_MAGIC,
  .abi_major = RAGIFY_ABI_MAJOR,
  .abi_minor_needed = RAGIFY_NEEDS_MINOR,
  .struct_size = sizeof plugin,
  .id = "org.ragify.bench.plugin-calls",
  .version = "1",
  .licence = "MIT",
  .summary = "Answers nothing.",
  .url = "",
  .components = components,
};

const RagifyPlugin *
ragify_plugin_query (void)
{
  return &plugin;
}
