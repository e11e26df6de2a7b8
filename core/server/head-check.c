/* SPDX-License-Identifier: MIT */
#include "head-check.h"

#include <string.h>

static const char *const bad_request = "Bad request";

gboolean
ragify_str_is (RagifyStr text, const char *other)
{
  return strlen (other) == text.size && g_ascii_strncasecmp (text.data, other, text.size) == 0;
}

void
ragify_head_add (RagifyHead *head, const char *name, gsize name_size, const char *value, gsize value_size)
{
  if (head->n_fields == RAGIFY_HEAD_FIELDS) {
    head->too_many = TRUE;
    return;
  }
  head->fields[head->n_fields++] = (RagifyHeadField){
    .name = name, .name_size = name_size, .value = value != NULL ? value : "", .value_size = value_size
  };
}

/* Steps over the end of a line, of which `next` follows: CR LF or LF. */
static gboolean
is_line_end (const char *end, const char *next)
{
  return next == end + 1 || next == end + 2;
}

gboolean
ragify_head_is_seamless (const RagifyHead *head, gsize size)
{
  const char *at = head->method.data + head->method.size + 1;
  if (head->target.data != at)
    return FALSE;
  at += head->target.size + 1;
  if (head->version.data != at)
    return FALSE;
  at += head->version.size;
  for (guint i = 0; i < head->n_fields; i++) {
    const RagifyHeadField *field = &head->fields[i];
    if (!is_line_end (at, field->name))
      return FALSE;
    for (at = field->name + field->name_size + 1; at < field->value; at++)
      if (*at != ' ' && *at != '\t')
        return FALSE;
    if (at != field->value)
      return FALSE;
    at += field->value_size;
  }
  /* The last line's end and the empty line's. */
  const gsize rest = (gsize)(head->method.data + size - at);
  return at <= head->method.data + size && rest >= 2 && rest <= 4;
}

/* tchar of RFC 9110. */
static gboolean
is_token (const char *text, gsize size)
{
  for (gsize i = 0; i < size; i++)
    if (!g_ascii_isalnum (text[i]) && (text[i] == '\0' || strchr ("!#$%&'*+-.^_`|~", text[i]) == NULL))
      return FALSE;
  return size > 0;
}

static gboolean
is_field_value (const char *text, gsize size)
{
  for (gsize i = 0; i < size; i++) {
    const guchar c = (guchar)text[i];
    if ((c < 0x20 && c != '\t') || c == 0x7f)
      return FALSE;
  }
  return TRUE;
}

static RagifyStr
trimmed (const RagifyHeadField *field)
{
  RagifyStr value = ragify_str (field->value, field->value_size);
  while (value.size > 0 && (value.data[value.size - 1] == ' ' || value.data[value.size - 1] == '\t'))
    value.size--;
  return value;
}

static const char *
refuse (RagifyProblem *problem, const char *reason, const char *field, const char *detail)
{
  ragify_problem_set (problem, 400, bad_request, field, "%s", detail);
  return reason;
}

static const char *
take_content_length (RagifyHeadFacts *facts, RagifyStr value, RagifyProblem *problem)
{
  if (facts->has_content_length)
    return refuse (problem, "several-content-lengths", "Content-Length", "there is more than one Content-Length");
  facts->has_content_length = TRUE;
  for (gsize i = 0; i < value.size; i++) {
    if (!g_ascii_isdigit (value.data[i]) || facts->content_length > (G_MAXINT64 - 9) / 10)
      return refuse (problem, "content-length", "Content-Length", "Content-Length must be digits, up to 2^63-1");
    facts->content_length = facts->content_length * 10 + (guint64)(value.data[i] - '0');
  }
  if (value.size == 0)
    return refuse (problem, "content-length", "Content-Length", "Content-Length is empty");
  return NULL;
}

static const char *
take_transfer_encoding (RagifyHeadFacts *facts, RagifyStr value, RagifyProblem *problem)
{
  if (facts->chunked)
    return refuse (problem, "transfer-encoding", "Transfer-Encoding", "there is more than one Transfer-Encoding");
  if (!ragify_str_is (value, "chunked"))
    return refuse (problem, "transfer-encoding", "Transfer-Encoding",
                   "the only Transfer-Encoding understood is chunked");
  facts->chunked = TRUE;
  return NULL;
}

static const char *
take_expect (RagifyHeadFacts *facts, RagifyStr value, RagifyProblem *problem)
{
  facts->expects_continue = ragify_str_is (value, "100-continue");
  if (facts->expects_continue)
    return NULL;
  ragify_problem_set (problem, 417, "Expectation failed", "Expect", "the only expectation understood is 100-continue");
  return "expect";
}

/* Of two, a proxy in front could have checked the other one. */
static const char *
take_credentials (RagifyStr *place, RagifyStr value, const char *field, RagifyProblem *problem)
{
  if (place->data != NULL)
    return refuse (problem, "several-credentials", field, "there is more than one such header");
  *place = value;
  return NULL;
}

/* Of several nobody knows which is meant. */
static void
take_traceparent (RagifyHeadFacts *facts, RagifyStr value)
{
  facts->traceparent = ragify_str (value.data, facts->traceparent.data == NULL ? value.size : 0);
}

static void
take_tracestate (RagifyHeadFacts *facts, RagifyStr value)
{
  if (facts->n_tracestate < RAGIFY_HEAD_TRACESTATES)
    facts->tracestate[facts->n_tracestate] = value;
  facts->n_tracestate++;
}

/* uri-host [":" port], as far as it matters: no blanks, no user, no path, no list. */
static gboolean
is_host (RagifyStr host)
{
  for (gsize i = 0; i < host.size; i++)
    if (!g_ascii_isalnum (host.data[i]) && strchr ("-._~:[]%!$&'()*+;=", host.data[i]) == NULL)
      return FALSE;
  return TRUE;
}

static const char *
take_host (RagifyHeadFacts *facts, RagifyStr value, gboolean *has_host, RagifyProblem *problem)
{
  if (*has_host)
    return refuse (problem, "several-hosts", "Host", "there is more than one Host");
  *has_host = TRUE;
  facts->host = value;
  if (!is_host (value))
    return refuse (problem, "host", "Host", "Host must be a name or address, with a port or without");
  return NULL;
}

/* Where the value of a header is kept that needs no look at it here; of several the last counts. */
static RagifyStr *
place_of (RagifyHeadFacts *facts, RagifyStr name)
{
  switch (name.size) {
  case 6:
    return ragify_str_is (name, "Accept") ? &facts->accept : ragify_str_is (name, "Origin") ? &facts->origin : NULL;
  case 8:
    return ragify_str_is (name, "Mcp-Name") ? &facts->mcp_name : NULL;
  case 10:
    return ragify_str_is (name, "Mcp-Method") ? &facts->mcp_method : NULL;
  case 12:
    return ragify_str_is (name, "Content-Type")   ? &facts->content_type
           : ragify_str_is (name, "X-Request-Id") ? &facts->request_id
                                                  : NULL;
  case 13:
    return ragify_str_is (name, "If-None-Match") ? &facts->if_none_match : NULL;
  case 15:
    return ragify_str_is (name, "Accept-Encoding")   ? &facts->accept_encoding
           : ragify_str_is (name, "Idempotency-Key") ? &facts->idempotency_key
                                                     : NULL;
  case 16:
    return ragify_str_is (name, "Content-Encoding") ? &facts->content_encoding : NULL;
  case 20:
    return ragify_str_is (name, "MCP-Protocol-Version") ? &facts->mcp_version : NULL;
  default:
    return NULL;
  }
}

static const char *
take_field (RagifyHeadFacts *facts, const RagifyHeadField *field, gboolean *has_host, RagifyProblem *problem)
{
  const RagifyStr name = ragify_str (field->name, field->name_size);
  const RagifyStr value = trimmed (field);
  if (!is_token (name.data, name.size))
    return refuse (problem, "field-name", NULL,
                   "a header's name has a character that is not allowed there, such as a space");
  if (!is_field_value (field->value, field->value_size))
    return refuse (problem, "field-value", NULL, "a header's value has a control character");

  RagifyStr *place = place_of (facts, name);
  if (place != NULL)
    *place = value;
  else if (ragify_str_is (name, "Host"))
    return take_host (facts, value, has_host, problem);
  else if (ragify_str_is (name, "Content-Length"))
    return take_content_length (facts, value, problem);
  else if (ragify_str_is (name, "Transfer-Encoding"))
    return take_transfer_encoding (facts, value, problem);
  else if (ragify_str_is (name, "Expect"))
    return take_expect (facts, value, problem);
  else if (ragify_str_is (name, "X-API-Key"))
    return take_credentials (&facts->api_key, value, "X-API-Key", problem);
  else if (ragify_str_is (name, "Authorization"))
    return take_credentials (&facts->authorization, value, "Authorization", problem);
  else if (ragify_str_is (name, "Prefer") && facts->prefer.size == 0)
    facts->prefer = value;
  else if (ragify_str_is (name, "traceparent"))
    take_traceparent (facts, value);
  else if (ragify_str_is (name, "tracestate"))
    take_tracestate (facts, value);
  return NULL;
}

const char *
ragify_head_check (const RagifyHead *head, RagifyHeadFacts *facts, RagifyProblem *problem)
{
  const gboolean http_1_0 = ragify_str_is (head->version, "HTTP/1.0");
  gboolean has_host = FALSE;

  if (head->too_many) {
    ragify_problem_set (problem, 431, "Request header fields too large", NULL, "at most %d header fields are allowed",
                        RAGIFY_HEAD_FIELDS);
    return "too-many-fields";
  }
  if (!is_token (head->method.data, head->method.size))
    return refuse (problem, "method", NULL, "the method has a character that is not allowed there");
  for (guint i = 0; i < head->n_fields; i++) {
    const char *reason = take_field (facts, &head->fields[i], &has_host, problem);
    if (reason != NULL)
      return reason;
  }
  if (!has_host && !http_1_0)
    return refuse (problem, "no-host", "Host", "a request of HTTP/1.1 must have a Host header");
  if (facts->chunked && facts->has_content_length)
    return refuse (problem, "length-and-encoding", "Content-Length",
                   "Content-Length and Transfer-Encoding must not come together");
  if (facts->chunked && http_1_0)
    return refuse (problem, "transfer-encoding", "Transfer-Encoding", "HTTP/1.0 has no Transfer-Encoding");
  return NULL;
}

static RagifyStr
next_part (RagifyStr *rest, char separator)
{
  RagifyStr part = *rest;
  const char *end = part.size > 0 ? memchr (part.data, separator, part.size) : NULL;
  if (end != NULL)
    part.size = (gsize)(end - part.data);
  const gsize used = part.size + (end != NULL ? 1 : 0);
  *rest = ragify_str (rest->data + used, rest->size - used);
  while (part.size > 0 && g_ascii_isspace (part.data[0]))
    part = ragify_str (part.data + 1, part.size - 1);
  while (part.size > 0 && g_ascii_isspace (part.data[part.size - 1]))
    part.size--;
  return part;
}

gboolean
ragify_prefers_async (RagifyStr prefer)
{
  while (prefer.size > 0) {
    RagifyStr preference = next_part (&prefer, ',');
    if (ragify_str_is (next_part (&preference, ';'), "respond-async"))
      return TRUE;
  }
  return FALSE;
}

gboolean
ragify_media_type_is (RagifyStr value, const char *type)
{
  RagifyStr rest = value;
  if (!ragify_str_is (next_part (&rest, ';'), type))
    return FALSE;
  while (rest.size > 0) {
    RagifyStr parameter = next_part (&rest, ';');
    const RagifyStr name = next_part (&parameter, '=');
    if (!ragify_str_is (name, "charset"))
      continue;
    if (!ragify_str_is (parameter, "utf-8") && !ragify_str_is (parameter, "\"utf-8\"") &&
        !ragify_str_is (parameter, "utf8"))
      return FALSE;
  }
  return TRUE;
}
