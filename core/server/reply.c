/* SPDX-License-Identifier: MIT */
#include "reply.h"

#include <string.h>
#include <time.h>
#include <xxhash.h>

#include "compress.h"

/* Up to here one copy costs less than one more system call. */
#define COPY_LIMIT 65536

static void
add_common (struct MHD_Response *response, const char *content_type, const char *request_id, gboolean close)
{
  if (content_type != NULL)
    MHD_add_response_header (response, "Content-Type", content_type);
  if (request_id != NULL)
    MHD_add_response_header (response, "X-Request-Id", request_id);
  if (close)
    MHD_add_response_header (response, "Connection", "close");
}

static void
add_retry_after (struct MHD_Response *response, guint seconds)
{
  if (seconds == 0)
    return;
  char text[16];
  g_snprintf (text, sizeof text, "%u", seconds);
  MHD_add_response_header (response, "Retry-After", text);
}

/* What a cache in between must know of the coding. */
static void
add_coding (struct MHD_Response *response, gboolean gzip)
{
  MHD_add_response_header (response, "Vary", "Accept-Encoding");
  if (gzip)
    MHD_add_response_header (response, "Content-Encoding", "gzip");
}

struct MHD_Response *
ragify_reply_new (const char *content_type, const char *request_id, char *body, gsize size, const RagifyReplyWish *wish)
{
  gsize compressed_size = 0;
  char *compressed = wish->gzip ? ragify_gzip (body, size, &compressed_size) : NULL;
  if (compressed != NULL) {
    g_free (body);
    body = compressed;
    size = compressed_size;
  }
  struct MHD_Response *response = MHD_create_response_from_buffer_with_free_callback (size, body, g_free);
  add_common (response, content_type, request_id, wish->close);
  MHD_add_response_header (response, "Cache-Control", "no-store");
  add_coding (response, compressed != NULL);
  return response;
}

void
ragify_reply_dress (struct MHD_Response *response, const char *content_type, const char *request_id, gboolean close)
{
  add_common (response, content_type, request_id, close);
  MHD_add_response_header (response, "Cache-Control", "no-store");
}

struct MHD_Response *
ragify_reply_new_static (const char *content_type, const char *body, gboolean close)
{
  struct MHD_Response *response = MHD_create_response_from_buffer (strlen (body), (void *)body, MHD_RESPMEM_PERSISTENT);
  add_common (response, content_type, NULL, close);
  MHD_add_response_header (response, "Cache-Control", "no-store");
  return response;
}

static void
release_request (void *user)
{
  RagifyRequest *request = user;
  ragify_owner_unref (&request->owner);
}

/* NULL: it would not pay. */
static struct MHD_Response *
new_compressed_body (const RagifyAnswer *answer)
{
  const gsize body_size = answer->body != NULL ? answer->body->size : 0;
  gsize size = answer->head_size + body_size;
  g_autofree char *whole = g_malloc (size + 1);
  if (answer->head_size > 0)
    memcpy (whole, answer->head, answer->head_size);
  if (body_size > 0)
    memcpy (whole + answer->head_size, answer->body->data, body_size);
  char *compressed = ragify_gzip (whole, size, &size);
  return compressed != NULL ? MHD_create_response_from_buffer_with_free_callback (size, compressed, g_free) : NULL;
}

static struct MHD_Response *
new_answer_body (RagifyRequest *request, const RagifyAnswer *answer, gsize body_size)
{
  if (answer->head_size + body_size <= COPY_LIMIT) {
    char *copy = g_malloc (answer->head_size + body_size + 1);
    if (answer->head_size > 0)
      memcpy (copy, answer->head, answer->head_size);
    if (body_size > 0)
      memcpy (copy + answer->head_size, answer->body->data, body_size);
    return MHD_create_response_from_buffer_with_free_callback (answer->head_size + body_size, copy, g_free);
  }
  const struct MHD_IoVec parts[2] = {
    { .iov_base = answer->head, .iov_len = answer->head_size },
    { .iov_base = body_size > 0 ? answer->body->data : NULL, .iov_len = body_size },
  };
  ragify_owner_ref (&request->owner);
  return MHD_create_response_from_iovec (parts, body_size > 0 ? 2 : 1, release_request, request);
}

struct MHD_Response *
ragify_reply_new_answer (RagifyRequest *request, const RagifyAnswer *answer, const RagifyReplyWish *wish)
{
  struct MHD_Response *response = wish->gzip ? new_compressed_body (answer) : NULL;
  const gboolean compressed = response != NULL;
  if (!compressed)
    response = new_answer_body (request, answer, answer->body != NULL ? answer->body->size : 0);
  add_common (response, answer->content_type, request->id, wish->close);
  if (wish->gzip)
    add_coding (response, compressed);
  char tag[40];
  const gboolean tagged = wish->tag && ragify_reply_answer_tag (answer, tag);
  MHD_add_response_header (response, "Cache-Control", tagged ? "private, no-cache" : "no-store");
  if (tagged)
    MHD_add_response_header (response, "ETag", tag);
  if (answer->cache != NULL && answer->status == 200)
    MHD_add_response_header (response, "X-Cache", answer->cache);
  add_retry_after (response, answer->retry_after);
  return response;
}

gboolean
ragify_reply_answer_tag (const RagifyAnswer *answer, char tag[40])
{
  if (answer->status != 200 || answer->degraded || answer->body == NULL)
    return FALSE;
  const XXH128_hash_t hash = XXH3_128bits (answer->body->data, answer->body->size);
  g_snprintf (tag, 40, "W/\"%016" G_GINT64_MODIFIER "x%016" G_GINT64_MODIFIER "x\"", (guint64)hash.high64,
              (guint64)hash.low64);
  return TRUE;
}

gboolean
ragify_reply_tag_is_known (RagifyStr known, const char *tag)
{
  const char *opaque = g_str_has_prefix (tag, "W/") ? tag + 2 : tag; /* compared weakly, as RFC 9110 has it */
  if (known.size == 1 && known.data[0] == '*')
    return TRUE;
  return known.size > 0 && g_strstr_len (known.data, (gssize)known.size, opaque) != NULL;
}

struct MHD_Response *
ragify_reply_new_unchanged (const char *request_id, const char *tag, gboolean close)
{
  struct MHD_Response *response = MHD_create_response_from_buffer (0, NULL, MHD_RESPMEM_PERSISTENT);
  MHD_add_response_header (response, "ETag", tag);
  MHD_add_response_header (response, "Cache-Control", "private, no-cache");
  MHD_add_response_header (response, "X-Request-Id", request_id);
  if (close)
    MHD_add_response_header (response, "Connection", "close");
  return response;
}

struct MHD_Response *
ragify_reply_new_problem (const RagifyProblem *problem, const char *request_id, const char *allow, gboolean close)
{
  gsize size = 0;
  char *body = ragify_problem_encode (problem, request_id, &size);
  const RagifyReplyWish wish = { .close = close };
  struct MHD_Response *response = ragify_reply_new ("application/problem+json", request_id, body, size, &wish);
  if (allow != NULL)
    MHD_add_response_header (response, "Allow", allow);
  if (problem->status == 401)
    MHD_add_response_header (response, "WWW-Authenticate", "Bearer");
  add_retry_after (response, problem->retry_after);
  return response;
}

char *
ragify_reply_raw_problem (const RagifyProblem *problem, const char *request_id, gsize *size)
{
  gsize body_size = 0;
  g_autofree char *body = ragify_problem_encode (problem, request_id, &body_size);
  const time_t now = time (NULL);
  struct tm parts;
  char date[40];
  gmtime_r (&now, &parts);
  /* No setlocale is ever called with LC_TIME, so the names are English. */
  strftime (date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &parts);
  const char *phrase = MHD_get_reason_phrase_for (problem->status);
  char *text = g_strdup_printf ("HTTP/1.1 %u %s\r\nDate: %s\r\nContent-Type: application/problem+json\r\n"
                                "Cache-Control: no-store\r\nX-Request-Id: %s\r\nContent-Length: %" G_GSIZE_FORMAT
                                "\r\nConnection: close\r\n\r\n%s",
                                problem->status, phrase, date, request_id, body_size, body);
  *size = strlen (text);
  return text;
}
