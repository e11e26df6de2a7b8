/* A get first asks the first level, which for a hit in memory is all that happens. Otherwise it joins the flight of its
 * key; the one who leads it asks the other levels, and the first one again where somebody has landed in between; only
 * then it is told to compute.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "core/balance/attempt.h"
#include "core/cache/tier-private.h"
#include "core/call/operations.h"

#define FLUSH_US (3 * (guint64)G_USEC_PER_SEC) /* for writes behind, at the end */
#define POLL_US 200

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
  guint stale_level;       /* that has it */
  RagifyBuffer *woken;     /* what `wake` brought */
  const char *woken_level; /* with it */
};

static void ask_level (RagifyTierGet *get);

/* ---- counting ---- */

/* A get that waited for another's look-up is counted where it would have ended, had it made its own: as a hit of the
 * level whose value it was given (`kind` is that level's own text; NULL: none had it), and as a miss of those above. */
static void
count_shared (const RagifyTierGet *get, const char *kind)
{
  const RagifyTier *tier = get->tier;
  for (guint i = 0; i < tier->n_levels && !get->cancelled; i++) {
    if (ragify_level_kind (tier->levels[i]) == kind) {
      ragify_level_count_hit (tier->levels[i]);
      return;
    }
    if (i > 0 || get->uncounted) /* the first one was asked, and may have failed */
      ragify_level_count_miss (tier->levels[i]);
  }
}

/* ---- time ---- */

/* How old a level's value is. Where the level says how much of its time is left, that counts as well, in case the wall
 * clock has been set back since it was made. */
static guint64
age_in (const RagifyTier *tier, const RagifyTierGet *get, const RagifyEnvelope *envelope, guint64 left_us)
{
  const guint64 age = ragify_envelope_age (envelope);
  if (envelope->born != 0 || left_us == 0 || age == G_MAXUINT64)
    return age;
  const guint64 whole = ragify_tier_life (tier, get->level, &get->ask.key, envelope) + tier->stale_us;
  return whole > left_us ? MAX (age, whole - left_us) : age;
}

/* ---- the end of a get ---- */

/* Passes `envelope`, which was read into `read` (NULL: nothing was found), and the lead. */
static void
deliver (RagifyTierGet *get, RagifyBuffer *envelope, const RagifyEnvelope *read, const RagifyTierFound *how)
{
  RagifyOwner *owner = get->owner;
  RagifyTier *tier = get->tier;
  if (get->stale != NULL) { /* there was something better */
    get->stale->unref (g_steal_pointer (&get->stale));
    if (!get->cancelled)
      ragify_level_count_miss (tier->levels[get->stale_level]);
  }
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
  RagifyLevel *level = get->tier->levels[get->stale_level];
  RagifyBuffer *envelope = g_steal_pointer (&get->stale);
  RagifyEnvelope read;
  if (!ragify_envelope_read (envelope, &read))
    g_return_if_reached ();
  if (!get->cancelled)
    ragify_level_count_hit (level);
  deliver (get, envelope, &read, &(RagifyTierFound){ .level = ragify_level_kind (level), .stale = TRUE, .lead = lead });
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
  count_shared (get, level);
  deliver (get, envelope, &read, &(RagifyTierFound){ .level = level });
}

/* ---- waiting for another ---- */

static void
run_woken (RagifyTask *task)
{
  RagifyTierGet *get = (RagifyTierGet *)(void *)((char *)task - G_STRUCT_OFFSET (RagifyTierGet, task));
  ragify_loop_disarm (get->loop, &get->expiry);
  if (get->woken != NULL) {
    deliver_shared (get, g_steal_pointer (&get->woken), get->woken_level);
    return;
  }
  count_shared (get, NULL);
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
  if (!ragify_flights_leave (get->tier->flights, &get->ask.key, &get->waiter))
    return;
  count_shared (get, NULL);
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
  if (get->uncounted && joined == RAGIFY_FLIGHT_LEADS)
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
      ragify_tier_store_in (tier, &get->ask.key, envelope, get->level, FALSE);
    return;
  }
  if (!ragify_flights_settle (tier->flights, &get->ask.key, envelope, ragify_level_kind (tier->levels[get->level])))
    return;
  if (get->level == 0) {
    ragify_flights_land (tier->flights, &get->ask.key);
    return;
  }
  ragify_level_count_promotion (tier->levels[get->level]);
  ragify_tier_store_in (tier, &get->ask.key, envelope, get->level, TRUE);
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
    const guint64 life = ragify_tier_life (tier, get->level, &get->ask.key, &read);
    if (age < life) {
      hit (get, value, &read, age);
      return TRUE;
    }
    if (get->stale == NULL && age != G_MAXUINT64 && age - life < tier->stale_us) {
      get->stale = adopt (value, &read, age);
      get->stale_level = get->level;
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
  const gboolean kept = get->stale != NULL && get->stale_level == get->level; /* may yet be a hit */
  if (result != NULL && !kept && (get->leads || get->ask.peek))
    ragify_level_count_miss (get->tier->levels[get->level]);
  else if (result != NULL && !kept)
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
