/*
 * The plugin: component `local` of kind ragify.embedder/1, on the worker pool, over the encoder in this folder.
 *
 * SPDX-License-Identifier: MIT
 */
#include "encoder-error.h"
#include "encoder.h"

#include <ragify/ragify.h>

#include <stdatomic.h>
#include <string.h>

enum {
  MAX_PARALLEL = 64, /* more threads than any pool has: an encoder takes as many as there are */
  MAX_BATCH = 64,    /* texts of a call; at 14 ms for a passage, a call stays below a second on one core */
  MAX_TOKENS = 65536,
};

typedef struct {
  const RagifyHost *host;
  char *folder;
  char *precision;
  char *kernel;
  gsize max_tokens;
  RagifyEncoder *encoder; /* from start to destroy */
  atomic_uint_fast64_t texts;
  atomic_uint_fast64_t truncated;
} Embedder;

/* Whether a call's answer is still wanted. */
typedef struct {
  const RagifyHost *host;
  RagifyCall *call;
} Wanted;

static const RagifyKey keys[] = {
  {
      .name = "model",
      .type = RAGIFY_KEY_STRING,
      .default_value = "fast",
      .summary =
          "The model: the name of a folder in models-dir (fast, balanced, accurate), or a path with a '/' in it.",
  },
  {
      .name = "models-dir",
      .type = RAGIFY_KEY_PATH,
      .default_value = RAGIFY_MODELS_DIR,
      .summary = "The directory in which models are looked up by name.",
  },
  {
      .name = "precision",
      .type = RAGIFY_KEY_ENUM,
      .default_value = "auto",
      .choices = "auto|bf16|fp32",
      .summary = "How numbers are multiplied; auto is the fastest that the CPU has, within 0.0001 of exact in cosine.",
  },
  {
      .name = "kernel",
      .type = RAGIFY_KEY_ENUM,
      .default_value = "auto",
      .choices = "auto|avx512bf16|avx512f|avx2|portable",
      .summary = "The instructions to use, for tests and comparisons; auto is the best that the CPU has.",
  },
  {
      .name = "max-tokens",
      .type = RAGIFY_KEY_INT,
      .default_value = "0",
      .unit = "tokens",
      .minimum = "0",
      .maximum = "65536",
      .summary =
          "A lower limit for the tokens of a text than the model's, special ones included; 0 is the model's own.",
  },
};

/* --- errors --- */

static int32_t
code_of (const GError *error)
{
  switch (error->code) {
  case RAGIFY_ENCODER_ERROR_FILE:
    return RAGIFY_E_NOT_FOUND;
  case RAGIFY_ENCODER_ERROR_MEMORY:
    return RAGIFY_E_EXHAUSTED;
  case RAGIFY_ENCODER_ERROR_CANCELLED:
    return RAGIFY_E_CANCELLED;
  default:
    return RAGIFY_E_INVALID;
  }
}

static void
fail (const Embedder *self, RagifyCall *call, int32_t code, const char *message)
{
  self->host->call_fail (call, code, ragify_str_from (message), 0);
}

static void
fail_exhausted (const Embedder *self, RagifyCall *call)
{
  fail (self, call, RAGIFY_E_EXHAUSTED, "no memory is left for the answer");
}

/* --- life --- */

static char *
get_text (const RagifyHost *host, RagifyContext *context, const char *key)
{
  RagifyStr value = { 0 };

  host->config_string (context, key, &value);
  return g_strndup (value.data == NULL ? "" : value.data, value.size);
}

static int32_t
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  g_autofree char *model = get_text (host, context, "model");
  g_autofree char *directory = get_text (host, context, "models-dir");
  int64_t max_tokens = 0;
  Embedder *self;

  host->config_int (context, "max-tokens", &max_tokens);
  if (*model == '\0' || (max_tokens != 0 && (max_tokens < 3 || max_tokens > MAX_TOKENS))) {
    host->set_error (context, ragify_str_from (*model == '\0' ? "model: expected a name or a path, found nothing"
                                                              : "max-tokens: expected 0, or from 3 to 65536"));
    return RAGIFY_E_INVALID;
  }
  self = g_new0 (Embedder, 1);
  self->host = host;
  self->folder = strchr (model, G_DIR_SEPARATOR) != NULL ? g_strdup (model) : g_build_filename (directory, model, NULL);
  self->precision = get_text (host, context, "precision");
  self->kernel = get_text (host, context, "kernel");
  self->max_tokens = (gsize)max_tokens;
  *instance = self;
  return RAGIFY_OK;
}

static void
fail_missing (const Embedder *self, RagifyCall *call)
{
  g_autofree char *message = g_strdup_printf (
      "%s: expected a model's folder, found none; tools/fetch-model fetches one, or say where it is with models-dir "
      "and model",
      self->folder);

  fail (self, call, RAGIFY_E_NOT_FOUND, message);
}

static void
start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  Embedder *const self = instance;
  const RagifyEncoderOptions options = {
    .precision = self->precision,
    .kernel = self->kernel,
    .max_tokens = self->max_tokens,
  };
  g_autoptr (GError) error = NULL;

  if (!g_file_test (self->folder, G_FILE_TEST_IS_DIR)) {
    fail_missing (self, call);
    return;
  }
  g_clear_pointer (&self->encoder, ragify_encoder_free);
  self->encoder = ragify_encoder_open (self->folder, &options, &error);
  if (self->encoder == NULL)
    fail (self, call, code_of (error), error->message);
  else
    self->host->call_done (call, NULL);
}

static void
destroy (void *instance)
{
  Embedder *const self = instance;

  g_clear_pointer (&self->encoder, ragify_encoder_free);
  g_free (self->folder);
  g_free (self->precision);
  g_free (self->kernel);
  g_free (self);
}

/* --- operations --- */

static void
describe (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  const Embedder *const self = instance;
  const RagifyEmbedderInfo info = {
    .struct_size = sizeof info,
    .dimension = (uint32_t)ragify_encoder_get_dimension (self->encoder),
    .token_limit = (uint32_t)ragify_encoder_get_max_tokens (self->encoder),
    .max_batch = MAX_BATCH,
    .fingerprint = ragify_str_from (ragify_encoder_get_fingerprint (self->encoder)),
  };

  self->host->call_done (call, &info);
}

static void
tokenize (void *instance, RagifyCall *call, const RagifyEmbedderTokenize *args)
{
  const Embedder *const self = instance;
  uint32_t *const counts = self->host->call_alloc (call, MAX (args->texts.count, 1) * sizeof *counts);
  RagifyEmbedderTokenizeResult result = { .struct_size = sizeof result };

  if (counts == NULL) {
    fail_exhausted (self, call);
    return;
  }
  for (uint64_t i = 0; i < args->texts.count; i++) {
    const RagifyStr text = args->texts.items[i];

    counts[i] = (uint32_t)ragify_encoder_count_tokens (self->encoder, text.data, text.size);
  }
  result.counts = (RagifyU32List){ .items = counts, .count = args->texts.count };
  self->host->call_done (call, &result);
}

static gboolean
is_unwanted (gpointer user)
{
  const Wanted *const wanted = user;

  return wanted->host->call_cancelled (wanted->call) != 0 ||
         wanted->host->clock_us () >= wanted->host->call_deadline_us (wanted->call);
}

static void
fail_embedding (const Embedder *self, RagifyCall *call, const GError *error)
{
  if (g_error_matches (error, RAGIFY_ENCODER_ERROR, RAGIFY_ENCODER_ERROR_CANCELLED) &&
      self->host->call_cancelled (call) == 0)
    fail (self, call, RAGIFY_E_TIMEOUT, "the deadline passed before all texts were embedded");
  else
    fail (self, call, code_of (error), error->message);
}

static RagifyText *
copy_texts (const RagifyStrList *list)
{
  RagifyText *const texts = g_new (RagifyText, list->count);

  for (uint64_t i = 0; i < list->count; i++)
    texts[i] = (RagifyText){ .data = list->items[i].data, .size = list->items[i].size };
  return texts;
}

static void
embed (void *instance, RagifyCall *call, const RagifyEmbedderEmbed *args)
{
  Embedder *const self = instance;
  const uint64_t count = args->texts.count;
  const uint64_t dimension = ragify_encoder_get_dimension (self->encoder);
  float *const vectors = self->host->call_alloc (call, MAX (count, 1) * dimension * sizeof *vectors);
  g_autofree RagifyText *texts = copy_texts (&args->texts);
  Wanted wanted = { .host = self->host, .call = call };
  RagifyEmbedderEmbedResult result = { .struct_size = sizeof result };
  gsize truncated = 0;
  g_autoptr (GError) error = NULL;

  if (vectors == NULL) {
    fail_exhausted (self, call);
    return;
  }
  if (!ragify_encoder_embed (self->encoder, texts, count, is_unwanted, &wanted, vectors, &truncated, &error)) {
    fail_embedding (self, call, error);
    return;
  }
  atomic_fetch_add_explicit (&self->texts, count, memory_order_relaxed);
  atomic_fetch_add_explicit (&self->truncated, truncated, memory_order_relaxed);
  result.truncated = (uint32_t)truncated;
  result.vectors = (RagifyVectors){ .items = vectors, .count = (uint32_t)count, .dimension = (uint32_t)dimension };
  self->host->call_done (call, &result);
}

/* A real embedding of one word. */
static void
probe (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  const Embedder *const self = instance;
  const RagifyText text = { .data = "probe", .size = 5 };
  g_autofree float *vector = g_new (float, ragify_encoder_get_dimension (self->encoder));
  RagifyProbeResult result = { .struct_size = sizeof result };
  g_autoptr (GError) error = NULL;

  if (!ragify_encoder_embed (self->encoder, &text, 1, NULL, NULL, vector, NULL, &error)) {
    fail (self, call, code_of (error), error->message);
    return;
  }
  result.detail = ragify_str_from (ragify_encoder_get_kernel (self->encoder));
  self->host->call_done (call, &result);
}

static RagifyPair
make_count (const char *name, uint64_t count)
{
  return (RagifyPair){
    .name = ragify_str_from (name),
    .value = { .type = RAGIFY_VALUE_INT, .integer = (int64_t)count },
  };
}

static RagifyPair
make_text (const char *name, const char *text)
{
  return (RagifyPair){
    .name = ragify_str_from (name),
    .value = { .type = RAGIFY_VALUE_STRING, .string = ragify_str_from (text) },
  };
}

static void
stats (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  Embedder *const self = instance;
  const RagifyPair pairs[] = {
    make_text ("kernel", ragify_encoder_get_kernel (self->encoder)),
    make_text ("precision", ragify_encoder_get_precision (self->encoder)),
    make_count ("texts", atomic_load_explicit (&self->texts, memory_order_relaxed)),
    make_count ("truncated", atomic_load_explicit (&self->truncated, memory_order_relaxed)),
  };
  RagifyPair *const copy = self->host->call_alloc (call, sizeof pairs);
  RagifyStatsResult result = { .struct_size = sizeof result };

  if (copy == NULL) {
    fail_exhausted (self, call);
    return;
  }
  memcpy (copy, pairs, sizeof pairs);
  result.values = (RagifyPairList){ .items = copy, .count = G_N_ELEMENTS (pairs) };
  self->host->call_done (call, &result);
}

/* --- what the host sees --- */

static const RagifyEmbedderOperations operations = {
  .struct_size = sizeof operations,
  .describe = describe,
  .tokenize = tokenize,
  .embed = embed,
};

static const RagifyComponent component = {
  .struct_size = sizeof component,
  .kind = RAGIFY_KIND_EMBEDDER,
  .name = "local",
  .summary = "Embeds texts on this machine's CPU with a BERT or MPNet sentence encoder.",
  .run_class = RAGIFY_RUN_WORKER,
  .max_parallel = MAX_PARALLEL,
  .schema = { .keys = keys, .count = G_N_ELEMENTS (keys), .stride = sizeof keys[0] },
  .operations = &operations,
  .create = create,
  .start = start,
  .destroy = destroy,
  .probe = probe,
  .stats = stats,
};

static const RagifyComponent *const components[] = { &component, NULL };

static const RagifyPlugin plugin = {
  .magic = RAGIFY_PLUGIN_MAGIC,
  .abi_major = RAGIFY_ABI_MAJOR,
  .abi_minor_needed = RAGIFY_NEEDS_MINOR,
  .struct_size = sizeof plugin,
  .id = "org.ragify.embed-local",
  .version = RAGIFY_VERSION,
  .licence = "MIT",
  .summary = "Sentence embeddings by an encoder of its own.",
  .url = "",
  .components = components,
};

const RagifyPlugin *
ragify_plugin_query (void)
{
  return &plugin;
}
