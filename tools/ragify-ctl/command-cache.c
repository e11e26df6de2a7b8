#include "command.h"
#include "warm-client.h"

#include "tools/common/json-reader.h"
#include "tools/common/terminal-text.h"
#include "tools/common/text-table.h"

#include <stdio.h>
#include <string.h>

static const char description[] =
    "  stats           Hit rates, entries and state of every level; the busiest queries\n"
    "  get QUERY       What the levels have of one request\n"
    "  clear           Empty all levels of all tiers, or of --tier\n"
    "  clear QUERY     Forget the answer to one request\n"
    "  warm [QUERY …]  Compute answers in advance: these, those of --file, the busiest ones; without any\n"
    "                  of them what the configuration says\n"
    "\n"
    "A request is a query with its parameters: --parameter max_chunks=5 --parameter mode=dense.\n"
    "A file of queries has one a line, or a request as JSON.\n"
    "\n" RAGIFY_TOOL_EXIT_HELP "\n";

static const char usage[] = "stats | get QUERY | clear [QUERY] | warm [QUERY …]";

typedef struct {
  char *tier, *key;
  char **parameters; /* NAME=VALUE */
  RagifyWarmWish warm;
} CacheOptions;

/* Appends a query parameter, escaped. */
static void
append_parameter (GString *target, const char *name, const char *value)
{
  g_autofree char *escaped = g_uri_escape_string (value, NULL, FALSE);
  g_string_append_printf (target, "%c%s=%s", strchr (target->str, '?') != NULL ? '&' : '?', name, escaped);
}

/* /v1/cache for the request that was named; NULL after a complaint. */
static char *
cache_target (const CacheOptions *options, const char *query)
{
  g_autoptr (GString) target = g_string_new ("/v1/cache");
  if (query != NULL)
    append_parameter (target, "q", query);
  if (options->warm.pipeline != NULL && query != NULL)
    append_parameter (target, "pipeline", options->warm.pipeline);
  if (options->tier != NULL)
    append_parameter (target, "tier", options->tier);
  if (options->key != NULL)
    append_parameter (target, "key", options->key);
  for (char **at = options->parameters; at != NULL && *at != NULL; at++) {
    g_auto (GStrv) parts = g_strsplit (*at, "=", 2);
    if (parts[0] == NULL || parts[1] == NULL) {
      ragify_tool_complain ("cache: --parameter %s: expected NAME=VALUE", *at);
      return NULL;
    }
    append_parameter (target, parts[0], parts[1]);
  }
  return g_strdup (target->str);
}

static char *
percent_of (const json_t *object, const char *name)
{
  const json_t *rate = json_object_get (object, name);
  return json_is_number (rate) ? g_strdup_printf ("%.1f %%", 100 * json_number_value (rate)) : g_strdup ("-");
}

static char *
integer_text (const json_t *object, const char *name)
{
  const json_t *value = json_object_get (object, name);
  return json_is_integer (value) ? g_strdup_printf ("%" JSON_INTEGER_FORMAT, json_integer_value (value))
                                 : g_strdup ("-");
}

static const char *
text_of (const json_t *object, const char *name)
{
  const char *text = ragify_json_get_string (object, name);
  return text != NULL ? text : "";
}

/* Such as "closed", or what is not. */
static char *
state_text (const json_t *level)
{
  const char *reading = text_of (level, "reading"), *writing = text_of (level, "writing");
  if (json_object_get (level, "error") != NULL)
    return g_strdup (text_of (level, "error"));
  if (strcmp (reading, "closed") == 0 && strcmp (writing, "closed") == 0)
    return g_strdup ("well");
  return g_strdup_printf ("reading %s, writing %s", reading, writing);
}

static void
add_level (RagifyTextTable *table, const char *tier, const json_t *level)
{
  const json_t *statistics = json_object_get (level, "statistics");
  g_autofree char *hits = integer_text (level, "hits"), *misses = integer_text (level, "misses");
  g_autofree char *rate = percent_of (level, "hit_rate"), *entries = integer_text (statistics, "entries");
  g_autofree char *bytes = integer_text (statistics, "bytes"), *evictions = integer_text (statistics, "evictions");
  g_autofree char *errors = integer_text (level, "errors"), *state = state_text (level);
  ragify_text_table_add (table, (const char *const[]){ tier, text_of (level, "name"), text_of (level, "kind"), hits,
                                                       misses, rate, entries, bytes, evictions, errors, state });
}

static void
print_tiers (const json_t *tiers)
{
  g_autoptr (RagifyTextTable) table = ragify_text_table_new ("lllrrrrrrrl");
  ragify_text_table_add (table, (const char *const[]){ "tier", "level", "kind", "hits", "misses", "rate", "entries",
                                                       "bytes", "evictions", "errors", "state" });
  for (gsize i = 0; i < json_array_size (tiers); i++) {
    const json_t *tier = json_array_get (tiers, i);
    const json_t *levels = json_object_get (tier, "levels");
    g_autofree char *hits = integer_text (tier, "hits"), *misses = integer_text (tier, "misses");
    g_autofree char *rate = percent_of (tier, "hit_rate");
    ragify_text_table_add (
        table, (const char *const[]){ text_of (tier, "name"), "", "", hits, misses, rate, "", "", "", "", "" });
    for (gsize k = 0; k < json_array_size (levels); k++)
      add_level (table, "", json_array_get (levels, k));
  }
  g_autofree char *text = ragify_text_table_format (table, FALSE);
  g_autofree char *printable = ragify_tool_printable (text);
  fputs (printable, stdout);
}

static void
print_busiest (const json_t *busiest)
{
  if (json_array_size (busiest) == 0)
    return;
  puts ("busiest:");
  for (gsize i = 0; i < json_array_size (busiest); i++) {
    const json_t *busy = json_array_get (busiest, i);
    g_autofree char *query = ragify_tool_printable (text_of (json_object_get (busy, "request"), "query"));
    printf ("  %8" G_GINT64_FORMAT "  %s\n", ragify_json_get_integer (busy, "count", 0), query);
  }
}

static void
print_entries (const json_t *answer)
{
  const json_t *tiers = json_object_get (answer, "tiers");
  printf ("key %s\n", text_of (answer, "key"));
  for (gsize i = 0; i < json_array_size (tiers); i++) {
    const json_t *levels = json_object_get (json_array_get (tiers, i), "levels");
    for (gsize k = 0; k < json_array_size (levels); k++) {
      const json_t *level = json_array_get (levels, k);
      if (json_object_get (level, "error") != NULL)
        printf ("%s: %s\n", text_of (level, "name"), text_of (level, "error"));
      else if (!json_is_true (json_object_get (level, "found")))
        printf ("%s: not there\n", text_of (level, "name"));
      else if (json_is_true (json_object_get (level, "foreign")))
        printf ("%s: there, in a format that this version does not know\n", text_of (level, "name"));
      else
        printf ("%s: %" G_GINT64_FORMAT " chunks, %" G_GINT64_FORMAT " bytes, %.1f s old, expires in %.1f s\n",
                text_of (level, "name"), ragify_json_get_integer (level, "chunks", 0),
                ragify_json_get_integer (level, "bytes", 0), ragify_json_get_number (level, "age", 0),
                ragify_json_get_number (level, "expires_in", 0));
    }
  }
}

/* Sends, and prints what came: as JSON, or by `print`. */
static int
send_and_print (RagifyControlOptions *control, RagifyHttpClient *client, const char *method, const char *target,
                void (*print) (const json_t *answer))
{
  int exit_code = RAGIFY_TOOL_EXIT_OK;
  g_autoptr (RagifyHttpReply) reply = ragify_control_request (client, method, target, NULL, NULL, &exit_code);
  if (reply == NULL)
    return exit_code;
  if (control->json) {
    ragify_control_print_body (reply);
    return exit_code;
  }
  gsize length = 0;
  const char *bytes = g_bytes_get_data (reply->body, &length);
  g_autoptr (GError) error = NULL;
  g_autoptr (RagifyJson) answer = ragify_json_parse_object (bytes, length, &error);
  if (answer == NULL) {
    ragify_tool_complain ("the server's answer is not a JSON object: %s; is it a ragify-host?", error->message);
    return RAGIFY_TOOL_EXIT_FAILED;
  }
  print (answer);
  return exit_code;
}

static void
print_statistics (const json_t *answer)
{
  print_tiers (json_object_get (answer, "tiers"));
  print_busiest (json_object_get (answer, "busiest"));
}

static void
print_cleared (const json_t *answer)
{
  printf ("removed %" G_GINT64_FORMAT " entries\n", ragify_json_get_integer (answer, "removed", 0));
}

static int
run (RagifyControlOptions *control, CacheOptions *options, int argc, char **argv)
{
  const char *action = argc > 1 ? argv[1] : "";
  const gboolean warms = strcmp (action, "warm") == 0, gets = strcmp (action, "get") == 0;
  const gboolean clears = strcmp (action, "clear") == 0;
  if (!warms && !gets && !clears && strcmp (action, "stats") != 0) {
    ragify_tool_complain ("cache: expected 'stats', 'get QUERY', 'clear' or 'warm', found '%s'", action);
    return RAGIFY_TOOL_EXIT_USAGE;
  }
  if ((gets && argc != 3) || (clears && argc > 3) || (!gets && !clears && !warms && argc > 2)) {
    ragify_tool_complain ("cache %s: expected %s", action, gets || clears ? "one query" : "no further word");
    return RAGIFY_TOOL_EXIT_USAGE;
  }
  g_autoptr (RagifyHttpClient) client = ragify_control_connect (control, 1, 120);
  if (client == NULL)
    return RAGIFY_TOOL_EXIT_USAGE;
  if (warms) {
    options->warm.queries = argv + 2;
    return ragify_warm_client_run (client, &options->warm, control->json);
  }
  g_autofree char *target = cache_target (options, gets || clears ? argv[2] : NULL);
  if (target == NULL)
    return RAGIFY_TOOL_EXIT_USAGE;
  if (clears)
    return send_and_print (control, client, "DELETE", target, print_cleared);
  return send_and_print (control, client, "GET", target, gets ? print_entries : print_statistics);
}

int
ragify_control_cache (RagifyControlOptions *control, int argc, char **argv)
{
  CacheOptions options = { .warm = { .busiest = -1 } };
  const GOptionEntry entries[] = {
    { "tier", 0, 0, G_OPTION_ARG_STRING, &options.tier, "stats, clear: only this tier", "NAME" },
    { "key", 0, 0, G_OPTION_ARG_STRING, &options.key, "clear: the entry of this key (see get)", "HEX" },
    { "parameter", 'p', 0, G_OPTION_ARG_STRING_ARRAY, &options.parameters, "get, clear: of the request, repeatable",
      "NAME=VALUE" },
    { "pipeline", 0, 0, G_OPTION_ARG_STRING, &options.warm.pipeline, "The pipeline (default: default; warm: all)",
      "NAME" },
    { "file", 'f', 0, G_OPTION_ARG_FILENAME, &options.warm.file, "warm: a file of queries, - for standard input",
      "FILE" },
    { "busiest", 'b', 0, G_OPTION_ARG_INT, &options.warm.busiest, "warm: so many of the busiest queries seen", "N" },
    { "concurrency", 0, 0, G_OPTION_ARG_INT, &options.warm.concurrency, "warm: requests at once (default: 2)", "N" },
    { "refresh", 0, 0, G_OPTION_ARG_NONE, &options.warm.refresh, "warm: also what is in the cache already", NULL },
    G_OPTION_ENTRY_NULL,
  };
  int exit_code = RAGIFY_TOOL_EXIT_USAGE;
  if (ragify_control_parse (control, entries, usage, description, &argc, &argv))
    exit_code = run (control, &options, argc, argv);
  g_free (options.tier);
  g_free (options.key);
  g_strfreev (options.parameters);
  g_free (options.warm.pipeline);
  g_free (options.warm.file);
  return exit_code;
}
