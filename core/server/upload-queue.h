/* Uploads that were answered before their documents are in: on the disk, and put in one after the other.
 *
 * SPDX-License-Identifier: MIT
 *
 * A folder holds ID.body and ID.json of each. It is an accepted upload from the moment that ID.json is there, which is
 * when it is answered with 202: what is not done when the host ends, however it ends, is done after the next start. A
 * store that is gone or full is waited for. ID.json stays, with what came of it, for the last RAGIFY_JOBS_REMEMBERED.
 */
#pragma once

#include "server.h"

/* Looks what is in `folder`, which it makes where it is not there. Nothing is put in before there is a serving. Both
 * others outlive it. [control] */
RagifyUploadQueue *ragify_upload_queue_new (RagifyRuntime *runtime, RagifyJobBoard *board, const char *folder);
/* The stores are those of `serving`, of which it takes a reference, from the next upload on. [control] */
void ragify_upload_queue_set_serving (RagifyUploadQueue *queue, RagifyServing *serving);
/* After the write under way nothing is put in any more; waits for that. [control] */
void ragify_upload_queue_close (RagifyUploadQueue *queue);
/* References are counted: who receives a body has one. The first is given back once it is closed. [any] */
RagifyUploadQueue *ragify_upload_queue_ref (RagifyUploadQueue *queue);
void ragify_upload_queue_unref (RagifyUploadQueue *queue);

typedef struct RagifyUploadTicket {
  char *store; /* the receiver's, as `document` is */
  RagifyBodyType type;
  RagifyChunking chunking;
  struct json_t *document; /* of a text: its other members, with any content; NULL: it is none */
} RagifyUploadTicket;
/* Frees what the ticket holds. */
void ragify_upload_ticket_clear (RagifyUploadTicket *ticket);

/* ---- for the receiver of a body ---- */

RagifyRuntime *ragify_upload_queue_runtime (const RagifyUploadQueue *queue);
/* Where the body of the upload is kept; free with g_free. [any] */
char *ragify_upload_queue_body (const RagifyUploadQueue *queue, const char *id, gboolean whole);
/* The body is there, whole and on the disk: from here on it is an upload. FALSE with a problem. Writes to the disk. */
gboolean ragify_upload_queue_accept (RagifyUploadQueue *queue, const char *id, const RagifyUploadTicket *ticket,
                                     RagifyProblem *problem);
