/* What the administrative routes ask of the application.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "core/call/loop.h"
#include "core/server/job-board.h"

/* Runs once on the loop that was given. `body` is JSON and freed afterwards; `status` is 200, or a problem's. */
typedef void (*RagifyAdminReplied) (guint status, const char *body, gsize size, void *user);

typedef struct RagifyUploadQueue RagifyUploadQueue;

typedef struct RagifyAdmin {
  /* Reads the configuration again and puts it in force. The answer says what has changed and everything that was found.
   * [loop] */
  void (*reload) (void *application, RagifyLoop *loop, RagifyAdminReplied replied, void *user);
  void *application;
  RagifyJobBoard *jobs;       /* what requests begin goes here */
  RagifyUploadQueue *uploads; /* that are answered before they are put in; NULL: none are */
} RagifyAdmin;
