/* The inside of a node, for the files of core/module/ that it is made of.
 *
 * SPDX-License-Identifier: MIT
 *
 *   node.c          making, counting
 *   node-calls.c    calling
 *   node-change.c   other values, other instances, while calls come
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "core/call/call-private.h"
#include "core/module/context.h"
#include "core/module/guard.h"

#define RAGIFY_NODE_OPERATIONS 16u

typedef struct RagifyNodeInstance {
  void *self;
  gboolean started;
  RagifyContext context;
} RagifyNodeInstance;

/* How one operation goes, for /metrics. */
typedef struct RagifyNodeSeries {
  const RagifyOperation *operation;
  RagifySeries *duration, *errors;
} RagifyNodeSeries;

struct RagifyNode {
  RagifyRuntime *runtime;
  char *name;
  const RagifyComponent *component;
  RagifyTally *tally;
  RagifyNodeInstance *instances;
  guint n_instances, wanted_instances;
  gboolean has_places; /* calls wait for one of max_parallel places: of all worker components, of others if they are
                          configured so */
  _Atomic guint max_abandoned;
  _Atomic gsize memory_limit;
  _Atomic (RagifyGuard *) guard;
  GPtrArray *guards;  /* that one and those before it, which calls under way may know; [control] */
  GHashTable *quotas; /* by name; [control] */
  RagifyNodeSeries series[RAGIFY_NODE_OPERATIONS];
  guint n_series;

  _Atomic guint64 calls, errors, timeouts, late;
  _Atomic guint64 active;  /* calls, submitted work, posted callbacks: what must be over before it can be freed */
  _Atomic guint64 hanging; /* calls that the host no longer waits for */

  pthread_mutex_t values_lock; /* guards `values` against a change of configuration */
  RagifyNodeValues values;

  pthread_mutex_t lock;        /* guards what follows */
  gboolean paused;             /* calls wait in the queue until the instances were changed */
  gboolean dead;               /* its instances are gone for good: calls fail */
  guint max_parallel, running; /* calls that have one of its places */
  RagifyCall *queue, **queue_last;
  guint queued;
};

/* Creates the instances that the run class asks for; those made are counted also when a later one fails. [control] */
gboolean ragify_node_create_instances (RagifyNode *node, GError **error);
void ragify_node_destroy_instances (RagifyNode *node);
/* Stops those that were started; FALSE when one does not come to an end. [control] */
gboolean ragify_node_stop_instances (RagifyNode *node, guint64 deadline);
/* One lifecycle operation on one instance; `args` lives as long as the owner. On failure `*message` is set. [control]
 */
gint32 ragify_node_lifecycle (RagifyNode *node, guint index, RagifyOwner *owner, const RagifyOperation *operation,
                              const void *args, guint64 deadline, char **message);
gboolean ragify_node_is_on_workers (const RagifyNode *node);
/* Takes over what `options` says about how much at once. */
void ragify_node_set_limits (RagifyNode *node, const RagifyNodeOptions *options);

/* From here on calls wait, those of the lifecycle excepted. Worker components only. [control] */
void ragify_node_pause (RagifyNode *node);
/* Waits until nothing is under way but what waits; FALSE at the deadline. [control] */
gboolean ragify_node_settle_paused (RagifyNode *node, guint64 deadline);
void ragify_node_resume (RagifyNode *node);
