/* The reloader: has the running graph, and puts another in its place.
 *
 * SPDX-License-Identifier: MIT
 *
 * All of it happens on one thread of its own, so that neither the main loop (signals, watchdog) nor a request waits for
 * a model that loads: reloads one after the other, and the freeing of graphs that the last request has left.
 */
#pragma once

#include "config/config.h"
#include "core/app/graph.h"
#include "core/app/listeners.h"
#include "core/module/registry.h"

typedef struct RagifyReloader RagifyReloader;

typedef struct RagifyReloadReport {
  gboolean applied;
  guint number; /* of the configuration that serves now: 1 at the start, one more with each reload that was applied */
  guint64 duration_us;
  RagifyDiagnostics *diagnostics;
  const RagifyGraphChange *changes;
  guint n_changes;
  guint kept; /* nodes that go on as they were, with all that they hold */
} RagifyReloadReport;

/* On the reloader's thread; the report lives until it returns. */
typedef void (*RagifyReloaded) (const RagifyReloadReport *report, void *user);

typedef struct RagifyReloaderOptions {
  RagifyRuntime *runtime;
  const RagifyConfigInput *input; /* read again by each reload; outlives the reloader */
  RagifyRegistry *registry;       /* the reloader's from here on */
} RagifyReloaderOptions;

RagifyReloader *ragify_reloader_new (const RagifyReloaderOptions *options);
/* Makes the first graph, opens the addresses and starts the thread. FALSE with errors in `diagnostics`. Once. [control]
 */
gboolean ragify_reloader_begin (RagifyReloader *reloader, RagifyConfig *config, RagifyDiagnostics *diagnostics);
void ragify_reloader_announce (RagifyReloader *reloader); /* prints the addresses */

/* Asks for a reload; `reloaded` (or NULL) is told what came of it. Those that were asked for before one begins are one.
 * [any] */
void ragify_reloader_ask (RagifyReloader *reloader, RagifyReloaded reloaded, void *user);

/* What the servers' administrative routes need. */
const RagifyAdmin *ragify_reloader_admin (RagifyReloader *reloader);

/* No more reloads; answers what has come for as long as the configuration says, closes the addresses, and frees all
 * graphs and itself. What does not come to an end is counted on the runtime and left behind. [control] */
void ragify_reloader_stop (RagifyReloader *reloader);
