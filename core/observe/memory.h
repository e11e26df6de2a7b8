/* The memory monitor: how much of what it may have the process uses, and what is to be done against more.
 *
 * SPDX-License-Identifier: MIT
 *
 * What counts is memory that the system cannot take back by itself: of the process its anonymous memory, of its control
 * group the same of all in it, with what the kernel keeps for them; files that are mapped or cached do not count. The
 * bound is the least of `memory-limit`, the control group's limit (version 1 or 2, its parents' included) and the
 * machine's memory.
 *
 * From 80 % on one step after the other is taken, one with each look; from 94 % on all of them at once. They
 * are taken back when use has fallen five points below what led to them.
 */
#pragma once

#include "core/observe/metrics.h"

typedef struct RagifyMemory RagifyMemory;

typedef enum {
  RAGIFY_MEMORY_AT_EASE,
  RAGIFY_MEMORY_EXPIRE,    /* from 80 %: caches drop what has expired */
  RAGIFY_MEMORY_SHRINK,    /* still: caches give up half of what they hold, again and again */
  RAGIFY_MEMORY_NO_INGEST, /* from 87 %: documents are refused */
  RAGIFY_MEMORY_SHED,      /* from 94 %: everything but health and metrics is refused */
} RagifyMemoryStep;

typedef struct RagifyMemoryUse {
  guint64 rss, vms;      /* of the process, bytes */
  guint64 used, limit;   /* bytes: what counts, and the bound that it is nearest to */
  guint64 available;     /* on the machine, bytes */
  double ratio;          /* used ÷ limit */
  const char *bound;     /* which bound that is, constant: "memory-limit", "control group", "machine" */
  RagifyMemoryStep step; /* taken now */
} RagifyMemoryUse;

/* Looks once a second on the main context, and up to fifty times the nearer the bound is. [control] */
RagifyMemory *ragify_memory_new (RagifyMetrics *metrics);
void ragify_memory_free (RagifyMemory *memory); /* [control] */
/* `memory-limit`; 0: none. [any] */
void ragify_memory_set_limit (RagifyMemory *memory, guint64 limit);

/* As of the last look. NULL: at ease. [any] */
RagifyMemoryStep ragify_memory_step (const RagifyMemory *memory);
void ragify_memory_use (RagifyMemory *memory, RagifyMemoryUse *use);
/* In one word: "none", "expire", "shrink", "no-ingest", "shed". */
const char *ragify_memory_step_name (RagifyMemoryStep step);

/* `relieve` is called on the main thread with EXPIRE or SHRINK whenever that is to be done, and must not block. [any]
 */
typedef void (*RagifyRelieve) (RagifyMemoryStep step, void *user);
void ragify_memory_add_relief (RagifyMemory *memory, RagifyRelieve relieve, void *user);
/* Not called any more once this has returned. [any] */
void ragify_memory_remove_relief (RagifyMemory *memory, void *user);

/* For tests: looks now, at `used` of `limit` bytes. [control] */
void ragify_memory_look (RagifyMemory *memory, guint64 used, guint64 limit);
