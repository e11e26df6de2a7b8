/* Hit ratios of the memory cache on request traces, through the loaded plugin, beside LRU, S3-FIFO and the offline
 * optimum.
 *
 *     cache-traces [--assert] [--runs=N] PLUGIN [TRACE.keys.gz …]
 *
 * A trace has one key per line. Without traces it takes those of ../shared/data/traces (RAGIFY_TEST_DATA overrides the
 * folder above). The cache holds 0.1 %, 1 % and 10 % of a trace's distinct keys. It draws a new seed for its hash each
 * time, so it runs N times (5); the least of the ratios and their median are printed. With --assert the exit code is 1
 * when the least is below S3-FIFO at 1 % or 10 %, or anywhere more than 0.005 below LRU; to one in the third digit, as
 * the reference points are given.
 * SPDX-License-Identifier: MIT */
#include "kit.h"

#include <gio/gio.h>
#include <stdbool.h>
#include <stdio.h>

#define SLACK 0.005
#define ROUNDING 0.0005
#define RUNS 5
#define MOST_RUNS 1000

typedef struct Trace {
  GArray *requests; /* uint32_t: keys numbered from 0 by their first request */
  uint32_t distinct;
} Trace;

static GInputStream *
open_gzip (const char *path, GError **error)
{
  g_autoptr (GFile) file = g_file_new_for_path (path);
  g_autoptr (GFileInputStream) raw = g_file_read (file, NULL, error);
  if (raw == NULL)
    return NULL;
  g_autoptr (GZlibDecompressor) unzip = g_zlib_decompressor_new (G_ZLIB_COMPRESSOR_FORMAT_GZIP);
  return g_converter_input_stream_new (G_INPUT_STREAM (raw), G_CONVERTER (unzip));
}

static gboolean
load_trace (const char *path, Trace *trace, GError **error)
{
  g_autoptr (GInputStream) plain = open_gzip (path, error);
  if (plain == NULL)
    return FALSE;
  g_autoptr (GDataInputStream) lines = g_data_input_stream_new (plain);
  g_buffered_input_stream_set_buffer_size (G_BUFFERED_INPUT_STREAM (lines), 1 << 20);
  g_autoptr (GHashTable) numbers = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  trace->requests = g_array_new (FALSE, FALSE, sizeof (uint32_t));
  g_autoptr (GError) failed = NULL;
  for (;;) {
    g_autofree char *line = g_data_input_stream_read_line (lines, NULL, NULL, &failed);
    if (line == NULL)
      break;
    uint32_t number = GPOINTER_TO_UINT (g_hash_table_lookup (numbers, line));
    if (number == 0) {
      number = g_hash_table_size (numbers) + 1;
      g_hash_table_insert (numbers, g_steal_pointer (&line), GUINT_TO_POINTER (number));
    }
    number--;
    g_array_append_val (trace->requests, number);
  }
  trace->distinct = g_hash_table_size (numbers);
  if (failed == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&failed));
  return FALSE;
}

static uint32_t
request_at (const Trace *trace, size_t index)
{
  return g_array_index (trace->requests, uint32_t, index);
}

/* Rings over arrays: `order[key]` is a link in a doubly linked list whose head is element `distinct`. */
typedef struct Link {
  uint32_t next;
  uint32_t previous;
} Link;

static void
link_before (Link *links, uint32_t key, uint32_t head)
{
  links[key] = (Link){ .next = head, .previous = links[head].previous };
  links[links[head].previous].next = key;
  links[head].previous = key;
}

static void
unlink_key (Link *links, uint32_t key)
{
  links[links[key].next].previous = links[key].previous;
  links[links[key].previous].next = links[key].next;
}

static double
run_lru (const Trace *trace, uint32_t capacity)
{
  const uint32_t head = trace->distinct;
  g_autofree Link *links = g_new (Link, head + 1);
  g_autofree char *present = g_new0 (char, head);
  links[head] = (Link){ head, head };
  uint32_t count = 0;
  size_t hits = 0;
  for (size_t i = 0; i < trace->requests->len; i++) {
    const uint32_t key = request_at (trace, i);
    if (present[key]) {
      hits++;
      unlink_key (links, key);
    } else if (count == capacity) {
      const uint32_t oldest = links[head].next;
      present[oldest] = 0;
      unlink_key (links, oldest);
    } else
      count++;
    present[key] = 1;
    link_before (links, key, head);
  }
  return (double)hits / (double)trace->requests->len;
}

/* S3-FIFO as published: a tenth for the new, promotion after two hits, as many ghosts as the main queue is long. */
typedef struct S3 {
  Link *links; /* the heads: of the new, of the main queue, of the ghosts */
  uint8_t *where;
  uint8_t *hits;
  uint32_t heads[3];
  uint32_t counts[3];
  uint32_t limits[3];
} S3;

enum { S3_NEW, S3_MAIN, S3_GHOST, S3_NOWHERE };

static void
s3_push (S3 *s3, uint32_t key, uint8_t where)
{
  s3->where[key] = where;
  s3->counts[where]++;
  link_before (s3->links, key, s3->heads[where]);
}

static uint32_t
s3_pop (S3 *s3, uint8_t where)
{
  const uint32_t key = s3->links[s3->heads[where]].next;
  unlink_key (s3->links, key);
  s3->counts[where]--;
  s3->where[key] = S3_NOWHERE;
  return key;
}

static bool
s3_evict_new (S3 *s3)
{
  while (s3->counts[S3_NEW] > 0) {
    const uint32_t key = s3_pop (s3, S3_NEW);
    if (s3->hits[key] >= 2) {
      s3->hits[key] = 0;
      s3_push (s3, key, S3_MAIN);
      continue;
    }
    if (s3->counts[S3_GHOST] >= s3->limits[S3_GHOST])
      s3_pop (s3, S3_GHOST);
    s3_push (s3, key, S3_GHOST);
    return true;
  }
  return false;
}

static void
s3_evict (S3 *s3)
{
  if ((s3->counts[S3_NEW] >= s3->limits[S3_NEW] || s3->counts[S3_MAIN] == 0) && s3_evict_new (s3))
    return;
  for (;;) {
    const uint32_t key = s3_pop (s3, S3_MAIN);
    if (s3->hits[key] == 0)
      return;
    s3->hits[key]--;
    s3_push (s3, key, S3_MAIN);
  }
}

static double
run_s3 (const Trace *trace, uint32_t capacity)
{
  const uint32_t keys = trace->distinct;
  g_autofree Link *links = g_new (Link, keys + 3);
  g_autofree uint8_t *where = g_new (uint8_t, keys);
  g_autofree uint8_t *uses = g_new0 (uint8_t, keys);
  memset (where, S3_NOWHERE, keys);
  S3 s3 = { links, where, uses, { keys, keys + 1, keys + 2 }, { 0 }, { MAX (1, capacity / 10), 0, 0 } };
  s3.limits[S3_GHOST] = MAX (1, capacity * 9 / 10);
  for (uint32_t i = 0; i < 3; i++)
    links[keys + i] = (Link){ keys + i, keys + i };
  size_t hits = 0;
  for (size_t i = 0; i < trace->requests->len; i++) {
    const uint32_t key = request_at (trace, i);
    if (where[key] < S3_GHOST) {
      hits++;
      uses[key] = MIN (uses[key] + 1, 3);
      continue;
    }
    const bool ghost = where[key] == S3_GHOST;
    if (ghost) {
      unlink_key (links, key);
      s3.counts[S3_GHOST]--;
      where[key] = S3_NOWHERE;
    }
    if (s3.counts[S3_NEW] + s3.counts[S3_MAIN] >= capacity)
      s3_evict (&s3);
    uses[key] = 0;
    s3_push (&s3, key, ghost ? S3_MAIN : S3_NEW);
  }
  return (double)hits / (double)trace->requests->len;
}

/* A heap of (next use, key), the latest use on top; entries that are out of date are passed over. */
typedef struct Use {
  uint32_t next;
  uint32_t key;
} Use;

static void
heap_push (GArray *heap, Use use)
{
  g_array_append_val (heap, use);
  Use *items = (Use *)(void *)heap->data;
  for (guint at = heap->len - 1; at > 0 && items[(at - 1) / 2].next < items[at].next; at = (at - 1) / 2) {
    const Use other = items[at];
    items[at] = items[(at - 1) / 2];
    items[(at - 1) / 2] = other;
  }
}

static Use
heap_pop (GArray *heap)
{
  Use *items = (Use *)(void *)heap->data;
  const Use top = items[0];
  items[0] = items[heap->len - 1];
  g_array_set_size (heap, heap->len - 1);
  for (guint at = 0, child = 1; child < heap->len; at = child, child = at * 2 + 1) {
    if (child + 1 < heap->len && items[child + 1].next > items[child].next)
      child++;
    if (items[at].next >= items[child].next)
      break;
    const Use other = items[at];
    items[at] = items[child];
    items[child] = other;
  }
  return top;
}

/* Belady's MIN with bypassing: keeps those keys that are asked for soonest. */
static double
run_optimum (const Trace *trace, uint32_t capacity)
{
  const guint length = trace->requests->len;
  g_autofree uint32_t *next = g_new (uint32_t, length);
  g_autofree uint32_t *current = g_new (uint32_t, trace->distinct);
  g_autofree char *present = g_new0 (char, trace->distinct);
  g_autoptr (GArray) heap = g_array_new (FALSE, FALSE, sizeof (Use));
  memset (current, 0xff, trace->distinct * sizeof *current);
  for (guint i = length; i-- > 0;) {
    next[i] = current[request_at (trace, i)];
    current[request_at (trace, i)] = i;
  }
  uint32_t count = 0;
  size_t hits = 0;
  for (guint i = 0; i < length; i++) {
    const uint32_t key = request_at (trace, i);
    hits += present[key] != 0;
    count += present[key] == 0;
    present[key] = 1;
    current[key] = next[i];
    heap_push (heap, (Use){ next[i], key });
    while (count > capacity) {
      const Use latest = heap_pop (heap);
      if (!present[latest.key] || current[latest.key] != latest.next)
        continue;
      present[latest.key] = 0;
      count--;
    }
  }
  return (double)hits / length;
}

static double
run_cache (RagifyKit *kit, const char *plugin, const Trace *trace, uint32_t capacity)
{
  g_autofree char *entries = g_strdup_printf ("max-entries=%u", capacity);
  const char *config[] = { entries, "max-bytes=64GiB", "ttl=0s", NULL };
  RagifyKitInstance *cache = ragify_kit_open (kit, plugin, RAGIFY_KIND_CACHE, "memory", config, NULL);
  if (cache == NULL)
    g_error ("%s", ragify_kit_error (kit));
  const RagifyCacheOperations *operations = ragify_kit_operations (cache);
  RagifyBuffer *value = ragify_kit_buffer_new ("value", 5);
  size_t hits = 0;
  for (size_t i = 0; i < trace->requests->len; i++) {
    const uint32_t key = request_at (trace, i);
    const RagifyBytes bytes = { (const uint8_t *)&key, sizeof key };
    const RagifyCacheGet get = { .struct_size = sizeof get, .key = bytes };
    RagifyKitCall *call = ragify_kit_call (cache, (RagifyKitFunction)operations->get, &get, 0);
    RagifyBuffer *found = ((const RagifyCacheGetResult *)call->result)->value;
    hits += found != NULL;
    if (found != NULL)
      found->unref (found);
    ragify_kit_call_free (call);
    if (found != NULL)
      continue;
    const RagifyCacheSet set = { .struct_size = sizeof set, .key = bytes, .value = value };
    ragify_kit_call_free (ragify_kit_call (cache, (RagifyKitFunction)operations->set, &set, 0));
  }
  ragify_kit_close (cache);
  ragify_kit_buffer_unref (value);
  return (double)hits / (double)trace->requests->len;
}

static int
compare_ratios (gconstpointer left, gconstpointer right)
{
  const double l = *(const double *)left, r = *(const double *)right;
  return l < r ? -1 : l > r ? 1 : 0;
}

/* Ratios of so many runs, the least first. */
static double *
run_cache_often (RagifyKit *kit, const char *plugin, const Trace *trace, uint32_t capacity, guint runs)
{
  double *ratios = g_new (double, runs);
  for (guint i = 0; i < runs; i++)
    ratios[i] = run_cache (kit, plugin, trace, capacity);
  qsort (ratios, runs, sizeof *ratios, compare_ratios);
  return ratios;
}

static bool
judge_trace (RagifyKit *kit, const char *plugin, const char *path, guint runs)
{
  static const double shares[] = { 0.001, 0.01, 0.1 };
  g_autoptr (GError) error = NULL;
  Trace trace = { 0 };
  if (!load_trace (path, &trace, &error))
    g_error ("%s: %s", path, error->message);
  g_autofree char *name = g_path_get_basename (path);
  bool good = true;
  for (size_t i = 0; i < G_N_ELEMENTS (shares); i++) {
    const uint32_t capacity = MAX (1, (uint32_t)(trace.distinct * shares[i]));
    const double lru = run_lru (&trace, capacity);
    const double s3 = run_s3 (&trace, capacity);
    g_autofree double *ours = run_cache_often (kit, plugin, &trace, capacity, runs);
    const bool met = ours[0] >= lru - SLACK && (shares[i] < 0.01 || ours[0] >= s3 - ROUNDING);
    good = good && met;
    printf ("%-28s %5.1f %% %8u   %.4f   %.4f   %.4f   %.4f   %.4f  %s\n", name, shares[i] * 100, capacity, lru, s3,
            ours[0], ours[runs / 2], run_optimum (&trace, capacity), met ? "" : "BELOW");
    fflush (stdout);
  }
  g_array_unref (trace.requests);
  return good;
}

static gint
compare_paths (gconstpointer left, gconstpointer right)
{
  return g_strcmp0 (*(const char *const *)left, *(const char *const *)right);
}

/* The traces of the test data, or NULL. */
static GPtrArray *
find_traces (void)
{
  const char *data = g_getenv ("RAGIFY_TEST_DATA");
  g_autofree char *folder = g_build_filename (data != NULL ? data : "../shared/data", "traces", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (GDir) entries = g_dir_open (folder, 0, &error);
  if (entries == NULL) {
    fprintf (stderr, "cache-traces: %s; RAGIFY_TEST_DATA names the folder above\n", error->message);
    return NULL;
  }
  GPtrArray *paths = g_ptr_array_new_with_free_func (g_free);
  for (const char *name = g_dir_read_name (entries); name != NULL; name = g_dir_read_name (entries)) {
    if (g_str_has_suffix (name, ".keys.gz"))
      g_ptr_array_add (paths, g_build_filename (folder, name, NULL));
  }
  g_ptr_array_sort (paths, compare_paths);
  return paths;
}

int
main (int argc, char **argv)
{
  gboolean assert_it = FALSE;
  int runs = RUNS;
  g_auto (GStrv) names = NULL;
  const GOptionEntry options[] = {
    { "assert", 0, 0, G_OPTION_ARG_NONE, &assert_it, "Fail when a ratio is below what is asked", NULL },
    { "runs", 0, 0, G_OPTION_ARG_INT, &runs, "How often the cache runs on each trace (5)", "N" },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &names, NULL, "PLUGIN [TRACE…]" },
    { NULL, 0, 0, 0, NULL, NULL, NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;
  g_option_context_add_main_entries (context, options, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error) || names == NULL) {
    fprintf (stderr, "cache-traces: %s\n", error != NULL ? error->message : "which plugin? See --help");
    return 2;
  }
  runs = CLAMP (runs, 1, MOST_RUNS);
  g_autoptr (GPtrArray) traces = names[1] == NULL ? find_traces () : g_ptr_array_new_with_free_func (g_free);
  if (traces == NULL)
    return 77; /* meson: skipped */
  for (size_t i = 1; names[i] != NULL; i++)
    g_ptr_array_add (traces, g_strdup (names[i]));

  RagifyKit *kit = ragify_kit_new (NULL);
  bool good = true;
  printf ("%-28s %7s %8s   %-6s   %-7s  %-6s   %-6s   %-7s (%d runs)\n", "trace", "keys", "entries", "LRU", "S3-FIFO",
          "least", "median", "optimum", runs);
  for (guint i = 0; i < traces->len; i++)
    good = judge_trace (kit, names[0], traces->pdata[i], (guint)runs) && good;
  good = ragify_kit_faults (kit) == 0 && good;
  ragify_kit_free (kit);
  return assert_it && !good ? 1 : 0;
}
