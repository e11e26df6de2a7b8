/* What the system knows of this process, as metrics with the names that Prometheus' own clients use.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "metrics.h"

/* Registers process_cpu_seconds, process_resident_memory_bytes, process_virtual_memory_bytes, process_open_fds,
 * process_max_fds, process_threads and process_start_time_seconds; calling it again changes nothing. [control] */
void ragify_process_metrics_register (RagifyMetrics *metrics);

/* Seconds since the process was started. [any] */
double ragify_process_uptime (void);
