/* SPDX-License-Identifier: MIT */
#include "files-pattern.h"

#include <fnmatch.h>
#include <string.h>

struct FilesPattern {
  char **parts;
};

FilesPattern *
files_pattern_new (const char *text)
{
  FilesPattern *pattern = g_new0 (FilesPattern, 1);
  const gboolean all_below = strcmp (text, "**") == 0 || g_str_has_suffix (text, "/**");
  g_autofree char *whole = g_strconcat (text, all_below ? "/*" : "", NULL);
  pattern->parts = g_strsplit (whole, "/", -1);
  return pattern;
}

void
files_pattern_free (FilesPattern *pattern)
{
  g_strfreev (pattern->parts);
  g_free (pattern);
}

/* As one matches '*' over characters: only the last '**' is ever gone back to. */
gboolean
files_pattern_match (const FilesPattern *pattern, const char *const *path)
{
  char *const *part = pattern->parts;
  char *const *behind_stars = NULL; /* the part after the last '**', … */
  const char *const *tried = NULL;  /* … and the name from which it was tried last */
  while (*path != NULL) {
    if (*part != NULL && strcmp (*part, "**") == 0) {
      behind_stars = ++part;
      tried = path;
    } else if (*part != NULL && fnmatch (*part, *path, 0) == 0) {
      part++;
      path++;
    } else if (behind_stars != NULL) {
      part = behind_stars;
      path = ++tried;
    } else {
      return FALSE;
    }
  }
  while (*part != NULL && strcmp (*part, "**") == 0)
    part++;
  return *part == NULL;
}
