#include "host-process.h"

#include "http-client.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

G_DEFINE_QUARK (ragify - host - process - error - quark, ragify_host_process_error)

enum {
  POLL_INTERVAL = 10 * 1000,       /* µs */
  STOP_WAIT = 20 * G_USEC_PER_SEC, /* µs until SIGKILL */
};

struct _RagifyHostProcess {
  GPid pid;
};

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

static GPid
spawn (const char *binary, const char *const *configs, int cpu, GError **error)
{
  g_autoptr (GPtrArray) arguments = g_ptr_array_new ();
  g_ptr_array_add (arguments, (gpointer)binary);
  for (gsize i = 0; configs != NULL && configs[i] != NULL; i++) {
    g_ptr_array_add (arguments, (gpointer) "--config");
    g_ptr_array_add (arguments, (gpointer)configs[i]);
  }
  g_ptr_array_add (arguments, NULL);

  GPid pid = 0;
  GSpawnFlags flags = G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_SEARCH_PATH;
  g_autoptr (GError) reason = NULL;
  if (!g_spawn_async (NULL, (char **)arguments->pdata, NULL, flags, prepare_child, &cpu, &pid, &reason)) {
    g_set_error (error, RAGIFY_HOST_PROCESS_ERROR, RAGIFY_HOST_PROCESS_ERROR_START, "cannot start %s: %s", binary,
                 reason->message);
    return 0;
  }
  return pid;
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

RagifyHostProcess *
ragify_host_process_start (const char *binary, const char *const *configs, const char *url, guint wait, int cpu,
                           GError **error)
{
  g_autoptr (RagifyHttpClient) client = ragify_http_client_new (url, 5, 1, error);
  if (client == NULL)
    return NULL;

  gboolean answered = FALSE;
  is_ready (client, &answered);
  if (answered) {
    g_set_error (error, RAGIFY_HOST_PROCESS_ERROR, RAGIFY_HOST_PROCESS_ERROR_START,
                 "something answers at %s already; stop it, or use it without --host-binary", url);
    return NULL;
  }
  GPid pid = spawn (binary, configs, cpu, error);
  if (pid == 0)
    return NULL;

  RagifyHostProcess *host = g_new0 (RagifyHostProcess, 1);
  host->pid = pid;
  if (!wait_ready (host, binary, client, wait, error)) {
    ragify_host_process_stop (host);
    return NULL;
  }
  return host;
}

void
ragify_host_process_stop (RagifyHostProcess *host)
{
  if (host == NULL)
    return;
  if (host->pid > 0) {
    gint64 end = g_get_monotonic_time () + STOP_WAIT;
    kill (host->pid, SIGTERM);
    while (waitpid (host->pid, NULL, WNOHANG) == 0) {
      if (g_get_monotonic_time () > end)
        kill (host->pid, SIGKILL);
      g_usleep (POLL_INTERVAL);
    }
  }
  g_free (host);
}

pid_t
ragify_host_process_get_pid (const RagifyHostProcess *host)
{
  return host->pid;
}
