/* Who may still touch what: abandoned calls, tails of functions, credit, lies, and what a node waits for.
 *
 * SPDX-License-Identifier: MIT
 */
#include "fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "core/module/context.h"

static RagifyRuntime *runtime;

static void
answer_nothing_found (RagifyCall *call)
{
  const RagifySourceResult result = { .struct_size = sizeof result };
  fixture_host ()->call_done (call, &result);
}

/* ---- asking by hand ---- */

typedef struct Question {
  RagifyTask task;
  RagifyNode *node;
  RagifyOwner *owner; /* NULL: nobody keeps it but the call */
  RagifyCall *call;
  guint64 timeout;
  void (*emitted) (RagifyCall *call, const void *item, void *user);
  guint n_items;
  gint32 code;
  atomic_int finished;
} Question;

static void
on_finished (RagifyCall *call, void *user)
{
  Question *question = user;
  question->code = ragify_call_code (call);
  atomic_store (&question->finished, 1);
}

static void
count_item (RagifyCall *call, const void *item, void *user)
{
  ((Question *)user)->n_items++;
}

static void
put_question (RagifyTask *task)
{
  static const RagifySourceQuery query = { .struct_size = sizeof query, .top_k = 10 };
  Question *question = (Question *)task;
  RagifyOwner *owner =
      question->owner != NULL ? ragify_owner_ref (question->owner) : ragify_owner_new (sizeof (RagifyOwner), NULL);
  question->call = ragify_call_new (owner, &ragify_operation_source_query, &query, ragify_now () + question->timeout,
                                    on_finished, question);
  if (question->emitted != NULL)
    ragify_call_set_emitted (question->call, question->emitted);
  ragify_node_call (question->node, question->call);
  ragify_owner_unref (owner);
}

static void
ask (Question *question, RagifyLoop *loop)
{
  question->task.run = put_question;
  atomic_store (&question->finished, 0);
  ragify_loop_post (loop, &question->task);
}

static void
await (const Question *question)
{
  for (guint i = 0; i < 120000 && atomic_load (&question->finished) == 0; i++)
    g_usleep (500);
  assert_int_equal (atomic_load (&question->finished), 1);
}

static void
end (RagifyNode *node)
{
  fixture_settle (node);
  assert_true (ragify_node_free (node, ragify_now () + FIXTURE_PATIENCE_US));
}

/* ---- abandoned calls ---- */

static void
answer_behind_bolt (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  fixture_wait_behind_bolt ();
  answer_nothing_found (call);
}

static void
what_an_abandoned_call_said_stays (void **state)
{
  RagifyNode *node = fixture_source_new (runtime, RAGIFY_RUN_WORKER, 2, answer_behind_bolt);
  Question questions[6] = { 0 };
  fixture_bolt ();
  for (guint i = 0; i < G_N_ELEMENTS (questions); i++) {
    questions[i] = (Question){ .node = node, .timeout = 10000, .owner = ragify_owner_new (sizeof (RagifyOwner), NULL) };
    ask (&questions[i], runtime->loops[0]);
  }
  for (guint i = 0; i < G_N_ELEMENTS (questions); i++)
    await (&questions[i]);
  fixture_unbolt ();
  fixture_settle (node);
  for (guint i = 0; i < G_N_ELEMENTS (questions); i++) {
    assert_int_equal (ragify_call_code (questions[i].call), RAGIFY_E_TIMEOUT);
    assert_string_equal (ragify_call_message (questions[i].call), "tested: query: no answer within its deadline");
    ragify_owner_unref (questions[i].owner);
  }
  end (node);
}

static void
calls_that_only_waited_in_the_queue_do_not_eject (void **state)
{
  RagifyNode *node = fixture_source_new (runtime, RAGIFY_RUN_WORKER, 1, answer_behind_bolt);
  Question questions[12] = { 0 };
  fixture_bolt ();
  for (guint i = 0; i < G_N_ELEMENTS (questions); i++) {
    questions[i] = (Question){ .node = node, .timeout = 10000 };
    ask (&questions[i], runtime->loops[i % 2]);
  }
  for (guint i = 0; i < G_N_ELEMENTS (questions); i++) {
    await (&questions[i]);
    assert_int_equal (questions[i].code, RAGIFY_E_TIMEOUT); /* 4 that hang would eject it */
  }
  assert_int_equal (ragify_node_counts (node).queued, 0);
  assert_true (ragify_node_counts (node).abandoned <= 1);
  fixture_unbolt ();
  end (node);
}

static void
fail_and_linger (RagifyCall *call, void *user)
{
  fixture_host ()->call_fail (call, RAGIFY_E_CANCELLED, ragify_str (NULL, 100), 0);
  g_usleep (50000);
}

static void
wait_to_be_cancelled (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  if (call != NULL && args->top_k == 10)
    fixture_host ()->call_on_cancel (call, fail_and_linger, NULL);
}

static void
a_completion_inside_the_cancel_callback_counts_once (void **state)
{
  RagifyNode *node = fixture_source_new (runtime, RAGIFY_RUN_SHARED, 0, wait_to_be_cancelled);
  Question first = { .node = node, .timeout = 1000 };
  Question second = { .node = node, .timeout = 1000 };
  ask (&first, runtime->loops[0]);
  g_usleep (20000); /* the first is in its callback: one that hung, and does not any more */
  ask (&second, runtime->loops[1]);
  await (&first);
  await (&second);
  assert_int_equal (first.code, RAGIFY_E_TIMEOUT);
  assert_int_equal (second.code, RAGIFY_E_TIMEOUT); /* and not ejected */
  end (node);
}

static _Thread_local guint dice = 1;

static void
complete_soon (void *user)
{
  dice = dice * 1103515245 + 12345;
  g_usleep (4000 + (dice >> 16) % 4000);
  answer_nothing_found (user);
}

static void
do_nothing (RagifyCall *call, void *user)
{
}

static void
answer_around_the_deadline (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  fixture_host ()->call_on_cancel (call, do_nothing, NULL);
  if (fixture_host ()->submit (fixture_context (instance), complete_soon, call) != RAGIFY_OK)
    fixture_host ()->call_fail (call, RAGIFY_E_EXHAUSTED, ragify_str_from ("no worker"), 0);
}

/* The only reference to the owner is the call's. */
static void
completing_and_abandoning_at_once_is_safe (void **state)
{
  const guint32 classes[] = { RAGIFY_RUN_LOOP, RAGIFY_RUN_SHARED };
  for (guint c = 0; c < G_N_ELEMENTS (classes); c++) {
    RagifyNode *node = fixture_source_new (runtime, classes[c], 0, answer_around_the_deadline);
    for (guint round = 0; round < 60; round++) {
      Question questions[4] = { 0 };
      for (guint i = 0; i < G_N_ELEMENTS (questions); i++) {
        questions[i] = (Question){ .node = node, .timeout = 1000 };
        ask (&questions[i], runtime->loops[i % 2]);
      }
      for (guint i = 0; i < G_N_ELEMENTS (questions); i++)
        await (&questions[i]);
    }
    end (node);
  }
}

/* ---- the end of a function comes after the end of its call ---- */

static atomic_int inside, most_inside, tails;

static void
answer_with_a_tail (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  const int now = atomic_fetch_add (&inside, 1) + 1;
  if (now > atomic_load (&most_inside))
    atomic_store (&most_inside, now);
  answer_nothing_found (call);
  g_usleep (3000);
  atomic_fetch_sub (&inside, 1);
  atomic_fetch_add (&tails, 1);
}

static void
one_at_a_time_counts_until_the_function_has_returned (void **state)
{
  RagifyNode *node = fixture_source_new (runtime, RAGIFY_RUN_WORKER, 1, answer_with_a_tail);
  atomic_store (&most_inside, 0);
  Question questions[10] = { 0 };
  for (guint i = 0; i < G_N_ELEMENTS (questions); i++) {
    questions[i] = (Question){ .node = node, .timeout = FIXTURE_PATIENCE_US };
    ask (&questions[i], runtime->loops[i % 2]);
  }
  for (guint i = 0; i < G_N_ELEMENTS (questions); i++)
    await (&questions[i]);
  assert_int_equal (atomic_load (&most_inside), 1);
  end (node);
}

static void
submitted_tail (void *user)
{
  answer_nothing_found (user);
  g_usleep (30000);
  atomic_fetch_add (&tails, 1);
}

static void
answer_by_submitted_work (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  assert_int_equal (fixture_host ()->submit (fixture_context (instance), submitted_tail, call), RAGIFY_OK);
}

static void
a_node_is_not_destroyed_under_a_function_that_runs (void **state)
{
  void (*const queries[]) (void *instance, RagifyCall *call,
                           const RagifySourceQuery *args) = { answer_with_a_tail, answer_by_submitted_work };
  const guint32 classes[] = { RAGIFY_RUN_LOOP, RAGIFY_RUN_SHARED, RAGIFY_RUN_WORKER };
  for (guint c = 0; c < G_N_ELEMENTS (classes); c++)
    for (guint q = 0; q < G_N_ELEMENTS (queries); q++) {
      RagifyNode *node = fixture_source_new (runtime, classes[c], 0, queries[q]);
      atomic_store (&tails, 0);
      Question question = { .node = node, .timeout = FIXTURE_PATIENCE_US };
      ask (&question, runtime->loops[1]);
      await (&question);
      assert_true (ragify_node_free (node, ragify_now () + FIXTURE_PATIENCE_US));
      assert_int_equal (atomic_load (&tails), 1);
    }
}

/* ---- credit ---- */

#define EMITTED 1000u

typedef struct Emission {
  RagifyContext *context;
  RagifyCall *call;
  guint next;
  atomic_int resumed, before_wait, wrong_loop, finished;
} Emission;

static Emission emission;

static void
emit_on (Emission *self)
{
  while (self->next < EMITTED) {
    char *content = fixture_host ()->call_alloc (self->call, 16);
    const int size = g_snprintf (content, 16, "item %u", self->next);
    const RagifyChunk chunk = { .struct_size = sizeof chunk, .content = { content, (guint64)size } };
    self->next++;
    if (fixture_host ()->call_emit (self->call, &chunk) == RAGIFY_EMIT_WAIT && self->next < EMITTED)
      return;
  }
  atomic_store (&self->finished, 1);
  answer_nothing_found (self->call);
}

static void
resumed (RagifyCall *call, void *user)
{
  Emission *self = user;
  atomic_fetch_add (&self->resumed, 1);
  if (self->next == 0)
    atomic_store (&self->before_wait, 1);
  if (atomic_load (&self->finished))
    atomic_store (&self->before_wait, 2);
  if (self->context->loop != NULL && self->context->loop != ragify_loop_current ())
    atomic_store (&self->wrong_loop, 1);
  emit_on (self);
}

static void
emit_with_credit (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  emission = (Emission){ .context = instance, .call = call };
  fixture_host ()->call_on_credit (call, resumed, &emission);
  emit_on (&emission);
}

static void
credit_is_renewed_where_and_when_it_should_be (void **state)
{
  RagifyNode *node = fixture_source_new (runtime, RAGIFY_RUN_LOOP, 0, emit_with_credit);
  Question question = { .node = node, .timeout = FIXTURE_PATIENCE_US, .emitted = count_item };
  ask (&question, runtime->loops[0]);
  await (&question);
  fixture_settle (node);
  assert_int_equal (question.code, RAGIFY_OK);
  assert_int_equal (question.n_items, EMITTED);
  assert_int_equal (atomic_load (&emission.before_wait), 0);
  assert_int_equal (atomic_load (&emission.wrong_loop), 0);
  assert_true (atomic_load (&emission.resumed) >= 1);
  end (node);
}

static void
credit_comes_from_another_loop (void **state)
{
  RagifyNode *node = fixture_source_new (runtime, RAGIFY_RUN_LOOP, 0, emit_with_credit);
  /* The instance of loop 0, asked by a thread that waits. */
  static const RagifySourceQuery query = { .struct_size = sizeof query, .top_k = 10 };
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
  Question question = { 0 };
  RagifyCall *call = ragify_call_new (owner, &ragify_operation_source_query, &query,
                                      ragify_now () + FIXTURE_PATIENCE_US, NULL, &question);
  ragify_call_set_emitted (call, count_item);
  assert_int_equal (ragify_call_wait (node, call), RAGIFY_OK);
  assert_int_equal (question.n_items, EMITTED);
  assert_int_equal (atomic_load (&emission.wrong_loop), 0);
  end (node);
}

static atomic_int deaf_resumed;

static void
note_resumed (RagifyCall *call, void *user)
{
  atomic_fetch_add (&deaf_resumed, 1);
}

/* Emits as much as credit allows and completes: the renewal comes too late for it. */
static void
emit_and_complete (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  fixture_host ()->call_on_credit (call, note_resumed, NULL);
  const RagifyChunk chunk = { .struct_size = sizeof chunk };
  while (fixture_host ()->call_emit (call, &chunk) == RAGIFY_EMIT_GO) {
  }
  answer_nothing_found (call);
}

static void
no_credit_after_completion (void **state)
{
  RagifyNode *node = fixture_source_new (runtime, RAGIFY_RUN_SHARED, 0, emit_and_complete);
  atomic_store (&deaf_resumed, 0);
  Question question = { .node = node, .timeout = FIXTURE_PATIENCE_US, .emitted = count_item };
  ask (&question, runtime->loops[0]);
  await (&question);
  fixture_settle (node);
  assert_int_equal (question.code, RAGIFY_OK);
  assert_true (question.n_items > 0);
  assert_int_equal (atomic_load (&deaf_resumed), 0);
  end (node);
}

/* ---- lies ---- */

typedef struct Lie {
  const char *message;
  RagifySourceResult result;
} Lie;

static const Lie *told;
static RagifyChunk chunks[4];

static void
tell_lie (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  fixture_host ()->call_done (call, &told->result);
}

static void
lists_that_cannot_be_are_refused (void **state)
{
  const char cannot[] = "tested: query: returned a list of chunks that cannot be";
  const RagifyChunk *misaligned = (const RagifyChunk *)(const void *)((const char *)chunks + 4);
  const Lie lies[] = {
    { cannot, { .chunks = { .items = NULL, .count = 1, .stride = sizeof (RagifyChunk) } } },
    { cannot, { .chunks = { .items = chunks, .count = 2, .stride = 0 } } },
    { cannot, { .chunks = { .items = chunks, .count = 2, .stride = sizeof (RagifyChunk) - 8 } } },
    { cannot, { .chunks = { .items = chunks, .count = 2, .stride = sizeof (RagifyChunk) + 4 } } },
    { cannot, { .chunks = { .items = misaligned, .count = 1, .stride = sizeof (RagifyChunk) } } },
  };
  for (guint i = 0; i < G_N_ELEMENTS (chunks); i++)
    chunks[i].struct_size = sizeof chunks[i];
  for (guint i = 0; i < G_N_ELEMENTS (lies); i++) {
    Lie lie = lies[i];
    lie.result.struct_size = sizeof lie.result;
    told = &lie;
    RagifyNode *node = fixture_source_new (runtime, RAGIFY_RUN_SHARED, 0, tell_lie);
    const FixtureOutcome outcome = fixture_ask (node, runtime->loops[0], FIXTURE_PATIENCE_US, 0);
    assert_int_equal (outcome.code, RAGIFY_E_INTERNAL);
    assert_string_equal (outcome.message, lie.message);
    end (node);
  }
}

/* ---- life ---- */

static atomic_int stopped, destroyed;

static int32_t
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  const RagifyThreadCheckExtension *check = host->get_extension (context, RAGIFY_EXT_THREAD_CHECK);
  *instance = check->current () == RAGIFY_THREAD_CONTROL ? context : NULL;
  return RAGIFY_OK;
}

/* The second instance cannot be started. */
static void
start_once (void *instance, RagifyCall *call, const RagifyStart *args)
{
  const RagifyContext *context = instance;
  if (context->index == 0)
    fixture_host ()->call_done (call, NULL);
  else
    fixture_host ()->call_fail (call, RAGIFY_E_UNAVAILABLE, ragify_str_from ("not today"), 0);
}

static void
stop (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  atomic_fetch_add (&stopped, 1);
  fixture_host ()->call_done (call, NULL);
}

static void
destroy (void *instance)
{
  atomic_fetch_add (&destroyed, 1);
}

static void
only_started_instances_are_stopped (void **state)
{
  static const RagifySourceOperations operations = { .struct_size = sizeof operations, .query = tell_lie };
  static const RagifyComponent component = { .struct_size = sizeof component,
                                             .kind = RAGIFY_KIND_SOURCE,
                                             .name = "half-started",
                                             .run_class = RAGIFY_RUN_LOOP,
                                             .operations = &operations,
                                             .create = create,
                                             .start = start_once,
                                             .stop = stop,
                                             .destroy = destroy };
  const RagifyNodeOptions options = { .name = "half", .component = &component };
  g_autoptr (GError) error = NULL;
  RagifyNode *node = ragify_node_new (runtime, &options, &error);
  assert_non_null (node);
  const RagifyStart args = { .struct_size = sizeof args };
  assert_false (ragify_node_start (node, &args, ragify_now () + FIXTURE_PATIENCE_US, &error));
  assert_string_equal (error->message, "half: start: not today");
  assert_true (ragify_node_free (node, ragify_now () + FIXTURE_PATIENCE_US));
  assert_int_equal (atomic_load (&stopped), 1);
  assert_int_equal (atomic_load (&destroyed), 2);
}

/* ---- quotas ---- */

static RagifyQuota *quota;
static atomic_int told_available;

static void
available (void *user)
{
  atomic_fetch_add (&told_available, 1);
}

static void
use_quota (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  RagifyContext *context = fixture_context (instance);
  const RagifyQuotaExtension *quotas = fixture_host ()->get_extension (context, RAGIFY_EXT_QUOTA);
  quota = quotas->open (context, "connections", 2);
  assert_int_equal (quotas->try_acquire (quota, 2), 1);
  assert_int_equal (quotas->try_acquire (quota, 1), 0);
  quotas->notify_release (context, quota, 1, available, &told_available); /* waits, and is taken back */
  quotas->notify_release (context, quota, 1, NULL, &told_available);
  quotas->notify_release (context, quota, 2, available, NULL); /* waits until there are two */
  quotas->release (quota, 1);
  quotas->notify_release (context, quota, 1, available, NULL); /* released in between: told at once */
  quotas->release (quota, 1);
  answer_nothing_found (call);
}

static void
a_release_is_never_missed (void **state)
{
  RagifyNode *node = fixture_source_new (runtime, RAGIFY_RUN_LOOP, 0, use_quota);
  atomic_store (&told_available, 0);
  assert_int_equal (fixture_ask (node, runtime->loops[0], FIXTURE_PATIENCE_US, 0).code, RAGIFY_OK);
  fixture_settle (node);
  assert_int_equal (atomic_load (&told_available), 2);
  end (node);
}

static int
set_up (void **state)
{
  runtime = fixture_runtime_new ();
  return 0;
}

static int
tear_down (void **state)
{
  fixture_runtime_free (runtime);
  return 0;
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (what_an_abandoned_call_said_stays),
    cmocka_unit_test (calls_that_only_waited_in_the_queue_do_not_eject),
    cmocka_unit_test (a_completion_inside_the_cancel_callback_counts_once),
    cmocka_unit_test (completing_and_abandoning_at_once_is_safe),
    cmocka_unit_test (one_at_a_time_counts_until_the_function_has_returned),
    cmocka_unit_test (a_node_is_not_destroyed_under_a_function_that_runs),
    cmocka_unit_test (credit_is_renewed_where_and_when_it_should_be),
    cmocka_unit_test (credit_comes_from_another_loop),
    cmocka_unit_test (no_credit_after_completion),
    cmocka_unit_test (lists_that_cannot_be_are_refused),
    cmocka_unit_test (only_started_instances_are_stopped),
    cmocka_unit_test (a_release_is_never_missed),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, set_up, tear_down);
}
