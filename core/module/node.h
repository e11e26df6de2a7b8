/* A node: what the configuration names. It owns the instances of one component and their shared policy and statistics.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <glib.h>
#include <ragify/ragify.h>

#include "core/balance/breaker.h"
#include "core/call/call.h"
#include "core/call/workers.h"
#include "core/observe/history.h"
#include "core/observe/memory.h"
#include "core/observe/metrics.h"
#include "core/observe/tracer.h"
#include "core/observe/tracker.h"

typedef struct RagifyRuntime RagifyRuntime;

/* What nodes run on; made by the application, outlives every node. */
struct RagifyRuntime {
  RagifyLoop **loops;
  guint n_loops;
  RagifyWorkers *workers;
  RagifyMetrics *metrics;
  RagifyHistory *history; /* NULL: none is kept */
  RagifyMemory *memory;   /* NULL: nobody looks */
  RagifyTracer *tracer;   /* NULL: spans are sent nowhere */
  RagifyTracker *tracker; /* NULL: nothing is recorded */
  guint64 slow_query_us;  /* atomic; from where on an answer is logged as slow; 0: none is */
  gint slow_query_text;   /* atomic; whether with what was asked */
  /* Extensions that take the place of the host's own; NULL, or NULL from it: none. [any] */
  const void *(*find_extension) (const char *id);
  guint
      left_behind; /* nodes that could not be freed: plugins still use them, and through them all of this. [control] */
};

/* The typed configuration of one node, as the getters of RagifyHost need it; the application implements it on the
 * checked configuration. `get` finds a value of the schema type `type` (RAGIFY_KEY_…) and writes what the matching
 * getter of RagifyHost would; RAGIFY_OK or RAGIFY_E_NOT_FOUND. Called from any thread until `destroy`. */
typedef struct RagifyNodeValues {
  gint32 (*get) (void *user, const char *key, guint32 type, void *value);
  void (*destroy) (void *user);
  void *user;
} RagifyNodeValues;

typedef struct RagifyNodeOptions {
  const char *name;
  const RagifyComponent *component;
  RagifyNodeValues values; /* passes to the node */
  guint max_parallel;  /* calls at once, of a worker component as far as it can take them; also bounds how many loops
                          have an instance; 0: no bound of the configuration */
  guint max_abandoned; /* calls that may hang before the node is ejected; 0: 64 */
  gsize memory_limit;  /* bytes that one call's results may take; 0: 256 MiB */
  guint64 deadline_us; /* that it is configured with; 0: none. Callers set the deadlines: this is what a fair one is */
  RagifyBreakerOptions breaker; /* `probes` is the component's; zeroed: none */
  guint retries;                /* of one call, by those who retry (core/balance/attempt.h) */
  double weight;                /* its share of a balancer's calls, until it is changed */
  double retry_budget;          /* retries per call in the long run, 0..1 */
} RagifyNodeOptions;

/* Makes the node and creates its instances. NULL with an error that names the node and what its component said.
 * [control] */
RagifyNode *ragify_node_new (RagifyRuntime *runtime, const RagifyNodeOptions *options, GError **error);
/* Starts all instances and waits. [control] */
gboolean ragify_node_start (RagifyNode *node, const RagifyStart *start, guint64 deadline, GError **error);
/* Waits for what is under way, stops all instances that were started and waits, then frees the node; where calls hang,
 * its memory is left behind, counted on the runtime, and FALSE returned. [control] */
gboolean ragify_node_free (RagifyNode *node, guint64 deadline);

/* Puts other values of reloadable keys in force: the getters give them, and each instance's reconfigure() is told
 * `keys` (ended by NULL). FALSE with an error when one refuses: then the former values are in force again, everywhere.
 * `values` passes to the node in either case. [control] */
gboolean ragify_node_reconfigure (RagifyNode *node, RagifyNodeValues values, const char *const *keys, guint64 deadline,
                                  GError **error);

/* Ends the instances of a worker component and starts others from `options`, in place, for what cannot be open twice,
 * such as a store's folder. Calls that come meanwhile wait, inside their own deadlines; those under way are waited for.
 * FALSE with an error when that fails: the former values are in force again, from `former`'s start; where even that
 * fails the node is dead, and its calls fail. The component must be the node's; `options->values` pass to the node.
 * [control] */
gboolean ragify_node_restart (RagifyNode *node, const RagifyNodeOptions *options, const RagifyStart *start,
                              const RagifyStart *former, guint64 deadline, GError **error);
/* A restart went wrong in both directions. [control] */
gboolean ragify_node_is_dead (const RagifyNode *node);

/* Puts the breaker, the retries and the weight of `options` in force, the breaker closed; what is under way goes on
 * with the former ones. A node that was disabled stays so. [control] */
void ragify_node_set_policy (RagifyNode *node, const RagifyNodeOptions *options);

const char *ragify_node_name (const RagifyNode *node);
const RagifyComponent *ragify_node_component (const RagifyNode *node);

/* Starts `call` on the instance that is nearest. `finished` may run before this returns, where the instance completes
 * at once. An operation that the component lacks, a full queue, an ejected node, an open circuit: finishes with an
 * error. [loop] */
void ragify_node_call (RagifyNode *node, RagifyCall *call);

/* Whether its circuit breaker would let a call, or a probe, go now. [any] */
gboolean ragify_node_is_ready (const RagifyNode *node, guint64 now);
RagifyBreakerState ragify_node_breaker_state (const RagifyNode *node); /* [any] */
/* So many of its calls hang that it is taken out. [any] */
gboolean ragify_node_is_ejected (const RagifyNode *node);
/* How often a call of it may be retried; a token of its retry budget, FALSE: none is left. [any] */
guint ragify_node_retries (const RagifyNode *node);
gboolean ragify_node_take_retry (RagifyNode *node);

/* What an operator may change while it runs: its weight, and whether it is asked at all. [any] */
double ragify_node_weight (const RagifyNode *node);
gboolean ragify_node_is_enabled (const RagifyNode *node);
void ragify_node_set_weight (RagifyNode *node, double weight);
void ragify_node_set_enabled (RagifyNode *node, gboolean enabled);
/* Whether one of these differs from the configuration. [any] */
gboolean ragify_node_is_changed (const RagifyNode *node);

/* Numbers since the start. [any] */
typedef struct RagifyNodeCounts {
  guint64 calls, errors, timeouts;
  guint64 active, queued, abandoned;
  guint64 late, doubled; /* completions that came after the host stopped waiting, and second ones */
} RagifyNodeCounts;
RagifyNodeCounts ragify_node_counts (RagifyNode *node);

#define RAGIFY_NODE_ERROR (ragify_node_error_quark ())
GQuark ragify_node_error_quark (void);
