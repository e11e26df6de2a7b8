/* Files that say which others are to be left out, as gitignore(5) describes them.
 *
 * SPDX-License-Identifier: MIT
 *
 * Each folder may have some; their patterns are about what is below it. The last pattern that matches decides, '!'
 * takes back, a '/' at the end means folders alone, one elsewhere ties the pattern to the folder, '#' begins a comment.
 */
#pragma once

#include <glib.h>

typedef struct FilesIgnore FilesIgnore;

FilesIgnore *files_ignore_new (void);
void files_ignore_free (FilesIgnore *ignore);

/* Adds the lines of a file that lies `depth` folders below the root. At most 10,000 lines in all. */
void files_ignore_add (FilesIgnore *ignore, const char *text, guint depth);

/* How many patterns there are; going back to so many when their folder is left. */
guint files_ignore_count (const FilesIgnore *ignore);
void files_ignore_cut (FilesIgnore *ignore, guint count);

/* Whether the path (its names from the root, ended by NULL) is left out. */
gboolean files_ignore_match (const FilesIgnore *ignore, const char *const *path, gboolean is_folder);
