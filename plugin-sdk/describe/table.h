/* How the table's rows are written. SPDX-License-Identifier: MIT */
#ifndef RAGIFY_DESCRIBE_TABLE_H
#define RAGIFY_DESCRIBE_TABLE_H

#include "describe.h"

/* clang-format off */
#define ROW(type, member, code, item_code, of_struct, tag_text)                                                        \
  { #member, code, item_code, offsetof (type, member), sizeof (((type *)NULL)->member), of_struct, tag_text }
/* clang-format on */

/* Does not compile when the member is of another type than the table says. */
#define CHECKED(type, member, code, c_type)                                                                            \
  (code + 0 * sizeof (char[_Generic(((type *)NULL)->member, c_type : 1, default : -1)]))
#define C_TYPE_U16 uint16_t
#define C_TYPE_U32 uint32_t
#define C_TYPE_I32 int32_t
#define C_TYPE_U64 uint64_t
#define C_TYPE_I64 int64_t
#define C_TYPE_F32 float
#define C_TYPE_F64 double
#define C_TYPE_TEXT const char *
#define C_TYPE_BUFFER RagifyBuffer *
#define C_TYPE_STREAM RagifyStream *
#define NUMBER(type, member, code)                                                                                     \
  ROW (type, member, CHECKED (type, member, RAGIFY_TYPE_##code, C_TYPE_##code), 0, NULL, NULL)
#define PLAIN(type, member, code) ROW (type, member, RAGIFY_TYPE_##code, 0, NULL, NULL)
#define INSIDE(type, member, of_struct)                                                                                \
  ROW (type, member, CHECKED (type, member, RAGIFY_TYPE_STRUCT, of_struct), 0, &describe_##of_struct, NULL)
#define POINTER(type, member, of_struct)                                                                               \
  ROW (type, member, CHECKED (type, member, RAGIFY_TYPE_POINTER, const of_struct *), 0, &describe_##of_struct, NULL)
#define FUNCTION(type, member, tag_text) ROW (type, member, RAGIFY_TYPE_FUNCTION, 0, NULL, tag_text)
/* The two that every sized struct without a member of its own in the second place begins with. */
#define HEAD(type) NUMBER (type, struct_size, U32), NUMBER (type, reserved, U32)

#define STRUCT(type, struct_flags)                                                                                     \
  const RagifyDescribedStruct describe_##type = { #type, sizeof (type), struct_flags,                                  \
                                                  sizeof members_##type / sizeof members_##type[0], members_##type }

/* A list of structs, without and with a stride. */
#define LIST_OF(list, element)                                                                                         \
  static const RagifyDescribedMember members_##list[] = {                                                              \
    ROW (list, items, CHECKED (list, items, RAGIFY_TYPE_ITEMS, const element *), RAGIFY_TYPE_STRUCT,                   \
         &describe_##element, NULL),                                                                                   \
    NUMBER (list, count, U64),                                                                                         \
  };                                                                                                                   \
  STRUCT (list, RAGIFY_STRUCT_LIST)
#define STRIDED_LIST_OF(list, element)                                                                                 \
  static const RagifyDescribedMember members_##list[] = {                                                              \
    ROW (list, items, CHECKED (list, items, RAGIFY_TYPE_ITEMS, const element *), RAGIFY_TYPE_STRUCT,                   \
         &describe_##element, NULL),                                                                                   \
    NUMBER (list, count, U64),                                                                                         \
    NUMBER (list, stride, U32),                                                                                        \
    NUMBER (list, reserved, U32),                                                                                      \
  };                                                                                                                   \
  STRUCT (list, RAGIFY_STRUCT_LIST)

#define STRUCT_NAME(type) extern const RagifyDescribedStruct describe_##type;
#include "structs.inc.h"
#undef STRUCT_NAME

#endif
