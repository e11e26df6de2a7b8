/* What came of a reload, in words and as JSON.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "core/app/reloader.h"

/* Everything that was found, then one line that says how it ended. */
void ragify_reload_report_log (const RagifyReloadReport *report);
/* For whoever asked; a problem document where nothing was changed. Free with g_free. */
char *ragify_reload_report_to_json (const RagifyReloadReport *report, gsize *size);
