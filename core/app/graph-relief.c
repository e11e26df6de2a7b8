/* What a graph does when memory runs short: its caches and pipelines give some back.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdatomic.h>

#include "core/app/graph-private.h"
#include "core/cache/tier-relief.h"

#define POLL_US 200

struct RagifyRelief {
  RagifyGraph *graph;
  RagifyTask task;
  RagifyReliefScope scope; /* of the round under way */
  guint pending;           /* tiers; the loop's */
  atomic_bool busy;
};

static void
tier_done (void *user)
{
  RagifyRelief *relief = user;
  if (--relief->pending == 0)
    atomic_store (&relief->busy, FALSE);
}

static void
relieve_tiers (RagifyTask *task)
{
  RagifyRelief *relief = (RagifyRelief *)(void *)((char *)task - G_STRUCT_OFFSET (RagifyRelief, task));
  const RagifyServing *serving = &relief->graph->serving;
  relief->pending = 1;
  for (guint i = 0; i < serving->n_tiers; i++) {
    relief->pending++;
    ragify_tier_relieve (serving->tiers[i], relief->scope, tier_done, relief);
  }
  tier_done (relief);
}

static void
relieve (RagifyMemoryStep step, void *user)
{
  RagifyRelief *relief = user;
  const RagifyServing *serving = &relief->graph->serving;
  for (guint i = 0; step == RAGIFY_MEMORY_SHRINK && i < serving->n_pipelines; i++)
    ragify_pipeline_shrink (serving->pipelines[i]);
  if (atomic_exchange (&relief->busy, TRUE))
    return;
  relief->scope = step == RAGIFY_MEMORY_EXPIRE ? RAGIFY_RELIEF_EXPIRED : RAGIFY_RELIEF_HALF;
  relief->task.run = relieve_tiers;
  ragify_loop_post (relief->graph->runtime->loops[0], &relief->task);
}

void
ragify_graph_make_relief (RagifyGraph *graph)
{
  graph->relief = g_new0 (RagifyRelief, 1);
  graph->relief->graph = graph;
  ragify_memory_add_relief (graph->runtime->memory, relieve, graph->relief);
}

void
ragify_graph_free_relief (RagifyGraph *graph)
{
  if (graph->relief == NULL)
    return;
  ragify_memory_remove_relief (graph->runtime->memory, graph->relief);
  while (atomic_load (&graph->relief->busy))
    g_usleep (POLL_US);
  g_clear_pointer (&graph->relief, g_free);
}
