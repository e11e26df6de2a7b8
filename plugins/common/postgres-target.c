#include "postgres-target.h"

#include <arpa/inet.h>
#include <glib.h>
#include <string.h>

#define MOST_HOSTS 32u

typedef struct Host {
  char *name; /* NULL: libpq's default socket folder */
  char *address;
  char *port;
  char *label;
} Host;

struct RagifyPostgresTarget {
  PQconninfoOption *options;
  char *password;
  Host *hosts;
  unsigned int n_hosts;
};

static const char *
option (const RagifyPostgresTarget *target, const char *keyword)
{
  for (const PQconninfoOption *at = target->options; at->keyword != NULL; at++)
    if (strcmp (at->keyword, keyword) == 0)
      return at->val != NULL && at->val[0] != '\0' ? at->val : NULL;
  return NULL;
}

static gboolean
is_socket (const char *name)
{
  return name == NULL || name[0] == '/' || name[0] == '@';
}

static gboolean
is_address (const char *name)
{
  struct in6_addr scratch;
  return inet_pton (AF_INET, name, &scratch) == 1 || inet_pton (AF_INET6, name, &scratch) == 1;
}

static char **
split (const char *list)
{
  return list != NULL ? g_strsplit (list, ",", -1) : g_new0 (char *, 1);
}

/* The n-th of a list; a list of one counts for all. */
static char *
pick (char **list, guint count, guint index)
{
  const char *text = count == 0 ? "" : list[count == 1 ? 0 : index];
  return *text != '\0' ? g_strdup (text) : NULL;
}

static void
fill_host (Host *host, char *name, char *address, char *port)
{
  host->name = name;
  host->address = address;
  host->port = port;
  const char *shown = name != NULL ? name : address;
  host->label = g_strdup_printf ("%s:%s", shown != NULL ? shown : "(local socket)", port != NULL ? port : "5432");
}

static bool
fill_hosts (RagifyPostgresTarget *target, RagifyFault *fault)
{
  const char *name = option (target, "host");
  const char *address = option (target, "hostaddr");
  const char *port = option (target, "port");
  if (name == NULL && address == NULL)
    name = g_getenv ("PGHOST");
  g_auto (GStrv) names = split (name);
  g_auto (GStrv) addresses = split (address);
  g_auto (GStrv) ports = split (port != NULL ? port : g_getenv ("PGPORT"));
  const guint n_names = g_strv_length (names);
  const guint n_addresses = g_strv_length (addresses);
  const guint n_ports = g_strv_length (ports);
  const guint count = MAX (MAX (n_names, n_addresses), 1);
  if (count > MOST_HOSTS)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "dsn: expected at most %u hosts, found %u", MOST_HOSTS, count);
  if ((n_names > 0 && n_addresses > 0 && n_names != n_addresses) || (n_ports > 1 && n_ports != count))
    return ragify_fault_set (fault, RAGIFY_E_INVALID,
                             "dsn: found %u hosts, %u addresses and %u ports; expected as many of each, or one port",
                             n_names, n_addresses, n_ports);
  target->hosts = g_new0 (Host, count);
  target->n_hosts = count;
  for (guint i = 0; i < count; i++)
    fill_host (&target->hosts[i], n_names > 0 ? pick (names, count, i) : NULL,
               n_addresses > 0 ? pick (addresses, count, i) : NULL, pick (ports, n_ports, i));
  return true;
}

/* libpq quotes the string in some of its messages: where it does, only the kind of mistake is told. */
static void
refuse (char *message, const char *dsn, RagifyFault *fault)
{
  const gboolean quotes = message == NULL || strstr (message, dsn) != NULL || strchr (message, '"') != NULL;
  if (quotes && message != NULL && g_str_has_prefix (message, "invalid connection option"))
    ragify_fault_set (fault, RAGIFY_E_INVALID, "dsn: it has an option that libpq does not know");
  else if (quotes)
    ragify_fault_set (fault, RAGIFY_E_INVALID,
                      "dsn: expected a URI such as postgresql://user@host/database or keywords and values such as "
                      "'host=db dbname=handbook'");
  else
    ragify_fault_set (fault, RAGIFY_E_INVALID, "dsn: %s", g_strchomp (message));
  PQfreemem (message);
}

RagifyPostgresTarget *
ragify_postgres_target_new (RagifyStr dsn, RagifyStr password, RagifyFault *fault)
{
  g_autofree char *text = g_strndup (dsn.size > 0 ? dsn.data : "", dsn.size);
  char *message = NULL;
  PQconninfoOption *options = PQconninfoParse (g_strstrip (text), &message);
  if (options == NULL) {
    refuse (message, text, fault);
    return NULL;
  }
  RagifyPostgresTarget *target = g_new0 (RagifyPostgresTarget, 1);
  target->options = options;
  target->password = password.size > 0 ? g_strndup (password.data, password.size) : NULL;
  bool good = true;
  if (option (target, "service") != NULL)
    good = ragify_fault_set (fault, RAGIFY_E_INVALID, "dsn: 'service' is not supported; name the host and database");
  if (good && fill_hosts (target, fault))
    return target;
  ragify_postgres_target_free (target);
  return NULL;
}

void
ragify_postgres_target_free (RagifyPostgresTarget *target)
{
  if (target == NULL)
    return;
  for (guint i = 0; i < target->n_hosts; i++) {
    g_free (target->hosts[i].name);
    g_free (target->hosts[i].address);
    g_free (target->hosts[i].port);
    g_free (target->hosts[i].label);
  }
  g_free (target->hosts);
  g_free (target->password);
  PQconninfoFree (target->options);
  g_free (target);
}

unsigned int
ragify_postgres_target_count (const RagifyPostgresTarget *target)
{
  return target->n_hosts;
}

const char *
ragify_postgres_target_name (const RagifyPostgresTarget *target, unsigned int host)
{
  return target->hosts[host].label;
}

const char *
ragify_postgres_target_unresolved (const RagifyPostgresTarget *target, unsigned int host)
{
  const Host *at = &target->hosts[host];
  return at->address == NULL && !is_socket (at->name) && !is_address (at->name) ? at->name : NULL;
}

uint64_t
ragify_postgres_target_timeout_us (const RagifyPostgresTarget *target)
{
  const char *text = option (target, "connect_timeout");
  const gint64 seconds = text != NULL ? g_ascii_strtoll (text, NULL, 10) : 0;
  return seconds > 0 ? (uint64_t)MIN (seconds, 3600) * G_USEC_PER_SEC : 0;
}

static gboolean
prefers_standby (const RagifyPostgresTarget *target)
{
  return g_strcmp0 (option (target, "target_session_attrs"), "prefer-standby") == 0;
}

unsigned int
ragify_postgres_target_rounds (const RagifyPostgresTarget *target)
{
  return prefers_standby (target) ? 2 : 1;
}

typedef struct Parameters {
  const char *keywords[96];
  const char *values[96];
  guint count;
} Parameters;

static void
add (Parameters *parameters, const char *keyword, const char *value)
{
  if (value == NULL || parameters->count + 1 >= G_N_ELEMENTS (parameters->keywords))
    return;
  parameters->keywords[parameters->count] = keyword;
  parameters->values[parameters->count++] = value;
}

/* A server that went away without a word is noticed within a minute; Kerberos, whose look-ups block, only where it is
 * asked for. */
static void
add_default (const RagifyPostgresTarget *target, Parameters *parameters, const char *keyword, const char *value)
{
  if (option (target, keyword) == NULL)
    add (parameters, keyword, value);
}

static gboolean
is_ours (const char *keyword)
{
  static const char *const ours[] = { "host",           "hostaddr", "port", "target_session_attrs", "connect_timeout",
                                      "client_encoding" };
  for (guint i = 0; i < G_N_ELEMENTS (ours); i++)
    if (strcmp (ours[i], keyword) == 0)
      return TRUE;
  return FALSE;
}

PGconn *
ragify_postgres_target_connect (const RagifyPostgresTarget *target, unsigned int host, const char *address,
                                unsigned int round)
{
  const Host *at = &target->hosts[host];
  Parameters parameters = { .count = 0 };
  for (const PQconninfoOption *own = target->options; own->keyword != NULL; own++)
    if (!is_ours (own->keyword) && !(target->password != NULL && strcmp (own->keyword, "password") == 0))
      add (&parameters, own->keyword, own->val);
  add (&parameters, "password", target->password);
  add (&parameters, "host", at->name);
  add (&parameters, "hostaddr", address != NULL ? address : at->address);
  add (&parameters, "port", at->port);
  add (&parameters, "client_encoding", "UTF8");
  const char *attributes = option (target, "target_session_attrs");
  if (prefers_standby (target))
    attributes = round == 0 ? "standby" : "any";
  add (&parameters, "target_session_attrs", attributes);
  add_default (target, &parameters, "fallback_application_name", "ragify");
  add_default (target, &parameters, "gssencmode", "disable");
  add_default (target, &parameters, "keepalives_idle", "30");
  add_default (target, &parameters, "keepalives_interval", "10");
  add_default (target, &parameters, "keepalives_count", "3");
  return PQconnectStartParams (parameters.keywords, parameters.values, 0);
}
