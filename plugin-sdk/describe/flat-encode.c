/* SPDX-License-Identifier: MIT */
#include "flat-private.h"

#include <stdlib.h>
#include <string.h>

typedef struct Writer {
  uint8_t *data;
  uint64_t size;
  uint64_t room;
  uint64_t limit;
  int32_t code;
  const char *error;
} Writer;

static void write_struct (Writer *writer, const RagifyDescribedStruct *type, const uint8_t *value, int depth);

static void
refuse (Writer *writer, int32_t code, const char *error)
{
  if (writer->code != RAGIFY_OK)
    return;
  writer->code = code;
  writer->error = error;
}

static void
write_bytes (Writer *writer, const void *data, uint64_t size)
{
  if (writer->code != RAGIFY_OK || size == 0)
    return;
  if (size > writer->limit - writer->size) {
    refuse (writer, RAGIFY_E_EXHAUSTED, "the value is larger than the limit");
    return;
  }
  if (size > writer->room - writer->size) {
    uint64_t room = writer->room * 2 > writer->size + size ? writer->room * 2 : writer->size + size + 256;
    uint8_t *grown = realloc (writer->data, room);
    if (grown == NULL) {
      refuse (writer, RAGIFY_E_EXHAUSTED, "not enough memory");
      return;
    }
    writer->data = grown;
    writer->room = room;
  }
  memcpy (writer->data + writer->size, data, size);
  writer->size += size;
}

static void
write_number (Writer *writer, uint64_t number, uint32_t size)
{
  uint8_t bytes[8];
  for (uint32_t i = 0; i < size; i++)
    bytes[i] = (uint8_t)(number >> 8 * i);
  write_bytes (writer, bytes, size);
}

static uint64_t
read_number (const uint8_t *at, uint32_t size)
{
  uint8_t small = 0;
  uint16_t half = 0;
  uint32_t word = 0;
  uint64_t large = 0;
  switch (size) {
  case 1:
    memcpy (&small, at, 1);
    return small;
  case 2:
    memcpy (&half, at, 2);
    return half;
  case 4:
    memcpy (&word, at, 4);
    return word;
  default:
    memcpy (&large, at, 8);
    return large;
  }
}

static void
write_numbers (Writer *writer, const uint8_t *at, uint64_t count, uint32_t size)
{
  if (count > writer->limit / size) {
    refuse (writer, RAGIFY_E_EXHAUSTED, "the value is larger than the limit");
    return;
  }
  if (size == 1 || FLAT_IS_NATIVE) {
    write_bytes (writer, at, count * size);
    return;
  }
  for (uint64_t i = 0; i < count && writer->code == RAGIFY_OK; i++)
    write_number (writer, read_number (at + i * size, size), size);
}

/* The number of items that a list says it has; refuses what cannot be. */
static uint64_t
count_items (Writer *writer, const RagifyDescribedStruct *type, const uint8_t *value)
{
  const RagifyDescribedMember *count = &type->members[1];
  uint64_t number = read_number (value + count->offset, count->size);
  write_number (writer, number, 8);
  if (type->flags & RAGIFY_STRUCT_VECTORS) {
    const uint64_t dimension = read_number (value + type->members[2].offset, 4);
    write_number (writer, dimension, 4);
    number *= dimension;
  }
  return number;
}

static void
write_list (Writer *writer, const RagifyDescribedStruct *type, const uint8_t *value, int depth)
{
  const RagifyDescribedMember *items = &type->members[0];
  const RagifyDescribedMember *stride_member = flat_stride_member (type);
  const uint64_t count = count_items (writer, type, value);
  const uint8_t *at = NULL;
  memcpy (&at, value + items->offset, sizeof at);
  if (count == 0)
    return;
  if (at == NULL) {
    refuse (writer, RAGIFY_E_INVALID, "a list has a count and no items");
    return;
  }
  if (items->item != RAGIFY_TYPE_STRUCT) {
    write_numbers (writer, at, count, flat_number_size (items->item));
    return;
  }
  uint64_t stride = items->of->size;
  if (stride_member != NULL)
    stride = read_number (value + stride_member->offset, 4);
  if (stride < 8 || (stride_member != NULL && stride % _Alignof(uint64_t) != 0)) {
    refuse (writer, RAGIFY_E_INVALID, "a list has a stride that cannot be");
    return;
  }
  for (uint64_t i = 0; i < count && writer->code == RAGIFY_OK; i++) {
    const uint8_t *item = at + i * stride;
    if ((items->of->flags & RAGIFY_STRUCT_SIZED) && read_number (item, 4) > stride)
      refuse (writer, RAGIFY_E_INVALID, "an item is larger than its list's stride");
    write_struct (writer, items->of, item, depth);
  }
}

static void
write_pointer (Writer *writer, const RagifyDescribedMember *member, const uint8_t *at, int depth)
{
  const void *target = NULL;
  memcpy (&target, at, sizeof target);
  write_number (writer, target != NULL, 1);
  if (target == NULL)
    return;
  if (member->type == RAGIFY_TYPE_POINTER)
    write_struct (writer, member->of, target, depth);
  else if (member->type == RAGIFY_TYPE_BUFFER) {
    const RagifyBuffer *buffer = target;
    write_number (writer, buffer->size, 8);
    if (buffer->size > 0 && buffer->data == NULL)
      refuse (writer, RAGIFY_E_INVALID, "a buffer has a size and no data");
    else
      write_bytes (writer, buffer->data, buffer->size);
  }
}

static void
write_member (Writer *writer, const RagifyDescribedMember *member, const uint8_t *at, int depth)
{
  switch (member->type) {
  case RAGIFY_TYPE_STRUCT:
    write_struct (writer, member->of, at, depth);
    return;
  case RAGIFY_TYPE_RAW:
    write_bytes (writer, at, member->size);
    return;
  case RAGIFY_TYPE_POINTER:
  case RAGIFY_TYPE_BUFFER:
  case RAGIFY_TYPE_STREAM:
    write_pointer (writer, member, at, depth);
    return;
  default:
    if (flat_number_size (member->type) == 0)
      refuse (writer, RAGIFY_E_INVALID, "a member of this type has no flat form");
    write_number (writer, read_number (at, member->size), member->size);
  }
}

static void
write_struct (Writer *writer, const RagifyDescribedStruct *type, const uint8_t *value, int depth)
{
  if (depth >= FLAT_DEPTH)
    refuse (writer, RAGIFY_E_INVALID, "the value is nested too deep");
  if (writer->code != RAGIFY_OK)
    return;
  if (type->flags & RAGIFY_STRUCT_LIST) {
    write_list (writer, type, value, depth + 1);
    return;
  }
  uint64_t size = type->size;
  if (type->flags & RAGIFY_STRUCT_SIZED) {
    size = read_number (value, 4);
    if (size < 8) {
      refuse (writer, RAGIFY_E_INVALID, "a struct is smaller than its own head");
      return;
    }
    size = size < type->size ? size : type->size;
    write_number (writer, size, 4);
  }
  for (uint32_t i = type->flags & RAGIFY_STRUCT_SIZED ? 1 : 0; i < type->member_count; i++) {
    const RagifyDescribedMember *member = &type->members[i];
    if (member->offset + member->size <= size)
      write_member (writer, member, value + member->offset, depth + 1);
  }
}

int32_t
ragify_flat_encode (const RagifyDescribedStruct *type, const void *value, uint64_t limit, RagifyFlat *flat,
                    const char **error)
{
  Writer writer = { .limit = limit };
  write_struct (&writer, type, value, 0);
  if (writer.code != RAGIFY_OK) {
    free (writer.data);
    *error = writer.error;
    return writer.code;
  }
  *flat = (RagifyFlat){ .data = writer.data, .size = writer.size };
  return RAGIFY_OK;
}

void
ragify_flat_free (RagifyFlat *flat)
{
  free (flat->data);
  *flat = (RagifyFlat){ 0 };
}
