/* ragify-mcp: the Model Context Protocol over standard input and output, for agents that start their servers
 * themselves. Each line goes to a running host's /mcp, and its answer comes back as a line. */
#include "tools/common/http-client.h"
#include "tools/common/json-reader.h"
#include "tools/common/tool-exit.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>

#define TIMEOUT_SECONDS 120
#define LONGEST_LINE (1024 * 1024)

static const char summary[] =
    "Speaks the Model Context Protocol on standard input and output for a running ragify-host.";
static const char description[] = "Environment:\n"
                                  "  RAGIFY_URL      the server's address when --url is not given\n"
                                  "  RAGIFY_API_KEY  the key to show the server, where it asks for one\n"
                                  "\n" RAGIFY_TOOL_EXIT_HELP "\n"
                                  "\n"
                                  "In an agent's configuration:\n"
                                  "  {\"mcpServers\": {\"ragify\": {\"command\": \"ragify-mcp\"}}}\n";

static void
print_line (const char *text, gsize size)
{
  for (gsize i = 0; i < size; i++)
    putchar (text[i] == '\n' || text[i] == '\r' ? ' ' : text[i]);
  putchar ('\n');
  fflush (stdout);
}

/* An answer of our own, where the host gave none that is a message. */
static void
print_failure (const char *line, gsize size, const char *words)
{
  g_autoptr (RagifyJson) message = ragify_json_parse (line, size, NULL);
  json_t *id = json_object_get (message, "id");
  if (message != NULL && id == NULL)
    return; /* a notification */
  json_t *error =
      json_pack ("{s:s, s:O?, s:{s:i, s:s}}", "jsonrpc", "2.0", "id", id, "error", "code", -32603, "message", words);
  if (id == NULL)
    json_object_set_new (error, "id", json_null ());
  char *text = json_dumps (error, JSON_COMPACT);
  json_decref (error);
  print_line (text, strlen (text));
  free (text);
}

static gboolean
is_message (const RagifyHttpReply *reply)
{
  gsize size = 0;
  const char *bytes = g_bytes_get_data (reply->body, &size);
  g_autoptr (RagifyJson) value = ragify_json_parse (bytes, size, NULL);
  return json_object_get (value, "jsonrpc") != NULL;
}

/* What the newer revisions repeat in the head; nothing for the others. */
static void
set_headers (RagifyHttpClient *client, const char *line, gsize size)
{
  g_autoptr (RagifyJson) message = ragify_json_parse (line, size, NULL);
  const json_t *parameters = json_object_get (message, "params");
  const json_t *meta = json_object_get (parameters, "_meta");
  const char *revision = json_string_value (json_object_get (meta, "io.modelcontextprotocol/protocolVersion"));
  const char *method = json_string_value (json_object_get (message, "method"));
  const char *member = g_strcmp0 (method, "resources/read") == 0 ? "uri" : "name";
  const char *name = json_string_value (json_object_get (parameters, member));
  g_autofree char *coded = name != NULL ? g_base64_encode ((const guchar *)name, strlen (name)) : NULL;
  g_autofree char *name_value = coded != NULL ? g_strconcat ("=?base64?", coded, "?=", NULL) : NULL;
  ragify_http_client_set_header (client, "MCP-Protocol-Version", revision);
  ragify_http_client_set_header (client, "Mcp-Method", revision != NULL ? method : NULL);
  ragify_http_client_set_header (client, "Mcp-Name", revision != NULL ? name_value : NULL);
}

static void
forward (RagifyHttpClient *client, const char *line, gsize size)
{
  set_headers (client, line, size);
  g_autoptr (GBytes) body = g_bytes_new (line, size);
  g_autoptr (GError) error = NULL;
  g_autoptr (RagifyHttpReply) reply =
      ragify_http_client_send (client, "POST", "/mcp", "application/json", body, &error);
  if (reply == NULL) {
    print_failure (line, size, error->message);
  } else if (is_message (reply)) {
    gsize length = 0;
    const char *bytes = g_bytes_get_data (reply->body, &length);
    print_line (bytes, length);
  } else if (reply->status != 202) {
    g_autofree char *words = ragify_http_reply_describe (reply);
    print_failure (line, size, words);
  }
}

static int
serve (RagifyHttpClient *client)
{
  g_autoptr (GIOChannel) input = g_io_channel_unix_new (0);
  g_io_channel_set_encoding (input, NULL, NULL);
  while (TRUE) {
    g_autofree char *line = NULL;
    g_autoptr (GError) error = NULL;
    gsize size = 0, end = 0;
    const GIOStatus status = g_io_channel_read_line (input, &line, &size, &end, &error);
    if (status == G_IO_STATUS_EOF)
      return RAGIFY_TOOL_EXIT_OK;
    if (status != G_IO_STATUS_NORMAL) {
      ragify_tool_complain ("standard input: %s", error != NULL ? error->message : "cannot be read");
      return RAGIFY_TOOL_EXIT_FAILED;
    }
    if (end > LONGEST_LINE)
      print_failure ("", 0, "the message is longer than 1 MiB");
    else if (end > 0)
      forward (client, line, end);
  }
}

int
main (int argc, char **argv)
{
  setlocale (LC_ALL, "");
  g_set_prgname ("ragify-mcp");
  g_autofree char *url = NULL;
  gboolean version = FALSE;
  const GOptionEntry entries[] = {
    { "url", 'u', 0, G_OPTION_ARG_STRING, &url, "The server's address (default: http://127.0.0.1:8080)", "URL" },
    { "version", 'V', 0, G_OPTION_ARG_NONE, &version, "Print the version", NULL },
    G_OPTION_ENTRY_NULL,
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;
  g_option_context_add_main_entries (context, entries, NULL);
  g_option_context_set_summary (context, summary);
  g_option_context_set_description (context, description);
  if (!g_option_context_parse (context, &argc, &argv, &error) || argc > 1) {
    ragify_tool_complain ("%s (see 'ragify-mcp --help')", error != NULL ? error->message : "no argument was expected");
    return RAGIFY_TOOL_EXIT_USAGE;
  }
  if (version) {
    printf ("ragify-mcp %s\n", RAGIFY_TOOLS_VERSION);
    return RAGIFY_TOOL_EXIT_OK;
  }
  const char *environment = g_getenv ("RAGIFY_URL");
  const char *address = url != NULL ? url : environment != NULL ? environment : "http://127.0.0.1:8080";
  g_autoptr (RagifyHttpClient) client = ragify_http_client_new (address, TIMEOUT_SECONDS, 1, &error);
  if (client == NULL) {
    ragify_tool_complain ("%s", error->message);
    return RAGIFY_TOOL_EXIT_USAGE;
  }
  return serve (client);
}
