/* One check of one part: some of its real work, or its probe.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "core/server/health.h"

typedef struct RagifyHealthCheck RagifyHealthCheck;

/* What is measured and compared. */
typedef struct RagifyHealthFinding {
  const char *error;  /* NULL: well */
  const char *detail; /* what a probe said of itself; "" */
  guint64 duration_us;
} RagifyHealthFinding;
typedef void (*RagifyHealthFound) (const RagifyHealthFinding *finding, void *user);

typedef struct RagifyHealthAsk {
  const RagifyHealthPart *part;
  RagifyStr query; /* lives as long as the check */
  RagifyUuid key;  /* that a cache is tried with; nobody else uses it */
  RagifyHealthFound found;
  void *user;
} RagifyHealthAsk;

/* Which section of the report the part belongs to: "sources", "vector_db", "text_indexes", "embedders", "rerankers",
 * "cache"; NULL: parts of this kind are not checked. */
const char *ragify_health_section (const RagifyComponent *component);

/* Begins; `*check` is set until `found` runs, once, perhaps before this returns. [loop] */
void ragify_health_check_begin (const RagifyHealthAsk *ask, RagifyHealthCheck **check);
/* It then ends soon, as a failure. [loop] */
void ragify_health_check_cancel (RagifyHealthCheck *check);
