/* The rules that typed values and resolved references leave over.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_CONFIG_LINT_H
#define RAGIFY_CONFIG_LINT_H

#include "config/loader.h"
#include "config/profiles.h"

G_BEGIN_DECLS

/* The rules about single nodes and what they refer to directly; ragify_load_lint calls it. */
void ragify_lint_nodes (RagifyLoader *loader);

G_END_DECLS
#endif
