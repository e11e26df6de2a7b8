/* An envelope: how the tier keeps an answer in a level.
 *
 * SPDX-License-Identifier: MIT
 *
 * All numbers little-endian:
 *    0  "RGFA"           4  u16 version, 1     6  u16 flags
 *    8  u64 XXH3-64 of everything from byte 16 on
 *   16  i64 when it was created, wall clock µs
 *   24  u64 its own time to live, µs (0: the level's)
 *   32  u32 chunk ids   36  u32 0              40  u64 bytes of the body
 *   48  the chunk ids, 16 bytes each; the body
 */
#pragma once

#include <glib.h>
#include <ragify/ragify.h>

#define RAGIFY_ENVELOPE_VERSION 1
#define RAGIFY_ENVELOPE_DEGRADED 1u /* never in a level; only handed to those who wait */

typedef struct RagifyEnvelope {
  RagifyBytes body;
  const guint8 *ids; /* 16 bytes each */
  guint n_ids;
  gint64 created_at; /* wall clock, µs */
  guint64 born;      /* the same by the monotonic clock, for buffers that this process made; 0: not known */
  guint64 ttl_us;
  guint flags; /* RAGIFY_ENVELOPE_… */
} RagifyEnvelope;

/* How far another machine's clock may be ahead of ours. */
#define RAGIFY_ENVELOPE_SKEW_US (10 * (gint64)G_USEC_PER_SEC)

/* A new envelope with copies of `body` and `ids`, born now. [any] */
RagifyBuffer *
ragify_envelope_new (RagifyBytes body, RagifyUuidList ids, gint64 created_at, guint64 ttl_us, guint flags);

/* Reads one, into places inside the buffer. FALSE when it is not an envelope of this version, or damaged. The checksum
 * is skipped for buffers that this process made itself, since they cannot change. [any] */
gboolean ragify_envelope_read (const RagifyBuffer *buffer, RagifyEnvelope *envelope);

/* How old it is, µs. By the monotonic clock where this process made or adopted it, so that a jump of the wall clock
 * changes nothing; otherwise by the wall clock. G_MAXUINT64 where it comes from the future: one of the clocks has
 * jumped, and nobody can tell. [any] */
guint64 ragify_envelope_age (const RagifyEnvelope *envelope);

/* A reference to `buffer` where this process made it, otherwise to a copy in its own memory, which is `age_us` old
 * now. [any] */
RagifyBuffer *ragify_envelope_adopt (RagifyBuffer *buffer, guint64 age_us);
