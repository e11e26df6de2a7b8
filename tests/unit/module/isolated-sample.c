/* A plugin that is told how to misbehave by what it is asked: one source of each run class, and one component of kinds
 * whose calls carry something that others do not (buffers, streams, ranks). SPDX-License-Identifier: MIT */
#include <ragify/ragify.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

typedef struct Sample {
  const RagifyHost *host;
  RagifyContext *context;
  const RagifyMetricsExtension *metrics;
  RagifyMetric *asked;
  char word[64];
  RagifyBuffer *value;
} Sample;

static void
read_word (Sample *sample)
{
  RagifyStr word = { NULL, 0 };
  sample->host->config_string (sample->context, "word", &word);
  snprintf (sample->word, sizeof sample->word, "%.*s", (int)word.size, word.size > 0 ? word.data : "");
}

static int32_t
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  (void)which;
  Sample *sample = calloc (1, sizeof *sample);
  if (sample == NULL)
    return RAGIFY_E_EXHAUSTED;
  sample->host = host;
  sample->context = context;
  read_word (sample);
  if (strcmp (sample->word, "refuse") == 0) {
    host->set_error (context, ragify_str_from ("no such word"));
    free (sample);
    return RAGIFY_E_INVALID;
  }
  sample->metrics = host->get_extension (context, RAGIFY_EXT_METRICS);
  sample->asked = sample->metrics->metric_new (context, RAGIFY_METRIC_COUNTER, "sample_asked", "How often.");
  *instance = sample;
  return RAGIFY_OK;
}

static void
start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  Sample *sample = instance;
  (void)args;
  if (strcmp (sample->word, "never") == 0)
    sample->host->call_fail (call, RAGIFY_E_UNAUTHORIZED, ragify_str_from ("the door is locked"), 0);
  else
    sample->host->call_done (call, NULL);
}

static void
stop (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  Sample *sample = instance;
  (void)args;
  sample->host->log (sample->context, RAGIFY_LOG_WARNING, ragify_str_from ("stopped in order"));
  sample->host->call_done (call, NULL);
}

static void
destroy (void *instance)
{
  Sample *sample = instance;
  if (sample->value != NULL)
    sample->value->unref (sample->value);
  free (sample);
}

static void
reconfigure (void *instance, RagifyCall *call, const RagifyReconfigure *args)
{
  Sample *sample = instance;
  (void)args;
  read_word (sample);
  sample->host->call_done (call, NULL);
}

static void
probe (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  Sample *sample = instance;
  (void)args;
  RagifyProbeResult result = { .struct_size = sizeof result };
  result.detail = ragify_str_from (sample->word);
  sample->host->call_done (call, &result);
}

/* ---- source ---- */

static int
is (RagifyStr text, const char *word)
{
  return text.size >= strlen (word) && memcmp (text.data, word, strlen (word)) == 0;
}

static void
answer (Sample *sample, RagifyCall *call, const char *content)
{
  RagifySourceResult result = { .struct_size = sizeof result };
  RagifyChunk *chunk = sample->host->call_alloc (call, sizeof *chunk);
  char *copy = sample->host->call_alloc (call, strlen (content) + 1);
  memcpy (copy, content, strlen (content));
  chunk->struct_size = sizeof *chunk;
  chunk->content = ragify_str_from (copy);
  result.chunks = (RagifyChunkList){ .items = chunk, .count = 1, .stride = sizeof *chunk };
  sample->host->call_done (call, &result);
}

/* This process, its parent, and how many variables of the environment are secrets. */
static void
describe_process (char *text, size_t size)
{
  int secrets = 0;
  for (char **variable = environ; *variable != NULL; variable++)
    secrets += strstr (*variable, "SECRET") != NULL;
  snprintf (text, size, "%d %d %d", (int)getpid (), (int)getppid (), secrets);
}

#if defined(__SANITIZE_THREAD__)
__attribute__ ((no_sanitize ("thread")))
#endif
static void
scribble (void)
{
  FILE *maps = fopen ("/proc/self/maps", "r");
  char line[512];
  unsigned long begin = 0, end = 0;
  while (maps != NULL && fgets (line, sizeof line, maps) != NULL)
    if (strstr (line, "memfd:ragify-plugin") != NULL && sscanf (line, "%lx-%lx", &begin, &end) == 2)
      for (volatile char *at = (char *)begin; at < (char *)end; at++)
        *at = (char)0xa5;
  if (maps != NULL)
    fclose (maps);
}

static void
grow (void)
{
  for (int i = 0; i < 64; i++) {
    char *memory = malloc (16 << 20);
    if (memory != NULL)
      memset (memory, 1, 16 << 20);
  }
  for (;;)
    sleep (1);
}

typedef struct Emission {
  Sample *sample;
  RagifyCall *call;
  uint32_t next, count;
} Emission;

static void
emit_on (RagifyCall *call, void *user)
{
  Emission *emission = user;
  const RagifyHost *host = emission->sample->host;
  while (emission->next < emission->count) {
    RagifyChunk chunk = { .struct_size = sizeof chunk, .ordinal = emission->next++ };
    char *text = host->call_alloc (call, 32);
    snprintf (text, 32, "passage %u", emission->next - 1);
    chunk.content = ragify_str_from (text);
    if (host->call_emit (call, &chunk) == RAGIFY_EMIT_WAIT)
      return;
  }
  const RagifySourceResult result = { .struct_size = sizeof result };
  free (emission);
  host->call_done (call, &result);
}

static void
emit (Sample *sample, RagifyCall *call, uint32_t count)
{
  Emission *emission = calloc (1, sizeof *emission);
  *emission = (Emission){ .sample = sample, .call = call, .count = count };
  sample->host->call_on_credit (call, emit_on, emission);
  emit_on (call, emission);
}

static void
cancelled (RagifyCall *call, void *user)
{
  Sample *sample = user;
  sample->host->call_fail (call, RAGIFY_E_CANCELLED, ragify_str_from ("as asked"), 0);
}

static void
query (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  Sample *sample = instance;
  char text[256];
  sample->metrics->add (sample->asked, 1);
  if (is (args->text, "crash")) {
    signal (SIGSEGV, SIG_DFL);
    raise (SIGSEGV);
  } else if (is (args->text, "exit")) {
    _exit (3);
  } else if (is (args->text, "hang")) {
    for (;;)
      sleep (1);
  } else if (is (args->text, "forget")) {
    return;
  } else if (is (args->text, "grow")) {
    grow ();
  } else if (is (args->text, "scribble")) {
    scribble ();
    answer (sample, call, "scribbled");
  } else if (is (args->text, "emit")) {
    emit (sample, call, args->top_k);
  } else if (is (args->text, "wait")) {
    sample->host->call_on_cancel (call, cancelled, sample);
  } else if (is (args->text, "fail")) {
    sample->host->call_fail (call, RAGIFY_E_EXHAUSTED, ragify_str_from ("not today"), 1234567);
  } else if (is (args->text, "process")) {
    describe_process (text, sizeof text);
    answer (sample, call, text);
  } else {
    snprintf (text, sizeof text, "%s: %.*s", sample->word, (int)args->text.size, args->text.data);
    answer (sample, call, text);
  }
}

/* ---- cache ---- */

static void
cache_get (void *instance, RagifyCall *call, const RagifyCacheGet *args)
{
  Sample *sample = instance;
  (void)args;
  RagifyCacheGetResult result = { .struct_size = sizeof result, .value = sample->value, .ttl_us = 7 };
  if (result.value != NULL)
    result.value->ref (result.value);
  sample->host->call_done (call, &result);
}

static void
cache_set (void *instance, RagifyCall *call, const RagifyCacheSet *args)
{
  Sample *sample = instance;
  RagifyBuffer *old = sample->value;
  args->value->ref (args->value);
  sample->value = args->value;
  if (old != NULL)
    old->unref (old);
  sample->host->call_done (call, NULL);
}

static void
cache_remove (void *instance, RagifyCall *call, const RagifyCacheRemove *args)
{
  Sample *sample = instance;
  const RagifyCacheCount count = { .struct_size = sizeof count, .count = args->key.size };
  sample->host->call_done (call, &count);
}

static void
cache_clear (void *instance, RagifyCall *call, const RagifyCacheClear *args)
{
  Sample *sample = instance;
  const RagifyCacheCount count = { .struct_size = sizeof count, .count = args->target_bytes };
  sample->host->call_done (call, &count);
}

/* ---- extractor ---- */

static void
accepts (void *instance, RagifyCall *call, const RagifyExtractorAccepts *args)
{
  Sample *sample = instance;
  const RagifyExtractorAcceptsResult result = { .struct_size = sizeof result, .confidence = (uint32_t)args->head.size };
  sample->host->call_done (call, &result);
}

static void
extract (void *instance, RagifyCall *call, const RagifyExtractorExtract *args)
{
  Sample *sample = instance;
  uint64_t total = 0, sum = 0;
  uint8_t bytes[5000];
  for (;;) {
    const int64_t got = sample->host->stream_read (args->stream, bytes, sizeof bytes);
    if (got < 0) {
      sample->host->call_fail (call, (int32_t)-got, ragify_str_from ("the stream failed"), 0);
      return;
    }
    if (got == 0)
      break;
    total += (uint64_t)got;
    for (int64_t i = 0; i < got; i++)
      sum += bytes[i];
  }
  char *text = sample->host->call_alloc (call, 64);
  snprintf (text, 64, "%llu bytes, sum %llu", (unsigned long long)total, (unsigned long long)sum);
  RagifyPiece piece = { .struct_size = sizeof piece, .type = RAGIFY_PIECE_PARAGRAPH, .begin = 0, .end = total };
  piece.text = ragify_str_from (text);
  sample->host->call_emit (call, &piece);
  RagifyExtractorExtractResult result = { .struct_size = sizeof result };
  result.title = ragify_str_from ("whole");
  sample->host->call_done (call, &result);
}

/* ---- reranker ---- */

static void
rerank (void *instance, RagifyCall *call, const RagifyRerank *args)
{
  Sample *sample = instance;
  RagifyRank *ranks = sample->host->call_alloc (call, args->chunks.count * sizeof *ranks);
  for (uint32_t i = 0; i < args->chunks.count; i++) {
    const RagifyChunk *chunk =
        (const RagifyChunk *)((const char *)args->chunks.items + (size_t)i * args->chunks.stride);
    ranks[i] = (RagifyRank){ .index = i, .score = chunk->content.size / 100.0f };
  }
  const RagifyRerankResult result = { .struct_size = sizeof result, .ranks = { ranks, args->chunks.count } };
  sample->host->call_done (call, &result);
}

static const RagifyKey keys[] = {
  { .name = "word", .type = RAGIFY_KEY_STRING, .flags = RAGIFY_KEY_RELOADABLE, .summary = "A word." },
};
static const RagifySourceOperations source_operations = { .struct_size = sizeof source_operations, .query = query };
static const RagifyCacheOperations cache_operations = { .struct_size = sizeof cache_operations,
                                                        .get = cache_get,
                                                        .set = cache_set,
                                                        .remove = cache_remove,
                                                        .clear = cache_clear };
static const RagifyExtractorOperations extractor_operations = { .struct_size = sizeof extractor_operations,
                                                                .accepts = accepts,
                                                                .extract = extract };
static const RagifyRerankerOperations reranker_operations = { .struct_size = sizeof reranker_operations,
                                                              .rerank = rerank };

#define COMPONENT(variable, kind_id, name_text, class, vtable)                                                         \
  static const RagifyComponent variable = {                                                                            \
    .struct_size = sizeof variable,                                                                                    \
    .kind = kind_id,                                                                                                   \
    .name = name_text,                                                                                                 \
    .summary = "Does as it is told.",                                                                                  \
    .run_class = class,                                                                                                \
    .max_parallel = 4,                                                                                                 \
    .schema = { .keys = keys, .count = 1, .stride = sizeof keys[0] },                                                  \
    .operations = &(vtable),                                                                                           \
    .create = create,                                                                                                  \
    .start = start,                                                                                                    \
    .stop = stop,                                                                                                      \
    .destroy = destroy,                                                                                                \
    .probe = probe,                                                                                                    \
    .reconfigure = reconfigure,                                                                                        \
  }

COMPONENT (on_any, RAGIFY_KIND_SOURCE, "told-shared", RAGIFY_RUN_SHARED, source_operations);
COMPONENT (on_loop, RAGIFY_KIND_SOURCE, "told-loop", RAGIFY_RUN_LOOP, source_operations);
COMPONENT (on_worker, RAGIFY_KIND_SOURCE, "told-worker", RAGIFY_RUN_WORKER, source_operations);
COMPONENT (one_value, RAGIFY_KIND_CACHE, "one-value", RAGIFY_RUN_WORKER, cache_operations);
COMPONENT (summing, RAGIFY_KIND_EXTRACTOR, "summing", RAGIFY_RUN_WORKER, extractor_operations);
COMPONENT (by_length, RAGIFY_KIND_RERANKER, "by-length", RAGIFY_RUN_SHARED, reranker_operations);

static const RagifyComponent *const components[] = { &on_any,  &on_loop,   &on_worker, &one_value,
                                                     &summing, &by_length, NULL };

static const RagifyPlugin plugin = {
  .magic = RAGIFY_PLUGIN_MAGIC,
  .abi_major = RAGIFY_ABI_MAJOR,
  .abi_minor_needed = RAGIFY_NEEDS_MINOR,
  .struct_size = sizeof plugin,
  .id = "org.ragify.test.isolated-sample",
  .version = "1",
  .licence = "MIT",
  .summary = "Does as it is told.",
  .url = "",
  .components = components,
};

const RagifyPlugin *
ragify_plugin_query (void)
{
  return &plugin;
}
