/* A library as threads use it that wait for what they ask of it.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "core/ingest/documents.h"
#include "core/ingest/report.h"

/* Writes documents, as ragify_committer_put does, between the writes of others: waiting for it is the back-pressure.
 * [control] and threads without a loop. */
gboolean ragify_library_put (RagifyLibrary *library, RagifyIncoming *const *documents, gsize count,
                             const RagifyHold *hold, RagifyIngestReport *report, RagifyProblem *problem);
/* Deletes documents, 1,000 at most; those that are not the holder's stay. `*chunks` is how many they had. [control] and
 * threads without a loop. */
gboolean ragify_library_remove (RagifyLibrary *library, const char *const *ids, gsize count, const RagifyHold *hold,
                                guint64 *chunks, RagifyProblem *problem);
