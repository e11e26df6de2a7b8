/* SPDX-License-Identifier: MIT */
#include "core/server/health-check.h"

#include <math.h>
#include <string.h>

#include "core/balance/random.h"
#include "core/call/buffer.h"
#include "core/call/operations.h"

#define PATIENCE_US (5 * (guint64)G_USEC_PER_SEC)
#define CACHE_TTL_US (60 * (guint64)G_USEC_PER_SEC)
#define CACHE_ATTEMPTS 3 /* a cache may forget anything at any time, but not three times in a row */

struct RagifyHealthCheck {
  RagifyOwner owner;
  RagifyHealthAsk ask;
  RagifyHealthCheck **place;
  RagifyCall *call; /* under way */
  guint64 began, deadline;
  guint attempts;
  gboolean cancelled;
  union {
    RagifyNothing nothing;
    RagifySourceQuery query;
    RagifyStoreSearch search;
    RagifyStoreList list;
    RagifyTextSearch words;
    RagifyEmbedderEmbed embed;
    RagifyRerank rerank;
  } arguments;
  RagifyChunk chunk;
  RagifyCacheSet set;
  RagifyCacheGet get;
  RagifyCacheRemove remove;
  RagifyBuffer *value;
};

static void
clear (RagifyOwner *owner)
{
  const RagifyHealthCheck *check = (RagifyHealthCheck *)owner;
  if (check->value != NULL)
    check->value->unref (check->value);
}

static void
conclude (RagifyHealthCheck *check, const char *error, const char *detail)
{
  const RagifyHealthFinding finding = { error, detail, ragify_now () - check->began };
  *check->place = NULL;
  check->ask.found (&finding, check->ask.user);
  ragify_owner_unref (&check->owner);
}

static void
call (RagifyHealthCheck *check, const RagifyOperation *operation, const void *arguments, RagifyCallFinished finished)
{
  if (check->cancelled) {
    conclude (check, "given up", "");
    return;
  }
  check->call = ragify_call_new (&check->owner, operation, arguments, check->deadline, finished, check);
  ragify_node_call (check->ask.part->node, check->call);
}

/* Whatever came back, the host has looked at it. */
static void
answered (RagifyCall *finished, void *user)
{
  conclude (user, ragify_call_code (finished) == RAGIFY_OK ? NULL : ragify_call_message (finished), "");
}

/* ---- by kind ---- */

static void
ask_source (RagifyHealthCheck *check)
{
  check->arguments.query =
      (RagifySourceQuery){ .struct_size = sizeof check->arguments.query, .top_k = 1, .text = check->ask.query };
  call (check, &ragify_operation_source_query, &check->arguments.query, answered);
}

/* Any direction will do: the whole index is asked. */
static void
search_store (RagifyHealthCheck *check)
{
  const guint dimension = check->ask.part->dimension;
  if (dimension == 0) {
    check->arguments.list =
        (RagifyStoreList){ .struct_size = sizeof check->arguments.list, .what = RAGIFY_LIST_DOCUMENTS, .limit = 1 };
    call (check, &ragify_operation_store_list, &check->arguments.list, answered);
    return;
  }
  float *vector = ragify_arena_alloc (check->owner.arena, dimension * sizeof *vector);
  for (guint i = 0; i < dimension; i++)
    vector[i] = (float)(1 / sqrt (dimension));
  check->arguments.search = (RagifyStoreSearch){ .struct_size = sizeof check->arguments.search,
                                                 .top_k = 1,
                                                 .vectors = { .items = vector, .count = 1, .dimension = dimension } };
  call (check, &ragify_operation_store_search, &check->arguments.search, answered);
}

static void
search_words (RagifyHealthCheck *check)
{
  check->arguments.words =
      (RagifyTextSearch){ .struct_size = sizeof check->arguments.words, .top_k = 1, .text = check->ask.query };
  call (check, &ragify_operation_text_search, &check->arguments.words, answered);
}

static void
embed (RagifyHealthCheck *check)
{
  check->arguments.embed = (RagifyEmbedderEmbed){ .struct_size = sizeof check->arguments.embed,
                                                  .purpose = RAGIFY_PURPOSE_QUERY,
                                                  .texts = { &check->ask.query, 1 } };
  call (check, &ragify_operation_embedder_embed, &check->arguments.embed, answered);
}

static void
rerank (RagifyHealthCheck *check)
{
  check->chunk = (RagifyChunk){ .struct_size = sizeof check->chunk, .content = check->ask.query };
  check->arguments.rerank =
      (RagifyRerank){ .struct_size = sizeof check->arguments.rerank,
                      .top_k = 1,
                      .query = check->ask.query,
                      .chunks = { .items = &check->chunk, .count = 1, .stride = sizeof check->chunk } };
  call (check, &ragify_operation_reranker_rerank, &check->arguments.rerank, answered);
}

/* ---- caches: put in, read back, compare, take out ---- */

static void put (RagifyHealthCheck *check);

static void
taken_out (RagifyCall *finished, void *user)
{
  conclude (user, NULL, ""); /* where it could not be taken out, its time ends soon */
}

static void
got (RagifyCall *finished, void *user)
{
  RagifyHealthCheck *check = user;
  if (ragify_call_code (finished) != RAGIFY_OK) {
    conclude (check, ragify_call_message (finished), "");
    return;
  }
  RagifyBuffer *value = ((const RagifyCacheGetResult *)ragify_call_result (finished))->value;
  const gboolean there = value != NULL;
  const gboolean same =
      there && value->size == check->value->size && memcmp (value->data, check->value->data, check->value->size) == 0;
  if (there)
    value->unref (value);
  if (same)
    call (check, &ragify_operation_cache_remove, &check->remove, taken_out);
  else if (there)
    conclude (check, "what was read back is not what was put in", "");
  else if (++check->attempts < CACHE_ATTEMPTS)
    put (check);
  else
    conclude (check, "what was put in is not there", "");
}

static void
was_put (RagifyCall *finished, void *user)
{
  RagifyHealthCheck *check = user;
  if (ragify_call_code (finished) != RAGIFY_OK)
    conclude (check, ragify_call_message (finished), "");
  else
    call (check, &ragify_operation_cache_get, &check->get, got);
}

static void
put (RagifyHealthCheck *check)
{
  call (check, &ragify_operation_cache_set, &check->set, was_put);
}

static void
try_cache (RagifyHealthCheck *check)
{
  const RagifyBytes key = { check->ask.key.bytes, sizeof check->ask.key.bytes };
  guint8 *data = NULL;
  check->value = ragify_buffer_new (8 * sizeof (guint64), &data);
  for (guint i = 0; i < 8; i++) {
    const guint64 number = ragify_random ();
    memcpy (data + i * sizeof number, &number, sizeof number);
  }
  check->set =
      (RagifyCacheSet){ .struct_size = sizeof check->set, .key = key, .value = check->value, .ttl_us = CACHE_TTL_US };
  check->get = (RagifyCacheGet){ .struct_size = sizeof check->get, .key = key };
  check->remove = (RagifyCacheRemove){ .struct_size = sizeof check->remove, .key = key };
  put (check);
}

/* ---- probes ---- */

static void
probed (RagifyCall *finished, void *user)
{
  if (ragify_call_code (finished) != RAGIFY_OK) {
    conclude (user, ragify_call_message (finished), "");
    return;
  }
  const RagifyProbeResult *result = ragify_call_result (finished);
  g_autofree char *detail = g_strndup (result->detail.data, result->detail.size);
  conclude (user, NULL, detail);
}

static void
probe (RagifyHealthCheck *check)
{
  check->arguments.nothing = (RagifyNothing){ .struct_size = sizeof check->arguments.nothing };
  if (ragify_node_component (check->ask.part->node)->probe == NULL)
    conclude (check, NULL, "has no probe");
  else
    call (check, &ragify_operation_probe, &check->arguments.nothing, probed);
}

/* ---- the whole ---- */

typedef struct Kind {
  const char *kind, *section;
  void (*begin) (RagifyHealthCheck *check);
} Kind;

static const Kind kinds[] = {
  { RAGIFY_KIND_SOURCE, "sources", ask_source },
  { RAGIFY_KIND_VECTOR_STORE, "vector_db", search_store },
  { RAGIFY_KIND_TEXT_INDEX, "text_indexes", search_words },
  { RAGIFY_KIND_EMBEDDER, "embedders", embed },
  { RAGIFY_KIND_RERANKER, "rerankers", rerank },
  { RAGIFY_KIND_CACHE, "cache", try_cache },
};

static const Kind *
find_kind (const RagifyComponent *component)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    if (strcmp (kinds[i].kind, component->kind) == 0)
      return &kinds[i];
  return NULL;
}

const char *
ragify_health_section (const RagifyComponent *component)
{
  const Kind *kind = find_kind (component);
  return kind != NULL ? kind->section : NULL;
}

void
ragify_health_check_begin (const RagifyHealthAsk *ask, RagifyHealthCheck **place)
{
  RagifyHealthCheck *check = (RagifyHealthCheck *)ragify_owner_new (sizeof *check, clear);
  const guint64 patience = ask->part->deadline_us;
  check->ask = *ask;
  check->place = place;
  check->began = ragify_now ();
  check->deadline = check->began + (patience != 0 ? MIN (patience, PATIENCE_US) : PATIENCE_US);
  *place = check;
  if (ask->part->depth == RAGIFY_CHECK_PROBE)
    probe (check);
  else
    find_kind (ragify_node_component (ask->part->node))->begin (check);
}

void
ragify_health_check_cancel (RagifyHealthCheck *check)
{
  check->cancelled = TRUE;
  ragify_call_cancel (check->call);
}
