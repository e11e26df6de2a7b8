/* Documents out of the tables: the reference page and the completion file. The program ragify-config-reference writes
 * them, and a test fails when what is checked in is not what it writes.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_CONFIG_REFERENCE_H
#define RAGIFY_CONFIG_REFERENCE_H

#include "config/host-keys.h"

G_BEGIN_DECLS

typedef struct RagifyReferenceInput {
  const RagifyComponent *const *components; /* in any order */
  size_t n_components;
  const char *prefix; /* of the installation; defaults of plugins that lie under it are shown as PREFIX/…; NULL: none */
} RagifyReferenceInput;

/* Markdown: every kind, its host keys, and the keys of its components. */
void ragify_reference_markdown (const RagifyReferenceInput *input, GString *text);

/* Snippets in the format of Visual Studio Code (JSON), which other editors read as well: one for each kind and
 * component with its keys, and one for each key with its choices. */
void ragify_reference_snippets (const RagifyReferenceInput *input, GString *text);

G_END_DECLS
#endif
