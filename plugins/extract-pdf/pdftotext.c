/* SPDX-License-Identifier: MIT */
#include "pdftotext.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <ragify/ragify.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_COMPLAINTS 4096u

typedef struct Running {
  GPid pid;
  int out, err; /* its standard output and error */
  GString *text, *complaints;
} Running;

/* In the child, between fork and exec: only what is safe there. */
static void
confine (gpointer data)
{
  const PdfLimits *limits = data;
  const struct rlimit memory = { limits->memory, limits->memory }, none = { 0, 0 };
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  setrlimit (RLIMIT_CORE, &none);
  if (limits->memory > 0)
    setrlimit (RLIMIT_AS, &memory);
}

/* The file, as something that pdftotext can open and nobody else can. */
static int
file_of (const guint8 *data, gsize size)
{
  const int fd = memfd_create ("pdf", 0); /* inherited */
  gsize written = 0;
  while (fd >= 0 && written < size) {
    const gssize got = write (fd, data + written, size - written);
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0) {
      close (fd);
      return -1;
    }
    written += (gsize)got;
  }
  return fd;
}

static gboolean
begin (Running *running, const char *command, int file, const PdfLimits *limits, RagifyFault *fault)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", file);
  const char *arguments[] = { command, "-enc", "UTF-8", "-eol", "unix", path, "-", NULL };
  if (g_spawn_async_with_pipes_and_fds (
          NULL, arguments, NULL, G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_SEARCH_PATH | G_SPAWN_CLOEXEC_PIPES, confine,
          (gpointer)limits, -1, -1, -1, &file, &file, 1, &running->pid, NULL, &running->out, &running->err, &error))
    return TRUE;
  ragify_fault_set (fault, RAGIFY_E_UNAVAILABLE, "%s", error->message);
  return FALSE;
}

/* FALSE at its end. */
static gboolean
take (int *fd, GString *text)
{
  char piece[65536];
  const gssize got = read (*fd, piece, sizeof piece);
  if (got < 0 && (errno == EINTR || errno == EAGAIN))
    return TRUE;
  if (got > 0) {
    g_string_append_len (text, piece, got);
    return TRUE;
  }
  close (*fd);
  *fd = -1;
  return FALSE;
}

/* Until both ends are reached; FALSE with the fault where it takes too long or says too much. */
static gboolean
gather (Running *running, const PdfLimits *limits, RagifyFault *fault)
{
  while (running->out >= 0 || running->err >= 0) {
    struct pollfd fds[] = { { running->out, POLLIN, 0 }, { running->err, POLLIN, 0 } };
    const gint64 left = (gint64)limits->deadline_us - g_get_monotonic_time ();
    const int ready = left > 0 ? poll (fds, 2, (int)MIN (left / 1000 + 1, 60000)) : 0;
    if (left <= 0)
      return ragify_fault_set (fault, RAGIFY_E_TIMEOUT, "takes pdftotext too long");
    if (ready <= 0)
      continue;
    if (fds[0].revents != 0)
      take (&running->out, running->text);
    if (fds[1].revents != 0)
      take (&running->err, running->complaints);
    if (running->text->len > limits->most)
      return ragify_fault_set (fault, RAGIFY_E_INVALID, "holds more text than max-text");
    if (running->complaints->len > MOST_COMPLAINTS)
      g_string_truncate (running->complaints, MOST_COMPLAINTS);
  }
  return TRUE;
}

static gboolean
judge (const Running *running, int status, RagifyFault *fault)
{
  if (WIFEXITED (status) && WEXITSTATUS (status) == 0)
    return TRUE;
  if (WIFSIGNALED (status))
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "pdftotext was ended by signal %d", WTERMSIG (status));
  if (strstr (running->complaints->str, "assword") != NULL)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "is encrypted, and needs a password");
  if (WEXITSTATUS (status) == 3)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "does not permit its text to be taken");
  char *line = strchr (running->complaints->str, '\n');
  if (line != NULL)
    *line = '\0';
  return ragify_fault_set (fault, RAGIFY_E_INVALID, "pdftotext cannot read it: %.200s",
                           *running->complaints->str != '\0' ? running->complaints->str : "no reason given");
}

static gboolean
run (Running *running, const PdfLimits *limits, RagifyFault *fault)
{
  int status = 0;
  const gboolean gathered = gather (running, limits, fault);
  if (!gathered)
    kill (running->pid, SIGKILL);
  while (waitpid (running->pid, &status, 0) < 0 && errno == EINTR)
    continue;
  g_spawn_close_pid (running->pid);
  return gathered && judge (running, status, fault);
}

GString *
pdf_to_text (const char *command, const guint8 *data, gsize size, const PdfLimits *limits, RagifyFault *fault)
{
  Running running = { .out = -1, .err = -1, .text = g_string_new (NULL), .complaints = g_string_new (NULL) };
  const int file = file_of (data, size);
  gboolean well = file >= 0 || ragify_fault_set (fault, RAGIFY_E_EXHAUSTED, "no memory for the file");
  well = well && begin (&running, command, file, limits, fault) && run (&running, limits, fault);
  if (file >= 0)
    close (file);
  if (running.out >= 0)
    close (running.out);
  if (running.err >= 0)
    close (running.err);
  g_string_free (running.complaints, TRUE);
  if (well)
    return running.text;
  g_string_free (running.text, TRUE);
  return NULL;
}
