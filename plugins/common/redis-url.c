#include "redis-url.h"

#include <glib.h>
#include <string.h>

#define PORT 6379
#define SENTINEL_PORT 26379

typedef struct {
  const char *prefix;
  RagifyRedisMode mode;
  bool tls;
  bool path; /* a socket's */
} Scheme;

static const Scheme schemes[] = {
  { "redis://", RAGIFY_REDIS_SINGLE, false, false },
  { "rediss://", RAGIFY_REDIS_SINGLE, true, false },
  { "redis+cluster://", RAGIFY_REDIS_CLUSTER, false, false },
  { "rediss+cluster://", RAGIFY_REDIS_CLUSTER, true, false },
  { "redis+sentinel://", RAGIFY_REDIS_SENTINEL, false, false },
  { "rediss+sentinel://", RAGIFY_REDIS_SENTINEL, true, false },
  { "unix://", RAGIFY_REDIS_SINGLE, false, true },
};

static bool
fail (RagifyFault *fault, const char *what)
{
  return ragify_fault_set (fault, RAGIFY_E_INVALID, "url: %s", what);
}

/* A decoded copy, or NULL where an escape is wrong or would be a NUL. */
static char *
decode (const char *text, gsize size)
{
  return g_uri_unescape_segment (text, text + size, NULL);
}

static bool
parse_number (const char *text, gint64 minimum, gint64 maximum, gint64 *number)
{
  guint64 value = 0;
  if (!g_ascii_string_to_unsigned (text, 10, (guint64)minimum, (guint64)maximum, &value, NULL))
    return false;
  *number = (gint64)value;
  return true;
}

/* USER:PASSWORD, :PASSWORD or USER before the @. */
static bool
parse_credentials (RagifyRedisUrl *url, const char *text, gsize size, RagifyFault *fault)
{
  const char *colon = memchr (text, ':', size);
  const gsize user_size = colon != NULL ? (gsize)(colon - text) : size;
  if (user_size > 0 && (url->username = decode (text, user_size)) == NULL)
    return fail (fault, "the user has a wrong %-escape");
  if (colon == NULL)
    return true;
  url->password = decode (colon + 1, size - user_size - 1);
  return url->password != NULL || fail (fault, "the password has a wrong %-escape");
}

static bool
parse_database (RagifyRedisUrl *url, const char *text, RagifyFault *fault)
{
  gint64 number = 0;
  if (*text == '\0')
    return true;
  if (!parse_number (text, 0, 1 << 20, &number))
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "url: expected the number of a database instead of '%s'", text);
  url->database = (int)number;
  return true;
}

/* HOST, HOST:PORT, [IPv6] or [IPv6]:PORT. */
static bool
parse_host (RagifyRedisEndpoint *endpoint, const char *text, RagifyFault *fault)
{
  const char *port = strrchr (text, ':');
  const char *end = text + strlen (text);
  gint64 number = endpoint->port;
  if (*text == '[') {
    const char *bracket = strchr (text, ']');
    if (bracket == NULL || (bracket[1] != '\0' && bracket[1] != ':'))
      return ragify_fault_set (fault, RAGIFY_E_INVALID, "url: expected [ADDRESS]:PORT instead of '%s'", text);
    port = bracket[1] == ':' ? bracket + 1 : NULL;
    text++;
    end = bracket;
  } else if (port != NULL)
    end = port;
  if (end == text)
    return fail (fault, "a host is missing");
  if (port != NULL && !parse_number (port + 1, 1, 65535, &number))
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "url: expected a port of 1 to 65535 instead of '%s'", port + 1);
  endpoint->host = g_strndup (text, (gsize)(end - text));
  endpoint->port = (uint16_t)number;
  return true;
}

static bool
parse_hosts (RagifyRedisUrl *url, const char *text, RagifyFault *fault)
{
  g_auto (GStrv) hosts = g_strsplit (text, ",", -1);
  const guint count = g_strv_length (hosts);
  if (count == 0)
    return fail (fault, "a host is missing");
  if (count > RAGIFY_REDIS_ENDPOINTS_MAX)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "url: %u hosts; at most %d are taken", count,
                             RAGIFY_REDIS_ENDPOINTS_MAX);
  url->endpoints = g_new0 (RagifyRedisEndpoint, count);
  url->count = count;
  for (guint i = 0; i < count; i++) {
    url->endpoints[i].port = url->mode == RAGIFY_REDIS_SENTINEL ? SENTINEL_PORT : PORT;
    if (!parse_host (&url->endpoints[i], hosts[i], fault))
      return false;
  }
  if (count > 1 && url->mode == RAGIFY_REDIS_SINGLE)
    url->mode = RAGIFY_REDIS_CLUSTER;
  return true;
}

/* What follows the hosts: /DATABASE, or /SERVICE/DATABASE. */
static bool
parse_tail (RagifyRedisUrl *url, const char *tail, RagifyFault *fault)
{
  if (url->mode == RAGIFY_REDIS_SENTINEL) {
    const gsize size = strcspn (tail, "/");
    if (size == 0)
      return fail (fault, "expected redis+sentinel://HOST,…/SERVICE with the name of the service");
    url->service = decode (tail, size);
    if (url->service == NULL)
      return fail (fault, "the service has a wrong %-escape");
    tail += size + (tail[size] == '/');
  }
  if (!parse_database (url, tail, fault))
    return false;
  if (url->mode == RAGIFY_REDIS_CLUSTER && url->database != 0)
    return fail (fault, "a cluster has database 0 only");
  return true;
}

static bool
parse_socket (RagifyRedisUrl *url, const char *path, RagifyFault *fault)
{
  const gsize size = strcspn (path, "?");
  if (*path != '/')
    return fail (fault, "expected unix:///PATH with an absolute path");
  url->endpoints = g_new0 (RagifyRedisEndpoint, 1);
  url->count = 1;
  url->endpoints[0].host = decode (path, size);
  if (url->endpoints[0].host == NULL)
    return fail (fault, "the path has a wrong %-escape");
  if (path[size] == '\0')
    return true;
  if (!g_str_has_prefix (path + size, "?db="))
    return fail (fault, "after the path only ?db=NUMBER is taken");
  return parse_database (url, path + size + 4, fault);
}

static bool
parse_rest (const Scheme *scheme, char *rest, RagifyRedisUrl *url, RagifyFault *fault)
{
  url->mode = scheme->mode;
  url->tls = scheme->tls;
  /* The last @ before the path: a password may hold one. */
  const gsize authority = scheme->path ? strlen (rest) : strcspn (rest, "/");
  const char *at = memrchr (rest, '@', authority);
  if (at != NULL && !parse_credentials (url, rest, (gsize)(at - rest), fault))
    return false;
  char *place = at != NULL ? rest + (at - rest) + 1 : rest;
  if (scheme->path)
    return parse_socket (url, place, fault);
  char *tail = strchr (place, '/');
  if (tail != NULL)
    *tail++ = '\0';
  return parse_hosts (url, place, fault) && parse_tail (url, tail != NULL ? tail : "", fault);
}

bool
ragify_redis_url_parse (RagifyStr text, RagifyRedisUrl *url, RagifyFault *fault)
{
  g_autofree char *whole = g_strndup (text.data, text.size);
  RagifyRedisUrl parsed = { 0 };
  for (gsize i = 0; i < G_N_ELEMENTS (schemes); i++) {
    if (!g_str_has_prefix (whole, schemes[i].prefix))
      continue;
    if (parse_rest (&schemes[i], whole + strlen (schemes[i].prefix), &parsed, fault)) {
      *url = parsed;
      return true;
    }
    ragify_redis_url_clear (&parsed);
    return false;
  }
  return fail (fault, "expected redis://, rediss://, redis+cluster://, redis+sentinel:// or unix://");
}

void
ragify_redis_url_clear (RagifyRedisUrl *url)
{
  for (gsize i = 0; i < url->count; i++)
    g_free (url->endpoints[i].host);
  g_free (url->endpoints);
  g_free (url->username);
  g_free (url->password);
  g_free (url->service);
  *url = (RagifyRedisUrl){ 0 };
}
