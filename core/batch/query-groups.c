/* SPDX-License-Identifier: MIT */
#include "core/batch/query-groups.h"

struct RagifyQueryGroups {
  guint *firsts;
  guint distinct;
  GPtrArray *groups; /* GArray of guint */
};

static char *
first_word (const char *query)
{
  while (g_unichar_isspace (g_utf8_get_char (query)))
    query = g_utf8_next_char (query);
  const char *end = query;
  while (*end != '\0' && !g_unichar_isspace (g_utf8_get_char (end)))
    end = g_utf8_next_char (end);
  return g_utf8_casefold (query, end - query);
}

static void
add_to_group (RagifyQueryGroups *groups, GHashTable *by_word, const char *query, guint index)
{
  char *word = first_word (query);
  GArray *group = g_hash_table_lookup (by_word, word);
  if (group != NULL) {
    g_free (word);
  } else {
    group = g_array_new (FALSE, FALSE, sizeof (guint));
    g_hash_table_insert (by_word, word, group);
    g_ptr_array_add (groups->groups, group);
  }
  g_array_append_val (group, index);
}

RagifyQueryGroups *
ragify_query_groups_new (const char *const *keys, const char *const *queries, guint count)
{
  RagifyQueryGroups *groups = g_new0 (RagifyQueryGroups, 1);
  g_autoptr (GHashTable) by_key = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GHashTable) by_word = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  groups->firsts = g_new (guint, MAX (count, 1));
  groups->groups = g_ptr_array_new_with_free_func ((GDestroyNotify)g_array_unref);
  for (guint i = 0; i < count; i++) {
    gpointer same = NULL;
    if (keys[i] == NULL) {
      groups->firsts[i] = RAGIFY_QUERY_NONE;
    } else if (g_hash_table_lookup_extended (by_key, keys[i], NULL, &same)) {
      groups->firsts[i] = GPOINTER_TO_UINT (same);
    } else {
      g_hash_table_insert (by_key, (gpointer)keys[i], GUINT_TO_POINTER (i));
      groups->firsts[i] = i;
      groups->distinct++;
      add_to_group (groups, by_word, queries[i], i);
    }
  }
  return groups;
}

void
ragify_query_groups_free (RagifyQueryGroups *groups)
{
  g_ptr_array_unref (groups->groups);
  g_free (groups->firsts);
  g_free (groups);
}

guint
ragify_query_groups_first (const RagifyQueryGroups *groups, guint index)
{
  return groups->firsts[index];
}

guint
ragify_query_groups_distinct (const RagifyQueryGroups *groups)
{
  return groups->distinct;
}

guint
ragify_query_groups_count (const RagifyQueryGroups *groups)
{
  return groups->groups->len;
}

const guint *
ragify_query_groups_members (const RagifyQueryGroups *groups, guint group, guint *count)
{
  const GArray *members = g_ptr_array_index (groups->groups, group);
  *count = members->len;
  return (const guint *)(const void *)members->data;
}
