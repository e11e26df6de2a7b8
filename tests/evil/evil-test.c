/* The host survives every misdeed of the plugins beside this file, names the culprit, and the rest goes on answering.
 *
 *     evil-test FOLDER          with the plugins built from evil-*.c
 *
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/call/call-private.h"
#include "core/module/registry.h"

/* For what never comes in time, and for what does on any machine. */
#define SHORT_US 100000u
#define PATIENCE_US 180000000u

typedef struct Rig {
  const char *folder;
  RagifyRuntime runtime;
  RagifyRegistry *registry; /* with evil-calls and evil-results */
  RagifyNode *innocent;
  GPtrArray *hanging; /* nodes that could not be freed: their memory stays */
} Rig;

/* What came of a call. */
typedef struct Outcome {
  gint32 code;
  char *message;
  gsize chunks;
} Outcome;

static char *
plugin_path (const Rig *rig, const char *name)
{
  g_autofree char *file = g_strconcat (name, ".so", NULL);
  return g_build_filename (rig->folder, file, NULL);
}

static Outcome
call_node (RagifyNode *node, const RagifyOperation *operation, const void *args, guint64 patience_us)
{
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
  RagifyCall *call = ragify_call_new (owner, operation, args, ragify_now () + patience_us, NULL, NULL);
  const gint32 code = ragify_call_wait (node, call);
  gsize emitted = 0;
  ragify_call_items (call, &emitted);
  const RagifySourceResult *result = operation == &ragify_operation_source_query ? ragify_call_result (call) : NULL;
  return (Outcome){
    .code = code,
    .message = g_strdup (ragify_call_message (call)),
    .chunks = emitted + (result != NULL ? result->chunks.count : 0),
  };
}

static Outcome
query_node (RagifyNode *node, guint64 patience_us)
{
  static const RagifySourceQuery query = { .struct_size = sizeof query, .top_k = 10, .text = { "why", 3 } };
  return call_node (node, &ragify_operation_source_query, &query, patience_us);
}

static void
assert_the_rest_answers (Rig *rig)
{
  Outcome outcome = query_node (rig->innocent, PATIENCE_US);
  assert_int_equal (outcome.code, RAGIFY_OK);
  g_free (outcome.message);
}

/* A node of the component of that name; NULL with `*said` when it is refused. */
static RagifyNode *
open_node_within (Rig *rig, const char *kind, const char *name, guint64 patience_us, char **said)
{
  const RagifyComponent *component = ragify_registry_find (rig->registry, kind, name, NULL);
  if (component == NULL)
    fail_msg ("there is no component %s", name);
  const RagifyNodeOptions options = { .name = name, .component = component, .memory_limit = 32 << 20 };
  const RagifyStart start = { .struct_size = sizeof start };
  g_autoptr (GError) error = NULL;
  RagifyNode *node = ragify_node_new (&rig->runtime, &options, &error);
  if (node != NULL && ragify_node_start (node, &start, ragify_now () + patience_us, &error))
    return node;
  *said = g_strdup (error->message);
  if (node != NULL && !ragify_node_free (node, ragify_now () + SHORT_US))
    g_ptr_array_add (rig->hanging, node);
  return NULL;
}

static RagifyNode *
open_node (Rig *rig, const char *kind, const char *name, char **said)
{
  return open_node_within (rig, kind, name, PATIENCE_US, said);
}

static void
close_node (Rig *rig, RagifyNode *node)
{
  if (!ragify_node_free (node, ragify_now () + 2 * SHORT_US))
    g_ptr_array_add (rig->hanging, node);
}

/* Every message has the node's name in front: whoever reads it knows whom to ask. */
static void
assert_blames (const char *message, const char *name, const char *phrase)
{
  if (message == NULL) {
    fail_msg ("nothing was said about '%s'", name);
    return;
  }
  if (!g_str_has_prefix (message, name))
    fail_msg ("'%.200s' does not begin with '%s'", message, name);
  if (phrase != NULL && strstr (message, phrase) == NULL)
    fail_msg ("'%.200s' does not say '%s'", message, phrase);
  assert_true (g_utf8_validate (message, -1, NULL));
  assert_true (strlen (message) < 8192);
}

/* ---- modules ---- */

static void
a_wrong_module_is_refused_with_path_and_reason (void **state)
{
  Rig *rig = *state;
  static const struct {
    const char *name;
    const char *reason;
  } cases[] = {
    { "wrong-magic", "magic 464c457f" },
    { "wrong-major", "needs plugin ABI 2.0, this host speaks 1.0" },
    { "newer-minor", "needs plugin ABI 1.99, this host speaks 1.0" },
    { "short-plugin", "16 bytes" },
    { "no-id", "lacks an id" },
    { "no-components", "lacks an id, a version or its components" },
    { "short-component", "40 bytes" },
    { "no-name", "has no name" },
    { "bad-name", "has no name" },
    { "unknown-kind", "ragify.oracle/7" },
    { "unknown-run-class", "run class 77" },
    { "no-create", "lacks one of create" },
    { "no-operations", "no operations" },
    { "short-operations", "lacks the operation 'query'" },
    { "null-method", "lacks the operation 'query'" },
    { "same-component-twice", "two components 'innocent'" },
    { "reserved-key", "'deadline', which is reserved" },
    { "unknown-key-type", "unknown type 99" },
    { "small-keys", "keys are too small" },
    { "null-keys", "keys are too small" },
    { "query-gives-null", "returned nothing" },
    { "no-entry", "no symbol ragify_plugin_query" },
    { "unresolved-symbol", "ragify_symbol_that_nobody_has" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (RagifyRegistry) registry = ragify_registry_new ();
    g_autoptr (GError) error = NULL;
    g_autofree char *file = g_strconcat ("evil-entry-", cases[i].name, NULL);
    g_autofree char *path = plugin_path (rig, file);
    if (ragify_registry_load (registry, path, &error))
      fail_msg ("%s was loaded", path);
    assert_blames (error->message, path, "not loaded: ");
    assert_blames (error->message, path, cases[i].reason);
    assert_int_equal (ragify_registry_modules (registry)->len, 1);
    assert_the_rest_answers (rig);
  }
}

static void
what_is_no_module_is_refused (void **state)
{
  Rig *rig = *state;
  g_autoptr (RagifyRegistry) registry = ragify_registry_new ();
  g_autoptr (GError) missing = NULL;
  g_autoptr (GError) text = NULL;
  g_autofree char *nowhere = plugin_path (rig, "not-there");
  assert_false (ragify_registry_load (registry, nowhere, &missing));
  assert_blames (missing->message, nowhere, "No such file");

  g_autofree char *path = NULL;
  const int file = g_file_open_tmp ("evil-XXXXXX.so", &path, NULL);
  assert_true (file >= 0);
  assert_int_equal (write (file, "hello, world\n", 13), 13);
  close (file);
  assert_false (ragify_registry_load (registry, path, &text));
  assert_blames (text->message, path, NULL);
  unlink (path);
}

static void
a_second_module_of_the_same_id_is_refused (void **state)
{
  Rig *rig = *state;
  g_autoptr (RagifyRegistry) registry = ragify_registry_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *first = plugin_path (rig, "evil-entry-none");
  g_autofree char *second = plugin_path (rig, "evil-entry-none-again");
  assert_true (ragify_registry_load (registry, first, &error));
  assert_false (ragify_registry_load (registry, second, &error));
  assert_blames (error->message, second, "already loaded, from ");
  assert_non_null (strstr (error->message, first));
}

/* Why modules that nobody knows are looked at in a child process. */
static void
a_crash_in_query_costs_only_the_process_that_asks (void **state)
{
  Rig *rig = *state;
  g_autofree char *path = plugin_path (rig, "evil-entry-crash-in-query");
  fflush (NULL);
  const pid_t child = fork ();
  if (child == 0) {
    const struct rlimit none = { 0, 0 };
    setrlimit (RLIMIT_CORE, &none);
    signal (SIGABRT, SIG_DFL);
    RagifyRegistry *registry = ragify_registry_new ();
    ragify_registry_load (registry, path, NULL);
    _exit (0);
  }
  int status = 0;
  assert_int_equal (waitpid (child, &status, 0), child);
  assert_true (WIFSIGNALED (status));
  assert_the_rest_answers (rig);
}

/* ---- lives and calls ---- */

static void
a_node_that_cannot_live_is_refused_with_its_reason (void **state)
{
  Rig *rig = *state;
  static const struct {
    const char *name;
    const char *reason;
  } cases[] = {
    { "create-refused", "the moon is in the wrong place" },
    { "create-refused-silently", "did not say why" },
    { "create-nothing", "did not say why" },
    { "start-fails", "the door is locked" },
    { "start-never", "no answer within its deadline" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *said = NULL;
    assert_null (open_node_within (rig, RAGIFY_KIND_SOURCE, cases[i].name, SHORT_US, &said));
    assert_blames (said, cases[i].name, cases[i].reason);
    assert_the_rest_answers (rig);
  }
}

static void
a_misdeed_in_a_call_fails_that_call_alone (void **state)
{
  Rig *rig = *state;
  static const struct {
    const char *name;
    gint32 code;
    const char *reason;
  } cases[] = {
    { "done-never", RAGIFY_E_TIMEOUT, "no answer within its deadline" },
    { "done-late", RAGIFY_E_TIMEOUT, "no answer within its deadline" },
    { "sleeps-on-worker", RAGIFY_E_TIMEOUT, "no answer within its deadline" },
    { "fails-with-success", RAGIFY_E_INTERNAL, "all is well" },
    { "fails-with-unknown-code", RAGIFY_E_INTERNAL, "minus nine hundred" },
    { "fails-with-broken-text", RAGIFY_E_INTERNAL, "query" },
    { "fails-with-long-text", RAGIFY_E_INTERNAL, "xxx" },
    { "fails-without-text", RAGIFY_E_INTERNAL, "without saying why" },
    { "emits-without-size", RAGIFY_E_INTERNAL, "without a size" },
    { "emits-broken-text", RAGIFY_E_INTERNAL, "not UTF-8" },
    { "takes-all-memory", RAGIFY_E_EXHAUSTED, "no more memory is given" },
    { "takes-impossible-memory", RAGIFY_E_EXHAUSTED, "that much is not given" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *said = NULL;
    RagifyNode *node = open_node (rig, RAGIFY_KIND_SOURCE, cases[i].name, &said);
    assert_non_null (node);
    Outcome outcome = query_node (node, cases[i].code == RAGIFY_E_TIMEOUT ? SHORT_US : PATIENCE_US);
    if (outcome.code != cases[i].code)
      fail_msg ("%s: %d %s", cases[i].name, outcome.code, outcome.message);
    assert_blames (outcome.message, cases[i].name, cases[i].reason);
    g_free (outcome.message);
    assert_the_rest_answers (rig);
    close_node (rig, node);
  }
}

static void
emitting_without_end_is_stopped (void **state)
{
  Rig *rig = *state;
  g_autofree char *said = NULL;
  RagifyNode *node = open_node (rig, RAGIFY_KIND_SOURCE, "emits-without-end", &said);
  Outcome outcome = query_node (node, PATIENCE_US);
  assert_int_equal (outcome.code, RAGIFY_E_INTERNAL);
  assert_blames (outcome.message, "emits-without-end", "emitted");
  g_free (outcome.message);
  assert_the_rest_answers (rig);
  close_node (rig, node);
}

static void
a_second_completion_is_counted_and_ignored (void **state)
{
  Rig *rig = *state;
  static const char *const names[] = { "done-twice", "done-then-failed", "completes-no-call" };
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *said = NULL;
    RagifyNode *node = open_node (rig, RAGIFY_KIND_SOURCE, names[i], &said);
    for (int round = 0; round < 3; round++) {
      Outcome outcome = query_node (node, PATIENCE_US);
      assert_int_equal (outcome.code, RAGIFY_OK);
      assert_string_equal (outcome.message, "");
      g_free (outcome.message);
    }
    const RagifyNodeCounts counts = ragify_node_counts (node);
    assert_int_equal (counts.errors, 0);
    assert_int_equal (counts.active, 0);
    if (i < 2)
      assert_int_equal (counts.doubled, 3);
    close_node (rig, node);
    assert_the_rest_answers (rig);
  }
}

static void
a_late_completion_is_harmless_and_counted (void **state)
{
  Rig *rig = *state;
  static const char *const names[] = { "done-late", "sleeps-on-worker" };
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *said = NULL;
    RagifyNode *node = open_node (rig, RAGIFY_KIND_SOURCE, names[i], &said);
    Outcome outcome = query_node (node, SHORT_US);
    assert_int_equal (outcome.code, RAGIFY_E_TIMEOUT);
    g_free (outcome.message);
    const guint64 until = ragify_now () + PATIENCE_US;
    while ((ragify_node_counts (node).late == 0 || ragify_node_counts (node).abandoned > 0) && ragify_now () < until)
      g_usleep (5000);
    assert_int_equal (ragify_node_counts (node).late, 1);
    assert_int_equal (ragify_node_counts (node).abandoned, 0);
    assert_true (ragify_node_free (node, ragify_now () + PATIENCE_US));
    assert_the_rest_answers (rig);
  }
}

static void
too_many_hanging_calls_eject_the_node_and_no_other (void **state)
{
  Rig *rig = *state;
  const RagifyNodeOptions options = {
    .name = "hanging",
    .component = ragify_registry_find (rig->registry, RAGIFY_KIND_SOURCE, "done-never", NULL),
    .max_abandoned = 2,
  };
  const RagifyStart start = { .struct_size = sizeof start };
  g_autoptr (GError) error = NULL;
  RagifyNode *node = ragify_node_new (&rig->runtime, &options, &error);
  assert_true (ragify_node_start (node, &start, ragify_now () + PATIENCE_US, &error));
  for (int i = 0; i < 4; i++) {
    Outcome outcome = query_node (node, SHORT_US);
    assert_int_equal (outcome.code, i < 2 ? RAGIFY_E_TIMEOUT : RAGIFY_E_UNAVAILABLE);
    assert_blames (outcome.message, "hanging", i < 2 ? "no answer" : "ejected");
    g_free (outcome.message);
  }
  assert_the_rest_answers (rig);
  close_node (rig, node);
}

/* Odd, but within the contract or without consequence. */
static void
what_does_no_harm_is_answered (void **state)
{
  Rig *rig = *state;
  static const char *const names[] = {
    "create-asks-foreign-keys", "create-logs-garbage", "done-elsewhere",   "done-inline",
    "done-inline-on-loop",      "leaves-a-thread",     "emits-after-done", "uses-after-done",
  };
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *said = NULL;
    RagifyNode *node = open_node (rig, RAGIFY_KIND_SOURCE, names[i], &said);
    if (node == NULL)
      fail_msg ("%s: %s", names[i], said);
    for (int round = 0; round < 5; round++) {
      Outcome outcome = query_node (node, PATIENCE_US);
      if (outcome.code != RAGIFY_OK || outcome.chunks != 0)
        fail_msg ("%s: %d %s", names[i], outcome.code, outcome.message);
      g_free (outcome.message);
    }
    assert_true (ragify_node_free (node, ragify_now () + PATIENCE_US));
    assert_the_rest_answers (rig);
  }
  /* The threads that were left behind come back now, to a node that has gone. */
  g_usleep (400000);
  assert_the_rest_answers (rig);
}

/* ---- results ---- */

static const void *
arguments_of (const RagifyOperation *operation)
{
  static const RagifyStr text = { "why", 3 };
  static const float vector[] = { 0, 1 };
  static const uint8_t key[] = { 1, 2, 3 };
  static const RagifyChunk chunk = { .struct_size = sizeof chunk, .content = { "why", 3 } };
  static const RagifySourceQuery query = { .struct_size = sizeof query, .top_k = 10, .text = { "why", 3 } };
  static const RagifyCacheGet get = { .struct_size = sizeof get, .key = { key, sizeof key } };
  static const RagifyNothing nothing = { .struct_size = sizeof nothing };
  static const RagifyEmbedderEmbed embed = { .struct_size = sizeof embed, .purpose = 1, .texts = { &text, 1 } };
  static const RagifyStoreSearch search = { .struct_size = sizeof search, .top_k = 10, .vectors = { vector, 1, 2 } };
  static const RagifyTextSearch words = { .struct_size = sizeof words, .top_k = 10, .text = { "why", 3 } };
  static const RagifyRerank rerank = {
    .struct_size = sizeof rerank,
    .top_k = 1,
    .query = { "why", 3 },
    .chunks = { &chunk, 1, sizeof chunk, 0 },
  };
  static const RagifyExtractorExtract extract = { .struct_size = sizeof extract };
  const struct {
    const RagifyOperation *operation;
    const void *args;
  } all[] = {
    { &ragify_operation_source_query, &query },        { &ragify_operation_cache_get, &get },
    { &ragify_operation_embedder_describe, &nothing }, { &ragify_operation_embedder_embed, &embed },
    { &ragify_operation_store_search, &search },       { &ragify_operation_text_search, &words },
    { &ragify_operation_reranker_rerank, &rerank },    { &ragify_operation_extractor_extract, &extract },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (all); i++) {
    if (all[i].operation == operation)
      return all[i].args;
  }
  return NULL;
}

static void
a_result_that_cannot_be_is_an_error_of_its_node (void **state)
{
  Rig *rig = *state;
  static const struct {
    const char *name;
    const RagifyOperation *operation;
    const char *reason;
  } cases[] = {
    { "nan-score", &ragify_operation_source_query, "score that is not finite" },
    { "infinite-score", &ragify_operation_source_query, "score that is not finite" },
    { "relevance-of-2", &ragify_operation_source_query, "outside 0..1" },
    { "broken-text", &ragify_operation_source_query, "not UTF-8" },
    { "text-without-data", &ragify_operation_source_query, "not UTF-8" },
    { "small-chunk", &ragify_operation_source_query, "too small" },
    { "small-stride", &ragify_operation_source_query, "list of chunks that cannot be" },
    { "odd-stride", &ragify_operation_source_query, "list of chunks that cannot be" },
    { "items-of-null", &ragify_operation_source_query, "list of chunks that cannot be" },
    { "no-result", &ragify_operation_source_query, "without a result" },
    { "result-of-no-size", &ragify_operation_source_query, "result of no size" },
    { "broken-buffer", &ragify_operation_cache_get, "buffer that cannot be" },
    { "buffer-without-data", &ragify_operation_cache_get, "buffer that cannot be" },
    { "describes-nothing", &ragify_operation_embedder_describe, "no fingerprint" },
    { "describes-huge", &ragify_operation_embedder_describe, "dimension" },
    { "wrong-number-of-vectors", &ragify_operation_embedder_embed, "another number of vectors" },
    { "nan-vector", &ragify_operation_embedder_embed, "not finite" },
    { "vector-of-no-dimension", &ragify_operation_embedder_embed, "vectors without values" },
    { "vector-of-huge-dimension", &ragify_operation_embedder_embed, "dimension" },
    { "counts-do-not-add-up", &ragify_operation_store_search, "do not add up" },
    { "more-hits-than-asked", &ragify_operation_store_search, "more hits" },
    { "scores-of-others", &ragify_operation_store_search, "scores of others" },
    { "nan-hit", &ragify_operation_store_search, "not finite" },
    { "nan-weight", &ragify_operation_text_search, "not finite" },
    { "rank-of-nobody", &ragify_operation_reranker_rerank, "not given" },
    { "probability-of-2", &ragify_operation_reranker_rerank, "outside 0..1" },
    { "broken-piece", &ragify_operation_extractor_extract, "not UTF-8" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *said = NULL;
    RagifyNode *node = open_node (rig, cases[i].operation->kind, cases[i].name, &said);
    assert_non_null (node);
    Outcome outcome = call_node (node, cases[i].operation, arguments_of (cases[i].operation), PATIENCE_US);
    if (outcome.code != RAGIFY_E_INTERNAL)
      fail_msg ("%s: %d %s", cases[i].name, outcome.code, outcome.message);
    assert_blames (outcome.message, cases[i].name, cases[i].reason);
    g_free (outcome.message);
    assert_true (ragify_node_free (node, ragify_now () + PATIENCE_US));
    assert_the_rest_answers (rig);
  }
}

static void
surplus_passages_are_cut_and_later_members_passed_over (void **state)
{
  Rig *rig = *state;
  static const char *const names[] = { "more-than-asked", "result-of-a-later-version" };
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *said = NULL;
    RagifyNode *node = open_node (rig, RAGIFY_KIND_SOURCE, names[i], &said);
    Outcome outcome = query_node (node, PATIENCE_US);
    assert_int_equal (outcome.code, RAGIFY_OK);
    assert_int_equal (outcome.chunks, i == 0 ? 10 : 0);
    g_free (outcome.message);
    assert_true (ragify_node_free (node, ragify_now () + PATIENCE_US));
  }
}

/* ---- all together ---- */

static int
open_rig (void **state)
{
  Rig *rig = *state;
  rig->runtime.n_loops = 2;
  rig->runtime.loops = g_new0 (RagifyLoop *, 2);
  for (guint i = 0; i < 2; i++)
    rig->runtime.loops[i] = ragify_loop_new (i);
  rig->runtime.workers = ragify_workers_new (2, 1000);
  rig->runtime.metrics = ragify_metrics_new ();
  rig->registry = ragify_registry_new ();
  static GPtrArray *hanging; /* still reachable at the end: what hangs is left behind on purpose */
  hanging = rig->hanging = g_ptr_array_new ();
  static const char *const names[] = { "evil-calls", "evil-results", "evil-entry-none" };
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autoptr (GError) error = NULL;
    g_autofree char *path = plugin_path (rig, names[i]);
    if (!ragify_registry_load (rig->registry, path, &error))
      fail_msg ("%s", error->message);
  }
  g_autofree char *said = NULL;
  rig->innocent = open_node (rig, RAGIFY_KIND_SOURCE, "innocent", &said);
  return rig->innocent != NULL && hanging != NULL ? 0 : -1;
}

static int
close_rig (void **state)
{
  Rig *rig = *state;
  if (!ragify_node_free (rig->innocent, ragify_now () + PATIENCE_US) ||
      ragify_workers_free (rig->runtime.workers, PATIENCE_US) != 0)
    return -1;
  for (guint i = 0; i < 2; i++)
    ragify_loop_free (rig->runtime.loops[i]);
  g_free (rig->runtime.loops);
  ragify_registry_free (rig->registry);
  /* Hanging nodes still point to their metrics, which stay with them. */
  return 0;
}

int
main (int argc, char **argv)
{
  static Rig rig;
  rig.folder = argc > 1 ? argv[1] : ".";
  /* What misbehaves is reported as a warning, and must not be taken for a fault of the host's. */
  g_log_set_always_fatal (0);
  struct CMUnitTest tests[] = {
    cmocka_unit_test (a_wrong_module_is_refused_with_path_and_reason),
    cmocka_unit_test (what_is_no_module_is_refused),
    cmocka_unit_test (a_second_module_of_the_same_id_is_refused),
    cmocka_unit_test (a_crash_in_query_costs_only_the_process_that_asks),
    cmocka_unit_test (a_node_that_cannot_live_is_refused_with_its_reason),
    cmocka_unit_test (a_misdeed_in_a_call_fails_that_call_alone),
    cmocka_unit_test (emitting_without_end_is_stopped),
    cmocka_unit_test (a_second_completion_is_counted_and_ignored),
    cmocka_unit_test (a_late_completion_is_harmless_and_counted),
    cmocka_unit_test (too_many_hanging_calls_eject_the_node_and_no_other),
    cmocka_unit_test (what_does_no_harm_is_answered),
    cmocka_unit_test (a_result_that_cannot_be_is_an_error_of_its_node),
    cmocka_unit_test (surplus_passages_are_cut_and_later_members_passed_over),
  };
  for (gsize i = 0; i < G_N_ELEMENTS (tests); i++)
    tests[i].initial_state = &rig;
  cmocka_set_message_output (CM_OUTPUT_TAP);
  void *state = &rig;
  if (open_rig (&state) != 0)
    return 1;
  const int failed = cmocka_run_group_tests (tests, NULL, NULL);
  return failed != 0 || close_rig (&state) != 0;
}
