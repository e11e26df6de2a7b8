/* Whether anything has changed in a tree's folders, by inotify(7).
 *
 * SPDX-License-Identifier: MIT
 *
 * It says "look again", not what to look at: events that were lost (its queue is bounded) say the same. One thread.
 */
#pragma once

#include <glib.h>

typedef struct FilesWatch FilesWatch;

/* At most `most` folders are watched. Never NULL: where inotify cannot be had, nothing is seen. */
FilesWatch *files_watch_new (guint most);
void files_watch_free (FilesWatch *watch);

/* Watches the folder that `fd` has open; it may be watched already. */
void files_watch_add (FilesWatch *watch, int fd);

/* TRUE once after something has changed. Does not block. */
gboolean files_watch_changed (FilesWatch *watch);

/* For poll(2): something can be read where something has changed; −1: nothing is watched. */
int files_watch_descriptor (const FilesWatch *watch);

/* How many folders are watched, and whether one could not be. */
guint files_watch_count (const FilesWatch *watch);
gboolean files_watch_is_partial (const FilesWatch *watch);
