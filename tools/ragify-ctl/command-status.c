#include "command.h"
#include "status-summary.h"

#include "tools/common/json-reader.h"
#include "tools/common/json-writer.h"
#include "tools/common/terminal-text.h"

#include <stdio.h>

static const char description[] = "Asks /livez, /readyz and /v1/stats. Exit code 0 when the server is alive and\n"
                                  "ready, 1 when it answers but is not ready.\n"
                                  "\n" RAGIFY_TOOL_EXIT_HELP "\n";

/* One endpoint's answer; reply is NULL when it did not answer. */
typedef struct {
  RagifyHttpReply *reply;
  json_t *json;
} Answer;

static void
clear_answer (Answer *answer)
{
  g_clear_pointer (&answer->reply, ragify_http_reply_free);
  json_decref (answer->json);
  answer->json = NULL;
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Answer, clear_answer)

static gboolean
ask (RagifyHttpClient *client, const char *target, Answer *answer, GError **error)
{
  answer->reply = ragify_http_client_send (client, "GET", target, NULL, NULL, error);
  if (answer->reply == NULL)
    return FALSE;
  gsize length = 0;
  const char *bytes = g_bytes_get_data (answer->reply->body, &length);
  answer->json = ragify_json_parse (bytes, length, NULL);
  return TRUE;
}

static char *
describe (const Answer *answer)
{
  if (ragify_http_reply_succeeded (answer->reply))
    return g_strdup ("yes");
  g_autofree char *words = ragify_http_reply_describe (answer->reply);
  return g_strdup_printf ("no: %s", words);
}

static void
print_words (const char *url, const Answer *live, const Answer *ready, const Answer *stats, gboolean verbose)
{
  g_autofree char *is_live = describe (live);
  g_autofree char *is_ready = describe (ready);
  g_autofree char *words = g_strdup_printf ("%s\n  alive: %s\n  ready: %s", url, is_live, is_ready);
  g_autofree char *printable = ragify_tool_printable (words);
  puts (printable);
  if (!ragify_http_reply_succeeded (stats->reply) || !json_is_object (stats->json))
    return;
  g_autofree char *details =
      verbose ? ragify_terminal_text_from_json (stats->json, 2) : ragify_status_summary_format (stats->json);
  puts (details);
}

static void
print_json (const char *url, const Answer *live, const Answer *ready, const Answer *stats)
{
  g_autoptr (RagifyJsonWriter) writer = ragify_json_writer_new ();
  ragify_json_writer_begin_object (writer, NULL);
  ragify_json_writer_add_string (writer, "url", url);
  ragify_json_writer_add_boolean (writer, "alive", ragify_http_reply_succeeded (live->reply));
  ragify_json_writer_add_boolean (writer, "ready", ragify_http_reply_succeeded (ready->reply));
  if (!ragify_http_reply_succeeded (ready->reply)) {
    g_autofree char *reason = ragify_http_reply_describe (ready->reply);
    ragify_json_writer_add_string (writer, "reason", reason);
  }
  gboolean known = ragify_http_reply_succeeded (stats->reply) && stats->json != NULL;
  char *text = known ? json_dumps (stats->json, JSON_COMPACT) : NULL;
  ragify_json_writer_add_json (writer, "stats", text);
  free (text);
  ragify_json_writer_end_object (writer);
  ragify_json_writer_print (writer);
}

int
ragify_control_status (RagifyControlOptions *control, int argc, char **argv)
{
  gboolean verbose = FALSE;
  const GOptionEntry entries[] = {
    { "verbose", 'v', 0, G_OPTION_ARG_NONE, &verbose, "Print everything that the server counts", NULL },
    G_OPTION_ENTRY_NULL,
  };
  if (!ragify_control_parse (control, entries, "", description, &argc, &argv))
    return RAGIFY_TOOL_EXIT_USAGE;
  if (argc > 1) {
    ragify_tool_complain ("status: '%s' is too much; it takes options only", argv[1]);
    return RAGIFY_TOOL_EXIT_USAGE;
  }
  g_autoptr (RagifyHttpClient) client = ragify_control_connect (control, 1, 60);
  if (client == NULL)
    return RAGIFY_TOOL_EXIT_USAGE;

  g_autoptr (GError) error = NULL;
  g_auto (Answer) live = { NULL, NULL };
  g_auto (Answer) ready = { NULL, NULL };
  g_auto (Answer) stats = { NULL, NULL };
  if (!ask (client, "/livez", &live, &error) || !ask (client, "/readyz", &ready, &error) ||
      !ask (client, "/v1/stats", &stats, &error)) {
    ragify_tool_complain ("%s", error->message);
    return ragify_control_exit_code (error);
  }
  const char *url = ragify_http_client_get_url (client);
  if (control->json)
    print_json (url, &live, &ready, &stats);
  else
    print_words (url, &live, &ready, &stats, verbose);
  gboolean fine = ragify_http_reply_succeeded (live.reply) && ragify_http_reply_succeeded (ready.reply);
  return fine ? RAGIFY_TOOL_EXIT_OK : RAGIFY_TOOL_EXIT_FAILED;
}
