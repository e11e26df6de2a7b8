/* A runtime and components made on the spot: what the call tests run on.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/call/operations.h"
#include "core/module/node.h"

/* For what is to come in time: longer than a busy machine pauses. */
#define FIXTURE_PATIENCE_US (60 * (guint64)G_USEC_PER_SEC)

/* Two loops, two workers. */
RagifyRuntime *fixture_runtime_new (void);
void fixture_runtime_free (RagifyRuntime *runtime);

/* A source whose query is `query`, of a run class. The component lives as long as the process. */
RagifyNode *fixture_source_new (RagifyRuntime *runtime, guint32 run_class, guint32 max_parallel,
                                void (*query) (void *instance, RagifyCall *call, const RagifySourceQuery *args));
/* The same, with the configuration's bound on calls at once. */
RagifyNode *
fixture_bounded_source_new (RagifyRuntime *runtime, guint32 run_class, guint32 max_parallel, guint bound,
                            void (*query) (void *instance, RagifyCall *call, const RagifySourceQuery *args));

/* How many instances the source has that was made last. */
guint fixture_instances (void);

/* The host's functions, as the last created instance got them. */
const RagifyHost *fixture_host (void);
RagifyContext *fixture_context (void *instance);

/* One query from `loop` (NULL: this thread waits by itself), `timeout` µs. What came is copied. */
typedef struct FixtureOutcome {
  gint32 code;
  guint64 chunks, duration;
  guint finished; /* how often `finished` ran */
  char message[256];
  char first[64]; /* content of the first chunk */
} FixtureOutcome;
FixtureOutcome fixture_ask (RagifyNode *node, RagifyLoop *loop, guint64 timeout, guint64 cancel_after);

/* A bolt that functions of components wait behind: what is to be late is late however slow the machine. */
void fixture_bolt (void);
void fixture_unbolt (void);
void fixture_wait_behind_bolt (void);

/* Waits until `node` has no call under way. */
void fixture_settle (RagifyNode *node);
