/* Queries of a batch: which are the same, and which belong together.
 *
 * SPDX-License-Identifier: MIT
 *
 * The same question is computed once. Questions that begin with the same word (case folded) are asked one after the
 * other, so that the later ones find what the earlier ones have warmed; groups are asked at the same time.
 */
#pragma once

#include <glib.h>

typedef struct RagifyQueryGroups RagifyQueryGroups;

#define RAGIFY_QUERY_NONE G_MAXUINT

/* `keys[i]`: what makes question i the same as another; `queries[i]`: its words. NULL keys are left out. [any] */
RagifyQueryGroups *ragify_query_groups_new (const char *const *keys, const char *const *queries, guint count);
void ragify_query_groups_free (RagifyQueryGroups *groups);

/* The first question that is the same as `index`; `index` itself where it is the first; NONE where it is left out. */
guint ragify_query_groups_first (const RagifyQueryGroups *groups, guint index);
/* How many are different. */
guint ragify_query_groups_distinct (const RagifyQueryGroups *groups);

guint ragify_query_groups_count (const RagifyQueryGroups *groups);
/* The different questions of a group, in the order of asking. */
const guint *ragify_query_groups_members (const RagifyQueryGroups *groups, guint group, guint *count);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyQueryGroups, ragify_query_groups_free)
