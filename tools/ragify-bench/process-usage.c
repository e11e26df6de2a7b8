#include "process-usage.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static gboolean
read_file (pid_t pid, const char *name, char **text, GError **error)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/%s", (int)pid, name);
  g_autoptr (GError) reason = NULL;
  if (g_file_get_contents (path, text, NULL, &reason))
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "cannot measure process %d: %s", (int)pid, reason->message);
  return FALSE;
}

static gboolean
add_cpu (pid_t pid, RagifyProcessUsage *usage, GError **error)
{
  clockid_t clock = 0;
  struct timespec time = { 0 };
  int reason = clock_getcpuclockid (pid, &clock);
  if (reason != 0 || clock_gettime (clock, &time) < 0) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "cannot measure process %d: %s", (int)pid,
                 g_strerror (reason != 0 ? reason : errno));
    return FALSE;
  }
  usage->cpu += (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
  return TRUE;
}

static gboolean
add_ticks (pid_t pid, RagifyProcessUsage *usage, GError **error)
{
  g_autofree char *text = NULL;
  if (!read_file (pid, "stat", &text, error))
    return FALSE;
  /* The command's name may hold blanks and parentheses; utime and stime are fields 14 and 15, counted from 1. */
  const char *rest = strrchr (text, ')');
  unsigned long user = 0;
  unsigned long system = 0;
  if (rest == NULL || sscanf (rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "cannot measure process %d: its stat does not read as expected",
                 (int)pid);
    return FALSE;
  }
  usage->user += (double)user / (double)sysconf (_SC_CLK_TCK);
  usage->system += (double)system / (double)sysconf (_SC_CLK_TCK);
  return TRUE;
}

/* "Pss:   123 kB" */
static guint64
find_kilobytes (const char *text, const char *name)
{
  const char *line = strstr (text, name);
  return line != NULL ? g_ascii_strtoull (line + strlen (name), NULL, 10) * 1024 : 0;
}

static gboolean
add_memory (pid_t pid, RagifyProcessUsage *usage, GError **error)
{
  g_autofree char *rollup = NULL;
  g_autofree char *status = NULL;
  if (!read_file (pid, "smaps_rollup", &rollup, error) || !read_file (pid, "status", &status, error))
    return FALSE;
  usage->pss += find_kilobytes (rollup, "\nPss:");
  usage->rss += find_kilobytes (rollup, "\nRss:");
  usage->peak += find_kilobytes (status, "\nVmHWM:");
  return TRUE;
}

gboolean
ragify_process_usage_read (const pid_t *pids, guint count, gboolean with_memory, RagifyProcessUsage *usage,
                           GError **error)
{
  RagifyProcessUsage sum = { 0 };
  for (guint i = 0; i < count; i++)
    if (!add_cpu (pids[i], &sum, error) || !add_ticks (pids[i], &sum, error) ||
        (with_memory && !add_memory (pids[i], &sum, error)))
      return FALSE;
  *usage = sum;
  return TRUE;
}
