/* The last hour: a few numbers every ten seconds, in constant memory.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "core/observe/metrics.h"

typedef struct RagifyHistory RagifyHistory;

/* Takes a sample every ten seconds on the main context. [control] */
RagifyHistory *ragify_history_new (RagifyMetrics *metrics);
void ragify_history_free (RagifyHistory *history); /* [control] */

/* Appends {"interval":10,"samples":[{"at":…,"requests":…,"errors":…,"hit_rate":…,"p95":…,"memory":…,"waiting":…},…]},
 * the oldest first: times as seconds since 1970; requests and errors a second; errors are answers of 429 and from 500
 * on; hit_rate and p95 (seconds, of answers that were computed) null where nothing was asked. [any] */
void ragify_history_write (RagifyHistory *history, GString *json);
