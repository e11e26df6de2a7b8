/* Process isolation: a node whose plugin runs in a supervised child process behind the same ABI.
 *
 * SPDX-License-Identifier: MIT
 *
 * The node gets a component that looks like the plugin's and forwards every call: arguments and results go in the flat
 * form of plugin-sdk/describe through two rings of shared memory, with a socket as the doorbell. The child is this same
 * executable; it loads the same module and runs it on a node, loops and workers of its own. When it crashes, hangs or
 * grows beyond its bound it is killed, the calls under way fail with UNAVAILABLE, and it is started anew with
 * back-off.
 *
 * The child is told what it needs and nothing else: an environment of a dozen variables, three descriptors, the values
 * of its own node; it dies with its parent, gains no privileges and writes no core.
 */
#pragma once

#include "core/module/node.h"

typedef struct RagifyIsolationOptions {
  const char *executable; /* that runs ragify_isolation_child; NULL: this process's own */
  guint64 memory;         /* resident bytes beyond which the child is restarted; 0: no bound */
  guint64 hang_us;        /* how long it may leave calls hanging beyond their deadline, or not answer at all; 0: 10 s */
} RagifyIsolationOptions;

/* Changes `options` so that ragify_node_new makes an isolated node: its component becomes one that lives until the node
 * is freed. FALSE where the component's module cannot be loaded by another process. [control] */
gboolean ragify_isolation_wrap (RagifyNodeOptions *options, const RagifyIsolationOptions *isolation, GError **error);

/* The argument that makes an executable a child: `--plugin-process PARENT-PID`. */
#define RAGIFY_ISOLATION_ARGUMENT "--plugin-process"

/* Whether a command line is that of a child; and the child's whole life, which returns its exit code. */
gboolean ragify_isolation_is_child (int argc, char **argv);
int ragify_isolation_child (int argc, char **argv);
