#include "bench-options.h"
#include "load-report.h"

#include <string.h>

static const char summary[] = "Sends one and the same request to any URL and measures, for comparing servers\n"
                              "that serve the same bytes.";

static const char description[] = "The request is GET, or POST when a body is given.\n"
                                  "\n" RAGIFY_TOOL_EXIT_HELP "\n"
                                  "\n"
                                  "Example:\n"
                                  "  ragify-bench get --url http://127.0.0.1:9000/answer.json --clients 16 \\\n"
                                  "    --pid $(pgrep -f 'nginx: worker')\n";

typedef struct {
  char *path;
  char *method;
  char *body;
  char *body_file;
  char *content_type;
} GetOptions;

/* The body, or NULL with *failed set after a complaint when its file cannot be read. */
static GBytes *
read_body (const GetOptions *options, gboolean *failed)
{
  *failed = FALSE;
  if (options->body != NULL)
    return g_bytes_new (options->body, strlen (options->body));
  if (options->body_file == NULL)
    return NULL;

  g_autoptr (GError) error = NULL;
  char *text = NULL;
  gsize length = 0;
  if (g_file_get_contents (options->body_file, &text, &length, &error))
    return g_bytes_new_take (text, length);
  ragify_tool_complain ("%s", error->message);
  *failed = TRUE;
  return NULL;
}

static int
run (const RagifyBenchLoad *load, const GetOptions *options)
{
  gboolean failed = FALSE;
  g_autoptr (GBytes) body = read_body (options, &failed);
  g_autoptr (GError) error = NULL;
  g_autoptr (RagifyEndpoint) endpoint = failed ? NULL : ragify_endpoint_new (load->url, &error);
  if (endpoint == NULL) {
    if (error != NULL)
      ragify_tool_complain ("%s", error->message);
    return failed ? RAGIFY_TOOL_EXIT_USAGE : ragify_bench_exit_code (error);
  }
  gsize length = 0;
  const char *bytes = body != NULL ? g_bytes_get_data (body, &length) : NULL;
  const char *method = options->method != NULL ? options->method : body != NULL ? "POST" : "GET";
  const char *target = options->path != NULL ? options->path : ragify_endpoint_get_target (endpoint);
  const char *type = options->content_type != NULL ? options->content_type : "application/json";

  g_autoptr (GPtrArray) requests = g_ptr_array_new_with_free_func ((GDestroyNotify)g_bytes_unref);
  g_ptr_array_add (requests, ragify_endpoint_make_request (endpoint, method, target, type, bytes, length));
  int exit_code = RAGIFY_TOOL_EXIT_OK;
  g_autoptr (RagifyBenchMeasurement) measurement =
      ragify_bench_measure (load, endpoint, requests, "uniform", FALSE, &exit_code);
  if (measurement == NULL)
    return exit_code;

  g_autofree char *what = g_strdup_printf ("%s %s", method, target);
  if (load->json)
    ragify_load_report_print_json (load, what, measurement);
  else
    ragify_load_report_print (load, what, measurement);
  return ragify_load_report_exit_code (measurement);
}

int
ragify_bench_get (int argc, char **argv)
{
  GetOptions options = { .path = NULL };
  const GOptionEntry entries[] = {
    { "url-path", 0, 0, G_OPTION_ARG_STRING, &options.path, "Path and query (default: those of --url)", "PATH" },
    { "method", 0, 0, G_OPTION_ARG_STRING, &options.method, "GET, POST, …", "METHOD" },
    { "body", 0, 0, G_OPTION_ARG_STRING, &options.body, "The request's body", "TEXT" },
    { "body-file", 0, 0, G_OPTION_ARG_FILENAME, &options.body_file, "The request's body, from a file", "FILE" },
    { "content-type", 0, 0, G_OPTION_ARG_STRING, &options.content_type, "Of the body (default: application/json)",
      "TYPE" },
    G_OPTION_ENTRY_NULL,
  };
  g_auto (RagifyBenchLoad) load;
  ragify_bench_load_init (&load);
  int exit_code = RAGIFY_TOOL_EXIT_USAGE;
  if (ragify_bench_load_parse (&load, entries, summary, description, argc, argv))
    exit_code = run (&load, &options);
  g_free (options.path);
  g_free (options.method);
  g_free (options.body);
  g_free (options.body_file);
  g_free (options.content_type);
  return exit_code;
}
