/* Mentions every public type, so that abidiff sees them all: types that only stand behind `void *` it does not.
 * SPDX-License-Identifier: MIT */
#include <ragify/ragify.h>

#define STRUCT_NAME(type)                                                                                              \
  RAGIFY_EXPORT void witness_##type (const type *value);                                                               \
  void witness_##type (const type *value)                                                                              \
  {                                                                                                                    \
    (void)value;                                                                                                       \
  }
#include "structs.inc.h"
#undef STRUCT_NAME
