/* SPDX-License-Identifier: MIT */
#include "core/observe/memory-bounds.h"

#include <string.h>
#include <unistd.h>

/* One version's names of files and of lines in memory.stat. Version 1 has all below a group in its totals. */
typedef struct Names {
  const char *limit, *usage, *inactive, *active;
} Names;

static const Names version1 = { "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file",
                                "total_active_file" };
static const Names version2 = { "memory.max", "memory.current", "inactive_file", "active_file" };

struct RagifyMemoryBounds {
  char *proc;
  char *group; /* the folder whose limit is the lowest; NULL: none has one */
  const Names *names;
};

static char *
read_text (const char *folder, const char *name)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  char *text = NULL;
  g_file_get_contents (path, &text, NULL, NULL);
  return text;
}

/* The number that the file begins with; 0 where there is none, as in "max". */
static guint64
read_number (const char *folder, const char *name)
{
  g_autofree char *text = read_text (folder, name);
  return text != NULL ? g_ascii_strtoull (text, NULL, 10) : 0;
}

/* The number after `name` and blanks, or a colon and blanks, at the beginning of a line. */
static guint64
find_number (const char *text, const char *name)
{
  const gsize length = strlen (name);
  for (const char *line = text; line != NULL; line = strchr (line, '\n')) {
    line += *line == '\n';
    if (strncmp (line, name, length) == 0 && (line[length] == ' ' || line[length] == ':'))
      return g_ascii_strtoull (line + length + 1, NULL, 10);
    if (*line == '\0')
      break;
  }
  return 0;
}

/* ---- the control group ---- */

/* The lowest limit from `path` below `root` upwards. In a container the path may be one of the machine's, which cannot
 * be seen: then the root is the container's own. */
static void
look_upwards (RagifyMemoryBounds *bounds, const char *root, const char *path, const Names *names, guint64 *lowest)
{
  g_autofree char *folder = g_build_filename (root, path, NULL);
  while (g_str_has_prefix (folder, root)) {
    const guint64 limit = read_number (folder, names->limit);
    /* Version 1 writes "none" as a number that no machine has. */
    if (limit > 0 && limit < (guint64)1 << 60 && limit < *lowest) {
      *lowest = limit;
      g_free (bounds->group);
      bounds->group = g_strdup (folder);
      bounds->names = names;
    }
    char *slash = strrchr (folder, '/');
    if (slash == NULL || slash == folder)
      return;
    *slash = '\0';
  }
}

static gboolean
has_memory (const char *controllers)
{
  g_auto (GStrv) names = g_strsplit (controllers, ",", -1);
  return g_strv_contains ((const char *const *)names, "memory");
}

/* A line of /proc/self/cgroup: "ID:CONTROLLERS:PATH", "0::PATH" for version 2. */
static void
take_line (RagifyMemoryBounds *bounds, const char *line, const char *cgroup, guint64 *lowest)
{
  g_auto (GStrv) fields = g_strsplit (line, ":", 3);
  if (g_strv_length (fields) < 3)
    return;
  if (fields[1][0] == '\0') {
    g_autofree char *beside = g_build_filename (cgroup, "unified", NULL);
    look_upwards (bounds, g_file_test (beside, G_FILE_TEST_IS_DIR) ? beside : cgroup, fields[2], &version2, lowest);
  } else if (has_memory (fields[1])) {
    g_autofree char *root = g_build_filename (cgroup, "memory", NULL);
    look_upwards (bounds, root, fields[2], &version1, lowest);
  }
}

RagifyMemoryBounds *
ragify_memory_bounds_new (const char *proc, const char *cgroup)
{
  RagifyMemoryBounds *bounds = g_new0 (RagifyMemoryBounds, 1);
  bounds->proc = g_strdup (proc);
  guint64 lowest = G_MAXUINT64;
  g_autofree char *text = read_text (proc, "self/cgroup");
  g_auto (GStrv) lines = g_strsplit (text != NULL ? text : "", "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    take_line (bounds, lines[i], cgroup, &lowest);
  return bounds;
}

void
ragify_memory_bounds_free (RagifyMemoryBounds *bounds)
{
  g_free (bounds->proc);
  g_free (bounds->group);
  g_free (bounds);
}

static void
read_group (const RagifyMemoryBounds *bounds, RagifyMemoryReading *reading)
{
  if (bounds->group == NULL)
    return;
  g_autofree char *stat = read_text (bounds->group, "memory.stat");
  const guint64 usage = read_number (bounds->group, bounds->names->usage);
  const guint64 files = find_number (stat, bounds->names->inactive) + find_number (stat, bounds->names->active);
  reading->group_limit = read_number (bounds->group, bounds->names->limit);
  reading->group_used = usage > files ? usage - files : 0;
}

/* ---- the process and the machine ---- */

static void
read_process (const RagifyMemoryBounds *bounds, RagifyMemoryReading *reading)
{
  const guint64 page = (guint64)sysconf (_SC_PAGESIZE);
  g_autofree char *text = read_text (bounds->proc, "self/statm");
  g_auto (GStrv) fields = g_strsplit (text != NULL ? text : "", " ", -1);
  if (g_strv_length (fields) < 3)
    return;
  const guint64 resident = g_ascii_strtoull (fields[1], NULL, 10), shared = g_ascii_strtoull (fields[2], NULL, 10);
  reading->vms = g_ascii_strtoull (fields[0], NULL, 10) * page;
  reading->rss = resident * page;
  reading->anonymous = resident > shared ? (resident - shared) * page : 0;
}

void
ragify_memory_bounds_read (const RagifyMemoryBounds *bounds, RagifyMemoryReading *reading)
{
  *reading = (RagifyMemoryReading){ 0 };
  read_process (bounds, reading);
  read_group (bounds, reading);
  g_autofree char *machine = read_text (bounds->proc, "meminfo");
  reading->total = find_number (machine, "MemTotal") * 1024;
  reading->available = find_number (machine, "MemAvailable") * 1024;
}
