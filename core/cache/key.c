/* SPDX-License-Identifier: MIT */
#include "core/cache/key.h"

#define XXH_STATIC_LINKING_ONLY /* the size of XXH3_state_t */
#include <string.h>
#include <xxhash.h>

G_STATIC_ASSERT (sizeof (XXH3_state_t) <= sizeof (RagifyKeyBuilder));

/* What stands in front of each part. */
enum { PART_WORDS = 1, PART_TEXT, PART_INTEGER, PART_NUMBER, PART_TEXTS, PART_PAIRS, PART_FILTER, PART_NONE };

static XXH3_state_t *
state_of (RagifyKeyBuilder *builder)
{
  return (XXH3_state_t *)(void *)builder->state;
}

static void
add_raw (RagifyKeyBuilder *builder, guint8 type, const void *data, gsize size)
{
  struct {
    guint64 type, size;
  } head = { GUINT64_TO_LE (type), GUINT64_TO_LE (size) };
  XXH3_128bits_update (state_of (builder), &head, sizeof head);
  XXH3_128bits_update (state_of (builder), data, size);
}

static void
add_value (RagifyKeyBuilder *builder, const RagifyValue *value)
{
  ragify_key_add_integer (builder, value->type);
  switch (value->type) {
  case RAGIFY_VALUE_STRING:
    ragify_key_add_text (builder, value->string);
    break;
  case RAGIFY_VALUE_DOUBLE:
    ragify_key_add_number (builder, value->number);
    break;
  default:
    ragify_key_add_integer (builder, (guint64)value->integer);
  }
}

/* ASCII without tabs and such, and with single spaces only: as it is already. */
static gboolean
is_folded (RagifyStr text)
{
  guint8 before = ' ';
  for (gsize i = 0; i < text.size; i++) {
    const guint8 byte = (guint8)text.data[i];
    if (byte < ' ' || byte >= 0x7F || (byte == ' ' && before == ' '))
      return FALSE;
    before = byte;
  }
  return before != ' ';
}

/* Folds white space in place; returns the new size. */
static gsize
fold_spaces (char *text, gsize size)
{
  char *out = text;
  gboolean pending = FALSE;
  for (const char *at = text; at < text + size;) {
    const char *next = g_utf8_next_char (at);
    const gboolean space = g_unichar_isspace (g_utf8_get_char (at));
    if (!space) {
      if (pending && out > text)
        *out++ = ' ';
      memmove (out, at, next - at);
      out += next - at;
    }
    pending = space;
    at = next;
  }
  return out - text;
}

void
ragify_key_begin (RagifyKeyBuilder *builder)
{
  XXH3_128bits_reset (state_of (builder));
}

void
ragify_key_add_words (RagifyKeyBuilder *builder, RagifyStr text)
{
  if (is_folded (text)) {
    add_raw (builder, PART_WORDS, text.data, text.size);
    return;
  }
  g_autofree char *folded = g_utf8_normalize (text.data, (gssize)text.size, G_NORMALIZE_ALL_COMPOSE);
  if (folded == NULL) { /* not UTF-8: only itself is the same */
    add_raw (builder, PART_TEXT, text.data, text.size);
    return;
  }
  add_raw (builder, PART_WORDS, folded, fold_spaces (folded, strlen (folded)));
}

void
ragify_key_add_text (RagifyKeyBuilder *builder, RagifyStr text)
{
  add_raw (builder, PART_TEXT, text.data, text.size);
}

void
ragify_key_add_integer (RagifyKeyBuilder *builder, guint64 value)
{
  value = GUINT64_TO_LE (value);
  add_raw (builder, PART_INTEGER, &value, sizeof value);
}

void
ragify_key_add_number (RagifyKeyBuilder *builder, double value)
{
  guint64 bits;
  value = value == 0 ? 0 : value; /* −0 is 0 */
  memcpy (&bits, &value, sizeof bits);
  bits = GUINT64_TO_LE (bits);
  add_raw (builder, PART_NUMBER, &bits, sizeof bits);
}

void
ragify_key_add_texts (RagifyKeyBuilder *builder, RagifyStrList texts)
{
  const guint64 count = GUINT64_TO_LE (texts.count);
  add_raw (builder, PART_TEXTS, &count, sizeof count);
  for (guint64 i = 0; i < texts.count; i++)
    ragify_key_add_text (builder, texts.items[i]);
}

void
ragify_key_add_pairs (RagifyKeyBuilder *builder, RagifyPairList pairs)
{
  const guint64 count = GUINT64_TO_LE (pairs.count);
  add_raw (builder, PART_PAIRS, &count, sizeof count);
  for (guint64 i = 0; i < pairs.count; i++) {
    ragify_key_add_text (builder, pairs.items[i].name);
    add_value (builder, &pairs.items[i].value);
  }
}

void
ragify_key_add_filter (RagifyKeyBuilder *builder, const RagifyFilter *filter)
{
  if (filter == NULL) {
    add_raw (builder, PART_NONE, NULL, 0);
    return;
  }
  const guint64 counts[] = { GUINT64_TO_LE (filter->op), GUINT64_TO_LE (filter->values.count),
                             GUINT64_TO_LE (filter->children.count) };
  add_raw (builder, PART_FILTER, counts, sizeof counts);
  ragify_key_add_text (builder, filter->field);
  for (guint64 i = 0; i < filter->values.count; i++)
    add_value (builder, &filter->values.items[i]);
  for (guint64 i = 0; i < filter->children.count; i++) {
    const char *child = (const char *)filter->children.items + i * filter->children.stride;
    ragify_key_add_filter (builder, (const RagifyFilter *)(const void *)child);
  }
}

static RagifyTierKey
key_of (XXH128_hash_t hash)
{
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash (&canonical, hash);
  RagifyTierKey key = { 0 };
  memcpy (key.bytes, canonical.digest, sizeof key.bytes);
  return key;
}

RagifyTierKey
ragify_key_finish (RagifyKeyBuilder *builder)
{
  return key_of (XXH3_128bits_digest (state_of (builder)));
}

RagifyTierKey
ragify_key_combine (const RagifyTierKey *key, const guint64 *numbers, guint count)
{
  RagifyTierKey result = *key;
  for (guint i = 0; i < count; i++) {
    guint8 bytes[sizeof key->bytes + sizeof *numbers];
    const guint64 number = GUINT64_TO_LE (numbers[i]);
    memcpy (bytes, result.bytes, sizeof result.bytes);
    memcpy (bytes + sizeof result.bytes, &number, sizeof number);
    result = key_of (XXH3_128bits (bytes, sizeof bytes));
  }
  return result;
}
