/* A document that comes as plain text, of any size.
 *
 * SPDX-License-Identifier: MIT
 *
 * Until it is whole a long text is kept in a file that has no name, so that an upload that breaks off leaves nothing.
 * It is then written in parts (core/ingest/committer.h): sent again after a failure, it goes on behind what the store
 * has.
 */
#pragma once

#include "core/ingest/committer.h"

typedef struct RagifyTextIntake RagifyTextIntake;

typedef enum {
  RAGIFY_INTAKE_MORE, /* the next step goes on */
  RAGIFY_INTAKE_DONE, /* what became of the document is in the report */
  RAGIFY_INTAKE_FAILED,
} RagifyIntakeOutcome;

/* Takes `document`, whose content is not looked at. Long texts lie below `folder` until they are written. */
RagifyTextIntake *ragify_text_intake_new (RagifyIncoming *document, RagifyChunking chunking, const char *folder);
void ragify_text_intake_free (RagifyTextIntake *intake);

/* Some more bytes. FALSE with a problem: there is no room for them. */
gboolean ragify_text_intake_add (RagifyTextIntake *intake, const char *data, gsize size, RagifyProblem *problem);

/* All bytes are there: writes a part of them, on the committer's thread. FAILED with a problem. */
RagifyIntakeOutcome
ragify_text_intake_step (RagifyTextIntake *intake, RagifyCommitter *committer, const RagifyHold *hold,
                         RagifyIngestReport *report, RagifyProblem *problem);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyTextIntake, ragify_text_intake_free)
