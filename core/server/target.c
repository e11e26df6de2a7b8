/* SPDX-License-Identifier: MIT */
#include "target.h"

#include "head-check.h"

#include <string.h>

static const char *const bad_request = "Bad request";

static gboolean
has_only_uri_bytes (RagifyStr text)
{
  for (gsize i = 0; i < text.size; i++) {
    const guchar c = (guchar)text.data[i];
    if (c <= 0x20 || c >= 0x7f || strchr ("\"<>\\^`#", c) != NULL)
      return FALSE;
  }
  return TRUE;
}

/* The authority without the port that http has anyway. */
static RagifyStr
without_default_port (RagifyStr authority)
{
  if (authority.size > 3 && memcmp (authority.data + authority.size - 3, ":80", 3) == 0)
    authority.size -= 3;
  return authority;
}

/* Cuts "http://authority" off. */
static gboolean
take_authority (RagifyStr *text, RagifyStr host, RagifyProblem *problem)
{
  const gsize scheme = strlen ("http://");
  if (text->size < scheme || g_ascii_strncasecmp (text->data, "http://", scheme) != 0)
    return ragify_problem_set (problem, 400, bad_request, NULL,
                               "the request's target must be a path that begins with \"/\", or an http:// address");
  gsize end = scheme;
  while (end < text->size && text->data[end] != '/' && text->data[end] != '?')
    end++;
  const RagifyStr named = without_default_port (ragify_str (text->data + scheme, end - scheme));
  const RagifyStr wanted = without_default_port (host);
  if (named.size != wanted.size || g_ascii_strncasecmp (named.data, wanted.data, wanted.size) != 0)
    return ragify_problem_set (problem, 400, bad_request, "Host",
                               "the address names another host than the Host header");
  *text = ragify_str (text->data + end, text->size - end);
  return TRUE;
}

static gboolean
is_dots (const char *segment, gsize size)
{
  return (size == 1 && segment[0] == '.') || (size == 2 && segment[0] == '.' && segment[1] == '.');
}

/* Proxies clean such paths up, each in its way, so that what they let through is not what we would see. */
static gboolean
check_segments (RagifyStr path, RagifyProblem *problem)
{
  gsize begin = 1;
  for (gsize i = 1; i <= path.size; i++) {
    if (i < path.size && path.data[i] != '/')
      continue;
    if ((i == begin && i < path.size) || is_dots (path.data + begin, i - begin))
      return ragify_problem_set (problem, 400, bad_request, NULL,
                                 "the path has an empty segment, \".\" or \"..\"; inside an id encode \"/\" as %%2F");
    begin = i + 1;
  }
  return TRUE;
}

gboolean
ragify_target_parse (RagifyTarget *target, RagifyStr text, RagifyStr host, RagifyProblem *problem)
{
  if (!has_only_uri_bytes (text))
    return ragify_problem_set (problem, 400, bad_request, NULL,
                               "the request's target has a character that must be percent-encoded");
  if ((text.size == 0 || text.data[0] != '/') && !take_authority (&text, host, problem))
    return FALSE;

  const char *mark = text.size > 0 ? memchr (text.data, '?', text.size) : NULL;
  const gsize size = mark != NULL ? (gsize)(mark - text.data) : text.size;
  /* "http://host?query" has the empty path, which is "/". */
  const RagifyStr path = size > 0 ? ragify_str (text.data, size) : ragify_str ("/", 1);
  if (!check_segments (path, problem))
    return FALSE;
  target->path = path;
  target->query = mark != NULL ? ragify_str (mark + 1, text.size - size - 1) : ragify_str (NULL, 0);
  return TRUE;
}

/* Decodes into `out`, which has room for the text and a NUL. The decoded size, or −1. */
static gssize
decode (RagifyStr text, gboolean plus_is_blank, char *out)
{
  gsize size = 0;
  for (gsize i = 0; i < text.size; i++) {
    char c = text.data[i];
    if (c == '%') {
      const int high = i + 1 < text.size ? g_ascii_xdigit_value (text.data[i + 1]) : -1;
      const int low = i + 2 < text.size ? g_ascii_xdigit_value (text.data[i + 2]) : -1;
      if (high < 0 || low < 0)
        return -1;
      c = (char)(high * 16 + low);
      i += 2;
    } else if (c == '+' && plus_is_blank) {
      c = ' ';
    }
    out[size++] = c;
  }
  out[size] = '\0';
  return (gssize)size;
}

static char *
decode_checked (RagifyStr text, gboolean plus_is_blank, const char *field, RagifyProblem *problem)
{
  g_autofree char *decoded = g_malloc (text.size + 1);
  const gssize size = decode (text, plus_is_blank, decoded);
  if (size < 0) {
    ragify_problem_set (problem, 400, bad_request, field, "\"%%\" must be followed by two hexadecimal digits");
    return NULL;
  }
  if (memchr (decoded, '\0', (gsize)size) != NULL) {
    ragify_problem_set (problem, 400, bad_request, field, "the character NUL (%%00) is not allowed");
    return NULL;
  }
  if (!g_utf8_validate (decoded, size, NULL)) {
    ragify_problem_set (problem, 400, bad_request, field, "the percent-encoded bytes are not valid UTF-8");
    return NULL;
  }
  return g_steal_pointer (&decoded);
}

char *
ragify_target_decode (RagifyStr text, const char *field, RagifyProblem *problem)
{
  return decode_checked (text, FALSE, field, problem);
}

static gboolean
add_parameter (RagifyQuery *query, RagifyStr part, RagifyProblem *problem)
{
  const char *equals = memchr (part.data, '=', part.size);
  const gsize name_size = equals != NULL ? (gsize)(equals - part.data) : part.size;
  const gsize value_at = equals != NULL ? name_size + 1 : name_size;
  if (query->count == RAGIFY_QUERY_PARAMETERS)
    return ragify_problem_set (problem, 400, bad_request, NULL, "at most %d query parameters are allowed",
                               RAGIFY_QUERY_PARAMETERS);
  g_autofree char *name = decode_checked (ragify_str (part.data, name_size), TRUE, NULL, problem);
  if (name == NULL)
    return FALSE;
  const RagifyStr text = ragify_str (part.data + value_at, part.size - value_at);
  char *value = decode_checked (text, TRUE, name, problem);
  if (value == NULL)
    return FALSE;
  query->names[query->count] = g_steal_pointer (&name);
  query->values[query->count] = value;
  query->count++;
  return TRUE;
}

RagifyQuery *
ragify_query_new (RagifyStr text, RagifyProblem *problem)
{
  g_autoptr (RagifyQuery) query = g_new0 (RagifyQuery, 1);
  gsize begin = 0;
  for (gsize i = 0; i <= text.size; i++) {
    if (i < text.size && text.data[i] != '&')
      continue;
    if (i > begin && !add_parameter (query, ragify_str (text.data + begin, i - begin), problem))
      return NULL;
    begin = i + 1;
  }
  return g_steal_pointer (&query);
}

void
ragify_query_free (RagifyQuery *query)
{
  if (query == NULL)
    return;
  for (guint i = 0; i < query->count; i++) {
    g_free (query->names[i]);
    g_free (query->values[i]);
  }
  g_free (query);
}

const char *
ragify_query_get (const RagifyQuery *query, const char *name)
{
  for (guint i = 0; query != NULL && i < query->count; i++)
    if (strcmp (query->names[i], name) == 0)
      return query->values[i];
  return NULL;
}

gboolean
ragify_query_allow (const RagifyQuery *query, const char *const *names, RagifyProblem *problem)
{
  for (guint i = 0; query != NULL && i < query->count; i++) {
    const char *name = query->names[i];
    if (!g_strv_contains (names, name)) {
      g_autofree char *known = g_strjoinv (", ", (char **)names);
      return ragify_problem_set (problem, 400, "Unknown parameter", name,
                                 "the query parameter \"%s\" is not known here%s%s", name,
                                 known[0] != '\0' ? "; known are: " : "", known);
    }
    if (ragify_query_get (query, name) != query->values[i])
      return ragify_problem_set (problem, 400, "Invalid value", name, "the query parameter \"%s\" is there twice",
                                 name);
  }
  return TRUE;
}
