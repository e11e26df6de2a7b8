/* POST /v1/embeddings: texts into vectors, as OpenAI's API has it, by the embedders of the configuration.
 *
 * SPDX-License-Identifier: MIT
 *
 * Texts go through the embedder's batcher one by one, so that a long list shares its turns with everybody else's.
 */
#include <string.h>

#include "core/balance/attempt.h"
#include "core/call/operations.h"
#include "core/pipeline/token-counts.h"
#include "exchange.h"
#include "openai-embeddings.h"

#define DEADLINE_US (120 * (guint64)G_USEC_PER_SEC)
/* Numbers that are written in decimal on the loop; it takes about 100 ns for each. */
#define WRITE_ON_LOOP 4096u

typedef struct Job Job;

typedef struct Text {
  RagifyEmbedWait wait; /* first */
  Job *job;
} Text;

/* Ends when every text has its vector, or a failure; the exchange may be gone by then. */
struct Job {
  RagifyOwner owner;        /* first */
  RagifyExchange *exchange; /* NULL: gone */
  RagifyServing *serving;
  const RagifyServedEmbedder *embedder;
  RagifyEmbeddingsQuestion question;
  Text *texts;
  guint pending;
  RagifyEmbedderTokenize tokenize;
  RagifyAttempt attempt;
  guint64 tokens;
  const float **vectors;
  char *reply;
  gsize reply_size;
  RagifyLoop *loop;
  RagifyTask task;
};

static const char *const no_parameters[] = { NULL };

static gboolean
begin (RagifyExchange *exchange)
{
  if (!ragify_query_allow (exchange->query, no_parameters, &exchange->problem))
    return FALSE;
  if (!ragify_media_type_is (exchange->facts.content_type, "application/json"))
    return ragify_exchange_refuse (exchange, 415, "Unsupported media type", "Content-Type",
                                   "expected application/json in UTF-8");
  return TRUE;
}

/* ---- which embedder ---- */

static gboolean
is_called (const RagifyServedEmbedder *embedder, const char *name)
{
  if (strcmp (embedder->name, name) == 0)
    return TRUE;
  if (embedder->model == NULL)
    return FALSE;
  const char *slash = strrchr (embedder->model, '/');
  return strcmp (embedder->model, name) == 0 || (slash != NULL && strcmp (slash + 1, name) == 0);
}

static const RagifyServedEmbedder *
find_embedder (RagifyExchange *exchange, const char *model)
{
  const RagifyServing *serving = exchange->listener->serving;
  g_autoptr (GString) names = g_string_new (NULL);
  for (guint i = 0; i < serving->n_embedders; i++) {
    if (model == NULL || is_called (&serving->embedders[i], model))
      return &serving->embedders[i];
    g_string_append_printf (names, "%s%s", i > 0 ? ", " : "", serving->embedders[i].name);
  }
  ragify_exchange_refuse (exchange, 404, "Not found", "model", "there is no embedder '%.100s'; there are: %s",
                          model != NULL ? model : "", serving->n_embedders > 0 ? names->str : "none");
  return NULL;
}

static gboolean
check_dimensions (RagifyExchange *exchange, const Job *job)
{
  return job->question.dimensions == 0 || job->question.dimensions == job->embedder->dimension ||
         ragify_exchange_refuse (exchange, 422, "Invalid value", "dimensions", "dimensions: expected %u, found %u",
                                 job->embedder->dimension, job->question.dimensions);
}

/* ---- the end ---- */

static void
end (Job *job)
{
  ragify_serving_unref (job->serving);
  ragify_owner_unref (&job->owner);
}

/* It has its reply, as far as it still wants one. */
static RagifyExchange *
part (Job *job)
{
  RagifyExchange *exchange = job->exchange;
  if (exchange != NULL)
    exchange->work = NULL;
  job->exchange = NULL;
  return exchange;
}

static void
refuse (RagifyExchange *exchange, const RagifyEmbedWait *wait)
{
  const gboolean invalid = wait->code == RAGIFY_E_INVALID;
  ragify_problem_set (&exchange->problem, invalid ? 422 : 503, invalid ? "Invalid value" : "Not embedded",
                      invalid ? "input" : NULL, "%s", wait->message);
  ragify_exchange_reply_problem (exchange, &exchange->problem);
}

static void
reply (RagifyTask *task)
{
  Job *job = (Job *)(void *)((char *)task - G_STRUCT_OFFSET (Job, task));
  RagifyExchange *exchange = part (job);
  if (exchange != NULL)
    ragify_exchange_reply (exchange, 200, "application/json", job->reply, job->reply_size);
  else
    g_free (job->reply);
  end (job);
}

static void
encode (Job *job)
{
  const RagifyEmbeddingsQuestion *question = &job->question;
  const char *model = question->model != NULL ? question->model : job->embedder->name;
  job->reply = ragify_embeddings_encode (job->vectors, question->count, job->embedder->dimension, question->base64,
                                         model, job->tokens, &job->reply_size);
}

static void
encode_elsewhere (RagifyTask *task)
{
  Job *job = (Job *)(void *)((char *)task - G_STRUCT_OFFSET (Job, task));
  encode (job);
  job->task.run = reply;
  ragify_loop_post (job->loop, &job->task);
}

static void
finish_job (Job *job)
{
  const RagifyEmbeddingsQuestion *question = &job->question;
  job->vectors = ragify_arena_alloc (job->owner.arena, question->count * sizeof *job->vectors);
  const RagifyEmbedWait *failed = NULL;
  for (guint i = 0; i < question->count; i++) {
    const RagifyEmbedWait *wait = &job->texts[i].wait;
    job->vectors[i] = wait->vector.items;
    if (wait->code != RAGIFY_OK || wait->vector.count != 1 || wait->vector.dimension != job->embedder->dimension)
      failed = failed != NULL ? failed : wait;
  }
  if (job->exchange == NULL || failed != NULL) {
    RagifyExchange *exchange = part (job);
    if (exchange != NULL)
      refuse (exchange, failed);
    end (job);
    return;
  }
  job->task.run = encode_elsewhere;
  if (!question->base64 && question->count * job->embedder->dimension > WRITE_ON_LOOP &&
      ragify_workers_submit (job->embedder->workers, &job->task))
    return;
  encode (job);
  reply (&job->task);
}

static void
release (Job *job)
{
  if (--job->pending == 0)
    finish_job (job);
}

/* ---- embedding, and counting ---- */

static void
leave (const Job *job)
{
  for (guint i = 0; i < job->question.count; i++)
    ragify_embed_wait_leave (&job->texts[i].wait);
}

static void
embedded (RagifyEmbedWait *wait)
{
  release (((Text *)wait)->job);
}

static void
counted (RagifyAttempt *attempt)
{
  Job *job = (Job *)(void *)((char *)attempt - G_STRUCT_OFFSET (Job, attempt));
  const RagifyEmbedderTokenizeResult *result = ragify_call_result (attempt->call);
  if (result != NULL) {
    job->tokens = 0;
    for (guint64 i = 0; i < result->counts.count; i++)
      job->tokens += result->counts.items[i];
  }
  release (job);
}

static void
count_tokens (Job *job, guint64 deadline)
{
  const RagifyEmbedderOperations *operations = ragify_node_component (job->embedder->node)->operations;
  for (guint i = 0; i < job->question.count; i++)
    job->tokens += ragify_token_estimate (job->question.texts[i].size);
  if (operations->tokenize == NULL)
    return;
  job->tokenize = (RagifyEmbedderTokenize){ .struct_size = sizeof job->tokenize,
                                            .texts = { job->question.texts, job->question.count } };
  job->pending++;
  ragify_attempt_begin (&job->attempt, &job->owner, job->embedder->node, &ragify_operation_embedder_tokenize,
                        &job->tokenize, deadline, counted);
}

static void
embed (Job *job)
{
  const guint64 deadline = job->exchange->began + DEADLINE_US;
  job->texts = ragify_arena_alloc (job->owner.arena, job->question.count * sizeof *job->texts);
  job->pending = 1;
  for (guint i = 0; i < job->question.count; i++) {
    job->texts[i].job = job;
    job->pending++;
    ragify_embed_batcher_ask (job->embedder->batcher, &job->texts[i].wait, &job->owner, job->question.texts[i],
                              deadline, embedded);
  }
  count_tokens (job, deadline);
  release (job);
}

static void
finish (RagifyExchange *exchange)
{
  Job *job = (Job *)ragify_owner_new (sizeof *job, NULL);
  if (ragify_embeddings_parse (exchange->body->str, exchange->received, job->owner.arena, &job->question,
                               &exchange->problem))
    job->embedder = find_embedder (exchange, job->question.model);
  if (job->embedder == NULL || !check_dimensions (exchange, job)) {
    ragify_owner_unref (&job->owner);
    ragify_exchange_reply_problem (exchange, &exchange->problem);
    return;
  }
  job->exchange = exchange;
  job->serving = ragify_serving_ref (exchange->listener->serving);
  job->loop = exchange->listener->loop;
  exchange->work = job;
  embed (job);
}

static void
left (RagifyExchange *exchange)
{
  if (exchange->work != NULL)
    leave (exchange->work);
}

static void
detach (RagifyExchange *exchange)
{
  Job *job = exchange->work;
  if (job == NULL)
    return;
  part (job);
  leave (job);
}

const RagifyAction ragify_action_openai_embeddings = {
  .body = RAGIFY_BODY_GATHERED,
  .held = TRUE, /* no chunk is touched */
  .begin = begin,
  .finish = finish,
  .left = left,
  .detach = detach,
};
