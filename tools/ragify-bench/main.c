/* ragify-bench: a load generator that is light on the CPU and honest about latency. */
#include "bench-options.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>

static const char help[] = "Usage: ragify-bench COMMAND [OPTIONS]\n"
                           "\n"
                           "Measures a ragify-host, or any HTTP server, from outside.\n"
                           "\n"
                           "Commands:\n"
                           "  run      Queries of a file against POST /v1/context: closed or open loop,\n"
                           "           Zipf, uniform or once each\n"
                           "  get      One and the same request against any URL\n"
                           "  targets  The project's table of targets, measured, as Markdown\n"
                           "\n"
                           "'ragify-bench COMMAND --help' tells more about each.\n"
                           "\n" RAGIFY_TOOL_EXIT_HELP "\n";

int
main (int argc, char **argv)
{
  setlocale (LC_ALL, "");
  /* The decimal point is part of what others read. */
  setlocale (LC_NUMERIC, "C");
  g_set_prgname ("ragify-bench");
  const char *command = argc > 1 ? argv[1] : "";
  g_auto (GStrv) arguments = g_strdupv (argv);
  g_autofree char **view = g_memdup2 (arguments, sizeof (char *) * ((gsize)argc + 1));

  if (strcmp (command, "run") == 0)
    return ragify_bench_run (argc - 1, view + 1);
  if (strcmp (command, "get") == 0)
    return ragify_bench_get (argc - 1, view + 1);
  if (strcmp (command, "targets") == 0)
    return ragify_bench_targets (argc - 1, view + 1);
  if (strcmp (command, "--help") == 0 || strcmp (command, "-h") == 0) {
    fputs (help, stdout);
    return RAGIFY_TOOL_EXIT_OK;
  }
  if (strcmp (command, "--version") == 0) {
    printf ("ragify-bench %s\n", RAGIFY_TOOLS_VERSION);
    return RAGIFY_TOOL_EXIT_OK;
  }
  ragify_tool_complain ("%s%s%sexpected a command: run, get or targets (see 'ragify-bench --help')",
                        *command != '\0' ? "'" : "", command, *command != '\0' ? "' is not one; " : "");
  return RAGIFY_TOOL_EXIT_USAGE;
}
