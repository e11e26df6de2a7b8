/* source-http beside a bare libsoup client: the same requests, the same number at once, in turns.
 *
 * SPDX-License-Identifier: MIT
 *
 *     source-http-bench PLUGIN BASE-URL [--assert LEAST] [--read] [--at-once N] [--rounds N] [--seconds S]
 *
 * The plugin's method is called as the host calls it, on a loop of its own, and takes ten passages out of every answer.
 * A thread keeps 2 N calls begun, of which the plugin's max-connections lets N be under way: so what that thread needs
 * to wake up is not in the way. The bare client runs on a loop and keeps N requests under way; it only takes the bytes,
 * or with --read has Jansson read them as well. Printed are requests and µs of CPU a request, medians of the rounds.
 * --assert: the plugin reaches LEAST × the client's throughput.
 */
#include <jansson.h>
#include <libsoup/soup.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kit-glib.h"

#define MOST_AT_ONCE 1000
#define MOST_ROUNDS 64

typedef struct Options {
  const char *plugin, *url;
  double least; /* 0: nothing is asserted */
  gboolean read;
  int at_once, rounds;
  double seconds;
} Options;

typedef struct Measured {
  double per_second, cpu_us;
} Measured;

static double
cpu_now (void)
{
  struct timespec time;
  clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &time);
  return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static void
fail (const char *what)
{
  fprintf (stderr, "source-http-bench: %s\n", what);
  exit (2);
}

/* ---- the plugin ---- */

static void
check_call (RagifyKitCall *call)
{
  if (call->code != RAGIFY_OK)
    fail (call->message);
  if (((const RagifySourceResult *)call->result)->chunks.count != 10)
    fail ("the plugin did not find ten passages");
  ragify_kit_call_free (call);
}

static Measured
measure_plugin (RagifyKitInstance *source, const Options *options)
{
  const RagifySourceOperations *operations = ragify_kit_operations (source);
  const RagifySourceQuery query = { .struct_size = sizeof query, .top_k = 10, .text = ragify_str_from ("leek soup") };
  RagifyKitCall *calls[2 * MOST_AT_ONCE];
  const int begun_at_once = 2 * options->at_once;
  const double cpu = cpu_now ();
  const gint64 begun = g_get_monotonic_time ();
  const gint64 end = begun + (gint64)(options->seconds * G_USEC_PER_SEC);
  guint64 count = 0;
  for (int i = 0; i < begun_at_once; i++)
    calls[i] = ragify_kit_begin (source, (RagifyKitFunction)operations->query, &query, 0);
  for (int at = 0; g_get_monotonic_time () < end; at = (at + 1) % begun_at_once, count++) {
    check_call (ragify_kit_wait (calls[at]));
    calls[at] = ragify_kit_begin (source, (RagifyKitFunction)operations->query, &query, 0);
  }
  for (int i = 0; i < begun_at_once; i++, count++)
    check_call (ragify_kit_wait (calls[i]));
  const double passed = (double)(g_get_monotonic_time () - begun);
  return (Measured){ .per_second = (double)count / passed * 1e6, .cpu_us = (cpu_now () - cpu) / (double)count };
}

/* ---- the bare client ---- */

typedef struct Client {
  SoupSession *session;
  GUri *uri;
  gint64 end;
  gboolean read;
  guint64 count;
  int under_way;
} Client;

static void send_one (Client *client);

static void
answered (GObject *source, GAsyncResult *result, gpointer user)
{
  Client *client = user;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) body = soup_session_send_and_read_finish (SOUP_SESSION (source), result, &error);
  if (body == NULL)
    fail (error->message);
  if (client->read) {
    json_t *tree = json_loadb (g_bytes_get_data (body, NULL), g_bytes_get_size (body), JSON_ALLOW_NUL, NULL);
    if (json_array_size (json_object_get (tree, "results")) != 10)
      fail ("the client did not find ten passages");
    json_decref (tree);
  }
  client->count++;
  client->under_way--;
  if (g_get_monotonic_time () < client->end)
    send_one (client);
}

static void
send_one (Client *client)
{
  g_autoptr (SoupMessage) message = soup_message_new_from_uri ("GET", client->uri);
  soup_message_headers_append (soup_message_get_request_headers (message), "Accept", "application/json");
  client->under_way++;
  soup_session_send_and_read_async (client->session, message, G_PRIORITY_DEFAULT, NULL, answered, client);
}

static Measured
measure_client (SoupSession *session, const Options *options)
{
  g_autofree char *url = g_strconcat (options->url, "/search?q=leek%20soup&limit=10", NULL);
  Client client = { .session = session, .uri = g_uri_parse (url, SOUP_HTTP_URI_FLAGS, NULL), .read = options->read };
  const double cpu = cpu_now ();
  const gint64 begun = g_get_monotonic_time ();
  client.end = begun + (gint64)(options->seconds * G_USEC_PER_SEC);
  for (int i = 0; i < options->at_once; i++)
    send_one (&client);
  while (client.under_way > 0)
    g_main_context_iteration (NULL, TRUE);
  g_uri_unref (client.uri);
  const double passed = (double)(g_get_monotonic_time () - begun);
  return (Measured){ .per_second = (double)client.count / passed * 1e6,
                     .cpu_us = (cpu_now () - cpu) / (double)client.count };
}

/* ---- both ---- */

static int
compare (const void *a, const void *b)
{
  const double x = *(const double *)a;
  const double y = *(const double *)b;
  return (x > y) - (x < y);
}

static double
median (const double *values, int count)
{
  double sorted[MOST_ROUNDS];
  memcpy (sorted, values, (size_t)count * sizeof *values);
  qsort (sorted, (size_t)count, sizeof *sorted, compare);
  return count % 2 != 0 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

static int
run (const Options *options, RagifyKitInstance *source, SoupSession *session)
{
  double rates[2][MOST_ROUNDS];
  double costs[2][MOST_ROUNDS];
  double ratios[MOST_ROUNDS];
  for (int i = 0; i < options->rounds; i++) {
    for (int side = 0; side < 2; side++) {
      const int which = (i + side) % 2; /* who begins changes */
      const Measured measured = which == 0 ? measure_plugin (source, options) : measure_client (session, options);
      rates[which][i] = measured.per_second;
      costs[which][i] = measured.cpu_us;
    }
    ratios[i] = rates[0][i] / rates[1][i];
  }
  const int n = options->rounds;
  const double ratio = median (ratios, n);
  printf ("%-24s %14s %22s\n", "", "requests/s", "µs of CPU a request");
  printf ("%-24s %14.0f %21.1f\n", "source-http", median (rates[0], n), median (costs[0], n));
  printf ("%-24s %14.0f %21.1f\n", options->read ? "libsoup and Jansson" : "libsoup alone", median (rates[1], n),
          median (costs[1], n));
  printf ("throughput: %.2f x", ratio);
  if (options->least > 0)
    printf (" (at least %.2f: %s)", options->least, ratio >= options->least ? "holds" : "does not hold");
  printf ("\n");
  return ratio < options->least ? 1 : 0;
}

static int
number (const char *text, int most)
{
  const int value = atoi (text);
  return CLAMP (value, 1, most);
}

static void
parse (int count, char **arguments, Options *options)
{
  if (count < 3)
    fail (
        "usage: source-http-bench PLUGIN BASE-URL [--assert LEAST] [--read] [--at-once N] [--rounds N] [--seconds S]");
  *options = (Options){ .plugin = arguments[1], .url = arguments[2], .at_once = 20, .rounds = 7, .seconds = 1 };
  for (int i = 3; i < count; i++) {
    if (strcmp (arguments[i], "--read") == 0)
      options->read = TRUE;
    else if (strcmp (arguments[i], "--assert") == 0 && i + 1 < count)
      options->least = g_ascii_strtod (arguments[++i], NULL);
    else if (strcmp (arguments[i], "--at-once") == 0 && i + 1 < count)
      options->at_once = number (arguments[++i], MOST_AT_ONCE);
    else if (strcmp (arguments[i], "--rounds") == 0 && i + 1 < count)
      options->rounds = number (arguments[++i], MOST_ROUNDS);
    else if (strcmp (arguments[i], "--seconds") == 0 && i + 1 < count)
      options->seconds = g_ascii_strtod (arguments[++i], NULL);
    else
      fail (arguments[i]);
  }
}

int
main (int count, char **arguments)
{
  Options options;
  parse (count, arguments, &options);
  const RagifyKitOptions kit_options = { .quiet = 1, .poller = &ragify_kit_glib_poller };
  RagifyKit *kit = ragify_kit_new (&kit_options);
  g_autofree char *url = g_strconcat ("base-url=", options.url, NULL);
  g_autofree char *limit = g_strdup_printf ("max-connections-per-host=%d", options.at_once);
  g_autofree char *limit_all = g_strdup_printf ("max-connections=%d", options.at_once);
  const char *config[] = { url, limit, limit_all, NULL };
  RagifyKitInstance *source = ragify_kit_open (kit, options.plugin, RAGIFY_KIND_SOURCE, "http", config, NULL);
  if (source == NULL)
    fail (ragify_kit_error (kit));
  g_autoptr (SoupSession) session =
      soup_session_new_with_options ("max-conns", options.at_once, "max-conns-per-host", options.at_once, NULL);
  const int code = run (&options, source, session);
  ragify_kit_close (source);
  ragify_kit_free (kit);
  return code;
}
