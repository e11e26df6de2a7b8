/* Profiles: named sets of defaults, which lie under every key that is written.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_CONFIG_PROFILES_H
#define RAGIFY_CONFIG_PROFILES_H

#include "config/host-keys.h"

G_BEGIN_DECLS

/* The default that `profile` (NULL: none) gives to `key` of nodes of `kind` whose component is called `component`
 * (NULL: it has none), as it would be written. NULL: it leaves the key alone. */
const char *ragify_profile_value (const char *profile, RagifyKind kind, const char *component, const char *key);

/* What else the profile is made for: a component of a kind that it expects to be configured. */
typedef struct RagifyProfileBackend {
  const char *profile;
  RagifyKind kind;
  const char *component;
  const char *advice; /* what to add */
} RagifyProfileBackend;

/* The backends of `profile`, from `*count` entries on; NULL: it expects none. */
const RagifyProfileBackend *ragify_profile_backends (const char *profile, size_t *count);

G_END_DECLS
#endif
