#include "warm-client.h"

#include "command.h"

#include "tools/common/json-reader.h"
#include "tools/common/progress.h"
#include "tools/common/terminal-text.h"

#include <stdio.h>
#include <string.h>

#define TARGET "/v1/cache/warm"
#define LARGEST_BODY (512 * 1024) /* half of what a server takes by default */
#define POLL_US 100000
#define BEGIN_POLLS 100 /* for a round that the server prepares itself */

/* All rounds together. */
typedef struct {
  gint64 total, computed, kept, failed;
} Totals;

static json_t *
parse (const RagifyHttpReply *reply, int *exit_code)
{
  gsize length = 0;
  const char *bytes = g_bytes_get_data (reply->body, &length);
  g_autoptr (GError) error = NULL;
  json_t *answer = ragify_json_parse_object (bytes, length, &error);
  if (answer != NULL)
    return answer;
  ragify_tool_complain ("the server's answer is not a JSON object: %s; is it a ragify-host?", error->message);
  *exit_code = RAGIFY_TOOL_EXIT_FAILED;
  return NULL;
}

static json_t *
request (RagifyHttpClient *client, const char *method, const json_t *body, int *exit_code)
{
  char *text = body != NULL ? json_dumps (body, JSON_COMPACT) : NULL;
  g_autoptr (GBytes) bytes = text != NULL ? g_bytes_new (text, strlen (text)) : NULL;
  g_autoptr (RagifyHttpReply) reply =
      ragify_control_request (client, method, TARGET, "application/json", bytes, exit_code);
  free (text);
  return reply != NULL ? parse (reply, exit_code) : NULL;
}

static json_t *
new_body (const RagifyWarmWish *wish)
{
  json_t *body = json_object ();
  if (wish->pipeline != NULL)
    json_object_set_new (body, "pipeline", json_string (wish->pipeline));
  if (wish->concurrency > 0)
    json_object_set_new (body, "concurrency", json_integer (wish->concurrency));
  if (wish->refresh)
    json_object_set_new (body, "refresh", json_true ());
  return body;
}

/* A line as the server wants it: a query, or a request. */
static json_t *
item_of (const char *line)
{
  g_autoptr (GError) error = NULL;
  json_t *object = *line == '{' ? ragify_json_parse_object (line, strlen (line), &error) : NULL;
  return object != NULL ? object : json_string (line);
}

static void
report (const json_t *state, Totals *totals)
{
  const json_t *failures = json_object_get (state, "failures");
  totals->total += ragify_json_get_integer (state, "done", 0);
  totals->computed += ragify_json_get_integer (state, "computed", 0);
  totals->kept += ragify_json_get_integer (state, "kept", 0);
  totals->failed += ragify_json_get_integer (state, "failed", 0);
  for (gsize i = 0; i < json_array_size (failures); i++) {
    const json_t *failure = json_array_get (failures, i);
    const char *text = ragify_json_get_string (failure, "request"), *why = ragify_json_get_string (failure, "reason");
    g_autofree char *line = g_strdup_printf ("failed: %s: %s", text != NULL ? text : "", why != NULL ? why : "");
    g_autofree char *printable = ragify_tool_printable (line);
    fprintf (stderr, "%s\n", printable);
  }
}

/* Follows the round until it is over; FALSE with an exit code where the server did not answer. */
static gboolean
follow (RagifyHttpClient *client, gint64 round, gboolean prepared, gboolean quiet, Totals *totals, int *exit_code)
{
  g_autoptr (RagifyProgress) progress = ragify_progress_new ("warming", "queries", quiet);
  for (guint polls = 0;; polls++) {
    g_autoptr (RagifyJson) state = request (client, "GET", NULL, exit_code);
    if (state == NULL)
      return FALSE;
    const gint64 now = ragify_json_get_integer (state, "round", 0);
    const gboolean idle = g_strcmp0 (ragify_json_get_string (state, "status"), "idle") == 0;
    const gint64 total = ragify_json_get_integer (state, "total", 0), done = ragify_json_get_integer (state, "done", 0);
    if (now >= round)
      ragify_progress_update (progress, (guint64)done, total > 0 ? (double)done / (double)total : -1);
    if (now >= round && idle) {
      g_clear_pointer (&progress, ragify_progress_free);
      report (state, totals);
      return TRUE;
    }
    if (now < round && prepared && polls == BEGIN_POLLS) {
      fprintf (stderr, "there is nothing to warm the cache with\n");
      return TRUE;
    }
    g_usleep (POLL_US);
  }
}

/* One round with what `body` says, which it takes. */
static gboolean
warm (RagifyHttpClient *client, json_t *body, gboolean quiet, Totals *totals, int *exit_code)
{
  const gboolean prepared = json_object_get (body, "queries") == NULL && json_object_get (body, "busiest") == NULL;
  g_autoptr (RagifyJson) state = request (client, "POST", body, exit_code);
  json_decref (body);
  if (state == NULL)
    return FALSE;
  /* The server prepares the round of its plans in a while, and the answer is still about the one before. */
  const gint64 round = ragify_json_get_integer (state, "round", 0);
  const gboolean begun = !prepared || g_strcmp0 (ragify_json_get_string (state, "status"), "running") == 0;
  return follow (client, begun ? round : round + 1, !begun, quiet, totals, exit_code);
}

/* Sends a list in bodies that the server takes. */
static gboolean
warm_list (RagifyHttpClient *client, const RagifyWarmWish *wish, GPtrArray *lines, gboolean quiet, Totals *totals,
           int *exit_code)
{
  for (guint next = 0; next < lines->len;) {
    json_t *list = json_array ();
    for (gsize size = 0; next < lines->len && size < LARGEST_BODY; next++) {
      const char *line = g_ptr_array_index (lines, next);
      size += 2 * strlen (line) + 16;
      json_array_append_new (list, item_of (line));
    }
    json_t *body = new_body (wish);
    json_object_set_new (body, "queries", list);
    if (!warm (client, body, quiet, totals, exit_code))
      return FALSE;
  }
  return TRUE;
}

static gboolean
read_file (const char *path, GPtrArray *lines)
{
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;
  if (!g_file_get_contents (strcmp (path, "-") == 0 ? "/dev/stdin" : path, &text, NULL, &error)) {
    ragify_tool_complain ("cache warm: --file: %s", error->message);
    return FALSE;
  }
  if (!g_utf8_validate (text, -1, NULL)) {
    ragify_tool_complain ("cache warm: --file %s: expected UTF-8, found other bytes", path);
    return FALSE;
  }
  g_auto (GStrv) all = g_strsplit (text, "\n", -1);
  for (guint i = 0; all[i] != NULL; i++) {
    const char *line = g_strstrip (all[i]);
    if (*line != '\0' && *line != '#')
      g_ptr_array_add (lines, g_strdup (line));
  }
  return TRUE;
}

static void
print_totals (const Totals *totals, gboolean json)
{
  if (json)
    printf ("{\"total\":%" G_GINT64_FORMAT ",\"computed\":%" G_GINT64_FORMAT ",\"kept\":%" G_GINT64_FORMAT
            ",\"failed\":%" G_GINT64_FORMAT "}\n",
            totals->total, totals->computed, totals->kept, totals->failed);
  else
    printf ("%" G_GINT64_FORMAT " queries: %" G_GINT64_FORMAT " computed, %" G_GINT64_FORMAT
            " in the cache already, %" G_GINT64_FORMAT " failed\n",
            totals->total, totals->computed, totals->kept, totals->failed);
}

int
ragify_warm_client_run (RagifyHttpClient *client, const RagifyWarmWish *wish, gboolean json)
{
  g_autoptr (GPtrArray) lines = g_ptr_array_new_with_free_func (g_free);
  for (char **query = wish->queries; *query != NULL; query++)
    g_ptr_array_add (lines, g_strdup (*query));
  if (wish->file != NULL && !read_file (wish->file, lines))
    return RAGIFY_TOOL_EXIT_USAGE;
  Totals totals = { 0 };
  int exit_code = RAGIFY_TOOL_EXIT_OK;
  gboolean good = warm_list (client, wish, lines, json, &totals, &exit_code);
  const gboolean planned = lines->len == 0 && wish->file == NULL && wish->busiest < 0;
  if (good && (wish->busiest >= 0 || planned)) {
    json_t *body = new_body (wish);
    if (wish->busiest >= 0)
      json_object_set_new (body, "busiest", json_integer (wish->busiest));
    good = warm (client, body, json, &totals, &exit_code);
  }
  if (!good)
    return exit_code;
  print_totals (&totals, json);
  return totals.failed > 0 ? RAGIFY_TOOL_EXIT_FAILED : RAGIFY_TOOL_EXIT_OK;
}
