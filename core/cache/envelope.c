/* SPDX-License-Identifier: MIT */
#include "core/cache/envelope.h"

#include <string.h>
#include <xxhash.h>

#include "core/call/loop.h"

#define MAGIC "RGFA"
#define HEAD_SIZE 48
#define CHECKED_FROM 16

typedef struct {
  RagifyBuffer buffer;
  gint references; /* atomic */
  guint64 born;    /* monotonic µs */
  guint8 bytes[];
} OwnBuffer;

static void
own_ref (RagifyBuffer *buffer)
{
  g_atomic_int_inc (&((OwnBuffer *)buffer)->references);
}

static void
own_unref (RagifyBuffer *buffer)
{
  if (g_atomic_int_dec_and_test (&((OwnBuffer *)buffer)->references))
    g_free (buffer);
}

static OwnBuffer *
own_new (gsize size, guint64 age_us)
{
  const guint64 now = ragify_now ();
  OwnBuffer *own = g_malloc (sizeof *own + size);
  own->references = 1;
  own->born = now > age_us ? now - age_us : 1;
  own->buffer = (RagifyBuffer){
    .struct_size = sizeof own->buffer, .data = own->bytes, .size = size, .ref = own_ref, .unref = own_unref
  };
  return own;
}

static gboolean
is_own (const RagifyBuffer *buffer)
{
  return buffer->unref == own_unref;
}

static void
put (guint8 *at, guint64 value, gsize size)
{
  value = GUINT64_TO_LE (value);
  memcpy (at, &value, size);
}

static guint64
take (const guint8 *at, gsize size)
{
  guint64 value = 0;
  memcpy (&value, at, size);
  return GUINT64_FROM_LE (value);
}

RagifyBuffer *
ragify_envelope_new (RagifyBytes body, RagifyUuidList ids, gint64 created_at, guint64 ttl_us, guint flags)
{
  const gsize ids_size = ids.count * sizeof (RagifyUuid);
  OwnBuffer *own = own_new (HEAD_SIZE + ids_size + body.size, 0);
  guint8 *bytes = own->bytes;
  memset (bytes, 0, HEAD_SIZE);
  memcpy (bytes, MAGIC, 4);
  put (bytes + 4, RAGIFY_ENVELOPE_VERSION, 2);
  put (bytes + 6, flags, 2);
  put (bytes + 16, (guint64)created_at, 8);
  put (bytes + 24, ttl_us, 8);
  put (bytes + 32, ids.count, 4);
  put (bytes + 40, body.size, 8);
  if (ids_size > 0)
    memcpy (bytes + HEAD_SIZE, ids.items, ids_size);
  if (body.size > 0)
    memcpy (bytes + HEAD_SIZE + ids_size, body.data, body.size);
  put (bytes + 8, XXH3_64bits (bytes + CHECKED_FROM, own->buffer.size - CHECKED_FROM), 8);
  return &own->buffer;
}

gboolean
ragify_envelope_read (const RagifyBuffer *buffer, RagifyEnvelope *envelope)
{
  const guint8 *bytes = buffer->data;
  if (buffer->size < HEAD_SIZE || memcmp (bytes, MAGIC, 4) != 0 || take (bytes + 4, 2) != RAGIFY_ENVELOPE_VERSION)
    return FALSE;
  if ((take (bytes + 6, 2) & ~(guint64)RAGIFY_ENVELOPE_DEGRADED) != 0)
    return FALSE;
  const guint64 n_ids = take (bytes + 32, 4), body_size = take (bytes + 40, 8);
  const guint64 room = buffer->size - HEAD_SIZE;
  if (n_ids > room / sizeof (RagifyUuid) || body_size != room - n_ids * sizeof (RagifyUuid))
    return FALSE;
  if (!is_own (buffer) && take (bytes + 8, 8) != XXH3_64bits (bytes + CHECKED_FROM, buffer->size - CHECKED_FROM))
    return FALSE;
  *envelope = (RagifyEnvelope){
    .body = { .data = bytes + HEAD_SIZE + n_ids * sizeof (RagifyUuid), .size = body_size },
    .ids = bytes + HEAD_SIZE,
    .n_ids = (guint)n_ids,
    .created_at = (gint64)take (bytes + 16, 8),
    .born = is_own (buffer) ? ((const OwnBuffer *)buffer)->born : 0,
    .ttl_us = take (bytes + 24, 8),
    .flags = (guint)take (bytes + 6, 2),
  };
  return TRUE;
}

guint64
ragify_envelope_age (const RagifyEnvelope *envelope)
{
  if (envelope->born != 0) {
    const guint64 now = ragify_now ();
    return now > envelope->born ? now - envelope->born : 0;
  }
  const gint64 now = g_get_real_time ();
  if (envelope->created_at > now) /* compared, not subtracted: a foreign number may be anything */
    return envelope->created_at > now + RAGIFY_ENVELOPE_SKEW_US ? G_MAXUINT64 : 0;
  return (guint64)now - (guint64)envelope->created_at;
}

RagifyBuffer *
ragify_envelope_adopt (RagifyBuffer *buffer, guint64 age_us)
{
  if (is_own (buffer)) {
    own_ref (buffer);
    return buffer;
  }
  OwnBuffer *own = own_new (buffer->size, age_us);
  memcpy (own->bytes, buffer->data, buffer->size);
  return &own->buffer;
}
