/* What was found, in words, for problems.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <glib.h>
#include <jansson.h>

typedef struct RagifyDescription {
  char text[128];
} RagifyDescription;

/* Such as: the string "10", the number 1.5, an object, null. Long texts are shortened. Returns description->text. */
const char *ragify_describe (const json_t *json, RagifyDescription *description);

/* Which of `count` names is nearest to `name` (at most two letters off), or NULL. */
const char *ragify_describe_nearest (const char *name, const char *const *names, guint count);
