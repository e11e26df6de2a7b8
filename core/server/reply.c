/* SPDX-License-Identifier: MIT */
#include "reply.h"

#include <string.h>
#include <time.h>

/* Up to here one copy costs less than one more system call. */
#define COPY_LIMIT 65536

static void
add_common (struct MHD_Response *response, const char *content_type, const char *request_id, gboolean close)
{
  MHD_add_response_header (response, "Content-Type", content_type);
  MHD_add_response_header (response, "Cache-Control", "no-store");
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

struct MHD_Response *
ragify_reply_new (const char *content_type, const char *request_id, char *body, gsize size, gboolean close)
{
  struct MHD_Response *response = MHD_create_response_from_buffer_with_free_callback (size, body, g_free);
  add_common (response, content_type, request_id, close);
  return response;
}

struct MHD_Response *
ragify_reply_new_static (const char *content_type, const char *body, gboolean close)
{
  struct MHD_Response *response = MHD_create_response_from_buffer (strlen (body), (void *)body, MHD_RESPMEM_PERSISTENT);
  add_common (response, content_type, NULL, close);
  return response;
}

static void
release_request (void *user)
{
  RagifyRequest *request = user;
  ragify_owner_unref (&request->owner);
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
ragify_reply_new_answer (RagifyRequest *request, const RagifyAnswer *answer, gboolean close)
{
  struct MHD_Response *response = new_answer_body (request, answer, answer->body != NULL ? answer->body->size : 0);
  add_common (response, answer->content_type, request->id, close);
  if (answer->cache != NULL)
    MHD_add_response_header (response, "X-Cache", answer->cache);
  add_retry_after (response, answer->retry_after);
  return response;
}

struct MHD_Response *
ragify_reply_new_problem (const RagifyProblem *problem, const char *request_id, const char *allow, gboolean close)
{
  gsize size = 0;
  char *body = ragify_problem_encode (problem, request_id, &size);
  struct MHD_Response *response = ragify_reply_new ("application/problem+json", request_id, body, size, close);
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
