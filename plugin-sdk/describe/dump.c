/* Prints the ABI as the table has it, for the golden file and the header checks.
 *
 *     ragify-describe layout       STRUCT.MEMBER offset N size N TYPE, and the size of structs that never grow
 *     ragify-describe tags         STRUCT.FUNCTION TAG
 *     ragify-describe operations   KIND OPERATION ARGS RESULT EMITTED
 *
 * SPDX-License-Identifier: MIT */
#include "describe.h"

#include <stdio.h>
#include <string.h>

/* What a member is, in a word. */
static const char *
type_name (const RagifyDescribedMember *member)
{
  static const char *const names[] = { "?",     "u16",    "u32",    "i32",      "u64",    "i64",
                                       "f32",   "f64",    "raw",    "text",     "struct", "pointer",
                                       "items", "buffer", "stream", "function", "opaque", "u8" };
  return names[member->type < sizeof names / sizeof names[0] ? member->type : 0];
}

static void
print_layout (const RagifyDescribedStruct *type)
{
  if ((type->flags & (RAGIFY_STRUCT_SIZED | RAGIFY_STRUCT_GROWS)) == 0)
    printf ("%s size %u\n", type->name, type->size);
  for (uint32_t i = 0; i < type->member_count; i++)
    printf ("%s.%s offset %u size %u %s%s%s\n", type->name, type->members[i].name, type->members[i].offset,
            type->members[i].size, type_name (&type->members[i]), type->members[i].of != NULL ? " " : "",
            type->members[i].of != NULL ? type->members[i].of->name : "");
}

static void
print_tags (const RagifyDescribedStruct *type)
{
  for (uint32_t i = 0; i < type->member_count; i++) {
    if (type->members[i].type == RAGIFY_TYPE_FUNCTION)
      printf ("%s.%s %s\n", type->name, type->members[i].name, type->members[i].tag);
  }
}

static void
print_operations (const char *id, const RagifyDescribedOperation *operations, uint32_t count)
{
  for (uint32_t i = 0; i < count; i++) {
    const RagifyDescribedOperation *operation = &operations[i];
    printf ("%s %s %s %s %s\n", id, operation->name, operation->args->name,
            operation->result != NULL ? operation->result->name : "-",
            operation->emitted != NULL ? operation->emitted->name : "-");
  }
}

int
main (int argc, char **argv)
{
  uint32_t count = 0;
  const char *what = argc == 2 ? argv[1] : "";
  const RagifyDescribedStruct *const *structs = ragify_describe_structs (&count);
  for (uint32_t i = 0; strcmp (what, "layout") == 0 && i < count; i++)
    print_layout (structs[i]);
  for (uint32_t i = 0; strcmp (what, "tags") == 0 && i < count; i++)
    print_tags (structs[i]);
  if (strcmp (what, "operations") == 0) {
    const RagifyDescribedKind *kinds = ragify_describe_kinds (&count);
    for (uint32_t i = 0; i < count; i++)
      print_operations (kinds[i].id, kinds[i].operations, kinds[i].operation_count);
    const RagifyDescribedOperation *common = ragify_describe_common (&count);
    print_operations ("*", common, count);
  } else if (strcmp (what, "layout") != 0 && strcmp (what, "tags") != 0) {
    fprintf (stderr, "usage: ragify-describe layout|tags|operations\n");
    return 2;
  }
  return 0;
}
