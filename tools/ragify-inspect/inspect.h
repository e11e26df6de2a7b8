/* What the files of ragify-inspect share: modules as JSON.
 *
 * A module is {"path", "refusal"} or {"path", "id", "version", "licence", "summary", "url", "abi", "components"};
 * a component {"kind", "name", "summary", "runs", "max_parallel", "flags", "keys"}; a key {"name", "type", "required",
 * "reloadable", "deprecated", "default", "unit", "choices", "minimum", "maximum", "summary", "since", "replaced_by"}.
 * Members that say nothing are absent. It is what --json prints.
 */
#pragma once

#include <glib.h>

#include "tools/common/json-reader.h"

/* The argument that makes the tool a child which opens one module and prints it. */
#define RAGIFY_INSPECT_CHILD "--open-module"

/* ---- describe.c: in the child ---- */

/* Opens the module as the host does, and describes it or its refusal. */
json_t *ragify_inspect_describe (const char *path);

/* ---- discover.c ---- */

/* Describes every module of `paths`, each a folder or a file, in processes of their own: one that crashes, hangs or
 * talks is described as refused. Modules that the host would refuse for another's sake (its id, a component) are marked
 * so. An array; what cannot be read is complained of, and *whole becomes FALSE. */
json_t *ragify_inspect_discover (const char *const *paths, gboolean *whole);

/* A component by "NAME" or "KIND NAME", its module in *module. NULL: none, or several, with the reason (free with
 * g_free). Borrowed. */
const json_t *ragify_inspect_find (const json_t *modules, const char *name, const json_t **module, char **reason);

/* ---- show.c, stub.c ---- */

/* The list, for people; only those that were refused. Returns how many were printed. */
guint ragify_inspect_list (const json_t *modules, gboolean failed_only);
void ragify_inspect_show (const json_t *module, const json_t *component);
/* A group for a configuration with every key of the component: required ones to be filled in, the others with their
 * defaults, as comments. */
void ragify_inspect_stub (const json_t *component);

/* "vector-store" for "ragify.vector-store/1". Constant. */
const char *ragify_inspect_group (const json_t *component);
