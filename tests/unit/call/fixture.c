/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <pthread.h>
#include <string.h>

#include "core/module/context.h"

RagifyRuntime *
fixture_runtime_new (void)
{
  RagifyRuntime *runtime = g_new0 (RagifyRuntime, 1);
  runtime->n_loops = 2;
  runtime->loops = g_new0 (RagifyLoop *, 2);
  runtime->metrics = ragify_metrics_new ();
  for (guint i = 0; i < 2; i++)
    runtime->loops[i] = ragify_loop_new (i);
  runtime->workers = ragify_workers_new (2, 1000);
  return runtime;
}

void
fixture_runtime_free (RagifyRuntime *runtime)
{
  assert_int_equal (ragify_workers_free (runtime->workers, FIXTURE_PATIENCE_US), 0);
  for (guint i = 0; i < 2; i++)
    ragify_loop_free (runtime->loops[i]);
  ragify_metrics_free (runtime->metrics);
  g_free (runtime->loops);
  g_free (runtime);
}

/* ---- the component: the operations are in the instance's component, found through the node ---- */

static guint instances;

guint
fixture_instances (void)
{
  return instances;
}

static int32_t
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  instances = which->count;
  *instance = context;
  return RAGIFY_OK;
}

static void
start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  ragify_host ()->call_done (call, NULL);
}

static void
destroy (void *instance)
{
}

RagifyNode *
fixture_source_new (RagifyRuntime *runtime, guint32 run_class, guint32 max_parallel,
                    void (*query) (void *instance, RagifyCall *call, const RagifySourceQuery *args))
{
  return fixture_bounded_source_new (runtime, run_class, max_parallel, 0, query);
}

RagifyNode *
fixture_bounded_source_new (RagifyRuntime *runtime, guint32 run_class, guint32 max_parallel, guint bound,
                            void (*query) (void *instance, RagifyCall *call, const RagifySourceQuery *args))
{
  RagifySourceOperations *operations = g_new0 (RagifySourceOperations, 1);
  operations->struct_size = sizeof *operations;
  operations->query = query;
  RagifyComponent *component = g_new0 (RagifyComponent, 1);
  *component = (RagifyComponent){ .struct_size = sizeof *component,
                                  .kind = RAGIFY_KIND_SOURCE,
                                  .name = "made-here",
                                  .run_class = run_class,
                                  .max_parallel = max_parallel,
                                  .operations = operations,
                                  .create = create,
                                  .start = start,
                                  .destroy = destroy };
  static GPtrArray *all; /* they outlive the nodes; reachable, so no leak */
  if (all == NULL)
    all = g_ptr_array_new ();
  g_ptr_array_add (all, operations);
  g_ptr_array_add (all, component);
  const RagifyNodeOptions options = {
    .name = "tested", .component = component, .max_parallel = bound, .max_abandoned = 4
  };
  g_autoptr (GError) error = NULL;
  RagifyNode *node = ragify_node_new (runtime, &options, &error);
  assert_non_null (node);
  const RagifyStart args = { .struct_size = sizeof args };
  assert_true (ragify_node_start (node, &args, ragify_now () + FIXTURE_PATIENCE_US, &error));
  return node;
}

const RagifyHost *
fixture_host (void)
{
  return ragify_host ();
}

RagifyContext *
fixture_context (void *instance)
{
  return instance;
}

/* ---- asking ---- */

typedef struct Asking {
  RagifyTask task;
  RagifyDeadline cancel;
  RagifyNode *node;
  RagifyLoop *loop;
  guint64 timeout, cancel_after;
  RagifyOwner *owner;
  RagifyCall *call;
  FixtureOutcome outcome;
  pthread_mutex_t lock;
  pthread_cond_t done;
  gboolean is_done;
} Asking;

static void
note_outcome (RagifyCall *call, FixtureOutcome *outcome)
{
  outcome->code = ragify_call_code (call);
  outcome->duration = ragify_call_duration (call);
  g_strlcpy (outcome->message, ragify_call_message (call), sizeof outcome->message);
  const RagifySourceResult *result = ragify_call_result (call);
  gsize emitted = 0;
  const void *const *items = ragify_call_items (call, &emitted);
  outcome->chunks = (result != NULL ? result->chunks.count : 0) + emitted;
  const RagifyChunk *first = emitted > 0                                  ? items[0]
                             : result != NULL && result->chunks.count > 0 ? result->chunks.items
                                                                          : NULL;
  if (first != NULL && first->content.size > 0)
    g_strlcpy (outcome->first, first->content.data, MIN (sizeof outcome->first, first->content.size + 1));
}

static void
finished (RagifyCall *call, void *user)
{
  Asking *asking = user;
  if (asking->loop != NULL)
    ragify_loop_disarm (asking->loop, &asking->cancel);
  note_outcome (call, &asking->outcome);
  asking->outcome.finished++;
  ragify_owner_unref (asking->owner);
  pthread_mutex_lock (&asking->lock);
  asking->is_done = TRUE;
  pthread_cond_signal (&asking->done);
  pthread_mutex_unlock (&asking->lock);
}

static void
cancel_now (RagifyDeadline *deadline)
{
  ragify_call_cancel (((Asking *)(void *)((char *)deadline - offsetof (Asking, cancel)))->call);
}

static RagifyCall *
make_call (Asking *asking, RagifyCallFinished on_finished)
{
  static const RagifySourceQuery query = { .struct_size = sizeof query, .top_k = 10, .text = { "a question", 10 } };
  return ragify_call_new (asking->owner, &ragify_operation_source_query, &query, ragify_now () + asking->timeout,
                          on_finished, asking);
}

static void
ask_on_loop (RagifyTask *task)
{
  Asking *asking = (Asking *)task;
  asking->owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
  asking->call = make_call (asking, finished);
  if (asking->cancel_after != 0) {
    asking->cancel.expired = cancel_now;
    ragify_loop_arm (asking->loop, &asking->cancel, ragify_now () + asking->cancel_after);
  }
  ragify_node_call (asking->node, asking->call);
}

FixtureOutcome
fixture_ask (RagifyNode *node, RagifyLoop *loop, guint64 timeout, guint64 cancel_after)
{
  Asking asking = {
    .task = { .run = ask_on_loop }, .node = node, .loop = loop, .timeout = timeout, .cancel_after = cancel_after
  };
  if (loop == NULL) {
    asking.owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
    asking.call = make_call (&asking, NULL);
    ragify_call_wait (node, asking.call);
    note_outcome (asking.call, &asking.outcome);
    ragify_owner_unref (asking.owner);
    return asking.outcome;
  }
  pthread_mutex_init (&asking.lock, NULL);
  pthread_cond_init (&asking.done, NULL);
  ragify_loop_post (loop, &asking.task);
  pthread_mutex_lock (&asking.lock);
  while (!asking.is_done)
    pthread_cond_wait (&asking.done, &asking.lock);
  pthread_mutex_unlock (&asking.lock);
  pthread_cond_destroy (&asking.done);
  pthread_mutex_destroy (&asking.lock);
  return asking.outcome;
}

static gint bolted; /* atomic */

void
fixture_bolt (void)
{
  g_atomic_int_set (&bolted, 1);
}

void
fixture_unbolt (void)
{
  g_atomic_int_set (&bolted, 0);
}

void
fixture_wait_behind_bolt (void)
{
  while (g_atomic_int_get (&bolted) != 0)
    g_usleep (1000);
}

void
fixture_settle (RagifyNode *node)
{
  for (guint i = 0; i < 60000 && ragify_node_counts (node).active > 0; i++)
    g_usleep (1000);
  assert_int_equal (ragify_node_counts (node).active, 0);
}
