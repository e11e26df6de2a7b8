/* SPDX-License-Identifier: MIT */
#include "flat-private.h"

#include <stdbool.h>
#include <string.h>

#define MEMORY_FACTOR 64
#define MEMORY_BASE 4096

typedef struct Reader {
  const uint8_t *at;
  uint64_t left;
  uint64_t memory; /* that may still be taken */
  const RagifyFlatSpace *space;
  const char *error;
} Reader;

static bool read_struct (Reader *reader, const RagifyDescribedStruct *type, uint8_t *value, int depth);

static bool
refuse (Reader *reader, const char *error)
{
  if (reader->error == NULL)
    reader->error = error;
  return false;
}

static bool
take (Reader *reader, void *data, uint64_t size)
{
  if (size > reader->left)
    return refuse (reader, "the value is cut off");
  if (size > 0)
    memcpy (data, reader->at, size);
  reader->at += size;
  reader->left -= size;
  return true;
}

static bool
take_number (Reader *reader, uint64_t *number, uint32_t size)
{
  uint8_t bytes[8] = { 0 };
  if (!take (reader, bytes, size))
    return false;
  *number = 0;
  for (uint32_t i = 0; i < size; i++)
    *number |= (uint64_t)bytes[i] << 8 * i;
  return true;
}

static void
store_number (uint8_t *at, uint64_t number, uint32_t size)
{
  const uint8_t small = (uint8_t)number;
  const uint16_t half = (uint16_t)number;
  const uint32_t word = (uint32_t)number;
  switch (size) {
  case 1:
    memcpy (at, &small, 1);
    return;
  case 2:
    memcpy (at, &half, 2);
    return;
  case 4:
    memcpy (at, &word, 4);
    return;
  default:
    memcpy (at, &number, 8);
  }
}

static void *
allocate (Reader *reader, uint64_t size)
{
  if (size > reader->memory) {
    refuse (reader, "the value wants more memory than it can fill");
    return NULL;
  }
  reader->memory -= size;
  void *memory = reader->space->alloc (reader->space->user, size);
  if (memory == NULL)
    refuse (reader, "not enough memory");
  return memory;
}

static bool
take_numbers (Reader *reader, uint8_t *at, uint64_t count, uint32_t size)
{
  if (size == 1 || FLAT_IS_NATIVE)
    return take (reader, at, count * size);
  for (uint64_t i = 0; i < count; i++) {
    uint64_t number = 0;
    if (!take_number (reader, &number, size))
      return false;
    store_number (at + i * size, number, size);
  }
  return true;
}

/* Reads how many items there are and writes that into the list; every item takes at least a byte. */
static bool
take_count (Reader *reader, const RagifyDescribedStruct *type, uint8_t *value, uint64_t *total)
{
  const RagifyDescribedMember *count = &type->members[1];
  uint64_t number = 0;
  uint64_t dimension = 1;
  if (!take_number (reader, &number, 8))
    return false;
  if (count->size == 4 && number > UINT32_MAX)
    return refuse (reader, "a list has a count that cannot be");
  store_number (value + count->offset, number, count->size);
  if (type->flags & RAGIFY_STRUCT_VECTORS) {
    if (!take_number (reader, &dimension, 4))
      return false;
    store_number (value + type->members[2].offset, dimension, 4);
  }
  *total = number * dimension;
  const uint32_t number_size = flat_number_size (type->members[0].item);
  if (*total > reader->left / (number_size > 0 ? number_size : 1))
    return refuse (reader, "a list counts more items than there are");
  return true;
}

static bool
read_list (Reader *reader, const RagifyDescribedStruct *type, uint8_t *value, int depth)
{
  const RagifyDescribedMember *items = &type->members[0];
  const RagifyDescribedMember *stride = flat_stride_member (type);
  const uint32_t size = flat_item_size (items);
  uint64_t count = 0;
  if (!take_count (reader, type, value, &count))
    return false;
  if (stride != NULL)
    store_number (value + stride->offset, size, 4);
  if (count == 0)
    return true;
  uint8_t *memory = allocate (reader, count * size);
  if (memory == NULL)
    return false;
  memcpy (value + items->offset, &memory, sizeof memory);
  if (items->item != RAGIFY_TYPE_STRUCT)
    return take_numbers (reader, memory, count, size);
  for (uint64_t i = 0; i < count; i++) {
    if (!read_struct (reader, items->of, memory + i * size, depth))
      return false;
  }
  return true;
}

static bool
read_buffer (Reader *reader, uint8_t *at)
{
  uint64_t size = 0;
  uint8_t *data = NULL;
  if (!take_number (reader, &size, 8))
    return false;
  if (size > reader->left)
    return refuse (reader, "a buffer is cut off");
  RagifyBuffer *buffer = reader->space->buffer_new (reader->space->user, size, &data);
  if (buffer == NULL)
    return refuse (reader, "not enough memory for a buffer");
  memcpy (at, &buffer, sizeof (RagifyBuffer *));
  return take (reader, data, size);
}

static bool
read_pointer (Reader *reader, const RagifyDescribedMember *member, uint8_t *at, int depth)
{
  uint64_t present = 0;
  if (!take_number (reader, &present, 1))
    return false;
  if (present > 1)
    return refuse (reader, "a pointer is neither there nor absent");
  if (present == 0)
    return true;
  if (member->type == RAGIFY_TYPE_BUFFER)
    return read_buffer (reader, at);
  if (member->type == RAGIFY_TYPE_STREAM) {
    memcpy (at, &reader->space->stream, sizeof (RagifyStream *));
    return true;
  }
  uint8_t *target = allocate (reader, member->of->size);
  if (target == NULL)
    return false;
  memcpy (at, &target, sizeof target);
  return read_struct (reader, member->of, target, depth);
}

static bool
read_member (Reader *reader, const RagifyDescribedMember *member, uint8_t *at, int depth)
{
  uint64_t number = 0;
  switch (member->type) {
  case RAGIFY_TYPE_STRUCT:
    return read_struct (reader, member->of, at, depth);
  case RAGIFY_TYPE_RAW:
    return take (reader, at, member->size);
  case RAGIFY_TYPE_POINTER:
  case RAGIFY_TYPE_BUFFER:
  case RAGIFY_TYPE_STREAM:
    return read_pointer (reader, member, at, depth);
  default:
    if (flat_number_size (member->type) == 0)
      return refuse (reader, "a member of this type has no flat form");
    if (!take_number (reader, &number, member->size))
      return false;
    store_number (at, number, member->size);
    return true;
  }
}

/* True when a struct of `size` bytes ends between two members. */
static bool
is_boundary (const RagifyDescribedStruct *type, uint64_t size)
{
  if (size == type->size)
    return true;
  for (uint32_t i = 0; i < type->member_count; i++) {
    if (type->members[i].offset == size)
      return true;
  }
  return false;
}

static bool
read_struct (Reader *reader, const RagifyDescribedStruct *type, uint8_t *value, int depth)
{
  if (depth >= FLAT_DEPTH)
    return refuse (reader, "the value is nested too deep");
  if (type->flags & RAGIFY_STRUCT_LIST)
    return read_list (reader, type, value, depth + 1);
  uint64_t size = type->size;
  const bool sized = type->flags & RAGIFY_STRUCT_SIZED;
  if (sized) {
    if (!take_number (reader, &size, 4))
      return false;
    if (size < 8 || size > type->size || !is_boundary (type, size))
      return refuse (reader, "a struct has a size that cannot be");
    store_number (value, size, 4);
  }
  for (uint32_t i = sized ? 1 : 0; i < type->member_count; i++) {
    const RagifyDescribedMember *member = &type->members[i];
    if (member->offset + member->size <= size && !read_member (reader, member, value + member->offset, depth + 1))
      return false;
  }
  return true;
}

/* Gives back the buffers of a value that is not handed out. What was not reached is zero. */
static void
release_buffers (const RagifyDescribedStruct *type, const uint8_t *value, int depth)
{
  for (uint32_t i = 0; depth < FLAT_DEPTH && i < type->member_count; i++) {
    const RagifyDescribedMember *member = &type->members[i];
    const uint8_t *target = NULL;
    if (member->type == RAGIFY_TYPE_BUFFER) {
      RagifyBuffer *buffer = NULL;
      memcpy (&buffer, value + member->offset, sizeof (RagifyBuffer *));
      if (buffer != NULL)
        buffer->unref (buffer);
    } else if (member->type == RAGIFY_TYPE_STRUCT)
      release_buffers (member->of, value + member->offset, depth + 1);
    else if (member->type == RAGIFY_TYPE_POINTER) {
      memcpy (&target, value + member->offset, sizeof target);
      if (target != NULL)
        release_buffers (member->of, target, depth + 1);
    } else if (member->type == RAGIFY_TYPE_ITEMS && member->item == RAGIFY_TYPE_STRUCT) {
      uint64_t count = 0;
      memcpy (&target, value + member->offset, sizeof target);
      memcpy (&count, value + type->members[1].offset, type->members[1].size);
      for (uint64_t k = 0; target != NULL && k < count; k++)
        release_buffers (member->of, target + k * member->of->size, depth + 1);
    }
  }
}

void *
ragify_flat_decode (const RagifyDescribedStruct *type, const void *data, uint64_t size, const RagifyFlatSpace *space,
                    const char **error)
{
  const uint64_t factor = size < (UINT64_MAX - MEMORY_BASE) / MEMORY_FACTOR ? size * MEMORY_FACTOR : UINT64_MAX / 2;
  Reader reader = { .at = data, .left = size, .memory = factor + MEMORY_BASE, .space = space };
  uint8_t *value = allocate (&reader, type->size);
  if (value != NULL && read_struct (&reader, type, value, 0) && reader.left > 0)
    refuse (&reader, "something follows the value");
  if (reader.error == NULL)
    return value;
  if (value != NULL)
    release_buffers (type, value, 0);
  *error = reader.error;
  return NULL;
}
