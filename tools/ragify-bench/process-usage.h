/* CPU time and memory of other processes, from the kernel. */
#pragma once

#include <gio/gio.h>
#include <sys/types.h>

typedef struct {
  double cpu;  /* seconds in user and system mode of all threads, also ended ones; nanosecond clock */
  double user; /* the same by kind, in clock ticks (10 ms) */
  double system;
  guint64 pss;  /* bytes; shared pages count in parts */
  guint64 rss;  /* bytes */
  guint64 peak; /* bytes: the greatest resident set so far */
} RagifyProcessUsage;

/* Adds up the processes (count of them). with_memory: also read pss, rss and peak (which costs the kernel some time).
 * Returns FALSE with error set when one of them is gone or may not be read. [any] */
gboolean ragify_process_usage_read (const pid_t *pids, guint count, gboolean with_memory, RagifyProcessUsage *usage,
                                    GError **error);
