/* The sender against a real HTTP server in the same main loop. */
#include "tools/common/document-sender.h"

#include "tap.h"

#include <libsoup/soup.h>
#include <string.h>

/* A server of documents: refuses those whose content has "bad", once says "not now", or refuses everything. */
typedef struct {
  SoupServer *server;
  RagifyHttpClient *client;
  guint not_now;    /* how many more requests get 503 */
  guint refuse_all; /* a status for every request, 0: none */
  guint requests;
  GPtrArray *stored; /* of ids */
  char *query;
} Fixture;

static void
answer (SoupServerMessage *message, guint status, const char *type, const char *text)
{
  soup_server_message_set_status (message, status, NULL);
  soup_server_message_set_response (message, type, SOUP_MEMORY_COPY, text, strlen (text));
}

static void
store_lines (Fixture *fixture, char **lines)
{
  for (gsize i = 0; lines[i] != NULL && *lines[i] != '\0'; i++) {
    g_autoptr (RagifyRecord) record = ragify_record_parse (lines[i], strlen (lines[i]), NULL);
    assert_non_null (record);
    g_ptr_array_add (fixture->stored, g_strdup (record->id));
  }
}

static void
on_request (SoupServer *server, SoupServerMessage *message, const char *path, GHashTable *query, gpointer user_data)
{
  Fixture *fixture = user_data;
  SoupMessageBody *body = soup_server_message_get_request_body (message);
  g_autoptr (GBytes) bytes = soup_message_body_flatten (body);
  g_autofree char *text = g_strndup (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  fixture->requests++;
  g_free (fixture->query);
  fixture->query = g_strdup (g_uri_get_query (soup_server_message_get_uri (message)));

  if (fixture->refuse_all != 0)
    answer (message, fixture->refuse_all, "application/problem+json",
            "{\"title\":\"No such store\",\"detail\":\"found 'x'\",\"field\":\"store\"}");
  else if (fixture->not_now > 0) {
    fixture->not_now--;
    soup_message_headers_append (soup_server_message_get_response_headers (message), "Retry-After", "1");
    answer (message, 503, "application/problem+json", "{\"title\":\"Busy\"}");
  } else if (strstr (text, "bad") != NULL)
    answer (message, 422, "application/problem+json",
            "{\"title\":\"Unprocessable\",\"detail\":\"a bad word\",\"field\":\"content\"}");
  else {
    store_lines (fixture, lines);
    g_autofree char *json = g_strdup_printf (
        "{\"documents\":%u,\"chunks\":%u,\"unchanged\":0,\"replaced\":0,\"failed\":[],\"generation\":\"g:%u\"}",
        g_strv_length (lines) - 1, 2 * (g_strv_length (lines) - 1), fixture->requests);
    answer (message, 200, "application/json", json);
  }
}

static int
set_up (void **state)
{
  Fixture *fixture = g_new0 (Fixture, 1);
  fixture->server = soup_server_new (NULL, NULL);
  fixture->stored = g_ptr_array_new_with_free_func (g_free);
  soup_server_add_handler (fixture->server, "/v1/documents", on_request, fixture, NULL);
  if (!soup_server_listen_local (fixture->server, 0, SOUP_SERVER_LISTEN_IPV4_ONLY, NULL))
    return -1;
  GSList *uris = soup_server_get_uris (fixture->server);
  g_autofree char *url = g_strdup_printf ("http://127.0.0.1:%d/", g_uri_get_port (uris->data));
  g_slist_free_full (uris, (GDestroyNotify)g_uri_unref);
  fixture->client = ragify_http_client_new (url, 20, 2, NULL);
  *state = fixture;
  return 0;
}

static int
tear_down (void **state)
{
  Fixture *fixture = *state;
  ragify_http_client_free (fixture->client);
  soup_server_disconnect (fixture->server);
  g_object_unref (fixture->server);
  g_ptr_array_unref (fixture->stored);
  g_free (fixture->query);
  g_free (fixture);
  return 0;
}

static RagifyDocumentSender *
make_sender (const Fixture *fixture, guint batch)
{
  RagifyDocumentSenderOptions options = RAGIFY_DOCUMENT_SENDER_DEFAULTS;
  options.batch_count = batch;
  options.chunking = "none";
  options.store = "my docs";
  return ragify_document_sender_new (fixture->client, &options);
}

static gboolean
add (RagifyDocumentSender *sender, const char *id, const char *content, GError **error)
{
  g_autoptr (RagifyRecord) record = ragify_record_new (id, content);
  return ragify_document_sender_add (sender, record, error);
}

static void
documents_go_out_in_batches_and_are_added_up (void **state)
{
  Fixture *fixture = *state;
  g_autoptr (RagifyDocumentSender) sender = make_sender (fixture, 4);
  for (guint i = 0; i < 10; i++) {
    g_autofree char *id = g_strdup_printf ("d%u", i);
    assert_true (add (sender, id, "text", NULL));
  }
  assert_true (ragify_document_sender_finish (sender, NULL));
  const RagifyDocumentTotals *totals = ragify_document_sender_get_totals (sender);
  assert_int_equal (totals->documents, 10);
  assert_int_equal (totals->chunks, 20);
  assert_int_equal (totals->failures->len, 0);
  assert_int_equal (fixture->requests, 3);
  assert_int_equal (fixture->stored->len, 10);
  assert_string_equal (fixture->query, "store=my%20docs&chunking=none");
  assert_non_null (totals->generation);
}

static void
a_large_document_goes_alone (void **state)
{
  Fixture *fixture = *state;
  g_autoptr (RagifyDocumentSender) sender = make_sender (fixture, 100);
  g_autofree char *large = g_strnfill (3 * 1024 * 1024, 'x');
  assert_true (add (sender, "small", "x", NULL));
  assert_true (add (sender, "large", large, NULL));
  assert_true (add (sender, "other", "x", NULL));
  assert_true (ragify_document_sender_finish (sender, NULL));
  assert_int_equal (fixture->requests, 3);
  assert_int_equal (fixture->stored->len, 3);
}

static void
one_bad_document_is_named_and_the_others_are_stored (void **state)
{
  Fixture *fixture = *state;
  g_autoptr (RagifyDocumentSender) sender = make_sender (fixture, 16);
  for (guint i = 0; i < 16; i++) {
    g_autofree char *id = g_strdup_printf ("d%u", i);
    assert_true (add (sender, id, i == 11 ? "a bad thing" : "fine", NULL));
  }
  assert_true (ragify_document_sender_finish (sender, NULL));
  const RagifyDocumentTotals *totals = ragify_document_sender_get_totals (sender);
  assert_int_equal (totals->documents, 15);
  assert_int_equal (fixture->stored->len, 15);
  assert_int_equal (totals->failures->len, 1);
  const RagifyDocumentFailure *failure = g_ptr_array_index (totals->failures, 0);
  assert_string_equal (failure->id, "d11");
  assert_string_equal (failure->reason, "Unprocessable (422): a bad word (field content)");
}

static void
not_now_is_tried_again (void **state)
{
  Fixture *fixture = *state;
  fixture->not_now = 1;
  g_autoptr (RagifyDocumentSender) sender = make_sender (fixture, 4);
  assert_true (add (sender, "a", "x", NULL));
  assert_true (ragify_document_sender_finish (sender, NULL));
  assert_int_equal (fixture->requests, 2);
  assert_int_equal (ragify_document_sender_get_totals (sender)->documents, 1);
}

static void
a_refusal_that_meets_every_batch_ends_the_work (void **state)
{
  Fixture *fixture = *state;
  fixture->refuse_all = 404;
  g_autoptr (RagifyDocumentSender) sender = make_sender (fixture, 1);
  g_autoptr (GError) error = NULL;
  gboolean fine = TRUE;
  for (guint i = 0; i < 20 && fine; i++)
    fine = add (sender, "a", "x", &error);
  if (fine)
    fine = ragify_document_sender_finish (sender, &error);
  assert_false (fine);
  assert_int_equal (error->code, RAGIFY_DOCUMENT_SENDER_ERROR_REFUSED);
  assert_non_null (strstr (error->message, "No such store (404): found 'x' (field store)"));
  assert_true (fixture->requests < 20);
}

static void
no_server_is_an_error_that_helps (void **state)
{
  /* Port 1 of the loopback has no listener. */
  g_autoptr (RagifyHttpClient) client = ragify_http_client_new ("http://127.0.0.1:1", 5, 1, NULL);
  g_autoptr (RagifyDocumentSender) sender = ragify_document_sender_new (client, &RAGIFY_DOCUMENT_SENDER_DEFAULTS);
  g_autoptr (GError) error = NULL;
  assert_true (add (sender, "a", "x", NULL));
  assert_false (ragify_document_sender_finish (sender, &error));
  assert_int_equal (error->code, RAGIFY_HTTP_CLIENT_ERROR_UNREACHABLE);
  assert_string_equal (error->message, "cannot reach http://127.0.0.1:1: Connection refused. Is ragify-host running?");
}

static void
an_address_that_is_none_is_refused (void **state)
{
  static const char *const bad[] = { "",          "127.0.0.1:8080", "ftp://x/",     "http://",
                                     "http:///x", "http://h:99999", "http://h/?a=b" };
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GError) error = NULL;
    assert_null (ragify_http_client_new (bad[i], 1, 1, &error));
    assert_int_equal (error->code, RAGIFY_HTTP_CLIENT_ERROR_URL);
  }
}

int
main (void)
{
  cmocka_set_message_output (CM_OUTPUT_TAP);
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown (documents_go_out_in_batches_and_are_added_up, set_up, tear_down),
    cmocka_unit_test_setup_teardown (a_large_document_goes_alone, set_up, tear_down),
    cmocka_unit_test_setup_teardown (one_bad_document_is_named_and_the_others_are_stored, set_up, tear_down),
    cmocka_unit_test_setup_teardown (not_now_is_tried_again, set_up, tear_down),
    cmocka_unit_test_setup_teardown (a_refusal_that_meets_every_batch_ends_the_work, set_up, tear_down),
    cmocka_unit_test (no_server_is_an_error_that_helps),
    cmocka_unit_test (an_address_that_is_none_is_refused),
  };
  return cmocka_run_group_tests (tests, NULL, NULL);
}
