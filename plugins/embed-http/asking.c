/* SPDX-License-Identifier: MIT */
#include "embedder.h"

/* What is not numbers in an answer: lists, objects, their members. */
#define VALUES_BESIDE 1024u
#define VALUES_BESIDE_EACH 16u
/* Of a dimension that is not known yet. */
#define DIMENSION_MAX 65536u

/* One call on its way. */
typedef struct Asking {
  HttpEmbedder *embedder;
  RagifyCall *call;
  const RagifyStr *texts;
  const char *prefix;
  guint *starts; /* of each request's texts, and one more: the end */
  float *items;
  guint count, truncated, dimension;
  /* Trials. */
  RagifyStr trial;
  guint64 began;
  void (*tried) (HttpEmbedder *embedder, RagifyCall *call, guint64 took_us);
} Asking;

static void
asking_free (Asking *asking)
{
  g_free (asking->starts);
  g_free (asking);
}

static json_t *
ask (guint part, gpointer user)
{
  const Asking *asking = user;
  const guint start = asking->starts[part];
  return http_embedder_ask (asking->embedder, asking->prefix, asking->texts + start, asking->starts[part + 1] - start);
}

static gboolean
take (guint part, const json_t *answer, gpointer user, RagifyFault *fault)
{
  Asking *asking = user;
  const guint start = asking->starts[part];
  guint dimension = asking->dimension; /* of parts that are read side by side each has its own */
  float *items = asking->items != NULL ? asking->items + (gsize)start * dimension : NULL;
  if (!http_embedder_read (asking->embedder, answer, asking->starts[part + 1] - start, &dimension, items, fault))
    return FALSE;
  if (asking->dimension == 0)
    asking->dimension = dimension;
  return TRUE;
}

static void
post (Asking *asking, guint n_parts, void (*done) (const RagifyFault *fault, guint64 retry_after_us, gpointer user))
{
  HttpEmbedder *embedder = asking->embedder;
  const guint each = (embedder->dimension != 0 ? embedder->dimension : DIMENSION_MAX) + VALUES_BESIDE_EACH;
  const RagifyHttpPosting posting = {
    .call = asking->call,
    .count = n_parts,
    .parallel = embedder->parallel,
    .most_values = VALUES_BESIDE + each * MIN (embedder->request_texts, asking->count),
    .ask = ask,
    .take = take,
    .done = done,
  };
  ragify_http_service_post (&embedder->service, &posting, asking);
}

static void
fail (const Asking *asking, const RagifyFault *fault, guint64 retry_after_us)
{
  asking->embedder->service.host->call_fail (asking->call, fault->code, ragify_str_from (fault->message),
                                             retry_after_us);
}

/* ---- embedding ---- */

static void
embedded (const RagifyFault *fault, guint64 retry_after_us, gpointer user)
{
  Asking *asking = user;
  HttpEmbedder *embedder = asking->embedder;
  const RagifyEmbedderEmbedResult result = {
    .struct_size = sizeof result,
    .truncated = asking->truncated,
    .vectors = { .items = asking->items, .count = asking->count, .dimension = embedder->dimension },
  };
  if (fault != NULL)
    fail (asking, fault, retry_after_us);
  else {
    embedder->texts += asking->count;
    embedder->truncated += asking->truncated;
    embedder->service.host->call_done (asking->call, &result);
  }
  asking_free (asking);
}

/* Requests of so many texts and bytes at most, a text at least. */
static guint
split (Asking *asking)
{
  const HttpEmbedder *embedder = asking->embedder;
  guint parts = 0;
  gsize size = 0;
  asking->starts = g_new (guint, asking->count + 1);
  for (guint i = 0; i < asking->count; i++) {
    const RagifyStr text = ragify_http_cut_text (asking->texts[i], embedder->max_text);
    const gboolean full = parts == 0 || i - asking->starts[parts - 1] == embedder->request_texts ||
                          size + text.size > embedder->request_size;
    asking->truncated += text.size < asking->texts[i].size;
    if (full)
      asking->starts[parts++] = i;
    size = (full ? 0 : size) + text.size;
  }
  asking->starts[parts] = asking->count;
  return parts;
}

void
http_embedder_embed (HttpEmbedder *embedder, RagifyCall *call, const RagifyEmbedderEmbed *args)
{
  const RagifyHost *host = embedder->service.host;
  if (args->texts.count == 0) {
    const RagifyEmbedderEmbedResult nothing = { .struct_size = sizeof nothing,
                                                .vectors.dimension = embedder->dimension };
    host->call_done (call, &nothing);
    return;
  }
  float *items = host->call_alloc (call, args->texts.count * embedder->dimension * sizeof *items);
  if (items == NULL) {
    ragify_http_service_fail_memory (&embedder->service, call);
    return;
  }
  Asking *asking = g_new0 (Asking, 1);
  *asking =
      (Asking){ .embedder = embedder,
                .call = call,
                .texts = args->texts.items,
                .count = (guint)args->texts.count,
                .prefix = args->purpose == RAGIFY_PURPOSE_DOCUMENT ? embedder->document_prefix : embedder->query_prefix,
                .dimension = embedder->dimension,
                .items = items };
  post (asking, split (asking), embedded);
}

/* ---- trying ---- */

static void
tried (const RagifyFault *fault, guint64 retry_after_us, gpointer user)
{
  Asking *asking = user;
  HttpEmbedder *embedder = asking->embedder;
  if (fault != NULL)
    fail (asking, fault, retry_after_us);
  else {
    if (embedder->dimension == 0)
      http_embedder_settle (embedder, asking->dimension);
    asking->tried (embedder, asking->call, embedder->service.host->clock_us () - asking->began);
  }
  asking_free (asking);
}

void
http_embedder_try (HttpEmbedder *embedder, RagifyCall *call,
                   void (*done) (HttpEmbedder *embedder, RagifyCall *call, guint64 took_us))
{
  Asking *asking = g_new0 (Asking, 1);
  float *items =
      embedder->dimension != 0 ? embedder->service.host->call_alloc (call, embedder->dimension * sizeof *items) : NULL;
  *asking = (Asking){ .embedder = embedder,
                      .call = call,
                      .trial = ragify_str_from ("a trial"),
                      .texts = &asking->trial,
                      .count = 1,
                      .dimension = items != NULL ? embedder->dimension : 0,
                      .items = items,
                      .began = embedder->service.host->clock_us (),
                      .tried = done };
  post (asking, split (asking), tried);
}
