/* The answer of GET /v1/stats in a few lines. */
#pragma once

#include <glib.h>
#include <jansson.h>

/* stats: an object with version, pid, uptime and `metrics`, an array of {name, labels, value | count, p50, p95, p99};
 * whatever is missing is left out. Lines are indented by two; no newline at the end. Owned by the caller. [any] */
char *ragify_status_summary_format (const json_t *stats);
