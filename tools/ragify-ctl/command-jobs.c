#include "command.h"

#include "tools/common/json-reader.h"
#include "tools/common/terminal-text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char description[] =
    "  list             Each job: what it keeps in step, how far it is (default)\n"
    "  show NAME        One of them, with the documents that it set aside and why\n"
    "  run NAME         Look through the folder or the source now\n"
    "  pause NAME       Write no more until it is resumed, also after a restart\n"
    "  resume NAME      Go on\n"
    "  cancel NAME      Give up the pass under way; the next comes at its time\n"
    "\n"
    "Jobs are the [ingest NAME] nodes of the configuration, and what requests have begun\n"
    "(uploads, tuning …): those have an id for a name, end, and can only be cancelled.\n"
    "\n" RAGIFY_TOOL_EXIT_HELP "\n";

static double
number_of (const json_t *job, const char *name)
{
  return json_number_value (json_object_get (job, name));
}

static const char *
text_of (const json_t *job, const char *name)
{
  const char *text = json_string_value (json_object_get (job, name));
  return text != NULL ? text : "";
}

static void
print_line (const char *line)
{
  g_autofree char *printable = ragify_tool_printable (line);
  puts (printable);
}

/* "12 of 80 documents, 31.5/s, 2 s left", of a pass under way. */
static char *
describe_progress (const json_t *job)
{
  GString *text = g_string_new (NULL);
  const json_t *rate = json_object_get (job, "documents_per_second"), *left = json_object_get (job, "seconds_left");
  g_string_append_printf (text, "%.0f of %.0f read", number_of (job, "read"), number_of (job, "to_read"));
  if (json_is_number (rate))
    g_string_append_printf (text, ", %.3g/s", json_number_value (rate));
  if (json_is_number (left))
    g_string_append_printf (text, ", %.0f s left", json_number_value (left));
  return g_string_free (text, FALSE);
}

/* What a request has begun. */
static void
print_begun (const json_t *job)
{
  const char *step = text_of (job, "step"), *error = text_of (job, "error");
  const json_t *result = json_object_get (job, "result");
  char *details = result != NULL ? json_dumps (result, JSON_INDENT (2) | JSON_REAL_PRECISION (6)) : NULL;
  g_autofree char *line = g_strdup_printf ("%-36s %-9s %s -> %s%s%s%s%s", text_of (job, "id"), text_of (job, "state"),
                                           text_of (job, "kind"), text_of (job, "store"), *step != '\0' ? ": " : "",
                                           step, *error != '\0' ? "; " : "", error);
  print_line (line);
  g_auto (GStrv) lines = g_strsplit (details != NULL ? details : "", "\n", -1);
  for (char **detail = lines; *detail != NULL; detail++)
    print_line (*detail);
  free (details);
}

static void
print_job (const json_t *job)
{
  if (json_object_get (job, "kind") != NULL) {
    print_begun (job);
    return;
  }
  const char *state = text_of (job, "state"), *error = text_of (job, "error");
  const char *from = text_of (job, "root");
  const gboolean runs = strcmp (state, "running") == 0;
  g_autofree char *progress = runs ? describe_progress (job) : g_strdup ("");
  g_autofree char *line = g_strdup_printf (
      "%-20s %-9s %s -> %s: %.0f written, %.0f unchanged, %.0f deleted, %.0f set aside%s%s%s%s", text_of (job, "id"),
      state, *from != '\0' ? from : text_of (job, "source"), text_of (job, "store"), number_of (job, "documents"),
      number_of (job, "unchanged"), number_of (job, "deleted"), number_of (job, "set_aside_total"), runs ? "; " : "",
      progress, *error != '\0' ? "; " : "", error);
  print_line (line);
  size_t index;
  json_t *item;
  json_array_foreach (json_object_get (job, "set_aside"), index, item)
  {
    g_autofree char *aside = g_strdup_printf ("  %s: %s", text_of (item, "document"), text_of (item, "reason"));
    print_line (aside);
  }
}

static void
print_reply (const json_t *json)
{
  const json_t *jobs = json_object_get (json, "jobs");
  size_t index;
  json_t *job;
  if (jobs == NULL)
    print_job (json);
  else if (json_array_size (jobs) == 0)
    puts ("there are no [ingest NAME] nodes in the configuration, and no request has begun a job");
  json_array_foreach (jobs, index, job) print_job (job);
}

static int
ask (const RagifyControlOptions *options, const char *method, const char *target)
{
  int code = RAGIFY_TOOL_EXIT_OK;
  g_autoptr (RagifyHttpClient) client = ragify_control_connect (options, 1, 60);
  if (client == NULL)
    return RAGIFY_TOOL_EXIT_USAGE;
  g_autoptr (RagifyHttpReply) reply = ragify_control_request (client, method, target, NULL, NULL, &code);
  if (reply == NULL)
    return code;
  gsize length = 0;
  const char *bytes = g_bytes_get_data (reply->body, &length);
  if (options->json) {
    ragify_control_print_body (reply);
    return RAGIFY_TOOL_EXIT_OK;
  }
  json_t *json = ragify_json_parse (bytes, length, NULL);
  if (json == NULL) {
    ragify_tool_complain ("the server's answer is not JSON");
    return RAGIFY_TOOL_EXIT_FAILED;
  }
  print_reply (json);
  json_decref (json);
  return RAGIFY_TOOL_EXIT_OK;
}

int
ragify_control_jobs (RagifyControlOptions *options, int argc, char **argv)
{
  static const char *const actions[] = { "run", "pause", "resume", "cancel", NULL };
  if (!ragify_control_parse (options, NULL, "[list | show NAME | run|pause|resume|cancel NAME]", description, &argc,
                             &argv))
    return RAGIFY_TOOL_EXIT_USAGE;
  if (argc == 1 || (argc == 2 && strcmp (argv[1], "list") == 0))
    return ask (options, "GET", "/v1/jobs");
  g_autofree char *name = argc == 3 ? g_uri_escape_string (argv[2], NULL, FALSE) : NULL;
  if (argc == 3 && strcmp (argv[1], "show") == 0) {
    g_autofree char *target = g_strdup_printf ("/v1/jobs/%s", name);
    return ask (options, "GET", target);
  }
  if (argc == 3 && g_strv_contains (actions, argv[1])) {
    g_autofree char *target = g_strdup_printf ("/v1/jobs/%s/%s", name, argv[1]);
    return ask (options, "POST", target);
  }
  ragify_tool_complain ("expected list, show NAME, run NAME, pause NAME, resume NAME or cancel NAME (see 'ragify-ctl "
                        "jobs --help')");
  return RAGIFY_TOOL_EXIT_USAGE;
}
