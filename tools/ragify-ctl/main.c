/* ragify-ctl: the command line's way to a running ragify-host. */
#include "command.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>

typedef struct {
  const char *name;
  int (*run) (RagifyControlOptions *options, int argc, char **argv);
} Command;

static const Command commands[] = {
  { "query", ragify_control_query },     { "ingest", ragify_control_ingest },
  { "status", ragify_control_status },   { "documents", ragify_control_documents },
  { "keys", ragify_control_keys },       { "cache", ragify_control_cache },
  { "reload", ragify_control_reload },   { "config", ragify_control_config },
  { "sources", ragify_control_sources }, { "top", ragify_control_top },
  { "tune", ragify_control_tune },       { "jobs", ragify_control_jobs },
  { "models", ragify_control_models },   { "backup", ragify_control_backup },
  { "verify", ragify_control_verify },   { "optimize", ragify_control_optimize },
  { "reindex", ragify_control_reindex },
};

static const char summary[] =
    "Asks a running ragify-host, fills it with documents, and shows how it is.\n"
    "\n"
    "Commands:\n"
    "  query TEXT                 Ask; print the chunks with scores and sources\n"
    "  ingest DIR|FILE|-          Send text files, or NDJSON, to the host's store\n"
    "  status                     Is it alive and ready, what does it count\n"
    "  documents list|get|delete  See and remove what the store holds\n"
    "  cache stats|get|clear|warm What the caches do and have; compute answers in advance\n"
    "  sources [enable NAME …]    How each source fares; enable, disable, weight\n"
    "  jobs [pause NAME …]        What keeps stores in step with folders, and how far it is\n"
    "  backup [TO]                Copy a store while the host goes on\n"
    "  verify [STORE]             See whether what a store holds agrees with itself; mend it\n"
    "  optimize [STORE]           Build a store's index, or put it in order\n"
    "  reindex [STORE]            Make a store's vectors anew after a change of embedder\n"
    "  keys new NAME              Make an API key\n"
    "  reload                     Put the changed configuration in force\n"
    "  config check|print|…       Check and print configurations and profiles\n"
    "  models list|fetch|bench    Embedding models of this machine: what is there, how they compare\n"
    "  top                        A running host, live in the terminal\n"
    "  tune                       Find the configuration that serves given queries best\n"
    "\n"
    "'ragify-ctl COMMAND --help' tells more about each.";

static const char description[] = "Environment:\n"
                                  "  RAGIFY_URL      the server's address when --url is not given\n"
                                  "  RAGIFY_API_KEY  the key to show the server, where it asks for one\n"
                                  "\n" RAGIFY_TOOL_EXIT_HELP "\n"
                                  "\n"
                                  "Examples:\n"
                                  "  ragify-ctl ingest docs\n"
                                  "  ragify-ctl query \"how do I add a source?\" --max-chunks 3\n"
                                  "  ragify-ctl query \"how do I add a source?\" --format prompt\n"
                                  "  ragify-ctl --url http://10.0.0.5:8080 status --json\n";

static void
add_common_entries (GOptionContext *context, RagifyControlOptions *options)
{
  const GOptionEntry entries[] = {
    { "url", 'u', 0, G_OPTION_ARG_STRING, &options->url, "The server's address (default: http://127.0.0.1:8080)",
      "URL" },
    { "timeout", 0, 0, G_OPTION_ARG_INT, &options->timeout,
      "Give up after so many seconds without an answer; 0: never (default: 60; ingest: 600; backup, verify, optimize: "
      "never)",
      "SECONDS" },
    { "json", 'j', 0, G_OPTION_ARG_NONE, &options->json, "Print JSON", NULL },
    G_OPTION_ENTRY_NULL,
  };
  g_option_context_add_main_entries (context, entries, NULL);
}

gboolean
ragify_control_parse (RagifyControlOptions *options, const GOptionEntry *entries, const char *usage, const char *help,
                      int *argc, char ***argv)
{
  g_autofree char *parameters = g_strdup_printf ("%s %s", (*argv)[0], usage);
  g_autoptr (GOptionContext) context = g_option_context_new (parameters);
  g_autoptr (GError) error = NULL;

  if (entries != NULL)
    g_option_context_add_main_entries (context, entries, NULL);
  add_common_entries (context, options);
  g_option_context_set_description (context, help);
  /* The command's name stands where GOption expects the program's. */
  if (!g_option_context_parse (context, argc, argv, &error)) {
    ragify_tool_complain ("%s (see 'ragify-ctl %s --help')", error->message, (*argv)[0]);
    return FALSE;
  }
  if (options->timeout < 0 && options->timeout != RAGIFY_CONTROL_TIMEOUT_DEFAULT) {
    ragify_tool_complain ("--timeout %d: expected 0 (for ever) or more seconds", options->timeout);
    return FALSE;
  }
  /* "--" only ends the options. */
  if (*argc > 1 && strcmp ((*argv)[1], "--") == 0) {
    (*argv)[1] = (*argv)[0];
    (*argv)++;
    (*argc)--;
  }
  return TRUE;
}

RagifyHttpClient *
ragify_control_connect (const RagifyControlOptions *options, guint connections, guint default_timeout)
{
  const char *environment = g_getenv ("RAGIFY_URL");
  const char *url = options->url != NULL ? options->url : environment != NULL ? environment : "http://127.0.0.1:8080";
  guint timeout = options->timeout >= 0 ? (guint)options->timeout : default_timeout;
  g_autoptr (GError) error = NULL;
  RagifyHttpClient *client = ragify_http_client_new (url, timeout, connections, &error);
  if (client == NULL)
    ragify_tool_complain ("%s", error->message);
  return client;
}

int
ragify_control_exit_code (const GError *error)
{
  return error->domain == RAGIFY_HTTP_CLIENT_ERROR ? RAGIFY_TOOL_EXIT_UNREACHABLE : RAGIFY_TOOL_EXIT_FAILED;
}

RagifyHttpReply *
ragify_control_request (RagifyHttpClient *client, const char *method, const char *target, const char *content_type,
                        GBytes *body, int *exit_code)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (RagifyHttpReply) reply = ragify_http_client_send (client, method, target, content_type, body, &error);
  if (reply == NULL) {
    ragify_tool_complain ("%s", error->message);
    *exit_code = ragify_control_exit_code (error);
    return NULL;
  }
  if (!ragify_http_reply_succeeded (reply)) {
    g_autofree char *words = ragify_http_reply_describe (reply);
    ragify_tool_complain ("the server refused: %s", words);
    *exit_code = RAGIFY_TOOL_EXIT_FAILED;
    return NULL;
  }
  return g_steal_pointer (&reply);
}

void
ragify_control_print_body (const RagifyHttpReply *reply)
{
  gsize length = 0;
  const char *bytes = g_bytes_get_data (reply->body, &length);
  fwrite (bytes, 1, length, stdout);
  if (length == 0 || bytes[length - 1] != '\n')
    putchar ('\n');
}

/* "query, ingest or status". */
static char *
name_commands (void)
{
  GString *names = g_string_new (NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (commands); i++)
    g_string_append_printf (names, "%s%s",
                            i == 0                            ? ""
                            : i + 1 < G_N_ELEMENTS (commands) ? ", "
                                                              : " or ",
                            commands[i].name);
  return g_string_free (names, FALSE);
}

static int
run (RagifyControlOptions *options, int argc, char **argv)
{
  gboolean version = FALSE;
  const GOptionEntry entries[] = {
    { "version", 'V', 0, G_OPTION_ARG_NONE, &version, "Print the version", NULL },
    G_OPTION_ENTRY_NULL,
  };
  g_autoptr (GOptionContext) context = g_option_context_new ("COMMAND …");
  g_autoptr (GError) error = NULL;

  g_option_context_add_main_entries (context, entries, NULL);
  add_common_entries (context, options);
  g_option_context_set_summary (context, summary);
  g_option_context_set_description (context, description);
  g_option_context_set_strict_posix (context, TRUE);
  if (!g_option_context_parse (context, &argc, &argv, &error)) {
    ragify_tool_complain ("%s (see 'ragify-ctl --help')", error->message);
    return RAGIFY_TOOL_EXIT_USAGE;
  }
  if (version) {
    printf ("ragify-ctl %s\n", RAGIFY_TOOLS_VERSION);
    return RAGIFY_TOOL_EXIT_OK;
  }
  for (gsize i = 0; argc > 1 && i < G_N_ELEMENTS (commands); i++)
    if (strcmp (argv[1], commands[i].name) == 0)
      return commands[i].run (options, argc - 1, argv + 1);

  g_autofree char *names = name_commands ();
  if (argc > 1)
    ragify_tool_complain ("'%s' is not a command; expected %s (see 'ragify-ctl --help')", argv[1], names);
  else
    ragify_tool_complain ("expected a command: %s (see 'ragify-ctl --help')", names);
  return RAGIFY_TOOL_EXIT_USAGE;
}

int
main (int argc, char **argv)
{
  setlocale (LC_ALL, "");
  g_set_prgname ("ragify-ctl");
  RagifyControlOptions options = { .timeout = RAGIFY_CONTROL_TIMEOUT_DEFAULT };
  /* GOption reorders the vector; it gets a copy so that every string can be freed. */
  g_auto (GStrv) arguments = g_strdupv (argv);
  g_autofree char **view = g_memdup2 (arguments, sizeof (char *) * ((gsize)argc + 1));
  int exit_code = run (&options, argc, view);
  g_free (options.url);
  return exit_code;
}
