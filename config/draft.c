/* SPDX-License-Identifier: MIT */
#include "config/draft.h"

#include "config/drop-ins.h"

#include <string.h>

const char ragify_command_line[] = "command line";

/* The key of `by_key`: both pointers live as long as the draft. */
typedef struct GroupKey {
  const RagifyDraftGroup *group;
  const char *key;
} GroupKey;

static guint
hash_group_key (gconstpointer pointer)
{
  const GroupKey *key = pointer;

  return g_direct_hash (key->group) * 31 + g_str_hash (key->key);
}

static gboolean
equal_group_keys (gconstpointer left, gconstpointer right)
{
  const GroupKey *a = left;
  const GroupKey *b = right;

  return a->group == b->group && strcmp (a->key, b->key) == 0;
}

static void
free_group (gpointer pointer)
{
  RagifyDraftGroup *group = pointer;

  g_array_unref (group->entries);
  g_free (group);
}

static RagifyDraftGroup *
take_group (RagifyDraft *draft, const RagifyScan *scan, const RagifyScanGroup *scanned, RagifyDiagnostics *diagnostics)
{
  RagifyDraftGroup *group = g_hash_table_lookup (draft->by_text, scanned->text);

  if (group != NULL || draft->full)
    return group;
  if (draft->groups->len >= RAGIFY_DRAFT_GROUPS_MAX) {
    RagifyPlace place = { scan->path, scanned->line, scanned->column, scanned->text };

    ragify_diagnostics_report (diagnostics, RAGIFY_SEVERITY_ERROR, &place,
                               "more than %d groups in all; this one and those after it are not read",
                               RAGIFY_DRAFT_GROUPS_MAX);
    draft->full = true;
    return NULL;
  }
  group = g_new0 (RagifyDraftGroup, 1);
  group->text = scanned->text;
  group->kind = scanned->kind;
  group->name = scanned->name;
  group->scan = scan;
  group->line = scanned->line;
  group->column = scanned->column;
  group->entries = g_array_new (FALSE, FALSE, sizeof (RagifyDraftEntry));
  g_ptr_array_add (draft->groups, group);
  g_hash_table_insert (draft->by_text, (char *)group->text, group);
  return group;
}

static void
take_entry (RagifyDraft *draft, RagifyDraftGroup *group, const RagifyScan *scan, const RagifyScanEntry *scanned)
{
  RagifyDraftEntry entry = { scan, scanned };
  GroupKey key = { group, scanned->key };
  unsigned int earlier = GPOINTER_TO_UINT (g_hash_table_lookup (draft->by_key, &key));

  if (earlier > 0) {
    g_array_index (group->entries, RagifyDraftEntry, earlier - 1) = entry;
    return;
  }
  g_array_append_val (group->entries, entry);
  g_hash_table_insert (draft->by_key, g_memdup2 (&key, sizeof key), GUINT_TO_POINTER (group->entries->len));
}

static void
merge (RagifyDraft *draft, RagifyScan *scan, RagifyDiagnostics *diagnostics)
{
  g_ptr_array_add (draft->scans, scan);
  for (unsigned int i = 0; i < scan->groups->len; i++) {
    const RagifyScanGroup *scanned = &g_array_index (scan->groups, RagifyScanGroup, i);
    RagifyDraftGroup *group = take_group (draft, scan, scanned, diagnostics);

    if (group == NULL)
      continue;
    group->damaged = group->damaged || scanned->damaged;
    for (uint32_t j = 0; j < scanned->n_entries; j++)
      take_entry (draft, group, scan, &g_array_index (scan->entries, RagifyScanEntry, scanned->first_entry + j));
  }
}

/* ---- The command line ------------------------------------------------------------------------------------------- */

static bool
is_plain_text (const char *text)
{
  if (!g_utf8_validate (text, -1, NULL))
    return false;
  for (; *text != '\0'; text++)
    if (((unsigned char)*text < 0x20 && *text != '\t') || *text == 0x7f)
      return false;
  return true;
}

static bool
is_group (const char *group)
{
  const char *blank = strchr (group, ' ');

  if (blank == NULL)
    return ragify_scan_is_word (group, strlen (group));
  return ragify_scan_is_word (group, (size_t)(blank - group)) && ragify_scan_is_name (blank + 1, strlen (blank + 1));
}

/* "kind name.key=value"; `number` counts the overrides from 1. */
static void
scan_override (RagifyScan *scan, const char *override, unsigned int number, RagifyDiagnostics *diagnostics)
{
  RagifyPlace place = { ragify_command_line, number, 1, NULL };
  const char *equals = strchr (override, '=');
  g_autofree char *left = equals == NULL ? NULL : g_strstrip (g_strndup (override, (gsize)(equals - override)));
  char *dot = left == NULL ? NULL : strrchr (left, '.');
  g_autofree char *value = NULL;
  const char *begin = NULL;

  if (!is_plain_text (override)) {
    ragify_diagnostics_report (diagnostics, RAGIFY_SEVERITY_ERROR, &place,
                               "invalid UTF-8 or a control character; expected KIND NAME.KEY=VALUE");
    return;
  }
  if (dot != NULL)
    *dot = '\0';
  if (dot == NULL || !is_group (left) || !ragify_scan_is_word (dot + 1, strlen (dot + 1))) {
    g_autofree char *shown =
        ragify_quote_n (override, equals == NULL ? strlen (override) : (size_t)(equals - override));

    /* What follows the '=' may be a secret. */
    ragify_diagnostics_report (
        diagnostics, RAGIFY_SEVERITY_ERROR, &place,
        "expected KIND NAME.KEY=VALUE, such as 'host.threads=2' or 'source notes.enabled=false', "
        "found %s",
        shown);
    return;
  }
  begin = equals + 1;
  while (*begin == ' ' || *begin == '\t')
    begin++;
  value = g_strchomp (g_strdup (begin));
  if (strlen (value) > RAGIFY_SCAN_VALUE_MAX) {
    ragify_diagnostics_report (diagnostics, RAGIFY_SEVERITY_ERROR, &place, "a value of more than %d KiB",
                               RAGIFY_SCAN_VALUE_MAX / 1024);
    return;
  }
  ragify_scan_add (scan, left, dot + 1, value, number, (uint32_t)(dot - left) + 2,
                   (uint32_t)g_utf8_strlen (override, begin - override) + 1);
}

RagifyDraft *
ragify_draft_new (const RagifyConfigInput *input, RagifyDiagnostics *diagnostics)
{
  RagifyDraft *draft = g_new0 (RagifyDraft, 1);
  g_autoptr (GArray) files = ragify_drop_ins_list (input, diagnostics);

  draft->scans = g_ptr_array_new_with_free_func ((GDestroyNotify)ragify_scan_free);
  draft->groups = g_ptr_array_new_with_free_func (free_group);
  draft->by_text = g_hash_table_new (g_str_hash, g_str_equal);
  draft->by_key = g_hash_table_new_full (hash_group_key, equal_group_keys, g_free, NULL);
  for (unsigned int i = 0; i < files->len; i++) {
    const RagifyDropIn *drop_in = &g_array_index (files, RagifyDropIn, i);

    ragify_diagnostics_announce (diagnostics, drop_in->path);
    merge (draft, ragify_drop_in_scan (drop_in, diagnostics), diagnostics);
  }
  ragify_diagnostics_announce (diagnostics, ragify_command_line);
  if (input->overrides != NULL) {
    RagifyScan *scan = ragify_scan_new (ragify_command_line);

    for (unsigned int i = 0; input->overrides[i] != NULL; i++)
      scan_override (scan, input->overrides[i], i + 1, diagnostics);
    merge (draft, scan, diagnostics);
  }
  return draft;
}

void
ragify_draft_free (RagifyDraft *draft)
{
  if (draft == NULL)
    return;
  g_hash_table_unref (draft->by_key);
  g_hash_table_unref (draft->by_text);
  g_ptr_array_unref (draft->groups);
  g_ptr_array_unref (draft->scans);
  g_free (draft);
}

const RagifyDraftGroup *
ragify_draft_find (const RagifyDraft *draft, const char *group)
{
  return g_hash_table_lookup (draft->by_text, group);
}

RagifyPlace
ragify_draft_group_place (const RagifyDraftGroup *group)
{
  return (RagifyPlace){ group->scan->path, group->line, group->column, group->text };
}

RagifyPlace
ragify_draft_key_place (const RagifyDraftGroup *group, const RagifyDraftEntry *entry)
{
  return (RagifyPlace){ entry->scan->path, entry->entry->line, entry->entry->column, group->text };
}

RagifyPlace
ragify_draft_value_place (const RagifyDraftGroup *group, const RagifyDraftEntry *entry, size_t offset)
{
  RagifyPlace place = { .file = entry->scan->path, .group = group->text };

  ragify_scan_locate (entry->scan, entry->entry, offset, &place.line, &place.column);
  return place;
}
