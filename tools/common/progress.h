/* Progress on standard error: a bar that redraws itself on a terminal, a plain line now and then elsewhere. */
#pragma once

#include <glib.h>

typedef struct _RagifyProgress RagifyProgress;

/* unit: plural noun of what is counted, such as "documents". quiet: print nothing. */
RagifyProgress *ragify_progress_new (const char *label, const char *unit, gboolean quiet);
/* Takes the bar off the terminal. */
void ragify_progress_free (RagifyProgress *progress);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyProgress, ragify_progress_free)

/* fraction: 0..1 of the whole, or negative when the whole is not known. Draws at most ten times a second on a terminal,
 * every five seconds elsewhere. */
void ragify_progress_update (RagifyProgress *progress, guint64 count, double fraction);

/* One line of progress, at most width columns (owned by the caller); the bar is left out where it does not fit or the
 * whole is not known. elapsed: seconds. [any] */
char *ragify_progress_format (const char *label, const char *unit, guint64 count, double fraction, double elapsed,
                              guint width);

/* 1234567 as "1,234,567" (owned by the caller). [any] */
char *ragify_format_count (guint64 count);
