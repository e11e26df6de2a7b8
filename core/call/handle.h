/* Handles: what a plugin holds of a call.
 *
 * SPDX-License-Identifier: MIT
 *
 * The RagifyCall * that goes over the boundary is not an address but a slot number and a generation, so that a second
 * completion, or one that comes hours late, finds that its call is over and touches nothing. A slot's memory is never
 * freed; a slot is used again with a new generation. Needs 64-bit pointers.
 */
#pragma once

#include <glib.h>
#include <ragify/ragify.h>

typedef enum {
  RAGIFY_HANDLE_GONE,      /* completed, or never was */
  RAGIFY_HANDLE_OPEN,      /* the host waits for it */
  RAGIFY_HANDLE_ABANDONED, /* the host has stopped waiting */
} RagifyHandleState;

/* Whose calls they are: lives for ever, one for each name, so that a culprit can be named at any time. */
typedef struct RagifyTally {
  const char *name;
  guint64 doubled; /* second completions; atomic */
} RagifyTally;
RagifyTally *ragify_tally_find (const char *name); /* [any] */

/* A new handle for `call`, open. [any] */
RagifyCall *ragify_handle_new (RagifyCall *call, RagifyTally *tally, guint64 deadline);

/* A completion came for a handle that is gone: logged and counted. [any] */
void ragify_handle_doubled (RagifyCall *handle);

/* The call of an open or abandoned handle; NULL when it is gone. [any] */
RagifyCall *ragify_handle_call (RagifyCall *handle);

/* Moves an open handle to abandoned, and cancelled; FALSE when it is no longer open. [any] */
gboolean ragify_handle_abandon (RagifyCall *handle);

/* What a plugin may ask at any time, also when another of its threads is just completing the call: answered from the
 * slot alone. A call that is gone is cancelled, with a deadline in the past. [any] */
void ragify_handle_cancel (RagifyCall *handle);
gboolean ragify_handle_cancelled (RagifyCall *handle);
guint64 ragify_handle_deadline (RagifyCall *handle);

/* Takes the right to complete: sets `*call` and returns what the state was; GONE: somebody else has it. From then on
 * the handle is gone for the plugin. [any] */
RagifyHandleState ragify_handle_complete (RagifyCall *handle, RagifyCall **call);

/* Gives the slot back after its completion was dealt with. [any] */
void ragify_handle_free (RagifyCall *handle);
