/* SPDX-License-Identifier: MIT */
#ifndef RAGIFY_JSON_EXTENT_H
#define RAGIFY_JSON_EXTENT_H

#include <glib.h>

/* Whether brackets outside of strings nest at most `max_depth` deep and there are at most `max_values` commas and
 * opening brackets, so that parsing the text takes bounded stack and memory. It need not be right about what is not
 * JSON. One pass that ends at the first bound that is broken; any thread. */
gboolean ragify_json_is_within (const char *text, gsize size, guint max_depth, guint max_values);

#endif
