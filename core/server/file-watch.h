/* A watch on files that are read again when they change: keys, certificates.
 *
 * SPDX-License-Identifier: MIT
 *
 * It looks once a second, so it also sees what comes over a network or by a renamed symbolic link.
 */
#pragma once

#include <glib.h>

typedef struct RagifyFileWatch RagifyFileWatch;

/* `changed` runs on the main context after any of the `paths` (NULL-terminated) became another one than it was at this
 * call, or was written to. [control] */
RagifyFileWatch *ragify_file_watch_new (const char *const *paths, void (*changed) (void *user), void *user);
void ragify_file_watch_free (RagifyFileWatch *watch); /* [control] */
