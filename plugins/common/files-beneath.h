/* Opening what lies below a folder, and nothing else. SPDX-License-Identifier: MIT */
#pragma once

#include <glib.h>

/* Opens `path` below the folder `root` for reading, without waiting for anything (a FIFO's writer, a device). Symbolic
 * links anywhere on the way are refused, or with `follow` those that lead out; absolute ones always do. −1 with errno.
 */
int files_open_beneath (int root, const char *path, gboolean follow);
