/* SPDX-License-Identifier: MIT */
#include "vocabulary.h"

#include <string.h>

typedef struct {
  guint32 hash; /* 0: the slot is free */
  guint32 id;
  guint32 offset; /* of the piece in `text` */
  guint8 size;
  guint8 continues;
} Slot;

struct _RagifyVocabulary {
  Slot *slots;
  gsize mask; /* slots are a power of two, at most half of them taken */
  gsize used;
  gsize longest[2]; /* bytes, by `continues` */
  GByteArray *text;
};

/* FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/: the hash of every beginning of a text comes on the way. */
static const guint64 hash_start[2] = { 14695981039346656037U, 14695981039346656037U ^ 0x5bd1e995U };

static inline guint64
hash_byte (guint64 hash, guint8 byte)
{
  return (hash ^ byte) * 1099511628211U;
}

/* The low bits of FNV-1a depend on few bits of the input, the high ones on all. */
static inline guint32
hash_finish (guint64 hash)
{
  const guint32 folded = (guint32)(hash ^ hash >> 32);

  return folded == 0 ? 1 : folded;
}

RagifyVocabulary *
ragify_vocabulary_new (gsize expected_size)
{
  RagifyVocabulary *const self = g_new0 (RagifyVocabulary, 1);
  gsize slots = 64;

  while (slots < expected_size * 2)
    slots *= 2;
  self->slots = g_new0 (Slot, slots);
  self->mask = slots - 1;
  self->text = g_byte_array_sized_new ((guint)MIN (expected_size, 1024 * 1024) * 8);
  return self;
}

void
ragify_vocabulary_free (RagifyVocabulary *self)
{
  g_free (self->slots);
  g_byte_array_unref (self->text);
  g_free (self);
}

static Slot *
find_slot (const RagifyVocabulary *self, guint32 hash, const char *piece, gsize size, gboolean continues)
{
  gsize at = hash & self->mask;

  while (self->slots[at].hash != 0) {
    Slot *const slot = &self->slots[at];

    if (slot->hash == hash && slot->size == size && slot->continues == continues &&
        memcmp (self->text->data + slot->offset, piece, size) == 0)
      break;
    at = (at + 1) & self->mask;
  }
  return &self->slots[at];
}

static void
grow (RagifyVocabulary *self)
{
  const gsize old_count = self->mask + 1;
  g_autofree Slot *old = self->slots;

  self->mask = old_count * 2 - 1;
  self->slots = g_new0 (Slot, old_count * 2);
  for (gsize i = 0; i < old_count; i++) {
    gsize at = old[i].hash & self->mask;

    if (old[i].hash == 0)
      continue;
    while (self->slots[at].hash != 0)
      at = (at + 1) & self->mask;
    self->slots[at] = old[i];
  }
}

void
ragify_vocabulary_add (RagifyVocabulary *self, const char *piece, gsize size, gboolean continues, guint32 id)
{
  guint64 hash = hash_start[continues != FALSE];
  Slot *slot;

  if (size == 0 || size > RAGIFY_VOCABULARY_MAX_PIECE)
    return;
  if ((self->used + 1) * 2 > self->mask + 1)
    grow (self);
  for (gsize i = 0; i < size; i++)
    hash = hash_byte (hash, (guint8)piece[i]);
  slot = find_slot (self, hash_finish (hash), piece, size, continues != FALSE);
  if (slot->hash == 0) {
    *slot = (Slot){
      .hash = hash_finish (hash),
      .offset = self->text->len,
      .size = (guint8)size,
      .continues = continues != FALSE,
    };
    g_byte_array_append (self->text, (const guint8 *)piece, (guint)size);
    self->used++;
  }
  slot->id = id;
  self->longest[continues != FALSE] = MAX (self->longest[continues != FALSE], size);
}

gsize
ragify_vocabulary_match (const RagifyVocabulary *self, const char *text, gsize size, gboolean continues, guint32 *id)
{
  const gsize longest = MIN (size, self->longest[continues != FALSE]);
  guint32 hashes[RAGIFY_VOCABULARY_MAX_PIECE + 1];
  guint64 hash = hash_start[continues != FALSE];

  for (gsize i = 0; i < longest; i++) {
    hash = hash_byte (hash, (guint8)text[i]);
    hashes[i + 1] = hash_finish (hash);
  }
  for (gsize length = longest; length > 0; length--) {
    const Slot *slot;

    if (length < size && ((guint8)text[length] & 0xc0) == 0x80)
      continue;
    slot = find_slot (self, hashes[length], text, length, continues != FALSE);
    if (slot->hash != 0) {
      *id = slot->id;
      return length;
    }
  }
  return 0;
}

guint64
ragify_vocabulary_digest (const RagifyVocabulary *self)
{
  guint64 digest = self->used;

  for (gsize i = 0; i <= self->mask; i++) {
    const Slot *const slot = &self->slots[i];
    guint64 hash = hash_start[slot->continues];

    if (slot->hash == 0)
      continue;
    for (gsize k = 0; k < slot->size; k++)
      hash = hash_byte (hash, self->text->data[slot->offset + k]);
    for (guint shift = 0; shift < 32; shift += 8)
      hash = hash_byte (hash, (guint8)(slot->id >> shift));
    digest += hash ^ hash >> 29; /* a sum does not depend on the order */
  }
  return digest;
}
