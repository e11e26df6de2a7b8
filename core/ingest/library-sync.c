/* The library as jobs use it, which have threads of their own and wait.
 *
 * SPDX-License-Identifier: MIT
 */
#include "core/ingest/errand.h"
#include "core/ingest/sync.h"

typedef struct Writing {
  RagifyErrand errand;
  RagifyIncoming *const *documents; /* a put, … */
  gboolean ahead;                   /* … of this kind */
  const char *const *ids;           /* a deletion */
  gsize count;
  const RagifyHold *hold;
  RagifyIngestReport *report;
  guint64 *chunks;
  RagifyProblem *problem;
  gboolean well;
} Writing;

static gboolean
write_step (RagifyLibraryJob *job, RagifyCommitter *committer)
{
  Writing *writing = (Writing *)job;
  RagifyGeneration generation;
  if (writing->documents != NULL)
    writing->well = (writing->ahead ? ragify_committer_put_ahead : ragify_committer_put) (
        committer, writing->documents, writing->count, RAGIFY_CHUNKING_DEFAULT, writing->hold, writing->report,
        writing->problem);
  else
    writing->well = ragify_committer_delete (committer, writing->ids, writing->count, writing->hold, writing->chunks,
                                             &generation, writing->problem);
  ragify_errand_finish (&writing->errand);
  return FALSE;
}

static gboolean
run (Writing *writing)
{
  if (ragify_errand_run (&writing->errand, FALSE))
    return writing->well;
  return ragify_problem_set (writing->problem, 503, "Shutting down", NULL, "the host is shutting down");
}

gboolean
ragify_library_put (RagifyLibrary *library, RagifyIncoming *const *documents, gsize count, const RagifyHold *hold,
                    RagifyIngestReport *report, RagifyProblem *problem)
{
  Writing writing = { .errand = { .job.step = write_step, .library = library },
                      .documents = documents,
                      .count = count,
                      .hold = hold,
                      .report = report,
                      .problem = problem };
  return run (&writing);
}

gboolean
ragify_library_put_ahead (RagifyLibrary *library, RagifyIncoming *const *documents, gsize count, const RagifyHold *hold,
                          RagifyIngestReport *report, RagifyProblem *problem)
{
  Writing writing = { .errand = { .job.step = write_step, .library = library },
                      .documents = documents,
                      .ahead = TRUE,
                      .count = count,
                      .hold = hold,
                      .report = report,
                      .problem = problem };
  return run (&writing);
}

static gboolean
land_step (RagifyLibraryJob *job, RagifyCommitter *committer)
{
  ragify_committer_land (committer);
  ragify_errand_finish ((RagifyErrand *)job);
  return FALSE;
}

void
ragify_library_land (RagifyLibrary *library)
{
  RagifyErrand errand = { .job.step = land_step, .library = library };
  ragify_errand_run (&errand, FALSE); /* a library that closes has landed all before it refuses */
}

gboolean
ragify_library_remove (RagifyLibrary *library, const char *const *ids, gsize count, const RagifyHold *hold,
                       guint64 *chunks, RagifyProblem *problem)
{
  Writing writing = { .errand = { .job.step = write_step, .library = library },
                      .ids = ids,
                      .count = count,
                      .hold = hold,
                      .chunks = chunks,
                      .problem = problem };
  return run (&writing);
}

/* ---- documents that are written in parts ---- */

typedef struct PartWriting {
  RagifyErrand errand;
  const RagifyIncoming *document; /* looked for */
  const RagifyUuid *content;
  const RagifyHold *hold;
  const RagifyPart *part; /* or written */
  RagifyPartState *state;
  RagifyIngestReport *report;
  RagifyProblem *problem;
  gboolean well;
} PartWriting;

static gboolean
part_step (RagifyLibraryJob *job, RagifyCommitter *committer)
{
  PartWriting *writing = (PartWriting *)job;
  writing->well = writing->part != NULL ? ragify_committer_put_part (committer, writing->part, writing->state,
                                                                     writing->report, writing->problem)
                                        : ragify_committer_look (committer, writing->document, writing->content,
                                                                 writing->hold, writing->state, writing->problem);
  ragify_errand_finish (&writing->errand);
  return FALSE;
}

static gboolean
run_part (PartWriting *writing)
{
  if (ragify_errand_run (&writing->errand, FALSE))
    return writing->well;
  return ragify_problem_set (writing->problem, 503, "Shutting down", NULL, "the host is shutting down");
}

gboolean
ragify_library_look (RagifyLibrary *library, const RagifyIncoming *document, const RagifyUuid *content,
                     const RagifyHold *hold, RagifyPartState *state, RagifyProblem *problem)
{
  PartWriting writing = { .errand = { .job.step = part_step, .library = library },
                          .document = document,
                          .content = content,
                          .hold = hold,
                          .state = state,
                          .problem = problem };
  return run_part (&writing);
}

gboolean
ragify_library_put_part (RagifyLibrary *library, const RagifyPart *part, RagifyPartState *state,
                         RagifyIngestReport *report, RagifyProblem *problem)
{
  PartWriting writing = { .errand = { .job.step = part_step, .library = library },
                          .part = part,
                          .state = state,
                          .report = report,
                          .problem = problem };
  return run_part (&writing);
}
