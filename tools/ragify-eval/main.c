/* ragify-eval: how well a host retrieves, judged on a BEIR collection. */
#include "evaluation.h"
#include "judged-queries.h"

#include "tools/common/corpus-ingest.h"
#include "tools/common/host-process.h"
#include "tools/common/json-writer.h"
#include "tools/common/progress.h"
#include "tools/common/text-table.h"
#include "tools/common/tool-exit.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>

static const char summary[] = "Ingests a BEIR collection into a running ragify-host, asks its judged queries\n"
                              "and prints nDCG@10, recall@100 and MRR@10 for each retrieval mode.";

static const char description[] = "FOLDER holds corpus.jsonl {_id, title, text}, queries.jsonl {_id, text} and\n"
                                  "qrels.tsv (query-id, corpus-id, score; a header line), or qrels/test.tsv.\n"
                                  "\n"
                                  "A document's content is its title, a line feed and its text. (Tokenizers and\n"
                                  "text indexes take a line feed for a blank, so that this is BEIR's usual form\n"
                                  "of title and text.) Its title goes along as the document's title. With\n"
                                  "--chunking none, the default, each document is one chunk and 100 chunks are\n"
                                  "asked for; with --chunking default documents are cut, 400 chunks are asked for,\n"
                                  "and documents are ranked by their best chunk.\n"
                                  "\n"
                                  "Queries go past the cache. The mean is over all judged queries that have a\n"
                                  "relevant document; a query without an answer counts as 0. nDCG has linear gain,\n"
                                  "as trec_eval and BEIR have it. The store should hold nothing but the collection;\n"
                                  "documents from outside in the answers are counted and told.\n"
                                  "\n" RAGIFY_TOOL_EXIT_HELP "\n"
                                  "\n"
                                  "Examples:\n"
                                  "  ragify-eval scifact\n"
                                  "  ragify-eval scifact --modes hybrid --json \\\n"
                                  "    --host-binary build/core/ragify-host --config ragify.conf.d\n";

typedef struct {
  char *url;
  RagifyHostProcessOptions host;
  char *store;
  char *chunking;
  char *modes;
  char *pipeline;
  const char *folder;
  int depth;
  int concurrent;
  int limit;
  int timeout;
  gboolean no_ingest;
  gboolean json;
} EvalOptions;

/* What is printed at the end. */
typedef struct {
  const EvalOptions *options;
  guint64 documents;
  guint64 chunks;
  guint64 failed_documents;
  double ingest_seconds;
  GPtrArray *modes; /* of char * */
  GPtrArray *evaluations;
} Report;

static void
print_table (const Report *report)
{
  g_autoptr (RagifyTextTable) table = ragify_text_table_new ("lrrrrr");
  ragify_text_table_add (
      table, (const char *const[]){ "mode", "nDCG@10", "recall@100", "MRR@10", "queries", "ms in the host" });
  for (guint i = 0; i < report->evaluations->len; i++) {
    const RagifyEvaluation *evaluation = g_ptr_array_index (report->evaluations, i);
    g_autofree char *ndcg = g_strdup_printf ("%.4f", evaluation->ndcg_10);
    g_autofree char *recall = g_strdup_printf ("%.4f", evaluation->recall_100);
    g_autofree char *mrr = g_strdup_printf ("%.4f", evaluation->mrr_10);
    g_autofree char *queries = g_strdup_printf ("%u", evaluation->queries);
    g_autofree char *time = g_strdup_printf ("%.2f", evaluation->processing_time * 1e3);
    ragify_text_table_add (
        table, (const char *const[]){ g_ptr_array_index (report->modes, i), ndcg, recall, mrr, queries, time });
  }
  g_autofree char *text = ragify_text_table_format (table, FALSE);
  g_autofree char *documents = ragify_format_count (report->documents);
  g_autofree char *chunks = ragify_format_count (report->chunks);
  printf ("%s, chunking %s\n", report->options->folder, report->options->chunking);
  if (!report->options->no_ingest)
    printf ("%s documents in %s chunks, ingested in %.1f s\n", documents, chunks, report->ingest_seconds);
  fputs (text, stdout);
}

static void
write_evaluation (RagifyJsonWriter *writer, const char *mode, const RagifyEvaluation *evaluation)
{
  ragify_json_writer_begin_object (writer, mode);
  ragify_json_writer_add_number (writer, "ndcg_10", evaluation->ndcg_10);
  ragify_json_writer_add_number (writer, "recall_100", evaluation->recall_100);
  ragify_json_writer_add_number (writer, "mrr_10", evaluation->mrr_10);
  ragify_json_writer_add_number (writer, "processing_time", evaluation->processing_time);
  ragify_json_writer_add_integer (writer, "queries", evaluation->queries);
  ragify_json_writer_add_integer (writer, "failed", evaluation->failed);
  ragify_json_writer_add_integer (writer, "degraded", evaluation->degraded);
  ragify_json_writer_add_integer (writer, "foreign", evaluation->foreign);
  ragify_json_writer_end_object (writer);
}

static void
print_json (const Report *report)
{
  g_autoptr (RagifyJsonWriter) writer = ragify_json_writer_new ();
  ragify_json_writer_begin_object (writer, NULL);
  ragify_json_writer_add_string (writer, "folder", report->options->folder);
  ragify_json_writer_add_string (writer, "chunking", report->options->chunking);
  ragify_json_writer_add_boolean (writer, "ingested", !report->options->no_ingest);
  ragify_json_writer_add_integer (writer, "documents", (gint64)report->documents);
  ragify_json_writer_add_integer (writer, "chunks", (gint64)report->chunks);
  ragify_json_writer_add_integer (writer, "failed_documents", (gint64)report->failed_documents);
  ragify_json_writer_add_number (writer, "ingest_seconds", report->ingest_seconds);
  ragify_json_writer_begin_object (writer, "modes");
  for (guint i = 0; i < report->evaluations->len; i++)
    write_evaluation (writer, g_ptr_array_index (report->modes, i), g_ptr_array_index (report->evaluations, i));
  ragify_json_writer_end_object (writer);
  ragify_json_writer_end_object (writer);
  ragify_json_writer_print (writer);
}

static gboolean
ingest (RagifyHttpClient *client, Report *report, GHashTable *ids, GError **error)
{
  const EvalOptions *options = report->options;
  RagifyDocumentSenderOptions sending = RAGIFY_DOCUMENT_SENDER_DEFAULTS;
  sending.store = options->store;
  sending.chunking = options->chunking;
  g_autofree char *path = g_build_filename (options->folder, "corpus.jsonl", NULL);
  g_autoptr (RagifyDocumentSender) sender = ragify_document_sender_new (client, &sending);
  gint64 started = g_get_monotonic_time ();
  if (!ragify_corpus_ingest (sender, path, FALSE, ids, error))
    return FALSE;

  const RagifyDocumentTotals *totals = ragify_document_sender_get_totals (sender);
  report->documents = ragify_document_totals_count (totals);
  report->chunks = totals->chunks;
  report->failed_documents = totals->failures->len;
  report->ingest_seconds = (double)(g_get_monotonic_time () - started) / G_USEC_PER_SEC;
  for (guint i = 0; i < totals->failures->len; i++) {
    const RagifyDocumentFailure *failure = g_ptr_array_index (totals->failures, i);
    ragify_tool_complain ("not ingested: %s: %s", failure->id, failure->reason);
  }
  return TRUE;
}

static gboolean
evaluate (RagifyHttpClient *client, const GPtrArray *queries, GHashTable *ids, Report *report, GError **error)
{
  const EvalOptions *options = report->options;
  gboolean whole = strcmp (options->chunking, "none") == 0;
  for (guint i = 0; i < report->modes->len; i++) {
    const RagifyEvaluationOptions asking = {
      .mode = g_ptr_array_index (report->modes, i),
      .max_chunks = options->depth > 0 ? (guint)options->depth
                    : whole            ? 100
                                       : 400,
      .concurrent = (guint)options->concurrent,
      .ids = g_hash_table_size (ids) > 0 ? ids : NULL,
      .pipeline = options->pipeline,
    };
    RagifyEvaluation *evaluation = ragify_evaluation_run (client, queries, &asking, error);
    if (evaluation == NULL)
      return FALSE;
    g_ptr_array_add (report->evaluations, evaluation);
    if (evaluation->failed > 0 || evaluation->degraded > 0)
      ragify_tool_complain ("%s: %u queries without an answer, %u degraded answers; the first: %s", asking.mode,
                            evaluation->failed, evaluation->degraded, evaluation->reason);
    if (evaluation->foreign > 0)
      ragify_tool_complain (
          "%s: %u documents in the answers are not of this corpus; use an empty store for figures that mean something",
          asking.mode, evaluation->foreign);
  }
  return TRUE;
}

static gboolean
is_clean (const Report *report)
{
  for (guint i = 0; i < report->evaluations->len; i++) {
    const RagifyEvaluation *evaluation = g_ptr_array_index (report->evaluations, i);
    if (evaluation->failed > 0 || evaluation->degraded > 0)
      return FALSE;
  }
  return report->failed_documents == 0;
}

static int
exit_code_for (const GError *error)
{
  if (error->domain == RAGIFY_HTTP_CLIENT_ERROR)
    return error->code == RAGIFY_HTTP_CLIENT_ERROR_URL ? RAGIFY_TOOL_EXIT_USAGE : RAGIFY_TOOL_EXIT_UNREACHABLE;
  gboolean input = error->domain == G_IO_ERROR || error->domain == G_FILE_ERROR;
  return input ? RAGIFY_TOOL_EXIT_USAGE : RAGIFY_TOOL_EXIT_FAILED;
}

static int
complain (const GError *error)
{
  ragify_tool_complain ("%s", error->message);
  return exit_code_for (error);
}

/* Ingests and asks the host at url. */
static int
evaluate_host (const EvalOptions *options, const char *url, GPtrArray *modes, const GPtrArray *queries)
{
  g_autoptr (GError) error = NULL;
  guint connections = (guint)MAX (options->concurrent, 2);
  g_autoptr (RagifyHttpClient) client = ragify_http_client_new (url, (guint)options->timeout, connections, &error);
  g_autoptr (GHashTable) ids = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (GPtrArray) evaluations = g_ptr_array_new_with_free_func ((GDestroyNotify)ragify_evaluation_free);
  Report report = { .options = options, .modes = modes, .evaluations = evaluations };
  if (client == NULL || (!options->no_ingest && !ingest (client, &report, ids, &error)) ||
      !evaluate (client, queries, ids, &report, &error))
    return complain (error);
  if (options->json)
    print_json (&report);
  else
    print_table (&report);
  return is_clean (&report) ? RAGIFY_TOOL_EXIT_OK : RAGIFY_TOOL_EXIT_FAILED;
}

/* Reads everything, and only then starts or asks a host. */
static int
run (const EvalOptions *options, GPtrArray *modes)
{
  g_autoptr (GError) error = NULL;
  guint without_text = 0;
  g_autoptr (GPtrArray) queries = ragify_judged_queries_read (options->folder, &without_text, &error);
  if (queries == NULL)
    return complain (error);
  if (without_text > 0)
    ragify_tool_complain ("%u judged queries are not in queries.jsonl and are left out", without_text);
  if (options->limit > 0 && queries->len > (guint)options->limit)
    g_ptr_array_set_size (queries, options->limit);
  if (options->host.binary == NULL)
    return evaluate_host (options, options->url, modes, queries);

  g_autoptr (RagifyHostProcess) host = ragify_host_process_start (&options->host, options->url, 60, &error);
  if (host == NULL)
    return complain (error);
  return evaluate_host (options, ragify_host_process_get_url (host), modes, queries);
}

static GPtrArray *
split_modes (const char *text)
{
  g_autoptr (GPtrArray) modes = g_ptr_array_new_with_free_func (g_free);
  g_auto (GStrv) words = g_strsplit (text, ",", -1);
  for (gsize i = 0; words[i] != NULL; i++) {
    g_strstrip (words[i]);
    if (strcmp (words[i], "dense") != 0 && strcmp (words[i], "lexical") != 0 && strcmp (words[i], "hybrid") != 0) {
      ragify_tool_complain ("--modes: expected dense, lexical or hybrid, separated by commas; found '%s'", words[i]);
      return NULL;
    }
    g_ptr_array_add (modes, g_strdup (words[i]));
  }
  return g_steal_pointer (&modes);
}

static gboolean
check (const EvalOptions *options)
{
  if (strcmp (options->chunking, "none") != 0 && strcmp (options->chunking, "default") != 0)
    ragify_tool_complain ("--chunking '%s': expected 'none' or 'default'", options->chunking);
  else if (options->depth < 0 || options->depth > 1000)
    ragify_tool_complain ("--depth %d: expected 1 to 1000 chunks", options->depth);
  else if (options->concurrent < 1 || options->concurrent > 64)
    ragify_tool_complain ("--concurrent %d: expected 1 to 64", options->concurrent);
  else if (options->timeout < 0 || options->limit < 0)
    ragify_tool_complain ("%s: expected 0 or more", options->timeout < 0 ? "--timeout" : "--limit");
  else
    return TRUE;
  return FALSE;
}

static int
main_with_options (EvalOptions *options, int argc, char **argv)
{
  gboolean version = FALSE;
  const GOptionEntry entries[] = {
    { "url", 'u', 0, G_OPTION_ARG_STRING, &options->url, "The host (default: http://127.0.0.1:8080)", "URL" },
    { "store", 's', 0, G_OPTION_ARG_STRING, &options->store,
      "The store to ingest into (needed when the host has several)", "NAME" },
    { "pipeline", 'p', 0, G_OPTION_ARG_STRING, &options->pipeline, "The pipeline to ask", "NAME" },
    { "chunking", 0, 0, G_OPTION_ARG_STRING, &options->chunking, "none (default) or default", "HOW" },
    { "modes", 'm', 0, G_OPTION_ARG_STRING, &options->modes, "Default: dense,lexical,hybrid", "LIST" },
    { "no-ingest", 0, 0, G_OPTION_ARG_NONE, &options->no_ingest, "The collection is in the store already", NULL },
    { "depth", 0, 0, G_OPTION_ARG_INT, &options->depth, "Chunks asked for (default: 100, with --chunking default 400)",
      "N" },
    { "concurrent", 0, 0, G_OPTION_ARG_INT, &options->concurrent, "Queries under way at once (default: 2)", "N" },
    { "limit", 0, 0, G_OPTION_ARG_INT, &options->limit, "Ask the first N judged queries only", "N" },
    { "timeout", 0, 0, G_OPTION_ARG_INT, &options->timeout, "Give up after so many silent seconds (default: 300)",
      "SECONDS" },
    { "json", 'j', 0, G_OPTION_ARG_NONE, &options->json, "Print JSON", NULL },
    { "version", 'V', 0, G_OPTION_ARG_NONE, &version, "Print the version", NULL },
    G_OPTION_ENTRY_NULL,
  };
  g_autoptr (GOptionContext) context = g_option_context_new ("FOLDER");
  g_autoptr (GError) error = NULL;
  g_option_context_add_main_entries (context, entries, NULL);
  ragify_host_process_options_add_entries (&options->host, context);
  g_option_context_set_summary (context, summary);
  g_option_context_set_description (context, description);
  if (!g_option_context_parse (context, &argc, &argv, &error)) {
    ragify_tool_complain ("%s (see 'ragify-eval --help')", error->message);
    return RAGIFY_TOOL_EXIT_USAGE;
  }
  if (version) {
    printf ("ragify-eval %s\n", RAGIFY_TOOLS_VERSION);
    return RAGIFY_TOOL_EXIT_OK;
  }
  if (argc != 2) {
    ragify_tool_complain ("expected one BEIR folder (see 'ragify-eval --help')");
    return RAGIFY_TOOL_EXIT_USAGE;
  }
  options->folder = argv[1];
  options->chunking = options->chunking != NULL ? options->chunking : g_strdup ("none");
  if (options->url == NULL && options->host.binary == NULL)
    options->url = g_strdup ("http://127.0.0.1:8080");
  g_autoptr (GPtrArray) modes = split_modes (options->modes != NULL ? options->modes : "dense,lexical,hybrid");
  return modes != NULL && check (options) ? run (options, modes) : RAGIFY_TOOL_EXIT_USAGE;
}

int
main (int argc, char **argv)
{
  setlocale (LC_ALL, "");
  setlocale (LC_NUMERIC, "C");
  g_set_prgname ("ragify-eval");
  EvalOptions options = { .concurrent = 2, .timeout = 300 };
  ragify_host_process_options_init (&options.host);
  g_auto (GStrv) arguments = g_strdupv (argv);
  g_autofree char **view = g_memdup2 (arguments, sizeof (char *) * ((gsize)argc + 1));
  int exit_code = main_with_options (&options, argc, view);
  g_free (options.url);
  ragify_host_process_options_clear (&options.host);
  g_free (options.store);
  g_free (options.chunking);
  g_free (options.modes);
  g_free (options.pipeline);
  return exit_code;
}
