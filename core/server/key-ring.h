/* The keys that a server asks for: a file of them that is read again when it changes.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "core/server/api-key.h"

typedef struct RagifyKeyRing RagifyKeyRing;

/* Reads the file; NULL with an error that names every mistake. From then on the main context looks every second whether
 * it has changed. A change that cannot be read is logged once, and the keys from before it stay. [control] */
RagifyKeyRing *ragify_key_ring_new (const char *path, GError **error);
void ragify_key_ring_free (RagifyKeyRing *ring); /* [control] */

/* Grows with each change; for whoever keeps a set at hand. [any] */
guint ragify_key_ring_version (const RagifyKeyRing *ring);
/* A reference to the keys as they are now. [any] */
RagifyKeySet *ragify_key_ring_set (RagifyKeyRing *ring);
