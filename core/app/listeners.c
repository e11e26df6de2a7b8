/* SPDX-License-Identifier: MIT */
#include "core/app/listeners.h"

#include <stdio.h>
#include <sys/resource.h>

#include "core/app/restart-keys.h"

typedef struct Entry {
  RagifyConfig *config; /* a reference; it was opened with */
  const RagifyConfigNode *node;
  RagifyServer *server;
  const RagifyConfigNode *next; /* while a change is prepared: the node that takes its place; NULL: it goes */
  gboolean fresh;               /* opened by the change that is being prepared */
} Entry;

struct RagifyListeners {
  RagifyRuntime *runtime;
  const RagifyAdmin *admin;
  GPtrArray *entries; /* Entry */
  GPtrArray *retired; /* RagifyServer */
};

static void
entry_free (gpointer data)
{
  Entry *entry = data;
  g_clear_pointer (&entry->server, ragify_server_free);
  ragify_config_unref (entry->config);
  g_free (entry);
}

static GPtrArray *
new_server_list (void)
{
  return g_ptr_array_new_with_free_func ((GDestroyNotify)ragify_server_free);
}

RagifyListeners *
ragify_listeners_new (RagifyRuntime *runtime, const RagifyAdmin *admin)
{
  RagifyListeners *listeners = g_new0 (RagifyListeners, 1);
  listeners->runtime = runtime;
  listeners->admin = admin;
  listeners->entries = g_ptr_array_new_with_free_func (entry_free);
  listeners->retired = new_server_list ();
  return listeners;
}

void
ragify_listeners_free (RagifyListeners *listeners)
{
  g_ptr_array_unref (listeners->retired);
  g_ptr_array_unref (listeners->entries);
  g_free (listeners);
}

/* ---- opening ---- */

static guint
connection_limit (gint64 configured)
{
  if (configured > 0)
    return (guint)configured;
  struct rlimit limit;
  const guint64 files = getrlimit (RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 1024;
  return (guint)CLAMP (files > 256 ? files - 128 : files / 2, 16, 1000000); /* some are the plugins' and the stores' */
}

static RagifyListenOptions
options_of (const RagifyListeners *listeners, const RagifyConfigNode *config)
{
  return (RagifyListenOptions){
    .listen = ragify_config_node_get_string (config, "listen"),
    .api_keys_file = ragify_config_node_get_string (config, "api-keys-file"),
    .cors_origins = ragify_config_node_get_list (config, "cors-origins", NULL),
    .tls_cert = ragify_config_node_get_string (config, "tls-cert"),
    .tls_key = ragify_config_node_get_string (config, "tls-key"),
    .access_log = ragify_config_node_get_bool (config, "access-log"),
    .max_head = ragify_config_node_get_size (config, "max-head"),
    .max_body = ragify_config_node_get_size (config, "max-body"),
    .max_document_body = ragify_config_node_get_size (config, "max-document-body"),
    .head_timeout_us = ragify_config_node_get_duration (config, "head-timeout"),
    .body_timeout_us = ragify_config_node_get_duration (config, "body-timeout"),
    .idle_timeout_us = ragify_config_node_get_duration (config, "idle-timeout"),
    .max_connections = connection_limit (ragify_config_node_get_int (config, "max-connections")),
    .client_rate = ragify_config_node_get_double (config, "client-rate"),
    .client_burst = (guint)ragify_config_node_get_int (config, "client-burst"),
    .max_connections_per_client = (guint)ragify_config_node_get_int (config, "max-connections-per-client"),
    .admin = listeners->admin,
  };
}

/* Port 0 is a free port for each that asks; any other address is one place. */
static gboolean
is_same_place (const RagifyConfigNode *before, const RagifyConfigNode *after)
{
  const char *address = ragify_config_node_get_string (after, "listen");
  if (!g_str_equal (ragify_config_node_get_string (before, "listen"), address))
    return FALSE;
  return !g_str_has_suffix (address, ":0") ||
         g_str_equal (ragify_config_node_name (before), ragify_config_node_name (after));
}

static Entry *
find_entry (const RagifyListeners *listeners, const RagifyConfigNode *node)
{
  for (guint i = 0; i < listeners->entries->len; i++) {
    Entry *entry = g_ptr_array_index (listeners->entries, i);
    if (!entry->fresh && is_same_place (entry->node, node))
      return entry;
  }
  return NULL;
}

static void
open_entry (RagifyListeners *listeners, RagifyConfig *config, const RagifyConfigNode *node, RagifyServing *serving,
            RagifyDiagnostics *diagnostics)
{
  const RagifyListenOptions options = options_of (listeners, node);
  g_autoptr (GError) error = NULL;
  RagifyServer *server = ragify_server_new (listeners->runtime, &options, serving, &error);
  if (server == NULL) {
    ragify_diagnostics_add (diagnostics, RAGIFY_SEVERITY_ERROR, node, "listen", "%s", error->message);
    return;
  }
  Entry *entry = g_new0 (Entry, 1);
  *entry = (Entry){ .config = ragify_config_ref (config), .node = node, .server = server, .next = node, .fresh = TRUE };
  g_ptr_array_add (listeners->entries, entry);
}

gboolean
ragify_listeners_prepare (RagifyListeners *listeners, RagifyConfig *config, RagifyServing *serving,
                          RagifyDiagnostics *diagnostics)
{
  gsize count;
  const RagifyConfigNode *const *nodes = ragify_config_nodes (config, &count);
  for (guint i = 0; i < listeners->entries->len; i++)
    ((Entry *)g_ptr_array_index (listeners->entries, i))->next = NULL;
  for (gsize i = 0; i < count; i++) {
    if (!g_str_equal (ragify_config_node_kind (nodes[i]), "http"))
      continue;
    Entry *entry = find_entry (listeners, nodes[i]);
    if (entry != NULL)
      entry->next = nodes[i];
    else
      open_entry (listeners, config, nodes[i], serving, diagnostics);
  }
  if (ragify_diagnostics_count (diagnostics, RAGIFY_SEVERITY_ERROR) == 0)
    return TRUE;
  ragify_listeners_abandon (listeners);
  return FALSE;
}

void
ragify_listeners_abandon (RagifyListeners *listeners)
{
  for (guint i = listeners->entries->len; i > 0; i--)
    if (((Entry *)g_ptr_array_index (listeners->entries, i - 1))->fresh)
      g_ptr_array_remove_index (listeners->entries, i - 1);
}

/* ---- changing ---- */

static void
commit_entry (RagifyListeners *listeners, Entry *entry, RagifyServing *serving, RagifyDiagnostics *diagnostics)
{
  if (!entry->fresh) {
    const RagifyListenOptions options = options_of (listeners, entry->next);
    ragify_restart_keys_name (entry->node, entry->next, diagnostics);
    ragify_server_set_options (entry->server, &options);
  }
  entry->fresh = FALSE;
  ragify_server_set_serving (entry->server, serving);
}

void
ragify_listeners_commit (RagifyListeners *listeners, RagifyServing *serving, RagifyDiagnostics *diagnostics)
{
  for (guint i = 0; i < listeners->entries->len; i++) {
    Entry *entry = g_ptr_array_index (listeners->entries, i);
    if (entry->next != NULL) {
      commit_entry (listeners, entry, serving, diagnostics);
      continue;
    }
    ragify_server_set_serving (entry->server, serving);
    g_ptr_array_add (listeners->retired, g_steal_pointer (&entry->server));
    g_ptr_array_remove_index (listeners->entries, i--);
  }
}

static guint
drain_all (const GPtrArray *servers, guint64 deadline)
{
  guint left = 0;
  for (guint i = 0; i < servers->len; i++)
    left += ragify_server_drain (g_ptr_array_index (servers, i), deadline);
  return left;
}

GPtrArray *
ragify_listeners_take_retired (RagifyListeners *listeners)
{
  GPtrArray *retired = listeners->retired;
  listeners->retired = new_server_list ();
  return retired;
}

void
ragify_listeners_close (GPtrArray *servers, guint64 timeout)
{
  for (guint i = 0; i < servers->len; i++)
    ragify_server_set_unready (g_ptr_array_index (servers, i), "this address is no longer configured");
  const guint left = drain_all (servers, ragify_now () + timeout);
  if (left > 0)
    g_warning ("%u requests were still under way when the drain timeout of a removed listener was over", left);
  g_ptr_array_set_size (servers, 0);
}

/* ---- all of them ---- */

void
ragify_listeners_announce (const RagifyListeners *listeners)
{
  for (guint i = 0; i < listeners->entries->len; i++) {
    g_autofree char *url = ragify_server_url (((const Entry *)g_ptr_array_index (listeners->entries, i))->server);
    printf ("listening on %s\n", url);
  }
  fflush (stdout);
}

void
ragify_listeners_unready (RagifyListeners *listeners, const char *reason)
{
  for (guint i = 0; i < listeners->entries->len; i++)
    ragify_server_set_unready (((Entry *)g_ptr_array_index (listeners->entries, i))->server, reason);
}

guint
ragify_listeners_drain (RagifyListeners *listeners, guint64 deadline)
{
  g_autoptr (GPtrArray) servers = g_ptr_array_new ();
  for (guint i = 0; i < listeners->entries->len; i++)
    g_ptr_array_add (servers, ((Entry *)g_ptr_array_index (listeners->entries, i))->server);
  ragify_listeners_unready (listeners, "shutting down");
  return drain_all (servers, deadline) + drain_all (listeners->retired, deadline);
}
