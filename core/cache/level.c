/* SPDX-License-Identifier: MIT */
#include "core/cache/level.h"

#include <pthread.h>
#include <string.h>

#include "core/cache/write-queue.h"
#include "core/call/operations.h"

#define DEFAULT_DEADLINE_US 50000
#define NO_END_US (3650 * 86400 * (guint64)G_USEC_PER_SEC)
#define DEFAULT_QUEUE 1000u

struct RagifyLevel {
  char *tier;
  RagifyNode *node;
  char *kind;
  guint64 ttl_us, deadline_us;
  RagifyBreaker *writing;   /* NULL: writes are never given up */
  gint troubled;            /* atomic: a write has failed once; until then successes need not be told to the breaker */
  gint announced;           /* the warning is out; atomic */
  pthread_mutex_t lock;     /* guards the next */
  char *last_error;         /* of writing */
  RagifyWriteQueue *behind; /* NULL: written through */
  RagifySeries *hits, *misses, *promotions, *writes, *dropped;
  RagifySeries *get_errors, *set_errors, *gets_skipped, *sets_skipped, *not_writing;
};

/* One write behind, on its way. */
typedef struct {
  RagifyOwner owner;
  RagifyLevel *level;
  RagifyQueuedWrite *write;
  RagifyAdmission admission;
  RagifyCacheSet arguments;
} BehindWrite;

/* One write through, on its way. */
typedef struct {
  RagifyCacheSet arguments;
  RagifyLevel *level;
  RagifyAdmission admission;
  void (*written) (void *user);
  void *user;
} ThroughWrite;

/* ---- failing and working again ---- */

static void
say (const RagifyLevel *level, GLogLevelFlags priority, const char *text)
{
  g_log_structured (G_LOG_DOMAIN, priority, "RAGIFY_NODE", ragify_node_name (level->node), "MESSAGE",
                    "tier %s: writing to level %s %s", level->tier, ragify_node_name (level->node), text);
}

/* `why` NULL: there is no breaker. */
static void
say_failing (RagifyLevel *level, const char *why, guint64 open_us)
{
  pthread_mutex_lock (&level->lock);
  g_autofree char *text = why != NULL ? g_strdup_printf ("is given up for %.3g s: %s: %s",
                                                         (double)open_us / G_USEC_PER_SEC, why, level->last_error)
                                      : g_strdup_printf ("fails: %s", level->last_error);
  pthread_mutex_unlock (&level->lock);
  say (level, G_LOG_LEVEL_WARNING, text);
}

/* Says once that writing fails, and once that it works again. */
static void
announce (RagifyLevel *level, gboolean failing, const char *why, guint64 open_us)
{
  if (g_atomic_int_get (&level->announced) == failing || g_atomic_int_exchange (&level->announced, failing) == failing)
    return;
  ragify_series_set (level->not_writing, failing ? 1 : 0);
  if (failing)
    say_failing (level, why, open_us);
  else
    say (level, G_LOG_LEVEL_MESSAGE, "works again");
}

/* Trials that fail are no news. */
static void
breaker_changed (RagifyBreakerState state, const char *why, guint64 open_us, void *user)
{
  if (state != RAGIFY_BREAKER_HALF_OPEN)
    announce (user, state == RAGIFY_BREAKER_OPEN, why, open_us);
}

static RagifyOutcome
outcome_of (const RagifyCall *call)
{
  if (ragify_call_refused (call))
    return RAGIFY_OUTCOME_NONE;
  switch (ragify_call_code (call)) {
  case RAGIFY_OK:
    return RAGIFY_OUTCOME_GOOD;
  case RAGIFY_E_CANCELLED:
  case RAGIFY_E_INVALID: /* this value's fault, not the level's */
    return RAGIFY_OUTCOME_NONE;
  default:
    return RAGIFY_OUTCOME_BAD;
  }
}

static void
note_error (RagifyLevel *level, const RagifyCall *call)
{
  ragify_series_add (level->set_errors, 1);
  pthread_mutex_lock (&level->lock);
  g_free (level->last_error);
  level->last_error = g_strdup (ragify_call_message (call));
  pthread_mutex_unlock (&level->lock);
}

static void
note_set (RagifyLevel *level, RagifyAdmission admission, const RagifyCall *call)
{
  const RagifyOutcome outcome = outcome_of (call);
  if (ragify_call_refused (call))
    ragify_series_add (level->sets_skipped, 1);
  else if (ragify_call_code (call) != RAGIFY_OK)
    note_error (level, call);
  if (outcome == RAGIFY_OUTCOME_BAD)
    g_atomic_int_set (&level->troubled, TRUE);
  else if (admission == RAGIFY_ADMISSION_YES && !g_atomic_int_get (&level->troubled))
    return;
  if (level->writing != NULL)
    ragify_breaker_record (level->writing, admission, outcome, ragify_now ());
  else if (outcome != RAGIFY_OUTCOME_NONE)
    announce (level, outcome == RAGIFY_OUTCOME_BAD, NULL, 0);
}

void
ragify_level_note_get (RagifyLevel *level, const RagifyCall *call)
{
  if (ragify_call_refused (call))
    ragify_series_add (level->gets_skipped, 1);
  else if (ragify_call_code (call) != RAGIFY_OK && ragify_call_code (call) != RAGIFY_E_CANCELLED)
    ragify_series_add (level->get_errors, 1);
}

/* Whether to write now; each TRUE is followed by note_set. */
static gboolean
admit_set (RagifyLevel *level, RagifyAdmission *admission)
{
  *admission = RAGIFY_ADMISSION_YES;
  if (level->writing == NULL || !g_atomic_int_get (&level->troubled))
    return TRUE;
  *admission = ragify_breaker_admit (level->writing, ragify_now ());
  return *admission != RAGIFY_ADMISSION_NO;
}

/* ---- writing ---- */

static void
behind_written (RagifyCall *call, void *user)
{
  BehindWrite *behind = user;
  note_set (behind->level, behind->admission, call);
  ragify_write_queue_ended (behind->level->behind, behind->write);
}

static void
clear_behind (RagifyOwner *owner)
{
  BehindWrite *behind = (BehindWrite *)owner;
  behind->arguments.value->unref (behind->arguments.value);
}

static gboolean
start_behind (RagifyQueuedWrite *write, void *user)
{
  RagifyLevel *level = user;
  RagifyAdmission admission;
  if (!ragify_node_is_ready (level->node, ragify_now ()) || !admit_set (level, &admission))
    return FALSE;
  BehindWrite *behind = (BehindWrite *)ragify_owner_new (sizeof *behind, clear_behind);
  const guint64 now = ragify_now ();
  behind->level = level;
  behind->write = write;
  behind->admission = admission;
  guint8 *key = ragify_arena_alloc (behind->owner.arena, sizeof write->key.bytes);
  memcpy (key, write->key.bytes, sizeof write->key.bytes);
  behind->arguments = (RagifyCacheSet){ .struct_size = sizeof behind->arguments,
                                        .key = { .data = key, .size = sizeof write->key.bytes },
                                        .value = write->value,
                                        .ttl_us = write->worthless_at > now ? write->worthless_at - now : 1 };
  write->value->ref (write->value);
  RagifyCall *call = ragify_call_new (&behind->owner, &ragify_operation_cache_set, &behind->arguments,
                                      now + level->deadline_us, behind_written, behind);
  ragify_series_add (level->writes, 1);
  ragify_node_call (level->node, call);
  ragify_owner_unref (&behind->owner);
  return TRUE;
}

static void
through_written (RagifyCall *call, void *user)
{
  ThroughWrite *through = user;
  note_set (through->level, through->admission, call);
  through->written (through->user);
}

void
ragify_level_write (RagifyLevel *level, RagifyOwner *owner, const RagifyTierKey *key, RagifyBuffer *value,
                    guint64 ttl_us, void (*written) (void *user), void *user)
{
  RagifyAdmission admission;
  if (level->behind != NULL) {
    if (!ragify_write_queue_put (level->behind, key, value, ragify_now () + ttl_us))
      ragify_series_add (level->dropped, 1);
    written (user);
    return;
  }
  if (!admit_set (level, &admission)) {
    ragify_series_add (level->sets_skipped, 1);
    written (user);
    return;
  }
  ThroughWrite *through = ragify_arena_alloc (owner->arena, sizeof *through);
  *through = (ThroughWrite){
    .arguments = { .struct_size = sizeof through->arguments,
                   .key = { .data = key->bytes, .size = sizeof key->bytes },
                   .value = value,
                   .ttl_us = ttl_us },
    .level = level,
    .admission = admission,
    .written = written,
    .user = user,
  };
  ragify_series_add (level->writes, 1);
  RagifyCall *call = ragify_call_new (owner, &ragify_operation_cache_set, &through->arguments,
                                      ragify_now () + level->deadline_us, through_written, through);
  ragify_node_call (level->node, call);
}

/* ---- the rest ---- */

RagifyNode *
ragify_level_node (const RagifyLevel *level)
{
  return level->node;
}

const char *
ragify_level_kind (const RagifyLevel *level)
{
  return level->kind;
}

guint64
ragify_level_ttl (const RagifyLevel *level)
{
  return level->ttl_us;
}

guint64
ragify_level_deadline (const RagifyLevel *level)
{
  return ragify_now () + level->deadline_us;
}

void
ragify_level_count_hit (RagifyLevel *level)
{
  ragify_series_add (level->hits, 1);
}

void
ragify_level_count_miss (RagifyLevel *level)
{
  ragify_series_add (level->misses, 1);
}

void
ragify_level_count_promotion (RagifyLevel *level)
{
  ragify_series_add (level->promotions, 1);
}

static const char *
state_name (RagifyBreakerState state)
{
  static const char *const names[] = {
    [RAGIFY_BREAKER_CLOSED] = "closed", [RAGIFY_BREAKER_HALF_OPEN] = "half-open", [RAGIFY_BREAKER_OPEN] = "open"
  };
  return names[state];
}

static guint64
value_of (RagifySeries *series)
{
  return (guint64)ragify_series_value (series);
}

void
ragify_level_counts (const RagifyLevel *level, RagifyTierLevelCounts *counts)
{
  *counts = (RagifyTierLevelCounts){
    .name = ragify_node_name (level->node),
    .kind = level->kind,
    .hits = value_of (level->hits),
    .misses = value_of (level->misses),
    .errors = value_of (level->get_errors) + value_of (level->set_errors),
    .skipped = value_of (level->gets_skipped) + value_of (level->sets_skipped),
    .promotions = value_of (level->promotions),
    .writes = value_of (level->writes),
    .dropped = value_of (level->dropped),
    .waiting = level->behind != NULL ? ragify_write_queue_length (level->behind) : 0,
    .reading = state_name (ragify_node_breaker_state (level->node)),
    .writing = state_name (level->writing != NULL ? ragify_breaker_state (level->writing) : RAGIFY_BREAKER_CLOSED),
  };
}

static RagifySeries *
new_series (RagifyRuntime *runtime, const RagifyLevel *level, const char *name, const char *operation, const char *help)
{
  const char *node = ragify_node_name (level->node);
  if (operation == NULL)
    return ragify_metrics_series (runtime->metrics, RAGIFY_SERIES_COUNTER, name, help, "tier", level->tier, "level",
                                  node, NULL);
  return ragify_metrics_series (runtime->metrics, RAGIFY_SERIES_COUNTER, name, help, "tier", level->tier, "level", node,
                                "operation", operation, NULL);
}

static void
add_series (RagifyLevel *level, RagifyRuntime *runtime)
{
  static const char errors[] = "ragify_cache_level_errors_total", error_help[] = "Calls of the level that failed";
  static const char skipped[] = "ragify_cache_level_skipped_total";
  static const char skipped_help[] = "Calls that were not made while the level was left alone";
  level->hits = new_series (runtime, level, "ragify_cache_level_hits_total", NULL,
                            "Requests that the level answered, those that waited for another's look-up among them");
  level->misses = new_series (runtime, level, "ragify_cache_level_misses_total", NULL,
                              "Requests whose answer the level did not have, the same among them");
  level->promotions = new_series (runtime, level, "ragify_cache_promotions_total", NULL,
                                  "Entries of the level that the ones above it were filled with");
  level->writes = new_series (runtime, level, "ragify_cache_level_writes_total", NULL, "Writes to the level");
  level->dropped = new_series (runtime, level, "ragify_cache_level_dropped_total", NULL,
                               "Writes that were dropped since too many waited");
  level->get_errors = new_series (runtime, level, errors, "get", error_help);
  level->set_errors = new_series (runtime, level, errors, "set", error_help);
  level->gets_skipped = new_series (runtime, level, skipped, "get", skipped_help);
  level->sets_skipped = new_series (runtime, level, skipped, "set", skipped_help);
  level->not_writing = ragify_metrics_series (runtime->metrics, RAGIFY_SERIES_GAUGE, "ragify_cache_level_not_writing",
                                              "1 while writing to the level is given up", "tier", level->tier, "level",
                                              ragify_node_name (level->node), NULL);
}

RagifyLevel *
ragify_level_new (RagifyRuntime *runtime, const char *tier, const RagifyTierLevel *from)
{
  RagifyLevel *level = g_new0 (RagifyLevel, 1);
  level->tier = g_strdup (tier);
  level->node = from->node;
  level->kind = g_strdup (from->kind);
  level->ttl_us = from->ttl_us != 0 ? from->ttl_us : NO_END_US;
  level->deadline_us = from->deadline_us != 0 ? from->deadline_us : DEFAULT_DEADLINE_US;
  pthread_mutex_init (&level->lock, NULL);
  add_series (level, runtime);
  RagifyBreakerOptions breaker = from->breaker;
  breaker.probes = FALSE; /* only a write shows that writing works */
  level->writing = ragify_breaker_new (&breaker, breaker_changed, level);
  if (from->behind)
    level->behind =
        ragify_write_queue_new (from->write_queue != 0 ? from->write_queue : DEFAULT_QUEUE, start_behind, level);
  return level;
}

void
ragify_level_free (RagifyLevel *level, guint64 deadline)
{
  if (level->behind != NULL) {
    const guint lost = ragify_write_queue_free (level->behind, deadline);
    if (lost > 0)
      g_warning ("tier %s: %u answers were not written to %s any more", level->tier, lost,
                 ragify_node_name (level->node));
  }
  ragify_breaker_free (level->writing);
  pthread_mutex_destroy (&level->lock);
  g_free (level->last_error);
  g_free (level->kind);
  g_free (level->tier);
  g_free (level);
}
