/* SPDX-License-Identifier: MIT */
#include "scripted-http.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct ScriptedHttp {
  GPid process;
  int input, output;
  guint port;
};

ScriptedHttp *
scripted_http_new (const char *script, guint port)
{
  ScriptedHttp *server = g_new0 (ScriptedHttp, 1);
  g_autofree char *wanted = g_strdup_printf ("%u", port);
  char *arguments[] = { "/usr/bin/python3", (char *)script, "--port", wanted, NULL };
  g_autoptr (GError) error = NULL;
  if (!g_spawn_async_with_pipes (NULL, arguments, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &server->process,
                                 &server->input, &server->output, NULL, &error))
    g_error ("%s: %s", script, error->message);
  char line[64] = "";
  gsize size = 0;
  while (size < sizeof line - 1 && strchr (line, '\n') == NULL) {
    const gssize got = read (server->output, line + size, sizeof line - 1 - size);
    if (got <= 0)
      g_error ("%s did not start", script);
    size += (gsize)got;
  }
  if (sscanf (line, "port %u", &server->port) != 1)
    g_error ("%s said '%s'", script, line);
  return server;
}

void
scripted_http_free (ScriptedHttp *server)
{
  kill (server->process, SIGKILL);
  waitpid (server->process, NULL, 0);
  g_spawn_close_pid (server->process);
  close (server->input);
  close (server->output);
  g_free (server);
}

guint
scripted_http_port (const ScriptedHttp *server)
{
  return server->port;
}

void
scripted_http_signal (ScriptedHttp *server, int number)
{
  kill (server->process, number);
}

static int
connect_to (guint port)
{
  const int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_port = htons ((guint16)port),
                                       .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  if (connect (fd, (const struct sockaddr *)&address, sizeof address) == 0)
    return fd;
  close (fd);
  return -1;
}

char *
scripted_http_get (const ScriptedHttp *server, const char *path)
{
  const int fd = connect_to (server->port);
  if (fd < 0)
    return g_strdup ("");
  g_autofree char *request = g_strdup_printf ("GET %s HTTP/1.1\r\nHost: test\r\n\r\n", path);
  GString *answer = g_string_new (NULL);
  char piece[65536];
  gssize got = write (fd, request, strlen (request));
  shutdown (fd, SHUT_WR);
  while (got > 0 && (got = read (fd, piece, sizeof piece)) > 0)
    g_string_append_len (answer, piece, got);
  close (fd);
  const char *body = strstr (answer->str, "\r\n\r\n");
  char *text = g_strdup (body != NULL ? body + 4 : "");
  g_string_free (answer, TRUE);
  return text;
}

gboolean
scripted_http_await (const ScriptedHttp *server, const char *path, const char *text)
{
  for (guint i = 0; i < 3000; i++) {
    g_autofree char *said = scripted_http_get (server, path);
    if (strstr (said, text) != NULL)
      return TRUE;
    g_usleep (10000);
  }
  return FALSE;
}
