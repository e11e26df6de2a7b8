/* The cancel callback of one call: set, fired and ended from different threads.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <ragify/ragify.h>

#include "loop.h"

typedef struct RagifyCancel RagifyCancel;

/* `loop`: where the callback must run; NULL: anywhere. One reference. [any] */
RagifyCancel *ragify_cancel_new (RagifyCall *handle, RagifyLoop *loop);
void ragify_cancel_ref (RagifyCancel *cancel);
void ragify_cancel_unref (RagifyCancel *cancel);

/* Sets or, with NULL, takes back the callback; runs it where the call was cancelled already. [any] */
void ragify_cancel_set (RagifyCancel *cancel, void (*notify) (RagifyCall *call, void *user), void *user);

/* The call is cancelled: the callback runs, once. [any] */
void ragify_cancel_fire (RagifyCancel *cancel);

/* The call is complete: once this has returned the callback neither runs nor will (unless it is what called this).
 * [any] */
void ragify_cancel_end (RagifyCancel *cancel);
