/* What the commands of ragify-ctl share. A command gets its own argument vector (argv[0] is its name) and returns the
 * exit code. */
#pragma once

#include "tools/common/http-client.h"
#include "tools/common/tool-exit.h"

enum { RAGIFY_CONTROL_TIMEOUT_DEFAULT = G_MININT };

/* Options that every command takes, before or after its name. */
typedef struct {
  char *url;
  int timeout; /* seconds; negative: the command's default */
  gboolean json;
} RagifyControlOptions;

int ragify_control_query (RagifyControlOptions *options, int argc, char **argv);
int ragify_control_ingest (RagifyControlOptions *options, int argc, char **argv);
int ragify_control_status (RagifyControlOptions *options, int argc, char **argv);
int ragify_control_documents (RagifyControlOptions *options, int argc, char **argv);
int ragify_control_cache (RagifyControlOptions *options, int argc, char **argv);
int ragify_control_reload (RagifyControlOptions *options, int argc, char **argv);
int ragify_control_top (RagifyControlOptions *options, int argc, char **argv);
int ragify_control_tune (RagifyControlOptions *options, int argc, char **argv);
int ragify_control_config (RagifyControlOptions *options, int argc, char **argv);
int ragify_control_sources (RagifyControlOptions *options, int argc, char **argv);
int ragify_control_jobs (RagifyControlOptions *options, int argc, char **argv);
int ragify_control_models (RagifyControlOptions *options, int argc, char **argv);
int ragify_control_backup (RagifyControlOptions *options, int argc, char **argv);
int ragify_control_verify (RagifyControlOptions *options, int argc, char **argv);
int ragify_control_optimize (RagifyControlOptions *options, int argc, char **argv);
int ragify_control_reindex (RagifyControlOptions *options, int argc, char **argv);
int ragify_control_keys (RagifyControlOptions *options, int argc, char **argv);

/* The ragify-host that belongs to this program: beside it, or in the build's folder, or on the path (free with g_free);
 * NULL: there is none. */
char *ragify_control_find_host (void);

/* Parses a command's options and the common ones; on success *argc and *argv hold argv[0] and what is no option.
 * usage: what follows "ragify-ctl NAME" in the help. description: the help's last part, or NULL. Returns FALSE after a
 * complaint when the command line is not usable. */
gboolean ragify_control_parse (RagifyControlOptions *options, const GOptionEntry *entries, const char *usage,
                               const char *description, int *argc, char ***argv);

/* A client for the options' URL with as many connections, or NULL after a complaint (exit code …_USAGE).
 * default_timeout: seconds, where the command line gives none. */
RagifyHttpClient *
ragify_control_connect (const RagifyControlOptions *options, guint connections, guint default_timeout);

/* Sends a request. Returns the reply when it was a success; otherwise complains, sets *exit_code and returns NULL. */
RagifyHttpReply *ragify_control_request (RagifyHttpClient *client, const char *method, const char *target,
                                         const char *content_type, GBytes *body, int *exit_code);

/* The exit code that fits a GError of the client (unreachable and timed out: …_UNREACHABLE, otherwise …_FAILED). */
int ragify_control_exit_code (const GError *error);

/* Prints the reply's body as it came, with a newline. */
void ragify_control_print_body (const RagifyHttpReply *reply);
