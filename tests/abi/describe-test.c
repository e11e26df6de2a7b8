/* The table covers the whole ABI, and every argument, result and emitted item of every kind survives the flat form.
 * SPDX-License-Identifier: MIT */
#include "describe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LIMIT (UINT64_C (1) << 24)

/* Memory of one test value: freed together. */
typedef struct Arena {
  void **blocks;
  size_t count;
  uint64_t bytes;
} Arena;

static void *
arena_alloc (void *user, uint64_t size)
{
  Arena *arena = user;
  arena->blocks = realloc (arena->blocks, (arena->count + 1) * sizeof (void *));
  arena->bytes += size;
  return arena->blocks[arena->count++] = calloc (1, size > 0 ? size : 1);
}

static void
arena_free (Arena *arena)
{
  for (size_t i = 0; i < arena->count; i++)
    free (arena->blocks[i]);
  free (arena->blocks);
  *arena = (Arena){ 0 };
}

typedef struct TestBuffer {
  RagifyBuffer base;
  int references;
} TestBuffer;

static int buffers_alive;

static void
buffer_ref (RagifyBuffer *buffer)
{
  ((TestBuffer *)buffer)->references++;
}

static void
buffer_unref (RagifyBuffer *buffer)
{
  if (--((TestBuffer *)buffer)->references > 0)
    return;
  buffers_alive--;
  free ((void *)buffer->data);
  free (buffer);
}

static RagifyBuffer *
buffer_new (void *user, uint64_t size, uint8_t **data)
{
  (void)user;
  TestBuffer *buffer = calloc (1, sizeof *buffer);
  *data = calloc (1, size > 0 ? size : 1);
  buffer->references = 1;
  buffer->base = (RagifyBuffer){
    .struct_size = sizeof buffer->base,
    .data = *data,
    .size = size,
    .ref = buffer_ref,
    .unref = buffer_unref,
  };
  buffers_alive++;
  return &buffer->base;
}

static RagifyFlatSpace
make_space (Arena *arena)
{
  return (RagifyFlatSpace){
    .alloc = arena_alloc,
    .buffer_new = buffer_new,
    .user = arena,
    .stream = (RagifyStream *)(uintptr_t)0x5eed,
  };
}

/* ---- values out of nothing, by the table ---- */

typedef struct Maker {
  Arena *arena;
  uint64_t random;
} Maker;

static uint32_t
draw (Maker *maker, uint32_t below)
{
  maker->random = maker->random * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(maker->random >> 33) % below;
}

static void make_struct (Maker *maker, const RagifyDescribedStruct *type, uint8_t *value, int depth);

static void
make_list (Maker *maker, const RagifyDescribedStruct *type, uint8_t *value, int depth)
{
  const RagifyDescribedMember *items = &type->members[0];
  const bool structs = items->item == RAGIFY_TYPE_STRUCT;
  uint64_t count = depth > 6 ? 0 : draw (maker, structs ? 4 : 40);
  const uint64_t size = structs ? items->of->size : items->item == RAGIFY_TYPE_U8 ? 1 : 4;
  memcpy (value + type->members[1].offset, &count, type->members[1].size);
  if (type->flags & RAGIFY_STRUCT_VECTORS) {
    const uint32_t dimension = 1 + draw (maker, 9);
    memcpy (value + type->members[2].offset, &dimension, sizeof dimension);
    count *= dimension;
  } else if (type->member_count > 2) {
    const uint32_t stride = items->of->size;
    memcpy (value + type->members[2].offset, &stride, sizeof stride);
  }
  if (count == 0)
    return;
  uint8_t *memory = arena_alloc (maker->arena, count * size);
  memcpy (value + items->offset, &memory, sizeof memory);
  for (uint64_t i = 0; i < count; i++) {
    if (structs)
      make_struct (maker, items->of, memory + i * size, depth + 1);
    else if (size == 1)
      memory[i] = (uint8_t)draw (maker, 256);
    else {
      const uint32_t word = draw (maker, UINT32_MAX);
      memcpy (memory + i * 4, &word, 4);
    }
  }
}

static void
make_member (Maker *maker, const RagifyDescribedMember *member, uint8_t *at, int depth)
{
  void *pointer = NULL;
  uint8_t *data = NULL;
  switch (member->type) {
  case RAGIFY_TYPE_STRUCT:
    make_struct (maker, member->of, at, depth + 1);
    return;
  case RAGIFY_TYPE_POINTER:
    if (depth > 6 || draw (maker, 2) == 0)
      return;
    pointer = arena_alloc (maker->arena, member->of->size);
    make_struct (maker, member->of, pointer, depth + 1);
    break;
  case RAGIFY_TYPE_BUFFER: {
    const uint64_t size = draw (maker, 50);
    pointer = buffer_new (NULL, size, &data);
    for (uint64_t i = 0; i < size; i++)
      data[i] = (uint8_t)draw (maker, 256);
    break;
  }
  case RAGIFY_TYPE_STREAM:
    pointer = (void *)(uintptr_t)0x5eed;
    break;
  default:
    for (uint32_t i = 0; i < member->size; i++)
      at[i] = (uint8_t)draw (maker, 256);
    return;
  }
  memcpy (at, &pointer, sizeof pointer);
}

static void
make_struct (Maker *maker, const RagifyDescribedStruct *type, uint8_t *value, int depth)
{
  if (type->flags & RAGIFY_STRUCT_LIST) {
    make_list (maker, type, value, depth);
    return;
  }
  for (uint32_t i = 0; i < type->member_count; i++)
    make_member (maker, &type->members[i], value + type->members[i].offset, depth);
  if (type->flags & RAGIFY_STRUCT_SIZED)
    memcpy (value, &type->size, sizeof type->size);
}

/* The buffer of a cache's arguments and results, the only ones that have any. */
static void
drop_buffer (const RagifyDescribedStruct *type, const void *value)
{
  for (uint32_t i = 0; i < type->member_count; i++) {
    RagifyBuffer *buffer = NULL;
    if (type->members[i].type != RAGIFY_TYPE_BUFFER)
      continue;
    memcpy (&buffer, (const uint8_t *)value + type->members[i].offset, sizeof (RagifyBuffer *));
    if (buffer != NULL)
      buffer->unref (buffer);
  }
}

static void
fuzz_flat (const RagifyDescribedStruct *type, const RagifyFlat *flat, Maker *maker)
{
  const char *error = NULL;
  for (uint64_t size = 0; size < flat->size; size += 1 + flat->size / 50) {
    Arena arena = { 0 };
    const RagifyFlatSpace space = make_space (&arena);
    assert_null (ragify_flat_decode (type, flat->data, size, &space, &error));
    arena_free (&arena);
  }
  for (int round = 0; round < 100; round++) {
    Arena arena = { 0 };
    const RagifyFlatSpace space = make_space (&arena);
    uint8_t *copy = malloc (flat->size);
    memcpy (copy, flat->data, flat->size);
    for (uint32_t i = 1 + draw (maker, 3); i > 0; i--)
      copy[draw (maker, (uint32_t)flat->size)] = (uint8_t)(draw (maker, 2) ? 255 : draw (maker, 256));
    const void *value = ragify_flat_decode (type, copy, flat->size, &space, &error);
    assert_true (arena.bytes <= 64 * flat->size + 4096);
    if (value != NULL) {
      /* What is accepted is whole: it can be written again. */
      RagifyFlat again = { 0 };
      assert_int_equal (ragify_flat_encode (type, value, LIMIT, &again, &error), RAGIFY_OK);
      ragify_flat_free (&again);
      drop_buffer (type, value);
    }
    free (copy);
    arena_free (&arena);
  }
}

static void
round_trip (const RagifyDescribedStruct *type, uint64_t seed)
{
  if (type == NULL)
    return;
  Arena made = { 0 };
  Arena read = { 0 };
  Maker maker = { &made, seed };
  const char *error = NULL;
  uint8_t *value = arena_alloc (&made, type->size);
  make_struct (&maker, type, value, 0);
  RagifyFlat flat = { 0 };
  if (ragify_flat_encode (type, value, LIMIT, &flat, &error) != RAGIFY_OK)
    fail_msg ("%s: %s", type->name, error);
  const RagifyFlatSpace space = make_space (&read);
  const void *copy = ragify_flat_decode (type, flat.data, flat.size, &space, &error);
  if (copy == NULL)
    fail_msg ("%s: %s", type->name, error);
  RagifyFlat again = { 0 };
  assert_int_equal (ragify_flat_encode (type, copy, LIMIT, &again, &error), RAGIFY_OK);
  assert_int_equal (again.size, flat.size);
  assert_memory_equal (again.data, flat.data, flat.size);
  fuzz_flat (type, &flat, &maker);
  drop_buffer (type, value);
  drop_buffer (type, copy);
  ragify_flat_free (&flat);
  ragify_flat_free (&again);
  arena_free (&made);
  arena_free (&read);
}

static void
round_trip_operations (const RagifyDescribedOperation *operations, uint32_t count)
{
  for (uint32_t i = 0; i < count; i++) {
    for (uint64_t seed = 1; seed <= 20; seed++) {
      round_trip (operations[i].args, seed);
      round_trip (operations[i].result, seed);
      round_trip (operations[i].emitted, seed);
    }
  }
}

static void
every_operation_of_every_kind_survives_the_flat_form (void **state)
{
  (void)state;
  uint32_t kind_count = 0;
  uint32_t common_count = 0;
  const RagifyDescribedKind *kinds = ragify_describe_kinds (&kind_count);
  const RagifyDescribedOperation *common = ragify_describe_common (&common_count);
  assert_int_equal (kind_count, 7);
  for (uint32_t i = 0; i < kind_count; i++)
    round_trip_operations (kinds[i].operations, kinds[i].operation_count);
  round_trip_operations (common, common_count);
  assert_int_equal (buffers_alive, 0);
}

static void
every_function_of_a_vtable_is_an_operation (void **state)
{
  (void)state;
  uint32_t count = 0;
  const RagifyDescribedKind *kinds = ragify_describe_kinds (&count);
  for (uint32_t i = 0; i < count; i++) {
    uint32_t functions = 0;
    for (uint32_t k = 0; k < kinds[i].vtable->member_count; k++) {
      const RagifyDescribedMember *member = &kinds[i].vtable->members[k];
      if (member->type != RAGIFY_TYPE_FUNCTION)
        continue;
      assert_true (functions < kinds[i].operation_count);
      assert_string_equal (kinds[i].operations[functions].name, member->name);
      assert_int_equal (kinds[i].operations[functions].offset, member->offset);
      functions++;
    }
    assert_int_equal (functions, kinds[i].operation_count);
    assert_ptr_equal (ragify_describe_kind (kinds[i].id), &kinds[i]);
  }
}

static void
the_table_covers_every_byte_but_padding (void **state)
{
  (void)state;
  uint32_t count = 0;
  const RagifyDescribedStruct *const *structs = ragify_describe_structs (&count);
  for (uint32_t i = 0; i < count; i++) {
    uint32_t end = 0;
    uint32_t alignment = 1;
    for (uint32_t k = 0; k < structs[i]->member_count; k++) {
      const RagifyDescribedMember *member = &structs[i]->members[k];
      const uint32_t own = member->type == RAGIFY_TYPE_RAW      ? 1
                           : member->type == RAGIFY_TYPE_STRUCT ? 8
                           : member->size < 8                   ? member->size
                                                                : 8;
      /* A gap can only be what aligns the member after it. */
      if (member->offset < end || member->offset - end >= own)
        fail_msg ("%s: something before %s is not described", structs[i]->name, member->name);
      end = member->offset + member->size;
      alignment = own > alignment ? own : alignment;
    }
    if (structs[i]->size - end >= alignment)
      fail_msg ("%s: its last member is not described", structs[i]->name);
    assert_ptr_equal (ragify_describe_struct (structs[i]->name), structs[i]);
  }
}

/* Follows a type wherever it leads; a filter leads to itself. */
static void
assert_can_travel (const RagifyDescribedStruct *type, int depth)
{
  for (uint32_t i = 0; depth < 10 && i < type->member_count; i++) {
    const RagifyDescribedMember *member = &type->members[i];
    if (member->type == RAGIFY_TYPE_OPAQUE || member->type == RAGIFY_TYPE_FUNCTION || member->type == RAGIFY_TYPE_TEXT)
      fail_msg ("%s.%s cannot go to another process", type->name, member->name);
    if (member->of != NULL)
      assert_can_travel (member->of, depth + 1);
  }
}

static void
no_argument_or_result_has_an_undescribed_pointer (void **state)
{
  (void)state;
  uint32_t count = 0;
  const RagifyDescribedKind *kinds = ragify_describe_kinds (&count);
  for (uint32_t i = 0; i < count; i++) {
    for (uint32_t k = 0; k < kinds[i].operation_count; k++) {
      const RagifyDescribedOperation *operation = &kinds[i].operations[k];
      assert_can_travel (operation->args, 0);
      if (operation->result != NULL)
        assert_can_travel (operation->result, 0);
      if (operation->emitted != NULL)
        assert_can_travel (operation->emitted, 0);
    }
  }
}

static void
a_filter_arrives_as_it_left (void **state)
{
  (void)state;
  const RagifyValue values[] = {
    { .type = RAGIFY_VALUE_STRING, .string = ragify_str_from ("de") },
    { .type = RAGIFY_VALUE_INT, .integer = -5 },
  };
  const RagifyFilter children[] = {
    { .struct_size = sizeof (RagifyFilter),
      .op = RAGIFY_FILTER_IN,
      .field = ragify_str_from ("lang"),
      .values = { values, 2 } },
    { .struct_size = sizeof (RagifyFilter),
      .op = RAGIFY_FILTER_GT,
      .field = ragify_str_from ("year"),
      .values = { values + 1, 1 } },
  };
  const RagifyFilter filter = { .struct_size = sizeof filter,
                                .op = RAGIFY_FILTER_AND,
                                .children = { children, 2, sizeof (RagifyFilter), 0 } };
  const float vector[] = { 0.5f, -1.5f };
  const RagifySourceQuery query = { .struct_size = sizeof query,
                                    .top_k = 10,
                                    .text = ragify_str_from ("größe"),
                                    .embedding = { vector, 1, 2 },
                                    .filter = &filter };
  RagifyFlat flat = { 0 };
  const char *error = NULL;
  const RagifyDescribedStruct *type = ragify_describe_struct ("RagifySourceQuery");
  assert_int_equal (ragify_flat_encode (type, &query, LIMIT, &flat, &error), RAGIFY_OK);
  Arena arena = { 0 };
  const RagifyFlatSpace space = make_space (&arena);
  const RagifySourceQuery *copy = ragify_flat_decode (type, flat.data, flat.size, &space, &error);
  assert_non_null (copy);
  assert_int_equal (copy->top_k, 10);
  assert_memory_equal (copy->text.data, "größe", strlen ("größe"));
  assert_memory_equal (copy->embedding.items, vector, sizeof vector);
  assert_int_equal (copy->filter->children.count, 2);
  const RagifyFilter *first = copy->filter->children.items;
  assert_int_equal (first->op, RAGIFY_FILTER_IN);
  assert_memory_equal (first->values.items[0].string.data, "de", 2);
  assert_int_equal (first->values.items[1].integer, -5);
  ragify_flat_free (&flat);
  arena_free (&arena);
}

static void
what_an_older_writer_lacks_reads_as_0 (void **state)
{
  (void)state;
  /* A chunk that ends before `score`. */
  RagifyChunk chunk = { .struct_size = offsetof (RagifyChunk, score), .ordinal = 7, .score = 3 };
  const RagifyDescribedStruct *type = ragify_describe_struct ("RagifyChunk");
  RagifyFlat flat = { 0 };
  const char *error = NULL;
  assert_int_equal (ragify_flat_encode (type, &chunk, LIMIT, &flat, &error), RAGIFY_OK);
  Arena arena = { 0 };
  const RagifyFlatSpace space = make_space (&arena);
  const RagifyChunk *copy = ragify_flat_decode (type, flat.data, flat.size, &space, &error);
  assert_non_null (copy);
  assert_int_equal (copy->struct_size, offsetof (RagifyChunk, score));
  assert_int_equal (copy->ordinal, 7);
  assert_true (copy->score == 0);
  ragify_flat_free (&flat);
  arena_free (&arena);
}

/* Filters in filters, 200 deep, as only a hostile writer makes them. */
static void
nesting_without_end_is_refused (void **state)
{
  (void)state;
  enum { LEVEL = 32, LEVELS = 200 };
  uint8_t flat[LEVEL * LEVELS] = { 0 };
  for (size_t i = 0; i < LEVELS; i++) {
    flat[i * LEVEL] = sizeof (RagifyFilter);
    flat[i * LEVEL + 4] = RAGIFY_FILTER_NOT;
    flat[i * LEVEL + 24] = 1;
  }
  Arena arena = { 0 };
  const RagifyFlatSpace space = make_space (&arena);
  const char *error = NULL;
  assert_null (ragify_flat_decode (ragify_describe_struct ("RagifyFilter"), flat, sizeof flat, &space, &error));
  assert_non_null (strstr (error, "too deep"));
  arena_free (&arena);
}

static void
what_cannot_be_is_refused (void **state)
{
  (void)state;
  const RagifyDescribedStruct *filter_type = ragify_describe_struct ("RagifyFilter");
  const char *error = NULL;
  RagifyFlat flat = { 0 };
  RagifyFilter levels[100];
  memset (levels, 0, sizeof levels);
  for (size_t i = 0; i < 100; i++) {
    levels[i].struct_size = sizeof levels[i];
    levels[i].op = RAGIFY_FILTER_NOT;
    if (i > 0)
      levels[i].children = (RagifyFilterList){ &levels[i - 1], 1, sizeof levels[i], 0 };
  }
  assert_int_equal (ragify_flat_encode (filter_type, &levels[99], LIMIT, &flat, &error), RAGIFY_E_INVALID);
  assert_non_null (strstr (error, "too deep"));

  RagifyFilter broken = { .struct_size = sizeof broken, .children = { NULL, 3, sizeof broken, 0 } };
  assert_int_equal (ragify_flat_encode (filter_type, &broken, LIMIT, &flat, &error), RAGIFY_E_INVALID);
  broken.children = (RagifyFilterList){ levels, 1, 4, 0 };
  assert_int_equal (ragify_flat_encode (filter_type, &broken, LIMIT, &flat, &error), RAGIFY_E_INVALID);
  broken = (RagifyFilter){ .struct_size = 4 };
  assert_int_equal (ragify_flat_encode (filter_type, &broken, LIMIT, &flat, &error), RAGIFY_E_INVALID);

  static const char text[100000];
  broken = (RagifyFilter){ .struct_size = sizeof broken, .field = { text, sizeof text } };
  assert_int_equal (ragify_flat_encode (filter_type, &broken, 50000, &flat, &error), RAGIFY_E_EXHAUSTED);
  assert_null (flat.data);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (the_table_covers_every_byte_but_padding),
    cmocka_unit_test (every_function_of_a_vtable_is_an_operation),
    cmocka_unit_test (no_argument_or_result_has_an_undescribed_pointer),
    cmocka_unit_test (every_operation_of_every_kind_survives_the_flat_form),
    cmocka_unit_test (a_filter_arrives_as_it_left),
    cmocka_unit_test (what_an_older_writer_lacks_reads_as_0),
    cmocka_unit_test (nesting_without_end_is_refused),
    cmocka_unit_test (what_cannot_be_is_refused),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
