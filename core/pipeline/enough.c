/* Early finish: whether what has come is enough to answer from.
 *
 * SPDX-License-Identifier: MIT
 */
#include "core/pipeline/run.h"

/* What a text index finds is not counted: what it is worth is known only from its store's vectors, and it mostly
 * answers first, so that the store would never be waited for. */
static guint
count_good (const RagifyRun *run, const RagifyAsk *ask)
{
  guint good = 0;
  for (guint i = 0; i < ask->found; i++) {
    float relevance = 0;
    switch (ask->place->as.type) {
    case RAGIFY_RETRIEVER_VECTOR_STORE:
      relevance = ask->hits[i].score;
      break;
    case RAGIFY_RETRIEVER_SOURCE:
      relevance = ragify_source_relevance (ask, ask->chunks[i], i + 1);
      break;
    case RAGIFY_RETRIEVER_TEXT_INDEX:
      return 0;
    }
    if ((double)relevance >= run->min_relevance)
      good++;
  }
  return good;
}

gboolean
ragify_run_has_enough (const RagifyRun *run, const RagifyAsk *ask)
{
  if (ask->state != RAGIFY_ASK_OK)
    return FALSE;
  switch (run->pipeline->options.finish) {
  case RAGIFY_FINISH_FIRST:
    return ask->found > 0;
  case RAGIFY_FINISH_ENOUGH: {
    guint good = 0;
    for (guint i = 0; i < run->asked; i++)
      if (run->asks[i].state == RAGIFY_ASK_OK)
        good += count_good (run, &run->asks[i]);
    return good >= run->request->max_chunks;
  }
  case RAGIFY_FINISH_ALL:
  default:
    return FALSE;
  }
}
