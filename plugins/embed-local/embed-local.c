/*
 * The plugin: component `local` of kind ragify.embedder/1, on the worker pool, over the encoder in plugins/encoder.
 *
 * SPDX-License-Identifier: MIT
 */
#include "encoder.h"
#include "local-model.h"
#include "model-prompts.h"
#include "settings.h"

#include <stdatomic.h>
#include <string.h>

enum {
  MAX_BATCH = 64, /* texts or windows of a call; at 14 ms for a passage, a call stays below a second on one core */
  MIN_TOKENS = 3, /* of a limit: the special ones, and one */
};

typedef struct {
  RagifyLocalModel model;
  RagifyModelPrompts prefixes; /* as configured; from start on with the model's own where nothing is configured */
  gsize max_windows;
  RagifyEncoder *encoder; /* from start to destroy */
  char *fingerprint;
  gsize token_limit;
  atomic_uint_fast64_t texts;
  atomic_uint_fast64_t truncated;
  atomic_uint_fast64_t windowed;
} Embedder;

static const RagifyKey keys[] = {
  {
      .name = "model",
      .type = RAGIFY_KEY_STRING,
      .summary = "The model: the name of a folder in models-dir (fast, balanced, accurate), or a path with a '/' in "
                 "it. Not set: as `select` says.",
  },
  {
      .name = "select",
      .type = RAGIFY_KEY_ENUM,
      .default_value = "speed",
      .choices = "speed|balanced|accuracy",
      .summary = "What is wanted, where `model` is not set: speed is the model fast, balanced is balanced, accuracy is "
                 "accurate.",
  },
#include "local-model-keys.inc.h"
  {
      .name = "long-texts",
      .type = RAGIFY_KEY_ENUM,
      .default_value = "cut",
      .choices = "cut|windows",
      .summary = "Texts with more tokens than the limit. cut: their end does not count. windows: they are embedded in "
                 "overlapping windows, whose mean is the vector.",
  },
  {
      .name = "max-windows",
      .type = RAGIFY_KEY_INT,
      .default_value = "32",
      .minimum = "2",
      .maximum = "1024",
      .summary = "Of one text; what is beyond them does not count.",
  },
  {
      .name = "query-prefix",
      .type = RAGIFY_KEY_STRING,
      .summary = "Put before queries, as the model was trained, such as \"query: \". Not set: what the model's folder "
                 "says in config_sentence_transformers.json.",
  },
  {
      .name = "document-prefix",
      .type = RAGIFY_KEY_STRING,
      .summary = "The same for passages, such as \"passage: \".",
  },
};

/* --- life --- */

static void
destroy (void *instance)
{
  Embedder *const self = instance;

  g_clear_pointer (&self->encoder, ragify_encoder_free);
  ragify_local_model_clear (&self->model);
  ragify_model_prompts_clear (&self->prefixes);
  g_free (self->fingerprint);
  g_free (self);
}

/* A prefix that is configured as nothing is none; one that is not configured is the model's. */
static char *
get_prefix (const RagifyHost *host, RagifyContext *context, const char *key)
{
  const RagifyStr value = ragify_setting_str (host, context, key);

  return value.data == NULL ? NULL : g_strndup (value.data, value.size);
}

static char *
choose_model (const RagifyHost *host, RagifyContext *context)
{
  g_autofree char *wanted = ragify_setting_text (host, context, "select");
  char *const model = ragify_setting_optional (host, context, "model");

  if (model != NULL)
    return model;
  return g_strdup (strcmp (wanted, "accuracy") == 0   ? "accurate"
                   : strcmp (wanted, "balanced") == 0 ? "balanced"
                                                      : "fast");
}

static int32_t
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  g_autofree char *name = choose_model (host, context);
  g_autofree char *long_texts = ragify_setting_text (host, context, "long-texts");
  Embedder *const self = g_new0 (Embedder, 1);

  if (!ragify_local_model_configure (&self->model, host, context, name, MIN_TOKENS)) {
    destroy (self);
    return RAGIFY_E_INVALID;
  }
  self->prefixes.query = get_prefix (host, context, "query-prefix");
  self->prefixes.document = get_prefix (host, context, "document-prefix");
  if (strcmp (long_texts, "windows") == 0)
    self->max_windows = (gsize)ragify_setting_int (host, context, "max-windows");
  *instance = self;
  return RAGIFY_OK;
}

static gboolean
take_prompts (Embedder *self, GError **error)
{
  RagifyModelPrompts own = { NULL, NULL };

  if (!ragify_model_prompts_read (self->model.folder, &own, error))
    return FALSE;
  if (self->prefixes.query == NULL)
    self->prefixes.query = g_steal_pointer (&own.query);
  if (self->prefixes.document == NULL)
    self->prefixes.document = g_steal_pointer (&own.document);
  ragify_model_prompts_clear (&own);
  return TRUE;
}

/* Vectors of texts with prefixes are not to be compared with those of texts without, or with others. */
static char *
make_fingerprint (const Embedder *self)
{
  const char *const query = self->prefixes.query == NULL ? "" : self->prefixes.query;
  const char *const document = self->prefixes.document == NULL ? "" : self->prefixes.document;
  g_autofree char *both = g_strconcat (query, "\n", document, NULL);
  g_autofree char *digest = g_compute_checksum_for_string (G_CHECKSUM_SHA256, both, -1);

  if (*query == '\0' && *document == '\0')
    return g_strdup (ragify_encoder_get_fingerprint (self->encoder));
  return g_strdup_printf ("%s-prefixes-%.16s", ragify_encoder_get_fingerprint (self->encoder), digest);
}

/* What a prefix takes is not there for the text. */
static gsize
find_token_limit (const Embedder *self)
{
  const char *const prefix = self->prefixes.document == NULL ? "" : self->prefixes.document;
  const gsize taken = ragify_encoder_count_tokens (self->encoder, prefix, strlen (prefix));
  const gsize limit = ragify_encoder_get_max_tokens (self->encoder);

  return limit > taken + MIN_TOKENS ? limit - taken : MIN_TOKENS;
}

static void
start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  Embedder *const self = instance;
  const RagifyEncoderOptions options = {
    .precision = self->model.precision,
    .kernel = self->model.kernel,
    .max_tokens = self->model.max_tokens,
    .max_windows = self->max_windows,
  };
  g_autoptr (GError) error = NULL;

  if (!ragify_local_model_find (&self->model, call))
    return;
  g_clear_pointer (&self->encoder, ragify_encoder_free);
  if (take_prompts (self, &error))
    self->encoder = ragify_encoder_open (self->model.folder, &options, &error);
  if (self->encoder == NULL) {
    ragify_local_model_fail (&self->model, call, error);
    return;
  }
  g_free (self->fingerprint);
  self->fingerprint = make_fingerprint (self);
  self->token_limit = find_token_limit (self);
  self->model.host->call_done (call, NULL);
}

/* --- operations --- */

static void
describe (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  const Embedder *const self = instance;
  const RagifyEmbedderInfo info = {
    .struct_size = sizeof info,
    .dimension = (uint32_t)ragify_encoder_get_dimension (self->encoder),
    .token_limit = (uint32_t)self->token_limit,
    .max_batch = (uint32_t)(self->max_windows > 1 ? MAX (MAX_BATCH / self->max_windows, 1) : MAX_BATCH),
    .fingerprint = ragify_str_from (self->fingerprint),
  };

  self->model.host->call_done (call, &info);
}

static void
tokenize (void *instance, RagifyCall *call, const RagifyEmbedderTokenize *args)
{
  const Embedder *const self = instance;
  uint32_t *const counts = self->model.host->call_alloc (call, MAX (args->texts.count, 1) * sizeof *counts);
  RagifyEmbedderTokenizeResult result = { .struct_size = sizeof result };

  if (counts == NULL) {
    ragify_local_model_fail_memory (&self->model, call);
    return;
  }
  for (uint64_t i = 0; i < args->texts.count; i++) {
    const RagifyStr text = args->texts.items[i];

    counts[i] = (uint32_t)ragify_encoder_count_tokens (self->encoder, text.data, text.size);
  }
  result.counts = (RagifyU32List){ .items = counts, .count = args->texts.count };
  self->model.host->call_done (call, &result);
}

/* The texts of a call, each behind the prefix; `joined` keeps what had to be made for that. */
static RagifyText *
prepare_texts (const RagifyStrList *list, const char *prefix, GPtrArray *joined)
{
  RagifyText *const texts = g_new (RagifyText, list->count);
  const gsize length = prefix == NULL ? 0 : strlen (prefix);

  for (uint64_t i = 0; i < list->count; i++) {
    const RagifyStr text = list->items[i];
    char *whole;

    texts[i] = (RagifyText){ .data = text.data, .size = text.size };
    if (length == 0)
      continue;
    whole = g_malloc (length + text.size);
    memcpy (whole, prefix, length);
    if (text.size > 0)
      memcpy (whole + length, text.data, text.size);
    g_ptr_array_add (joined, whole);
    texts[i] = (RagifyText){ .data = whole, .size = length + text.size };
  }
  return texts;
}

static void
count_texts (Embedder *self, uint64_t count, const RagifyEncoderCounts *counts)
{
  atomic_fetch_add_explicit (&self->texts, count, memory_order_relaxed);
  atomic_fetch_add_explicit (&self->truncated, counts->truncated, memory_order_relaxed);
  atomic_fetch_add_explicit (&self->windowed, counts->windowed, memory_order_relaxed);
}

static void
embed (void *instance, RagifyCall *call, const RagifyEmbedderEmbed *args)
{
  Embedder *const self = instance;
  const RagifyHost *const host = self->model.host;
  const uint64_t count = args->texts.count;
  const uint64_t dimension = ragify_encoder_get_dimension (self->encoder);
  float *const vectors = host->call_alloc (call, MAX (count, 1) * dimension * sizeof *vectors);
  g_autoptr (GPtrArray) joined = g_ptr_array_new_with_free_func (g_free);
  g_autofree RagifyText *texts = prepare_texts (
      &args->texts, args->purpose == RAGIFY_PURPOSE_DOCUMENT ? self->prefixes.document : self->prefixes.query, joined);
  RagifyWanted wanted = { .host = host, .call = call };
  RagifyEmbedderEmbedResult result = { .struct_size = sizeof result };
  RagifyEncoderCounts counts = { 0 };
  g_autoptr (GError) error = NULL;

  if (vectors == NULL) {
    ragify_local_model_fail_memory (&self->model, call);
    return;
  }
  if (!ragify_encoder_embed (self->encoder, texts, count, ragify_wanted_stop, &wanted, vectors, &counts, &error)) {
    ragify_local_model_fail (&self->model, call, error);
    return;
  }
  count_texts (self, count, &counts);
  result.truncated = (uint32_t)counts.truncated;
  result.vectors = (RagifyVectors){ .items = vectors, .count = (uint32_t)count, .dimension = (uint32_t)dimension };
  host->call_done (call, &result);
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
    ragify_local_model_fail (&self->model, call, error);
    return;
  }
  result.detail = ragify_str_from (ragify_encoder_get_kernel (self->encoder));
  self->model.host->call_done (call, &result);
}

static void
stats (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  Embedder *const self = instance;
  const RagifyPair pairs[] = {
    ragify_pair_text ("kernel", ragify_encoder_get_kernel (self->encoder)),
    ragify_pair_text ("precision", ragify_encoder_get_precision (self->encoder)),
    ragify_pair_count ("texts", atomic_load_explicit (&self->texts, memory_order_relaxed)),
    ragify_pair_count ("truncated", atomic_load_explicit (&self->truncated, memory_order_relaxed)),
    ragify_pair_count ("windowed", atomic_load_explicit (&self->windowed, memory_order_relaxed)),
  };

  ragify_local_model_stats (&self->model, call, pairs, G_N_ELEMENTS (pairs));
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
  .max_parallel = RAGIFY_LOCAL_MODEL_PARALLEL,
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
