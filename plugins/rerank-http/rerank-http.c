/* rerank-http: a reranking service elsewhere.
 *
 * SPDX-License-Identifier: MIT
 */
#include "http-service.h"
#include "settings.h"

#include <math.h>
#include <string.h>

static const RagifyKey keys[] = {
#include "http-keys.inc.h"
  { .name = "api",
    .type = RAGIFY_KEY_ENUM,
    .default_value = "cohere",
    .choices = "cohere|jina|tei",
    .summary = "cohere: its v2. jina: Jina's, which vLLM, llama.cpp and Infinity have, too. tei: Text Embeddings "
               "Inference's." },
  { .name = "path", .type = RAGIFY_KEY_STRING, .summary = "In place of /rerank; may have a query." },
  { .name = "model",
    .type = RAGIFY_KEY_STRING,
    .summary = "The model's name; cohere and jina need it, tei has one only." },
  { .name = "scores",
    .type = RAGIFY_KEY_ENUM,
    .default_value = "probability",
    .choices = "probability|logit",
    .summary =
        "What the service's scores are. logit: any number, of which 1 / (1 + e^-score) is the relevance; so with "
        "many servers of their own, such as llama.cpp." },
  { .name = "request-documents",
    .type = RAGIFY_KEY_INT,
    .unit = "passages",
    .minimum = "1",
    .maximum = "10000",
    .summary = "The most that one request brings; a call with more makes several. Not set: 1000; tei: 32." },
  { .name = "parallel-requests",
    .type = RAGIFY_KEY_INT,
    .default_value = "4",
    .minimum = "1",
    .maximum = "64",
    .summary = "Requests of one call that are under way at once." },
  { .name = "max-text",
    .type = RAGIFY_KEY_SIZE,
    .default_value = "16KiB",
    .minimum = "0",
    .maximum = "64MiB",
    .summary = "Longer passages are cut to so many bytes, and counted; 0: they go as they are." },
};

#define VALUES_BESIDE 1024u
#define VALUES_EACH 32u
/* What rounding may add to a probability. */
#define SLACK 1e-4

typedef enum { API_COHERE, API_JINA, API_TEI } Api;

typedef struct HttpReranker {
  RagifyHttpService service;
  Api api;
  char *model; /* NULL: none */
  gboolean logits;
  guint request_documents, parallel;
  gsize max_text;
  guint64 passages, truncated;
} HttpReranker;

/* One call on its way. */
typedef struct Asking {
  HttpReranker *reranker;
  RagifyCall *call;
  const RagifyRerank *args;
  float *scores; /* of each passage */
  guint count, truncated;
  RagifyRerank trial;
  RagifyChunk passage;
  guint64 began;
} Asking;

/* ---- asking ---- */

static const RagifyChunk *
passage_at (const RagifyRerank *args, guint index)
{
  return (const RagifyChunk *)(const void *)((const char *)args->chunks.items + (gsize)index * args->chunks.stride);
}

/* Title and content, as one text. */
static json_t *
text_of (Asking *asking, const RagifyChunk *chunk)
{
  g_autoptr (GString) text = g_string_new_len (chunk->title.data, (gssize)chunk->title.size);
  if (text->len > 0)
    g_string_append_c (text, '\n');
  g_string_append_len (text, chunk->content.data, (gssize)chunk->content.size);
  const RagifyStr cut = ragify_http_cut_text (ragify_str (text->str, text->len), asking->reranker->max_text);
  asking->truncated += cut.size < text->len;
  return json_stringn (cut.data, cut.size);
}

static guint
size_of (const Asking *asking, guint part)
{
  const guint each = asking->reranker->request_documents;
  return MIN (each, asking->count - part * each);
}

static json_t *
ask (guint part, gpointer user)
{
  Asking *asking = user;
  const HttpReranker *reranker = asking->reranker;
  const guint size = size_of (asking, part);
  json_t *texts = json_array ();
  json_t *query = json_stringn (asking->args->query.data, asking->args->query.size);
  for (guint i = 0; i < size; i++)
    json_array_append_new (texts, text_of (asking, passage_at (asking->args, part * reranker->request_documents + i)));
  if (reranker->api == API_TEI)
    return json_pack ("{s:o,s:o,s:b,s:b}", "query", query, "texts", texts, "raw_scores", reranker->logits, "truncate",
                      1);
  json_t *body =
      json_pack ("{s:s,s:o,s:o,s:i}", "model", reranker->model, "query", query, "documents", texts, "top_n", (int)size);
  if (reranker->api == API_JINA)
    json_object_set_new (body, "return_documents", json_false ());
  return body;
}

/* ---- answers ---- */

static gboolean
calibrate (const HttpReranker *reranker, double raw, float *score, RagifyFault *fault)
{
  if (reranker->logits)
    *score = (float)(1 / (1 + exp (-raw)));
  else if (raw < -SLACK || raw > 1 + SLACK)
    return ragify_http_service_blame (&reranker->service, fault,
                                      "a score of %g is no probability; are they logits (`scores = logit`)?", raw);
  else
    *score = (float)CLAMP (raw, 0, 1);
  return TRUE;
}

static gboolean
take_score (const HttpReranker *reranker, const json_t *item, guint size, float *scores, RagifyFault *fault)
{
  const json_t *index = json_object_get (item, "index");
  const json_t *score = json_object_get (item, "relevance_score");
  if (score == NULL)
    score = json_object_get (item, "score");
  if (!json_is_integer (index) || !json_is_number (score))
    return ragify_http_service_blame (&reranker->service, fault,
                                      "a result has no `index` and `%s` that are numbers; is `api` right?",
                                      reranker->api == API_TEI ? "score" : "relevance_score");
  const json_int_t place = json_integer_value (index);
  if (place < 0 || place >= size)
    return ragify_http_service_blame (&reranker->service, fault,
                                      "a result has the index %" JSON_INTEGER_FORMAT ", of %u passages", place, size);
  if (!isnan (scores[place]))
    return ragify_http_service_blame (&reranker->service, fault, "two results have the index %" JSON_INTEGER_FORMAT,
                                      place);
  return calibrate (reranker, json_number_value (score), &scores[place], fault);
}

static gboolean
take (guint part, const json_t *answer, gpointer user, RagifyFault *fault)
{
  const Asking *asking = user;
  const HttpReranker *reranker = asking->reranker;
  const guint size = size_of (asking, part);
  const json_t *list = json_is_array (answer) ? answer : json_object_get (answer, "results");
  if (!json_is_array (list))
    return ragify_http_service_blame (&reranker->service, fault, "the answer has no list of results; is `api` right?");
  if (json_array_size (list) != size)
    return ragify_http_service_blame (&reranker->service, fault, "the answer has %zu results for %u passages",
                                      json_array_size (list), size);
  for (guint i = 0; i < size; i++)
    if (!take_score (reranker, json_array_get (list, i), size, asking->scores + part * reranker->request_documents,
                     fault))
      return FALSE;
  return TRUE;
}

static int
by_score (const void *a, const void *b)
{
  const RagifyRank *left = a, *right = b;
  if (left->score < right->score || left->score > right->score)
    return left->score < right->score ? 1 : -1;
  return left->index < right->index ? -1 : left->index > right->index;
}

/* FALSE where it has failed, and the call with it. */
static gboolean
is_well (const Asking *asking, const RagifyFault *fault, guint64 retry_after_us)
{
  if (fault != NULL)
    asking->reranker->service.host->call_fail (asking->call, fault->code, ragify_str_from (fault->message),
                                               retry_after_us);
  return fault == NULL;
}

static void
asking_free (Asking *asking)
{
  g_free (asking->scores);
  g_free (asking);
}

static void
reranked (const RagifyFault *fault, guint64 retry_after_us, gpointer user)
{
  Asking *asking = user;
  HttpReranker *reranker = asking->reranker;
  const RagifyHost *host = reranker->service.host;
  if (!is_well (asking, fault, retry_after_us)) {
    asking_free (asking);
    return;
  }
  RagifyRank *ranks = host->call_alloc (asking->call, asking->count * sizeof *ranks);
  for (guint i = 0; ranks != NULL && i < asking->count; i++)
    ranks[i] = (RagifyRank){ .index = i, .score = asking->scores[i] };
  if (ranks == NULL)
    ragify_http_service_fail_memory (&reranker->service, asking->call);
  else {
    qsort (ranks, asking->count, sizeof *ranks, by_score);
    reranker->passages += asking->count;
    reranker->truncated += asking->truncated;
    const RagifyRerankResult result = { .struct_size = sizeof result,
                                        .ranks = { ranks, MIN (asking->count, asking->args->top_k) } };
    host->call_done (asking->call, &result);
  }
  asking_free (asking);
}

static void
post (Asking *asking, void (*done) (const RagifyFault *fault, guint64 retry_after_us, gpointer user))
{
  HttpReranker *reranker = asking->reranker;
  const guint each = reranker->request_documents;
  asking->count = (guint)asking->args->chunks.count;
  asking->scores = g_new (float, asking->count);
  for (guint i = 0; i < asking->count; i++)
    asking->scores[i] = NAN;
  const RagifyHttpPosting posting = {
    .call = asking->call,
    .count = (asking->count + each - 1) / each,
    .parallel = reranker->parallel,
    .most_values = VALUES_BESIDE + VALUES_EACH * MIN (each, asking->count),
    .ask = ask,
    .take = take,
    .done = done,
  };
  ragify_http_service_post (&reranker->service, &posting, asking);
}

static void
rerank (void *instance, RagifyCall *call, const RagifyRerank *args)
{
  HttpReranker *reranker = instance;
  if (args->chunks.count == 0) {
    const RagifyRerankResult nothing = { .struct_size = sizeof nothing };
    reranker->service.host->call_done (call, &nothing);
    return;
  }
  Asking *asking = g_new0 (Asking, 1);
  asking->reranker = reranker;
  asking->call = call;
  asking->args = args;
  post (asking, reranked);
}

static void
probed (const RagifyFault *fault, guint64 retry_after_us, gpointer user)
{
  Asking *asking = user;
  const RagifyHost *host = asking->reranker->service.host;
  if (is_well (asking, fault, retry_after_us)) {
    char *text = host->call_alloc (asking->call, 64);
    if (text != NULL)
      g_snprintf (text, 64, "a score of %.3f in %.1f ms", (double)asking->scores[0],
                  (double)(host->clock_us () - asking->began) / 1000);
    const RagifyProbeResult result = { .struct_size = sizeof result, .detail = ragify_str_from (text) };
    host->call_done (asking->call, &result);
  }
  asking_free (asking);
}

static void
probe (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  HttpReranker *reranker = instance;
  Asking *asking = g_new0 (Asking, 1);
  asking->reranker = reranker;
  asking->call = call;
  asking->passage = (RagifyChunk){ .struct_size = sizeof asking->passage, .content = ragify_str_from ("a trial") };
  asking->trial = (RagifyRerank){ .struct_size = sizeof asking->trial,
                                  .top_k = 1,
                                  .query = ragify_str_from ("a trial"),
                                  .chunks = { &asking->passage, 1, sizeof asking->passage, 0 } };
  asking->args = &asking->trial;
  asking->began = reranker->service.host->clock_us ();
  post (asking, probed);
}

/* ---- making and ending ---- */

static void
destroy (void *instance)
{
  HttpReranker *reranker = instance;
  ragify_http_service_clear (&reranker->service);
  g_free (reranker->model);
  g_free (reranker);
}

static gboolean
set_up (HttpReranker *reranker, const RagifyHost *host, RagifyContext *context, const RagifyInstance *which,
        RagifyFault *fault)
{
  if (!ragify_http_service_open (&reranker->service, host, context, which, "/rerank", fault))
    return FALSE;
  g_autofree char *api = ragify_setting_optional (host, context, "api");
  g_autofree char *scores = ragify_setting_optional (host, context, "scores");
  reranker->api = g_strcmp0 (api, "tei") == 0 ? API_TEI : g_strcmp0 (api, "jina") == 0 ? API_JINA : API_COHERE;
  reranker->logits = g_strcmp0 (scores, "logit") == 0;
  reranker->model = ragify_setting_optional (host, context, "model");
  int64_t number = reranker->api == API_TEI ? 32 : 1000;
  host->config_int (context, "request-documents", &number);
  reranker->request_documents = (guint)number;
  reranker->parallel = (guint)ragify_setting_int (host, context, "parallel-requests");
  reranker->max_text = ragify_setting_size (host, context, "max-text");
  return reranker->api == API_TEI || reranker->model != NULL ||
         ragify_fault_set (fault, RAGIFY_E_INVALID, "model: is needed with api = %s", api);
}

static int32_t
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  HttpReranker *reranker = g_new0 (HttpReranker, 1);
  RagifyFault fault;
  if (!set_up (reranker, host, context, which, &fault)) {
    host->set_error (context, ragify_str_from (fault.message));
    destroy (reranker);
    return fault.code;
  }
  *instance = reranker;
  return RAGIFY_OK;
}

/* Nothing is asked: a service that is away for now is no reason not to start. */
static void
start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  ((HttpReranker *)instance)->service.host->call_done (call, NULL);
}

static void
stats (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  HttpReranker *reranker = instance;
  const RagifyHttpNumber numbers[] = { { "passages", reranker->passages }, { "truncated", reranker->truncated } };
  ragify_http_service_stats (&reranker->service, call, numbers, G_N_ELEMENTS (numbers));
}

static const RagifyRerankerOperations operations = {
  .struct_size = sizeof operations,
  .rerank = rerank,
};

static const RagifyComponent component = {
  .struct_size = sizeof component,
  .flags = RAGIFY_COMPONENT_REMOTE,
  .kind = RAGIFY_KIND_RERANKER,
  .name = "http",
  .summary = "Asks a reranking service, in the way of Cohere, Jina or Text Embeddings Inference.",
  .run_class = RAGIFY_RUN_LOOP,
  .schema = { .keys = keys, .count = G_N_ELEMENTS (keys), .stride = sizeof (RagifyKey) },
  .operations = &operations,
  .create = create,
  .start = start,
  .stop = ragify_http_service_stop,
  .destroy = destroy,
  .probe = probe,
  .reconfigure = ragify_http_service_reconfigure,
  .stats = stats,
};

static const RagifyComponent *const components[] = { &component, NULL };

static const RagifyPlugin plugin = {
  .magic = RAGIFY_PLUGIN_MAGIC,
  .abi_major = RAGIFY_ABI_MAJOR,
  .abi_minor_needed = RAGIFY_NEEDS_MINOR,
  .struct_size = sizeof plugin,
  .id = "org.ragify.rerank-http",
  .version = RAGIFY_VERSION,
  .licence = "MIT",
  .summary = "Reranking services elsewhere.",
  .url = "",
  .components = components,
};

const RagifyPlugin *
ragify_plugin_query (void)
{
  return &plugin;
}
