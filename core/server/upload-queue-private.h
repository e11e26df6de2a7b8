/* The inside of the queue of uploads, for the files that it is made of.
 *
 *   upload-queue.c  the queue, its thread, and what becomes of an upload
 *   upload-notes.c  the folder, and what is written there about each
 *   upload-feed.c   one attempt to put an upload in
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <pthread.h>

#include "upload-queue.h"

/* One upload that was accepted. */
typedef struct RagifyUploadItem {
  RagifyUploadQueue *queue;
  char *id;
  RagifyUploadTicket ticket;
  gint64 began_at;
  guint64 delay_us; /* before the next attempt; 0: there was none */
  gboolean cancelled;
  RagifyPostedJob *job;
} RagifyUploadItem;

struct RagifyUploadQueue {
  gint references; /* atomic */
  RagifyRuntime *runtime;
  RagifyJobBoard *board;
  char *folder;
  GThread *thread;      /* NULL: not yet */
  GQueue over;          /* the thread's: ids, the oldest first */
  pthread_mutex_t lock; /* guards what follows, and whether items are cancelled; taken while the board's is held */
  pthread_cond_t changed;
  GQueue items;           /* RagifyUploadItem */
  RagifyServing *serving; /* a reference; NULL: none yet */
  gboolean closing;
};

/* ---- upload-notes.c ---- */

char *ragify_upload_note_path (const RagifyUploadQueue *queue, const char *id);
/* What is to be known of it after a start; transfer full. */
json_t *ragify_upload_note (const RagifyUploadItem *item);
/* Takes `note`; on the disk when it returns. */
gboolean ragify_upload_note_write (const RagifyUploadQueue *queue, const char *id, json_t *note, GError **error);

/* What a note said; with ended_at 0 it is not over. */
typedef struct RagifyUploadFound {
  RagifyUploadItem *item;
  gint64 ended_at;
  json_t *result;
  char *error;
} RagifyUploadFound;

/* The note in the file of that name; what is found is the caller's. FALSE: it says nothing that can be understood. */
gboolean ragify_upload_note_read (RagifyUploadQueue *queue, const char *name, RagifyUploadFound *found);
/* Removes bodies of which there is no note: they were never answered. Before the thread begins. */
void ragify_upload_folder_tidy (const RagifyUploadQueue *queue);

/* ---- upload-queue.c ---- */

void ragify_upload_item_free (gpointer item);
/* Whether the item is to be worked on further. [any] */
gboolean ragify_upload_goes_on (const RagifyUploadItem *item);
/* For so long, or until there is no more to be done. */
void ragify_upload_pause (const RagifyUploadItem *item, guint64 delay_us);

/* ---- upload-feed.c ---- */

typedef enum {
  RAGIFY_UPLOAD_DONE,
  RAGIFY_UPLOAD_FAILED,    /* for good, with a problem */
  RAGIFY_UPLOAD_AGAIN,     /* later, with a problem */
  RAGIFY_UPLOAD_ADJOURNED, /* to the next start of the host */
  RAGIFY_UPLOAD_CANCELLED,
} RagifyUploadAttempt;

/* Puts the upload into the store of its name, and waits for what becomes of it: *body is the library's answer, for
 * g_free, where it is done. */
RagifyUploadAttempt
ragify_upload_attempt (const RagifyUploadItem *item, const RagifyServing *serving, char **body, RagifyProblem *problem);
