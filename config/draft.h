/* What all files and the command line say, merged: the last one to give a key wins.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_CONFIG_DRAFT_H
#define RAGIFY_CONFIG_DRAFT_H

#include "config/scanner.h"

G_BEGIN_DECLS

/* More groups than any configuration has; what is beyond is refused, so that memory stays bounded. */
#define RAGIFY_DRAFT_GROUPS_MAX 65536

typedef struct RagifyDraftEntry {
  const RagifyScan *scan;
  const RagifyScanEntry *entry; /* entry->value "" takes what an earlier file gave back to the default */
} RagifyDraftEntry;

typedef struct RagifyDraftGroup {
  const char *text;
  const char *kind;
  const char *name;
  const RagifyScan *scan; /* where it stands first */
  uint32_t line;
  uint32_t column;
  bool damaged;
  GArray *entries; /* RagifyDraftEntry, one for each key */
} RagifyDraftGroup;

typedef struct RagifyDraft {
  GPtrArray *scans;  /* RagifyScan, in reading order, the command line's last */
  GPtrArray *groups; /* RagifyDraftGroup, in the order in which they first appear */
  GHashTable *by_text;
  GHashTable *by_key; /* group and key → index of the entry + 1 */
  bool full;
} RagifyDraft;

/* Reads and merges everything that `input` names. */
RagifyDraft *ragify_draft_new (const RagifyConfigInput *input, RagifyDiagnostics *diagnostics);
void ragify_draft_free (RagifyDraft *draft);

/* NULL: no such group. */
const RagifyDraftGroup *ragify_draft_find (const RagifyDraft *draft, const char *group);

/* Where an entry's key, or the byte `offset` of its value, stands. */
RagifyPlace ragify_draft_key_place (const RagifyDraftGroup *group, const RagifyDraftEntry *entry);
RagifyPlace ragify_draft_value_place (const RagifyDraftGroup *group, const RagifyDraftEntry *entry, size_t offset);
RagifyPlace ragify_draft_group_place (const RagifyDraftGroup *group);

/* The path under which the overrides of the command line appear. */
extern const char ragify_command_line[];

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyDraft, ragify_draft_free)

G_END_DECLS
#endif
