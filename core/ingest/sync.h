/* A library as threads use it that wait for what they ask of it.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "core/ingest/committer.h"
#include "core/ingest/documents.h"
#include "core/ingest/report.h"

/* Writes documents, as ragify_committer_put does, between the writes of others: waiting for it is the back-pressure.
 * [control] and threads without a loop. */
gboolean ragify_library_put (RagifyLibrary *library, RagifyIncoming *const *documents, gsize count,
                             const RagifyHold *hold, RagifyIngestReport *report, RagifyProblem *problem);
/* The same, but it may still be under way when this returns: then the report is the library's until its `under_way` is
 * 0. [control] and threads without a loop. */
gboolean ragify_library_put_ahead (RagifyLibrary *library, RagifyIncoming *const *documents, gsize count,
                                   const RagifyHold *hold, RagifyIngestReport *report, RagifyProblem *problem);
/* Waits for all that is under way. [control] and threads without a loop. */
void ragify_library_land (RagifyLibrary *library);
/* As ragify_committer_look and ragify_committer_put_part, which see. [control] and threads without a loop. */
gboolean ragify_library_look (RagifyLibrary *library, const RagifyIncoming *document, const RagifyUuid *content,
                              const RagifyHold *hold, RagifyPartState *state, RagifyProblem *problem);
gboolean ragify_library_put_part (RagifyLibrary *library, const RagifyPart *part, RagifyPartState *state,
                                  RagifyIngestReport *report, RagifyProblem *problem);
/* Deletes documents, 1,000 at most; those that are not the holder's stay. `*chunks` is how many they had. [control] and
 * threads without a loop. */
gboolean ragify_library_remove (RagifyLibrary *library, const char *const *ids, gsize count, const RagifyHold *hold,
                                guint64 *chunks, RagifyProblem *problem);
