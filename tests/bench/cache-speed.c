/* What a hit of the memory cache costs, through the loaded plugin and a host that does nothing else.
 *
 *     cache-speed [--assert] [--instructions] PLUGIN [ENTRIES]          1,000,000 entries by default
 *
 * Prints bytes per entry (resident memory beyond keys and values), nanoseconds per hit on random keys for one thread
 * and for two at once with their throughput, and how often a lock was taken when a hit wanted it: then the hit goes on
 * without. Beside it stands what the machine itself needs for two dependent reads and a write at random places of as
 * much memory, since that, and not the cache's instructions, is most of a hit. With --instructions it runs itself
 * again in valgrind's callgrind (half a minute) and prints the instructions per hit, this program's loop among them.
 * With --assert the exit code is 1 above 400 ns per hit, above 100 bytes per entry, or where a key was missing.
 * SPDX-License-Identifier: MIT */
#include "kit.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define KEY_SIZE 16
#define HITS 4000000u
#define HITS_COUNTED 200000u /* in callgrind */
#define ROUNDS 5
#define NS_LIMIT 400
#define BYTES_LIMIT 100

/* A host as thin as can be, so that the plugin's own time is seen. */
struct RagifyCall {
  RagifyCacheGetResult result;
  void *memory;
};

struct RagifyContext {
  int64_t entries;
};

typedef struct ThinBuffer {
  _Alignas(64) RagifyBuffer base;
  atomic_uint references;
} ThinBuffer;

typedef struct Reader {
  const RagifyCacheOperations *operations;
  void *cache;
  uint64_t entries;
  uint64_t hits;
  uint64_t random;
  uint64_t missing;
  uint64_t spent_us;
} Reader;

static int32_t
config_int (RagifyContext *context, const char *key, int64_t *value)
{
  *value = strcmp (key, "max-entries") == 0 ? context->entries : 0;
  return RAGIFY_OK;
}

static int32_t
config_amount (RagifyContext *context, const char *key, uint64_t *value)
{
  *value = strcmp (key, "ttl") == 0 ? UINT64_C (3600000000) : UINT64_C (1) << 40;
  return RAGIFY_OK;
}

static void
set_error (RagifyContext *context, RagifyStr message)
{
  fprintf (stderr, "cache-speed: %.*s\n", (int)message.size, message.data);
}

static void *
call_alloc (RagifyCall *call, uint64_t size)
{
  return call->memory = calloc (1, size);
}

static void
call_done_get (RagifyCall *call, const void *result)
{
  if (result != NULL)
    memcpy (&call->result, result,
            sizeof call->result < *(const uint32_t *)result ? sizeof call->result : *(const uint32_t *)result);
}

static void
call_fail (RagifyCall *call, int32_t code, RagifyStr message, uint64_t retry_after_us)
{
  fprintf (stderr, "cache-speed: %.*s\n", (int)message.size, message.data);
  exit (1);
}

static const RagifyHost host = {
  .struct_size = sizeof host,
  .abi_major = RAGIFY_ABI_MAJOR,
  .clock_us = ragify_kit_now_us,
  .config_int = config_int,
  .config_size = config_amount,
  .config_duration = config_amount,
  .set_error = set_error,
  .call_alloc = call_alloc,
  .call_done = call_done_get,
  .call_fail = call_fail,
};

/* Zeros, for the life of the process. What the host's own values cost in page tables is not the cache's. */
static void *
large_pages (size_t size)
{
  void *memory = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    exit (1);
  (void)madvise (memory, size, MADV_HUGEPAGE);
  return memory;
}

static void
buffer_ref (RagifyBuffer *buffer)
{
  atomic_fetch_add_explicit (&((ThinBuffer *)buffer)->references, 1, memory_order_relaxed);
}

static void
buffer_unref (RagifyBuffer *buffer)
{
  atomic_fetch_sub_explicit (&((ThinBuffer *)buffer)->references, 1, memory_order_acq_rel);
}

static uint64_t
draw (uint64_t *random)
{
  *random = *random * 6364136223846793005u + 1442695040888963407u;
  return *random >> 20;
}

static void
make_key (uint8_t *key, uint64_t number)
{
  const uint64_t words[2] = { number * 0x9e3779b97f4a7c15u, number };
  memcpy (key, words, KEY_SIZE);
}

static uint64_t
resident_bytes (void)
{
  unsigned long long pages = 0;
  FILE *file = fopen ("/proc/self/statm", "r");
  if (file == NULL || fscanf (file, "%*s %llu", &pages) != 1)
    pages = 0;
  if (file != NULL)
    fclose (file);
  return pages * 4096;
}

static void
fill (const RagifyCacheOperations *operations, void *cache, RagifyBuffer *const *values, uint64_t entries)
{
  for (uint64_t i = 0; i < entries; i++) {
    uint8_t key[KEY_SIZE];
    make_key (key, i);
    RagifyCall call = { 0 };
    const RagifyCacheSet set = { .struct_size = sizeof set, .key = { key, KEY_SIZE }, .value = values[i] };
    operations->set (cache, &call, &set);
  }
}

/* CPU time: other programs on the machine do not count. */
static uint64_t
thread_us (void)
{
  struct timespec now;
  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &now);
  return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void *
read_keys (void *user)
{
  Reader *reader = user;
  const uint64_t begin_us = thread_us ();
  for (uint64_t i = 0; i < reader->hits; i++) {
    uint8_t key[KEY_SIZE];
    make_key (key, draw (&reader->random) % reader->entries);
    RagifyCall call;
    const RagifyCacheGet get = { .struct_size = sizeof get, .key = { key, KEY_SIZE } };
    reader->operations->get (reader->cache, &call, &get);
    if (call.result.value != NULL)
      call.result.value->unref (call.result.value);
    else
      reader->missing++;
  }
  reader->spent_us = thread_us () - begin_us;
  return NULL;
}

/* What as many reads cost at random places: a place in a table, what it points to, and a counter there. */
static double
measure_memory (uint64_t entries)
{
  const size_t line = 64;
  uint64_t random = 3;
  uint32_t *table = large_pages (entries * sizeof *table);
  char *lines = large_pages (entries * line);
  for (uint64_t i = 0; i < entries; i++)
    table[i] = (uint32_t)(draw (&random) % entries);
  const uint64_t begin_us = thread_us ();
  uint64_t last = 0;
  for (uint32_t i = 0; i < HITS; i++) {
    atomic_uint *counter = (atomic_uint *)(void *)(lines + table[(draw (&random) + last) % entries] * line);
    last = atomic_fetch_add_explicit (counter, 1, memory_order_acq_rel) & 1;
  }
  const double ns = (double)(thread_us () - begin_us) * 1000 / HITS;
  munmap (table, entries * sizeof *table);
  munmap (lines, entries * line);
  return ns;
}

static int
by_size (const void *a, const void *b)
{
  const double *left = a, *right = b;
  return (*left > *right) - (*left < *right);
}

static double
median (double figures[ROUNDS])
{
  qsort (figures, ROUNDS, sizeof *figures, by_size);
  return figures[ROUNDS / 2];
}

/* Hits per CPU second of all `count` threads together, in millions. */
static double
measure (const RagifyCacheOperations *operations, void *cache, uint64_t entries, size_t count, uint64_t *missed)
{
  pthread_t threads[2];
  Reader readers[2];
  double rate = 0;
  uint64_t missing = 0;
  for (size_t i = 0; i < count; i++) {
    readers[i] =
        (Reader){ .operations = operations, .cache = cache, .entries = entries, .hits = HITS, .random = i + 7 };
    pthread_create (&threads[i], NULL, read_keys, &readers[i]);
  }
  for (size_t i = 0; i < count; i++) {
    pthread_join (threads[i], NULL);
    rate += HITS / (double)readers[i].spent_us;
    missing += readers[i].missing;
  }
  printf ("%zu thread%s: %.0f ns of CPU per hit, %.2f million hits in a second of CPU%s, %llu missing\n", count,
          count > 1 ? "s" : " ", (double)count * 1000 / rate, rate, count > 1 ? " each" : "",
          (unsigned long long)missing);
  *missed += missing;
  return rate;
}

/* Fills a cache and reads it a little: what callgrind looks at is read_keys(). */
static int
read_a_little (const RagifyCacheOperations *operations, void *cache, uint64_t entries)
{
  Reader reader = { .operations = operations, .cache = cache, .entries = entries, .hits = HITS_COUNTED, .random = 7 };
  read_keys (&reader);
  return reader.missing > 0;
}

/* Runs itself with --counted in callgrind. */
static void
count_instructions (const char *plugin, uint64_t entries)
{
  char self[PATH_MAX] = "";
  char command[3 * PATH_MAX];
  char line[256];
  unsigned long long collected = 0;
  if (readlink ("/proc/self/exe", self, sizeof self - 1) < 0)
    return;
  snprintf (command, sizeof command,
            "valgrind --tool=callgrind --toggle-collect=read_keys --callgrind-out-file=/dev/null '%s' --counted '%s' "
            "%llu 2>&1",
            self, plugin, (unsigned long long)entries);
  FILE *output = popen (command, "r");
  while (output != NULL && fgets (line, sizeof line, output) != NULL) {
    const char *found = strstr (line, "Collected : ");
    if (found != NULL)
      collected = strtoull (found + strlen ("Collected : "), NULL, 10);
  }
  if (output != NULL && pclose (output) == 0 && collected > 0)
    printf ("%llu instructions per hit (callgrind)\n", collected / HITS_COUNTED);
  else
    printf ("instructions per hit: not counted, valgrind is missing or failed\n");
}

int
main (int argc, char **argv)
{
  bool check = false;
  bool counting = false;
  bool counted = false;
  for (; argc > 1 && argv[1][0] == '-'; argc--, argv++) {
    check = check || strcmp (argv[1], "--assert") == 0;
    counting = counting || strcmp (argv[1], "--instructions") == 0;
    counted = counted || strcmp (argv[1], "--counted") == 0;
  }
  const uint64_t entries = argc > 2 ? strtoull (argv[2], NULL, 10) : 1000000;
  RagifyKit *kit = ragify_kit_new (NULL);
  const RagifyPlugin *plugin = argc > 1 ? ragify_kit_load (kit, argv[1]) : NULL;
  const RagifyComponent *component = plugin != NULL ? ragify_kit_find (kit, plugin, RAGIFY_KIND_CACHE, "memory") : NULL;
  if (component == NULL || entries == 0) {
    fprintf (stderr, "usage: cache-speed [--assert] [--instructions] PLUGIN [ENTRIES]\n%s\n", ragify_kit_error (kit));
    return 2;
  }
  RagifyBuffer **values = calloc (entries, sizeof (RagifyBuffer *));
  ThinBuffer *buffers = large_pages (entries * sizeof *buffers);
  for (uint64_t i = 0; i < entries; i++) {
    buffers[i].base = (RagifyBuffer){ .struct_size = sizeof buffers[i].base, .ref = buffer_ref, .unref = buffer_unref };
    atomic_init (&buffers[i].references, 1);
    values[i] = &buffers[i].base;
  }
  const uint64_t before = resident_bytes ();
  RagifyContext context = { .entries = (int64_t)entries };
  const RagifyInstance which = { .struct_size = sizeof which, .count = 1 };
  void *cache = NULL;
  if (component->create (&host, &context, &which, &cache) != RAGIFY_OK)
    return 1;
  fill (component->operations, cache, values, entries);
  if (counted)
    return read_a_little (component->operations, cache, entries);
  const double bytes = (double)(resident_bytes () - before) / (double)entries - KEY_SIZE;
  uint64_t missing = 0;
  printf ("%llu entries: %.0f bytes per entry beyond key and value\n", (unsigned long long)entries, bytes);
  fflush (stdout);
  double hit[ROUNDS], memory[ROUNDS];
  for (size_t i = 0; i < ROUNDS; i++) { /* in turns: the machine is not as fast all the time */
    hit[i] = 1000 / measure (component->operations, cache, entries, 1, &missing);
    memory[i] = measure_memory (entries);
  }
  const double ns = median (hit), alone = median (memory);
  const double two = measure (component->operations, cache, entries, 2, &missing);
  printf ("two threads give %.2f times one's throughput\n", two * ns / 1000);
  if (counting)
    count_instructions (argv[1], entries);
  printf ("a hit: %.0f ns; the memory alone: %.0f ns for as many dependent accesses (medians of %d rounds): %.2f x\n",
          ns, alone, ROUNDS, ns / alone);
  RagifyCall call = { 0 };
  const RagifyNothing nothing = { .struct_size = sizeof nothing };
  component->stats (cache, &call, &nothing);
  const RagifyPair *pairs = call.memory;
  for (size_t i = 0; i < 11; i++)
    printf ("%.*s %lld%s", (int)pairs[i].name.size, pairs[i].name.data, (long long)pairs[i].value.integer,
            i < 10 ? ", " : "\n");
  free (call.memory);
  component->destroy (cache);
  free (values);
  ragify_kit_free (kit);
  return check && (ns > NS_LIMIT || bytes > BYTES_LIMIT || missing > 0) ? 1 : 0;
}
