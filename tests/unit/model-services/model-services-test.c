/* embed-http and rerank-http, loaded and called as a host does it, at services of each kind, good and bad.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kit-glib.h"
#include "scripted-http.h"

#include <glib.h>
#include <math.h>
#include <string.h>

#define DIMENSION 64u

static ScriptedHttp *server;

typedef struct {
  const char *service; /* how the server behaves */
  int32_t code;
  const char *words; /* in the message */
} Fault;

static int
start_server (void **state)
{
  server = scripted_http_new (g_getenv ("MODEL_SERVER"), 0);
  return 0;
}

static int
stop_server (void **state)
{
  scripted_http_free (server);
  return 0;
}

static RagifyKit *
make_kit (void)
{
  const RagifyKitOptions options = { .quiet = 1, .poller = &ragify_kit_glib_poller };
  return ragify_kit_new (&options);
}

static void
free_kit (RagifyKit *kit)
{
  if (ragify_kit_faults (kit) > 0)
    fail_msg ("%s", ragify_kit_fault (kit, 0));
  ragify_kit_free (kit);
}

/* more: further "key=value" texts, separated by blanks. */
static RagifyKitInstance *
open_plugin (RagifyKit *kit, const char *module, const char *kind, const char *service, const char *more)
{
  g_autofree char *all =
      g_strdup_printf ("base-url=http://127.0.0.1:%u/%s/v1 model=words %s", scripted_http_port (server), service, more);
  g_auto (GStrv) config = g_strsplit (g_strstrip (all), " ", -1);
  RagifyKitInstance *instance =
      ragify_kit_open (kit, g_getenv (module), kind, "http", (const char *const *)config, NULL);
  if (instance == NULL)
    fail_msg ("%s: %s", service, ragify_kit_error (kit));
  return instance;
}

static void
assert_fails (const RagifyKitCall *call, const Fault *fault)
{
  if (call->code != fault->code || strstr (call->message, fault->words) == NULL)
    fail_msg ("%s: expected code %d and '%s', found %d and '%s'", fault->service, fault->code, fault->words, call->code,
              call->message);
}

/* ---- embeddings ---- */

static RagifyKitCall *
embed (RagifyKitInstance *instance, const RagifyStr *texts, guint count, guint64 timeout_us)
{
  const RagifyEmbedderOperations *operations = ragify_kit_operations (instance);
  const RagifyEmbedderEmbed args = { .struct_size = sizeof args,
                                     .purpose = RAGIFY_PURPOSE_DOCUMENT,
                                     .texts = { .items = texts, .count = count } };
  return ragify_kit_call (instance, (RagifyKitFunction)operations->embed, &args, timeout_us);
}

/* Equal texts have equal vectors, others do not, and all have unit length. */
static void
assert_vectors (const char *service, const char *more)
{
  const RagifyStr texts[] = { ragify_str_from ("red cars"), ragify_str_from ("green boats"),
                              ragify_str_from ("blue trains"), ragify_str_from ("red cars"), ragify_str_from ("") };
  RagifyKit *kit = make_kit ();
  RagifyKitInstance *instance = open_plugin (kit, "EMBED_HTTP", RAGIFY_KIND_EMBEDDER, service, more);
  RagifyKitCall *call = embed (instance, texts, G_N_ELEMENTS (texts), 0);
  const RagifyEmbedderEmbedResult *result = call->result;
  if (call->code != RAGIFY_OK)
    fail_msg ("%s %s: %s", service, more, call->message);
  assert_int_equal (result->vectors.count, G_N_ELEMENTS (texts));
  assert_int_equal (result->vectors.dimension, DIMENSION);
  const float *items = result->vectors.items;
  assert_memory_equal (items, items + 3 * DIMENSION, DIMENSION * sizeof *items);
  assert_memory_not_equal (items, items + DIMENSION, DIMENSION * sizeof *items);
  for (guint text = 0; text < G_N_ELEMENTS (texts); text++) {
    double squares = 0;
    for (guint i = 0; i < DIMENSION; i++)
      squares += (double)items[text * DIMENSION + i] * (double)items[text * DIMENSION + i];
    assert_true (fabs (squares - 1) < 1e-4);
  }
  ragify_kit_call_free (call);
  assert_int_equal (ragify_kit_close (instance), RAGIFY_OK);
  free_kit (kit);
}

static void
texts_become_vectors_in_each_shape (void **state)
{
  assert_vectors ("good", "");
  assert_vectors ("good", "dimension=64 encoding=base64");
  assert_vectors ("good", "dimension=64 api=tei");
  assert_vectors ("shuffled", "dimension=64 request-texts=2 parallel-requests=2");
  assert_vectors ("long", "dimension=64");
  assert_vectors ("slow", "dimension=64 request-texts=1 parallel-requests=8");
}

static void
a_bad_embedding_service_is_told_by_its_fault (void **state)
{
  static const Fault faults[] = {
    { "limited", RAGIFY_E_EXHAUSTED, "rate limit of the test" },
    { "broken", RAGIFY_E_UNAVAILABLE, "out of memory" },
    { "unauthorized", RAGIFY_E_UNAUTHORIZED, "401" },
    { "refuses", RAGIFY_E_INVALID, "too many tokens" },
    { "garbage", RAGIFY_E_INTERNAL, "no JSON" },
    { "empty", RAGIFY_E_INTERNAL, "no JSON" },
    { "no-list", RAGIFY_E_INTERNAL, "no list of embeddings" },
    { "fewer", RAGIFY_E_INTERNAL, "embeddings for" },
    { "wider", RAGIFY_E_INTERNAL, "dimension is 64" },
    { "nan", RAGIFY_E_INTERNAL, "no JSON" },
    { "null", RAGIFY_E_INTERNAL, "no number" },
    { "infinite", RAGIFY_E_INTERNAL, "not finite" },
    { "zeros", RAGIFY_E_INTERNAL, "length of 0" },
    { "twice", RAGIFY_E_INTERNAL, "index 0" },
    { "beyond", RAGIFY_E_INTERNAL, "index outside" },
    { "huge", RAGIFY_E_INTERNAL, "values" },
    { "cut", RAGIFY_E_UNAVAILABLE, "" },
  };
  const RagifyStr texts[] = { ragify_str_from ("red cars"), ragify_str_from ("green boats") };
  for (guint i = 0; i < G_N_ELEMENTS (faults); i++) {
    RagifyKit *kit = make_kit ();
    RagifyKitInstance *instance =
        open_plugin (kit, "EMBED_HTTP", RAGIFY_KIND_EMBEDDER, faults[i].service, "dimension=64");
    RagifyKitCall *call = embed (instance, texts, 2, 0);
    assert_fails (call, &faults[i]);
    assert_int_equal (call->retry_after_us, strcmp (faults[i].service, "limited") == 0 ? 7000000 : 0);
    ragify_kit_call_free (call);
    assert_int_equal (ragify_kit_close (instance), RAGIFY_OK);
    free_kit (kit);
  }
}

/* At the deadline the call times out or, where the host is quicker, is cancelled. */
static void
assert_ended (const RagifyKitCall *call)
{
  if (call->hung != 0 || (call->code != RAGIFY_E_TIMEOUT && call->code != RAGIFY_E_CANCELLED))
    fail_msg ("expected an end at the deadline, found code %d, '%s'", call->code, call->message);
}

static void
a_silent_service_ends_at_the_deadline_or_before (void **state)
{
  const RagifyStr text = ragify_str_from ("red cars");
  RagifyKit *kit = make_kit ();
  RagifyKitInstance *instance = open_plugin (kit, "EMBED_HTTP", RAGIFY_KIND_EMBEDDER, "silent", "dimension=64");
  RagifyKitCall *call = embed (instance, &text, 1, 300000);
  assert_ended (call);
  ragify_kit_call_free (call);
  assert_int_equal (ragify_kit_close (instance), RAGIFY_OK);
  instance = open_plugin (kit, "EMBED_HTTP", RAGIFY_KIND_EMBEDDER, "silent", "dimension=64 read-timeout=200ms");
  call = embed (instance, &text, 1, 0);
  assert_true (call->code != RAGIFY_OK && call->hung == 0);
  ragify_kit_call_free (call);
  assert_int_equal (ragify_kit_close (instance), RAGIFY_OK);
  free_kit (kit);
}

/* ---- reranking ---- */

static const char *const passages[] = { "cats sleep", "the lease ends in march", "the lease", "dogs and the boats" };

static RagifyKitCall *
rerank (RagifyKitInstance *instance, guint64 timeout_us)
{
  const RagifyRerankerOperations *operations = ragify_kit_operations (instance);
  RagifyChunk chunks[G_N_ELEMENTS (passages)];
  for (guint i = 0; i < G_N_ELEMENTS (passages); i++)
    chunks[i] = (RagifyChunk){ .struct_size = sizeof chunks[i], .content = ragify_str_from (passages[i]) };
  const RagifyRerank args = { .struct_size = sizeof args,
                              .top_k = 3,
                              .query = ragify_str_from ("the lease ends"),
                              .chunks = { chunks, G_N_ELEMENTS (chunks), sizeof chunks[0], 0 } };
  return ragify_kit_call (instance, (RagifyKitFunction)operations->rerank, &args, timeout_us);
}

/* The server scores by common words: three, two and one of three. */
static void
assert_order (const char *service, const char *more)
{
  static const guint32 best[] = { 1, 2, 3 };
  RagifyKit *kit = make_kit ();
  RagifyKitInstance *instance = open_plugin (kit, "RERANK_HTTP", RAGIFY_KIND_RERANKER, service, more);
  RagifyKitCall *call = rerank (instance, 0);
  const RagifyRerankResult *result = call->result;
  if (call->code != RAGIFY_OK)
    fail_msg ("%s %s: %s", service, more, call->message);
  assert_int_equal (result->ranks.count, G_N_ELEMENTS (best));
  for (guint i = 0; i < G_N_ELEMENTS (best); i++) {
    const double share = (3.0 - i) / 3;
    const double expected = strcmp (service, "logits") == 0 ? 1 / (1 + exp (5 - 10 * share)) : share;
    assert_int_equal (result->ranks.items[i].index, best[i]);
    assert_true (fabs ((double)result->ranks.items[i].score - expected) < 1e-5);
  }
  ragify_kit_call_free (call);
  assert_int_equal (ragify_kit_close (instance), RAGIFY_OK);
  free_kit (kit);
}

static void
passages_are_ranked_in_each_dialect (void **state)
{
  assert_order ("good", "");
  assert_order ("good", "api=jina");
  assert_order ("good", "api=tei");
  assert_order ("good", "request-documents=1 parallel-requests=2");
  assert_order ("slow", "api=tei request-documents=2");
  assert_order ("logits", "scores=logit");
}

static void
a_bad_reranking_service_is_told_by_its_fault_in_each_dialect (void **state)
{
  static const char *const dialects[] = { "api=cohere", "api=jina", "api=tei" };
  static const Fault faults[] = {
    { "limited", RAGIFY_E_EXHAUSTED, "rate limit of the test" },
    { "broken", RAGIFY_E_UNAVAILABLE, "out of memory" },
    { "unauthorized", RAGIFY_E_UNAUTHORIZED, "401" },
    { "refuses", RAGIFY_E_INVALID, "too many tokens" },
    { "garbage", RAGIFY_E_INTERNAL, "no JSON" },
    { "no-list", RAGIFY_E_INTERNAL, "no list of results" },
    { "fewer", RAGIFY_E_INTERNAL, "results for 4 passages" },
    { "nan", RAGIFY_E_INTERNAL, "no JSON" },
    { "null", RAGIFY_E_INTERNAL, "numbers" },
    { "twice", RAGIFY_E_INTERNAL, "two results have the index 0" },
    { "beyond", RAGIFY_E_INTERNAL, "index 1000" },
    { "logits", RAGIFY_E_INTERNAL, "scores = logit" },
    { "cut", RAGIFY_E_UNAVAILABLE, "" },
  };
  for (guint i = 0; i < G_N_ELEMENTS (faults) * G_N_ELEMENTS (dialects); i++) {
    const Fault *fault = &faults[i / G_N_ELEMENTS (dialects)];
    RagifyKit *kit = make_kit ();
    RagifyKitInstance *instance =
        open_plugin (kit, "RERANK_HTTP", RAGIFY_KIND_RERANKER, fault->service, dialects[i % G_N_ELEMENTS (dialects)]);
    RagifyKitCall *call = rerank (instance, 0);
    assert_fails (call, fault);
    assert_int_equal (call->retry_after_us, strcmp (fault->service, "limited") == 0 ? 7000000 : 0);
    ragify_kit_call_free (call);
    assert_int_equal (ragify_kit_close (instance), RAGIFY_OK);
    free_kit (kit);
  }
}

static void
a_slow_reranker_ends_at_the_deadline (void **state)
{
  RagifyKit *kit = make_kit ();
  RagifyKitInstance *instance = open_plugin (kit, "RERANK_HTTP", RAGIFY_KIND_RERANKER, "silent", "");
  RagifyKitCall *call = rerank (instance, 200000);
  assert_ended (call);
  ragify_kit_call_free (call);
  assert_int_equal (ragify_kit_close (instance), RAGIFY_OK);
  free_kit (kit);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (texts_become_vectors_in_each_shape),
    cmocka_unit_test (a_bad_embedding_service_is_told_by_its_fault),
    cmocka_unit_test (a_silent_service_ends_at_the_deadline_or_before),
    cmocka_unit_test (passages_are_ranked_in_each_dialect),
    cmocka_unit_test (a_bad_reranking_service_is_told_by_its_fault_in_each_dialect),
    cmocka_unit_test (a_slow_reranker_ends_at_the_deadline),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests_name ("model-services", tests, start_server, stop_server);
}
