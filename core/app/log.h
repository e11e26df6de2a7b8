/* Where log messages go: the journal, text or JSON lines on standard error.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <glib.h>

/* Takes over all messages: text at level info until configured. First thing in main. [control] */
void ragify_log_install (void);

/* `format`: "auto", "text", "json" or "journal"; `level`: "error", "warning", "info" or "debug". [control] */
void ragify_log_configure (const char *format, const char *level);
