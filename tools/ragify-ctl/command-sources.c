#include "command.h"

#include "tools/common/json-reader.h"
#include "tools/common/terminal-text.h"

#include <stdio.h>
#include <string.h>

static const char description[] =
    "  list             Each source, store, index and balancer: how it is and how it fares (default)\n"
    "  enable NAME      Ask it again\n"
    "  disable NAME     Ask it no more, until it is enabled or the host starts anew\n"
    "  weight NAME W    What it counts: its share of a balancer's requests, its part in fusion\n"
    "\n"
    "What is changed here holds until the host starts anew; to keep it, write `weight` or `enabled` into the\n"
    "configuration.\n"
    "\n" RAGIFY_TOOL_EXIT_HELP "\n";

static double
number_of (const json_t *object, const char *name)
{
  return json_number_value (json_object_get (object, name));
}

static const char *
text_of (const json_t *object, const char *name)
{
  const char *text = json_string_value (json_object_get (object, name));
  return text != NULL ? text : "-";
}

static void
print_line (const char *indent, const json_t *source, const char *calls)
{
  const json_t *latency = json_object_get (source, "latency");
  const double p95 = json_is_object (latency) ? number_of (latency, "p95") : number_of (source, "p95");
  g_autofree char *line = g_strdup_printf (
      "%s%-*s %-13s weight %-6.3g %8.0f asked %6.0f failed   p95 %.3g ms", indent, (int)(26 - strlen (indent)),
      text_of (source, "name"), text_of (source, "status"), number_of (source, "weight"), number_of (source, calls),
      number_of (source, "errors") + number_of (source, "timeouts"), p95 * 1000);
  g_autofree char *printable = ragify_tool_printable (line);
  puts (printable);
}

static void
print_sources (const json_t *sources)
{
  size_t index;
  json_t *source;
  json_array_foreach (sources, index, source)
  {
    const json_t *members = json_object_get (source, "members");
    if (members == NULL) {
      print_line ("", source, "calls");
      continue;
    }
    g_autofree char *name = ragify_tool_printable (text_of (source, "name"));
    printf ("%s (balancer)\n", name);
    size_t place;
    json_t *member;
    json_array_foreach (members, place, member) print_line ("  ", member, "requests");
  }
}

static int
list (const RagifyControlOptions *options, RagifyHttpClient *client)
{
  int code = RAGIFY_TOOL_EXIT_OK;
  g_autoptr (RagifyHttpReply) reply = ragify_control_request (client, "GET", "/v1/sources", NULL, NULL, &code);
  if (reply == NULL)
    return code;
  if (options->json) {
    ragify_control_print_body (reply);
    return RAGIFY_TOOL_EXIT_OK;
  }
  gsize length = 0;
  const char *bytes = g_bytes_get_data (reply->body, &length);
  json_t *json = ragify_json_parse (bytes, length, NULL);
  if (json == NULL) {
    ragify_tool_complain ("the server's answer is not JSON");
    return RAGIFY_TOOL_EXIT_FAILED;
  }
  print_sources (json_object_get (json, "sources"));
  json_decref (json);
  return RAGIFY_TOOL_EXIT_OK;
}

static int
change (const RagifyControlOptions *options, RagifyHttpClient *client, const char *name, const char *patch)
{
  int code = RAGIFY_TOOL_EXIT_OK;
  g_autofree char *escaped = g_uri_escape_string (name, NULL, FALSE);
  g_autofree char *target = g_strdup_printf ("/v1/sources/%s", escaped);
  g_autoptr (GBytes) body = g_bytes_new (patch, strlen (patch));
  g_autoptr (RagifyHttpReply) reply = ragify_control_request (client, "PATCH", target, "application/json", body, &code);
  if (reply != NULL && options->json)
    ragify_control_print_body (reply);
  return reply != NULL ? RAGIFY_TOOL_EXIT_OK : code;
}

/* NULL: not a command line that makes sense. */
static char *
patch_of (int argc, char **argv)
{
  if (argc == 3 && strcmp (argv[1], "enable") == 0)
    return g_strdup ("{\"enabled\":true}");
  if (argc == 3 && strcmp (argv[1], "disable") == 0)
    return g_strdup ("{\"enabled\":false}");
  char *end = NULL;
  if (argc != 4 || strcmp (argv[1], "weight") != 0)
    return NULL;
  const double weight = g_ascii_strtod (argv[3], &end);
  if (end == argv[3] || *end != '\0')
    return NULL;
  char text[G_ASCII_DTOSTR_BUF_SIZE];
  return g_strdup_printf ("{\"weight\":%s}", g_ascii_dtostr (text, sizeof text, weight));
}

int
ragify_control_sources (RagifyControlOptions *options, int argc, char **argv)
{
  if (!ragify_control_parse (options, NULL, "[list | enable NAME | disable NAME | weight NAME WEIGHT]", description,
                             &argc, &argv))
    return RAGIFY_TOOL_EXIT_USAGE;
  const gboolean lists = argc == 1 || (argc == 2 && strcmp (argv[1], "list") == 0);
  g_autofree char *patch = lists ? NULL : patch_of (argc, argv);
  if (!lists && patch == NULL) {
    ragify_tool_complain ("expected list, enable NAME, disable NAME or weight NAME WEIGHT (see 'ragify-ctl sources "
                          "--help')");
    return RAGIFY_TOOL_EXIT_USAGE;
  }
  g_autoptr (RagifyHttpClient) client = ragify_control_connect (options, 1, 60);
  if (client == NULL)
    return RAGIFY_TOOL_EXIT_USAGE;
  return lists ? list (options, client) : change (options, client, argv[2], patch);
}
