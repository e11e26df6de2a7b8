/* Revival: nodes that the host started without (`required = false`) are tried again in the background.
 *
 * SPDX-License-Identifier: MIT
 *
 * One thread, which there is once something is missing. Each node is tried after a pause of 5 seconds, which doubles
 * with each failure up to 5 minutes and is jittered. One that starts is handed over, running.
 */
#pragma once

#include "core/app/graph.h"

typedef struct RagifyRevival RagifyRevival;

/* On the revival's thread, with its lock held: must only post. The unit's reference passes; it is not tried again. */
typedef void (*RagifyRevived) (RagifyUnit *unit, const RagifyConfigNode *node, void *user);

RagifyRevival *ragify_revival_new (RagifyRuntime *runtime, RagifyRevived revived, void *user);
/* What `graph` is missing is what is tried from now on; nodes of the same configuration keep their pauses. [control] */
void ragify_revival_watch (RagifyRevival *revival, RagifyGraph *graph);
/* Nothing is tried, and nothing handed over, until the next watch; waits for the trial that is under way, until
 * `deadline` at most. [control] */
void ragify_revival_rest (RagifyRevival *revival, guint64 deadline);
/* FALSE: a trial does not come to an end; its memory is left behind, counted on the runtime. [control] */
gboolean ragify_revival_free (RagifyRevival *revival, guint64 deadline);
