/* The application: from a command line to a running host, and back.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "config/config.h"

/* What the process can be told to do instead of serving. */
typedef enum {
  RAGIFY_APP_SERVE,
  RAGIFY_APP_CHECK,   /* opens no socket */
  RAGIFY_APP_CONNECT, /* checks, and probes every backend */
  RAGIFY_APP_PRINT_CONFIG,
  RAGIFY_APP_PRINT_GRAPH, /* DOT */
  RAGIFY_APP_PRINT_SVG,   /* the same, drawn by Graphviz */
} RagifyAppTask;

/* Exit codes, as sysexits(3) and systemd know them. */
#define RAGIFY_EXIT_OK 0
#define RAGIFY_EXIT_FAILED 1
#define RAGIFY_EXIT_USAGE 2
#define RAGIFY_EXIT_CONFIG 78

/* Runs until it is done or told to stop (SIGTERM, SIGINT); returns the exit code. On the main thread. */
int ragify_app_run (const RagifyConfigInput *input, RagifyAppTask task);
