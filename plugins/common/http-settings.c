/* SPDX-License-Identifier: MIT */
#include "http-settings.h"

#include "settings.h"

#include <gio/gio.h>
#include <string.h>

typedef struct Reader {
  const RagifyHost *host;
  RagifyContext *context;
} Reader;

char *
ragify_http_escape (const char *text, gsize size)
{
  g_autoptr (GString) escaped = g_string_sized_new (size + 16);
  for (gsize i = 0; i < size; i++) {
    const guchar c = (guchar)text[i];
    if (g_ascii_isalnum (c) || c == '-' || c == '.' || c == '_' || c == '~')
      g_string_append_c (escaped, (char)c);
    else
      g_string_append_printf (escaped, "%%%02X", c);
  }
  return g_string_free (g_steal_pointer (&escaped), FALSE);
}

char *
ragify_http_origin (const char *url, const char *what, RagifyFault *fault)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GUri) uri = g_uri_parse (url, G_URI_FLAGS_PARSE_RELAXED, &error);
  if (uri == NULL) {
    ragify_fault_set (fault, RAGIFY_E_INVALID, "%s: %.200s: %s", what, url, error->message);
    return NULL;
  }
  const char *scheme = g_uri_get_scheme (uri);
  const gboolean secure = g_ascii_strcasecmp (scheme, "https") == 0;
  const char *host = g_uri_get_host (uri);
  if ((!secure && g_ascii_strcasecmp (scheme, "http") != 0) || host == NULL || *host == '\0') {
    ragify_fault_set (fault, RAGIFY_E_INVALID, "%s: expected http:// or https:// and a host, found %.200s", what, url);
    return NULL;
  }
  if (g_uri_get_userinfo (uri) != NULL) {
    ragify_fault_set (fault, RAGIFY_E_INVALID, "%s: holds a user name, which belongs into keys of its own", what);
    return NULL;
  }
  const int port = g_uri_get_port (uri) > 0 ? g_uri_get_port (uri) : secure ? 443 : 80;
  g_autofree char *lower = g_ascii_strdown (host, -1);
  const gboolean v6 = strchr (lower, ':') != NULL;
  return g_strdup_printf (v6 ? "%s://[%s]:%d" : "%s://%s:%d", secure ? "https" : "http", lower, port);
}

/* ---- headers and credentials ---- */

static gboolean
is_token (const char *text, gsize size)
{
  for (gsize i = 0; i < size; i++)
    if (!g_ascii_isalnum (text[i]) && (text[i] == '\0' || strchr ("!#$%&'*+-.^_`|~", text[i]) == NULL))
      return FALSE;
  return size > 0;
}

static gboolean
is_value (const char *text)
{
  for (const char *p = text; *p != '\0'; p++)
    if ((guchar)*p < 0x20 || *p == 0x7f)
      return FALSE;
  return TRUE;
}

static gboolean
take_headers (const Reader *reader, GPtrArray *headers, RagifyFault *fault)
{
  RagifyStrList list = { NULL, 0 };
  reader->host->config_list (reader->context, "headers", &list);
  for (guint64 i = 0; i < list.count; i++) {
    g_autofree char *text = g_strndup (list.items[i].data, list.items[i].size);
    const char *colon = strchr (text, ':');
    /* The value may be a secret: only its name is shown. */
    if (colon == NULL || !is_token (text, (gsize)(colon - text)) || !is_value (colon + 1))
      return ragify_fault_set (fault, RAGIFY_E_INVALID, "headers: item %u: expected Name: value, found '%.*s'",
                               (guint)i + 1, colon != NULL ? (int)MIN (colon - text, 64) : 0, text);
    g_ptr_array_add (headers, g_steal_pointer (&text));
  }
  return TRUE;
}

typedef struct Credentials {
  char *auth, *token, *user, *password, *name, *place;
} Credentials;

static void
credentials_clear (Credentials *c)
{
  g_free (c->auth);
  g_free (c->token);
  g_free (c->user);
  g_free (c->password);
  g_free (c->name);
  g_free (c->place);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Credentials, credentials_clear)

static gboolean
add_basic (RagifyHttpSettings *settings, const Credentials *c, GPtrArray *headers, RagifyFault *fault)
{
  if (c->user == NULL || c->password == NULL)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "auth = basic needs `user` and `password` or `password-file`");
  if (strchr (c->user, ':') != NULL)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "user: a name with a colon cannot be sent (RFC 7617)");
  g_autofree char *both = g_strconcat (c->user, ":", c->password, NULL);
  g_autofree char *encoded = g_base64_encode ((const guchar *)both, strlen (both));
  g_ptr_array_add (headers, g_strconcat ("Authorization: Basic ", encoded, NULL));
  return TRUE;
}

static gboolean
add_api_key (RagifyHttpSettings *settings, const Credentials *c, GPtrArray *headers, RagifyFault *fault)
{
  if (g_strcmp0 (c->place, "query") == 0) {
    g_autofree char *name = ragify_http_escape (c->name, strlen (c->name));
    g_autofree char *value = ragify_http_escape (c->token, strlen (c->token));
    settings->query_credential = g_strconcat (name, "=", value, NULL);
    return TRUE;
  }
  if (!is_token (c->name, strlen (c->name)))
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "api-key-name: '%.64s' is no name of a header", c->name);
  g_ptr_array_add (headers, g_strconcat (c->name, ": ", c->token, NULL));
  return TRUE;
}

static gboolean
add_credentials (RagifyHttpSettings *settings, const Credentials *c, GPtrArray *headers, RagifyFault *fault)
{
  const char *auth = c->auth != NULL ? c->auth : c->token != NULL ? "bearer" : c->user != NULL ? "basic" : "none";
  if (strcmp (auth, "none") == 0)
    return TRUE;
  if (strcmp (auth, "basic") == 0)
    return add_basic (settings, c, headers, fault);
  if (c->token == NULL)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "auth = %s needs `token` or `token-file`", auth);
  if (!is_value (c->token))
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "token: holds a control character; is it one line?");
  if (strcmp (auth, "api-key") == 0)
    return add_api_key (settings, c, headers, fault);
  g_ptr_array_add (headers, g_strconcat ("Authorization: Bearer ", c->token, NULL));
  return TRUE;
}

static gboolean
read_headers (const Reader *r, RagifyHttpSettings *settings, RagifyFault *fault)
{
  g_auto (Credentials) credentials = { .auth = ragify_setting_optional (r->host, r->context, "auth"),
                                       .token = ragify_setting_optional (r->host, r->context, "token"),
                                       .user = ragify_setting_optional (r->host, r->context, "user"),
                                       .password = ragify_setting_optional (r->host, r->context, "password"),
                                       .name = ragify_setting_optional (r->host, r->context, "api-key-name"),
                                       .place = ragify_setting_optional (r->host, r->context, "api-key-in") };
  g_autoptr (GPtrArray) headers = g_ptr_array_new_with_free_func (g_free);
  if (!take_headers (r, headers, fault) || !add_credentials (settings, &credentials, headers, fault))
    return FALSE;
  g_ptr_array_add (headers, NULL);
  settings->headers = (char **)g_ptr_array_free (g_steal_pointer (&headers), FALSE);
  return TRUE;
}

/* ---- the rest ---- */

static guint
read_int (const Reader *reader, const char *key)
{
  int64_t value = 0;
  reader->host->config_int (reader->context, key, &value);
  return (guint)value;
}

static void
read_limits (const Reader *reader, RagifyHttpSettings *settings)
{
  const RagifyHost *host = reader->host;
  host->config_duration (reader->context, "dns-ttl", &settings->dns_ttl_us);
  host->config_duration (reader->context, "keep-alive", &settings->keep_alive_us);
  host->config_duration (reader->context, "timeout", &settings->timeout_us);
  host->config_duration (reader->context, "connect-timeout", &settings->connect_timeout_us);
  host->config_duration (reader->context, "read-timeout", &settings->read_timeout_us);
  host->config_size (reader->context, "max-response-size", &settings->max_response_size);
  settings->max_connections = read_int (reader, "max-connections");
  settings->max_connections_per_host = read_int (reader, "max-connections-per-host");
  settings->max_redirects = read_int (reader, "max-redirects");
  uint32_t flag = 1;
  host->config_bool (reader->context, "tls-verify", &flag);
  settings->tls_verify = flag != 0;
  if (host->config_bool (reader->context, "allow-private", &flag) == RAGIFY_OK)
    settings->private_addresses = flag != 0 ? RAGIFY_HTTP_PRIVATE_ALWAYS : RAGIFY_HTTP_PRIVATE_NEVER;
}

static gboolean
check_base_url (RagifyHttpSettings *settings, RagifyFault *fault)
{
  if (settings->base_url == NULL)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "base-url: is needed");
  settings->origin = ragify_http_origin (settings->base_url, "base-url", fault);
  if (settings->origin == NULL)
    return FALSE;
  if (strpbrk (settings->base_url, "?#") != NULL)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "base-url: expected no query and no fragment, found %.200s",
                             settings->base_url);
  gsize size = strlen (settings->base_url);
  while (size > 0 && settings->base_url[size - 1] == '/')
    settings->base_url[--size] = '\0';
  return TRUE;
}

RagifyHttpSettings *
ragify_http_settings_new (const RagifyHost *host, RagifyContext *context, RagifyFault *fault)
{
  const Reader reader = { .host = host, .context = context };
  g_autoptr (RagifyHttpSettings) settings = g_new0 (RagifyHttpSettings, 1);
  settings->base_url = ragify_setting_optional (host, context, "base-url");
  settings->tls_ca = ragify_setting_optional (host, context, "tls-ca");
  read_limits (&reader, settings);
  if (!check_base_url (settings, fault) || !read_headers (&reader, settings, fault))
    return NULL;
  return g_steal_pointer (&settings);
}

void
ragify_http_settings_free (RagifyHttpSettings *settings)
{
  g_free (settings->base_url);
  g_free (settings->origin);
  g_strfreev (settings->headers);
  g_free (settings->query_credential);
  g_free (settings->tls_ca);
  g_free (settings);
}
