/* 'ragify-ctl reload'. */
#include "command.h"

#include <stdio.h>
#include <string.h>

#include "tools/common/json-reader.h"

static const char description[] =
    "Reads the configuration again and puts it in force, as SIGHUP does. What has not changed keeps all that it\n"
    "holds; requests under way finish on what they began with. Where something is wrong nothing is changed, and\n"
    "every mistake is printed with its place.\n"
    "\n" RAGIFY_TOOL_EXIT_HELP "\n";

static void
print_diagnostics (const json_t *answer)
{
  const json_t *list = json_object_get (answer, "diagnostics");
  gsize index;
  const json_t *item;
  json_array_foreach (list, index, item)
  {
    const char *text = ragify_json_get_string (item, "text");
    g_autofree char *printable = ragify_tool_printable (text != NULL ? text : "");
    fprintf (stderr, "%s\n", printable);
  }
}

static void
print_changes (const json_t *answer)
{
  const json_t *list = json_object_get (answer, "changes");
  gsize index;
  const json_t *item;
  json_array_foreach (list, index, item)
  {
    const char *node = ragify_json_get_string (item, "node"), *change = ragify_json_get_string (item, "change");
    g_autofree char *line = g_strdup_printf ("%-13s [%s]", change != NULL ? change : "", node != NULL ? node : "");
    g_autofree char *printable = ragify_tool_printable (line);
    printf ("%s\n", printable);
  }
  printf ("Configuration %" G_GINT64_FORMAT " is in force after %.0f ms; %" G_GINT64_FORMAT
          " nodes go on as they were.\n",
          ragify_json_get_integer (answer, "configuration", 0), 1000 * ragify_json_get_number (answer, "duration", 0),
          ragify_json_get_integer (answer, "kept", 0));
}

static int
show (const RagifyHttpReply *reply, gboolean as_json)
{
  gsize size = 0;
  const char *text = g_bytes_get_data (reply->body, &size);
  const gboolean applied = ragify_http_reply_succeeded (reply);
  g_autoptr (RagifyJson) answer = ragify_json_parse_object (text, size, NULL);
  if (as_json)
    ragify_control_print_body (reply);
  else if (answer != NULL)
    print_diagnostics (answer);
  if (!applied) {
    g_autofree char *words = ragify_http_reply_describe (reply);
    ragify_tool_complain ("not reloaded: %s", words);
  } else if (!as_json && answer != NULL)
    print_changes (answer);
  return applied ? RAGIFY_TOOL_EXIT_OK : RAGIFY_TOOL_EXIT_FAILED;
}

int
ragify_control_reload (RagifyControlOptions *options, int argc, char **argv)
{
  if (!ragify_control_parse (options, NULL, "", description, &argc, &argv))
    return RAGIFY_TOOL_EXIT_USAGE;
  if (argc > 1) {
    ragify_tool_complain ("'%s': reload takes no argument (see 'ragify-ctl reload --help')", argv[1]);
    return RAGIFY_TOOL_EXIT_USAGE;
  }
  RagifyHttpClient *client = ragify_control_connect (options, 1, 300);
  if (client == NULL)
    return RAGIFY_TOOL_EXIT_USAGE;
  g_autoptr (GError) error = NULL;
  g_autoptr (RagifyHttpReply) reply = ragify_http_client_send (client, "POST", "/v1/admin/reload", NULL, NULL, &error);
  int code = RAGIFY_TOOL_EXIT_FAILED;
  if (reply != NULL) {
    code = show (reply, options->json);
  } else {
    ragify_tool_complain ("%s", error->message);
    code = ragify_control_exit_code (error);
  }
  ragify_http_client_free (client);
  return code;
}
