/* A plugin for the kit's own test: one component of each run class, all of kind ragify.source/1. Each answers `top_k`
 * chunks, partly emitted; the texts "cancel", "late", "twice" and "never" make it wait for a cancellation, complete
 * from another thread, complete two times, and use the call after that. SPDX-License-Identifier: MIT */
#include <ragify/ragify.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct Sample {
  const RagifyHost *host;
  RagifyContext *context;
  const RagifyLoopExtension *loop;
  RagifyTimer *timer;
  RagifyCall *waiting;
  uint64_t ticks;
  uint64_t delay_us;
} Sample;

typedef struct Emission {
  Sample *sample;
  RagifyCall *call;
  uint32_t next;
  uint32_t count;
} Emission;

static void
tick (void *user)
{
  Sample *sample = user;
  sample->ticks++;
}

static int32_t
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  (void)which;
  RagifyStr word = { NULL, 0 };
  if (host->config_string (context, "word", &word) == RAGIFY_OK && word.size == 3 &&
      memcmp (word.data, "bad", 3) == 0) {
    host->set_error (context, ragify_str_from ("word = bad: a better word is expected"));
    return RAGIFY_E_INVALID;
  }
  Sample *sample = calloc (1, sizeof *sample);
  if (sample == NULL)
    return RAGIFY_E_EXHAUSTED;
  sample->host = host;
  sample->context = context;
  sample->loop = host->get_extension (context, RAGIFY_EXT_LOOP);
  host->config_duration (context, "delay", &sample->delay_us);
  *instance = sample;
  return RAGIFY_OK;
}

static void
start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  (void)args;
  Sample *sample = instance;
  if (sample->loop != NULL)
    sample->timer = sample->loop->timer_new (sample->context, 1000, 1000, tick, sample);
  sample->host->call_done (call, NULL);
}

static void
stop (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  (void)args;
  Sample *sample = instance;
  if (sample->timer != NULL)
    sample->loop->timer_remove (sample->timer);
  sample->host->call_done (call, NULL);
}

static void
destroy (void *instance)
{
  free (instance);
}

static void
cancelled (RagifyCall *call, void *user)
{
  Sample *sample = user;
  sample->host->call_fail (call, RAGIFY_E_CANCELLED, ragify_str_from ("cancelled as asked"), 0);
}

static void *
complete_late (void *user)
{
  RagifyCall *call = ((void **)user)[0];
  Sample *sample = ((void **)user)[1];
  free (user);
  sample->host->call_done (call, NULL);
  return NULL;
}

static void
complete_elsewhere (Sample *sample, RagifyCall *call)
{
  void **both = malloc (2 * sizeof *both);
  pthread_t thread;
  both[0] = call;
  both[1] = sample;
  pthread_create (&thread, NULL, complete_late, both);
  pthread_detach (thread);
}

static void
emit_rest (RagifyCall *call, void *user)
{
  Emission *emission = user;
  const RagifyHost *host = emission->sample->host;
  while (emission->next < emission->count) {
    RagifyChunk chunk;
    memset (&chunk, 0, sizeof chunk);
    chunk.struct_size = sizeof chunk;
    chunk.ordinal = emission->next++;
    chunk.content = ragify_str_from ("a passage");
    if (host->call_emit (call, &chunk) == RAGIFY_EMIT_WAIT)
      return;
  }
  RagifySourceResult result;
  memset (&result, 0, sizeof result);
  result.struct_size = sizeof result;
  host->call_done (call, &result);
}

static void
query (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  Sample *sample = instance;
  const RagifyHost *host = sample->host;
  if (args->text.size == 6 && memcmp (args->text.data, "cancel", 6) == 0) {
    host->call_on_cancel (call, cancelled, sample);
    return;
  }
  if (args->text.size == 4 && memcmp (args->text.data, "late", 4) == 0) {
    complete_elsewhere (sample, call);
    return;
  }
  if (args->text.size == 5 && memcmp (args->text.data, "twice", 5) == 0) {
    host->call_done (call, NULL);
    host->call_fail (call, RAGIFY_E_INTERNAL, ragify_str_from ("again"), 0);
    return;
  }
  Emission *emission = host->call_alloc (call, sizeof *emission);
  emission->sample = sample;
  emission->call = call;
  emission->count = args->top_k;
  host->call_on_credit (call, emit_rest, emission);
  emit_rest (call, emission);
}

static void
stats (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  (void)args;
  Sample *sample = instance;
  RagifyPair *pair = sample->host->call_alloc (call, sizeof *pair);
  pair->name = ragify_str_from ("ticks");
  pair->value.type = RAGIFY_VALUE_INT;
  pair->value.integer = (int64_t)sample->ticks;
  RagifyStatsResult result = { .struct_size = sizeof result, .values = { pair, 1 } };
  sample->host->call_done (call, &result);
}

static void
reconfigure (void *instance, RagifyCall *call, const RagifyReconfigure *args)
{
  (void)args;
  Sample *sample = instance;
  uint64_t delay = 0;
  sample->host->config_duration (sample->context, "delay", &delay);
  if (delay > 1000000) {
    sample->host->call_fail (call, RAGIFY_E_INVALID, ragify_str_from ("delay: too long"), 0);
    return;
  }
  sample->delay_us = delay;
  sample->host->call_done (call, NULL);
}

static const RagifyKey keys[] = {
  { .name = "word", .type = RAGIFY_KEY_STRING, .summary = "Any word but bad." },
  { .name = "delay",
    .type = RAGIFY_KEY_DURATION,
    .flags = RAGIFY_KEY_RELOADABLE,
    .default_value = "10ms",
    .maximum = "1h",
    .summary = "A duration." },
  { .name = "mode", .type = RAGIFY_KEY_ENUM, .default_value = "a", .choices = "a|bc", .summary = "A choice." },
  { .name = "room", .type = RAGIFY_KEY_SIZE, .default_value = "1MiB", .minimum = "1KiB", .summary = "A size." },
};

static const RagifySourceOperations operations = { .struct_size = sizeof operations, .query = query };

static const RagifyComponent on_loop = {
  .struct_size = sizeof on_loop,
  .kind = RAGIFY_KIND_SOURCE,
  .name = "on-loop",
  .summary = "A source on a loop.",
  .run_class = RAGIFY_RUN_LOOP,
  .schema = { keys, sizeof keys / sizeof keys[0], sizeof keys[0] },
  .operations = &operations,
  .create = create,
  .start = start,
  .stop = stop,
  .destroy = destroy,
  .reconfigure = reconfigure,
  .stats = stats,
};

static const RagifyComponent on_workers = {
  .struct_size = sizeof on_workers,
  .kind = RAGIFY_KIND_SOURCE,
  .name = "on-workers",
  .summary = "A source on the worker pool.",
  .run_class = RAGIFY_RUN_WORKER,
  .max_parallel = 2,
  .schema = { keys, sizeof keys / sizeof keys[0], sizeof keys[0] },
  .operations = &operations,
  .create = create,
  .start = start,
  .stop = stop,
  .destroy = destroy,
};

static const RagifyComponent shared = {
  .struct_size = sizeof shared,
  .kind = RAGIFY_KIND_SOURCE,
  .name = "shared",
  .summary = "A source on any thread.",
  .run_class = RAGIFY_RUN_SHARED,
  .schema = { keys, sizeof keys / sizeof keys[0], sizeof keys[0] },
  .operations = &operations,
  .create = create,
  .start = start,
  .stop = stop,
  .destroy = destroy,
};

static const RagifyComponent *const components[] = { &on_loop, &on_workers, &shared, NULL };

static const RagifyPlugin plugin = {
  .magic = RAGIFY_PLUGIN_MAGIC,
  .abi_major = RAGIFY_ABI_MAJOR,
  .abi_minor_needed = RAGIFY_NEEDS_MINOR,
  .struct_size = sizeof plugin,
  .id = "org.ragify.test.kit-sample",
  .version = "1",
  .licence = "MIT",
  .summary = "One source of each run class.",
  .url = "",
  .components = components,
};

const RagifyPlugin *
ragify_plugin_query (void)
{
  return &plugin;
}
