/* Fingerprints of nodes, for config.h's comparing part.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_CONFIG_FINGERPRINT_H
#define RAGIFY_CONFIG_FINGERPRINT_H

#include "config/model.h"

G_BEGIN_DECLS

/* Takes both fingerprints of every node, in the order of config->nodes, which must have no circles. */
void ragify_fingerprint_all (RagifyConfig *config);

/* Equal in what counts: the same type, both or neither set, the same meaning. References are compared by name. */
bool ragify_value_equal (const RagifyConfigValue *a, const RagifyConfigValue *b);

G_END_DECLS
#endif
