/* One callback that a plugin sets on a call: set, fired and ended from different threads.
 *
 * SPDX-License-Identifier: MIT
 *
 * Two kinds: of cancellation, which is for good (a callback that is set afterwards runs at once, each only once), and
 * of renewed credit, which each run of the callback uses up.
 */
#pragma once

#include <ragify/ragify.h>

#include "loop.h"

typedef struct RagifyNotice RagifyNotice;
typedef void (*RagifyNotify) (RagifyCall *handle, void *user);

typedef enum { RAGIFY_NOTICE_FOR_GOOD, RAGIFY_NOTICE_USED_UP } RagifyNoticeKind;

/* `loop`: where the callback must run; NULL: anywhere. One reference. [any] */
RagifyNotice *ragify_notice_new (RagifyNoticeKind kind, RagifyCall *handle, RagifyLoop *loop);
void ragify_notice_unref (RagifyNotice *notice);

/* Sets or, with NULL, takes back the callback; runs it where the notice has been fired already. Once this has returned
 * the one before neither runs nor will (unless it is what called this). [any] */
void ragify_notice_set (RagifyNotice *notice, RagifyNotify notify, void *user);

/* The callback runs, now or, where there is none yet, once it is set. [any] */
void ragify_notice_fire (RagifyNotice *notice);

/* Takes back a firing that has not run. [any] */
void ragify_notice_calm (RagifyNotice *notice);

/* The call is complete: once this has returned the callback neither runs nor will (unless it is what called this).
 * [any] */
void ragify_notice_end (RagifyNotice *notice);
