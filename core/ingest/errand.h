/* Something that a thread without a loop has a library's thread do, and waits for.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "core/ingest/library-private.h"

typedef struct RagifyErrand {
  RagifyLibraryJob job; /* `step` calls ragify_errand_finish as the last that it does, and returns FALSE */
  RagifyLibrary *library;
  pthread_mutex_t lock; /* guards what follows */
  pthread_cond_t over;
  gboolean done, refused;
} RagifyErrand;

/* Runs `errand`, whose step and library are set; `urgent`: before whatever else waits. FALSE when the library is
 * closing: it was not run. */
gboolean ragify_errand_run (RagifyErrand *errand, gboolean urgent);
/* The errand may be gone from here on. */
void ragify_errand_finish (RagifyErrand *errand);
