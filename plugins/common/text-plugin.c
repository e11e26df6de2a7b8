#include "text-plugin.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  const RagifyHost *host;
  RagifyContext *context;
  const RagifyTextBackend *backend;
  char *folder;
  char *language;
  RagifyTextOptions options;
  RagifyTextIndex *index;
} Plugin;

/* Who asks, as the index sees it. */
typedef struct {
  const RagifyHost *host;
  RagifyCall *call;
} Asker;

const RagifyKey ragify_text_plugin_keys[RAGIFY_TEXT_PLUGIN_KEYS] = {
  { .name = "path",
    .type = RAGIFY_KEY_PATH,
    .summary = "The index's folder, which belongs to it alone; without it, a folder of the node's name under `root`." },
  { .name = "root",
    .type = RAGIFY_KEY_PATH,
    .default_value = "text",
    .summary = "Where the folder lies when no `path` is given." },
  { .name = "language",
    .type = RAGIFY_KEY_STRING,
    .default_value = "en",
    .summary = "Whose endings are taken off words, and whose function words a query does without: a language, or none. "
               "A change makes the index anew." },
  { .name = "title-weight",
    .type = RAGIFY_KEY_INT,
    .default_value = "1",
    .minimum = "0",
    .maximum = "100",
    .summary = "How often the words of a title count. A change makes the index anew." },
  { .name = "k1",
    .type = RAGIFY_KEY_DOUBLE,
    .default_value = "1.2",
    .minimum = "0",
    .maximum = "100",
    .summary = "BM25: how much a word counts that stands more often in a chunk." },
  { .name = "b",
    .type = RAGIFY_KEY_DOUBLE,
    .default_value = "0.75",
    .minimum = "0",
    .maximum = "1",
    .summary = "BM25: how much a chunk's length counts against it." },
  { .name = "lock-wait",
    .type = RAGIFY_KEY_DURATION,
    .default_value = "2s",
    .maximum = "1min",
    .summary = "How long a start waits for another process that still has the folder open." },
};

static bool
is_cancelled (void *user)
{
  const Asker *asker = user;
  return asker->host->call_cancelled (asker->call) != 0;
}

static void
write_log (void *user, uint32_t level, const char *message)
{
  const Plugin *plugin = user;
  plugin->host->log (plugin->context, level, ragify_str_from (message));
}

static void
fail (const Plugin *plugin, RagifyCall *call, const RagifyFault *fault)
{
  plugin->host->call_fail (call, fault->code, ragify_str_from (fault->message), 0);
}

static void
finish (const Plugin *plugin, RagifyCall *call, bool ok, const void *result, const RagifyFault *fault)
{
  if (ok)
    plugin->host->call_done (call, result);
  else
    fail (plugin, call, fault);
}

static char *
read_folder (const Plugin *plugin, const RagifyInstance *which)
{
  RagifyStr base = { 0 };
  bool given = plugin->host->config_string (plugin->context, "path", &base) == RAGIFY_OK && base.size > 0;
  if (!given)
    (void)plugin->host->config_string (plugin->context, "root", &base);
  size_t size = base.size + which->node.size + strlen (plugin->backend->folder) + 3;
  char *folder = malloc (size);
  if (folder != NULL && given)
    (void)snprintf (folder, size, "%.*s/%s", (int)base.size, base.data, plugin->backend->folder);
  else if (folder != NULL)
    (void)snprintf (folder, size, "%.*s/%.*s/%s", (int)base.size, base.data, (int)which->node.size, which->node.data,
                    plugin->backend->folder);
  return folder;
}

static bool
read_options (Plugin *plugin, const RagifyInstance *which, RagifyFault *fault)
{
  const RagifyHost *host = plugin->host;
  RagifyStr language = { 0 };
  int64_t weight = 1;
  double k1 = 1.2, b = 0.75;
  (void)host->config_string (plugin->context, "language", &language);
  (void)host->config_int (plugin->context, "title-weight", &weight);
  (void)host->config_double (plugin->context, "k1", &k1);
  (void)host->config_double (plugin->context, "b", &b);
  (void)host->config_duration (plugin->context, "lock-wait", &plugin->options.lock_wait_us);
  plugin->folder = read_folder (plugin, which);
  plugin->language = strndup (language.data, language.size);
  if (plugin->folder == NULL || plugin->language == NULL)
    return ragify_fault_memory (fault);
  plugin->options.folder = plugin->folder;
  plugin->options.language = plugin->language;
  plugin->options.title_weight = (uint32_t)weight;
  plugin->options.bm25 = (RagifyBm25){ .k1 = (float)k1, .b = (float)b };
  plugin->options.log = write_log;
  plugin->options.log_user = plugin;
  return plugin->backend->check_language (plugin->language, fault);
}

int32_t
ragify_text_plugin_create (const RagifyTextBackend *backend, const RagifyHost *host, RagifyContext *context,
                           const RagifyInstance *which, void **instance)
{
  RagifyFault fault;
  Plugin *plugin = calloc (1, sizeof *plugin);
  bool ok = plugin != NULL;
  if (ok) {
    plugin->host = host;
    plugin->context = context;
    plugin->backend = backend;
    ok = read_options (plugin, which, &fault);
  } else {
    (void)ragify_fault_memory (&fault);
  }
  if (ok) {
    *instance = plugin;
    return RAGIFY_OK;
  }
  ragify_text_plugin_destroy (plugin);
  host->set_error (context, ragify_str_from (fault.message));
  return fault.code;
}

void
ragify_text_plugin_destroy (void *instance)
{
  Plugin *plugin = instance;
  if (plugin == NULL)
    return;
  if (plugin->index != NULL)
    plugin->backend->close (plugin->index);
  free (plugin->folder);
  free (plugin->language);
  free (plugin);
}

void
ragify_text_plugin_start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  Plugin *plugin = instance;
  RagifyFault fault;
  char text[400];
  uint64_t began_us = plugin->host->clock_us ();
  plugin->index = plugin->backend->open (&plugin->options, &fault);
  if (plugin->index == NULL) {
    fail (plugin, call, &fault);
    return;
  }
  RagifyTextGeneration generation = { .struct_size = sizeof generation };
  plugin->backend->generation (plugin->index, &generation);
  (void)snprintf (text, sizeof text, "%.200s: %" PRIu64 " chunks, generation %" PRIu64 ", open after %" PRIu64 " ms",
                  plugin->folder, generation.chunks, generation.generation.counter,
                  (plugin->host->clock_us () - began_us) / 1000);
  write_log (plugin, RAGIFY_LOG_INFO, text);
  if (plugin->backend->read_only (plugin->index) != NULL) {
    (void)snprintf (text, sizeof text, "%.200s is read-only (%.100s): searches go on, writes are refused",
                    plugin->folder, plugin->backend->read_only (plugin->index));
    write_log (plugin, RAGIFY_LOG_WARNING, text);
  }
  plugin->host->call_done (call, NULL);
}

void
ragify_text_plugin_stop (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  Plugin *plugin = instance;
  plugin->backend->close (plugin->index);
  plugin->index = NULL;
  plugin->host->call_done (call, NULL);
}

/* Looks a word up that may stand nowhere: the index is read on the way. */
void
ragify_text_plugin_probe (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  const Plugin *plugin = instance;
  RagifyFault fault;
  RagifyHit hit;
  uint32_t found;
  Asker asker = { .host = plugin->host, .call = call };
  const RagifyTextCaller caller = { .cancelled = is_cancelled, .user = &asker };
  const RagifyTextSearch search = { .struct_size = sizeof search, .top_k = 1, .text = ragify_str_from ("ragify") };
  const size_t room = 100;
  char *detail = plugin->host->call_alloc (call, room);
  if (detail == NULL)
    (void)ragify_fault_memory (&fault);
  if (detail == NULL || !plugin->backend->search (plugin->index, &caller, &search, &hit, &found, &fault)) {
    fail (plugin, call, &fault);
    return;
  }
  RagifyTextGeneration generation = { .struct_size = sizeof generation };
  plugin->backend->generation (plugin->index, &generation);
  int size = snprintf (detail, room, "%" PRIu64 " chunks", generation.chunks);
  RagifyProbeResult result = { .struct_size = sizeof result, .detail = ragify_str (detail, (size_t)size) };
  plugin->host->call_done (call, &result);
}

void
ragify_text_plugin_stats (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  const Plugin *plugin = instance;
  RagifyTextGeneration generation = { .struct_size = sizeof generation };
  plugin->backend->generation (plugin->index, &generation);
  RagifyPair *pairs = plugin->host->call_alloc (call, 2 * sizeof *pairs);
  if (pairs == NULL) {
    RagifyFault fault;
    (void)ragify_fault_memory (&fault);
    fail (plugin, call, &fault);
    return;
  }
  pairs[0] = (RagifyPair){ .name = ragify_str_from ("chunks"),
                           .value = { .type = RAGIFY_VALUE_INT, .integer = (int64_t)generation.chunks } };
  pairs[1] = (RagifyPair){ .name = ragify_str_from ("generation"),
                           .value = { .type = RAGIFY_VALUE_INT, .integer = (int64_t)generation.generation.counter } };
  RagifyStatsResult result = { .struct_size = sizeof result, .values = { .items = pairs, .count = 2 } };
  plugin->host->call_done (call, &result);
}

static void
upsert (void *instance, RagifyCall *call, const RagifyTextUpsert *args)
{
  const Plugin *plugin = instance;
  RagifyFault fault;
  Asker asker = { .host = plugin->host, .call = call };
  const RagifyTextCaller caller = { .cancelled = is_cancelled, .user = &asker };
  finish (plugin, call, plugin->backend->upsert (plugin->index, &caller, args, &fault), NULL, &fault);
}

static void
search (void *instance, RagifyCall *call, const RagifyTextSearch *args)
{
  const Plugin *plugin = instance;
  RagifyFault fault;
  Asker asker = { .host = plugin->host, .call = call };
  const RagifyTextCaller caller = { .cancelled = is_cancelled, .user = &asker };
  RagifyTextGeneration generation = { .struct_size = sizeof generation };
  plugin->backend->generation (plugin->index, &generation);
  RagifyTextSearch limited = *args;
  if (args->top_k < 1 || args->top_k > 100000) {
    (void)ragify_fault_set (&fault, RAGIFY_E_INVALID, "top_k: expected 1 to 100000, found %u", args->top_k);
    fail (plugin, call, &fault);
    return;
  }
  if (limited.top_k > generation.chunks)
    limited.top_k = (uint32_t)generation.chunks;
  RagifyHit *hits = plugin->host->call_alloc (call, ((uint64_t)limited.top_k + 1) * sizeof *hits);
  RagifyTextSearchResult result = { .struct_size = sizeof result };
  uint32_t found = 0;
  bool ok = hits != NULL || ragify_fault_memory (&fault);
  if (ok && limited.top_k > 0)
    ok = plugin->backend->search (plugin->index, &caller, &limited, hits, &found, &fault);
  result.hits = (RagifyHitList){ .items = hits, .count = found };
  finish (plugin, call, ok, &result, &fault);
}

static void
remove_some (void *instance, RagifyCall *call, const RagifyTextRemove *args)
{
  const Plugin *plugin = instance;
  RagifyFault fault;
  Asker asker = { .host = plugin->host, .call = call };
  const RagifyTextCaller caller = { .cancelled = is_cancelled, .user = &asker };
  finish (plugin, call, plugin->backend->remove (plugin->index, &caller, args, &fault), NULL, &fault);
}

static void
optimize (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  const Plugin *plugin = instance;
  RagifyFault fault;
  finish (plugin, call, plugin->backend->optimize (plugin->index, &fault), NULL, &fault);
}

/* Every change is written when it is answered. */
static void
flush (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  const Plugin *plugin = instance;
  plugin->host->call_done (call, NULL);
}

static void
report_generation (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  const Plugin *plugin = instance;
  RagifyTextGeneration result = { .struct_size = sizeof result };
  plugin->backend->generation (plugin->index, &result);
  plugin->host->call_done (call, &result);
}

const RagifyTextIndexOperations ragify_text_plugin_operations = {
  .struct_size = sizeof ragify_text_plugin_operations,
  .upsert = upsert,
  .search = search,
  .remove = remove_some,
  .optimize = optimize,
  .flush = flush,
  .generation = report_generation,
};
