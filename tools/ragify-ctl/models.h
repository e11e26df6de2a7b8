/* What the files of 'ragify-ctl models' share. */
#pragma once

#include "command.h"

/* The names that the host's configuration knows, and what they stand for. NULL-terminated. */
typedef struct {
  const char *name;  /* of the folder */
  const char *model; /* its own */
  gboolean fetched;  /* 'models fetch' can have it */
} RagifyKnownModel;
extern const RagifyKnownModel RAGIFY_KNOWN_MODELS[];

/* ---- model-entry.c ---- */

typedef struct {
  char *name; /* of the folder */
  char *path;
  const char *kind; /* "embedder" or "reranker"; NULL where it cannot be used */
  gsize dimension;
  gsize layers;
  gsize max_tokens;
  guint64 size; /* bytes of the weights' file */
  char *precision;
  char *kernel;
  char *fingerprint; /* NULL for rerankers */
  char *problem;     /* why it cannot be used; NULL: it can */
} RagifyModelEntry;

void ragify_model_entry_free (RagifyModelEntry *entry);

/* The models in a folder, sorted by name: each folder in it with a config.json. NULL with error where it cannot be
 * read. */
GPtrArray *ragify_model_entries_read (const char *folder, GError **error);
/* The model in one folder, whatever it is. */
RagifyModelEntry *ragify_model_entry_read (const char *path);

/* ---- model-corpus.c ---- */

/* A judged collection in memory: a BEIR folder. */
typedef struct {
  GPtrArray *ids;     /* of the documents */
  GPtrArray *texts;   /* GString, in the same order */
  GPtrArray *queries; /* of RagifyJudgedQuery */
} RagifyModelCorpus;

/* most: 0, or so many documents: those that are judged, and the first others. NULL with error. */
RagifyModelCorpus *ragify_model_corpus_read (const char *folder, guint most, GError **error);
void ragify_model_corpus_free (RagifyModelCorpus *corpus);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyModelCorpus, ragify_model_corpus_free)

/* ---- model-bench.c ---- */

typedef struct {
  const RagifyModelCorpus *corpus; /* NULL: no quality, and texts of its own */
  const char *precision;
  const char *kernel;
  guint threads;
  gboolean quiet;
} RagifyModelBenchOptions;

typedef struct {
  char kernel[24]; /* that computed */
  double load_ms;
  double query_ms;     /* CPU, median of one query (of a reranker: one pair) after the other */
  double query_tokens; /* mean; 0 for rerankers */
  double passages;     /* a second, of all threads */
  double passages_cpu; /* a second of CPU */
  double passage_tokens;
  double memory_mb; /* growth of PSS by the model and one thread's work */
  double truncated; /* share of the passages, 0..1 */
  double ndcg_10;   /* NAN: not measured */
  guint n_passages;
  guint n_queries;
} RagifyModelFigures;

/* Measures the model in a process of its own; a reranker by pairs of a question and a passage, without quality. FALSE
 * with error. */
gboolean ragify_model_bench (const RagifyModelEntry *entry, const RagifyModelBenchOptions *options,
                             RagifyModelFigures *figures, GError **error);
