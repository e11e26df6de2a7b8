/* A get first asks the first level, which for a hit in memory is all that happens. Otherwise it joins the flight of its
 * key; the one who leads it asks the other levels, and the first one again where somebody has landed in between; only
 * then it is told to compute.
 *
 * SPDX-License-Identifier: MIT
 */
#include "core/cache/tier.h"
#include "core/balance/attempt.h"

#include <stdatomic.h>
#include <string.h>

#include "core/cache/flight.h"
#include "core/cache/level.h"
#include "core/call/operations.h"

#define FLUSH_US (3 * (guint64)G_USEC_PER_SEC) /* for writes behind, at the end */
#define POLL_US 200

struct RagifyTier {
  char *name;
  RagifyLevel **levels;
  guint n_levels;
  guint64 negative_ttl_us, stale_us;
  double ttl_jitter;
  RagifyFlights *flights;
  _Atomic guint64 leaving; /* gets that nobody waits for any more */
  _Atomic guint64 storing; /* answers on their way into levels */
  RagifySeries *hits, *misses, *coalesced, *timeouts, *stale, *rejected;
};

struct RagifyTierGet {
  RagifyWaiter waiter;
  RagifyTask task;
  RagifyDeadline expiry;
  RagifyTier *tier;
  RagifyOwner *owner; /* a reference, until `got` has run */
  RagifyLoop *loop;
  RagifyTierAsk ask;
  RagifyTierGot got;
  void *user;

  gboolean leads, cancelled, uncounted; /* uncounted: the first level's miss, which may turn out to be none */
  guint64 landed;
  guint level; /* that is being asked */
  RagifyCacheGet arguments;
  RagifyAttempt attempt;   /* to get it from the level */
  gboolean asking;         /* … which is under way */
  RagifyBuffer *stale;     /* what there is past its time, in case there is nothing else */
  const char *stale_kind;  /* its level's */
  RagifyBuffer *woken;     /* what `wake` brought */
  const char *woken_level; /* with it */
};

/* A value on its way into levels. */
typedef struct {
  RagifyOwner owner;
  RagifyTier *tier;
  RagifyTierKey key;
  RagifyBuffer *envelope;
  guint pending;  /* levels; used on the loop that stores */
  gboolean lands; /* the flight is over when the first level has it */
} Store;

static void ask_level (RagifyTierGet *get);

/* ---- time ---- */

/* Half the entries live longer and half shorter than the TTL says, so that what was stored together does not expire
 * together. The key is the randomness: it is a hash. */
static guint64
jittered (const RagifyTier *tier, const RagifyTierKey *key, guint64 ttl_us)
{
  const double position = (key->bytes[7] + 256.0 * key->bytes[8]) / 32767.5 - 1;
  return (guint64)((double)ttl_us * (1 + tier->ttl_jitter * position));
}

/* How long `level` may give it from its creation on, µs. */
static guint64
life_in (const RagifyTier *tier, const RagifyLevel *level, const RagifyTierKey *key, const RagifyEnvelope *envelope)
{
  const guint64 own = ragify_level_ttl (level);
  return jittered (tier, key, envelope->ttl_us != 0 ? MIN (envelope->ttl_us, own) : own);
}

/* How old a level's value is. Where the level says how much of its time is left, that counts as well, in case the wall
 * clock has been set back since it was made. */
static guint64
age_in (const RagifyTier *tier, const RagifyTierGet *get, const RagifyEnvelope *envelope, guint64 left_us)
{
  const guint64 age = ragify_envelope_age (envelope);
  if (envelope->born != 0 || left_us == 0 || age == G_MAXUINT64)
    return age;
  const guint64 whole = life_in (tier, tier->levels[get->level], &get->ask.key, envelope) + tier->stale_us;
  return whole > left_us ? MAX (age, whole - left_us) : age;
}

/* ---- storing ---- */

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
  const guint64 life = life_in (tier, tier->levels[index], &store->key, read) + tier->stale_us;
  const guint64 age = ragify_envelope_age (read);
  store->pending++;
  if (age < life)
    ragify_level_write (tier->levels[index], &store->owner, &store->key, store->envelope, life - age, written, store);
  else
    written (store);
}

/* Writes `envelope` to the first `n_levels` levels, at once. `lands`: it was settled, and the flight is to land when
 * the first level has it. */
static void
store_in (RagifyTier *tier, const RagifyTierKey *key, RagifyBuffer *envelope, guint n_levels, gboolean lands)
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

/* ---- the end of a get ---- */

/* Passes `envelope`, which was read into `read` (NULL: nothing was found), and the lead. */
static void
deliver (RagifyTierGet *get, RagifyBuffer *envelope, const RagifyEnvelope *read, const RagifyTierFound *how)
{
  RagifyOwner *owner = get->owner;
  RagifyTier *tier = get->tier;
  if (get->stale != NULL)
    get->stale->unref (g_steal_pointer (&get->stale));
  if (get->cancelled) {
    if (how->lead)
      ragify_flights_abandon (tier->flights, &get->ask.key);
    if (envelope != NULL)
      envelope->unref (envelope);
    atomic_fetch_sub (&tier->leaving, 1);
    ragify_owner_unref (owner);
    return;
  }
  RagifyTierFound found = *how;
  found.envelope = envelope;
  if (envelope != NULL) {
    found.body = read->body;
    found.degraded = (read->flags & RAGIFY_ENVELOPE_DEGRADED) != 0;
  }
  if (!get->ask.peek)
    ragify_series_add (envelope != NULL ? tier->hits : found.lead ? tier->misses : tier->timeouts, 1);
  if (found.stale)
    ragify_series_add (tier->stale, 1);
  get->got (&found, get->user);
  ragify_owner_unref (owner);
}

static void
deliver_nothing (RagifyTierGet *get, gboolean lead)
{
  deliver (get, NULL, NULL, &(RagifyTierFound){ .lead = lead });
}

/* What there is past its time is better than waiting. */
static void
deliver_stale (RagifyTierGet *get, gboolean lead)
{
  RagifyBuffer *envelope = g_steal_pointer (&get->stale);
  RagifyEnvelope read;
  if (!ragify_envelope_read (envelope, &read))
    g_return_if_reached ();
  deliver (get, envelope, &read, &(RagifyTierFound){ .level = get->stale_kind, .stale = TRUE, .lead = lead });
}

/* Another's answer. */
static void
deliver_shared (RagifyTierGet *get, RagifyBuffer *envelope, const char *level)
{
  RagifyEnvelope read;
  if (!ragify_envelope_read (envelope, &read))
    g_return_if_reached ();
  if (!get->cancelled)
    ragify_series_add (get->tier->coalesced, 1);
  deliver (get, envelope, &read, &(RagifyTierFound){ .level = level });
}

/* ---- waiting for another ---- */

static void
run_woken (RagifyTask *task)
{
  RagifyTierGet *get = (RagifyTierGet *)(void *)((char *)task - G_STRUCT_OFFSET (RagifyTierGet, task));
  ragify_loop_disarm (get->loop, &get->expiry);
  if (get->woken != NULL)
    deliver_shared (get, g_steal_pointer (&get->woken), get->woken_level);
  else
    deliver_nothing (get, TRUE);
}

static void
wake (RagifyWaiter *waiter, RagifyBuffer *envelope, const char *level)
{
  RagifyTierGet *get = (RagifyTierGet *)waiter;
  get->woken = envelope;
  get->woken_level = level;
  get->task.run = run_woken;
  ragify_loop_post (get->loop, &get->task);
}

static void
expire (RagifyDeadline *expiry)
{
  RagifyTierGet *get = (RagifyTierGet *)(void *)((char *)expiry - G_STRUCT_OFFSET (RagifyTierGet, expiry));
  if (ragify_flights_leave (get->tier->flights, &get->ask.key, &get->waiter))
    deliver_nothing (get, FALSE);
}

static void
lead (RagifyTierGet *get, gboolean anew)
{
  get->leads = TRUE;
  if (!anew)
    get->level++;
  if (anew && get->stale != NULL)
    get->stale->unref (g_steal_pointer (&get->stale));
  ask_level (get);
}

static void
join (RagifyTierGet *get)
{
  RagifyTier *tier = get->tier;
  RagifyBuffer *envelope = NULL;
  const char *level = NULL;
  /* Armed before it can be woken: the task that runs then takes the deadline back, on this loop. */
  get->expiry.expired = expire;
  get->waiter.wake = wake;
  ragify_loop_arm (get->loop, &get->expiry, get->ask.deadline);
  const RagifyFlightJoin joined =
      ragify_flights_join (tier->flights, &get->ask.key, get->landed, &get->waiter, &envelope, &level);
  if (get->uncounted && joined != RAGIFY_FLIGHT_LEADS_ANEW)
    ragify_level_count_miss (tier->levels[0]);
  if (joined == RAGIFY_FLIGHT_WAITS) {
    if (get->stale == NULL || !ragify_flights_leave (tier->flights, &get->ask.key, &get->waiter))
      return;
    ragify_loop_disarm (get->loop, &get->expiry);
    deliver_stale (get, FALSE);
    return;
  }
  ragify_loop_disarm (get->loop, &get->expiry);
  if (joined == RAGIFY_FLIGHT_DONE)
    deliver_shared (get, envelope, level);
  else
    lead (get, joined == RAGIFY_FLIGHT_LEADS_ANEW);
}

/* ---- asking the levels ---- */

/* The levels above a hit get it too, and so does who waits. Where a refresh has settled the flight meanwhile, what it
 * stored is newer. */
static void
promote (RagifyTierGet *get, RagifyBuffer *envelope)
{
  RagifyTier *tier = get->tier;
  if (!get->leads) {
    if (get->ask.peek && get->level > 0)
      store_in (tier, &get->ask.key, envelope, get->level, FALSE);
    return;
  }
  if (!ragify_flights_settle (tier->flights, &get->ask.key, envelope, ragify_level_kind (tier->levels[get->level])))
    return;
  if (get->level == 0) {
    ragify_flights_land (tier->flights, &get->ask.key);
    return;
  }
  ragify_level_count_promotion (tier->levels[get->level]);
  store_in (tier, &get->ask.key, envelope, get->level, TRUE);
}

/* Nothing in this level. */
static void
missed (RagifyTierGet *get)
{
  if (!get->leads && !get->ask.peek && !get->cancelled) {
    join (get);
    return;
  }
  get->level++;
  ask_level (get);
}

/* A level's value in memory of our own, where it is to be shared or kept; passes it. */
static RagifyBuffer *
adopt (RagifyBuffer *value, RagifyEnvelope *read, guint64 age)
{
  if (read->born != 0)
    return value;
  RagifyBuffer *envelope = ragify_envelope_adopt (value, age);
  value->unref (value);
  if (!ragify_envelope_read (envelope, read))
    g_warn_if_reached ();
  return envelope;
}

static void
hit (RagifyTierGet *get, RagifyBuffer *value, RagifyEnvelope *read, guint64 age)
{
  RagifyLevel *level = get->tier->levels[get->level];
  ragify_level_count_hit (level);
  if (get->leads || get->level > 0) {
    value = adopt (value, read, age);
    promote (get, value);
  }
  deliver (get, value, read, &(RagifyTierFound){ .level = ragify_level_kind (level), .age_us = age });
}

/* Whether this getter may have it at all. */
static gboolean
is_usable (RagifyTierGet *get, const RagifyBuffer *value, RagifyEnvelope *read)
{
  if (ragify_envelope_read (value, read) && (read->flags & RAGIFY_ENVELOPE_DEGRADED) == 0 &&
      (get->ask.valid == NULL || get->ask.valid (read, get->user)))
    return TRUE;
  ragify_series_add (get->tier->rejected, 1);
  return FALSE;
}

/* Finds out what a level's value is worth; passes it. TRUE: the get is over. */
static gboolean
judge (RagifyTierGet *get, RagifyBuffer *value, guint64 left_us)
{
  const RagifyTier *tier = get->tier;
  RagifyEnvelope read;
  if (is_usable (get, value, &read)) {
    const guint64 age = age_in (tier, get, &read, left_us);
    const guint64 life = life_in (tier, tier->levels[get->level], &get->ask.key, &read);
    if (age < life) {
      hit (get, value, &read, age);
      return TRUE;
    }
    if (get->stale == NULL && age != G_MAXUINT64 && age - life < tier->stale_us) {
      get->stale = adopt (value, &read, age);
      get->stale_kind = ragify_level_kind (tier->levels[get->level]);
      return FALSE;
    }
  }
  value->unref (value);
  return FALSE;
}

static void
level_answered (RagifyAttempt *attempt)
{
  RagifyTierGet *get = (RagifyTierGet *)(void *)((char *)attempt - G_STRUCT_OFFSET (RagifyTierGet, attempt));
  const RagifyCall *call = attempt->call;
  get->asking = FALSE;
  ragify_level_note_get (get->tier->levels[get->level], call);
  const RagifyCacheGetResult *result = ragify_call_result (call);
  if (result != NULL && result->value != NULL && judge (get, result->value, result->ttl_us))
    return;
  if (result != NULL && (get->leads || get->ask.peek))
    ragify_level_count_miss (get->tier->levels[get->level]);
  else if (result != NULL)
    get->uncounted = TRUE;
  missed (get);
}

/* Asks the level whose turn it is; at the end of them there is what is past its time, or nothing. */
static void
ask_level (RagifyTierGet *get)
{
  RagifyTier *tier = get->tier;
  if (get->level < tier->n_levels && !get->cancelled) {
    RagifyLevel *level = tier->levels[get->level];
    const guint64 deadline = MIN (get->ask.deadline, ragify_level_deadline (level));
    get->asking = TRUE;
    get->attempt = (RagifyAttempt){ 0 };
    ragify_attempt_begin (&get->attempt, get->owner, ragify_level_node (level), &ragify_operation_cache_get,
                          &get->arguments, deadline, level_answered);
  } else if (get->stale != NULL && !get->cancelled)
    deliver_stale (get, get->leads);
  else
    deliver_nothing (get, get->leads);
}

RagifyTierGet *
ragify_tier_get (RagifyTier *tier, RagifyOwner *owner, RagifyLoop *loop, const RagifyTierAsk *ask, RagifyTierGot got,
                 void *user)
{
  RagifyTierGet *get = ragify_arena_alloc (owner->arena, sizeof *get);
  get->tier = tier;
  get->owner = ragify_owner_ref (owner);
  get->loop = loop;
  get->ask = *ask;
  get->got = got;
  get->user = user;
  get->landed = ragify_flights_landed (tier->flights, &ask->key);
  get->arguments = (RagifyCacheGet){ .struct_size = sizeof get->arguments,
                                     .key = { .data = get->ask.key.bytes, .size = sizeof get->ask.key.bytes } };
  ask_level (get);
  return get;
}

void
ragify_tier_cancel (RagifyTierGet *get)
{
  get->cancelled = TRUE;
  atomic_fetch_add (&get->tier->leaving, 1);
  if (get->asking) {
    ragify_attempt_cancel (&get->attempt);
    return;
  }
  if (!ragify_flights_leave (get->tier->flights, &get->ask.key, &get->waiter))
    return; /* woken already: the task finds the flag */
  atomic_fetch_sub (&get->tier->leaving, 1);
  ragify_loop_disarm (get->loop, &get->expiry);
  if (get->stale != NULL)
    get->stale->unref (g_steal_pointer (&get->stale));
  ragify_owner_unref (get->owner);
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
  store_in (tier, key, envelope, tier->n_levels, lands);
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

/* ---- making ---- */

static RagifySeries *
new_series (RagifyRuntime *runtime, const RagifyTier *tier, const char *name, const char *help)
{
  return ragify_metrics_series (runtime->metrics, RAGIFY_SERIES_COUNTER, name, help, "tier", tier->name, NULL);
}

RagifyTier *
ragify_tier_new (RagifyRuntime *runtime, const RagifyTierOptions *options)
{
  RagifyTier *tier = g_new0 (RagifyTier, 1);
  tier->name = g_strdup (options->name);
  tier->n_levels = options->n_levels;
  tier->levels = g_new0 (RagifyLevel *, options->n_levels);
  tier->negative_ttl_us = options->negative_ttl_us;
  tier->stale_us = options->stale_us;
  tier->ttl_jitter = CLAMP (options->ttl_jitter, 0, 0.5);
  tier->flights = ragify_flights_new ();
  tier->hits = new_series (runtime, tier, "ragify_cache_hits_total", "Answers that came out of the tier");
  tier->misses = new_series (runtime, tier, "ragify_cache_misses_total", "Answers that had to be computed");
  tier->coalesced =
      new_series (runtime, tier, "ragify_cache_coalesced_total", "Hits that waited for another's computation");
  tier->timeouts = new_series (runtime, tier, "ragify_cache_wait_timeouts_total",
                               "Waits for another's computation that ended at their deadline");
  tier->stale =
      new_series (runtime, tier, "ragify_cache_stale_total", "Hits past their time, while a fresh answer was made");
  tier->rejected = new_series (runtime, tier, "ragify_cache_rejected_total",
                               "Values of a level that were of a foreign format or held a deleted chunk");
  for (guint i = 0; i < options->n_levels; i++)
    tier->levels[i] = ragify_level_new (runtime, tier->name, &options->levels[i]);
  return tier;
}

void
ragify_tier_free (RagifyTier *tier)
{
  const guint64 until = ragify_now () + FLUSH_US;
  while (atomic_load (&tier->storing) > 0 ||
         atomic_load (&tier->leaving) > 0) /* the host does not wait for a call beyond its deadline */
    g_usleep (POLL_US);
  for (guint i = 0; i < tier->n_levels; i++)
    ragify_level_free (tier->levels[i], until);
  g_free (tier->levels);
  ragify_flights_free (tier->flights);
  g_free (tier->name);
  g_free (tier);
}

const char *
ragify_tier_name (const RagifyTier *tier)
{
  return tier->name;
}

guint
ragify_tier_n_levels (const RagifyTier *tier)
{
  return tier->n_levels;
}

RagifyLevel *
ragify_tier_level (const RagifyTier *tier, guint level)
{
  return tier->levels[level];
}

guint64
ragify_tier_life (const RagifyTier *tier, guint level, const RagifyTierKey *key, const RagifyEnvelope *envelope)
{
  return life_in (tier, tier->levels[level], key, envelope);
}

RagifyTierCounts
ragify_tier_counts (const RagifyTier *tier)
{
  return (RagifyTierCounts){
    .hits = (guint64)ragify_series_value (tier->hits),
    .misses = (guint64)ragify_series_value (tier->misses),
    .coalesced = (guint64)ragify_series_value (tier->coalesced),
    .timeouts = (guint64)ragify_series_value (tier->timeouts),
    .stale = (guint64)ragify_series_value (tier->stale),
    .rejected = (guint64)ragify_series_value (tier->rejected),
  };
}

RagifyTierLevelCounts
ragify_tier_level_counts (const RagifyTier *tier, guint level)
{
  RagifyTierLevelCounts counts;
  ragify_level_counts (tier->levels[level], &counts);
  return counts;
}
