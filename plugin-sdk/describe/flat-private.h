/* What encoding and decoding agree on. SPDX-License-Identifier: MIT */
#ifndef RAGIFY_FLAT_PRIVATE_H
#define RAGIFY_FLAT_PRIVATE_H

#include "describe.h"

#define FLAT_DEPTH 64

/* Numbers lie in memory as they are written. */
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define FLAT_IS_NATIVE 1
#else
#define FLAT_IS_NATIVE 0
#endif

/* The bytes of one number in the flat form, or 0 when the type is no number. */
static inline uint32_t
flat_number_size (uint32_t type)
{
  switch (type) {
  case RAGIFY_TYPE_U8:
    return 1;
  case RAGIFY_TYPE_U16:
    return 2;
  case RAGIFY_TYPE_U32:
  case RAGIFY_TYPE_I32:
  case RAGIFY_TYPE_F32:
    return 4;
  case RAGIFY_TYPE_U64:
  case RAGIFY_TYPE_I64:
  case RAGIFY_TYPE_F64:
    return 8;
  default:
    return 0;
  }
}

/* A list's stride member, or NULL. */
static inline const RagifyDescribedMember *
flat_stride_member (const RagifyDescribedStruct *list)
{
  const uint32_t plain = list->flags & RAGIFY_STRUCT_VECTORS ? 3 : 2;
  return list->member_count > plain ? &list->members[plain] : NULL;
}

/* In memory, from one item of a list to the next where the list does not say. */
static inline uint32_t
flat_item_size (const RagifyDescribedMember *items)
{
  return items->item == RAGIFY_TYPE_STRUCT ? items->of->size : flat_number_size (items->item);
}

#endif
