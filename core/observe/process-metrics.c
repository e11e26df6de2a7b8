/* SPDX-License-Identifier: MIT */
#include "process-metrics.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Field `number` (from 1, as in proc(5)) of /proc/self/stat. */
static double
stat_field (guint number)
{
  g_autofree char *text = NULL;
  if (!g_file_get_contents ("/proc/self/stat", &text, NULL, NULL))
    return NAN;
  /* The second field is the name in brackets, which may hold anything. */
  const char *rest = strrchr (text, ')');
  if (rest == NULL || number < 3)
    return NAN;
  g_auto (GStrv) fields = g_strsplit (rest + 2, " ", (int)number);
  if (g_strv_length (fields) < number - 2)
    return NAN;
  return g_ascii_strtod (fields[number - 3], NULL);
}

static double
cpu_seconds (void *user)
{
  struct timespec now;
  if (clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &now) != 0)
    return NAN;
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double
virtual_bytes (void *user)
{
  return stat_field (23);
}

static double
resident_bytes (void *user)
{
  return stat_field (24) * (double)sysconf (_SC_PAGESIZE);
}

static double
thread_count (void *user)
{
  return stat_field (20);
}

static double
open_descriptors (void *user)
{
  DIR *folder = opendir ("/proc/self/fd");
  if (folder == NULL)
    return NAN;
  double count = -1; /* the folder's own */
  while (TRUE) {
    const struct dirent *entry = readdir (folder);
    if (entry == NULL)
      break;
    if (entry->d_name[0] != '.')
      count++;
  }
  closedir (folder);
  return count;
}

static double
max_descriptors (void *user)
{
  struct rlimit limit;
  return getrlimit (RLIMIT_NOFILE, &limit) == 0 ? (double)limit.rlim_cur : NAN;
}

double
ragify_process_uptime (void)
{
  struct timespec now;
  if (clock_gettime (CLOCK_BOOTTIME, &now) != 0)
    return NAN;
  const double started = stat_field (22) / (double)sysconf (_SC_CLK_TCK);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9 - started;
}

void
ragify_process_metrics_register (RagifyMetrics *metrics)
{
  static const struct {
    RagifySeriesType type;
    const char *name;
    const char *help;
    double (*read) (void *user);
  } table[] = {
    { RAGIFY_SERIES_COUNTER, "process_cpu_seconds", "User and system CPU time spent.", cpu_seconds },
    { RAGIFY_SERIES_GAUGE, "process_resident_memory_bytes", "Resident memory size.", resident_bytes },
    { RAGIFY_SERIES_GAUGE, "process_virtual_memory_bytes", "Virtual memory size.", virtual_bytes },
    { RAGIFY_SERIES_GAUGE, "process_open_fds", "Open file descriptors.", open_descriptors },
    { RAGIFY_SERIES_GAUGE, "process_max_fds", "The most file descriptors that may be open.", max_descriptors },
    { RAGIFY_SERIES_GAUGE, "process_threads", "Threads of the process.", thread_count },
  };
  for (guint i = 0; i < G_N_ELEMENTS (table); i++)
    ragify_metrics_callback (metrics, table[i].type, table[i].name, table[i].help, table[i].read, NULL);
  RagifySeries *start = ragify_metrics_series (metrics, RAGIFY_SERIES_GAUGE, "process_start_time_seconds",
                                               "Start of the process since 1970, in seconds.", NULL);
  ragify_series_set (start, (double)g_get_real_time () / 1e6 - ragify_process_uptime ());
}
