/* Embedders and rerankers. SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"

/* ---- embedders ---- */

static const RagifyEmbedderOperations *
embedder (const RagifyKitInstance *instance)
{
  return ragify_kit_operations (instance);
}

static RagifyKitCall *
embed (RagifyKitInstance *instance, const RagifyStr *texts, uint64_t count, uint32_t purpose)
{
  const RagifyEmbedderEmbed args = { .struct_size = sizeof args, .purpose = purpose, .texts = { texts, count } };
  return ragify_kit_call (instance, (RagifyKitFunction)embedder (instance)->embed, &args, 0);
}

static RagifyEmbedderInfo
describe (Subject *subject, RagifyKitInstance *instance, char *fingerprint, size_t size)
{
  const RagifyNothing nothing = { .struct_size = sizeof nothing };
  RagifyEmbedderInfo info = { 0 };
  RagifyKitCall *call = ragify_kit_call (instance, (RagifyKitFunction)embedder (instance)->describe, &nothing, 0);
  if (subject_succeeded (subject, call, "describe")) {
    info = *(const RagifyEmbedderInfo *)call->result;
    const size_t length = info.fingerprint.size < size - 1 ? info.fingerprint.size : size - 1;
    if (length > 0)
      memcpy (fingerprint, info.fingerprint.data, length);
    fingerprint[length] = '\0';
  }
  ragify_kit_call_free (call);
  return info;
}

static void
describes_itself (Subject *subject)
{
  char first[256] = "", second[256] = "";
  RagifyKitInstance *instance = subject_open (subject);
  if (instance == NULL)
    return;
  const RagifyEmbedderInfo info = describe (subject, instance, first, sizeof first);
  expect (subject, info.dimension >= 1 && info.dimension <= 65536, "a dimension of %u", info.dimension);
  expect (subject, *first != '\0' && text_is_utf8 (ragify_str_from (first)), "no fingerprint in UTF-8");
  subject_close (subject, instance);
  instance = subject_open (subject);
  if (instance == NULL)
    return;
  const RagifyEmbedderInfo again = describe (subject, instance, second, sizeof second);
  expect (subject, again.dimension == info.dimension && strcmp (first, second) == 0,
          "another instance of the same configuration says '%s' and %u, the first '%s' and %u", second, again.dimension,
          first, info.dimension);
  subject_close (subject, instance);
}

/* Vectors as they should be: one for each text, of that dimension, finite, of unit length. */
static bool
check_vectors (Subject *subject, const RagifyKitCall *call, uint64_t count, uint32_t dimension)
{
  if (!subject_succeeded (subject, call, "embed"))
    return false;
  const RagifyVectors *vectors = &((const RagifyEmbedderEmbedResult *)call->result)->vectors;
  if (!expect (subject, vectors->count == count, "%u vectors for %llu texts", vectors->count,
               (unsigned long long)count))
    return false;
  if (count > 0 && !expect (subject, vectors->dimension == dimension, "vectors of %u where describe says %u",
                            vectors->dimension, dimension))
    return false;
  for (uint64_t i = 0; i < count; i++) {
    double sum = 0;
    for (uint32_t k = 0; k < dimension; k++)
      sum += (double)vectors->items[i * dimension + k] * vectors->items[i * dimension + k];
    if (!expect (subject, isfinite (sum) && fabs (sqrt (sum) - 1) < 0.01, "a vector of length %g", sqrt (sum)))
      return false;
  }
  return true;
}

static double
cosine (const float *a, const float *b, uint32_t dimension)
{
  double sum = 0;
  for (uint32_t k = 0; k < dimension; k++)
    sum += (double)a[k] * b[k];
  return sum;
}

static void
vectors_are_unit (Subject *subject)
{
  static const uint32_t purposes[] = { RAGIFY_PURPOSE_QUERY, RAGIFY_PURPOSE_DOCUMENT };
  char fingerprint[256];
  RagifyStr texts[24];
  RagifyKitInstance *instance = subject_open (subject);
  if (instance == NULL)
    return;
  const uint32_t dimension = describe (subject, instance, fingerprint, sizeof fingerprint).dimension;
  for (size_t i = 0; i < 24; i++)
    texts[i] = ragify_str_from (i % 3 == 0   ? "the heron stands in shallow water"
                                : i % 3 == 1 ? "x"
                                             : "a bittern, booming");
  for (size_t i = 0; i < 2; i++)
    for (uint64_t count = 0; count <= 24; count += 8) {
      RagifyKitCall *call = embed (instance, texts, count, purposes[i]);
      check_vectors (subject, call, count, dimension);
      ragify_kit_call_free (call);
    }
  subject_close (subject, instance);
}

static void
alone_or_together (Subject *subject)
{
  char fingerprint[256];
  const RagifyStr texts[] = { ragify_str_from ("the heron stands in shallow water"), ragify_str_from ("x"),
                              ragify_str_from ("prices rose by three per cent in the second quarter of the year") };
  RagifyKitInstance *instance = subject_open (subject);
  if (instance == NULL)
    return;
  const uint32_t dimension = describe (subject, instance, fingerprint, sizeof fingerprint).dimension;
  RagifyKitCall *together = embed (instance, texts, 3, RAGIFY_PURPOSE_DOCUMENT);
  for (size_t i = 0; i < 3 && check_vectors (subject, together, 3, dimension); i++) {
    RagifyKitCall *alone = embed (instance, &texts[i], 1, RAGIFY_PURPOSE_DOCUMENT);
    if (check_vectors (subject, alone, 1, dimension)) {
      const float *ours = ((const RagifyEmbedderEmbedResult *)alone->result)->vectors.items;
      const float *theirs = ((const RagifyEmbedderEmbedResult *)together->result)->vectors.items;
      expect (subject, cosine (ours, theirs + i * dimension, dimension) > 0.99,
              "text %zu alone and among others: a cosine of %g", i, cosine (ours, theirs + i * dimension, dimension));
    }
    ragify_kit_call_free (alone);
  }
  ragify_kit_call_free (together);
  subject_close (subject, instance);
}

static void
survives_any_text (Subject *subject)
{
  char fingerprint[256];
  static char large[100000];
  RagifyKitInstance *instance = subject_open (subject);
  if (instance == NULL)
    return;
  const RagifyEmbedderInfo info = describe (subject, instance, fingerprint, sizeof fingerprint);
  for (const RagifyStr *text = text_naughty; text->data != NULL; text++) {
    RagifyKitCall *call = embed (instance, text, 1, RAGIFY_PURPOSE_QUERY);
    check_vectors (subject, call, 1, info.dimension);
    ragify_kit_call_free (call);
  }
  const RagifyStr empty = { NULL, 0 };
  RagifyKitCall *nothing = embed (instance, &empty, 1, RAGIFY_PURPOSE_QUERY);
  check_vectors (subject, nothing, 1, info.dimension);
  ragify_kit_call_free (nothing);
  for (size_t i = 0; i < sizeof large; i++)
    large[i] = i % 5 == 4 ? ' ' : (char)('a' + i % 25);
  const RagifyStr long_text = { large, sizeof large };
  RagifyKitCall *call = embed (instance, &long_text, 1, RAGIFY_PURPOSE_DOCUMENT);
  if (check_vectors (subject, call, 1, info.dimension) && info.token_limit > 0 && info.token_limit < 20000)
    expect (subject, ((const RagifyEmbedderEmbedResult *)call->result)->truncated == 1,
            "a text of 20,000 words is not counted as truncated at a limit of %u tokens", info.token_limit);
  ragify_kit_call_free (call);
  subject_close (subject, instance);
}

static void
counts_tokens (Subject *subject)
{
  const RagifyStr texts[] = { ragify_str_from ("heron"), ragify_str_from ("the heron stands in shallow water"),
                              ragify_str_from ("") };
  RagifyKitInstance *instance = subject_open (subject);
  if (instance != NULL && embedder (instance)->tokenize == NULL) {
    skip (subject, "it has no tokenize");
  } else if (instance != NULL) {
    const RagifyEmbedderTokenize args = { .struct_size = sizeof args, .texts = { texts, 3 } };
    RagifyKitCall *call = ragify_kit_call (instance, (RagifyKitFunction)embedder (instance)->tokenize, &args, 0);
    if (subject_succeeded (subject, call, "tokenize")) {
      const RagifyU32List *counts = &((const RagifyEmbedderTokenizeResult *)call->result)->counts;
      if (expect (subject, counts->count == 3, "%llu counts for 3 texts", (unsigned long long)counts->count))
        expect (subject, counts->items[0] >= 1 && counts->items[1] > counts->items[0] && counts->items[2] == 0,
                "one word has %u tokens, six have %u, none has %u", counts->items[0], counts->items[1],
                counts->items[2]);
    }
    ragify_kit_call_free (call);
  }
  subject_close (subject, instance);
}

/* ---- rerankers ---- */

static RagifyKitCall *
rerank (RagifyKitInstance *instance, const RagifyChunk *chunks, uint64_t count, uint32_t top_k)
{
  const RagifyRerank args = { .struct_size = sizeof args,
                              .top_k = top_k,
                              .query = ragify_str_from ("where does the heron stand?"),
                              .chunks = { chunks, count, sizeof *chunks, 0 } };
  const RagifyRerankerOperations *operations = ragify_kit_operations (instance);
  return ragify_kit_call (instance, (RagifyKitFunction)operations->rerank, &args, 0);
}

static void
check_ranks (Subject *subject, const RagifyKitCall *call, uint64_t count, uint32_t top_k)
{
  if (!subject_succeeded (subject, call, "rerank"))
    return;
  const RagifyRankList *ranks = &((const RagifyRerankResult *)call->result)->ranks;
  expect (subject, ranks->count <= (count < top_k ? count : top_k), "%llu ranks of %llu passages where %u were wanted",
          (unsigned long long)ranks->count, (unsigned long long)count, top_k);
  for (uint64_t i = 0; i < ranks->count; i++) {
    const RagifyRank *rank = &ranks->items[i];
    expect (subject, rank->index < count, "a rank of passage %u of %llu", rank->index, (unsigned long long)count);
    expect (subject, rank->score >= 0 && rank->score <= 1, "a score of %g is no probability", (double)rank->score);
    expect (subject, i == 0 || rank->score <= ranks->items[i - 1].score, "ranks are not in the order of their scores");
    for (uint64_t k = 0; k < i; k++)
      expect (subject, ranks->items[k].index != rank->index, "passage %u is ranked twice", rank->index);
  }
}

static void
ranks_are_sound (Subject *subject)
{
  static const char *const texts[] = { "prices rose", "the heron stands in shallow water", "", "a bittern booms", "x" };
  RagifyChunk chunks[5] = { { 0 } };
  RagifyKitInstance *instance = subject_open (subject);
  for (size_t i = 0; i < 5; i++)
    chunks[i] = (RagifyChunk){ .struct_size = sizeof chunks[i], .content = ragify_str_from (texts[i]) };
  for (uint32_t top_k = 1; instance != NULL && top_k <= 5; top_k += 2)
    for (uint64_t count = 0; count <= 5; count++) {
      RagifyKitCall *call = rerank (instance, chunks, count, top_k);
      check_ranks (subject, call, count, top_k);
      ragify_kit_call_free (call);
    }
  for (const RagifyStr *text = text_naughty; instance != NULL && text->data != NULL; text++) {
    chunks[0].content = *text;
    RagifyKitCall *call = rerank (instance, chunks, 2, 2);
    check_ranks (subject, call, 2, 2);
    ragify_kit_call_free (call);
  }
  subject_close (subject, instance);
}

static void
order_does_not_count (Subject *subject)
{
  static const char *const texts[] = { "the heron stands in shallow water", "prices rose by three per cent" };
  RagifyChunk chunks[2] = { { 0 } };
  RagifyKitInstance *instance = subject_open (subject);
  uint32_t best[2] = { 0, 0 };
  for (int turn = 0; instance != NULL && turn < 2; turn++) {
    for (int i = 0; i < 2; i++)
      chunks[i] = (RagifyChunk){ .struct_size = sizeof chunks[i], .content = ragify_str_from (texts[(i + turn) % 2]) };
    RagifyKitCall *call = rerank (instance, chunks, 2, 2);
    if (subject_succeeded (subject, call, "rerank") && ((const RagifyRerankResult *)call->result)->ranks.count > 0)
      best[turn] = (((const RagifyRerankResult *)call->result)->ranks.items[0].index + (uint32_t)turn) % 2;
    ragify_kit_call_free (call);
  }
  expect (subject, best[0] == best[1], "the better of two passages depends on which one comes first");
  subject_close (subject, instance);
}

#define EMBEDDER RAGIFY_KIND_EMBEDDER
#define RERANKER RAGIFY_KIND_RERANKER

const Case conformance_model_cases[] = {
  { "describes its vectors", "describe gives a dimension and a fingerprint that are the same each time",
    describes_itself, EMBEDDER },
  { "vectors are unit", "one vector for each text, of that dimension, finite, of unit length; none for none",
    vectors_are_unit, EMBEDDER },
  { "alone or together", "a text's vector does not depend on the texts beside it", alone_or_together, EMBEDDER },
  { "survives any text", "any UTF-8 text has a vector, also the empty one; longer ones are cut and counted",
    survives_any_text, EMBEDDER },
  { "counts tokens", "one count for each text, without special tokens", counts_tokens, EMBEDDER },
  { "ranks are sound", "at most top_k ranks, each passage once, probabilities, best first", ranks_are_sound, RERANKER },
  { "order does not count", "which passage is better does not depend on their order", order_does_not_count, RERANKER },
  { NULL, NULL, NULL, NULL },
};
