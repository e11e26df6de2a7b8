/* Times as JSON has them.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <glib.h>
#include <jansson.h>

/* ISO 8601 in UTC, to the second, of microseconds since 1970; null for 0 and what no calendar has. The caller's. */
json_t *ragify_json_time (gint64 wall_us);
