/* SPDX-License-Identifier: MIT */
#include "core/server/health.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/statvfs.h>

#include "core/balance/random.h"
#include "core/server/health-check.h"

#define POLL_US 200
/* A file system has room while it has this part of its space free, or that many bytes. */
#define LEAST_FREE_PART 0.05
#define LEAST_FREE_BYTES ((guint64)1 << 30)

typedef enum { STATE_PENDING, STATE_WELL, STATE_ILL } State;

/* What is known of one part, or of the file system. */
typedef struct Known {
  State state;
  char *error; /* of STATE_ILL */
  char *detail;
  guint64 duration_us;
  gint64 checked_at, since; /* wall clock, µs: of the last check; of the last change */
} Known;

typedef struct Entry {
  RagifyHealth *health;
  RagifyHealthPart part;
  char *name;
  const char *section;
  RagifyUuid key;
  RagifyHealthCheck *check; /* under way; the loop's */
  RagifySeries *up, *seconds;
  Known known;
} Entry;

typedef struct Pipeline {
  guint *parts;
  guint n_parts;
} Pipeline;

/* The file system's. It is asked on a worker: one that hangs must not hang a loop. */
typedef struct Disk {
  char *path; /* NULL: it is not looked at */
  RagifyTask task;
  atomic_bool busy;
  guint64 free, total; /* bytes */
  RagifySeries *up, *available;
  Known known;
} Disk;

struct RagifyHealth {
  RagifyRuntime *runtime;
  RagifyLoop *loop; /* checks happen there */
  Entry *entries;
  guint n_entries;
  Pipeline *pipelines;
  guint n_pipelines;
  RagifyTier **tiers;
  guint n_tiers;
  Disk disk;
  char *query;
  guint64 interval_us;
  RagifyDeadline next;
  RagifyTask starting, ending;
  guint under_way; /* checks; the loop's */
  gboolean stopping;
  atomic_bool over;
  pthread_mutex_t lock; /* guards what is known */
};

const char *
ragify_health_state_name (RagifyHealthState state)
{
  static const char *const names[] = { "healthy", "degraded", "unhealthy" };
  return names[state];
}

/* ---- what was found ---- */

/* Takes a finding; says so where that is a change. */
static void
learn (RagifyHealth *health, Known *known, const char *section, const char *name, const RagifyHealthFinding *finding)
{
  const State state = finding->error == NULL ? STATE_WELL : STATE_ILL;
  const gint64 now = g_get_real_time ();
  pthread_mutex_lock (&health->lock);
  const State before = known->state;
  if (state != before)
    known->since = now;
  known->state = state;
  known->checked_at = now;
  known->duration_us = finding->duration_us;
  g_free (known->error);
  g_free (known->detail);
  known->error = g_strdup (finding->error);
  known->detail = g_strdup (finding->detail);
  pthread_mutex_unlock (&health->lock);
  if (state == STATE_ILL && before != STATE_ILL)
    g_warning ("health: %s %s is not well: %s", section, name, finding->error);
  else if (state == STATE_WELL && before == STATE_ILL)
    g_message ("health: %s %s is well again", section, name);
}

/* Whoever takes a part out knows how it is. */
static void
forget (RagifyHealth *health, Known *known)
{
  pthread_mutex_lock (&health->lock);
  known->state = STATE_PENDING;
  pthread_mutex_unlock (&health->lock);
}

static void
known_clear (Known *known)
{
  g_free (known->error);
  g_free (known->detail);
}

/* ---- the file system ---- */

static void
look_at_disk (RagifyTask *task)
{
  Disk *disk = (Disk *)(void *)((char *)task - G_STRUCT_OFFSET (Disk, task));
  RagifyHealth *health = (RagifyHealth *)(void *)((char *)disk - G_STRUCT_OFFSET (RagifyHealth, disk));
  const guint64 began = ragify_now ();
  struct statvfs info = { 0 };
  g_autofree char *error = NULL;
  guint64 free = 0, total = 0;
  if (statvfs (disk->path, &info) != 0) {
    error = g_strdup_printf ("%s: %s", disk->path, g_strerror (errno));
  } else {
    free = (guint64)info.f_bavail * info.f_frsize;
    total = (guint64)info.f_blocks * info.f_frsize;
    if ((info.f_flag & ST_RDONLY) != 0)
      error = g_strdup_printf ("%s: the file system is read-only", disk->path);
    else if (free < LEAST_FREE_BYTES && (double)free < LEAST_FREE_PART * (double)total)
      error = g_strdup_printf ("%s: %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " MiB are free", disk->path,
                               free >> 20, total >> 20);
  }
  pthread_mutex_lock (&health->lock);
  disk->free = free;
  disk->total = total;
  pthread_mutex_unlock (&health->lock);
  const RagifyHealthFinding finding = { error, "", ragify_now () - began };
  learn (health, &disk->known, "disk", disk->path, &finding);
  ragify_series_set (disk->up, error == NULL ? 1 : 0);
  ragify_series_set (disk->available, (double)free);
  atomic_store (&disk->busy, FALSE);
}

static void
check_disk (RagifyHealth *health)
{
  Disk *disk = &health->disk;
  if (disk->path == NULL || atomic_exchange (&disk->busy, TRUE))
    return;
  disk->task.run = look_at_disk;
  if (!ragify_workers_submit (health->runtime->workers, &disk->task))
    atomic_store (&disk->busy, FALSE);
}

/* ---- rounds, on the loop ---- */

static void
found (const RagifyHealthFinding *finding, void *user)
{
  Entry *entry = user;
  RagifyHealth *health = entry->health;
  if (!health->stopping) {
    learn (health, &entry->known, entry->section, entry->name, finding);
    ragify_series_set (entry->up, finding->error == NULL ? 1 : 0);
    ragify_series_set (entry->seconds, (double)finding->duration_us / G_USEC_PER_SEC);
  }
  if (--health->under_way == 0 && health->stopping)
    atomic_store (&health->over, TRUE);
}

static void
check_all (RagifyDeadline *deadline)
{
  RagifyHealth *health = (RagifyHealth *)(void *)((char *)deadline - G_STRUCT_OFFSET (RagifyHealth, next));
  check_disk (health);
  for (guint i = 0; i < health->n_entries; i++) {
    Entry *entry = &health->entries[i];
    const RagifyHealthAsk ask = {
      .part = &entry->part, .query = ragify_str_from (health->query), .key = entry->key, .found = found, .user = entry
    };
    if (!ragify_node_is_enabled (entry->part.node))
      forget (health, &entry->known);
    if (entry->check != NULL || !ragify_node_is_enabled (entry->part.node))
      continue;
    health->under_way++;
    ragify_health_check_begin (&ask, &entry->check);
  }
  ragify_loop_arm (health->loop, &health->next, ragify_now () + health->interval_us);
}

static void
start (RagifyTask *task)
{
  RagifyHealth *health = (RagifyHealth *)(void *)((char *)task - G_STRUCT_OFFSET (RagifyHealth, starting));
  health->next.expired = check_all;
  check_all (&health->next);
}

static void
stop (RagifyTask *task)
{
  RagifyHealth *health = (RagifyHealth *)(void *)((char *)task - G_STRUCT_OFFSET (RagifyHealth, ending));
  health->stopping = TRUE;
  ragify_loop_disarm (health->loop, &health->next);
  health->under_way++;
  for (guint i = 0; i < health->n_entries; i++)
    if (health->entries[i].check != NULL)
      ragify_health_check_cancel (health->entries[i].check);
  if (--health->under_way == 0)
    atomic_store (&health->over, TRUE);
}

/* ---- making ---- */

static void
add_entry (RagifyHealth *health, const RagifyHealthPart *part)
{
  Entry *entry = &health->entries[health->n_entries++];
  RagifyMetrics *metrics = health->runtime->metrics;
  entry->health = health;
  entry->part = *part;
  entry->part.name = entry->name = g_strdup (part->name);
  entry->section = ragify_health_section (ragify_node_component (part->node));
  for (guint i = 0; i < 2; i++) {
    const guint64 number = ragify_random ();
    memcpy (entry->key.bytes + i * sizeof number, &number, sizeof number);
  }
  entry->up = ragify_metrics_series (metrics, RAGIFY_SERIES_GAUGE, "ragify_health_up",
                                     "1: the part did what its last check asked of it, 0: it did not.", "check",
                                     entry->section, "node", entry->name, NULL);
  entry->seconds = ragify_metrics_series (metrics, RAGIFY_SERIES_GAUGE, "ragify_health_check_seconds",
                                          "How long the part's last check took.", "check", entry->section, "node",
                                          entry->name, NULL);
}

static void
add_disk (RagifyHealth *health, const char *path)
{
  RagifyMetrics *metrics = health->runtime->metrics;
  health->disk.path = g_strdup (path);
  health->disk.up = ragify_metrics_series (metrics, RAGIFY_SERIES_GAUGE, "ragify_health_up",
                                           "1: the part did what its last check asked of it, 0: it did not.", "check",
                                           "disk", "node", "state-dir", NULL);
  health->disk.available = ragify_metrics_series (metrics, RAGIFY_SERIES_GAUGE, "ragify_state_dir_free_bytes",
                                                  "Free space where state is kept, as of the last check.", NULL);
}

RagifyHealth *
ragify_health_new (RagifyRuntime *runtime, const RagifyHealthOptions *options)
{
  RagifyHealth *health = g_new0 (RagifyHealth, 1);
  health->runtime = runtime;
  health->loop = runtime->loops[0];
  health->query = g_strdup (options->query);
  health->interval_us = options->interval_us;
  pthread_mutex_init (&health->lock, NULL);
  health->tiers = g_memdup2 (options->tiers, options->n_tiers * sizeof (RagifyTier *));
  health->n_tiers = options->n_tiers;
  if (options->interval_us == 0)
    return health;
  health->entries = g_new0 (Entry, MAX (options->n_parts, 1));
  for (guint i = 0; i < options->n_parts; i++)
    add_entry (health, &options->parts[i]);
  health->pipelines = g_new0 (Pipeline, MAX (options->n_pipelines, 1));
  health->n_pipelines = options->n_pipelines;
  for (guint i = 0; i < options->n_pipelines; i++) {
    const RagifyHealthPipeline *pipeline = &options->pipelines[i];
    health->pipelines[i] =
        (Pipeline){ g_memdup2 (pipeline->parts, pipeline->n_parts * sizeof (guint)), pipeline->n_parts };
  }
  if (options->state_dir != NULL)
    add_disk (health, options->state_dir);
  health->starting.run = start;
  ragify_loop_post (health->loop, &health->starting);
  return health;
}

void
ragify_health_free (RagifyHealth *health)
{
  if (health->interval_us != 0) {
    health->ending.run = stop;
    ragify_loop_post (health->loop, &health->ending);
    while (!atomic_load (&health->over) || atomic_load (&health->disk.busy))
      g_usleep (POLL_US);
  }
  for (guint i = 0; i < health->n_entries; i++) {
    known_clear (&health->entries[i].known);
    g_free (health->entries[i].name);
  }
  for (guint i = 0; i < health->n_pipelines; i++)
    g_free (health->pipelines[i].parts);
  known_clear (&health->disk.known);
  pthread_mutex_destroy (&health->lock);
  g_free (health->disk.path);
  g_free (health->entries);
  g_free (health->pipelines);
  g_free (health->tiers);
  g_free (health->query);
  g_free (health);
}

/* ---- telling ---- */

/* With the lock held. */
static gboolean
is_out (const RagifyHealth *health, const Pipeline *pipeline)
{
  for (guint i = 0; i < pipeline->n_parts; i++)
    if (health->entries[pipeline->parts[i]].known.state != STATE_ILL)
      return FALSE;
  return pipeline->n_parts > 0;
}

RagifyHealthState
ragify_health_state (RagifyHealth *health)
{
  const RagifyMemoryStep step = ragify_memory_step (health->runtime->memory);
  gboolean ill = step > RAGIFY_MEMORY_AT_EASE, out = step == RAGIFY_MEMORY_SHED;
  pthread_mutex_lock (&health->lock);
  ill = ill || health->disk.known.state == STATE_ILL;
  for (guint i = 0; i < health->n_entries; i++)
    ill = ill || health->entries[i].known.state == STATE_ILL;
  for (guint i = 0; i < health->n_pipelines; i++)
    out = out || is_out (health, &health->pipelines[i]);
  pthread_mutex_unlock (&health->lock);
  return out ? RAGIFY_UNHEALTHY : ill ? RAGIFY_DEGRADED : RAGIFY_HEALTHY;
}

static void
write_name (RagifyWriter *writer, const char *name)
{
  ragify_writer_text (writer, ",\"");
  ragify_writer_text (writer, name);
  ragify_writer_text (writer, "\":");
}

static void
write_string (RagifyWriter *writer, const char *name, const char *value)
{
  write_name (writer, name);
  ragify_writer_string (writer, ragify_str_from (value));
}

static void
write_seconds (RagifyWriter *writer, guint64 duration_us)
{
  write_name (writer, "response_time");
  ragify_writer_number (writer, (double)duration_us / G_USEC_PER_SEC, 6);
}

static void
write_known (RagifyWriter *writer, const Known *known)
{
  static const char *const names[] = { "pending", "healthy", "unhealthy" };
  ragify_writer_text (writer, "\"status\":");
  ragify_writer_string (writer, ragify_str_from (names[known->state]));
  if (known->state == STATE_PENDING)
    return;
  write_seconds (writer, known->duration_us);
  write_name (writer, "checked_at");
  ragify_writer_time (writer, known->checked_at);
  write_name (writer, "since");
  ragify_writer_time (writer, known->since);
  if (known->error != NULL)
    write_string (writer, "error", known->error);
  if (known->detail != NULL && known->detail[0] != '\0')
    write_string (writer, "detail", known->detail);
}

static RagifyHealthState
state_of_section (const RagifyHealth *health, const char *section, guint64 *longest_us, guint *count)
{
  guint ill = 0;
  for (guint i = 0; i < health->n_entries; i++) {
    const Entry *entry = &health->entries[i];
    if (strcmp (entry->section, section) != 0)
      continue;
    (*count)++;
    ill += entry->known.state == STATE_ILL;
    *longest_us = MAX (*longest_us, entry->known.duration_us);
  }
  if (ill == 0)
    return RAGIFY_HEALTHY;
  return ill < *count ? RAGIFY_DEGRADED : RAGIFY_UNHEALTHY;
}

/* Of all tiers together; null where nothing was asked. */
static void
write_hit_rate (RagifyWriter *writer, const RagifyHealth *health)
{
  guint64 hits = 0, gets = 0;
  for (guint i = 0; i < health->n_tiers; i++) {
    const RagifyTierCounts counts = ragify_tier_counts (health->tiers[i]);
    hits += counts.hits;
    gets += counts.hits + counts.misses;
  }
  write_name (writer, "hit_rate");
  if (gets > 0)
    ragify_writer_number (writer, (double)hits / (double)gets, 6);
  else
    ragify_writer_text (writer, "null");
}

/* With the lock held. */
static void
write_section (RagifyWriter *writer, const RagifyHealth *health, const char *section)
{
  guint64 longest_us = 0;
  guint count = 0;
  const RagifyHealthState state = state_of_section (health, section, &longest_us, &count);
  if (count == 0)
    return;
  ragify_writer_string (writer, ragify_str_from (section));
  ragify_writer_text (writer, ":{\"status\":");
  ragify_writer_string (writer, ragify_str_from (ragify_health_state_name (state)));
  write_seconds (writer, longest_us);
  if (strcmp (section, "cache") == 0)
    write_hit_rate (writer, health);
  ragify_writer_text (writer, ",\"parts\":[");
  for (guint i = 0, written = 0; i < health->n_entries; i++) {
    const Entry *entry = &health->entries[i];
    if (strcmp (entry->section, section) != 0)
      continue;
    ragify_writer_text (writer, written++ > 0 ? ",{" : "{");
    write_known (writer, &entry->known);
    write_string (writer, "name", entry->name);
    write_string (writer, "plugin", ragify_node_component (entry->part.node)->name);
    ragify_writer_text (writer, "}");
  }
  ragify_writer_text (writer, "]},");
}

static void
write_disk (RagifyWriter *writer, const Disk *disk)
{
  if (disk->path == NULL)
    return;
  ragify_writer_text (writer, "\"disk\":{");
  write_known (writer, &disk->known);
  write_string (writer, "path", disk->path);
  write_name (writer, "free");
  ragify_writer_uint (writer, disk->free);
  write_name (writer, "total");
  ragify_writer_uint (writer, disk->total);
  ragify_writer_text (writer, "},");
}

static void
write_memory (RagifyWriter *writer, RagifyMemory *memory)
{
  RagifyMemoryUse use = { .bound = "machine" };
  const guint64 began = ragify_now ();
  if (memory != NULL)
    ragify_memory_use (memory, &use);
  const RagifyHealthState state = use.step == RAGIFY_MEMORY_AT_EASE ? RAGIFY_HEALTHY
                                  : use.step < RAGIFY_MEMORY_SHED   ? RAGIFY_DEGRADED
                                                                    : RAGIFY_UNHEALTHY;
  const struct {
    const char *name;
    guint64 value;
  } sizes[] = {
    { "rss", use.rss }, { "vms", use.vms }, { "used", use.used }, { "limit", use.limit }, { "available", use.available }
  };
  ragify_writer_text (writer, "\"memory\":{\"status\":");
  ragify_writer_string (writer, ragify_str_from (ragify_health_state_name (state)));
  write_seconds (writer, ragify_now () - began);
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++) {
    write_name (writer, sizes[i].name);
    ragify_writer_uint (writer, sizes[i].value);
  }
  write_name (writer, "percent");
  ragify_writer_number (writer, use.ratio * 100, 1);
  write_string (writer, "bound", use.bound);
  write_string (writer, "step", ragify_memory_step_name (use.step));
  ragify_writer_text (writer, "}");
}

void
ragify_health_write (RagifyHealth *health, RagifyWriter *writer)
{
  static const char *const sections[] = { "sources", "vector_db", "text_indexes", "embedders", "rerankers", "cache" };
  ragify_writer_text (writer, "\"checks\":{");
  pthread_mutex_lock (&health->lock);
  for (guint i = 0; i < G_N_ELEMENTS (sections); i++)
    write_section (writer, health, sections[i]);
  write_disk (writer, &health->disk);
  pthread_mutex_unlock (&health->lock);
  write_memory (writer, health->runtime->memory);
  ragify_writer_text (writer, "}");
}
