/* Storing: what was computed, or found in a lower level, goes into levels and to those who wait.
 *
 * SPDX-License-Identifier: MIT
 */
#include "core/cache/tier-private.h"

/* A value on its way into levels. */
typedef struct {
  RagifyOwner owner;
  RagifyTier *tier;
  RagifyTierKey key;
  RagifyBuffer *envelope;
  guint pending;  /* levels; used on the loop that stores */
  gboolean lands; /* the flight is over when the first level has it */
} Store;

/* ---- time ---- */

/* Half the entries live longer and half shorter than the TTL says, so that what was stored together does not expire
 * together. The key is the randomness: it is a hash. */
static guint64
jittered (const RagifyTier *tier, const RagifyTierKey *key, guint64 ttl_us)
{
  const double position = (key->bytes[7] + 256.0 * key->bytes[8]) / 32767.5 - 1;
  return (guint64)((double)ttl_us * (1 + tier->ttl_jitter * position));
}

guint64
ragify_tier_life (const RagifyTier *tier, guint level, const RagifyTierKey *key, const RagifyEnvelope *envelope)
{
  const guint64 own = ragify_level_ttl (tier->levels[level]);
  return jittered (tier, key, envelope->ttl_us != 0 ? MIN (envelope->ttl_us, own) : own);
}

/* ---- into levels ---- */

static void
clear_store (RagifyOwner *owner)
{
  Store *store = (Store *)owner;
  store->envelope->unref (store->envelope);
}

static void
let_go (Store *store)
{
  if (--store->pending > 0)
    return;
  atomic_fetch_sub (&store->tier->storing, 1); /* the last that is done to the tier */
  ragify_owner_unref (&store->owner);
}

static void
stored (void *user)
{
  let_go (user);
}

static void
stored_first (void *user)
{
  Store *store = user;
  if (store->lands)
    ragify_flights_land (store->tier->flights, &store->key);
  let_go (store);
}

static void
store_in_level (Store *store, guint index, const RagifyEnvelope *read)
{
  RagifyTier *tier = store->tier;
  void (*written) (void *user) = index == 0 ? stored_first : stored;
  const guint64 life = ragify_tier_life (tier, index, &store->key, read) + tier->stale_us;
  const guint64 age = ragify_envelope_age (read);
  store->pending++;
  if (age < life)
    ragify_level_write (tier->levels[index], &store->owner, &store->key, store->envelope, life - age, written, store);
  else
    written (store);
}

void
ragify_tier_store_in (RagifyTier *tier, const RagifyTierKey *key, RagifyBuffer *envelope, guint n_levels,
                      gboolean lands)
{
  RagifyEnvelope read;
  if (!ragify_envelope_read (envelope, &read))
    g_return_if_reached ();
  Store *store = (Store *)ragify_owner_new (sizeof *store, clear_store);
  atomic_fetch_add (&tier->storing, 1);
  store->tier = tier;
  store->key = *key;
  store->envelope = envelope;
  envelope->ref (envelope);
  store->lands = lands;
  store->pending = 1;
  for (guint i = 0; i < n_levels; i++)
    store_in_level (store, i, &read);
  let_go (store);
}

/* ---- what the one who computed has ---- */

void
ragify_tier_set (RagifyTier *tier, const RagifyTierKey *key, RagifyBytes body, RagifyUuidList ids)
{
  if (ids.count == 0 && tier->negative_ttl_us == 0) {
    ragify_tier_share (tier, key, body, ids, FALSE);
    return;
  }
  const guint64 ttl = ids.count == 0 ? tier->negative_ttl_us : 0;
  RagifyBuffer *envelope = ragify_envelope_new (body, ids, g_get_real_time (), ttl, 0);
  const gboolean lands = ragify_flights_settle (tier->flights, key, envelope, NULL);
  ragify_tier_store_in (tier, key, envelope, tier->n_levels, lands);
  envelope->unref (envelope);
}

void
ragify_tier_share (RagifyTier *tier, const RagifyTierKey *key, RagifyBytes body, RagifyUuidList ids, gboolean degraded)
{
  RagifyBuffer *envelope =
      ragify_envelope_new (body, ids, g_get_real_time (), 0, degraded ? RAGIFY_ENVELOPE_DEGRADED : 0);
  if (ragify_flights_settle (tier->flights, key, envelope, NULL))
    ragify_flights_land (tier->flights, key);
  envelope->unref (envelope);
}

void
ragify_tier_pass_on (RagifyTier *tier, const RagifyTierKey *key, RagifyBuffer *envelope, const char *level)
{
  RagifyBuffer *own = ragify_envelope_adopt (envelope, 0);
  if (ragify_flights_settle (tier->flights, key, own, level))
    ragify_flights_land (tier->flights, key);
  own->unref (own);
}

void
ragify_tier_abandon (RagifyTier *tier, const RagifyTierKey *key)
{
  ragify_flights_abandon (tier->flights, key);
}
