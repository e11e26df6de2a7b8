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

typedef struct _RagifyHostProcess RagifyHostProcess;

/* Starts binary with "--config PATH" for each of configs (NULL-terminated, may be NULL) and waits until GET /readyz at
 * url says 200, at most `wait` seconds. The host's standard error is ours, its standard output goes nowhere; it gets
 * SIGTERM when this process dies. cpu: core to bind it to, −1 for none. Returns NULL with error set. [control] */
RagifyHostProcess *ragify_host_process_start (const char *binary, const char *const *configs, const char *url,
                                              guint wait, int cpu, GError **error);

/* SIGTERM, and SIGKILL after 20 s; waits until it has ended. */
void ragify_host_process_stop (RagifyHostProcess *host);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyHostProcess, ragify_host_process_stop)

pid_t ragify_host_process_get_pid (const RagifyHostProcess *host);
