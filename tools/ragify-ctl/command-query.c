#include "command.h"

#include "tools/common/json-reader.h"
#include "tools/common/json-writer.h"
#include "tools/common/terminal-text.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char description[] = "TEXT is the question (several words are joined; '-' reads standard input).\n"
                                  "\n"
                                  "The order is that of the pipeline's last ranking stage; the number in front of\n"
                                  "each chunk is its relevance from 0 to 1, and of what kind. With --json the\n"
                                  "server's answer is printed as it came. An empty answer is exit code 0 too; that\n"
                                  "an answer is degraded is told on standard error.\n"
                                  "\n" RAGIFY_TOOL_EXIT_HELP "\n";

typedef struct {
  char *mode;
  int max_chunks;
  double min_relevance;
  char *cache;
  char *pipeline;
  char *filter;
  char *format;
  int deadline;
  gboolean explain;
  gboolean full;
} QueryOptions;

static char *
read_query (int argc, char **argv)
{
  if (argc == 2 && strcmp (argv[1], "-") == 0) {
    GString *text = g_string_new (NULL);
    char piece[4096];
    for (gsize count = fread (piece, 1, sizeof piece, stdin); count > 0; count = fread (piece, 1, sizeof piece, stdin))
      g_string_append_len (text, piece, (gssize)count);
    while (text->len > 0 && text->str[text->len - 1] == '\n')
      g_string_truncate (text, text->len - 1);
    return g_string_free (text, FALSE);
  }
  return g_strjoinv (" ", argv + 1);
}

static void
set_if_given (RagifyJsonWriter *writer, const char *name, const char *value)
{
  if (value != NULL)
    ragify_json_writer_add_string (writer, name, value);
}

/* Only what was given is sent: the pipeline's defaults stay the server's. */
static char *
make_request (const QueryOptions *options, const char *query, const char *filter)
{
  g_autoptr (RagifyJsonWriter) writer = ragify_json_writer_new ();
  ragify_json_writer_begin_object (writer, NULL);
  ragify_json_writer_add_string (writer, "query", query);
  set_if_given (writer, "mode", options->mode);
  set_if_given (writer, "cache", options->cache);
  set_if_given (writer, "pipeline", options->pipeline);
  set_if_given (writer, "format", options->format);
  if (options->max_chunks != G_MININT)
    ragify_json_writer_add_integer (writer, "max_chunks", options->max_chunks);
  if (options->min_relevance > -1e300)
    ragify_json_writer_add_number (writer, "min_relevance", options->min_relevance);
  if (options->deadline != G_MININT)
    ragify_json_writer_add_integer (writer, "timeout_ms", options->deadline);
  if (filter != NULL)
    ragify_json_writer_add_json (writer, "filter", filter);
  if (options->explain) {
    ragify_json_writer_add_boolean (writer, "explain", TRUE);
  }
  ragify_json_writer_end_object (writer);
  return ragify_json_writer_text (writer, FALSE);
}

static void
print_chunk (const json_t *chunk, gsize number, const QueryOptions *options)
{
  const json_t *source = json_object_get (chunk, "source");
  const char *content = ragify_json_get_string (chunk, "content");
  const char *document = ragify_json_get_string (chunk, "document_id");
  const char *kind = ragify_json_get_string (chunk, "score_kind");
  const char *from = ragify_json_get_string (source, "name");
  const char *title = ragify_json_get_string (chunk, "title");

  g_autofree char *heading = g_strdup_printf (
      "%" G_GSIZE_FORMAT ". %.3f %s  %s%s%s%s%s%s", number, ragify_json_get_number (chunk, "relevance_score", 0),
      kind != NULL ? kind : "", document != NULL ? document : "", title != NULL ? "  \"" : "",
      title != NULL ? title : "", title != NULL ? "\"" : "", from != NULL ? "  from " : "", from != NULL ? from : "");
  g_autofree char *printable = ragify_tool_printable (heading);
  g_autofree char *text = ragify_tool_printable (content != NULL ? content : "");
  g_autofree char *wrapped = ragify_terminal_text_wrap (text, ragify_terminal_width (), 3, options->full ? 0 : 5);
  printf ("%s\n%s\n", printable, wrapped);

  const json_t *scores = json_object_get (chunk, "scores");
  if (options->explain && json_object_size (scores) > 0) {
    g_autofree char *details = ragify_terminal_text_from_json (scores, 3);
    printf ("%s\n", details);
  }
}

static void
print_sources (const json_t *sources)
{
  const char *name;
  json_t *source;
  json_object_foreach ((json_t *)sources, name, source)
  {
    const char *status = ragify_json_get_string (source, "status");
    const char *error = ragify_json_get_string (source, "error");
    g_autofree char *line = g_strdup_printf (
        "  %s: %s, %" G_GINT64_FORMAT " chunks in %.1f ms%s%s", name, status != NULL ? status : "?",
        ragify_json_get_integer (source, "chunks", 0), ragify_json_get_number (source, "duration", 0) * 1000,
        error != NULL ? ": " : "", error != NULL ? error : "");
    g_autofree char *printable = ragify_tool_printable (line);
    puts (printable);
  }
}

static void
print_warnings (const json_t *answer)
{
  const json_t *warnings = json_object_get (answer, "warnings");
  if (json_is_true (json_object_get (answer, "degraded")))
    ragify_tool_complain ("the answer is degraded: something that was asked did not answer");
  for (gsize i = 0; i < json_array_size (warnings); i++) {
    const char *warning = json_string_value (json_array_get (warnings, i));
    if (warning != NULL)
      ragify_tool_complain ("%s", warning);
  }
}

static void
print_answer (const json_t *answer, const QueryOptions *options)
{
  const json_t *chunks = json_object_get (answer, "chunks");
  const char *cache = ragify_json_get_string (answer, "cache");
  for (gsize i = 0; i < json_array_size (chunks); i++)
    print_chunk (json_array_get (chunks, i), i + 1, options);

  gint64 candidates = ragify_json_get_integer (answer, "total_chunks", (gint64)json_array_size (chunks));
  printf ("%" G_GSIZE_FORMAT " of %" G_GINT64_FORMAT " candidates, %" G_GINT64_FORMAT
          " tokens, %.1f ms in the host, cache: %s\n",
          json_array_size (chunks), candidates, ragify_json_get_integer (answer, "total_tokens", 0),
          ragify_json_get_number (answer, "processing_time", 0) * 1000, cache != NULL ? cache : "?");
  print_sources (json_object_get (answer, "sources"));

  const json_t *explain = json_object_get (answer, "explain");
  if (options->explain && explain != NULL) {
    g_autofree char *details = ragify_terminal_text_from_json (explain, 2);
    puts (details);
  }
  print_warnings (answer);
}

/* The prompt form is text for a model, so it goes out as it is. */
static int
print_prompt (const RagifyHttpReply *reply, const json_t *answer)
{
  const char *prompt = ragify_json_get_string (answer, "prompt");
  if (answer == NULL && g_strcmp0 (reply->content_type, "text/plain") == 0)
    ragify_control_print_body (reply);
  else if (prompt != NULL)
    puts (prompt);
  else {
    ragify_tool_complain ("the server's answer has no prompt; it may not know --format prompt yet");
    return RAGIFY_TOOL_EXIT_FAILED;
  }
  return RAGIFY_TOOL_EXIT_OK;
}

static int
show (const RagifyHttpReply *reply, gboolean json, const QueryOptions *options)
{
  gsize length = 0;
  const char *bytes = g_bytes_get_data (reply->body, &length);
  g_autoptr (GError) reason = NULL;
  g_autoptr (RagifyJson) answer = ragify_json_parse (bytes, length, &reason);

  if (json) {
    ragify_control_print_body (reply);
    return RAGIFY_TOOL_EXIT_OK;
  }
  if (g_strcmp0 (options->format, "prompt") == 0)
    return print_prompt (reply, answer);
  if (!json_is_object (answer) || !json_is_array (json_object_get (answer, "chunks"))) {
    ragify_tool_complain ("the answer is not a list of chunks%s%s; is it a ragify-host?", reason != NULL ? ": " : "",
                          reason != NULL ? reason->message : "");
    return RAGIFY_TOOL_EXIT_FAILED;
  }
  print_answer (answer, options);
  return RAGIFY_TOOL_EXIT_OK;
}

static int
ask (RagifyControlOptions *control, const QueryOptions *options, const char *query)
{
  g_autoptr (RagifyJson) filter = NULL;
  if (options->filter != NULL) {
    g_autoptr (GError) reason = NULL;
    filter = ragify_json_parse_object (options->filter, strlen (options->filter), &reason);
    if (filter == NULL) {
      ragify_tool_complain ("--filter: expected a JSON object such as '{\"lang\":\"en\"}', found '%s'%s%s",
                            options->filter, reason != NULL ? ": " : "", reason != NULL ? reason->message : "");
      return RAGIFY_TOOL_EXIT_USAGE;
    }
  }
  g_autoptr (RagifyHttpClient) client = ragify_control_connect (control, 1, 60);
  if (client == NULL)
    return RAGIFY_TOOL_EXIT_USAGE;

  char *request = make_request (options, query, options->filter);
  g_autoptr (GBytes) body = g_bytes_new_take (request, strlen (request));
  int exit_code = RAGIFY_TOOL_EXIT_OK;
  g_autoptr (RagifyHttpReply) reply =
      ragify_control_request (client, "POST", "/v1/context", "application/json", body, &exit_code);
  return reply != NULL ? show (reply, control->json, options) : exit_code;
}

int
ragify_control_query (RagifyControlOptions *control, int argc, char **argv)
{
  QueryOptions options = { .max_chunks = G_MININT, .min_relevance = -1e308, .deadline = G_MININT };
  const GOptionEntry entries[] = {
    { "mode", 'm', 0, G_OPTION_ARG_STRING, &options.mode, "hybrid (default), dense or lexical", "MODE" },
    { "max-chunks", 'n', 0, G_OPTION_ARG_INT, &options.max_chunks, "At most so many chunks, 1 to 1000 (default: 10)",
      "N" },
    { "min-relevance", 0, 0, G_OPTION_ARG_DOUBLE, &options.min_relevance,
      "Leave out chunks below this relevance, 0 to 1", "R" },
    { "filter", 'f', 0, G_OPTION_ARG_STRING, &options.filter,
      "Only chunks whose metadata match, such as '{\"lang\":\"en\"}'", "JSON" },
    { "cache", 0, 0, G_OPTION_ARG_STRING, &options.cache, "use (default), refresh or bypass", "WHAT" },
    { "pipeline", 'p', 0, G_OPTION_ARG_STRING, &options.pipeline, "The pipeline to ask (default: default)", "NAME" },
    { "deadline", 0, 0, G_OPTION_ARG_INT, &options.deadline, "The server's time for this answer", "MS" },
    { "format", 0, 0, G_OPTION_ARG_STRING, &options.format,
      "prompt: one text ready for a model's prompt, with citations", "FORMAT" },
    { "explain", 'x', 0, G_OPTION_ARG_NONE, &options.explain, "Stage timings and the factors of each score", NULL },
    { "full", 0, 0, G_OPTION_ARG_NONE, &options.full, "Print whole chunks, not their first lines", NULL },
    G_OPTION_ENTRY_NULL,
  };
  int exit_code = RAGIFY_TOOL_EXIT_USAGE;
  if (ragify_control_parse (control, entries, "TEXT", description, &argc, &argv)) {
    g_autofree char *query = read_query (argc, argv);
    if (*query == '\0')
      ragify_tool_complain ("query: expected a question, as in: ragify-ctl query \"how do I add a source?\"");
    else if (!g_utf8_validate (query, -1, NULL))
      ragify_tool_complain ("query: the question is not UTF-8");
    else
      exit_code = ask (control, &options, query);
  }
  g_free (options.mode);
  g_free (options.cache);
  g_free (options.pipeline);
  g_free (options.filter);
  g_free (options.format);
  return exit_code;
}
