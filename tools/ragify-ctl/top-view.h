/* What 'ragify-ctl top' shows: numbers of one look, and of the time since the one before. */
#pragma once

#include <glib.h>
#include <jansson.h>

/* picture: {"url", "at", "stats", "jobs", "sources"} as the server said them; before: an earlier one, or NULL. The
 * result is one object of numbers (owned by the caller): rates are null without an earlier look. [any] */
json_t *ragify_top_summarise (const json_t *picture, const json_t *before);

/* The same as text for a terminal, lines of any length (owned by the caller). [any] */
char *ragify_top_format (const json_t *picture, const json_t *before);
