/* The default statement of source-postgres over SciFact, at the plugin's method, beside a bare libpq client: both with
 * as many connections, one prepared query each at a time, in turns.
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <glib.h>
#include <jansson.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "kit.h"
#include "server.h"

#define CONNECTIONS 20
#define TOP_K 10
#define LIMIT_RATIO 0.9

static const char statement[] = "SELECT \"id\", left(\"content\"::text, 100000) AS \"content\", \"relevance_score\", "
                                "\"metadata\" FROM \"documents\" WHERE \"content\" ILIKE $1::text ORDER BY "
                                "\"relevance_score\" DESC NULLS LAST LIMIT $2::bigint";

typedef struct Bench {
  RagifyTestPostgres *server;
  RagifyKitInstance *source;
  PGconn *bare[CONNECTIONS];
  GPtrArray *words; /* what is asked for */
  _Atomic guint next;
  _Atomic gboolean ending;
  _Atomic guint answered;
} Bench;

/* ---- the collection ---- */

static json_t *
next_line (FILE *file)
{
  char *line = NULL;
  size_t room = 0;
  json_t *json = getline (&line, &room, file) > 0 ? json_loads (line, 0, NULL) : NULL;
  free (line);
  return json;
}

static FILE *
open_data (const char *name)
{
  const char *folder = g_getenv ("RAGIFY_TEST_DATA");
  g_autofree char *path = g_build_filename (folder != NULL ? folder : "../shared/data", "ir", "scifact", name, NULL);
  FILE *file = fopen (path, "r");
  if (file == NULL) {
    fprintf (stderr, "source-postgres: %s: %s\n", path, g_strerror (errno));
    exit (2);
  }
  return file;
}

static void
load_documents (const Bench *bench)
{
  FILE *file = open_data ("corpus.jsonl");
  PGconn *connection = ragify_test_postgres_connect (bench->server, "postgres");
  PQclear (PQexec (connection, "CREATE TABLE documents (id text PRIMARY KEY, content text, relevance_score float8, "
                               "metadata jsonb); BEGIN"));
  for (json_t *document; (document = next_line (file)) != NULL; json_decref (document)) {
    const char *values[] = { json_string_value (json_object_get (document, "_id")),
                             json_string_value (json_object_get (document, "text")) };
    PQclear (PQexecParams (connection, "INSERT INTO documents VALUES ($1, $2, random(), '{\"lang\": \"en\"}')", 2, NULL,
                           values, NULL, NULL, 0));
  }
  PQclear (PQexec (connection, "COMMIT; VACUUM ANALYZE documents"));
  PQclear (PQexec (connection, "VACUUM ANALYZE documents"));
  PQfinish (connection);
  fclose (file);
}

/* The longest word of each claim: the whole claim is in no document. */
static GPtrArray *
load_words (void)
{
  FILE *file = open_data ("queries.jsonl");
  GPtrArray *words = g_ptr_array_new_with_free_func (g_free);
  for (json_t *query; (query = next_line (file)) != NULL; json_decref (query)) {
    g_auto (GStrv) parts = g_strsplit_set (json_string_value (json_object_get (query, "text")), " .,()%_\\", -1);
    const char *longest = "";
    for (guint i = 0; parts[i] != NULL; i++)
      if (strlen (parts[i]) > strlen (longest))
        longest = parts[i];
    g_ptr_array_add (words, g_strdup (longest));
  }
  fclose (file);
  return words;
}

static const char *
next_word (Bench *bench)
{
  return g_ptr_array_index (bench->words, atomic_fetch_add (&bench->next, 1) % bench->words->len);
}

static double
cpu_seconds (void)
{
  struct rusage usage;
  getrusage (RUSAGE_SELF, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* ---- the plugin ---- */

static gpointer
ask_plugin (gpointer data)
{
  Bench *bench = data;
  const RagifySourceOperations *operations = ragify_kit_operations (bench->source);
  while (!atomic_load (&bench->ending)) {
    const RagifySourceQuery query = { .struct_size = sizeof query,
                                      .top_k = TOP_K,
                                      .text = ragify_str_from (next_word (bench)) };
    RagifyKitCall *call = ragify_kit_call (bench->source, (RagifyKitFunction)operations->query, &query, 0);
    if (call->code != RAGIFY_OK) {
      fprintf (stderr, "source-postgres: %s\n", call->message);
      exit (2);
    }
    ragify_kit_call_free (call);
    atomic_fetch_add (&bench->answered, 1);
  }
  return NULL;
}

static void
run_plugin (Bench *bench, gint64 until)
{
  GThread *threads[CONNECTIONS];
  for (guint i = 0; i < CONNECTIONS; i++)
    threads[i] = g_thread_new ("client", ask_plugin, bench);
  g_usleep ((gulong)MAX (until - g_get_monotonic_time (), 1));
  atomic_store (&bench->ending, TRUE);
  for (guint i = 0; i < CONNECTIONS; i++)
    g_thread_join (threads[i]);
}

/* ---- bare libpq ---- */

static void
send_bare (Bench *bench, PGconn *connection)
{
  g_autofree char *pattern = g_strconcat ("%", next_word (bench), "%", NULL);
  const char *values[] = { pattern, G_STRINGIFY (TOP_K) };
  if (PQsendQueryPrepared (connection, "bench", 2, values, NULL, NULL, 0) != 1) {
    fprintf (stderr, "source-postgres: libpq: %s\n", PQerrorMessage (connection));
    exit (2);
  }
}

/* TRUE once the answer is there. */
static gboolean
read_bare (PGconn *connection)
{
  if (PQconsumeInput (connection) != 1)
    exit (2);
  if (PQisBusy (connection))
    return FALSE;
  for (PGresult *result; (result = PQgetResult (connection)) != NULL; PQclear (result))
    if (PQresultStatus (result) != PGRES_TUPLES_OK)
      exit (2);
  return TRUE;
}

static void
run_bare (Bench *bench, gint64 until)
{
  struct pollfd polled[CONNECTIONS];
  guint busy = CONNECTIONS;
  for (guint i = 0; i < CONNECTIONS; i++) {
    send_bare (bench, bench->bare[i]);
    polled[i] = (struct pollfd){ .fd = PQsocket (bench->bare[i]), .events = POLLIN };
  }
  while (busy > 0 && poll (polled, CONNECTIONS, -1) >= 0) {
    for (guint i = 0; i < CONNECTIONS; i++) {
      if (polled[i].revents == 0 || !read_bare (bench->bare[i]))
        continue;
      atomic_fetch_add (&bench->answered, 1);
      if (g_get_monotonic_time () < until) {
        send_bare (bench, bench->bare[i]);
        continue;
      }
      polled[i].fd = -1;
      busy--;
    }
  }
}

/* ---- both in turns ---- */

typedef struct Figures {
  double rate[64]; /* answers a second */
  double cpu[64];  /* the client's own, µs an answer */
  guint count;
} Figures;

static void
measure (Bench *bench, void (*run) (Bench *, gint64), double seconds, Figures *figures)
{
  const gint64 begin = g_get_monotonic_time ();
  const double cpu = cpu_seconds ();
  atomic_store (&bench->ending, FALSE);
  atomic_store (&bench->answered, 0);
  run (bench, begin + (gint64)(seconds * G_USEC_PER_SEC));
  const double took = (double)(g_get_monotonic_time () - begin) / G_USEC_PER_SEC;
  const guint answered = atomic_load (&bench->answered);
  figures->rate[figures->count] = answered / took;
  figures->cpu[figures->count++] = (cpu_seconds () - cpu) / answered * 1e6;
}

static int
by_size (const void *a, const void *b)
{
  const double left = *(const double *)a;
  const double right = *(const double *)b;
  return (left > right) - (left < right);
}

static double
median (const double *values, guint count)
{
  double sorted[64];
  memcpy (sorted, values, count * sizeof *sorted);
  qsort (sorted, count, sizeof *sorted, by_size);
  return count % 2 == 1 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

static void
print_row (const char *name, const Figures *figures)
{
  double sorted[64];
  memcpy (sorted, figures->rate, figures->count * sizeof *sorted);
  qsort (sorted, figures->count, sizeof *sorted, by_size);
  printf ("%-16s %9.1f  %8.1f – %-8.1f %10.0f\n", name, median (figures->rate, figures->count), sorted[0],
          sorted[figures->count - 1], median (figures->cpu, figures->count));
}

static gboolean
prepare (Bench *bench, RagifyKit *kit, const char *plugin)
{
  g_autofree char *dsn = ragify_test_postgres_dsn (bench->server, "postgres");
  g_autofree char *key = g_strconcat ("dsn=", dsn, NULL);
  const char *config[] = { key, "min-size=" G_STRINGIFY (CONNECTIONS), "max-size=" G_STRINGIFY (CONNECTIONS), NULL };
  bench->source = ragify_kit_open (kit, plugin, RAGIFY_KIND_SOURCE, "postgres", config, NULL);
  for (guint i = 0; i < CONNECTIONS; i++) {
    bench->bare[i] = ragify_test_postgres_connect (bench->server, "postgres");
    PQclear (PQprepare (bench->bare[i], "bench", statement, 0, NULL));
  }
  if (bench->source == NULL)
    fprintf (stderr, "source-postgres: %s\n", ragify_kit_error (kit));
  return bench->source != NULL;
}

int
main (int argc, char **argv)
{
  const gboolean asserts = argc > 1 && g_str_equal (argv[1], "--assert");
  const guint rounds = 9;
  const double seconds = 2;
  Bench bench = { .server = ragify_test_postgres_new (NULL) };
  if (argc < 2 + asserts || bench.server == NULL)
    return 2;
  RagifyKit *kit = ragify_kit_new (NULL);
  Figures plugin = { .count = 0 };
  Figures bare = { .count = 0 };
  load_documents (&bench);
  bench.words = load_words ();
  if (!prepare (&bench, kit, argv[1 + asserts]))
    return 2;
  Figures warm = { .count = 0 };
  measure (&bench, run_plugin, 1, &warm);
  measure (&bench, run_bare, 1, &warm);
  for (guint i = 0; i < rounds; i++) {
    measure (&bench, i % 2 == 0 ? run_plugin : run_bare, seconds, i % 2 == 0 ? &plugin : &bare);
    measure (&bench, i % 2 == 0 ? run_bare : run_plugin, seconds, i % 2 == 0 ? &bare : &plugin);
  }
  double ratios[64];
  for (guint i = 0; i < rounds; i++)
    ratios[i] = plugin.rate[i] / bare.rate[i];
  const double ratio = median (ratios, rounds);
  printf ("default statement over SciFact, %d connections, %u rounds of %.0f s each in turns\n\n", CONNECTIONS, rounds,
          seconds);
  printf ("%-16s %9s  %-19s %10s\n", "client", "answers/s", "lowest – highest", "own CPU µs");
  print_row ("source-postgres", &plugin);
  print_row ("bare libpq", &bare);
  printf ("\nsource-postgres ÷ bare libpq: %.3f (median of the rounds; at least %.1f wanted)\n", ratio, LIMIT_RATIO);
  for (guint i = 0; i < CONNECTIONS; i++)
    PQfinish (bench.bare[i]);
  ragify_kit_close (bench.source);
  ragify_kit_free (kit);
  ragify_test_postgres_free (bench.server);
  g_ptr_array_unref (bench.words);
  return asserts && ratio < LIMIT_RATIO ? 1 : 0;
}
