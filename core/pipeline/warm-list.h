/* What warming.c sees of a list.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "core/pipeline/warming.h"

typedef struct RagifyWarmItem {
  char *text;
  char *pipeline; /* NULL: "default" */
  guint64 seen;
} RagifyWarmItem;

struct RagifyWarmList {
  GArray *items; /* RagifyWarmItem */
};

/* The request that an item is; NULL with a problem. [any] */
RagifyRequest *ragify_warm_item_parse (const RagifyWarmItem *item, RagifyProblem *problem);
