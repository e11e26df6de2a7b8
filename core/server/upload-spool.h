/* A body on its way to the disk, for an upload that is answered before its documents are in.
 *
 * SPDX-License-Identifier: MIT
 *
 * Pieces are gathered and written by the worker pool, so that the loop never waits for a disk.
 */
#pragma once

#include "upload-queue.h"

typedef struct RagifySpool RagifySpool;

/* Runs on the loop: the body is an upload of the queue, named `id`; or there is a problem. Both are freed afterwards.
 */
typedef void (*RagifySpooled) (const char *id, const RagifyProblem *problem, void *user);

/* Takes what the ticket holds. [loop] */
RagifySpool *ragify_spool_new (RagifyUploadQueue *queue, RagifyLoop *loop, const RagifyUploadTicket *ticket);
/* TRUE: go on. FALSE: no more may be fed until `resume` runs on the loop. After a failure bytes are swallowed. [loop]
 */
gboolean ragify_spool_feed (RagifySpool *spool, const char *data, gsize size, void (*resume) (void *user), void *user);
/* The body is whole. The spool is freed afterwards. [loop] */
void ragify_spool_finish (RagifySpool *spool, RagifySpooled spooled, void *user);
/* The client left; not while a `resume` is to come. Frees the spool. [loop] */
void ragify_spool_abort (RagifySpool *spool);
