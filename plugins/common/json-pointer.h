/* JSON pointers (RFC 6901) over Jansson's values. SPDX-License-Identifier: MIT */
#ifndef RAGIFY_JSON_POINTER_H
#define RAGIFY_JSON_POINTER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* True when `text` is a pointer: empty, or of parts that begin with '/', with '~' only in "~0" and "~1". [any] */
bool ragify_json_pointer_valid (const char *text);

/* The value that a valid pointer names, borrowed, or NULL. The empty pointer names `root` itself. [any] */
json_t *ragify_json_pointer_get (const json_t *root, const char *pointer);

#endif
