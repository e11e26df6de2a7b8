/* source-http against a server, or a network, that does what it should not.
 *
 * SPDX-License-Identifier: MIT
 */
#include "http-fixture.h"

#include <gio/gio.h>
#include <signal.h>
#include <string.h>

#define SHORT_US 300000u /* a deadline that is meant to pass */

/* ---- gone, silent, slow, cut ---- */

static void
nobody_there_is_unavailable (void **state)
{
  HttpFixture *fixture = *state;
  const char *config[] = { "base-url=http://127.0.0.1:1/x", NULL };
  assert_non_null (http_try_open (fixture, config));
  http_expect (fixture, 0, RAGIFY_E_UNAVAILABLE, "http://127.0.0.1:1: connecting: ");
}

static void
a_name_that_nobody_has_is_unavailable (void **state)
{
  HttpFixture *fixture = *state;
  const char *config[] = { "base-url=http://no-such-host.invalid/x", NULL };
  assert_non_null (http_try_open (fixture, config));
  http_expect (fixture, 0, RAGIFY_E_UNAVAILABLE, "no-such-host.invalid:80: connecting: ");
}

static void
expect_hangup (HttpFixture *fixture, const char *behaviour)
{
  g_autofree char *event = g_strdup_printf ("{\"event\": \"hangup\", \"behaviour\": \"%s\"}", behaviour);
  if (!scripted_http_await (fixture->server, "/_events", event))
    fail_msg ("the server did not see the connection go: %s", behaviour);
  assert_true (scripted_http_await (fixture->server, "/_connections", "0"));
}

static void
silence_ends_at_the_deadline (void **state)
{
  HttpFixture *fixture = *state;
  http_open (fixture, "silent", NULL);
  http_expect (fixture, SHORT_US, RAGIFY_E_TIMEOUT, "no answer in time");
  expect_hangup (fixture, "silent");
}

static void
silence_in_the_midst_of_an_answer_ends_there_too (void **state)
{
  HttpFixture *fixture = *state;
  http_open (fixture, "silent-after-head", "read-timeout=200ms", NULL);
  http_expect (fixture, 0, RAGIFY_E_TIMEOUT, "no answer in time, reading after a part of the answer");
  expect_hangup (fixture, "silent-after-head");
}

static void
drops_never_fill_the_deadline (void **state)
{
  HttpFixture *fixture = *state;
  http_open (fixture, "drip", NULL);
  http_expect (fixture, SHORT_US, RAGIFY_E_TIMEOUT, "no answer in time");
  expect_hangup (fixture, "drip");
  http_close (fixture);
  http_open (fixture, "drip-head", NULL);
  http_expect (fixture, SHORT_US, RAGIFY_E_TIMEOUT, "no answer in time");
  expect_hangup (fixture, "drip-head");
}

static void
what_is_never_accepted_ends_at_the_connect_timeout (void **state)
{
  HttpFixture *fixture = *state;
  /* A listening socket whose queue is full: a connection to it is never made. */
  g_autoptr (GSocket) listener = g_socket_new (G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_STREAM, 0, NULL);
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new_from_string ("127.0.0.1", 0);
  g_socket_set_listen_backlog (listener, 0);
  assert_true (g_socket_bind (listener, address, TRUE, NULL) && g_socket_listen (listener, NULL));
  g_autoptr (GSocketAddress) bound = g_socket_get_local_address (listener, NULL);
  GSocket *waiting[8];
  for (guint i = 0; i < G_N_ELEMENTS (waiting); i++) {
    waiting[i] = g_socket_new (G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_STREAM, 0, NULL);
    g_socket_set_blocking (waiting[i], FALSE);
    g_socket_connect (waiting[i], bound, NULL, NULL);
  }
  g_autofree char *url = g_strdup_printf ("base-url=http://127.0.0.1:%u/x",
                                          g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (bound)));
  const char *config[] = { url, "connect-timeout=200ms", NULL };
  assert_non_null (http_try_open (fixture, config));
  http_expect (fixture, 0, RAGIFY_E_TIMEOUT, "no answer in time, connecting");
  for (guint i = 0; i < G_N_ELEMENTS (waiting); i++)
    g_object_unref (waiting[i]);
}

static void
a_stopped_server_times_out_and_comes_back (void **state)
{
  HttpFixture *fixture = *state;
  http_open (fixture, "ok", NULL);
  ragify_kit_call_free (http_ask (fixture, "x", 1, 0));
  scripted_http_signal (fixture->server, SIGSTOP);
  http_expect (fixture, SHORT_US, RAGIFY_E_TIMEOUT, "no answer in time");
  scripted_http_signal (fixture->server, SIGCONT);
  RagifyKitCall *call = http_ask (fixture, "x", 1, 0);
  http_assert_str (http_chunk (call, 0)->content, "x: passage 0");
  ragify_kit_call_free (call);
}

static void
a_restarted_server_is_asked_again (void **state)
{
  HttpFixture *fixture = *state;
  http_open (fixture, "ok", NULL);
  ragify_kit_call_free (http_ask (fixture, "x", 1, 0));
  const guint port = scripted_http_port (fixture->server);
  g_clear_pointer (&fixture->server, scripted_http_free);
  http_expect (fixture, 0, RAGIFY_E_UNAVAILABLE, "");
  fixture->server = scripted_http_new (g_getenv ("SCRIPTED_HTTP"), port);
  RagifyKitCall *call = http_ask (fixture, "back", 1, 0);
  http_assert_str (http_chunk (call, 0)->content, "back: passage 0");
  ragify_kit_call_free (call);
}

static void
answers_that_are_cut_are_no_answers (void **state)
{
  static const char *const behaviours[] = { "cut", "cut-head", "garbage" };
  HttpFixture *fixture = *state;
  for (guint i = 0; i < G_N_ELEMENTS (behaviours); i++) {
    http_open (fixture, behaviours[i], NULL);
    http_expect (fixture, 0, RAGIFY_E_UNAVAILABLE, "http://127.0.0.1:");
    http_close (fixture);
  }
  http_open (fixture, "bad-gzip", NULL); /* what could be unpacked is no whole document */
  http_expect (fixture, 0, RAGIFY_E_INTERNAL, "the answer is no JSON");
}

/* ---- cancelling ---- */

static void
a_call_that_is_cancelled_ends_at_the_server (void **state)
{
  HttpFixture *fixture = *state;
  http_open (fixture, "silent", NULL);
  const RagifySourceOperations *operations = ragify_kit_operations (fixture->source);
  const RagifySourceQuery query = { .struct_size = sizeof query, .top_k = 1, .text = ragify_str_from ("x") };
  RagifyKitCall *call = ragify_kit_begin (fixture->source, (RagifyKitFunction)operations->query, &query, 0);
  assert_true (scripted_http_await (fixture->server, "/_events", "/silent/search"));
  ragify_kit_cancel (call);
  call = ragify_kit_wait (call);
  assert_int_equal (call->code, RAGIFY_E_CANCELLED);
  ragify_kit_call_free (call);
  expect_hangup (fixture, "silent");
}

static void
a_call_that_waits_for_its_turn_can_be_cancelled (void **state)
{
  HttpFixture *fixture = *state;
  http_open (fixture, "silent", "max-connections=1", NULL);
  const RagifySourceOperations *operations = ragify_kit_operations (fixture->source);
  const RagifySourceQuery query = { .struct_size = sizeof query, .top_k = 1, .text = ragify_str_from ("x") };
  RagifyKitCall *first = ragify_kit_begin (fixture->source, (RagifyKitFunction)operations->query, &query, 0);
  assert_true (scripted_http_await (fixture->server, "/_events", "/silent/search"));
  http_expect (fixture, SHORT_US, RAGIFY_E_TIMEOUT, "no answer in time");
  ragify_kit_cancel (first);
  first = ragify_kit_wait (first);
  assert_int_equal (first->code, RAGIFY_E_CANCELLED);
  ragify_kit_call_free (first);
}

static void
cancelled_before_it_began_is_cancelled (void **state)
{
  HttpFixture *fixture = *state;
  http_open (fixture, "silent", NULL);
  const RagifySourceOperations *operations = ragify_kit_operations (fixture->source);
  const RagifySourceQuery query = { .struct_size = sizeof query, .top_k = 1, .text = ragify_str_from ("x") };
  for (guint i = 0; i < 50; i++) {
    RagifyKitCall *call = ragify_kit_begin (fixture->source, (RagifyKitFunction)operations->query, &query, 0);
    ragify_kit_cancel (call);
    call = ragify_kit_wait (call);
    assert_int_equal (call->code, RAGIFY_E_CANCELLED);
    ragify_kit_call_free (call);
  }
  assert_true (scripted_http_await (fixture->server, "/_connections", "0"));
}

/* ---- lies ---- */

static void
answers_without_bounds_are_bounded (void **state)
{
  static const char *const behaviours[] = { "endless", "huge", "bomb" };
  HttpFixture *fixture = *state;
  for (guint i = 0; i < G_N_ELEMENTS (behaviours); i++) {
    http_open (fixture, behaviours[i], "max-response-size=256KiB", NULL);
    http_expect (fixture, 0, RAGIFY_E_INTERNAL, "the answer is larger than max-response-size, 262144 bytes");
    assert_true (scripted_http_await (fixture->server, "/_connections", "0"));
    assert_true (http_stat (fixture, "bytes") < (1 << 20));
    http_close (fixture);
  }
}

static void
a_head_without_end_is_not_kept (void **state)
{
  HttpFixture *fixture = *state;
  http_open (fixture, "endless-head", NULL);
  RagifyKitCall *call = http_ask (fixture, "x", 1, 5000000);
  assert_int_equal (call->code, RAGIFY_E_UNAVAILABLE);
  ragify_kit_call_free (call);
  expect_hangup (fixture, "endless-head");
}

static void
lies_are_errors_that_say_what_was_found (void **state)
{
  static const struct {
    const char *lie, *words;
  } lies[] = {
    { "lie/not-json", "the answer is no JSON that can be read" },
    { "lie/empty", "the answer is no JSON that can be read" },
    { "lie/bad-utf8", "the answer is no JSON that can be read" },
    { "lie/nan", "the answer is no JSON that can be read" },
    { "lie/infinite", "the answer is no JSON that can be read" },
    { "lie/deep", "maximum parsing depth" },
    { "lie/many-values", "more than 400000 values" },
    { "lie/not-a-list", "no list at `results-pointer` (none is set); it has: results, total" },
    { "lie/no-content",
      "none of 2 results has a text at `content-pointer` (/content; /text; /body; /snippet); the first has: "
      "id, headline" },
  };
  HttpFixture *fixture = *state;
  for (guint i = 0; i < G_N_ELEMENTS (lies); i++) {
    http_open (fixture, lies[i].lie, NULL);
    http_expect (fixture, 0, RAGIFY_E_INTERNAL, lies[i].words);
    http_close (fixture);
  }
}

static void
what_is_good_among_lies_is_taken (void **state)
{
  HttpFixture *fixture = *state;
  http_open (fixture, "lie/wrong-types", NULL);
  RagifyKitCall *call = http_ask (fixture, "x", 50, 0);
  assert_int_equal (((const RagifySourceResult *)call->result)->chunks.count, 2); /* 5 is a text as well */
  const RagifyChunk *good = http_chunk (call, 1);
  http_assert_str (good->content, "good");
  http_assert_str (good->document_id, "");
  assert_int_equal (good->flags, 0);
  assert_true (good->score == 0 && good->created_at == 0 && good->updated_at == 0 && good->metadata.size == 0);
  ragify_kit_call_free (call);
  http_close (fixture);
  static const char *const lies[] = { "lie/nan-text", "lie/large-score", "lie/nul" };
  for (guint i = 0; i < G_N_ELEMENTS (lies); i++) {
    http_open (fixture, lies[i], NULL);
    call = http_ask (fixture, "x", 50, 0);
    assert_int_equal (http_chunk (call, 0)->flags, 0); /* no score of 0..1 was declared */
    ragify_kit_call_free (call);
    http_close (fixture);
  }
}

static void
an_empty_list_is_an_answer (void **state)
{
  HttpFixture *fixture = *state;
  http_open (fixture, "lie/none", NULL);
  RagifyKitCall *call = http_ask (fixture, "x", 5, 0);
  assert_int_equal (call->code, RAGIFY_OK);
  assert_int_equal (((const RagifySourceResult *)call->result)->chunks.count, 0);
  ragify_kit_call_free (call);
}

static void
statuses_become_codes (void **state)
{
  static const struct {
    const char *status;
    int32_t code;
  } cases[] = {
    { "status/400", RAGIFY_E_INVALID },      { "status/401", RAGIFY_E_UNAUTHORIZED },
    { "status/403", RAGIFY_E_UNAUTHORIZED }, { "status/404", RAGIFY_E_NOT_FOUND },
    { "status/429", RAGIFY_E_EXHAUSTED },    { "status/500", RAGIFY_E_UNAVAILABLE },
    { "status/503", RAGIFY_E_UNAVAILABLE },  { "status/304", RAGIFY_E_UNAVAILABLE },
  };
  HttpFixture *fixture = *state;
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    http_open (fixture, cases[i].status, NULL);
    http_expect (fixture, 0, cases[i].code, cases[i].status + strlen ("status/"));
    http_close (fixture);
  }
}

static void
retry_after_is_handed_on (void **state)
{
  HttpFixture *fixture = *state;
  http_open (fixture, "status/429/7", NULL);
  RagifyKitCall *call = http_ask (fixture, "x", 1, 0);
  assert_int_equal (call->code, RAGIFY_E_EXHAUSTED);
  assert_int_equal (call->retry_after_us, 7000000);
  ragify_kit_call_free (call);
  http_close (fixture);
  http_open (fixture, "status/503/date", NULL);
  call = http_ask (fixture, "x", 1, 0);
  assert_int_equal (call->retry_after_us, 86400000000); /* a day is the most */
  ragify_kit_call_free (call);
}

/* ---- redirects ---- */

static void
redirects_are_followed_and_counted (void **state)
{
  HttpFixture *fixture = *state;
  http_open (fixture, "redirect/307", "url={base-url}?to=/ok/search%3Fq%3D{query}%26limit%3D2", NULL);
  RagifyKitCall *call = http_ask (fixture, "x", 5, 0);
  http_assert_str (http_chunk (call, 1)->content, "x: passage 1");
  ragify_kit_call_free (call);
  assert_int_equal (http_stat (fixture, "redirects"), 1);
}

static void
a_loop_of_redirects_ends (void **state)
{
  HttpFixture *fixture = *state;
  http_open (fixture, "redirect/302", "max-redirects=3", NULL);
  http_expect (fixture, 0, RAGIFY_E_INTERNAL, "redirected 4 times, more often than max-redirects allows");
}

static void
credentials_do_not_follow_to_another_host (void **state)
{
  HttpFixture *fixture = *state;
  ScriptedHttp *other = scripted_http_new (g_getenv ("SCRIPTED_HTTP"), 0);
  g_autofree char *url =
      g_strdup_printf ("url={base-url}?to=http://127.0.0.1:%u/echo&q={query}", scripted_http_port (other));
  http_open (fixture, "redirect/302", url, "token=s3cret", "headers=X-Tenant: blue", NULL);
  RagifyKitCall *call = http_ask (fixture, "x", 5, 0);
  const RagifyStr content = http_chunk (call, 0)->content;
  assert_non_null (g_strstr_len (content.data, (gssize)content.size, "Ragify/1.0"));
  assert_null (g_strstr_len (content.data, (gssize)content.size, "s3cret"));
  assert_null (g_strstr_len (content.data, (gssize)content.size, "authorization"));
  assert_null (g_strstr_len (content.data, (gssize)content.size, "blue"));
  ragify_kit_call_free (call);
  scripted_http_free (other);
  http_close (fixture);
  g_autofree char *events = scripted_http_get (fixture->server, "/_events");
  assert_non_null (strstr (events, "Bearer s3cret")); /* the first one had them */
}

static void
a_body_does_not_follow_to_another_host (void **state)
{
  HttpFixture *fixture = *state;
  http_open (fixture, "redirect/307", "url={base-url}?to=http://localhost:9/x", "method=POST",
             "body={\"q\":\"{query}\"}", NULL);
  http_expect (fixture, 0, RAGIFY_E_INTERNAL, "with its body to another host");
}

static void
redirects_to_elsewhere_are_refused (void **state)
{
  static const char *const places[] = { "file:///etc/passwd", "ftp://h/", "http://ann:pw@h/", "//", "http://" };
  HttpFixture *fixture = *state;
  for (guint i = 0; i < G_N_ELEMENTS (places); i++) {
    g_autofree char *url = g_strdup_printf ("url={base-url}?to=%s", places[i]);
    http_open (fixture, "redirect/302", url, NULL);
    http_expect (fixture, 0, RAGIFY_E_INTERNAL, "redirected 1 times, to what is no http or https URL");
    http_close (fixture);
  }
}

/* ---- what is private ---- */

/* Numbers that are no usual address either lead inside, or are taken for a name that nobody has. */
static void
expect_refused (HttpFixture *fixture, const char *where)
{
  RagifyKitCall *call = http_ask (fixture, "question", 5, 0);
  const gboolean refused =
      call->code == RAGIFY_E_INVALID && strstr (call->message, "which is not allowed here") != NULL;
  const gboolean unknown = call->code == RAGIFY_E_UNAVAILABLE && strstr (call->message, "Error resolving") != NULL;
  if (!refused && !unknown)
    fail_msg ("%s: %d: %s", where, call->code, call->message);
  ragify_kit_call_free (call);
}

static void
redirects_to_other_private_hosts_are_refused_unless_allowed (void **state)
{
  static const char *const places[] = { "http://169.254.169.254/latest",
                                        "http://10.1.2.3/",
                                        "http://[::1]/",
                                        "http://[::ffff:10.0.0.1]/",
                                        "http://localhost/",
                                        "http://2130706433:81/",
                                        "http://0x7f.1:81/" };
  HttpFixture *fixture = *state;
  for (guint i = 0; i < G_N_ELEMENTS (places); i++) {
    g_autofree char *url = g_strdup_printf ("url={base-url}?to=%s", places[i]);
    http_open (fixture, "redirect/302", url, NULL);
    expect_refused (fixture, places[i]);
    http_close (fixture);
  }
  g_autofree char *url =
      g_strdup_printf ("url={base-url}?to=http://localhost:%u/ok?q=there", scripted_http_port (fixture->server));
  http_open (fixture, "redirect/302", url, "allow-private=true", NULL);
  RagifyKitCall *call = http_ask (fixture, "x", 1, 0);
  http_assert_str (http_chunk (call, 0)->content, "there: passage 0");
  ragify_kit_call_free (call);
}

static void
private_addresses_are_refused_before_anything_is_sent (void **state)
{
  static const char *const hosts[] = { "127.0.0.1", "localhost",       "[::1]",      "[::ffff:127.0.0.1]",
                                       "0",         "127.1",           "2130706433", "0x7f000001",
                                       "10.0.0.1",  "169.254.169.254", "192.168.1.1" };
  HttpFixture *fixture = *state;
  for (guint i = 0; i < G_N_ELEMENTS (hosts); i++) {
    g_autofree char *url = g_strdup_printf ("base-url=http://%s:%u/ok", hosts[i], scripted_http_port (fixture->server));
    const char *config[] = { url, "allow-private=false", "token=s3cret", NULL };
    assert_non_null (http_try_open (fixture, config));
    expect_refused (fixture, hosts[i]);
    http_close (fixture);
  }
  g_autofree char *events = scripted_http_get (fixture->server, "/_events");
  assert_string_equal (events, "[]");
}

/* A resolver for the names of the tests: what it says changes with each question, as an attacker's does. */
typedef struct Rebinding {
  GResolver parent;
} Rebinding;
typedef GResolverClass RebindingClass;
GType rebinding_get_type (void);
G_DEFINE_TYPE (Rebinding, rebinding, G_TYPE_RESOLVER)

static gint rebinding_asked;

static void
rebinding_lookup (GResolver *resolver, const gchar *name, GCancellable *cancellable, GAsyncReadyCallback done,
                  gpointer user)
{
  /* First an address where nothing listens (and which is not private), then the inside. */
  const char *text = g_atomic_int_add (&rebinding_asked, 1) == 0 ? "192.0.1.1" : "127.0.0.1";
  g_autoptr (GTask) task = g_task_new (resolver, cancellable, done, user);
  g_task_return_pointer (task, g_list_prepend (NULL, g_inet_address_new_from_string (text)), NULL);
}

static GList *
rebinding_finish (GResolver *resolver, GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

static void
rebinding_class_init (RebindingClass *klass)
{
  klass->lookup_by_name_async = rebinding_lookup;
  klass->lookup_by_name_finish = rebinding_finish;
}

static void
rebinding_init (Rebinding *self)
{
}

static void
a_name_that_changes_its_mind_leads_nowhere (void **state)
{
  HttpFixture *fixture = *state;
  g_autoptr (GResolver) before = g_resolver_get_default ();
  g_autoptr (GResolver) rebinding = g_object_new (rebinding_get_type (), NULL);
  g_resolver_set_default (rebinding);
  g_autofree char *url = g_strdup_printf ("base-url=http://rebinding.test:%u/ok", scripted_http_port (fixture->server));
  const char *config[] = { url, "allow-private=false", "dns-ttl=0s", NULL };
  if (http_try_open (fixture, config) == NULL)
    fail_msg ("%s", ragify_kit_error (fixture->kit));
  RagifyKitCall *call = http_ask (fixture, "x", 1, SHORT_US);
  assert_true (call->code == RAGIFY_E_TIMEOUT || call->code == RAGIFY_E_UNAVAILABLE);
  ragify_kit_call_free (call);
  http_expect (fixture, 0, RAGIFY_E_INVALID, "rebinding.test is at the private address 127.0.0.1");
  http_close (fixture);
  const gint asked = g_atomic_int_get (&rebinding_asked);
  const char *cached[] = { url, "allow-private=true", NULL }; /* the name is asked for once in all that time */
  assert_non_null (http_try_open (fixture, cached));
  for (guint i = 0; i < 3; i++)
    ragify_kit_call_free (http_ask (fixture, "x", 1, 0));
  http_close (fixture);
  assert_int_equal (g_atomic_int_get (&rebinding_asked), asked + 1);
  g_resolver_set_default (before);
  g_autofree char *events = scripted_http_get (fixture->server, "/_events");
  assert_null (strstr (events, "\"target\": \"/_"));
}

int
main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, http_set_up, http_tear_down)
  const struct CMUnitTest tests[] = {
    TEST (nobody_there_is_unavailable),
    TEST (a_name_that_nobody_has_is_unavailable),
    TEST (silence_ends_at_the_deadline),
    TEST (silence_in_the_midst_of_an_answer_ends_there_too),
    TEST (drops_never_fill_the_deadline),
    TEST (what_is_never_accepted_ends_at_the_connect_timeout),
    TEST (a_stopped_server_times_out_and_comes_back),
    TEST (a_restarted_server_is_asked_again),
    TEST (answers_that_are_cut_are_no_answers),
    TEST (a_call_that_is_cancelled_ends_at_the_server),
    TEST (a_call_that_waits_for_its_turn_can_be_cancelled),
    TEST (cancelled_before_it_began_is_cancelled),
    TEST (answers_without_bounds_are_bounded),
    TEST (a_head_without_end_is_not_kept),
    TEST (lies_are_errors_that_say_what_was_found),
    TEST (what_is_good_among_lies_is_taken),
    TEST (an_empty_list_is_an_answer),
    TEST (statuses_become_codes),
    TEST (retry_after_is_handed_on),
    TEST (redirects_are_followed_and_counted),
    TEST (a_loop_of_redirects_ends),
    TEST (credentials_do_not_follow_to_another_host),
    TEST (a_body_does_not_follow_to_another_host),
    TEST (redirects_to_elsewhere_are_refused),
    TEST (redirects_to_other_private_hosts_are_refused_unless_allowed),
    TEST (private_addresses_are_refused_before_anything_is_sent),
    TEST (a_name_that_changes_its_mind_leads_nowhere),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, http_group_tear_down);
}
