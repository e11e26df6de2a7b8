/* One model, measured. Each model is measured in a process of its own, so that none finds what another left. */
#include "models.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cross-encoder.h"
#include "encoder.h"
#include "model-prompts.h"
#include "tools/common/progress.h"
#include "tools/ragify-eval/judged-queries.h"
#include "tools/ragify-eval/retrieval-metrics.h"

enum { CUT = 10, BLOCK = 16, QUERIES = 200, OWN_PASSAGES = 64, REASON = 512 };

/* What a measurement of one model works with. */
typedef struct {
  const RagifyModelBenchOptions *options;
  RagifyEncoder *encoder;    /* NULL: it is a reranker */
  RagifyCrossEncoder *judge; /* NULL: it is an embedder */
  RagifyModelPrompts prompts;
  gsize dimension; /* of what comes of a text: 1 for a score */
} Bench;

typedef struct {
  RagifyModelFigures figures;
  gboolean failed;
  char reason[REASON];
} Outcome;

static double
clock_ms (clockid_t clock)
{
  struct timespec now;
  clock_gettime (clock, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static double
cpu_seconds (void)
{
  struct rusage usage;
  getrusage (RUSAGE_SELF, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* Proportional set size of this process; 0 where the system does not tell. */
static double
pss_mb (void)
{
  g_autofree char *text = NULL;
  if (!g_file_get_contents ("/proc/self/smaps_rollup", &text, NULL, NULL))
    return 0;
  const char *line = strstr (text, "\nPss:");
  return line != NULL ? g_ascii_strtod (line + 5, NULL) / 1024 : 0;
}

/* ---- texts ---- */

static char *
join (const char *prefix, const char *text)
{
  return g_strconcat (prefix != NULL ? prefix : "", text, NULL);
}

static GPtrArray *
collect_queries (const Bench *bench)
{
  static const char *const own[] = { "How do I add a source to the pipeline?", "When does the lease of the house end?",
                                     "Which index is fast and small at once?", "What happens when a cache fails?" };
  const RagifyModelCorpus *corpus = bench->options->corpus;
  GPtrArray *texts = g_ptr_array_new_with_free_func (g_free);
  for (guint i = 0; corpus != NULL && i < corpus->queries->len; i++)
    g_ptr_array_add (texts,
                     join (bench->prompts.query, ((RagifyJudgedQuery *)g_ptr_array_index (corpus->queries, i))->text));
  for (guint i = 0; corpus == NULL && i < 10 * G_N_ELEMENTS (own); i++)
    g_ptr_array_add (texts, join (bench->prompts.query, own[i % G_N_ELEMENTS (own)]));
  return texts;
}

/* Passages of the collection; otherwise of about 128 tokens each, none like another. */
static GPtrArray *
collect_passages (const Bench *bench)
{
  static const char *const words[] = { "water", "index", "lease", "engine", "quiet",  "river", "signal", "border",
                                       "paper", "light", "house", "number", "method", "field", "season", "voice" };
  const RagifyModelCorpus *corpus = bench->options->corpus;
  GPtrArray *texts = g_ptr_array_new_with_free_func (g_free);
  for (guint i = 0; corpus != NULL && i < corpus->texts->len; i++)
    g_ptr_array_add (texts, join (bench->prompts.document, ((GString *)g_ptr_array_index (corpus->texts, i))->str));
  for (guint i = 0; corpus == NULL && i < OWN_PASSAGES; i++) {
    g_autoptr (GString) text = g_string_new (bench->prompts.document);
    guint state = i;
    for (guint word = 0; word < 126; word++) {
      state = state * 1664525 + 1013904223;
      g_string_append_printf (text, "%s ", words[state >> 28]);
    }
    g_ptr_array_add (texts, g_string_free (g_steal_pointer (&text), FALSE));
  }
  return texts;
}

static double
mean_tokens (const Bench *bench, const GPtrArray *texts)
{
  double sum = 0;
  for (guint i = 0; i < texts->len; i++) {
    const char *text = g_ptr_array_index (texts, i);
    sum += bench->encoder != NULL ? (double)ragify_encoder_count_tokens (bench->encoder, text, strlen (text)) + 2 : 0;
  }
  return texts->len > 0 ? sum / texts->len : 0;
}

/* ---- computing ---- */

/* Vectors of texts or, by a reranker, their scores for a question. */
static gboolean
compute (const Bench *bench, const RagifyText *texts, guint count, float *results, gsize *truncated, GError **error)
{
  static const RagifyText question = { .data = "Which of these is about it?", .size = 27 };
  RagifyEncoderCounts counts = { 0 };
  if (bench->judge != NULL)
    return ragify_cross_encoder_score (bench->judge, &question, texts, count, NULL, NULL, results, truncated, error);
  const gboolean well = ragify_encoder_embed (bench->encoder, texts, count, NULL, NULL, results, &counts, error);
  *truncated = counts.truncated;
  return well;
}

/* All texts, by several threads. */
typedef struct {
  const Bench *bench;
  const GPtrArray *texts;
  float *vectors;
  atomic_uint next;
  atomic_uint done;
  atomic_ulong truncated;
  atomic_bool failed;
  pthread_mutex_t lock; /* of error */
  GError *error;
} Work;

static void
keep_error (Work *work, GError *error)
{
  pthread_mutex_lock (&work->lock);
  if (work->error == NULL)
    work->error = g_steal_pointer (&error);
  pthread_mutex_unlock (&work->lock);
  g_clear_error (&error);
  atomic_store (&work->failed, true);
}

static void *
run_worker (void *user)
{
  Work *work = user;
  RagifyText texts[BLOCK];
  for (guint first = atomic_fetch_add (&work->next, BLOCK); first < work->texts->len;
       first = atomic_fetch_add (&work->next, BLOCK)) {
    const guint count = MIN (BLOCK, work->texts->len - first);
    gsize truncated = 0;
    GError *error = NULL;
    for (guint i = 0; i < count; i++) {
      const char *text = g_ptr_array_index (work->texts, first + i);
      texts[i] = (RagifyText){ .data = text, .size = strlen (text) };
    }
    if (!compute (work->bench, texts, count, work->vectors + (gsize)first * work->bench->dimension, &truncated,
                  &error)) {
      keep_error (work, error);
      return NULL;
    }
    atomic_fetch_add (&work->truncated, truncated);
    atomic_fetch_add (&work->done, count);
  }
  return NULL;
}

static void
show_progress (Work *work)
{
  const RagifyModelBenchOptions *options = work->bench->options;
  g_autoptr (RagifyProgress) progress = ragify_progress_new ("embedding", "passages", options->quiet);
  while (atomic_load (&work->next) < work->texts->len && !atomic_load (&work->failed)) {
    const guint done = atomic_load (&work->done);
    ragify_progress_update (progress, done, (double)done / work->texts->len);
    g_usleep (20000);
  }
}

/* Vectors of all texts (owned by the caller), or NULL with error. */
static float *
embed_all (const Bench *bench, const GPtrArray *texts, guint threads, gsize *truncated, GError **error)
{
  g_autofree float *vectors = g_new (float, (gsize)texts->len * bench->dimension);
  g_autofree pthread_t *ids = g_new (pthread_t, threads);
  Work work = { .bench = bench, .texts = texts, .vectors = vectors, .lock = PTHREAD_MUTEX_INITIALIZER };
  guint started = 0;
  while (started < threads && pthread_create (&ids[started], NULL, run_worker, &work) == 0)
    started++;
  if (started == 0)
    run_worker (&work);
  else
    show_progress (&work);
  for (guint i = 0; i < started; i++)
    pthread_join (ids[i], NULL);
  if (work.error != NULL) {
    g_propagate_error (error, work.error);
    return NULL;
  }
  if (truncated != NULL)
    *truncated = atomic_load (&work.truncated);
  return g_steal_pointer (&vectors);
}

/* ---- figures ---- */

static int
by_size (const void *a, const void *b)
{
  const double left = *(const double *)a, right = *(const double *)b;
  return left < right ? -1 : left > right;
}

static gboolean
measure_queries (const Bench *bench, const GPtrArray *queries, RagifyModelFigures *figures, GError **error)
{
  const guint count = MIN (queries->len, QUERIES);
  g_autofree float *vector = g_new (float, bench->dimension);
  g_autofree double *times = g_new (double, count);
  for (guint i = 0; i < count; i++) {
    const char *query = g_ptr_array_index (queries, i);
    const RagifyText text = { .data = query, .size = strlen (query) };
    const double start = clock_ms (CLOCK_THREAD_CPUTIME_ID);
    gsize truncated = 0;
    if (!compute (bench, &text, 1, vector, &truncated, error))
      return FALSE;
    times[i] = clock_ms (CLOCK_THREAD_CPUTIME_ID) - start;
  }
  qsort (times, count, sizeof *times, by_size);
  figures->query_ms = times[count / 2];
  figures->query_tokens = mean_tokens (bench, queries);
  figures->n_queries = queries->len;
  return TRUE;
}

static float *
measure_passages (const Bench *bench, const GPtrArray *passages, RagifyModelFigures *figures, GError **error)
{
  const double cpu = cpu_seconds (), start = clock_ms (CLOCK_MONOTONIC);
  gsize truncated = 0;
  float *vectors = embed_all (bench, passages, bench->options->threads, &truncated, error);
  const double took = (clock_ms (CLOCK_MONOTONIC) - start) / 1e3, used = cpu_seconds () - cpu;
  figures->n_passages = passages->len;
  figures->passages = passages->len / MAX (took, 1e-9);
  figures->passages_cpu = passages->len / MAX (used, 1e-9);
  figures->passage_tokens = mean_tokens (bench, passages);
  figures->truncated = (double)truncated / passages->len;
  return vectors;
}

typedef struct {
  float score;
  guint index;
} Hit;

/* The ids of the best documents, exactly. */
static void
search (const Bench *bench, const float *documents, const float *query, GPtrArray *ranking)
{
  const RagifyModelCorpus *corpus = bench->options->corpus;
  Hit best[CUT];
  guint found = 0;
  for (guint i = 0; i < corpus->ids->len; i++) {
    const float *document = documents + (gsize)i * bench->dimension;
    float score = 0;
    for (gsize k = 0; k < bench->dimension; k++)
      score += document[k] * query[k];
    if (found == CUT && score <= best[CUT - 1].score)
      continue;
    guint place = found < CUT ? found++ : CUT - 1;
    for (; place > 0 && best[place - 1].score < score; place--)
      best[place] = best[place - 1];
    best[place] = (Hit){ score, i };
  }
  g_ptr_array_set_size (ranking, 0);
  for (guint i = 0; i < found; i++)
    g_ptr_array_add (ranking, g_ptr_array_index (corpus->ids, best[i].index));
}

static gboolean
measure_quality (const Bench *bench, const GPtrArray *queries, const float *documents, RagifyModelFigures *figures,
                 GError **error)
{
  const RagifyModelCorpus *corpus = bench->options->corpus;
  g_autofree float *vectors = embed_all (bench, queries, bench->options->threads, NULL, error);
  g_autoptr (GPtrArray) ranking = g_ptr_array_new ();
  double sum = 0;
  if (vectors == NULL)
    return FALSE;
  for (guint i = 0; i < queries->len; i++) {
    const RagifyJudgedQuery *query = g_ptr_array_index (corpus->queries, i);
    search (bench, documents, vectors + (gsize)i * bench->dimension, ranking);
    sum += ragify_metric_ndcg (ranking, query->judgments, CUT);
  }
  figures->ndcg_10 = sum / queries->len;
  return TRUE;
}

static gboolean
open_model (Bench *bench, const RagifyModelEntry *entry, RagifyModelFigures *figures, GError **error)
{
  const RagifyEncoderOptions options = { .precision = bench->options->precision, .kernel = bench->options->kernel };
  if (strcmp (entry->kind, "reranker") == 0) {
    bench->judge = ragify_cross_encoder_open (entry->path, &options, error);
    if (bench->judge == NULL)
      return FALSE;
    bench->dimension = 1;
    g_strlcpy (figures->kernel, ragify_cross_encoder_get_kernel (bench->judge), sizeof figures->kernel);
    return TRUE;
  }
  if (!ragify_model_prompts_read (entry->path, &bench->prompts, error))
    return FALSE;
  bench->encoder = ragify_encoder_open (entry->path, &options, error);
  if (bench->encoder == NULL)
    return FALSE;
  bench->dimension = ragify_encoder_get_dimension (bench->encoder);
  g_strlcpy (figures->kernel, ragify_encoder_get_kernel (bench->encoder), sizeof figures->kernel);
  return TRUE;
}

static gboolean
load (Bench *bench, const RagifyModelEntry *entry, RagifyModelFigures *figures, GError **error)
{
  const RagifyText text = { .data = "a first text", .size = 12 };
  const double before = pss_mb (), start = clock_ms (CLOCK_MONOTONIC);
  gsize truncated = 0;
  if (!open_model (bench, entry, figures, error))
    return FALSE;
  figures->load_ms = clock_ms (CLOCK_MONOTONIC) - start;
  g_autofree float *result = g_new (float, bench->dimension);
  if (!compute (bench, &text, 1, result, &truncated, error))
    return FALSE;
  figures->memory_mb = pss_mb () - before;
  return TRUE;
}

static gboolean
measure (const RagifyModelEntry *entry, const RagifyModelBenchOptions *options, RagifyModelFigures *figures,
         GError **error)
{
  Bench bench = { .options = options };
  *figures = (RagifyModelFigures){ .ndcg_10 = NAN };
  gboolean well = load (&bench, entry, figures, error);
  if (well) {
    g_autoptr (GPtrArray) queries = collect_queries (&bench);
    g_autoptr (GPtrArray) passages = collect_passages (&bench);
    g_autofree float *documents = NULL;
    well = measure_queries (&bench, queries, figures, error) &&
           (documents = measure_passages (&bench, passages, figures, error)) != NULL &&
           (options->corpus == NULL || bench.judge != NULL ||
            measure_quality (&bench, queries, documents, figures, error));
  }
  g_clear_pointer (&bench.encoder, ragify_encoder_free);
  g_clear_pointer (&bench.judge, ragify_cross_encoder_free);
  ragify_model_prompts_clear (&bench.prompts);
  return well;
}

/* ---- a process of its own ---- */

static void
run_child (const RagifyModelEntry *entry, const RagifyModelBenchOptions *options, int to)
{
  Outcome outcome = { .failed = FALSE };
  g_autoptr (GError) error = NULL;
  if (!measure (entry, options, &outcome.figures, &error)) {
    outcome.failed = TRUE;
    g_strlcpy (outcome.reason, error->message, sizeof outcome.reason);
  }
  if (write (to, &outcome, sizeof outcome) != (ssize_t)sizeof outcome)
    _exit (1);
  _exit (0);
}

static gboolean
fail (const RagifyModelEntry *entry, const char *reason, GError **error)
{
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s: %s", entry->name, reason);
  return FALSE;
}

gboolean
ragify_model_bench (const RagifyModelEntry *entry, const RagifyModelBenchOptions *options, RagifyModelFigures *figures,
                    GError **error)
{
  Outcome outcome = { .failed = FALSE };
  int ends[2], status = 0;
  fflush (NULL);
  if (pipe (ends) != 0)
    return fail (entry, g_strerror (errno), error);
  const pid_t child = fork ();
  if (child == 0) {
    close (ends[0]);
    run_child (entry, options, ends[1]);
  }
  close (ends[1]);
  const ssize_t got = child > 0 ? read (ends[0], &outcome, sizeof outcome) : 0;
  close (ends[0]);
  if (child < 0 || waitpid (child, &status, 0) != child)
    return fail (entry, g_strerror (errno), error);
  if (got != (ssize_t)sizeof outcome || !WIFEXITED (status))
    return fail (entry, "the measurement ended before it was done", error);
  if (outcome.failed)
    return fail (entry, outcome.reason, error);
  *figures = outcome.figures;
  return TRUE;
}
