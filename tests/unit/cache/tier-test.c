/* The tier: levels in order, promotion, expiry, failure, and one computation for each key.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "core/call/operations.h"
#include "rig.h"

typedef struct {
  Rig *rig;
  RagifyNode *first, *second;
  RagifyTier *tier;
} World;

/* One get, and what it found. */
typedef struct {
  World *world;
  RagifyTask task;
  guint loop;
  RagifyTierKey key;
  guint64 patience_us;
  gboolean computes; /* when it leads: sets "computed" */
  guint compute_ms;
  gboolean gives_up;

  RagifyOwner *owner;
  RagifyTierGet *get;
  RagifyDeadline work;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  gboolean done;
  gboolean lead, timeout;
  char *body;
  char *level;
} Ask;

static const RagifyUuidList one_id = { .items = (const RagifyUuid[]){ { { 9 } } }, .count = 1 };

static RagifyBytes
bytes (const char *text)
{
  return (RagifyBytes){ .data = (const guint8 *)text, .size = strlen (text) };
}

static RagifyTierKey
key_number (guint number)
{
  RagifyTierKey key = { { 0 } };
  memcpy (key.bytes, &number, sizeof number);
  key.bytes[15] = (guint8)number;
  key.bytes[7] = 128;
  key.bytes[8] = 127; /* about no jitter */
  return key;
}

static void
make_tier (World *world, guint n_levels, guint64 first_ttl_us, guint64 second_ttl_us)
{
  const RagifyTierLevel levels[] = {
    { .node = world->first, .kind = "memory", .ttl_us = first_ttl_us },
    { .node = world->second, .kind = "second", .ttl_us = second_ttl_us },
  };
  const RagifyTierOptions options = {
    .name = "answers", .levels = levels, .n_levels = n_levels, .negative_ttl_us = 50000, .ttl_jitter = 0.05
  };
  world->tier = ragify_tier_new (&world->rig->runtime, &options);
}

static int
set_up (void **state)
{
  World *world = g_new0 (World, 1);
  world->rig = rig_new (2);
  world->first = rig_plugin (world->rig, "ram", "CACHE_MEMORY", RAGIFY_KIND_CACHE, "memory", "");
  world->second = rig_plugin (world->rig, "ram-2", "CACHE_MEMORY", RAGIFY_KIND_CACHE, "memory", "");
  *state = world;
  return 0;
}

static int
tear_down (void **state)
{
  World *world = *state;
  Rig *rig = world->rig;
  while (rig->nodes->len > 0)
    assert_true (ragify_node_free (g_ptr_array_steal_index (rig->nodes, rig->nodes->len - 1),
                                   ragify_now () + 10 * G_USEC_PER_SEC));
  ragify_tier_free (world->tier);
  rig_free (rig);
  g_free (world);
  return 0;
}

static void
finish_ask (Ask *ask)
{
  ragify_owner_unref (ask->owner);
  pthread_mutex_lock (&ask->lock);
  ask->done = TRUE;
  pthread_cond_signal (&ask->changed);
  pthread_mutex_unlock (&ask->lock);
}

static void
compute (Ask *ask)
{
  RagifyLoop *loop = ask->world->rig->runtime.loops[ask->loop];
  if (ask->gives_up)
    ragify_tier_abandon (ask->world->tier, &ask->key);
  else
    ragify_tier_set (ask->world->tier, loop, &ask->key, bytes ("computed"), one_id);
  finish_ask (ask);
}

static void
computed (RagifyDeadline *deadline)
{
  compute ((Ask *)(void *)((char *)deadline - G_STRUCT_OFFSET (Ask, work)));
}

static void
got (const RagifyTierFound *found, void *user)
{
  Ask *ask = user;
  ask->get = NULL;
  ask->lead = found->lead;
  ask->timeout = !found->lead && found->envelope == NULL;
  if (found->envelope != NULL) {
    ask->body = g_strndup ((const char *)found->body.data, found->body.size);
    ask->level = g_strdup (found->level);
    found->envelope->unref (found->envelope);
  }
  if (ask->lead && ask->computes && ask->compute_ms > 0) {
    ask->work.expired = computed;
    ragify_loop_arm (ask->world->rig->runtime.loops[ask->loop], &ask->work, ragify_now () + ask->compute_ms * 1000);
  } else if (ask->lead && ask->computes)
    compute (ask);
  else
    finish_ask (ask);
}

static void
start_ask (RagifyTask *task)
{
  Ask *ask = (Ask *)(void *)((char *)task - G_STRUCT_OFFSET (Ask, task));
  ask->owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
  g_autoptr (RagifyOwner) owner = ragify_owner_ref (ask->owner);
  const guint64 patience = ask->patience_us != 0 ? ask->patience_us : 5 * G_USEC_PER_SEC;
  RagifyTierGet *get = ragify_tier_get (ask->world->tier, owner, ask->world->rig->runtime.loops[ask->loop], &ask->key,
                                        ragify_now () + patience, got, ask);
  if (g_atomic_int_get (&owner->references) > 1)
    ask->get = get;
}

static void
begin_ask (Ask *ask)
{
  pthread_mutex_init (&ask->lock, NULL);
  pthread_cond_init (&ask->changed, NULL);
  ask->task.run = start_ask;
  ragify_loop_post (ask->world->rig->runtime.loops[ask->loop], &ask->task);
}

static void
end_ask (Ask *ask)
{
  pthread_mutex_lock (&ask->lock);
  while (!ask->done)
    pthread_cond_wait (&ask->changed, &ask->lock);
  pthread_mutex_unlock (&ask->lock);
  pthread_mutex_destroy (&ask->lock);
  pthread_cond_destroy (&ask->changed);
}

static void
clear_ask (Ask *ask)
{
  g_free (ask->body);
  g_free (ask->level);
}

/* Expects to find `body` (NULL: to lead, giving up then) with `level`. */
static void
expect (World *world, guint number, const char *body, const char *level)
{
  Ask ask = { .world = world, .key = key_number (number), .computes = TRUE, .gives_up = TRUE };
  begin_ask (&ask);
  end_ask (&ask);
  if (g_strcmp0 (ask.body, body) != 0 || g_strcmp0 (ask.level, level) != 0)
    fail_msg ("expected %s from %s, found %s from %s", body, level, ask.body, ask.level);
  assert_int_equal (ask.lead, body == NULL);
  clear_ask (&ask);
}

typedef struct {
  World *world;
  guint number;
  const char *body;
  gboolean negative;
} Set;

static void
set_now (void *user)
{
  const Set *set = user;
  const RagifyTierKey key = key_number (set->number);
  ragify_tier_set (set->world->tier, set->world->rig->runtime.loops[0], &key, bytes (set->body),
                   set->negative ? (RagifyUuidList){ 0 } : one_id);
}

static void
set (World *world, guint number, const char *body)
{
  Set errand = { .world = world, .number = number, .body = body };
  rig_run (world->rig, 0, set_now, &errand);
}

static void
clear_cached (RagifyCall *call, void *user)
{
  assert_int_equal (ragify_call_code (call), RAGIFY_OK);
}

/* Empties one level. */
static void
clear_level (World *world, RagifyNode *node)
{
  static const RagifyCacheClear all = { .struct_size = sizeof all, .scope = RAGIFY_CACHE_CLEAR_ALL };
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof *owner, NULL);
  RagifyCall *call = ragify_call_new (owner, &ragify_operation_cache_clear, &all, ragify_now () + 5 * G_USEC_PER_SEC,
                                      clear_cached, NULL);
  assert_int_equal (ragify_call_wait (node, call), RAGIFY_OK);
}

static void
what_was_set_is_found (void **state)
{
  World *world = *state;
  make_tier (world, 1, 60 * G_USEC_PER_SEC, 0);
  expect (world, 1, NULL, NULL);
  set (world, 1, "answer");
  expect (world, 1, "answer", "memory");
  expect (world, 2, NULL, NULL);
  const RagifyTierCounts counts = ragify_tier_counts (world->tier);
  assert_int_equal (counts.hits, 1);
  assert_int_equal (counts.misses, 2);
  const RagifyTierLevelCounts level = ragify_tier_level_counts (world->tier, 0);
  assert_int_equal (level.hits, 1);
  assert_int_equal (level.misses, 2);
}

static void
a_lower_hit_fills_the_levels_above (void **state)
{
  World *world = *state;
  make_tier (world, 2, 60 * G_USEC_PER_SEC, 60 * G_USEC_PER_SEC);
  set (world, 1, "answer");
  clear_level (world, world->first);
  expect (world, 1, "answer", "second");
  expect (world, 1, "answer", "memory");
}

static void
promotion_does_not_prolong_life (void **state)
{
  World *world = *state;
  make_tier (world, 2, 200000, 60 * G_USEC_PER_SEC);
  set (world, 1, "answer");
  clear_level (world, world->first);
  g_usleep (120000);
  expect (world, 1, "answer", "second"); /* 80 ms are left to the first */
  g_usleep (120000);
  expect (world, 1, "answer", "second");
  expect (world, 1, "answer", "second"); /* older than the first level may keep it */
}

static void
answers_without_chunks_live_shortly (void **state)
{
  World *world = *state;
  make_tier (world, 1, 60 * G_USEC_PER_SEC, 0);
  Set errand = { .world = world, .number = 1, .body = "nothing", .negative = TRUE };
  rig_run (world->rig, 0, set_now, &errand);
  expect (world, 1, "nothing", "memory");
  g_usleep (70000);
  expect (world, 1, NULL, NULL);
}

static void
a_failing_level_is_skipped (void **state)
{
  World *world = *state;
  static Script script; /* calls may still be on their way when this returns */
  script.code = RAGIFY_E_UNAVAILABLE;
  world->second = world->first;
  world->first = rig_scripted (world->rig, "broken", &scripted_cache, &script);
  make_tier (world, 2, 60 * G_USEC_PER_SEC, 60 * G_USEC_PER_SEC);
  expect (world, 1, NULL, NULL);
  set (world, 1, "answer");
  expect (world, 1, "answer", "second");
  assert_true (ragify_tier_level_counts (world->tier, 0).errors >= 3);
}

static void
a_silent_level_is_not_waited_for (void **state)
{
  World *world = *state;
  static Script script;
  script.hangs = TRUE;
  world->second = world->first;
  world->first = rig_scripted (world->rig, "silent", &scripted_cache, &script);
  make_tier (world, 2, 60 * G_USEC_PER_SEC, 60 * G_USEC_PER_SEC);
  const guint64 began = ragify_now ();
  expect (world, 1, NULL, NULL); /* two looks at 50 ms each, and grace */
  assert_true (ragify_now () - began < 2 * G_USEC_PER_SEC);
}

static void
foreign_values_are_misses (void **state)
{
  World *world = *state;
  make_tier (world, 1, 60 * G_USEC_PER_SEC, 0);
  const RagifyTierKey key = key_number (1);
  static const guint8 junk[] = "RGFA\x09\0\0\0 from the future, as it were, and long enough for a head and more of it";
  RagifyHost host = { .struct_size = sizeof host };
  ragify_call_fill_host (&host);
  guint8 *data;
  RagifyBuffer *buffer = host.buffer_new (sizeof junk, &data);
  memcpy (data, junk, sizeof junk);
  const RagifyCacheSet arguments = { .struct_size = sizeof arguments,
                                     .key = { .data = key.bytes, .size = sizeof key.bytes },
                                     .value = buffer };
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof *owner, NULL);
  RagifyCall *call =
      ragify_call_new (owner, &ragify_operation_cache_set, &arguments, ragify_now () + 5 * G_USEC_PER_SEC, NULL, NULL);
  assert_int_equal (ragify_call_wait (world->first, call), RAGIFY_OK);
  buffer->unref (buffer);
  expect (world, 1, NULL, NULL);
}

static void
one_computes_and_all_get_it (void **state)
{
  World *world = *state;
  make_tier (world, 1, 60 * G_USEC_PER_SEC, 0);
  enum { N = 500 };
  g_autofree Ask *asks = g_new0 (Ask, N);
  for (guint i = 0; i < N; i++) {
    asks[i] = (Ask){ .world = world, .loop = i % 2, .key = key_number (1), .computes = TRUE, .compute_ms = 20 };
    begin_ask (&asks[i]);
  }
  guint leaders = 0;
  for (guint i = 0; i < N; i++) {
    end_ask (&asks[i]);
    leaders += asks[i].lead;
    if (!asks[i].lead)
      assert_string_equal (asks[i].body, "computed");
    clear_ask (&asks[i]);
  }
  assert_int_equal (leaders, 1);
  const RagifyTierCounts counts = ragify_tier_counts (world->tier);
  assert_int_equal (counts.misses, 1);
  assert_int_equal (counts.hits, N - 1);
}

static void
after_a_failing_leader_others_lead (void **state)
{
  World *world = *state;
  make_tier (world, 1, 60 * G_USEC_PER_SEC, 0);
  enum { N = 40 };
  g_autofree Ask *asks = g_new0 (Ask, N);
  for (guint i = 0; i < N; i++) {
    asks[i] = (Ask){ .world = world,
                     .loop = i % 2,
                     .key = key_number (1),
                     .computes = TRUE,
                     .compute_ms = i < 10 ? 5 : 1,
                     .gives_up = i < 10 };
    begin_ask (&asks[i]);
  }
  guint leaders = 0;
  for (guint i = 0; i < N; i++) {
    end_ask (&asks[i]);
    leaders += asks[i].lead;
    if (!asks[i].lead)
      assert_string_equal (asks[i].body, "computed");
    clear_ask (&asks[i]);
  }
  assert_true (leaders >= 1 && leaders <= 30);
  expect (world, 1, "computed", "memory");
}

static void
a_waiter_keeps_its_own_deadline (void **state)
{
  World *world = *state;
  make_tier (world, 1, 60 * G_USEC_PER_SEC, 0);
  Ask leader = { .world = world, .key = key_number (1), .computes = TRUE, .compute_ms = 150 };
  begin_ask (&leader);
  g_usleep (20000);
  Ask hasty = { .world = world, .loop = 1, .key = key_number (1), .patience_us = 30000 };
  Ask patient = { .world = world, .loop = 1, .key = key_number (1) };
  begin_ask (&hasty);
  begin_ask (&patient);
  end_ask (&hasty);
  assert_true (hasty.timeout);
  end_ask (&patient);
  assert_string_equal (patient.body, "computed");
  assert_null (patient.level);
  end_ask (&leader);
  assert_int_equal (ragify_tier_counts (world->tier).timeouts, 1);
  clear_ask (&hasty);
  clear_ask (&patient);
  clear_ask (&leader);
}

static void
cancel_now (void *user)
{
  Ask *ask = user;
  assert_non_null (ask->get);
  ragify_tier_cancel (ask->get);
  finish_ask (ask);
}

static void
a_cancelled_waiter_is_left_out (void **state)
{
  World *world = *state;
  make_tier (world, 1, 60 * G_USEC_PER_SEC, 0);
  Ask leader = { .world = world, .key = key_number (1), .computes = TRUE, .compute_ms = 80, .gives_up = TRUE };
  begin_ask (&leader);
  g_usleep (10000);
  Ask gone = { .world = world, .loop = 1, .key = key_number (1), .computes = TRUE };
  Ask stays = { .world = world, .loop = 1, .key = key_number (1), .computes = TRUE };
  begin_ask (&gone);
  begin_ask (&stays);
  g_usleep (20000);
  rig_run (world->rig, 1, cancel_now, &gone);
  end_ask (&gone);
  end_ask (&stays);
  assert_true (stays.lead); /* not the one who left */
  end_ask (&leader);
  clear_ask (&gone);
  clear_ask (&stays);
  clear_ask (&leader);
}

/* Waiters that leave while they are being woken: whatever wins, nothing is lost and nothing leaks. */
static void
leaving_and_waking_may_cross (void **state)
{
  World *world = *state;
  make_tier (world, 1, 60 * G_USEC_PER_SEC, 0);
  for (guint round = 0; round < 50; round++) {
    Ask leader = {
      .world = world, .key = key_number (100 + round), .computes = TRUE, .compute_ms = 2, .gives_up = round % 2 == 0
    };
    Ask waiters[4];
    begin_ask (&leader);
    for (guint i = 0; i < 4; i++) {
      waiters[i] = (Ask){ .world = world,
                          .loop = 1,
                          .key = key_number (100 + round),
                          .computes = TRUE,
                          .patience_us = 1500 + 250 * i,
                          .gives_up = i % 2 == 0 };
      begin_ask (&waiters[i]);
    }
    end_ask (&leader);
    for (guint i = 0; i < 4; i++) {
      end_ask (&waiters[i]);
      assert_true (waiters[i].lead || waiters[i].timeout || waiters[i].body != NULL);
      clear_ask (&waiters[i]);
    }
    clear_ask (&leader);
  }
}

int
main (void)
{
  cmocka_set_message_output (CM_OUTPUT_TAP);
#define CASE(name) cmocka_unit_test_setup_teardown (name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
    CASE (what_was_set_is_found),
    CASE (a_lower_hit_fills_the_levels_above),
    CASE (promotion_does_not_prolong_life),
    CASE (answers_without_chunks_live_shortly),
    CASE (a_failing_level_is_skipped),
    CASE (a_silent_level_is_not_waited_for),
    CASE (foreign_values_are_misses),
    CASE (one_computes_and_all_get_it),
    CASE (after_a_failing_leader_others_lead),
    CASE (a_waiter_keeps_its_own_deadline),
    CASE (a_cancelled_waiter_is_left_out),
    CASE (leaving_and_waking_may_cross),
  };
  return cmocka_run_group_tests_name ("tier", tests, NULL, NULL);
}
