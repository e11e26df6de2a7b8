/* How large public structs were in ABI 1.0.
 *
 * SPDX-License-Identifier: MIT
 *
 * Structs grow at their end, and a plugin of 1.0 stays welcome: what it brings is measured by what 1.0 had and never by
 * sizeof, which is today's. `member` is the last one of 1.0.
 */
#pragma once

#include <stddef.h>

#define RAGIFY_SIZE_UP_TO(Type, member) (offsetof (Type, member) + sizeof (((Type *)NULL)->member))
