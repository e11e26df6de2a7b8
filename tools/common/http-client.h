/* A client of Ragify's HTTP API over libsoup 3: one base URL, any number of requests, errors that say what to do.
 *
 * An answer with any status is a reply, not an error; errors are for requests that got no answer.
 */
#pragma once

#include <gio/gio.h>

#define RAGIFY_HTTP_CLIENT_ERROR (ragify_http_client_error_quark ())
GQuark ragify_http_client_error_quark (void);

typedef enum {
  RAGIFY_HTTP_CLIENT_ERROR_URL,         /* the base URL is not http(s)://host[:port] */
  RAGIFY_HTTP_CLIENT_ERROR_UNREACHABLE, /* no connection, or it broke before an answer */
  RAGIFY_HTTP_CLIENT_ERROR_TIMEOUT,     /* connected, and then silent for the time-out */
} RagifyHttpClientError;

/* One answer. */
typedef struct {
  guint status;       /* 200..599 */
  char *content_type; /* media type without parameters, or NULL */
  GBytes *body;       /* never NULL */
  guint retry_after;  /* seconds from Retry-After, 0 when absent or a date */
} RagifyHttpReply;

void ragify_http_reply_free (RagifyHttpReply *reply);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyHttpReply, ragify_http_reply_free)

/* TRUE for 2xx. [any] */
gboolean ragify_http_reply_succeeded (const RagifyHttpReply *reply);

/* What a refusal says, in one line (owned by the caller): from a problem document (RFC 9457) "TITLE: DETAIL (field
 * FIELD)", otherwise "HTTP STATUS" and the first line of a text body. [any] */
char *ragify_http_reply_describe (const RagifyHttpReply *reply);

typedef struct _RagifyHttpClient RagifyHttpClient;

/* Shows the server the API key in the environment's RAGIFY_API_KEY, where there is one.
 * url: http or https, with or without a path prefix. timeout: seconds of silence after which a request fails, 0 for
 * none. connections: how many requests may be under way at once. Returns NULL and sets error (…_URL) for an unusable
 * URL. [any] */
RagifyHttpClient *ragify_http_client_new (const char *url, guint timeout, guint connections, GError **error);
void ragify_http_client_free (RagifyHttpClient *client);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyHttpClient, ragify_http_client_free)

/* A header that every request carries from now on; NULL takes it away. */
void ragify_http_client_set_header (RagifyHttpClient *client, const char *name, const char *value);

/* The base URL as given, without a trailing slash. */
const char *ragify_http_client_get_url (const RagifyHttpClient *client);

/* Sends one request and waits for the whole answer. target: path with its query, starting with '/'. body may be NULL
 * (then content_type is ignored). Returns the reply (owned by the caller), or NULL with error set. Blocks; one thread
 * per client. */
RagifyHttpReply *ragify_http_client_send (RagifyHttpClient *client, const char *method, const char *target,
                                          const char *content_type, GBytes *body, GError **error);

/* The same without blocking, on the thread-default main context; the callback's source object is NULL. */
void ragify_http_client_send_async (RagifyHttpClient *client, const char *method, const char *target,
                                    const char *content_type, GBytes *body, GAsyncReadyCallback callback,
                                    gpointer user_data);
/* The same with a body of size bytes that is read from fd, from its beginning, as it is sent; fd stays open. */
void ragify_http_client_send_file_async (RagifyHttpClient *client, const char *method, const char *target,
                                         const char *content_type, int fd, guint64 size, GAsyncReadyCallback callback,
                                         gpointer user_data);
RagifyHttpReply *ragify_http_client_send_finish (GAsyncResult *result, GError **error);
