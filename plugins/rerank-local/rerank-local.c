/*
 * The plugin: component `local` of kind ragify.reranker/1, on the worker pool, over the cross-encoder in
 * plugins/encoder.
 *
 * SPDX-License-Identifier: MIT
 */
#include "cross-encoder.h"
#include "local-model.h"
#include "settings.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { MIN_TOKENS = 5 }; /* of a limit: the special ones, and one of each text */

typedef struct {
  RagifyLocalModel model;
  RagifyCrossEncoder *encoder; /* from start to destroy */
  atomic_uint_fast64_t passages;
  atomic_uint_fast64_t truncated;
} Reranker;

static const RagifyKey keys[] = {
  {
      .name = "model",
      .type = RAGIFY_KEY_STRING,
      .flags = RAGIFY_KEY_REQUIRED,
      .summary = "The cross-encoder: the name of a folder in models-dir, or a path with a '/' in it.",
  },
#include "local-model-keys.inc.h"
};

/* --- life --- */

static void
destroy (void *instance)
{
  Reranker *const self = instance;

  g_clear_pointer (&self->encoder, ragify_cross_encoder_free);
  ragify_local_model_clear (&self->model);
  g_free (self);
}

static int32_t
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  g_autofree char *name = ragify_setting_text (host, context, "model");
  Reranker *const self = g_new0 (Reranker, 1);

  if (!ragify_local_model_configure (&self->model, host, context, name, MIN_TOKENS)) {
    destroy (self);
    return RAGIFY_E_INVALID;
  }
  *instance = self;
  return RAGIFY_OK;
}

static void
start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  Reranker *const self = instance;
  const RagifyEncoderOptions options = {
    .precision = self->model.precision,
    .kernel = self->model.kernel,
    .max_tokens = self->model.max_tokens,
  };
  g_autoptr (GError) error = NULL;

  if (!ragify_local_model_find (&self->model, call))
    return;
  g_clear_pointer (&self->encoder, ragify_cross_encoder_free);
  self->encoder = ragify_cross_encoder_open (self->model.folder, &options, &error);
  if (self->encoder == NULL)
    ragify_local_model_fail (&self->model, call, error);
  else
    self->model.host->call_done (call, NULL);
}

/* --- operations --- */

/* Title and content as one text; `joined` keeps what had to be made for that. */
static RagifyText *
prepare_passages (const RagifyChunkList *chunks, GPtrArray *joined)
{
  RagifyText *const texts = g_new (RagifyText, chunks->count);

  for (uint64_t i = 0; i < chunks->count; i++) {
    const RagifyChunk *const chunk =
        (const RagifyChunk *)(const void *)((const char *)chunks->items + i * chunks->stride);
    GString *whole;

    texts[i] = (RagifyText){ .data = chunk->content.data, .size = chunk->content.size };
    if (chunk->title.size == 0)
      continue;
    whole = g_string_new_len (chunk->title.data, (gssize)chunk->title.size);
    g_string_append_c (whole, '\n');
    g_string_append_len (whole, chunk->content.data, (gssize)chunk->content.size);
    texts[i].size = whole->len;
    texts[i].data = g_string_free (whole, FALSE);
    g_ptr_array_add (joined, (gpointer)texts[i].data);
  }
  return texts;
}

/* Best first; equals in the order in which they came. */
static int
by_score (const void *a, const void *b)
{
  const RagifyRank *const left = a;
  const RagifyRank *const right = b;

  if (left->score < right->score || left->score > right->score)
    return left->score < right->score ? 1 : -1;
  return left->index < right->index ? -1 : left->index > right->index;
}

static RagifyRank *
make_ranks (const RagifyHost *host, RagifyCall *call, const float *scores, uint64_t count)
{
  RagifyRank *const ranks = host->call_alloc (call, MAX (count, 1) * sizeof *ranks);

  for (uint64_t i = 0; ranks != NULL && i < count; i++)
    ranks[i] = (RagifyRank){ .index = (uint32_t)i, .score = (float)(1 / (1 + exp (-(double)scores[i]))) };
  if (ranks != NULL)
    qsort (ranks, count, sizeof *ranks, by_score);
  return ranks;
}

static void
rerank (void *instance, RagifyCall *call, const RagifyRerank *args)
{
  Reranker *const self = instance;
  const RagifyHost *const host = self->model.host;
  const uint64_t count = args->chunks.count;
  const RagifyText question = { .data = args->query.data, .size = args->query.size };
  g_autoptr (GPtrArray) joined = g_ptr_array_new_with_free_func (g_free);
  g_autofree RagifyText *passages = prepare_passages (&args->chunks, joined);
  g_autofree float *scores = g_new (float, count);
  RagifyWanted wanted = { .host = host, .call = call };
  RagifyRerankResult result = { .struct_size = sizeof result };
  RagifyRank *ranks;
  gsize truncated = 0;
  g_autoptr (GError) error = NULL;

  if (!ragify_cross_encoder_score (self->encoder, &question, passages, count, ragify_wanted_stop, &wanted, scores,
                                   &truncated, &error)) {
    ragify_local_model_fail (&self->model, call, error);
    return;
  }
  ranks = make_ranks (host, call, scores, count);
  if (ranks == NULL) {
    ragify_local_model_fail_memory (&self->model, call);
    return;
  }
  atomic_fetch_add_explicit (&self->passages, count, memory_order_relaxed);
  atomic_fetch_add_explicit (&self->truncated, truncated, memory_order_relaxed);
  result.ranks = (RagifyRankList){ .items = ranks, .count = MIN (count, args->top_k) };
  host->call_done (call, &result);
}

/* A real score of one word. */
static void
probe (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  const Reranker *const self = instance;
  const RagifyText text = { .data = "probe", .size = 5 };
  RagifyProbeResult result = { .struct_size = sizeof result };
  float score = 0;
  g_autoptr (GError) error = NULL;

  if (!ragify_cross_encoder_score (self->encoder, &text, &text, 1, NULL, NULL, &score, NULL, &error)) {
    ragify_local_model_fail (&self->model, call, error);
    return;
  }
  result.detail = ragify_str_from (ragify_cross_encoder_get_kernel (self->encoder));
  self->model.host->call_done (call, &result);
}

static void
stats (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  Reranker *const self = instance;
  const RagifyPair pairs[] = {
    ragify_pair_text ("kernel", ragify_cross_encoder_get_kernel (self->encoder)),
    ragify_pair_text ("precision", ragify_cross_encoder_get_precision (self->encoder)),
    ragify_pair_count ("passages", atomic_load_explicit (&self->passages, memory_order_relaxed)),
    ragify_pair_count ("truncated", atomic_load_explicit (&self->truncated, memory_order_relaxed)),
  };

  ragify_local_model_stats (&self->model, call, pairs, G_N_ELEMENTS (pairs));
}

/* --- what the host sees --- */

static const RagifyRerankerOperations operations = {
  .struct_size = sizeof operations,
  .rerank = rerank,
};

static const RagifyComponent component = {
  .struct_size = sizeof component,
  .kind = RAGIFY_KIND_RERANKER,
  .name = "local",
  .summary = "Judges passages on this machine's CPU with a BERT cross-encoder.",
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
  .id = "org.ragify.rerank-local",
  .version = RAGIFY_VERSION,
  .licence = "MIT",
  .summary = "Cross-encoders by kernels of its own.",
  .url = "",
  .components = components,
};

const RagifyPlugin *
ragify_plugin_query (void)
{
  return &plugin;
}
