/* Warming from the command line: the queries are sent, and the round is watched to its end. */
#pragma once

#include "tools/common/http-client.h"

typedef struct {
  char **queries; /* NULL-terminated */
  char *file;     /* NULL: none; "-": standard input */
  char *pipeline; /* NULL: not said */
  int busiest;    /* negative: not said */
  int concurrency;
  gboolean refresh;
} RagifyWarmWish;

/* Prints progress to standard error and what became of it to standard output; failed queries to standard error. Returns
 * the exit code: …_FAILED where a query failed. */
int ragify_warm_client_run (RagifyHttpClient *client, const RagifyWarmWish *wish, gboolean json);
