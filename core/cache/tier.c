/* A get first asks the first level, which for a hit in memory is all that happens. Otherwise it joins the flight of its
 * key; the one who leads it asks the levels again, the first one too, since the former leader may have landed in
 * between; only then it is told to compute.
 *
 * SPDX-License-Identifier: MIT
 */
#include "core/cache/tier.h"

#include <string.h>

#include "core/cache/envelope.h"
#include "core/cache/flight.h"
#include "core/call/operations.h"

#define DEFAULT_DEADLINE_US 50000
#define NO_END_US (3650 * 86400 * (guint64)G_USEC_PER_SEC)
#define DEFAULT_NEGATIVE_TTL_US (10 * G_USEC_PER_SEC)

typedef struct {
  RagifyNode *node;
  char *kind;
  guint64 ttl_us, deadline_us;
  gint failing; /* atomic */
  RagifySeries *hits, *misses, *errors, *promotions;
} Level;

struct RagifyTier {
  char *name;
  Level *levels;
  guint n_levels;
  guint64 negative_ttl_us;
  double ttl_jitter;
  RagifyFlights *flights;
  RagifySeries *hits, *misses, *coalesced, *timeouts;
};

struct RagifyTierGet {
  RagifyWaiter waiter;
  RagifyTask task;
  RagifyDeadline expiry;
  RagifyTier *tier;
  RagifyOwner *owner; /* a reference, until `got` has run */
  RagifyLoop *loop;
  RagifyTierKey key;
  guint64 deadline;
  RagifyTierGot got;
  void *user;

  gboolean leads, cancelled;
  guint level; /* that is being asked */
  RagifyCacheGet arguments;
  RagifyCall *call;        /* under way */
  RagifyBuffer *woken;     /* what `wake` brought */
  const char *woken_level; /* with it */
};

/* A value on its way into levels. */
typedef struct {
  RagifyOwner owner;
  RagifyTier *tier;
  RagifyTierKey key;
  RagifyBuffer *envelope;
  gboolean lands; /* the flight is over when the first level has it */
} Store;

typedef struct {
  RagifyCacheSet arguments;
  Store *store;
  Level *level;
} StoreCall;

static void ask_level (RagifyTierGet *get);

static RagifySeries *
new_series (RagifyRuntime *runtime, const char *name, const char *help, const RagifyTier *tier, const char *level)
{
  if (level == NULL)
    return ragify_metrics_series (runtime->metrics, RAGIFY_SERIES_COUNTER, name, help, "tier", tier->name, NULL);
  return ragify_metrics_series (runtime->metrics, RAGIFY_SERIES_COUNTER, name, help, "tier", tier->name, "level", level,
                                NULL);
}

/* Says once that a level began to fail, or works again. */
static void
note_state (RagifyTier *tier, Level *level, const RagifyCall *call)
{
  const gboolean failing = ragify_call_code (call) != RAGIFY_OK && ragify_call_code (call) != RAGIFY_E_CANCELLED;
  if (failing)
    ragify_series_add (level->errors, 1);
  if (g_atomic_int_get (&level->failing) == failing || g_atomic_int_exchange (&level->failing, failing) == failing)
    return;
  if (failing)
    g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_WARNING, "RAGIFY_NODE", ragify_node_name (level->node), "MESSAGE",
                      "tier %s: level %s is skipped while it fails: %s", tier->name, ragify_node_name (level->node),
                      ragify_call_message (call));
  else
    g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_INFO, "RAGIFY_NODE", ragify_node_name (level->node), "MESSAGE",
                      "tier %s: level %s works again", tier->name, ragify_node_name (level->node));
}

/* ---- storing ---- */

static void
clear_store (RagifyOwner *owner)
{
  Store *store = (Store *)owner;
  store->envelope->unref (store->envelope);
}

static void
stored (RagifyCall *call, void *user)
{
  StoreCall *stored_call = user;
  Store *store = stored_call->store;
  note_state (store->tier, stored_call->level, call);
  if (store->lands && stored_call->level == store->tier->levels)
    ragify_flights_land (store->tier->flights, &store->key);
}

/* The part of `ttl_us` that is left at `age`; 0: nothing. */
static guint64
time_left (guint64 ttl_us, guint64 age)
{
  return age < ttl_us ? ttl_us - age : 0;
}

/* Half the entries live longer and half shorter than the TTL says, so that what was stored together does not expire
 * together. The key is the randomness: it is a hash. */
static guint64
jittered (const RagifyTier *tier, const RagifyTierKey *key, guint64 ttl_us)
{
  const double position = (key->bytes[7] + 256.0 * key->bytes[8]) / 32767.5 - 1;
  return (guint64)((double)ttl_us * (1 + tier->ttl_jitter * position));
}

static guint64
age_of (const RagifyEnvelope *envelope)
{
  const gint64 age = g_get_real_time () - envelope->created_at;
  return age > 0 ? (guint64)age : 0; /* a clock that was set back, or another machine's */
}

/* How long `level` may still answer with it, µs. */
static guint64
life_left (const RagifyTier *tier, const Level *level, const RagifyTierKey *key, const RagifyEnvelope *envelope)
{
  const guint64 ttl = envelope->ttl_us != 0 ? MIN (envelope->ttl_us, level->ttl_us) : level->ttl_us;
  return time_left (jittered (tier, key, ttl), age_of (envelope));
}

/* Writes `envelope` to the first `n_levels` levels. `lands`: it was settled and the flight is to land. */
static void
store_in (RagifyTier *tier, const RagifyTierKey *key, RagifyBuffer *envelope, guint n_levels, gboolean lands)
{
  RagifyEnvelope read;
  if (!ragify_envelope_read (envelope, &read))
    g_return_if_reached ();
  Store *store = (Store *)ragify_owner_new (sizeof *store, clear_store);
  store->tier = tier;
  store->key = *key;
  store->envelope = envelope;
  envelope->ref (envelope);
  store->lands = lands;
  for (guint i = 0; i < n_levels; i++) {
    Level *level = &tier->levels[i];
    const guint64 ttl = life_left (tier, level, key, &read);
    if (ttl == 0) {
      if (lands && i == 0)
        ragify_flights_land (tier->flights, key);
      continue;
    }
    StoreCall *user = ragify_arena_alloc (store->owner.arena, sizeof *user);
    *user = (StoreCall){
      .arguments = { .struct_size = sizeof user->arguments,
                     .key = { .data = store->key.bytes, .size = sizeof store->key.bytes },
                     .value = envelope,
                     .ttl_us = ttl },
      .store = store,
      .level = level,
    };
    RagifyCall *call = ragify_call_new (&store->owner, &ragify_operation_cache_set, &user->arguments,
                                        ragify_now () + level->deadline_us, stored, user);
    ragify_node_call (level->node, call);
  }
  ragify_owner_unref (&store->owner);
}

/* ---- getting ---- */

/* The end of every get; passes `envelope`, which was read into `read`. */
static void
deliver (RagifyTierGet *get, RagifyBuffer *envelope, const RagifyEnvelope *read, const char *level, gboolean lead)
{
  RagifyOwner *owner = get->owner;
  if (get->cancelled) {
    if (lead)
      ragify_flights_abandon (get->tier->flights, &get->key);
    if (envelope != NULL)
      envelope->unref (envelope);
  } else {
    const RagifyTierFound found = {
      .envelope = envelope,
      .body = envelope != NULL ? read->body : (RagifyBytes){ 0 },
      .level = level,
      .degraded = envelope != NULL && (read->flags & RAGIFY_ENVELOPE_DEGRADED) != 0,
      .lead = lead,
    };
    if (envelope != NULL)
      ragify_series_add (get->tier->hits, 1);
    else
      ragify_series_add (lead ? get->tier->misses : get->tier->timeouts, 1);
    get->got (&found, get->user);
  }
  ragify_owner_unref (owner);
}

static void
run_woken (RagifyTask *task)
{
  RagifyTierGet *get = (RagifyTierGet *)(void *)((char *)task - G_STRUCT_OFFSET (RagifyTierGet, task));
  ragify_loop_disarm (get->loop, &get->expiry);
  RagifyEnvelope read = { 0 };
  if (get->woken != NULL && !ragify_envelope_read (get->woken, &read))
    g_return_if_reached ();
  if (get->woken != NULL && !get->cancelled)
    ragify_series_add (get->tier->coalesced, 1);
  deliver (get, g_steal_pointer (&get->woken), &read, get->woken_level, read.body.data == NULL);
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
  if (ragify_flights_leave (get->tier->flights, &get->key, &get->waiter))
    deliver (get, NULL, NULL, NULL, FALSE);
}

static void
join (RagifyTierGet *get)
{
  RagifyBuffer *envelope = NULL;
  const char *level = NULL;
  RagifyEnvelope read = { 0 };
  /* Armed before it can be woken: the task that runs then takes the deadline back, on this loop. */
  get->expiry.expired = expire;
  get->waiter.wake = wake;
  ragify_loop_arm (get->loop, &get->expiry, get->deadline);
  const RagifyFlightJoin joined = ragify_flights_join (get->tier->flights, &get->key, &get->waiter, &envelope, &level);
  if (joined == RAGIFY_FLIGHT_WAITS)
    return;
  ragify_loop_disarm (get->loop, &get->expiry);
  if (joined == RAGIFY_FLIGHT_LEADS) {
    get->leads = TRUE;
    get->level = 0;
    ask_level (get);
    return;
  }
  if (!ragify_envelope_read (envelope, &read))
    g_return_if_reached ();
  ragify_series_add (get->tier->coalesced, 1);
  deliver (get, envelope, &read, level, FALSE);
}

/* The levels above a hit get it too, and so does who waits. */
static RagifyBuffer *
promote (RagifyTierGet *get, RagifyBuffer *value)
{
  RagifyTier *tier = get->tier;
  RagifyBuffer *envelope = ragify_envelope_adopt (value);
  value->unref (value);
  const gboolean lands =
      get->leads && ragify_flights_settle (tier->flights, &get->key, envelope, tier->levels[get->level].kind);
  if (get->level > 0) {
    ragify_series_add (tier->levels[get->level].promotions, 1);
    store_in (tier, &get->key, envelope, get->level, lands);
  } else if (lands)
    ragify_flights_land (tier->flights, &get->key);
  return envelope;
}

static void
hit (RagifyTierGet *get, RagifyBuffer *value, RagifyEnvelope *read)
{
  Level *level = &get->tier->levels[get->level];
  ragify_series_add (level->hits, 1);
  if (get->leads) {
    value = promote (get, value);
    if (!ragify_envelope_read (value, read)) /* it may be a copy now */
      g_return_if_reached ();
  }
  deliver (get, value, read, level->kind, FALSE);
}

static void
missed (RagifyTierGet *get)
{
  if (get->cancelled) {
    deliver (get, NULL, NULL, NULL, get->leads);
    return;
  }
  if (!get->leads) {
    join (get);
    return;
  }
  if (++get->level < get->tier->n_levels)
    ask_level (get);
  else
    deliver (get, NULL, NULL, NULL, TRUE);
}

static void
level_answered (RagifyCall *call, void *user)
{
  RagifyTierGet *get = user;
  Level *level = &get->tier->levels[get->level];
  get->call = NULL;
  note_state (get->tier, level, call);
  const RagifyCacheGetResult *result = ragify_call_result (call);
  RagifyBuffer *value = result != NULL ? result->value : NULL;
  RagifyEnvelope read;
  if (value != NULL && ragify_envelope_read (value, &read) && life_left (get->tier, level, &get->key, &read) > 0 &&
      (read.flags & RAGIFY_ENVELOPE_DEGRADED) == 0) {
    hit (get, value, &read);
    return;
  }
  if (value != NULL)
    value->unref (value);
  if (result != NULL && !(get->leads && get->level == 0)) /* a leader's second look is not counted */
    ragify_series_add (level->misses, 1);
  missed (get);
}

static void
ask_level (RagifyTierGet *get)
{
  const Level *level = &get->tier->levels[get->level];
  const guint64 deadline = MIN (get->deadline, ragify_now () + level->deadline_us);
  get->call = ragify_call_new (get->owner, &ragify_operation_cache_get, &get->arguments, deadline, level_answered, get);
  ragify_node_call (level->node, get->call);
}

RagifyTier *
ragify_tier_new (RagifyRuntime *runtime, const RagifyTierOptions *options)
{
  RagifyTier *tier = g_new0 (RagifyTier, 1);
  tier->name = g_strdup (options->name);
  tier->n_levels = options->n_levels;
  tier->levels = g_new0 (Level, options->n_levels);
  tier->negative_ttl_us = options->negative_ttl_us != 0 ? options->negative_ttl_us : DEFAULT_NEGATIVE_TTL_US;
  tier->ttl_jitter = CLAMP (options->ttl_jitter, 0, 0.5);
  tier->flights = ragify_flights_new ();
  tier->hits = new_series (runtime, "ragify_cache_hits_total", "Answers that came out of the tier", tier, NULL);
  tier->misses = new_series (runtime, "ragify_cache_misses_total", "Answers that had to be computed", tier, NULL);
  tier->coalesced =
      new_series (runtime, "ragify_cache_coalesced_total", "Hits that waited for another's computation", tier, NULL);
  tier->timeouts = new_series (runtime, "ragify_cache_wait_timeouts_total",
                               "Waits for another's computation that ended at their deadline", tier, NULL);
  for (guint i = 0; i < options->n_levels; i++) {
    const RagifyTierLevel *from = &options->levels[i];
    const char *name = ragify_node_name (from->node);
    tier->levels[i] = (Level){
      .node = from->node,
      .kind = g_strdup (from->kind),
      .ttl_us = from->ttl_us != 0 ? from->ttl_us : NO_END_US,
      .deadline_us = from->deadline_us != 0 ? from->deadline_us : DEFAULT_DEADLINE_US,
      .hits = new_series (runtime, "ragify_cache_level_hits_total", "Gets that the level answered", tier, name),
      .misses = new_series (runtime, "ragify_cache_level_misses_total", "Gets that the level did not have", tier, name),
      .errors = new_series (runtime, "ragify_cache_level_errors_total", "Calls of the level that failed", tier, name),
      .promotions = new_series (runtime, "ragify_cache_promotions_total",
                                "Entries of the level that the ones above it were filled with", tier, name),
    };
  }
  return tier;
}

void
ragify_tier_free (RagifyTier *tier)
{
  ragify_flights_free (tier->flights);
  for (guint i = 0; i < tier->n_levels; i++)
    g_free (tier->levels[i].kind);
  g_free (tier->levels);
  g_free (tier->name);
  g_free (tier);
}

RagifyTierGet *
ragify_tier_get (RagifyTier *tier, RagifyOwner *owner, RagifyLoop *loop, const RagifyTierKey *key, guint64 deadline,
                 RagifyTierGot got, void *user)
{
  RagifyTierGet *get = ragify_arena_alloc (owner->arena, sizeof *get);
  get->tier = tier;
  get->owner = ragify_owner_ref (owner);
  get->loop = loop;
  get->key = *key;
  get->deadline = deadline;
  get->got = got;
  get->user = user;
  get->arguments = (RagifyCacheGet){ .struct_size = sizeof get->arguments,
                                     .key = { .data = get->key.bytes, .size = sizeof get->key.bytes } };
  ask_level (get);
  return get;
}

void
ragify_tier_cancel (RagifyTierGet *get)
{
  get->cancelled = TRUE;
  if (get->call != NULL) {
    ragify_call_cancel (get->call);
    return;
  }
  if (!ragify_flights_leave (get->tier->flights, &get->key, &get->waiter))
    return; /* woken already: the task finds the flag */
  ragify_loop_disarm (get->loop, &get->expiry);
  ragify_owner_unref (get->owner);
}

void
ragify_tier_set (RagifyTier *tier, RagifyLoop *loop, const RagifyTierKey *key, RagifyBytes body, RagifyUuidList ids)
{
  const guint64 ttl = ids.count == 0 ? tier->negative_ttl_us : 0;
  RagifyBuffer *envelope = ragify_envelope_new (body, ids, g_get_real_time (), ttl, 0);
  const gboolean lands = ragify_flights_settle (tier->flights, key, envelope, NULL);
  store_in (tier, key, envelope, tier->n_levels, lands);
  envelope->unref (envelope);
}

void
ragify_tier_share (RagifyTier *tier, const RagifyTierKey *key, RagifyBytes body, RagifyUuidList ids)
{
  RagifyBuffer *envelope = ragify_envelope_new (body, ids, g_get_real_time (), 0, RAGIFY_ENVELOPE_DEGRADED);
  if (ragify_flights_settle (tier->flights, key, envelope, NULL))
    ragify_flights_land (tier->flights, key);
  envelope->unref (envelope);
}

void
ragify_tier_abandon (RagifyTier *tier, const RagifyTierKey *key)
{
  ragify_flights_abandon (tier->flights, key);
}

RagifyTierCounts
ragify_tier_counts (const RagifyTier *tier)
{
  return (RagifyTierCounts){
    .hits = (guint64)ragify_series_value (tier->hits),
    .misses = (guint64)ragify_series_value (tier->misses),
    .coalesced = (guint64)ragify_series_value (tier->coalesced),
    .timeouts = (guint64)ragify_series_value (tier->timeouts),
  };
}

RagifyTierLevelCounts
ragify_tier_level_counts (const RagifyTier *tier, guint level)
{
  const Level *of = &tier->levels[level];
  return (RagifyTierLevelCounts){
    .hits = (guint64)ragify_series_value (of->hits),
    .misses = (guint64)ragify_series_value (of->misses),
    .errors = (guint64)ragify_series_value (of->errors),
  };
}
