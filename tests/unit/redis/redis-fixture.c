#include "redis-fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <hiredis/hiredis.h>

#define PATIENCE 6000 /* times 10 ms */

uint16_t
free_port (void)
{
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  socklen_t size = sizeof address;
  const int fd = socket (AF_INET, SOCK_STREAM, 0);
  assert_true (fd >= 0);
  assert_int_equal (bind (fd, (struct sockaddr *)&address, sizeof address), 0);
  assert_int_equal (getsockname (fd, (struct sockaddr *)&address, &size), 0);
  (void)close (fd);
  return ntohs (address.sin_port);
}

/* In the child: nothing survives the test program. */
static void
become (char *const *command)
{
  (void)prctl (PR_SET_PDEATHSIG, SIGKILL);
  (void)execvp (command[0], command);
  _exit (127);
}

static void
run_server (RedisServer *server)
{
  char port[8];
  char log[96];
  const char *command[16 + SERVER_ARGUMENTS] = { "redis-server" };
  int count = 1;
  (void)snprintf (port, sizeof port, "%u", server->port);
  (void)snprintf (log, sizeof log, "%s/redis.log", server->folder);
  const char *common[] = { server->tls ? "--tls-port" : "--port",
                           port,
                           "--bind",
                           "127.0.0.1",
                           "--save",
                           "",
                           "--appendonly",
                           "no",
                           "--dir",
                           server->folder,
                           "--logfile",
                           log };
  /* A configuration file, such as Sentinel's, says everything. */
  const bool file = server->arguments[0] != NULL && server->arguments[0][0] == '/';
  for (size_t j = 0; !file && j < sizeof common / sizeof common[0]; j++)
    command[count++] = common[j];
  if (server->tls) {
    command[count++] = "--port";
    command[count++] = "0";
  }
  for (int i = 0; server->arguments[i] != NULL; i++)
    command[count++] = server->arguments[i];
  server->pid = fork ();
  assert_true (server->pid >= 0);
  if (server->pid == 0)
    become ((char *const *)command);
}

static void
show_log (const RedisServer *server)
{
  char line[400];
  char path[96];
  (void)snprintf (path, sizeof path, "%s/redis.log", server->folder);
  FILE *log = fopen (path, "r");
  while (log != NULL && fgets (line, sizeof line, log) != NULL)
    (void)fprintf (stderr, "# %s", line);
  if (log != NULL)
    (void)fclose (log);
}

/* Whether somebody accepts on its port. */
static bool
is_listening (const RedisServer *server)
{
  const struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_port = htons (server->port),
                                       .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  const int fd = socket (AF_INET, SOCK_STREAM, 0);
  const bool well = connect (fd, (const struct sockaddr *)&address, sizeof address) == 0;
  (void)close (fd);
  return well;
}

static void
await_server (const RedisServer *server)
{
  for (int i = 0; i < PATIENCE; i++) {
    if (is_listening (server))
      return;
    if (waitpid (server->pid, NULL, WNOHANG) == server->pid)
      break;
    (void)usleep (10000);
  }
  show_log (server);
  fail_msg ("redis-server on port %u did not start", server->port);
}

void
redis_server_prepare (RedisServer *server, const char *const *arguments)
{
  const bool tls = server->tls;
  *server = (RedisServer){ .port = free_port (), .tls = tls };
  (void)snprintf (server->folder, sizeof server->folder, "/tmp/ragify-redis-XXXXXX");
  assert_non_null (mkdtemp (server->folder));
  for (int i = 0; arguments != NULL && arguments[i] != NULL; i++)
    server->arguments[i] = arguments[i];
}

void
redis_server_start (RedisServer *server, const char *const *arguments)
{
  redis_server_prepare (server, arguments);
  redis_server_restart (server);
}

void
redis_server_restart (RedisServer *server)
{
  redis_server_kill (server);
  run_server (server);
  await_server (server);
}

void
redis_server_kill (RedisServer *server)
{
  if (server->pid <= 0)
    return;
  (void)kill (server->pid, SIGKILL);
  (void)waitpid (server->pid, NULL, 0);
  server->pid = 0;
}

void
redis_server_signal (const RedisServer *server, int number)
{
  assert_int_equal (kill (server->pid, number), 0);
}

void
redis_server_end (RedisServer *server)
{
  char command[128];
  redis_server_kill (server);
  if (server->folder[0] == '\0')
    return;
  (void)snprintf (command, sizeof command, "rm -rf '%s'", server->folder);
  assert_int_equal (system (command), 0);
  server->folder[0] = '\0';
}

static void
print_reply (const redisReply *reply, char *text, size_t room)
{
  if (reply->type == REDIS_REPLY_INTEGER)
    (void)snprintf (text, room, "%lld", reply->integer);
  else if (reply->type == REDIS_REPLY_NIL)
    (void)snprintf (text, room, "(nil)");
  else if (reply->type == REDIS_REPLY_ARRAY) {
    text[0] = '\0';
    for (size_t i = 0; i < reply->elements; i++) {
      const size_t used = strlen (text);
      if (used + 2 >= room)
        return;
      if (i > 0)
        text[used] = ' ';
      print_reply (reply->element[i], text + used + (i > 0), room - used - (i > 0));
    }
  } else
    (void)snprintf (text, room, "%s", reply->str);
}

/* NULL where the connection was lost, as Sentinel does to clients of a server whose part it changes. */
static redisReply *
ask_once (const RedisServer *server, const char *command)
{
  const struct timeval patience = { 60, 0 };
  redisContext *context = redisConnectWithTimeout ("127.0.0.1", server->port, patience);
  if (context == NULL || context->err != 0)
    fail_msg ("no connection to port %u", server->port);
  (void)redisSetTimeout (context, patience);
  redisReply *reply = redisCommand (context, command); /* NOLINT: no % is in it */
  redisFree (context);
  return reply;
}

const char *
redis_server_ask (const RedisServer *server, const char *format, ...)
{
  static char text[65536];
  char command[1024];
  va_list arguments;
  va_start (arguments, format);
  (void)vsnprintf (command, sizeof command, format, arguments);
  va_end (arguments);
  redisReply *reply = NULL;
  for (int i = 0; i < 10 && reply == NULL; i++)
    reply = ask_once (server, command);
  if (reply == NULL)
    fail_msg ("no reply to %s", command);
  print_reply (reply, text, sizeof text);
  freeReplyObject (reply);
  return text;
}

void
redis_server_await (const RedisServer *server, const char *command, const char *part)
{
  const char *reply = "";
  for (int i = 0; i < PATIENCE; i++) {
    reply = redis_server_ask (server, "%s", command);
    if (strstr (reply, part) != NULL)
      return;
    (void)usleep (10000);
  }
  show_log (server);
  fail_msg ("%s: expected '%s' in '%s'", command, part, reply);
}

/* ---- the proxy ---- */

static void
read_line (const FaultProxy *proxy, char *line, size_t room)
{
  size_t size = 0;
  while (size + 1 < room && read (proxy->from, line + size, 1) == 1 && line[size] != '\n')
    size++;
  line[size] = '\0';
}

void
fault_proxy_start (FaultProxy *proxy, uint16_t target)
{
  int to[2];
  int from[2];
  char place[32];
  char line[64];
  const char *script = getenv ("FAULT_PROXY");
  assert_non_null (script);
  (void)snprintf (place, sizeof place, "127.0.0.1:%u", target);
  assert_int_equal (pipe2 (to, O_CLOEXEC), 0);
  assert_int_equal (pipe2 (from, O_CLOEXEC), 0);
  proxy->pid = fork ();
  assert_true (proxy->pid >= 0);
  if (proxy->pid == 0) {
    char *command[] = { "python3", (char *)script, place, NULL };
    (void)dup2 (to[0], 0);
    (void)dup2 (from[1], 1);
    become (command);
  }
  (void)close (to[0]);
  (void)close (from[1]);
  proxy->to = to[1];
  proxy->from = from[0];
  read_line (proxy, line, sizeof line);
  proxy->port = (uint16_t)atoi (line);
  assert_true (proxy->port > 0);
}

void
fault_proxy_tell (FaultProxy *proxy, const char *command)
{
  char line[256];
  assert_true (dprintf (proxy->to, "%s\n", command) > 0);
  read_line (proxy, line, sizeof line);
  assert_string_equal (line, "ok");
}

void
fault_proxy_end (FaultProxy *proxy)
{
  if (proxy->pid <= 0)
    return;
  (void)kill (proxy->pid, SIGKILL);
  (void)waitpid (proxy->pid, NULL, 0);
  (void)close (proxy->to);
  (void)close (proxy->from);
  *proxy = (FaultProxy){ 0 };
}
