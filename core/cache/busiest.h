/* The busiest requests: who is asked for most, in constant memory.
 *
 * SPDX-License-Identifier: MIT
 *
 * The Space-Saving algorithm (Metwally, Agrawal, El Abbadi: "Efficient computation of frequent and top-k elements in
 * data streams", 2005): a new request takes the place of the least counted one and its count. Whatever makes up more
 * than 1/places of the stream is in it. Counts are halved every hour, so that what was asked yesterday fades.
 *
 * One table for each loop, so that counting waits for nobody; reading adds them up.
 */
#pragma once

#include "core/cache/tier.h"

typedef struct RagifyBusiest RagifyBusiest;

#define RAGIFY_BUSIEST_TEXT_MAX 2048 /* bytes; longer requests are not kept */

/* `tables` of `places` requests each. [control] */
RagifyBusiest *ragify_busiest_new (guint tables, guint places);
void ragify_busiest_free (RagifyBusiest *busiest);

/* Counts a request by what identifies it. TRUE: it has come again, and its text is wanted: see
 * ragify_busiest_describe. [any] */
gboolean ragify_busiest_count (RagifyBusiest *busiest, guint table, const RagifyTierKey *identity);
/* Tells what the request was, as text. [any] */
void ragify_busiest_describe (RagifyBusiest *busiest, guint table, const RagifyTierKey *identity, const char *text);
/* Puts a request in with a count, such as one from before a restart. [any] */
void ragify_busiest_add (RagifyBusiest *busiest, const RagifyTierKey *identity, guint64 count, const char *text);

typedef struct RagifyBusy {
  RagifyTierKey identity;
  guint64 count; /* at least it; what its predecessor in the place counted is subtracted */
  char *text;
} RagifyBusy;
/* At most `limit` requests whose text is known, the busiest first. Free with ragify_busy_list_free. [any] */
GArray *ragify_busiest_list (RagifyBusiest *busiest, guint limit);
void ragify_busy_list_free (GArray *list);
