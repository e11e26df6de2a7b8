/* What bounds the process's memory, and how much of it is used.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <glib.h>

typedef struct RagifyMemoryBounds RagifyMemoryBounds;

/* Finds the control group whose limit binds; later moves into another one are not followed. `proc` and `cgroup` are
 * "/proc" and "/sys/fs/cgroup", or what stands for them in tests. */
RagifyMemoryBounds *ragify_memory_bounds_new (const char *proc, const char *cgroup);
void ragify_memory_bounds_free (RagifyMemoryBounds *bounds);

/* Bytes; what is not known is 0. */
typedef struct RagifyMemoryReading {
  guint64 rss, vms, anonymous; /* of the process */
  guint64 total, available;    /* of the machine */
  guint64 group_limit;         /* 0: there is none */
  guint64 group_used;          /* without files, which the kernel takes back */
} RagifyMemoryReading;
void ragify_memory_bounds_read (const RagifyMemoryBounds *bounds, RagifyMemoryReading *reading);
