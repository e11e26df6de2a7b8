#include "command.h"

#include "tools/common/json-reader.h"
#include "tools/common/json-writer.h"
#include "tools/common/terminal-text.h"
#include "tools/common/text-table.h"

#include <stdio.h>
#include <string.h>

static const char description[] = "  list         Print the store's documents: id, chunks, last change, title\n"
                                  "  get ID       Print one document\n"
                                  "  delete ID …  Remove documents\n"
                                  "\n"
                                  "With --json, list prints one object with all the documents asked for, get the\n"
                                  "server's answer as it came, delete the number of chunks removed for each id.\n"
                                  "\n" RAGIFY_TOOL_EXIT_HELP "\n";

typedef struct {
  char *store;
  char *cursor;
  int limit;
} DocumentOptions;

static const char usage[] = "list | get ID | delete ID …";

/* Appends a query parameter, escaped. */
static void
append_parameter (GString *target, const char *name, const char *value)
{
  if (value == NULL)
    return;
  g_autofree char *escaped = g_uri_escape_string (value, NULL, FALSE);
  g_string_append_printf (target, "%c%s=%s", strchr (target->str, '?') != NULL ? '&' : '?', name, escaped);
}

static char *
document_target (const DocumentOptions *options, const char *id)
{
  g_autofree char *escaped = g_uri_escape_string (id, NULL, FALSE);
  GString *target = g_string_new ("/v1/documents/");
  g_string_append (target, escaped);
  append_parameter (target, "store", options->store);
  return g_string_free (target, FALSE);
}

static json_t *
read_object (const RagifyHttpReply *reply, int *exit_code)
{
  gsize length = 0;
  const char *bytes = g_bytes_get_data (reply->body, &length);
  g_autoptr (GError) reason = NULL;
  json_t *object = ragify_json_parse (bytes, length, &reason);
  if (json_is_object (object))
    return object;
  ragify_tool_complain ("the server's answer is not a JSON object%s%s; is it a ragify-host?",
                        reason != NULL ? ": " : "", reason != NULL ? reason->message : "");
  json_decref (object);
  *exit_code = RAGIFY_TOOL_EXIT_FAILED;
  return NULL;
}

/* Asks page after page until limit documents are there (limit 0: all of them). *next is the cursor behind them, or
 * NULL. */
static json_t *
fetch_list (RagifyHttpClient *client, const DocumentOptions *options, char **next, int *exit_code)
{
  g_autoptr (RagifyJson) documents = json_array ();
  g_autofree char *cursor = g_strdup (options->cursor);
  do {
    guint wanted = options->limit > 0 ? (guint)options->limit - (guint)json_array_size (documents) : 1000;
    g_autofree char *page_size = g_strdup_printf ("%u", MIN (wanted, 1000));
    g_autoptr (GString) target = g_string_new ("/v1/documents");
    append_parameter (target, "store", options->store);
    append_parameter (target, "cursor", cursor);
    append_parameter (target, "limit", page_size);

    g_autoptr (RagifyHttpReply) reply = ragify_control_request (client, "GET", target->str, NULL, NULL, exit_code);
    g_autoptr (RagifyJson) page = reply != NULL ? read_object (reply, exit_code) : NULL;
    if (page == NULL)
      return NULL;
    g_autofree char *previous = g_steal_pointer (&cursor);
    cursor = g_strdup (ragify_json_get_string (page, "next_cursor"));
    if (json_array_size (json_object_get (page, "documents")) == 0 || g_strcmp0 (cursor, previous) == 0)
      g_clear_pointer (&cursor, g_free);
    json_array_extend (documents, json_object_get (page, "documents"));
  } while (cursor != NULL && (options->limit == 0 || json_array_size (documents) < (gsize)options->limit));
  *next = g_steal_pointer (&cursor);
  return g_steal_pointer (&documents);
}

static void
print_list_json (const json_t *documents, const char *next)
{
  g_autoptr (RagifyJsonWriter) writer = ragify_json_writer_new ();
  ragify_json_writer_begin_object (writer, NULL);
  char *text = json_dumps (documents, JSON_COMPACT);
  ragify_json_writer_add_json (writer, "documents", text);
  free (text);
  ragify_json_writer_add_string (writer, "next_cursor", next);
  ragify_json_writer_end_object (writer);
  ragify_json_writer_print (writer);
}

static void
print_list (const json_t *documents, const char *next)
{
  g_autoptr (RagifyTextTable) table = ragify_text_table_new ("lrll");
  ragify_text_table_add (table, (const char *const[]){ "id", "chunks", "updated", "title" });
  for (gsize i = 0; i < json_array_size (documents); i++) {
    const json_t *document = json_array_get (documents, i);
    const char *id = ragify_json_get_string (document, "id");
    const char *title = ragify_json_get_string (document, "title");
    g_autofree char *chunks = g_strdup_printf ("%" G_GINT64_FORMAT, ragify_json_get_integer (document, "chunks", 0));
    g_autofree char *updated = ragify_terminal_text_from_json (json_object_get (document, "updated_at"), 0);
    ragify_text_table_add (table,
                           (const char *const[]){ id != NULL ? id : "", chunks, updated, title != NULL ? title : "" });
  }
  g_autofree char *text = ragify_text_table_format (table, FALSE);
  g_autofree char *printable = ragify_tool_printable (text);
  fputs (printable, stdout);
  if (next != NULL)
    printf ("more: --cursor '%s'\n", next);
}

static int
list (RagifyControlOptions *control, RagifyHttpClient *client, const DocumentOptions *options)
{
  int exit_code = RAGIFY_TOOL_EXIT_OK;
  g_autofree char *next = NULL;
  g_autoptr (RagifyJson) documents = fetch_list (client, options, &next, &exit_code);
  if (documents == NULL)
    return exit_code;
  if (control->json)
    print_list_json (documents, next);
  else
    print_list (documents, next);
  return RAGIFY_TOOL_EXIT_OK;
}

static int
get (RagifyControlOptions *control, RagifyHttpClient *client, const DocumentOptions *options, const char *id)
{
  int exit_code = RAGIFY_TOOL_EXIT_OK;
  g_autofree char *target = document_target (options, id);
  g_autoptr (RagifyHttpReply) reply = ragify_control_request (client, "GET", target, NULL, NULL, &exit_code);
  if (reply == NULL)
    return exit_code;
  if (control->json) {
    ragify_control_print_body (reply);
    return RAGIFY_TOOL_EXIT_OK;
  }
  g_autoptr (RagifyJson) document = read_object (reply, &exit_code);
  if (document != NULL) {
    g_autofree char *text = ragify_terminal_text_from_json (document, 0);
    puts (text);
  }
  return exit_code;
}

static int delete (RagifyControlOptions *control, RagifyHttpClient *client, const DocumentOptions *options, char **ids)
{
  int worst = RAGIFY_TOOL_EXIT_OK;
  g_autoptr (RagifyJsonWriter) writer = ragify_json_writer_new ();
  ragify_json_writer_begin_object (writer, NULL);
  for (gsize i = 0; ids[i] != NULL; i++) {
    int exit_code = RAGIFY_TOOL_EXIT_OK;
    g_autofree char *target = document_target (options, ids[i]);
    g_autoptr (RagifyHttpReply) reply = ragify_control_request (client, "DELETE", target, NULL, NULL, &exit_code);
    g_autoptr (RagifyJson) answer = reply != NULL ? read_object (reply, &exit_code) : NULL;
    worst = MAX (worst, exit_code);
    if (exit_code == RAGIFY_TOOL_EXIT_UNREACHABLE)
      break;
    if (answer == NULL)
      continue;
    gint64 chunks = ragify_json_get_integer (answer, "deleted", 0);
    ragify_json_writer_add_integer (writer, ids[i], chunks);
    if (!control->json)
      printf ("deleted %s (%" G_GINT64_FORMAT " chunks)\n", ids[i], chunks);
  }
  ragify_json_writer_end_object (writer);
  if (control->json)
    ragify_json_writer_print (writer);
  return worst;
}

static int
run (RagifyControlOptions *control, const DocumentOptions *options, int argc, char **argv)
{
  const char *action = argc > 1 ? argv[1] : "";
  gboolean listing = strcmp (action, "list") == 0;
  gboolean getting = strcmp (action, "get") == 0;
  if (!listing && !getting && strcmp (action, "delete") != 0) {
    ragify_tool_complain ("documents: expected 'list', 'get ID' or 'delete ID …', found '%s'", action);
    return RAGIFY_TOOL_EXIT_USAGE;
  }
  if (listing ? argc != 2 : getting ? argc != 3 : argc < 3) {
    ragify_tool_complain ("documents %s: expected %s", action,
                          listing   ? "no further word"
                          : getting ? "one document id"
                                    : "document ids");
    return RAGIFY_TOOL_EXIT_USAGE;
  }
  if (options->limit < 0) {
    ragify_tool_complain ("documents: --limit %d: expected 0 (all) or more", options->limit);
    return RAGIFY_TOOL_EXIT_USAGE;
  }
  g_autoptr (RagifyHttpClient) client = ragify_control_connect (control, 1, 60);
  if (client == NULL)
    return RAGIFY_TOOL_EXIT_USAGE;
  if (listing)
    return list (control, client, options);
  return getting ? get (control, client, options, argv[2]) : delete (control, client, options, argv + 2);
}

int
ragify_control_documents (RagifyControlOptions *control, int argc, char **argv)
{
  DocumentOptions options = { .limit = 100 };
  const GOptionEntry entries[] = {
    { "store", 's', 0, G_OPTION_ARG_STRING, &options.store, "The store (needed when the host has several)", "NAME" },
    { "limit", 'n', 0, G_OPTION_ARG_INT, &options.limit, "list: at most so many, 0 for all (default: 100)", "N" },
    { "cursor", 0, 0, G_OPTION_ARG_STRING, &options.cursor, "list: go on where an earlier list ended", "CURSOR" },
    G_OPTION_ENTRY_NULL,
  };
  int exit_code = RAGIFY_TOOL_EXIT_USAGE;
  if (ragify_control_parse (control, entries, usage, description, &argc, &argv))
    exit_code = run (control, &options, argc, argv);
  g_free (options.store);
  g_free (options.cursor);
  return exit_code;
}
