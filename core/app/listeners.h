/* The listeners: one server for each [http NAME], through every reload.
 *
 * SPDX-License-Identifier: MIT
 *
 * A change has two halves. prepare() opens what is new, which can fail; commit() gives all of them the new serving and
 * takes those that are gone out of service, which cannot. One thread at a time.
 */
#pragma once

#include "config/config.h"
#include "core/server/admin.h"
#include "core/server/server.h"

typedef struct RagifyListeners RagifyListeners;

/* `admin`: what the servers' administrative routes ask; outlives the listeners. */
RagifyListeners *ragify_listeners_new (RagifyRuntime *runtime, const RagifyAdmin *admin);
void ragify_listeners_free (RagifyListeners *listeners); /* [control] */

/* Opens the addresses that are not open yet; requests that come there begin with `serving`. FALSE with errors in
 * `diagnostics`: nothing was changed. [control] */
gboolean ragify_listeners_prepare (RagifyListeners *listeners, RagifyConfig *config, RagifyServing *serving,
                                   RagifyDiagnostics *diagnostics);
/* Takes back what prepare() opened. [control] */
void ragify_listeners_abandon (RagifyListeners *listeners);
/* New requests begin with `serving`; keys that only a restart can change are named in `diagnostics`. [control] */
void ragify_listeners_commit (RagifyListeners *listeners, RagifyServing *serving, RagifyDiagnostics *diagnostics);
/* The servers that a commit left out, for ragify_listeners_close; free with g_ptr_array_unref. [control] */
GPtrArray *ragify_listeners_take_retired (RagifyListeners *listeners);
/* Ends servers once their requests are answered; waits `timeout` µs at most. [control] */
void ragify_listeners_close (GPtrArray *servers, guint64 timeout);

/* Prints the addresses, a line each. */
void ragify_listeners_announce (const RagifyListeners *listeners);
/* Ends readiness; requests are served as before. [control] */
void ragify_listeners_unready (RagifyListeners *listeners, const char *reason);
/* Ends readiness, then answers what has come, until `deadline`; returns how many requests are left. [control] */
guint ragify_listeners_drain (RagifyListeners *listeners, guint64 deadline);
