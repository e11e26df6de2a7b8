/* SPDX-License-Identifier: MIT */
#include "cache-rig.h"

#include <string.h>

#include "core/call/operations.h"

#define PATIENCE_US (60 * (guint64)G_USEC_PER_SEC)

const RagifyUuidList one_id = { .items = (const RagifyUuid[]){ { { 9 } } }, .count = 1 };

RagifyBytes
bytes (const char *text)
{
  return (RagifyBytes){ .data = (const guint8 *)text, .size = strlen (text) };
}

RagifyTierKey
key_number (guint number)
{
  RagifyTierKey key = { 0 };
  memcpy (key.bytes, &number, sizeof number);
  key.bytes[15] = (guint8)number;
  key.bytes[7] = 128;
  key.bytes[8] = 127; /* about no jitter */
  return key;
}

void
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

int
set_up (void **state)
{
  World *world = g_new0 (World, 1);
  world->rig = rig_new (2);
  world->first = rig_plugin (world->rig, "ram", "CACHE_MEMORY", RAGIFY_KIND_CACHE, "memory", "");
  world->second = rig_plugin (world->rig, "ram-2", "CACHE_MEMORY", RAGIFY_KIND_CACHE, "memory", "");
  *state = world;
  return 0;
}

int
tear_down (void **state)
{
  World *world = *state;
  ragify_tier_free (world->tier); /* first, as it may still be writing */
  rig_free (world->rig);
  g_free (world);
  return 0;
}

void
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
  if (ask->gives_up)
    ragify_tier_abandon (ask->world->tier, &ask->key);
  else
    ragify_tier_set (ask->world->tier, &ask->key, bytes ("computed"), one_id);
  finish_ask (ask);
}

static void
compute_now (void *user)
{
  compute (user);
}

static void
hold (Ask *ask)
{
  pthread_mutex_lock (&ask->lock);
  ask->held = TRUE;
  pthread_cond_signal (&ask->changed);
  pthread_mutex_unlock (&ask->lock);
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
    ask->stale = found->stale;
    found->envelope->unref (found->envelope);
  }
  if (ask->lead && ask->computes && ask->holds)
    hold (ask);
  else if (ask->lead && ask->computes && ask->compute_ms > 0) {
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
  const guint64 patience = ask->patience_us != 0 ? ask->patience_us : PATIENCE_US;
  const RagifyTierAsk what = {
    .key = ask->key, .deadline = ragify_now () + patience, .peek = ask->peeks, .valid = ask->valid
  };
  RagifyTierGet *get =
      ragify_tier_get (ask->world->tier, owner, ask->world->rig->runtime.loops[ask->loop], &what, got, ask);
  if (g_atomic_int_get (&owner->references) > 1)
    ask->get = get;
}

void
begin_ask (Ask *ask)
{
  pthread_mutex_init (&ask->lock, NULL);
  pthread_cond_init (&ask->changed, NULL);
  ask->task.run = start_ask;
  ragify_loop_post (ask->world->rig->runtime.loops[ask->loop], &ask->task);
}

void
await_held (Ask *ask)
{
  pthread_mutex_lock (&ask->lock);
  while (!ask->held)
    pthread_cond_wait (&ask->changed, &ask->lock);
  pthread_mutex_unlock (&ask->lock);
}

void
release_ask (Ask *ask)
{
  rig_run (ask->world->rig, ask->loop, compute_now, ask);
}

static void
nothing (void *user)
{
}

void
await_asked (const Ask *ask)
{
  rig_run (ask->world->rig, ask->loop, nothing, NULL); /* memory levels answer at once, on the loop that asks */
}

void
end_ask (Ask *ask)
{
  pthread_mutex_lock (&ask->lock);
  while (!ask->done)
    pthread_cond_wait (&ask->changed, &ask->lock);
  pthread_mutex_unlock (&ask->lock);
  pthread_mutex_destroy (&ask->lock);
  pthread_cond_destroy (&ask->changed);
}

void
clear_ask (Ask *ask)
{
  g_free (ask->body);
  g_free (ask->level);
}

gboolean
is_there (World *world, guint number)
{
  Ask ask = { .world = world, .key = key_number (number), .computes = TRUE, .gives_up = TRUE };
  begin_ask (&ask);
  end_ask (&ask);
  const gboolean found = ask.body != NULL;
  clear_ask (&ask);
  return found;
}

void
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
  ragify_tier_set (set->world->tier, &key, bytes (set->body), set->negative ? (RagifyUuidList){ 0 } : one_id);
}

void
set (World *world, guint number, const char *body)
{
  Set errand = { .world = world, .number = number, .body = body };
  rig_run (world->rig, 0, set_now, &errand);
}

void
set_negative (World *world, guint number, const char *body)
{
  Set errand = { .world = world, .number = number, .body = body, .negative = TRUE };
  rig_run (world->rig, 0, set_now, &errand);
}

void
put_raw (RagifyNode *node, guint number, const void *data, gsize size, guint64 ttl_us)
{
  const RagifyTierKey key = key_number (number);
  RagifyHost host = { .struct_size = sizeof host };
  ragify_call_fill_host (&host);
  guint8 *copy;
  RagifyBuffer *buffer = host.buffer_new (size, &copy);
  memcpy (copy, data, size);
  const RagifyCacheSet arguments = { .struct_size = sizeof arguments,
                                     .key = { .data = key.bytes, .size = sizeof key.bytes },
                                     .value = buffer,
                                     .ttl_us = ttl_us };
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof *owner, NULL);
  RagifyCall *call =
      ragify_call_new (owner, &ragify_operation_cache_set, &arguments, ragify_now () + PATIENCE_US, NULL, NULL);
  assert_int_equal (ragify_call_wait (node, call), RAGIFY_OK);
  buffer->unref (buffer);
}

void
put_foreign (RagifyNode *node, guint number, gint64 age_us, guint64 level_ttl_us)
{
  RagifyBuffer *envelope = ragify_envelope_new (bytes ("foreign"), one_id, g_get_real_time () - age_us, 0, 0);
  put_raw (node, number, envelope->data, envelope->size, level_ttl_us);
  envelope->unref (envelope);
}

static void
clear_cached (RagifyCall *call, void *user)
{
  assert_int_equal (ragify_call_code (call), RAGIFY_OK);
}

void
clear_level (RagifyNode *node)
{
  static const RagifyCacheClear all = { .struct_size = sizeof all, .scope = RAGIFY_CACHE_CLEAR_ALL };
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof *owner, NULL);
  RagifyCall *call =
      ragify_call_new (owner, &ragify_operation_cache_clear, &all, ragify_now () + PATIENCE_US, clear_cached, NULL);
  assert_int_equal (ragify_call_wait (node, call), RAGIFY_OK);
}
