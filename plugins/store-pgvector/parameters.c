#include "parameters.h"

#include <string.h>

struct PgvectorArray {
  GByteArray *bytes;
};

static void
put (GByteArray *bytes, const void *data, gsize size)
{
  if (size > 0)
    g_byte_array_append (bytes, data, (guint)size);
}

static void
put_int4 (GByteArray *bytes, guint32 value)
{
  const guint32 big = GUINT32_TO_BE (value);
  put (bytes, &big, sizeof big);
}

static void
put_int8 (GByteArray *bytes, guint64 value)
{
  const guint64 big = GUINT64_TO_BE (value);
  put (bytes, &big, sizeof big);
}

PgvectorArray *
pgvector_array_new (guint32 oid, gsize count)
{
  PgvectorArray *array = g_new0 (PgvectorArray, 1);
  array->bytes = g_byte_array_new ();
  put_int4 (array->bytes, count > 0 ? 1 : 0);
  put_int4 (array->bytes, 1);
  put_int4 (array->bytes, oid);
  if (count > 0) {
    put_int4 (array->bytes, (guint32)count);
    put_int4 (array->bytes, 1);
  }
  return array;
}

void
pgvector_array_add_null (PgvectorArray *array)
{
  put_int4 (array->bytes, G_MAXUINT32);
}

void
pgvector_array_add_bool (PgvectorArray *array, gboolean value)
{
  const guint8 byte = value ? 1 : 0;
  put_int4 (array->bytes, 1);
  put (array->bytes, &byte, 1);
}

void
pgvector_array_add_int4 (PgvectorArray *array, gint32 value)
{
  put_int4 (array->bytes, sizeof value);
  put_int4 (array->bytes, (guint32)value);
}

void
pgvector_array_add_int8 (PgvectorArray *array, gint64 value)
{
  put_int4 (array->bytes, sizeof value);
  put_int8 (array->bytes, (guint64)value);
}

void
pgvector_array_add_uuid (PgvectorArray *array, const RagifyUuid *id)
{
  put_int4 (array->bytes, sizeof *id);
  put (array->bytes, id, sizeof *id);
}

/* Without its zeros. */
static void
put_text (GByteArray *bytes, RagifyStr text)
{
  const char *at = text.data, *end = text.data + text.size;
  for (const char *zero; at < end && (zero = memchr (at, 0, (gsize)(end - at))) != NULL; at = zero + 1) {
    put (bytes, at, (gsize)(zero - at));
    put (bytes, "\xEF\xBF\xBD", 3);
  }
  if (at < end)
    put (bytes, at, (gsize)(end - at));
}

/* What follows the four bytes at `start` is the element: they say how long it is. */
static void
set_size (GByteArray *bytes, guint start)
{
  const guint32 size = GUINT32_TO_BE (bytes->len - start - 4);
  memcpy (bytes->data + start, &size, sizeof size);
}

void
pgvector_array_add_text (PgvectorArray *array, RagifyStr text)
{
  const guint start = array->bytes->len;
  put_int4 (array->bytes, 0);
  put_text (array->bytes, text);
  set_size (array->bytes, start);
}

static void
put_json (GByteArray *bytes, RagifyStr json)
{
  gsize begun = 0;
  for (gsize i = 0; i + 1 < json.size; i++) {
    if (json.data[i] != '\\')
      continue;
    if (i + 6 <= json.size && memcmp (json.data + i, "\\u0000", 6) == 0) {
      put (bytes, json.data + begun, i - begun);
      put (bytes, "\\ufffd", 6);
      begun = i + 6;
    }
    i++;
  }
  put (bytes, json.data + begun, json.size - begun);
}

void
pgvector_array_add_json (PgvectorArray *array, RagifyStr json)
{
  static const guint8 version = 1; /* of jsonb's binary format, which is the text behind it */
  const guint start = array->bytes->len;
  if (json.size == 0) {
    pgvector_array_add_null (array);
    return;
  }
  put_int4 (array->bytes, 0);
  put (array->bytes, &version, 1);
  put_json (array->bytes, json);
  set_size (array->bytes, start);
}

static void
put_vector (GByteArray *bytes, const float *vector, guint32 dimension)
{
  put_int4 (bytes, dimension << 16); /* two numbers of 16 bits; the second is not used */
  for (guint32 i = 0; i < dimension; i++) {
    guint32 number;
    memcpy (&number, &vector[i], sizeof number);
    put_int4 (bytes, number);
  }
}

void
pgvector_array_add_vector (PgvectorArray *array, const float *vector, guint32 dimension)
{
  put_int4 (array->bytes, 4 + 4 * dimension);
  put_vector (array->bytes, vector, dimension);
}

GBytes *
pgvector_array_take (PgvectorArray *array)
{
  GBytes *value = g_byte_array_free_to_bytes (array->bytes);
  g_free (array);
  return value;
}

GBytes *
pgvector_value_int8 (gint64 value)
{
  const guint64 big = GUINT64_TO_BE ((guint64)value);
  return g_bytes_new (&big, sizeof big);
}

GBytes *
pgvector_value_text (RagifyStr text)
{
  GByteArray *bytes = g_byte_array_new ();
  put_text (bytes, text);
  return g_byte_array_free_to_bytes (bytes);
}

GBytes *
pgvector_value_uuid (const RagifyUuid *id)
{
  return g_bytes_new (id, sizeof *id);
}

GBytes *
pgvector_value_vector (const float *vector, guint32 dimension)
{
  GByteArray *bytes = g_byte_array_sized_new (4 + 4 * dimension);
  put_vector (bytes, vector, dimension);
  return g_byte_array_free_to_bytes (bytes);
}

GBytes *
pgvector_value_uuids (const RagifyUuidList *ids)
{
  PgvectorArray *array = pgvector_array_new (PGVECTOR_OID_UUID, ids->count);
  for (guint64 i = 0; i < ids->count; i++)
    pgvector_array_add_uuid (array, &ids->items[i]);
  return pgvector_array_take (array);
}

GBytes *
pgvector_value_texts (const RagifyStrList *texts)
{
  PgvectorArray *array = pgvector_array_new (PGVECTOR_OID_TEXT, texts->count);
  for (guint64 i = 0; i < texts->count; i++)
    pgvector_array_add_text (array, texts->items[i]);
  return pgvector_array_take (array);
}
