/* The limiter of concurrency: places, the queue, early refusals, the adaptive limit.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "core/balance/gradient.h"
#include "core/balance/limiter.h"
#include "rig.h"

#define SECOND ((guint64)G_USEC_PER_SEC)

typedef struct {
  RagifyTicket ticket; /* first */
  guint told, order;
} Wish;

typedef struct {
  Rig *rig;
  RagifyLimiterOptions options;
  RagifyLimiter *limiter;
  Wish wishes[16];
  guint told; /* how many were, in all */
} World;

static World *world;

static int
set_up (void **state)
{
  world = g_new0 (World, 1);
  world->rig = rig_new (2);
  world->options = (RagifyLimiterOptions){ .scope = "test", .limit = 2, .queue = 3, .queue_timeout_us = 60 * SECOND };
  return 0;
}

static int
tear_down (void **state)
{
  g_clear_pointer (&world->limiter, ragify_limiter_free);
  rig_free (world->rig);
  g_free (world);
  return 0;
}

static void
told (RagifyTicket *ticket)
{
  Wish *wish = (Wish *)ticket;
  wish->told++;
  wish->order = ++world->told;
}

static RagifyTicketState
ask (guint wish, guint64 within)
{
  return ragify_limiter_ask (world->limiter, &world->wishes[wish].ticket, ragify_now () + within, told);
}

/* Runs a step of a test on the loop, and lets what was posted meanwhile run before the next. */
static void
on_loop (void (*step) (void *user))
{
  rig_run (world->rig, 0, step, NULL);
}

static void
nothing (void *user)
{
}

/* ---- places ---- */

static void
take_all (void *user)
{
  for (guint i = 0; i < 2; i++)
    assert_int_equal (ask (i, 60 * SECOND), RAGIFY_TICKET_GRANTED);
  for (guint i = 2; i < 5; i++)
    assert_int_equal (ask (i, 60 * SECOND), RAGIFY_TICKET_QUEUED);
  assert_int_equal (ask (5, 60 * SECOND), RAGIFY_TICKET_OVER);
  assert_int_equal (world->wishes[5].ticket.refusal, RAGIFY_REFUSED_FULL);
}

static void
give_back_first (void *user)
{
  ragify_limiter_give_back (&world->wishes[0].ticket, TRUE);
  ragify_limiter_give_back (&world->wishes[0].ticket, TRUE); /* no effect twice */
  assert_int_equal (world->told, 0);                         /* not inside */
}

static void
give_back_all (void *user)
{
  for (guint i = 0; i < G_N_ELEMENTS (world->wishes); i++)
    ragify_limiter_give_back (&world->wishes[i].ticket, TRUE);
}

static void
places_are_granted_in_order_and_a_full_queue_refuses (void **state)
{
  world->limiter = ragify_limiter_new (&world->options);
  on_loop (take_all);
  on_loop (give_back_first);
  on_loop (nothing);
  assert_int_equal (world->wishes[2].order, 1);
  assert_int_equal (world->wishes[3].told, 0);
  RagifyLimiterCounts counts = ragify_limiter_counts (world->limiter);
  assert_int_equal (counts.active, 2);
  assert_int_equal (counts.queued, 2);
  assert_int_equal (counts.refused, 1);
  for (guint i = 0; i < 4; i++)
    on_loop (give_back_all);
  assert_int_equal (world->wishes[3].order, 2);
  assert_int_equal (world->wishes[4].order, 3);
  counts = ragify_limiter_counts (world->limiter);
  assert_int_equal (counts.active + counts.queued, 0);
  assert_int_equal (counts.granted, 5);
}

static void
withdraw_one (void *user)
{
  assert_true (ragify_limiter_withdraw (&world->wishes[2].ticket));
  assert_false (ragify_limiter_withdraw (&world->wishes[2].ticket));
  assert_false (ragify_limiter_withdraw (&world->wishes[0].ticket));
}

static void
who_leaves_makes_room_in_the_queue (void **state)
{
  world->limiter = ragify_limiter_new (&world->options);
  on_loop (take_all);
  on_loop (withdraw_one);
  for (guint i = 0; i < 5; i++)
    on_loop (give_back_all);
  assert_int_equal (world->wishes[2].told, 0);
  assert_int_equal (world->wishes[3].told + world->wishes[4].told, 2);
  assert_int_equal (ragify_limiter_counts (world->limiter).active, 0);
}

static void
a_wait_ends_at_its_timeout (void **state)
{
  world->options.queue_timeout_us = 20 * 1000;
  world->limiter = ragify_limiter_new (&world->options);
  on_loop (take_all);
  for (guint i = 0; i < 12000 && ragify_limiter_counts (world->limiter).queued > 0; i++)
    g_usleep (5000);
  on_loop (nothing);
  for (guint i = 2; i < 5; i++) {
    assert_int_equal (world->wishes[i].told, 1);
    assert_int_equal (world->wishes[i].ticket.refusal, RAGIFY_REFUSED_TIMEOUT);
  }
  on_loop (give_back_all);
}

/* ---- what cannot be in time ---- */

static void
work_for_20_ms (void *user)
{
  for (guint i = 0; i < 10; i++) {
    memset (&world->wishes[0], 0, sizeof world->wishes[0]);
    assert_int_equal (ask (0, 60 * SECOND), RAGIFY_TICKET_GRANTED);
    g_usleep (20000);
    ragify_limiter_give_back (&world->wishes[0].ticket, TRUE);
  }
  memset (world->wishes, 0, sizeof world->wishes);
}

static void
hurry (void *user)
{
  assert_int_equal (ask (0, 1), RAGIFY_TICKET_GRANTED); /* where nobody is at work it may try */
  assert_int_equal (ask (1, 60 * SECOND), RAGIFY_TICKET_GRANTED);
  assert_int_equal (ask (2, 25000), RAGIFY_TICKET_OVER); /* three of 20 ms, one after the other for all that is known */
  assert_int_equal (world->wishes[2].ticket.refusal, RAGIFY_REFUSED_LATE);
  assert_in_range (world->wishes[2].ticket.retry_after, 10000, 60 * SECOND);
  assert_int_equal (ask (3, 60 * SECOND), RAGIFY_TICKET_QUEUED);
  assert_int_equal (world->told, 0);
}

static void
what_cannot_be_in_time_is_refused_at_once (void **state)
{
  world->limiter = ragify_limiter_new (&world->options);
  on_loop (work_for_20_ms);
  assert_true (ragify_limiter_counts (world->limiter).per_second <= 50);
  on_loop (hurry);
  on_loop (give_back_all);
  on_loop (give_back_all);
  assert_int_equal (world->wishes[3].told, 1);
}

static void
queue_two (void *user)
{
  for (guint i = 0; i < 2; i++)
    assert_int_equal (ask (i, 60 * SECOND), RAGIFY_TICKET_GRANTED);
  assert_int_equal (ask (2, 400 * 1000), RAGIFY_TICKET_QUEUED);
  assert_int_equal (ask (3, 60 * SECOND), RAGIFY_TICKET_QUEUED);
}

/* Its turn comes when the work could no longer be done in time: the place goes to the next. */
static void
a_turn_that_comes_too_late_is_passed_on (void **state)
{
  guint64 began;
  do { /* what it learns on a machine that pauses is that nothing can be in time */
    g_clear_pointer (&world->limiter, ragify_limiter_free);
    world->limiter = ragify_limiter_new (&world->options);
    began = ragify_now ();
    on_loop (work_for_20_ms);
  } while (ragify_now () - began > SECOND);
  on_loop (queue_two);
  g_usleep (395 * 1000);
  on_loop (give_back_all);
  on_loop (nothing);
  assert_int_equal (world->wishes[2].told, 1);
  assert_int_not_equal (world->wishes[2].ticket.refusal, RAGIFY_REFUSED_NOT);
  assert_int_equal (world->wishes[3].told, 1);
  assert_int_equal (world->wishes[3].ticket.refusal, RAGIFY_REFUSED_NOT);
  on_loop (give_back_all);
}

static void
crowd_in (void *user)
{
  for (guint i = 0; i < 5; i++)
    assert_int_equal (ask (i, 60 * SECOND), RAGIFY_TICKET_GRANTED);
}

/* Six at the rate that is known take six parts; nine are less than twice as many. */
static void
ask_for_nine_parts (void *user)
{
  const guint64 within = (guint64)(9 / ragify_limiter_counts (world->limiter).per_second * G_USEC_PER_SEC);
  Wish *fresh = &world->wishes[6], *waited = &world->wishes[7];
  memset (fresh, 0, 2 * sizeof *fresh);
  waited->ticket.waited = TRUE;
  assert_int_equal (ask (6, within), RAGIFY_TICKET_OVER);
  assert_int_equal (fresh->ticket.refusal, RAGIFY_REFUSED_LATE);
  ask (7, within);
}

/* A promise has something to spare; it is not taken back for that. */
static void
who_has_waited_is_not_refused_for_what_is_to_spare (void **state)
{
  world->options.limit = 8;
  world->limiter = ragify_limiter_new (&world->options);
  on_loop (work_for_20_ms);
  on_loop (crowd_in);
  gboolean granted = FALSE;
  for (guint i = 0; i < 100 && !granted;
       i++) {              /* the thread may be held up between asking what time it is and asking */
    g_usleep (100 * 1000); /* those at work are old: more at once make each slower */
    on_loop (ask_for_nine_parts);
    granted = world->wishes[7].ticket.state == RAGIFY_TICKET_GRANTED;
  }
  assert_true (granted);
  on_loop (give_back_all);
}

/* ---- the adaptive limit ---- */

/* A machine with `cores`: alone a piece takes 10 ms, and with more pieces than cores all take as much longer. */
static guint
settle (guint most, double cores, guint windows)
{
  RagifyGradient gradient;
  ragify_gradient_init (&gradient, most);
  guint limit = ragify_gradient_limit (&gradient);
  guint64 now = SECOND;
  for (guint i = 0; i < 10 * windows; i++) { /* ten samples fill a window */
    now += 10000;
    limit = ragify_gradient_sample (&gradient, 10000 * fmax (1, limit / cores), limit, now);
  }
  return limit;
}

static void
the_adaptive_limit_finds_what_the_machine_can_do (void **state)
{
  for (guint windows = 1001; windows < 1010; windows += 2) {
    assert_in_range (settle (100, 8, windows), 8, 32);
    assert_in_range (settle (100, 30, windows), 30, 90);
    assert_int_equal (settle (100, 1000, windows), 100); /* nothing holds it back */
    assert_int_equal (settle (2, 1, windows), 2);        /* nor is it ever less than can be configured */
  }
}

/* ---- many ---- */

#define CROWD 64

typedef struct {
  RagifyTicket ticket; /* first */
  RagifyTask task;
  guint rounds;
} Worker;

static gint at_once, most, over; /* atomic */

static void go_round (Worker *worker);

static void
come_back (RagifyTask *task)
{
  Worker *worker = (Worker *)(void *)((char *)task - G_STRUCT_OFFSET (Worker, task));
  g_atomic_int_add (&at_once, -1);
  ragify_limiter_give_back (&worker->ticket, TRUE);
  go_round (worker);
}

static void
work (Worker *worker)
{
  const gint now = g_atomic_int_add (&at_once, 1) + 1;
  if (now > g_atomic_int_get (&most))
    g_atomic_int_set (&most, now);
  worker->task.run = come_back;
  ragify_loop_post (ragify_loop_current (), &worker->task);
}

static void
worker_told (RagifyTicket *ticket)
{
  work ((Worker *)ticket);
}

static void
go_round (Worker *worker)
{
  if (worker->rounds-- == 0) {
    g_atomic_int_inc (&over);
    return;
  }
  worker->ticket = (RagifyTicket){ 0 };
  if (ragify_limiter_ask (world->limiter, &worker->ticket, G_MAXUINT64 / 2, worker_told) == RAGIFY_TICKET_GRANTED)
    work (worker);
}

static Worker crowd[CROWD];

static void
start_half (void *user)
{
  for (guint i = ragify_loop_index (ragify_loop_current ()); i < CROWD; i += 2) {
    crowd[i].rounds = 200;
    go_round (&crowd[i]);
  }
}

static void
many_on_two_loops_never_exceed_the_limit (void **state)
{
  world->options.limit = 5;
  world->options.queue = CROWD;
  world->options.queue_timeout_us = G_MAXUINT64 / 4;
  world->options.metrics = world->rig->runtime.metrics;
  world->limiter = ragify_limiter_new (&world->options);
  at_once = most = over = 0;
  rig_run (world->rig, 0, start_half, NULL);
  rig_run (world->rig, 1, start_half, NULL);
  for (guint i = 0; i < 60000 && g_atomic_int_get (&over) < CROWD; i++)
    g_usleep (1000);
  assert_int_equal (g_atomic_int_get (&over), CROWD);
  assert_in_range (g_atomic_int_get (&most), 1, 5);
  assert_int_equal (ragify_limiter_counts (world->limiter).granted, CROWD * 200);
}

/* ---- in a pipeline ---- */

static void
cache_hits_take_no_place_and_overload_is_said (void **state)
{
  static const Passage passages[] = { { "d1", "Cats", "", "cats sleep most of the day", "" } };
  static Script script; /* a call may still be on its way when this returns */
  script = (Script){ .passages = passages, .n_passages = 1 };
  RagifyNode *node = rig_scripted (world->rig, "source", &scripted_source, &script);
  RagifyNode *ram = rig_plugin (world->rig, "ram", "CACHE_MEMORY", RAGIFY_KIND_CACHE, "memory", "");
  const RagifyTierLevel level = { .node = ram, .kind = "memory", .ttl_us = 60 * SECOND };
  const RagifyTierOptions tier_options = { .name = "answers", .levels = &level, .n_levels = 1 };
  RagifyTier *tier = ragify_tier_new (&world->rig->runtime, &tier_options);
  const RagifyRetriever retriever = { .node = node, .source_type = "database", .weight = 1 };
  const RagifyPipelineOptions options = { .name = "p",
                                          .retrievers = &retriever,
                                          .n_retrievers = 1,
                                          .tier = tier,
                                          .deadline_us = 4 * SECOND, /* longer than a machine pauses */
                                          .max_concurrent = 1,
                                          .queue = 0,
                                          .queue_timeout_us = SECOND };
  RagifyPipeline *pipeline = ragify_pipeline_new (&world->rig->runtime, &options);
  Reply reply = rig_ask (world->rig, 0, pipeline, "{\"query\":\"cats\"}");
  assert_int_equal (reply.status, 200);
  reply_clear (&reply);
  script.hangs = TRUE;
  const char *requests[] = { "{\"query\":\"a\"}", "{\"query\":\"b\"}", "{\"query\":\"cats\"}", "{\"query\":\"c\"}" };
  Reply replies[G_N_ELEMENTS (requests)];
  rig_ask_each (world->rig, pipeline, requests, G_N_ELEMENTS (requests), 0, replies);
  guint overloaded = 0;
  for (guint i = 0; i < G_N_ELEMENTS (requests); i++) {
    if (strstr (replies[i].text, "Overloaded") != NULL) {
      assert_int_equal (replies[i].status, 503);
      assert_int_equal (replies[i].retry_after, 1);
      assert_non_null (strstr (replies[i].text, "pipeline p: as many requests as may wait"));
      overloaded++;
    }
    assert_int_equal (replies[i].status, i == 2 ? 200 : 503);
    reply_clear (&replies[i]);
  }
  assert_int_equal (overloaded, 2);
  ragify_pipeline_free (pipeline);
  ragify_tier_free (tier);
}

static void
who_leaves_while_waiting_is_forgotten (void **state)
{
  static const Passage passages[] = { { "d1", "Cats", "", "cats sleep most of the day", "" } };
  static Script script; /* a call may still be on its way when this returns */
  script = (Script){ .passages = passages, .n_passages = 1, .hangs = TRUE };
  RagifyNode *node = rig_scripted (world->rig, "source", &scripted_source, &script);
  const RagifyRetriever retriever = { .node = node, .source_type = "database", .weight = 1 };
  const RagifyPipelineOptions options = { .name = "p",
                                          .retrievers = &retriever,
                                          .n_retrievers = 1,
                                          .deadline_us = 20 * SECOND,
                                          .max_concurrent = 1,
                                          .queue = 100,
                                          .queue_timeout_us = 20 * SECOND };
  RagifyPipeline *pipeline = ragify_pipeline_new (&world->rig->runtime, &options);
  const char *requests[] = { "{\"query\":\"a\"}", "{\"query\":\"b\"}", "{\"query\":\"c\"}" };
  Reply replies[G_N_ELEMENTS (requests)];
  rig_ask_each (world->rig, pipeline, requests, G_N_ELEMENTS (requests), 50, replies);
  for (guint i = 0; i < G_N_ELEMENTS (requests); i++) {
    assert_int_equal (replies[i].status, 499);
    reply_clear (&replies[i]);
  }
  script.hangs = FALSE;
  Reply reply = rig_ask (world->rig, 0, pipeline, "{\"query\":\"cats\"}");
  assert_int_equal (reply.status, 200);
  reply_clear (&reply);
  ragify_pipeline_free (pipeline);
}

int
main (void)
{
#define CASE(name) cmocka_unit_test_setup_teardown (name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
    CASE (places_are_granted_in_order_and_a_full_queue_refuses),
    CASE (who_leaves_makes_room_in_the_queue),
    CASE (a_wait_ends_at_its_timeout),
    CASE (what_cannot_be_in_time_is_refused_at_once),
    CASE (a_turn_that_comes_too_late_is_passed_on),
    CASE (who_has_waited_is_not_refused_for_what_is_to_spare),
    cmocka_unit_test (the_adaptive_limit_finds_what_the_machine_can_do),
    CASE (many_on_two_loops_never_exceed_the_limit),
    CASE (cache_hits_take_no_place_and_overload_is_said),
    CASE (who_leaves_while_waiting_is_forgotten),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
