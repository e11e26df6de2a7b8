#include "host-process.h"

#include "http-client.h"

#include <ftw.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

G_DEFINE_QUARK (ragify - host - process - error - quark, ragify_host_process_error)

enum {
  POLL_INTERVAL = 10 * 1000,       /* µs */
  STOP_WAIT = 20 * G_USEC_PER_SEC, /* µs until SIGKILL */
};

struct _RagifyHostProcess {
  GPid pid;
  char *url;
  char *temporary; /* the state folder to be removed, or NULL */
};

void
ragify_host_process_options_init (RagifyHostProcessOptions *options)
{
  *options = (RagifyHostProcessOptions){ .cpu = -1 };
}

void
ragify_host_process_options_clear (RagifyHostProcessOptions *options)
{
  g_free (options->binary);
  g_strfreev (options->configs);
  g_strfreev (options->extra);
  g_free (options->state_dir);
}

void
ragify_host_process_options_add_entries (RagifyHostProcessOptions *options, GOptionContext *context)
{
  const GOptionEntry entries[] = {
    { "host-binary", 0, 0, G_OPTION_ARG_FILENAME, &options->binary,
      "Start this ragify-host for it, at --url or a free port, and stop it afterwards", "PATH" },
    { "config", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->configs, "That host's configuration (may be repeated)",
      "PATH" },
    { "state-dir", 0, 0, G_OPTION_ARG_FILENAME, &options->state_dir,
      "That host's state (default: an empty folder, removed afterwards)", "DIR" },
    { "host-option", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options->extra,
      "One more argument for that host, such as --models-dir=DIR (may be repeated)", "ARGUMENT" },
    { "host-cpu", 0, 0, G_OPTION_ARG_INT, &options->cpu, "Bind that host to a core", "CORE" },
    G_OPTION_ENTRY_NULL,
  };
  g_option_context_add_main_entries (context, entries, NULL);
}

static void
prepare_child (gpointer data)
{
  const int *cpu = data;
  prctl (PR_SET_PDEATHSIG, SIGTERM);
  if (*cpu < 0)
    return;
  cpu_set_t set;
  CPU_ZERO (&set);
  CPU_SET ((size_t)*cpu, &set);
  sched_setaffinity (0, sizeof set, &set);
}

/* "127.0.0.1:PORT" of the URL, as --listen takes it. */
static char *
listen_address (const char *url)
{
  g_autoptr (GUri) uri = g_uri_parse (url, G_URI_FLAGS_NONE, NULL);
  const char *name = g_uri_get_host (uri);
  int port = g_uri_get_port (uri) > 0 ? g_uri_get_port (uri) : 80;
  return g_strdup_printf (strchr (name, ':') != NULL ? "[%s]:%d" : "%s:%d", name, port);
}

/* A port that nobody listens at now. Another process may take it before the host does; then the host says so and ends.
 */
static int
find_free_port (void)
{
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  socklen_t length = sizeof address;
  int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int port = 8080;
  if (fd >= 0 && bind (fd, (const struct sockaddr *)&address, sizeof address) == 0 &&
      getsockname (fd, (struct sockaddr *)&address, &length) == 0)
    port = ntohs (address.sin_port);
  if (fd >= 0)
    close (fd);
  return port;
}

static GPtrArray *
make_arguments (const RagifyHostProcessOptions *options, const char *url, const char *state_dir)
{
  GPtrArray *arguments = g_ptr_array_new_with_free_func (g_free);
  g_ptr_array_add (arguments, g_strdup (options->binary));
  for (gsize i = 0; options->configs != NULL && options->configs[i] != NULL; i++) {
    g_ptr_array_add (arguments, g_strdup ("--config"));
    g_ptr_array_add (arguments, g_strdup (options->configs[i]));
  }
  g_ptr_array_add (arguments, g_strdup ("--state-dir"));
  g_ptr_array_add (arguments, g_strdup (state_dir));
  g_ptr_array_add (arguments, g_strdup ("--listen"));
  g_ptr_array_add (arguments, listen_address (url));
  for (gsize i = 0; options->extra != NULL && options->extra[i] != NULL; i++)
    g_ptr_array_add (arguments, g_strdup (options->extra[i]));
  g_ptr_array_add (arguments, NULL);
  return arguments;
}

static GPid
spawn (GPtrArray *arguments, int cpu, GError **error)
{
  GPid pid = 0;
  GSpawnFlags flags = G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_SEARCH_PATH;
  g_autoptr (GError) reason = NULL;
  if (g_spawn_async (NULL, (char **)arguments->pdata, NULL, flags, prepare_child, &cpu, &pid, &reason))
    return pid;
  g_set_error (error, RAGIFY_HOST_PROCESS_ERROR, RAGIFY_HOST_PROCESS_ERROR_START, "cannot start %s: %s",
               (const char *)g_ptr_array_index (arguments, 0), reason->message);
  return 0;
}

static int
remove_entry (const char *path, const struct stat *status, int kind, struct FTW *place)
{
  remove (path);
  return 0;
}

static gboolean
is_ready (RagifyHttpClient *client, gboolean *answered)
{
  g_autoptr (RagifyHttpReply) reply = ragify_http_client_send (client, "GET", "/readyz", NULL, NULL, NULL);
  *answered = reply != NULL;
  return reply != NULL && reply->status == 200;
}

static gboolean
wait_ready (RagifyHostProcess *host, const char *binary, RagifyHttpClient *client, guint wait, GError **error)
{
  gint64 end = g_get_monotonic_time () + (gint64)wait * G_USEC_PER_SEC;
  gboolean answered = FALSE;
  while (!is_ready (client, &answered)) {
    int status = 0;
    if (waitpid (host->pid, &status, WNOHANG) == host->pid) {
      host->pid = 0;
      g_set_error (error, RAGIFY_HOST_PROCESS_ERROR, RAGIFY_HOST_PROCESS_ERROR_ENDED,
                   "%s ended before it was ready (%s %d)", binary, WIFEXITED (status) ? "exit code" : "signal",
                   WIFEXITED (status) ? WEXITSTATUS (status) : WTERMSIG (status));
      return FALSE;
    }
    if (g_get_monotonic_time () > end) {
      g_set_error (error, RAGIFY_HOST_PROCESS_ERROR, RAGIFY_HOST_PROCESS_ERROR_SLOW,
                   "%s is not ready at %s after %u s (%s)", binary, ragify_http_client_get_url (client), wait,
                   answered ? "it answers, but not ready" : "nothing answers there");
      return FALSE;
    }
    g_usleep (POLL_INTERVAL);
  }
  return TRUE;
}

static gboolean
is_free (RagifyHttpClient *client, GError **error)
{
  gboolean answered = FALSE;
  is_ready (client, &answered);
  if (!answered)
    return TRUE;
  g_set_error (error, RAGIFY_HOST_PROCESS_ERROR, RAGIFY_HOST_PROCESS_ERROR_START,
               "something answers at %s already; stop it, or use it without --host-binary",
               ragify_http_client_get_url (client));
  return FALSE;
}

static char *
make_temporary (GError **error)
{
  g_autoptr (GError) reason = NULL;
  char *folder = g_dir_make_tmp ("ragify-state-XXXXXX", &reason);
  if (folder == NULL)
    g_set_error (error, RAGIFY_HOST_PROCESS_ERROR, RAGIFY_HOST_PROCESS_ERROR_START, "cannot make a state folder: %s",
                 reason->message);
  return folder;
}

RagifyHostProcess *
ragify_host_process_start (const RagifyHostProcessOptions *options, const char *url, guint wait, GError **error)
{
  g_autofree char *own_url = url != NULL ? g_strdup (url) : g_strdup_printf ("http://127.0.0.1:%d", find_free_port ());
  g_autoptr (RagifyHttpClient) client = ragify_http_client_new (own_url, 5, 1, error);
  if (client == NULL || !is_free (client, error))
    return NULL;

  g_autoptr (RagifyHostProcess) host = g_new0 (RagifyHostProcess, 1);
  host->url = g_steal_pointer (&own_url);
  if (options->state_dir == NULL) {
    host->temporary = make_temporary (error);
    if (host->temporary == NULL)
      return NULL;
  }
  const char *state_dir = options->state_dir != NULL ? options->state_dir : host->temporary;
  g_autoptr (GPtrArray) arguments = make_arguments (options, host->url, state_dir);
  host->pid = spawn (arguments, options->cpu, error);
  if (host->pid == 0 || !wait_ready (host, options->binary, client, wait, error))
    return NULL;
  return g_steal_pointer (&host);
}

static void
end_process (GPid pid)
{
  gint64 end = g_get_monotonic_time () + STOP_WAIT;
  kill (pid, SIGTERM);
  while (waitpid (pid, NULL, WNOHANG) == 0) {
    if (g_get_monotonic_time () > end)
      kill (pid, SIGKILL);
    g_usleep (POLL_INTERVAL);
  }
}

void
ragify_host_process_stop (RagifyHostProcess *host)
{
  if (host == NULL)
    return;
  if (host->pid > 0)
    end_process (host->pid);
  if (host->temporary != NULL)
    nftw (host->temporary, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
  g_free (host->temporary);
  g_free (host->url);
  g_free (host);
}

pid_t
ragify_host_process_get_pid (const RagifyHostProcess *host)
{
  return host->pid;
}

const char *
ragify_host_process_get_url (const RagifyHostProcess *host)
{
  return host->url;
}
