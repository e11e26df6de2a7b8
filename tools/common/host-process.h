/* A ragify-host that a tool starts for itself, waits for, and stops. */
#pragma once

#include <glib.h>
#include <sys/types.h>

#define RAGIFY_HOST_PROCESS_ERROR (ragify_host_process_error_quark ())
GQuark ragify_host_process_error_quark (void);

typedef enum {
  RAGIFY_HOST_PROCESS_ERROR_START, /* cannot be executed, or something else answers at the address already */
  RAGIFY_HOST_PROCESS_ERROR_ENDED, /* it ended before it was ready */
  RAGIFY_HOST_PROCESS_ERROR_SLOW,  /* not ready in time */
} RagifyHostProcessError;

/* How to start it, as the command line of a tool says. Every string is owned by the options. */
typedef struct {
  char *binary;    /* NULL: no host is to be started */
  char **configs;  /* each is passed as --config; NULL: the installed configuration */
  char **extra;    /* passed on as they stand */
  char *state_dir; /* NULL: a temporary folder, removed when the host has stopped */
  int cpu;         /* core to bind it to, -1 for none */
} RagifyHostProcessOptions;

/* No host. */
void ragify_host_process_options_init (RagifyHostProcessOptions *options);
void ragify_host_process_options_clear (RagifyHostProcessOptions *options);

/* Adds --host-binary, --config, --host-option, --state-dir and --host-cpu to a command line. options must outlive the
 * parsing. */
void ragify_host_process_options_add_entries (RagifyHostProcessOptions *options, GOptionContext *context);

typedef struct _RagifyHostProcess RagifyHostProcess;

/* Starts the host and waits until GET /readyz says 200, at most `wait` seconds. url: where it shall listen (passed as
 * --listen); NULL: at a free port of the loopback. The host's standard error is ours, its standard output goes nowhere;
 * it gets SIGTERM when this process dies. Returns NULL with error set. [control] */
RagifyHostProcess *
ragify_host_process_start (const RagifyHostProcessOptions *options, const char *url, guint wait, GError **error);

/* SIGTERM, and SIGKILL after 20 s; waits until it has ended. */
void ragify_host_process_stop (RagifyHostProcess *host);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyHostProcess, ragify_host_process_stop)

pid_t ragify_host_process_get_pid (const RagifyHostProcess *host);
const char *ragify_host_process_get_url (const RagifyHostProcess *host);
