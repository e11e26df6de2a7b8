/* Candidates: every passage that some list of a request names, once.
 *
 * SPDX-License-Identifier: MIT
 *
 * Kept as arrays side by side, as fusion wants them, in an arena of the caller's.
 */
#pragma once

#include "core/call/arena.h"
#include "core/pipeline/fuse.h"

typedef struct RagifyCandidates {
  guint count, capacity;
  RagifyUuid *ids;
  guint16 *holders;           /* who has the content: a number of the caller's */
  guint16 *spaces;            /* of the holder's vectors */
  guint16 *ranks;             /* the best in any list, from 1 */
  float *cosines;             /* NAN: not known */
  float *weights;             /* of the holder */
  float *fused;               /* written by fusion */
  const RagifyChunk **chunks; /* what is known of it; NULL: not fetched */
  guint8 *marks;              /* the caller's */
  guint32 *slots;             /* open addressing: 1 + candidate; 0: empty */
  guint mask;
} RagifyCandidates;

/* Room for `capacity` ≤ 2²⁸ candidates. */
void ragify_candidates_init (RagifyCandidates *candidates, RagifyArena *arena, guint capacity);

/* The candidate of a holder's chunk, added when it is new (with no cosine). */
guint32 ragify_candidates_add (RagifyCandidates *candidates, const RagifyUuid *id, guint16 holder, gboolean *is_new);
