/* A hold: a part of a store that someone is confined to, such as {"tenant": "acme"}.
 *
 * SPDX-License-Identifier: MIT
 *
 * Who is held sees and changes only documents that match the filter, and what he uploads is marked so that it does.
 */
#pragma once

#include <jansson.h>

#include "core/ingest/document.h"
#include "core/pipeline/request.h"

typedef struct RagifyHold RagifyHold;

/* From a filter as JSON (core/pipeline/filter.h). NULL with a problem. [any] */
RagifyHold *ragify_hold_new (const json_t *filter, RagifyProblem *problem);
RagifyHold *ragify_hold_ref (RagifyHold *hold); /* [any] */
void ragify_hold_unref (RagifyHold *hold);      /* [any] */

const RagifyFilter *ragify_hold_filter (const RagifyHold *hold);
/* What both the hold and `filter` let through; each may be NULL, for everything. In `arena`, and it points into both.
 */
const RagifyFilter *ragify_hold_narrow (const RagifyHold *hold, const RagifyFilter *filter, RagifyArena *arena);
/* Whether documents can be marked: the filter is made of members that equal one value. [any] */
gboolean ragify_hold_marks (const RagifyHold *hold);

/* Gives the document's metadata what the filter wants. FALSE with the member at fault and a sentence, to be freed,
 * where the metadata says something else. A document that has no id of its own gets another one than under other holds.
 * [any]
 */
gboolean ragify_hold_mark (const RagifyHold *hold, RagifyIncoming *incoming, char **field, char **reason);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyHold, ragify_hold_unref)
