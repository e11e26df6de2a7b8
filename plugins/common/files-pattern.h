/* Patterns over paths: those of fnmatch(3) between slashes, with '**' for any number of folders.
 *
 * SPDX-License-Identifier: MIT
 *
 * A path is its names, ended by NULL. A '**' at the end stands for everything below. Matching takes time in proportion
 * to the product of both lengths at worst, however many '**' there are.
 */
#pragma once

#include <glib.h>

typedef struct FilesPattern FilesPattern;

FilesPattern *files_pattern_new (const char *text);
void files_pattern_free (FilesPattern *pattern);
gboolean files_pattern_match (const FilesPattern *pattern, const char *const *path);
