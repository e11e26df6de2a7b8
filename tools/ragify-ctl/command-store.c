/* 'ragify-ctl backup', 'verify', 'optimize' and 'reindex': what an operator has a store do. */
#include "command.h"

#include "tools/common/json-reader.h"

#include <glib.h>
#include <stdio.h>
#include <string.h>

#define LOOK_AGAIN_US (500 * 1000)

static const char backup_help[] =
    "Makes a copy of everything that a store holds, as of one moment, while the host goes on. TO is a name, or a path\n"
    "beneath the host's backup-dir (default: the store's name and the time). To restore it, stop the host, put the\n"
    "copy's folder where the store's was, and start it again.\n"
    "\n" RAGIFY_TOOL_EXIT_HELP "\n";
static const char verify_help[] =
    "Looks whether what a store holds agrees with itself; --repair mends what can be mended. Exits with 1 where\n"
    "something is wrong and stays so.\n"
    "\n" RAGIFY_TOOL_EXIT_HELP "\n";
static const char optimize_help[] = "Builds a store's index, or puts it in order; searches and writes go on.\n"
                                    "\n" RAGIFY_TOOL_EXIT_HELP "\n";
static const char reindex_help[] =
    "Makes a store's vectors anew, after its `embedder` was changed and the one before named as its\n"
    "`former-embedder`. Answers go on with the former vectors until all new ones are there; then the store changes\n"
    "over by itself. A host that is stopped or killed meanwhile goes on where it was.\n"
    "\n" RAGIFY_TOOL_EXIT_HELP "\n";

/* "/v1/admin/NAME?store=…&NAME=VALUE". */
static char *
target_of (const char *action, const char *store, const char *name, const char *value)
{
  GString *target = g_string_new (NULL);
  const char *separator = "?";
  g_string_append_printf (target, "/v1/admin/%s", action);
  if (store != NULL) {
    g_autofree char *escaped = g_uri_escape_string (store, NULL, FALSE);
    g_string_append_printf (target, "?store=%s", escaped);
    separator = "&";
  }
  if (value != NULL) {
    g_autofree char *escaped = g_uri_escape_string (value, NULL, FALSE);
    g_string_append_printf (target, "%s%s=%s", separator, name, escaped);
  }
  return g_string_free (target, FALSE);
}

static void
print_line (const char *line)
{
  g_autofree char *printable = ragify_tool_printable (line);
  puts (printable);
}

static const char *
text_of (const json_t *json, const char *name)
{
  const char *text = json_string_value (json_object_get (json, name));
  return text != NULL ? text : "";
}

static double
number_of (const json_t *json, const char *name)
{
  return json_number_value (json_object_get (json, name));
}

/* The server's answer, to be given up with json_decref; NULL with an exit code. With --json it was printed. */
static json_t *
ask (const RagifyControlOptions *options, RagifyHttpClient *client, const char *method, const char *target, int *code)
{
  g_autoptr (RagifyHttpReply) reply = ragify_control_request (client, method, target, NULL, NULL, code);
  if (reply == NULL)
    return NULL;
  gsize length = 0;
  const char *bytes = g_bytes_get_data (reply->body, &length);
  json_t *json = ragify_json_parse (bytes, length, NULL);
  if (json == NULL) {
    ragify_tool_complain ("the server's answer is not JSON");
    *code = RAGIFY_TOOL_EXIT_FAILED;
  } else if (options->json) {
    ragify_control_print_body (reply);
  }
  return json;
}

/* Asks for one thing that takes as long as it takes; `show` says what came of it, unless it was printed as JSON, and
 * with which exit code. */
static int
run (const RagifyControlOptions *options, const char *target, int (*show) (const json_t *json, gboolean silent))
{
  int code = RAGIFY_TOOL_EXIT_OK;
  g_autoptr (RagifyHttpClient) client = ragify_control_connect (options, 1, 0);
  if (client == NULL)
    return RAGIFY_TOOL_EXIT_USAGE;
  json_t *json = ask (options, client, "POST", target, &code);
  if (json == NULL)
    return code;
  code = show (json, options->json);
  json_decref (json);
  return code;
}

static int
refuse_arguments (const char *command)
{
  ragify_tool_complain ("expected one argument at most (see 'ragify-ctl %s --help')", command);
  return RAGIFY_TOOL_EXIT_USAGE;
}

/* ---- backup ---- */

static int
show_backup (const json_t *json, gboolean silent)
{
  g_autofree char *line =
      g_strdup_printf ("%s: %.1f MB after %.1f s", text_of (json, "path"),
                       number_of (json_object_get (json, "stats"), "bytes") / 1e6, number_of (json, "duration"));
  if (!silent)
    print_line (line);
  return RAGIFY_TOOL_EXIT_OK;
}

int
ragify_control_backup (RagifyControlOptions *options, int argc, char **argv)
{
  g_autofree char *store = NULL;
  const GOptionEntry entries[] = {
    { "store", 's', 0, G_OPTION_ARG_STRING, &store, "The store (default: the only one)", "NAME" },
    G_OPTION_ENTRY_NULL,
  };
  if (!ragify_control_parse (options, entries, "[TO]", backup_help, &argc, &argv))
    return RAGIFY_TOOL_EXIT_USAGE;
  if (argc > 2)
    return refuse_arguments ("backup");
  g_autofree char *target = target_of ("backup", store, "to", argc == 2 ? argv[1] : NULL);
  return run (options, target, show_backup);
}

/* ---- verify ---- */

static int
show_verification (const json_t *json, gboolean silent)
{
  const json_t *problems = json_object_get (json, "problems");
  g_autofree char *line = g_strdup_printf (
      "%s: looked at %.0f documents, chunks and vectors; %zu problems, %.0f mended", text_of (json, "store"),
      number_of (json, "looked_at"), json_array_size (problems), number_of (json, "repaired"));
  size_t index;
  json_t *problem;
  if (!silent)
    print_line (line);
  json_array_foreach (problems, index, problem)
  {
    g_autofree char *words = g_strdup_printf ("  %s", json_string_value (problem));
    if (!silent)
      print_line (words);
  }
  return json_array_size (problems) == 0 ? RAGIFY_TOOL_EXIT_OK : RAGIFY_TOOL_EXIT_FAILED;
}

int
ragify_control_verify (RagifyControlOptions *options, int argc, char **argv)
{
  gboolean repair = FALSE;
  const GOptionEntry entries[] = {
    { "repair", 0, 0, G_OPTION_ARG_NONE, &repair, "Mend what can be mended", NULL },
    G_OPTION_ENTRY_NULL,
  };
  if (!ragify_control_parse (options, entries, "[STORE]", verify_help, &argc, &argv))
    return RAGIFY_TOOL_EXIT_USAGE;
  if (argc > 2)
    return refuse_arguments ("verify");
  g_autofree char *target = target_of ("verify", argc == 2 ? argv[1] : NULL, "repair", repair ? "true" : NULL);
  return run (options, target, show_verification);
}

/* ---- optimize ---- */

static int
show_optimized (const json_t *json, gboolean silent)
{
  const json_t *stats = json_object_get (json, "stats");
  g_autofree char *line =
      g_strdup_printf ("%s: %.0f documents, %.0f chunks, %.0f vectors; done after %.1f s", text_of (json, "store"),
                       number_of (stats, "documents"), number_of (stats, "chunks"), number_of (stats, "vectors"),
                       number_of (json, "duration"));
  if (!silent)
    print_line (line);
  return RAGIFY_TOOL_EXIT_OK;
}

int
ragify_control_optimize (RagifyControlOptions *options, int argc, char **argv)
{
  if (!ragify_control_parse (options, NULL, "[STORE]", optimize_help, &argc, &argv))
    return RAGIFY_TOOL_EXIT_USAGE;
  if (argc > 2)
    return refuse_arguments ("optimize");
  g_autofree char *target = target_of ("optimize", argc == 2 ? argv[1] : NULL, NULL, NULL);
  return run (options, target, show_optimized);
}

/* ---- reindex ---- */

static void
print_progress (const json_t *json)
{
  const json_t *rate = json_object_get (json, "chunks_per_second"), *left = json_object_get (json, "seconds_left");
  g_autoptr (GString) line = g_string_new (NULL);
  g_string_append_printf (line, "%s: %s", text_of (json, "store"), text_of (json, "state"));
  if (json_object_get (json, "total") != NULL)
    g_string_append_printf (line, ", %.0f of %.0f chunks", number_of (json, "done"), number_of (json, "total"));
  if (json_is_number (rate))
    g_string_append_printf (line, ", %.3g/s", json_number_value (rate));
  if (json_is_number (left))
    g_string_append_printf (line, ", %.0f s left", json_number_value (left));
  if (*text_of (json, "error") != '\0')
    g_string_append_printf (line, "; waits: %s", text_of (json, "error"));
  print_line (line->str);
}

/* Until the store has changed over. */
static int
follow_reindexing (const RagifyControlOptions *options, RagifyHttpClient *client, const char *target)
{
  int code = RAGIFY_TOOL_EXIT_OK;
  gboolean over = FALSE;
  while (!over) {
    g_usleep (LOOK_AGAIN_US);
    json_t *json = ask (options, client, "GET", target, &code);
    if (json == NULL)
      return code;
    over = strcmp (text_of (json, "state"), "up-to-date") == 0;
    if (!options->json)
      print_progress (json);
    json_decref (json);
  }
  return code;
}

int
ragify_control_reindex (RagifyControlOptions *options, int argc, char **argv)
{
  gboolean wait = FALSE, show = FALSE;
  const GOptionEntry entries[] = {
    { "wait", 'w', 0, G_OPTION_ARG_NONE, &wait, "Say how far it is until the store has changed over", NULL },
    { "show", 0, 0, G_OPTION_ARG_NONE, &show, "Only say how far it is", NULL },
    G_OPTION_ENTRY_NULL,
  };
  if (!ragify_control_parse (options, entries, "[STORE]", reindex_help, &argc, &argv))
    return RAGIFY_TOOL_EXIT_USAGE;
  if (argc > 2)
    return refuse_arguments ("reindex");
  int code = RAGIFY_TOOL_EXIT_OK;
  g_autofree char *target = target_of ("reindex", argc == 2 ? argv[1] : NULL, NULL, NULL);
  g_autoptr (RagifyHttpClient) client = ragify_control_connect (options, 1, 60);
  if (client == NULL)
    return RAGIFY_TOOL_EXIT_USAGE;
  json_t *json = ask (options, client, show ? "GET" : "POST", target, &code);
  if (json == NULL)
    return code;
  if (!options->json)
    print_progress (json);
  json_decref (json);
  return wait ? follow_reindexing (options, client, target) : code;
}
