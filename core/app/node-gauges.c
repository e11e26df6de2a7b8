/* SPDX-License-Identifier: MIT */
#include "core/app/node-gauges.h"

#include <stdatomic.h>

#include "core/call/operations.h"
#include "core/call/text.h"

#define FIRST_US (2 * (guint64)G_USEC_PER_SEC)
#define EVERY_US (10 * (guint64)G_USEC_PER_SEC)
#define PATIENCE_US (5 * (guint64)G_USEC_PER_SEC)
#define POLL_US 200
/* Of one node: what is more is left out. */
#define MOST_NUMBERS 100u
#define LONGEST_NAME 64u

typedef struct {
  RagifyNodeGauges *all;
  RagifyNode *node;
  RagifySeries *active, *queued, *abandoned;
} NodeGauges;

struct RagifyNodeGauges {
  RagifyRuntime *runtime;
  RagifyLoop *loop; /* everything happens there */
  NodeGauges *nodes;
  guint count;
  RagifyDeadline next;
  RagifyTask starting, ending;
  guint asked; /* nodes that have not answered yet, and one while they are being asked */
  gboolean stopping;
  atomic_bool over;
};

static void
take_number (const NodeGauges *gauges, const RagifyPair *pair)
{
  const RagifyValue *value = &pair->value;
  if (value->type != RAGIFY_VALUE_INT && value->type != RAGIFY_VALUE_DOUBLE && value->type != RAGIFY_VALUE_BOOL)
    return;
  g_autofree char *name = ragify_text_copy (pair->name, LONGEST_NAME);
  RagifySeries *series =
      ragify_metrics_series (gauges->all->runtime->metrics, RAGIFY_SERIES_GAUGE, "ragify_node_stat",
                             "What a node's plugin says of itself: its pool, its connections, what it holds", "node",
                             ragify_node_name (gauges->node), "name", name, NULL);
  ragify_series_set (series, value->type == RAGIFY_VALUE_DOUBLE ? value->number : (double)value->integer);
}

static void
one_less (RagifyNodeGauges *all)
{
  if (--all->asked > 0)
    return;
  if (all->stopping)
    atomic_store (&all->over, TRUE);
  else
    ragify_loop_arm (all->loop, &all->next, ragify_now () + EVERY_US);
}

static void
answered (RagifyCall *call, void *user)
{
  const NodeGauges *gauges = user;
  const RagifyStatsResult *result = ragify_call_code (call) == RAGIFY_OK ? ragify_call_result (call) : NULL;
  for (guint64 i = 0; result != NULL && i < MIN (result->values.count, MOST_NUMBERS); i++)
    take_number (gauges, &result->values.items[i]);
  one_less (gauges->all);
}

static void
ask_node (NodeGauges *gauges)
{
  static const RagifyNothing nothing = { .struct_size = sizeof nothing };
  const RagifyNodeCounts counts = ragify_node_counts (gauges->node);
  ragify_series_set (gauges->active, (double)counts.active);
  ragify_series_set (gauges->queued, (double)counts.queued);
  ragify_series_set (gauges->abandoned, (double)counts.abandoned);
  if (ragify_node_component (gauges->node)->stats == NULL)
    return;
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
  gauges->all->asked++;
  ragify_node_call (gauges->node, ragify_call_new (owner, &ragify_operation_stats, &nothing,
                                                   ragify_now () + PATIENCE_US, answered, gauges));
}

static void
ask (RagifyDeadline *deadline)
{
  RagifyNodeGauges *all = (RagifyNodeGauges *)(void *)((char *)deadline - G_STRUCT_OFFSET (RagifyNodeGauges, next));
  all->asked = 1; /* some answer at once */
  for (guint i = 0; i < all->count; i++)
    ask_node (&all->nodes[i]);
  one_less (all);
}

static void
start (RagifyTask *task)
{
  RagifyNodeGauges *all = (RagifyNodeGauges *)(void *)((char *)task - G_STRUCT_OFFSET (RagifyNodeGauges, starting));
  all->next.expired = ask;
  ragify_loop_arm (all->loop, &all->next, ragify_now () + FIRST_US);
}

static void
stop (RagifyTask *task)
{
  RagifyNodeGauges *all = (RagifyNodeGauges *)(void *)((char *)task - G_STRUCT_OFFSET (RagifyNodeGauges, ending));
  all->stopping = TRUE;
  ragify_loop_disarm (all->loop, &all->next);
  if (all->asked == 0)
    atomic_store (&all->over, TRUE);
}

static RagifySeries *
gauge (RagifyRuntime *runtime, const char *name, const char *help, const RagifyNode *node)
{
  return ragify_metrics_series (runtime->metrics, RAGIFY_SERIES_GAUGE, name, help, "node", ragify_node_name (node),
                                NULL);
}

RagifyNodeGauges *
ragify_node_gauges_new (RagifyRuntime *runtime, RagifyNode *const *nodes, guint count)
{
  RagifyNodeGauges *all = g_new0 (RagifyNodeGauges, 1);
  all->runtime = runtime;
  all->loop = runtime->loops[0];
  all->count = count;
  all->nodes = g_new0 (NodeGauges, MAX (count, 1));
  for (guint i = 0; i < count; i++)
    all->nodes[i] = (NodeGauges){
      .all = all,
      .node = nodes[i],
      .active = gauge (runtime, "ragify_node_calls_active", "Calls of a node that are under way", nodes[i]),
      .queued = gauge (runtime, "ragify_node_calls_queued", "Calls of a node that wait for a worker", nodes[i]),
      .abandoned = gauge (runtime, "ragify_node_calls_abandoned",
                          "Calls of a node that it has not completed although nobody waits any more", nodes[i]),
    };
  all->starting.run = start;
  if (count > 0)
    ragify_loop_post (all->loop, &all->starting);
  return all;
}

void
ragify_node_gauges_free (RagifyNodeGauges *gauges)
{
  if (gauges == NULL)
    return;
  if (gauges->count > 0) {
    gauges->ending.run = stop;
    ragify_loop_post (gauges->loop, &gauges->ending);
    while (!atomic_load (&gauges->over))
      g_usleep (POLL_US);
  }
  g_free (gauges->nodes);
  g_free (gauges);
}
