/* Health: whether each part can do its work, found out by having it do some.
 *
 * SPDX-License-Identifier: MIT
 *
 * Every part is checked again and again, beside the requests and never for one: a source is asked a question, a store
 * searched, a text embedded, a value put into each cache, read back and compared. What the last check found is what
 * /v1/health tells, at once. Each change is one line in the log.
 */
#pragma once

#include "core/cache/tier.h"
#include "core/module/node.h"
#include "core/pipeline/writer.h"

typedef struct RagifyHealth RagifyHealth;

typedef enum {
  RAGIFY_CHECK_DEEP,  /* does some work */
  RAGIFY_CHECK_PROBE, /* the component's own probe: for those whose work costs money */
} RagifyCheckDepth;

typedef struct RagifyHealthPart {
  const char *name; /* of the configuration */
  RagifyNode *node; /* outlives the health */
  RagifyCheckDepth depth;
  guint dimension;     /* vector stores: of their vectors; 0: of words alone */
  guint64 deadline_us; /* of one check; 0: five seconds */
} RagifyHealthPart;

/* A pipeline and those that it asks. */
typedef struct RagifyHealthPipeline {
  const char *name;
  const guint *parts; /* places among the parts */
  guint n_parts;
} RagifyHealthPipeline;

typedef struct RagifyHealthOptions {
  const RagifyHealthPart *parts;
  guint n_parts;
  const RagifyHealthPipeline *pipelines;
  guint n_pipelines;
  RagifyTier *const *tiers; /* outlive the health */
  guint n_tiers;
  const char *state_dir; /* the file system that must have room; NULL: not looked at */
  const char *query;     /* that sources are asked with */
  guint64 interval_us;   /* from one check to the next; 0: there are none */
} RagifyHealthOptions;

typedef enum { RAGIFY_HEALTHY, RAGIFY_DEGRADED, RAGIFY_UNHEALTHY } RagifyHealthState;
const char *ragify_health_state_name (RagifyHealthState state);

/* Copies the options and begins to check. [control] */
RagifyHealth *ragify_health_new (RagifyRuntime *runtime, const RagifyHealthOptions *options);
/* Cancels what is under way. [control] */
void ragify_health_free (RagifyHealth *health);

/* Unhealthy: a pipeline has nobody left whom it could ask, or requests are refused for want of memory. Degraded:
 * something is not well. [any] */
RagifyHealthState ragify_health_state (RagifyHealth *health);
/* Appends `"checks":{…}`. [any] */
void ragify_health_write (RagifyHealth *health, RagifyWriter *writer);
