#include "http-client.h"

#include "json-reader.h"

#include <gio/gunixinputstream.h>
#include <libsoup/soup.h>
#include <string.h>
#include <unistd.h>

G_DEFINE_QUARK (ragify - http - client - error - quark, ragify_http_client_error)

struct _RagifyHttpClient {
  char *url;
  GHashTable *headers; /* name → value */
  SoupSession *session;
};

void
ragify_http_reply_free (RagifyHttpReply *reply)
{
  if (reply == NULL)
    return;
  g_free (reply->content_type);
  g_clear_pointer (&reply->body, g_bytes_unref);
  g_free (reply);
}

gboolean
ragify_http_reply_succeeded (const RagifyHttpReply *reply)
{
  return reply->status >= 200 && reply->status < 300;
}

static char *
describe_problem (const json_t *problem, guint status)
{
  const char *title = ragify_json_get_string (problem, "title");
  const char *detail = ragify_json_get_string (problem, "detail");
  const char *field = ragify_json_get_string (problem, "field");
  GString *text = g_string_new (NULL);

  g_string_append_printf (text, "%s (%u)", title != NULL ? title : "refused", status);
  if (detail != NULL)
    g_string_append_printf (text, ": %s", detail);
  if (field != NULL && (detail == NULL || strstr (detail, field) == NULL))
    g_string_append_printf (text, " (field %s)", field);
  return g_string_free (text, FALSE);
}

char *
ragify_http_reply_describe (const RagifyHttpReply *reply)
{
  gsize length = 0;
  const char *bytes = g_bytes_get_data (reply->body, &length);
  g_autoptr (RagifyJson) problem = ragify_json_parse (bytes, length, NULL);

  if (json_is_object (problem) && ragify_json_get_string (problem, "title") != NULL)
    return describe_problem (problem, reply->status);

  const char *phrase = soup_status_get_phrase (reply->status);
  gboolean text = reply->content_type != NULL && g_str_has_prefix (reply->content_type, "text/plain");
  g_autofree char *line = text ? g_strndup (bytes, MIN (length, 200)) : g_strdup ("");
  line[strcspn (line, "\r\n")] = '\0';
  return g_strdup_printf ("%s (%u)%s%s", phrase, reply->status, *line != '\0' ? ": " : "", line);
}

static char *
check_url (const char *url, GError **error)
{
  g_autoptr (GError) reason = NULL;
  g_autoptr (GUri) uri = g_uri_parse (url, G_URI_FLAGS_ENCODED, &reason);
  const char *scheme = uri != NULL ? g_uri_get_scheme (uri) : NULL;
  gboolean http = g_strcmp0 (scheme, "http") == 0 || g_strcmp0 (scheme, "https") == 0;

  if (!http || g_uri_get_host (uri) == NULL || *g_uri_get_host (uri) == '\0' || g_uri_get_query (uri) != NULL) {
    g_set_error (error, RAGIFY_HTTP_CLIENT_ERROR, RAGIFY_HTTP_CLIENT_ERROR_URL,
                 "'%s' is not the address of a server; expected http://HOST[:PORT], such as http://127.0.0.1:8080%s%s",
                 url, reason != NULL ? ": " : "", reason != NULL ? reason->message : "");
    return NULL;
  }
  char *base = g_strdup (url);
  while (g_str_has_suffix (base, "/"))
    base[strlen (base) - 1] = '\0';
  return base;
}

RagifyHttpClient *
ragify_http_client_new (const char *url, guint timeout, guint connections, GError **error)
{
  g_autofree char *base = check_url (url, error);
  if (base == NULL)
    return NULL;

  RagifyHttpClient *client = g_new0 (RagifyHttpClient, 1);
  client->url = g_steal_pointer (&base);
  const char *key = g_getenv ("RAGIFY_API_KEY");
  client->headers = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  if (key != NULL && *key != '\0')
    g_hash_table_insert (client->headers, g_strdup ("Authorization"), g_strconcat ("Bearer ", key, NULL));
  client->session =
      soup_session_new_with_options ("timeout", timeout, "max-conns", (int)connections, "max-conns-per-host",
                                     (int)connections, "user-agent", "ragify-tools/1.0", NULL);
  return client;
}

void
ragify_http_client_free (RagifyHttpClient *client)
{
  if (client == NULL)
    return;
  g_clear_object (&client->session);
  g_free (client->url);
  g_hash_table_unref (client->headers);
  g_free (client);
}

void
ragify_http_client_set_header (RagifyHttpClient *client, const char *name, const char *value)
{
  if (value != NULL)
    g_hash_table_replace (client->headers, g_strdup (name), g_strdup (value));
  else
    g_hash_table_remove (client->headers, name);
}

const char *
ragify_http_client_get_url (const RagifyHttpClient *client)
{
  return client->url;
}

static SoupMessage *
make_message (RagifyHttpClient *client, const char *method, const char *target, const char *content_type, GBytes *body,
              GError **error)
{
  g_autofree char *url = g_strconcat (client->url, target, NULL);
  SoupMessage *message = soup_message_new (method, url);
  if (message == NULL) {
    g_set_error (error, RAGIFY_HTTP_CLIENT_ERROR, RAGIFY_HTTP_CLIENT_ERROR_URL, "'%s' is not a URL", url);
    return NULL;
  }
  if (body != NULL)
    soup_message_set_request_body_from_bytes (message, content_type, body);
  soup_message_headers_replace (soup_message_get_request_headers (message), "Accept", "application/json");
  GHashTableIter headers;
  gpointer name = NULL, value = NULL;
  g_hash_table_iter_init (&headers, client->headers);
  while (g_hash_table_iter_next (&headers, &name, &value))
    soup_message_headers_replace (soup_message_get_request_headers (message), name, value);
  /* A redirect would turn a POST into a GET somewhere else; the API has none. */
  soup_message_add_flags (message, SOUP_MESSAGE_NO_REDIRECT);
  return message;
}

static RagifyHttpReply *
make_reply (SoupMessage *message, GBytes *body)
{
  SoupMessageHeaders *headers = soup_message_get_response_headers (message);
  const char *retry_after = soup_message_headers_get_one (headers, "Retry-After");
  guint64 seconds = 0;

  RagifyHttpReply *reply = g_new0 (RagifyHttpReply, 1);
  reply->status = soup_message_get_status (message);
  reply->content_type = g_strdup (soup_message_headers_get_content_type (headers, NULL));
  reply->body = body;
  if (retry_after != NULL && g_ascii_string_to_unsigned (retry_after, 10, 0, 86400, &seconds, NULL))
    reply->retry_after = (guint)seconds;
  return reply;
}

static void
explain_failure (const RagifyHttpClient *client, const GError *reason, GError **error)
{
  if (g_error_matches (reason, G_IO_ERROR, G_IO_ERROR_TIMED_OUT)) {
    guint timeout = soup_session_get_timeout (client->session);
    g_set_error (error, RAGIFY_HTTP_CLIENT_ERROR, RAGIFY_HTTP_CLIENT_ERROR_TIMEOUT,
                 "no answer from %s within %u s (--timeout allows more)", client->url, timeout);
    return;
  }
  /* GIO's sentence starts with the address ("Could not connect to 127.0.0.1: Connection refused"), which ours has
   * already. */
  const char *words = reason->message;
  if (g_error_matches (reason, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED))
    words = "Connection refused";
  g_set_error (error, RAGIFY_HTTP_CLIENT_ERROR, RAGIFY_HTTP_CLIENT_ERROR_UNREACHABLE,
               "cannot reach %s: %s. Is ragify-host running?", client->url, words);
}

RagifyHttpReply *
ragify_http_client_send (RagifyHttpClient *client, const char *method, const char *target, const char *content_type,
                         GBytes *body, GError **error)
{
  g_autoptr (SoupMessage) message = make_message (client, method, target, content_type, body, error);
  if (message == NULL)
    return NULL;

  g_autoptr (GError) reason = NULL;
  GBytes *answer = soup_session_send_and_read (client->session, message, NULL, &reason);
  if (answer == NULL) {
    explain_failure (client, reason, error);
    return NULL;
  }
  return make_reply (message, answer);
}

typedef struct {
  RagifyHttpClient *client;
  SoupMessage *message;
} PendingSend;

static void
free_pending_send (gpointer data)
{
  PendingSend *pending = data;
  g_clear_object (&pending->message);
  g_free (pending);
}

static void
on_sent (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  PendingSend *pending = g_task_get_task_data (task);
  g_autoptr (GError) reason = NULL;
  GBytes *answer = soup_session_send_and_read_finish (SOUP_SESSION (source), result, &reason);

  if (answer != NULL) {
    g_task_return_pointer (task, make_reply (pending->message, answer), (GDestroyNotify)ragify_http_reply_free);
    return;
  }
  GError *error = NULL;
  explain_failure (pending->client, reason, &error);
  g_task_return_error (task, error);
}

/* Takes the message, or the error where there is none. */
static void
send_message (RagifyHttpClient *client, SoupMessage *message, GError *error, GAsyncReadyCallback callback,
              gpointer user_data)
{
  GTask *task = g_task_new (NULL, NULL, callback, user_data);
  if (message == NULL) {
    g_task_return_error (task, error);
    g_object_unref (task);
    return;
  }
  PendingSend *pending = g_new0 (PendingSend, 1);
  pending->client = client;
  pending->message = message;
  g_task_set_task_data (task, pending, free_pending_send);
  soup_session_send_and_read_async (client->session, message, G_PRIORITY_DEFAULT, NULL, on_sent, task);
}

void
ragify_http_client_send_async (RagifyHttpClient *client, const char *method, const char *target,
                               const char *content_type, GBytes *body, GAsyncReadyCallback callback, gpointer user_data)
{
  GError *error = NULL;
  SoupMessage *message = make_message (client, method, target, content_type, body, &error);
  send_message (client, message, error, callback, user_data);
}

void
ragify_http_client_send_file_async (RagifyHttpClient *client, const char *method, const char *target,
                                    const char *content_type, int fd, guint64 size, GAsyncReadyCallback callback,
                                    gpointer user_data)
{
  GError *error = NULL;
  SoupMessage *message = make_message (client, method, target, NULL, NULL, &error);
  if (message != NULL && lseek (fd, 0, SEEK_SET) == 0) {
    g_autoptr (GInputStream) stream = g_unix_input_stream_new (fd, FALSE);
    soup_message_set_request_body (message, content_type, stream, (gssize)size);
  }
  send_message (client, message, error, callback, user_data);
}

RagifyHttpReply *
ragify_http_client_send_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}
