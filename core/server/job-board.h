/* Jobs that a request begins and that outlive it: it is answered with 202, and GET /v1/jobs/{id} tells how far they
 * are.
 *
 * SPDX-License-Identifier: MIT
 *
 * What keeps stores in step with folders ([ingest NAME]) is configured and goes on for ever; these end, and what came
 * of the last of them is remembered. All functions are for any thread.
 */
#pragma once

#include <jansson.h>

#include "core/pipeline/request.h"

typedef struct RagifyJobBoard RagifyJobBoard;
typedef struct RagifyPostedJob RagifyPostedJob;

/* So many that have ended are remembered. */
#define RAGIFY_JOBS_REMEMBERED 100u

RagifyJobBoard *ragify_job_board_new (void);
/* Nobody has a job of it any more. */
void ragify_job_board_free (RagifyJobBoard *board);
/* The host stops: every job is asked to end, and none begins any more. */
void ragify_job_board_close (RagifyJobBoard *board);

/* What is to be done. `kind` is constant; everything else is copied. */
typedef struct RagifyJobOffer {
  const char *kind;          /* "backup", "optimize", "tune", "upload", "verify" */
  const char *id;            /* NULL: a new one */
  const char *store;         /* that it concerns */
  guint scope;               /* RAGIFY_SCOPE_…, of keys that may end it */
  gboolean alone;            /* not while there is another one of its kind */
  gint64 began_at, ended_at; /* of one from before a restart: wall clock, µs; 0: now, and when it ends */
  /* Asks it to end, soon; once at most, and not after ragify_posted_job_end. Any thread, with the board's lock held.
   * NULL: it cannot. */
  void (*cancel) (void *user);
  void *user;
} RagifyJobOffer;

/* A job on the board; the caller ends it. NULL where the board is closed, or another one of its kind is under way and
 * it is to be alone. */
RagifyPostedJob *ragify_job_board_post (RagifyJobBoard *board, const RagifyJobOffer *offer);
/* The first words for whoever asked; free with g_free. */
char *ragify_posted_job_id (const RagifyPostedJob *job);

/* How far it is: members of its description, which replace those of the same name. Takes `members`, an object. */
void ragify_posted_job_say (RagifyPostedJob *job, json_t *members);
/* "running", "retrying": constant; `error`: why it does not go on, or NULL. */
void ragify_posted_job_state (RagifyPostedJob *job, const char *state, const char *error);
/* It is over, and `job` may be gone: done with `result` (taken; NULL: none), failed with `problem`, or cancelled where
 * both are NULL. */
void ragify_posted_job_end (RagifyPostedJob *job, json_t *result, const RagifyProblem *problem);

/* ---- for whoever asks ---- */

/* One of them; NULL: there is none. Without `details` its result is left out. */
json_t *ragify_job_board_describe (RagifyJobBoard *board, const char *id, gboolean details);
/* All of them, the newest first, appended to the array. */
void ragify_job_board_list (RagifyJobBoard *board, json_t *jobs);

typedef enum {
  RAGIFY_JOB_ENDING,    /* it was asked to, or is over already */
  RAGIFY_JOB_UNKNOWN,   /* there is no such job */
  RAGIFY_JOB_FORBIDDEN, /* not with these scopes */
  RAGIFY_JOB_STEADY,    /* it cannot be cut short */
} RagifyJobEnding;
/* Asks it to end, for somebody who has `scopes`. */
RagifyJobEnding ragify_job_board_cancel (RagifyJobBoard *board, const char *id, guint scopes);
