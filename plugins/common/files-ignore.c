/* SPDX-License-Identifier: MIT */
#include "files-ignore.h"

#include "files-pattern.h"

#include <string.h>

#define MOST_RULES 10000u

typedef struct Rule {
  FilesPattern *pattern;
  guint depth; /* how many names of a path are before what the pattern is about */
  gboolean taken_back, folders_only;
} Rule;

struct FilesIgnore {
  GArray *rules;
};

static void
rule_clear (gpointer data)
{
  files_pattern_free (((Rule *)data)->pattern);
}

FilesIgnore *
files_ignore_new (void)
{
  FilesIgnore *ignore = g_new0 (FilesIgnore, 1);
  ignore->rules = g_array_new (FALSE, FALSE, sizeof (Rule));
  g_array_set_clear_func (ignore->rules, rule_clear);
  return ignore;
}

void
files_ignore_free (FilesIgnore *ignore)
{
  g_array_unref (ignore->rules);
  g_free (ignore);
}

/* Blanks at the end do not count, unless the last is escaped. */
static void
cut_end (char *line)
{
  gsize size = strcspn (line, "\r");
  while (size > 0 && line[size - 1] == ' ' && (size < 2 || line[size - 2] != '\\'))
    size--;
  line[size] = '\0';
}

static void
add_line (FilesIgnore *ignore, char *line, guint depth)
{
  Rule rule = { .depth = depth };
  cut_end (line);
  if (*line == '#')
    return;
  if (*line == '!') {
    rule.taken_back = TRUE;
    line++;
  }
  gsize size = strlen (line);
  if (size > 0 && line[size - 1] == '/') {
    rule.folders_only = TRUE;
    line[--size] = '\0';
  }
  if (size == 0)
    return;
  const gboolean tied = strchr (line, '/') != NULL;
  g_autofree char *text = tied ? g_strdup (line + (*line == '/')) : g_strconcat ("**/", line, NULL);
  rule.pattern = files_pattern_new (text);
  g_array_append_val (ignore->rules, rule);
}

void
files_ignore_add (FilesIgnore *ignore, const char *text, guint depth)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  for (char **line = lines; *line != NULL && ignore->rules->len < MOST_RULES; line++)
    add_line (ignore, *line, depth);
}

guint
files_ignore_count (const FilesIgnore *ignore)
{
  return ignore->rules->len;
}

void
files_ignore_cut (FilesIgnore *ignore, guint count)
{
  g_array_set_size (ignore->rules, count);
}

gboolean
files_ignore_match (const FilesIgnore *ignore, const char *const *path, gboolean is_folder)
{
  for (guint i = ignore->rules->len; i > 0; i--) {
    const Rule *rule = &g_array_index (ignore->rules, Rule, i - 1);
    if ((!rule->folders_only || is_folder) && files_pattern_match (rule->pattern, path + rule->depth))
      return !rule->taken_back;
  }
  return FALSE;
}
