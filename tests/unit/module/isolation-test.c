/* A plugin in a process of its own: every kind's calls go there and back, and what it does to its process costs its own
 * node alone.
 *
 *     isolation-test RAGIFY-HOST SAMPLE.so
 *
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/call/call-private.h"
#include "core/call/stream.h"
#include "core/module/context.h"
#include "core/module/isolation.h"
#include "core/module/registry.h"

#define PATIENCE_US (60 * G_USEC_PER_SEC)
#define SHORT_US 200000u

static const char *executable, *module;
static char word[64];

typedef struct Rig {
  RagifyRuntime runtime;
  RagifyRegistry *registry;
} Rig;

static int
set_up (void **state)
{
  Rig *rig = g_new0 (Rig, 1);
  g_autoptr (GError) error = NULL;
  rig->runtime.n_loops = 2;
  rig->runtime.loops = g_new0 (RagifyLoop *, 2);
  for (guint i = 0; i < 2; i++)
    rig->runtime.loops[i] = ragify_loop_new (i);
  rig->runtime.metrics = ragify_metrics_new ();
  rig->runtime.workers = ragify_workers_new (4, 1000);
  rig->registry = ragify_registry_new ();
  if (!ragify_registry_load (rig->registry, module, &error))
    fail_msg ("%s", error->message);
  *state = rig;
  return 0;
}

static int
tear_down (void **state)
{
  Rig *rig = *state;
  assert_int_equal (ragify_workers_free (rig->runtime.workers, PATIENCE_US), 0);
  for (guint i = 0; i < 2; i++)
    ragify_loop_free (rig->runtime.loops[i]);
  ragify_metrics_free (rig->runtime.metrics);
  ragify_registry_free (rig->registry);
  g_free (rig->runtime.loops);
  g_free (rig);
  return 0;
}

static gint32
get_word (void *user, const char *key, guint32 type, void *value)
{
  if (!g_str_equal (key, "word") || type != RAGIFY_KEY_STRING || *word == '\0')
    return RAGIFY_E_NOT_FOUND;
  *(RagifyStr *)value = ragify_str_from (word);
  return RAGIFY_OK;
}

static RagifyNode *
open_node (Rig *rig, const char *kind, const char *component, RagifyIsolationOptions isolation, char **said)
{
  RagifyNodeOptions options = { .name = "isolated",
                                .component = ragify_registry_find (rig->registry, kind, component, NULL),
                                .values = { .get = get_word },
                                .memory_limit = 64 << 20 };
  const RagifyStart start = { .struct_size = sizeof start };
  g_autoptr (GError) error = NULL;
  isolation.executable = executable;
  if (isolation.hang_us == 0)
    isolation.hang_us = PATIENCE_US; /* a machine that pauses is no child that hangs */
  assert_true (ragify_isolation_wrap (&options, &isolation, &error));
  RagifyNode *node = ragify_node_new (&rig->runtime, &options, &error);
  assert_non_null (node);
  if (ragify_node_start (node, &start, ragify_now () + PATIENCE_US, &error))
    return node;
  if (said == NULL)
    fail_msg ("%s", error->message);
  else
    *said = g_strdup (error->message);
  ragify_node_free (node, ragify_now () + PATIENCE_US);
  return NULL;
}

static RagifyNode *
open_source (Rig *rig, const char *component)
{
  return open_node (rig, RAGIFY_KIND_SOURCE, component, (RagifyIsolationOptions){ 0 }, NULL);
}

typedef struct Answer {
  gint32 code;
  char *message, *content;
  gsize items;
  guint64 retry_after;
} Answer;

static void
answer_clear (Answer *answer)
{
  g_free (answer->message);
  g_free (answer->content);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Answer, answer_clear)

static Answer
ask_within (RagifyNode *node, const char *text, guint top_k, guint64 patience)
{
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
  /* A call that nobody waits for any longer goes on reading its arguments. */
  RagifySourceQuery *query = ragify_arena_alloc (owner->arena, sizeof *query);
  const gsize size = strlen (text);
  *query = (RagifySourceQuery){ .struct_size = sizeof *query,
                                .top_k = top_k,
                                .text = ragify_str (ragify_arena_copy (owner->arena, text, size), size) };
  RagifyCall *call =
      ragify_call_new (owner, &ragify_operation_source_query, query, ragify_now () + patience, NULL, NULL);
  Answer answer = { .code = ragify_call_wait (node, call) };
  answer.message = g_strdup (ragify_call_message (call));
  answer.retry_after = ragify_call_retry_after (call);
  const void *const *items = ragify_call_items (call, &answer.items);
  for (gsize i = 0; i < answer.items; i++)
    assert_int_equal (((const RagifyChunk *)items[i])->ordinal, i);
  const RagifySourceResult *result = ragify_call_result (call);
  if (result != NULL && result->chunks.count > 0)
    answer.content = g_strndup (result->chunks.items[0].content.data, result->chunks.items[0].content.size);
  return answer;
}

static Answer
ask (RagifyNode *node, const char *text)
{
  return ask_within (node, text, 1, PATIENCE_US);
}

static void
assert_answers (RagifyNode *node)
{
  g_auto (Answer) answer = { 0 };
  for (const guint64 until = ragify_now () + PATIENCE_US; ragify_now () < until; g_usleep (5000)) {
    answer_clear (&answer);
    answer = ask (node, "hello");
    if (answer.code == RAGIFY_OK)
      break;
    assert_int_equal (answer.code, RAGIFY_E_UNAVAILABLE);
  }
  assert_string_equal (answer.content, "red: hello");
}

static void
assert_says (const char *message, const char *phrase)
{
  if (message == NULL || strstr (message, phrase) == NULL)
    fail_msg ("'%s' does not say '%s'", message != NULL ? message : "", phrase);
}

static void
assert_succeeds (RagifyNode *node, RagifyCall *call)
{
  if (ragify_call_wait (node, call) != RAGIFY_OK)
    fail_msg ("%s", ragify_call_message (call));
}

static double
restarts (Rig *rig)
{
  return ragify_series_value (ragify_metrics_series (
      rig->runtime.metrics, RAGIFY_SERIES_COUNTER, "ragify_node_process_restarts_total", "", "node", "isolated", NULL));
}

/* ---- the same as in the host's own process ---- */

static void
calls_of_every_run_class_go_there_and_back (void **state)
{
  static const char *const names[] = { "told-shared", "told-loop", "told-worker" };
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++) {
    RagifyNode *node = open_source (*state, names[i]);
    assert_answers (node);
    g_auto (Answer) failed = ask (node, "fail");
    assert_int_equal (failed.code, RAGIFY_E_EXHAUSTED);
    assert_string_equal (failed.message, "isolated: query: not today");
    assert_int_equal (failed.retry_after, 1234567);
    g_auto (Answer) late = ask_within (node, "forget", 1, SHORT_US);
    assert_int_equal (late.code, RAGIFY_E_TIMEOUT);
    g_auto (Answer) emitted = ask_within (node, "emit", 5000, PATIENCE_US);
    assert_int_equal (emitted.code, RAGIFY_OK);
    assert_int_equal (emitted.items, 5000);
    assert_answers (node);
    ragify_node_free (node, ragify_now () + SHORT_US);
  }
  assert_true (restarts (*state) == 0);
}

typedef struct Slow {
  guint taken;
  guint64 next;
} Slow;

static void
take_slowly (RagifyCall *call, const void *item, void *user)
{
  Slow *slow = user;
  assert_int_equal (((const RagifyChunk *)item)->ordinal, slow->next++);
  if (++slow->taken % 100 == 0)
    g_usleep (2000);
}

static void
items_wait_for_a_slow_consumer (void **state)
{
  RagifyNode *node = open_source (*state, "told-worker");
  const RagifySourceQuery query = { .struct_size = sizeof query, .top_k = 3000, .text = { "emit", 4 } };
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
  Slow slow = { 0 };
  RagifyCall *call =
      ragify_call_new (owner, &ragify_operation_source_query, &query, ragify_now () + PATIENCE_US, NULL, &slow);
  ragify_call_set_emitted (call, take_slowly);
  assert_succeeds (node, call);
  assert_int_equal (slow.taken, 3000);
  assert_true (ragify_node_free (node, ragify_now () + PATIENCE_US));
}

static void
buffers_go_there_and_back_whatever_their_size (void **state)
{
  static const gsize sizes[] = { 0, 1, 1000, (1 << 20) - 16, 1 << 20, 48 << 20 };
  RagifyNode *node = open_node (*state, RAGIFY_KIND_CACHE, "one-value", (RagifyIsolationOptions){ 0 }, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++) {
    guint8 *data = NULL;
    RagifyBuffer *buffer = ragify_host ()->buffer_new (sizes[i], &data);
    for (gsize k = 0; k < sizes[i]; k++)
      data[k] = (guint8)(k * 7 + k / 4096);
    const RagifyCacheSet set = { .struct_size = sizeof set, .key = { (const uint8_t *)"k", 1 }, .value = buffer };
    const RagifyCacheGet get = { .struct_size = sizeof get, .key = set.key };
    g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
    assert_succeeds (
        node, ragify_call_new (owner, &ragify_operation_cache_set, &set, ragify_now () + PATIENCE_US, NULL, NULL));
    RagifyCall *call =
        ragify_call_new (owner, &ragify_operation_cache_get, &get, ragify_now () + PATIENCE_US, NULL, NULL);
    assert_succeeds (node, call);
    const RagifyCacheGetResult *got = ragify_call_result (call);
    assert_int_equal (got->value->size, sizes[i]);
    assert_int_equal (got->ttl_us, 7);
    if (sizes[i] > 0)
      assert_memory_equal (got->value->data, data, sizes[i]);
    got->value->unref (got->value);
    buffer->unref (buffer);
  }
  assert_true (ragify_node_free (node, ragify_now () + PATIENCE_US));
}

typedef struct Feed {
  RagifyStream stream;
  gsize left;
} Feed;

static int64_t
feed (RagifyStream *stream, uint8_t *data, uint64_t capacity)
{
  Feed *own = (Feed *)stream;
  const gsize size = MIN (own->left, MIN (capacity, 3000));
  memset (data, 3, size);
  own->left -= size;
  return (int64_t)size;
}

static void
streams_are_read_across (void **state)
{
  RagifyNode *node = open_node (*state, RAGIFY_KIND_EXTRACTOR, "summing", (RagifyIsolationOptions){ 0 }, NULL);
  Feed own = { .stream.read = feed, .left = 1000000 };
  const RagifyExtractorExtract extract = { .struct_size = sizeof extract, .stream = &own.stream };
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
  RagifyCall *call =
      ragify_call_new (owner, &ragify_operation_extractor_extract, &extract, ragify_now () + PATIENCE_US, NULL, NULL);
  assert_succeeds (node, call);
  gsize count = 0;
  const RagifyPiece *const *pieces = (const RagifyPiece *const *)ragify_call_items (call, &count);
  assert_int_equal (count, 1);
  g_autofree char *text = g_strndup (pieces[0]->text.data, pieces[0]->text.size);
  assert_string_equal (text, "1000000 bytes, sum 3000000");
  assert_int_equal (((const RagifyExtractorExtractResult *)ragify_call_result (call))->title.size, 5);
  assert_true (ragify_node_free (node, ragify_now () + PATIENCE_US));
}

static void
ranks_go_there_and_back (void **state)
{
  RagifyNode *node = open_node (*state, RAGIFY_KIND_RERANKER, "by-length", (RagifyIsolationOptions){ 0 }, NULL);
  const RagifyChunk chunks[] = { { .struct_size = sizeof chunks[0], .content = { "abc", 3 } },
                                 { .struct_size = sizeof chunks[0], .content = { "abcdef", 6 } } };
  const RagifyRerank rerank = { .struct_size = sizeof rerank,
                                .top_k = 2,
                                .query = { "q", 1 },
                                .chunks = { .items = chunks, .count = 2, .stride = sizeof chunks[0] } };
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
  RagifyCall *call =
      ragify_call_new (owner, &ragify_operation_reranker_rerank, &rerank, ragify_now () + PATIENCE_US, NULL, NULL);
  assert_succeeds (node, call);
  const RagifyRerankResult *result = ragify_call_result (call);
  assert_int_equal (result->ranks.count, 2);
  assert_true (result->ranks.items[1].score > 0.05f);
  assert_true (ragify_node_free (node, ragify_now () + PATIENCE_US));
}

static void
cancelling_reaches_the_child (void **state)
{
  RagifyNode *node = open_source (*state, "told-worker");
  for (int i = 0; i < 20; i++) {
    const RagifySourceQuery query = { .struct_size = sizeof query, .top_k = 1, .text = { "wait", 4 } };
    g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
    RagifyCall *call =
        ragify_call_new (owner, &ragify_operation_source_query, &query, ragify_now () + PATIENCE_US, NULL, NULL);
    ragify_call_begin (node, call);
    g_usleep (i % 2 == 0 ? 0 : 3000);
    ragify_call_cancel (call);
    assert_int_equal (ragify_call_end (call), RAGIFY_E_CANCELLED);
  }
  assert_answers (node);
  assert_true (ragify_node_free (node, ragify_now () + PATIENCE_US));
}

static void
a_refusal_says_what_the_component_said (void **state)
{
  static const struct {
    const char *word, *phrase;
  } cases[] = { { "refuse", "no such word" }, { "never", "the door is locked" } };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *said = NULL;
    g_strlcpy (word, cases[i].word, sizeof word);
    assert_null (open_node (*state, RAGIFY_KIND_SOURCE, "told-shared", (RagifyIsolationOptions){ 0 }, &said));
    assert_true (g_str_has_prefix (said, "isolated: start: in its own process: "));
    assert_says (said, cases[i].phrase);
  }
  g_strlcpy (word, "red", sizeof word);
}

static void
new_values_arrive_and_outlive_a_crash (void **state)
{
  RagifyNode *node = open_source (*state, "told-shared");
  const RagifyStr key = { "word", 4 };
  const RagifyReconfigure args = { .struct_size = sizeof args, .keys = { &key, 1 } };
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
  g_strlcpy (word, "blue", sizeof word);
  RagifyCall *call =
      ragify_call_new (owner, &ragify_operation_reconfigure, &args, ragify_now () + PATIENCE_US, NULL, NULL);
  assert_succeeds (node, call);
  g_auto (Answer) before = ask (node, "sky");
  assert_string_equal (before.content, "blue: sky");
  g_auto (Answer) crashed = ask (node, "crash");
  assert_int_equal (crashed.code, RAGIFY_E_UNAVAILABLE);
  g_auto (Answer) after = { .code = RAGIFY_E_UNAVAILABLE };
  for (const guint64 until = ragify_now () + PATIENCE_US; after.code != RAGIFY_OK && ragify_now () < until;) {
    answer_clear (&after);
    after = ask (node, "sky");
  }
  assert_string_equal (after.content, "blue: sky");
  g_strlcpy (word, "red", sizeof word);
  assert_true (ragify_node_free (node, ragify_now () + PATIENCE_US));
}

/* ---- what a child may and may not ---- */

static void
the_child_inherits_no_secrets_and_is_another_process (void **state)
{
  g_setenv ("MY_SECRET", "squeamish ossifrage", TRUE);
  RagifyNode *node = open_source (*state, "told-shared");
  g_auto (Answer) answer = ask (node, "process");
  int pid = 0, parent = 0, secrets = 1;
  assert_int_equal (sscanf (answer.content, "%d %d %d", &pid, &parent, &secrets), 3);
  assert_int_equal (parent, getpid ());
  assert_true (pid != parent);
  assert_int_equal (secrets, 0);
  g_autofree char *folder = g_strdup_printf ("/proc/%d/fd", pid);
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  guint inherited = 0;
  for (const char *name = g_dir_read_name (dir); name != NULL; name = g_dir_read_name (dir)) {
    g_autofree char *path = g_build_filename (folder, name, NULL);
    g_autofree char *target = g_file_read_link (path, NULL);
    inherited += target != NULL && strstr (target, module) != NULL;
  }
  assert_int_equal (inherited, 0);
  g_unsetenv ("MY_SECRET");
  assert_true (ragify_node_free (node, ragify_now () + PATIENCE_US));
  assert_int_equal (kill (pid, 0), -1); /* it has ended with its node */
}

static void
metrics_of_the_child_are_the_nodes (void **state)
{
  Rig *rig = *state;
  RagifyNode *node = open_source (rig, "told-worker");
  RagifySeries *series = ragify_metrics_series (rig->runtime.metrics, RAGIFY_SERIES_COUNTER,
                                                "ragify_plugin_sample_asked", "", "node", "isolated", NULL);
  const double before = ragify_series_value (series);
  for (int i = 0; i < 10; i++)
    assert_answers (node);
  for (const guint64 until = ragify_now () + PATIENCE_US; ragify_now () < until; g_usleep (1000))
    if (ragify_series_value (series) - before >= 10)
      break;
  assert_true (ragify_series_value (series) - before == 10);
  assert_true (ragify_node_free (node, ragify_now () + PATIENCE_US));
}

static void
assert_survives (Rig *rig, const char *component, const char *misdeed, RagifyIsolationOptions isolation,
                 const char *phrase)
{
  RagifyNode *node = open_node (rig, RAGIFY_KIND_SOURCE, component, isolation, NULL);
  const double before = restarts (rig);
  g_auto (Answer) answer = ask (node, misdeed);
  if (answer.code != RAGIFY_E_UNAVAILABLE)
    fail_msg ("%s: %d %s", misdeed, answer.code, answer.message);
  assert_true (g_str_has_prefix (answer.message, "isolated: query: its process is gone: "));
  assert_says (answer.message, phrase);
  assert_answers (node);
  assert_true (restarts (rig) >= before + 1);
  assert_true (ragify_node_free (node, ragify_now () + PATIENCE_US));
}

static void
a_crash_costs_a_restart_and_is_named (void **state)
{
  static const char *const components[] = { "told-shared", "told-loop", "told-worker" };
  for (gsize i = 0; i < G_N_ELEMENTS (components); i++)
    assert_survives (*state, components[i], "crash", (RagifyIsolationOptions){ 0 }, "signal 11 (Segmentation fault)");
  assert_survives (*state, "told-worker", "exit", (RagifyIsolationOptions){ 0 }, "it exited with code 3");
}

static void
a_hang_costs_a_restart_and_is_named (void **state)
{
  const RagifyIsolationOptions isolation = { .hang_us = 1000000 };
  assert_survives (*state, "told-loop", "hang", isolation, "it did not answer for 1.0 s");
  RagifyNode *node = open_node (*state, RAGIFY_KIND_SOURCE, "told-worker", isolation, NULL);
  const double before = restarts (*state);
  for (int i = 0; i < 4; i++) {
    g_auto (Answer) late = ask_within (node, "hang", 1, SHORT_US);
    assert_int_equal (late.code, RAGIFY_E_TIMEOUT);
  }
  assert_answers (node); /* all four places were taken */
  assert_true (restarts (*state) > before);
  assert_true (ragify_node_free (node, ragify_now () + PATIENCE_US));
}

static void
growing_costs_a_restart_and_is_named (void **state)
{
  const RagifyIsolationOptions isolation = { .memory = 400 << 20 };
  assert_survives (*state, "told-worker", "grow", isolation, "more than isolation-memory = 400 MiB");
}

/* What is written over may be noticed at once, when the child falls silent, or never, where it was about to be written
 * anyway. The host goes on in any case, and so does the node. */
static void
writing_over_the_shared_memory_harms_the_node_alone (void **state)
{
  for (int i = 0; i < 3; i++) {
    const RagifyIsolationOptions isolation = { .hang_us = PATIENCE_US / 10 };
    RagifyNode *node = open_node (*state, RAGIFY_KIND_SOURCE, "told-shared", isolation, NULL);
    g_auto (Answer) answer = ask (node, "scribble");
    assert_true (answer.code == RAGIFY_OK || answer.code == RAGIFY_E_UNAVAILABLE);
    assert_answers (node);
    assert_true (ragify_node_free (node, ragify_now () + PATIENCE_US));
  }
}

static void
a_child_that_cannot_be_made_is_refused (void **state)
{
  const char *own = executable;
  g_autofree char *said = NULL;
  executable = "/nowhere/ragify-host";
  assert_null (open_node (*state, RAGIFY_KIND_SOURCE, "told-shared", (RagifyIsolationOptions){ 0 }, &said));
  assert_says (said, "/nowhere/ragify-host");
  executable = "/bin/true";
  g_free (said);
  assert_null (open_node (*state, RAGIFY_KIND_SOURCE, "told-shared", (RagifyIsolationOptions){ 0 }, &said));
  assert_says (said, "it exited with code 0");
  executable = own;
}

/* ---- many at once ---- */

typedef struct Client {
  RagifyNode *node;
  guint answered, refused;
} Client;

static gpointer
ask_on_and_on (gpointer data)
{
  Client *client = data;
  for (guint i = 0; i < 50; i++) {
    g_auto (Answer) answer = ask (client->node, i == 25 ? "crash" : "hello");
    client->answered += answer.code == RAGIFY_OK;
    client->refused += answer.code == RAGIFY_E_UNAVAILABLE;
  }
  return NULL;
}

static void
no_call_is_lost_when_many_are_under_way (void **state)
{
  Client clients[8];
  GThread *threads[G_N_ELEMENTS (clients)];
  RagifyNode *node = open_source (*state, "told-worker");
  for (gsize i = 0; i < G_N_ELEMENTS (clients); i++) {
    clients[i] = (Client){ .node = node };
    threads[i] = g_thread_new ("client", ask_on_and_on, &clients[i]);
  }
  for (gsize i = 0; i < G_N_ELEMENTS (clients); i++) {
    g_thread_join (threads[i]);
    assert_int_equal (clients[i].answered + clients[i].refused, 50);
  }
  assert_answers (node);
  assert_int_equal (ragify_node_counts (node).active, 0);
  assert_true (ragify_node_free (node, ragify_now () + PATIENCE_US));
}

int
main (int argc, char **argv)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (calls_of_every_run_class_go_there_and_back),
    cmocka_unit_test (items_wait_for_a_slow_consumer),
    cmocka_unit_test (buffers_go_there_and_back_whatever_their_size),
    cmocka_unit_test (streams_are_read_across),
    cmocka_unit_test (ranks_go_there_and_back),
    cmocka_unit_test (cancelling_reaches_the_child),
    cmocka_unit_test (a_refusal_says_what_the_component_said),
    cmocka_unit_test (new_values_arrive_and_outlive_a_crash),
    cmocka_unit_test (the_child_inherits_no_secrets_and_is_another_process),
    cmocka_unit_test (metrics_of_the_child_are_the_nodes),
    cmocka_unit_test (a_crash_costs_a_restart_and_is_named),
    cmocka_unit_test (a_hang_costs_a_restart_and_is_named),
    cmocka_unit_test (growing_costs_a_restart_and_is_named),
    cmocka_unit_test (writing_over_the_shared_memory_harms_the_node_alone),
    cmocka_unit_test (a_child_that_cannot_be_made_is_refused),
    cmocka_unit_test (no_call_is_lost_when_many_are_under_way),
  };
  if (argc < 3)
    return 2;
  executable = argv[1];
  module = argv[2];
  g_strlcpy (word, "red", sizeof word);
  if (argc > 3)
    cmocka_set_test_filter (argv[3]);
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests_name ("isolation", tests, set_up, tear_down);
}
