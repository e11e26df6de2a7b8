/* POST /mcp: the Model Context Protocol for agents.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "core/server/cors.h"
#include "core/server/mcp-message.h"
#include "question.h"

#define PAGE 100
#define CHUNKS 1000 /* of a document at once: more than fit a result, and not all of a very long one */

static const char *const no_parameters[] = { NULL };

/* One message under way; ends with its reply, or with the library's last word. */
typedef struct Work {
  RagifyExchange *exchange; /* NULL: gone */
  RagifyServing *serving;
  json_t *message;
  void *question; /* while one is asked */
  char *store, *uri;
  RagifyLibrary *library; /* that the document is in */
  char *document;
  guint64 first, skipped; /* its first chunk that is wanted; those before what is being read */
  gboolean modern;        /* a revision without `initialize` */
  gboolean cacheable;     /* so is its result */
  gboolean asking;        /* a library's answer is still to come, whatever the exchange does */
  void (*done) (struct Work *work, const char *body, gsize size);
} Work;

static void
work_free (Work *work)
{
  ragify_serving_unref (work->serving);
  json_decref (work->message);
  g_free (work->store);
  g_free (work->uri);
  g_free (work->document);
  g_free (work);
}

static const json_t *
id_of (const Work *work)
{
  return json_object_get (work->message, "id");
}

static const json_t *
parameter (const Work *work, const char *name)
{
  return json_object_get (json_object_get (work->message, "params"), name);
}

/* Takes `message`. */
static void
send_message (RagifyExchange *exchange, guint status, json_t *message)
{
  char *text = json_dumps (message, JSON_COMPACT);
  json_decref (message);
  char *body = g_strdup (text);
  free (text);
  ragify_exchange_reply (exchange, status, "application/json", body, strlen (body));
}

static guint
status_of (const Work *work, const json_t *message)
{
  const json_t *error = json_object_get (message, "error");
  return work->modern && error != NULL ? ragify_mcp_status ((int)json_integer_value (json_object_get (error, "code")))
                                       : 200;
}

/* Replies with `message`, which it takes, and ends the work. */
static void
finish_work (Work *work, json_t *message)
{
  RagifyExchange *exchange = work->exchange;
  const guint status = status_of (work, message);
  work_free (work);
  if (exchange != NULL)
    send_message (exchange, status, message);
  else
    json_decref (message);
}

static void
finish_with (Work *work, json_t *result)
{
  if (work->modern)
    ragify_mcp_complete (result, work->cacheable);
  finish_work (work, ragify_mcp_result (id_of (work), result));
}

/* ---- libraries ---- */

/* The store's library; without a name the only one. */
static RagifyLibrary *
find_library (const Work *work, const char *store)
{
  const RagifyServing *serving = work->serving;
  if (store == NULL)
    return serving->n_libraries == 1 ? serving->libraries[0] : NULL;
  for (guint i = 0; i < serving->n_libraries; i++)
    if (strcmp (ragify_library_name (serving->libraries[i]), store) == 0)
      return serving->libraries[i];
  return NULL;
}

static void
library_replied (const char *body, gsize size, const RagifyProblem *problem, void *user)
{
  Work *work = user;
  const gboolean tool = work->uri == NULL && work->store == NULL;
  if (work->exchange == NULL)
    work_free (work);
  else if (problem == NULL)
    work->done (work, body, size);
  else if (tool)
    finish_with (work, ragify_mcp_failed_result (problem->detail));
  else
    finish_work (work,
                 ragify_mcp_error (id_of (work),
                                   problem->status == 404 ? RAGIFY_MCP_RESOURCE_NOT_FOUND : RAGIFY_MCP_INTERNAL_ERROR,
                                   "%s", problem->detail));
}

static void
ask_library (Work *work, const char *cursor, void (*done) (Work *work, const char *body, gsize size))
{
  RagifyExchange *exchange = work->exchange;
  work->done = done;
  work->asking = TRUE;
  ragify_library_get (work->library, exchange->listener->loop, work->document, cursor, CHUNKS,
                      ragify_exchange_hold (exchange), library_replied, work);
}

/* ---- tools ---- */

static void
answered (RagifyExchange *exchange, RagifyRequest *request, const RagifyAnswer *answer, void *user)
{
  g_autoptr (GString) whole = g_string_new_len (answer->head, (gssize)answer->head_size);
  if (answer->body != NULL)
    g_string_append_len (whole, (const char *)answer->body->data, (gssize)answer->body->size);
  finish_with (user, ragify_mcp_search_result (whole->str, whole->len, answer->status != 200));
}

static void
refuse_tool (Work *work, RagifyProblem *problem)
{
  json_t *result = ragify_mcp_failed_result (problem->detail);
  ragify_problem_clear (problem);
  finish_with (work, result);
}

static void
search_context (Work *work, const json_t *arguments)
{
  RagifyProblem problem = { 0 };
  RagifyRequest *request = ragify_mcp_question (arguments, &problem);
  if (request == NULL)
    refuse_tool (work, &problem);
  else if (!ragify_question_ask (work->exchange, request, &work->question, answered, work))
    refuse_tool (work, &work->exchange->problem);
}

static void
got_document (Work *work, const char *body, gsize size)
{
  g_autofree char *cursor = NULL;
  json_t *result = ragify_mcp_document_result (body, size, work->first, &work->skipped, &cursor);
  if (result != NULL)
    finish_with (work, result);
  else
    ask_library (work, cursor, got_document);
}

static void
get_document (Work *work, const json_t *arguments)
{
  const json_t *id = json_object_get (arguments, "id"), *first = json_object_get (arguments, "first_chunk");
  const json_t *store = json_object_get (arguments, "store");
  if (!json_is_string (id) || json_string_length (id) == 0 || (first != NULL && json_integer_value (first) < 0) ||
      (first != NULL && !json_is_integer (first)) || (store != NULL && !json_is_string (store))) {
    finish_with (work, ragify_mcp_failed_result ("get_document wants id (a text that is not empty), and may have store "
                                                 "(a text) and first_chunk (a number from 0 on)"));
    return;
  }
  work->library = find_library (work, json_string_value (store));
  if (work->library == NULL) {
    finish_with (work,
                 ragify_mcp_failed_result (store != NULL ? "there is no such store"
                                                         : "say which store is meant: there are several, or none"));
    return;
  }
  work->first = first != NULL ? (guint64)json_integer_value (first) : 0;
  work->document = g_strdup (json_string_value (id));
  ask_library (work, "", got_document);
}

static void
call_tool (Work *work)
{
  const char *name = json_string_value (parameter (work, "name"));
  const json_t *arguments = parameter (work, "arguments");
  if (arguments != NULL && !json_is_object (arguments))
    finish_work (work, ragify_mcp_error (id_of (work), RAGIFY_MCP_INVALID_PARAMS, "arguments must be an object"));
  else if (g_strcmp0 (name, "search_context") == 0)
    search_context (work, arguments);
  else if (g_strcmp0 (name, "get_document") == 0)
    get_document (work, arguments);
  else
    finish_work (work, ragify_mcp_error (id_of (work), RAGIFY_MCP_INVALID_PARAMS,
                                         "unknown tool '%.64s'; there are search_context and get_document",
                                         name != NULL ? name : ""));
}

/* ---- resources ---- */

static void
got_page (Work *work, const char *body, gsize size)
{
  json_t *result = ragify_mcp_resources (work->store, body, size);
  const RagifyServing *serving = work->serving;
  /* The stores come one after the other. */
  for (guint i = 0; i + 1 < serving->n_libraries && json_object_get (result, "nextCursor") == NULL; i++)
    if (strcmp (ragify_library_name (serving->libraries[i]), work->store) == 0)
      json_object_set_new (result, "nextCursor", json_sprintf ("%s ", ragify_library_name (serving->libraries[i + 1])));
  finish_with (work, result);
}

/* The cursor is the store's name, a blank, and the store's own cursor. */
static void
list_resources (Work *work)
{
  const char *cursor = json_string_value (parameter (work, "cursor"));
  const char *blank = cursor != NULL ? strchr (cursor, ' ') : NULL;
  if (work->serving->n_libraries == 0) {
    finish_with (work, json_pack ("{s:[]}", "resources"));
    return;
  }
  work->store = blank != NULL ? g_strndup (cursor, (gsize)(blank - cursor))
                              : g_strdup (ragify_library_name (work->serving->libraries[0]));
  RagifyLibrary *library = find_library (work, work->store);
  if (library == NULL || (parameter (work, "cursor") != NULL && blank == NULL)) {
    finish_work (work, ragify_mcp_error (id_of (work), RAGIFY_MCP_INVALID_PARAMS, "that is no cursor of this server"));
    return;
  }
  work->done = got_page;
  work->asking = TRUE;
  ragify_library_list (library, work->exchange->listener->loop, blank != NULL ? blank + 1 : "", PAGE, NULL,
                       ragify_exchange_hold (work->exchange), library_replied, work);
}

static void
got_contents (Work *work, const char *body, gsize size)
{
  finish_with (work, ragify_mcp_contents (work->uri, body, size));
}

static void
read_resource (Work *work)
{
  const char *uri = json_string_value (parameter (work, "uri"));
  g_autofree char *store = NULL;
  if (uri != NULL && ragify_mcp_uri_parse (uri, &store, &work->document))
    work->library = find_library (work, store);
  if (work->library == NULL) {
    finish_work (work,
                 ragify_mcp_error (id_of (work), RAGIFY_MCP_RESOURCE_NOT_FOUND,
                                   "no resource '%.200s'; they are ragify://STORE/DOCUMENT", uri != NULL ? uri : ""));
    return;
  }
  work->uri = g_strdup (uri);
  ask_library (work, "", got_contents);
}

/* ---- methods ---- */

static void
initialize (Work *work)
{
  finish_with (work, ragify_mcp_initialize (json_object_get (work->message, "params")));
}

static void
ping (Work *work)
{
  finish_with (work, json_object ());
}

static void
list_tools (Work *work)
{
  finish_with (work, ragify_mcp_tools ());
}

static void
list_templates (Work *work)
{
  finish_with (work, ragify_mcp_resource_templates ());
}

static void
discover (Work *work)
{
  finish_with (work, ragify_mcp_discover ());
}

static const struct {
  void (*run) (Work *work);
  gboolean cacheable;
} methods[RAGIFY_MCP_N_METHODS] = {
  [RAGIFY_MCP_INITIALIZE] = { initialize, FALSE },
  [RAGIFY_MCP_DISCOVER] = { discover, TRUE },
  [RAGIFY_MCP_PING] = { ping, FALSE },
  [RAGIFY_MCP_LIST_TOOLS] = { list_tools, TRUE },
  [RAGIFY_MCP_CALL_TOOL] = { call_tool, FALSE },
  [RAGIFY_MCP_LIST_RESOURCES] = { list_resources, TRUE },
  [RAGIFY_MCP_READ_RESOURCE] = { read_resource, TRUE },
  [RAGIFY_MCP_LIST_TEMPLATES] = { list_templates, TRUE },
};

static void
run_method (Work *work)
{
  const RagifyMcpMethod method = ragify_mcp_method (work->message);
  if (method == RAGIFY_MCP_N_METHODS) {
    finish_work (work, ragify_mcp_error (id_of (work), RAGIFY_MCP_METHOD_NOT_FOUND, "there is no method '%.64s'",
                                         json_string_value (json_object_get (work->message, "method"))));
    return;
  }
  work->cacheable = methods[method].cacheable;
  methods[method].run (work);
}

/* ---- the message ---- */

static void
take_message (RagifyExchange *exchange, json_t *message)
{
  const char *fault = ragify_mcp_fault (message);
  if (fault != NULL) {
    send_message (exchange, 400, ragify_mcp_error (NULL, RAGIFY_MCP_INVALID_REQUEST, "%s", fault));
    json_decref (message);
    return;
  }
  if (!ragify_mcp_is_request (message)) {
    /* A notification, or a reply to something that this server never asked: nothing is to be said. */
    json_decref (message);
    ragify_exchange_reply (exchange, 202, NULL, NULL, 0);
    return;
  }
  gboolean modern = FALSE;
  json_t *refusal = ragify_mcp_check_revision (&exchange->facts, message, &modern);
  if (refusal != NULL) {
    send_message (exchange, 400, refusal);
    json_decref (message);
    return;
  }
  Work *work = g_new0 (Work, 1);
  work->modern = modern;
  work->exchange = exchange;
  work->serving = ragify_serving_ref (exchange->listener->serving);
  work->message = message;
  exchange->work = work;
  run_method (work);
}

static void
finish (RagifyExchange *exchange)
{
  json_error_t error;
  json_t *message = json_loadb (exchange->body->str, exchange->received, JSON_REJECT_DUPLICATES, &error);
  if (message != NULL)
    take_message (exchange, message);
  else
    send_message (exchange, 400,
                  ragify_mcp_error (NULL, RAGIFY_MCP_PARSE_ERROR, "%s (line %d, column %d)", error.text, error.line,
                                    error.column));
}

/* A page in a browser must not ask a server on the same machine or behind the same firewall. */
static gboolean
check_origin (RagifyExchange *exchange)
{
  const RagifyStr origin = exchange->facts.origin, host = exchange->facts.host;
  if (origin.size == 0 || ragify_cors_allows (exchange))
    return TRUE;
  const char *place = origin.size > 3 ? g_strstr_len (origin.data, (gssize)origin.size, "://") : NULL;
  const gsize size = place != NULL ? origin.size - (gsize)(place + 3 - origin.data) : 0;
  if (size == host.size && size > 0 && g_ascii_strncasecmp (place + 3, host.data, size) == 0)
    return TRUE;
  return ragify_exchange_refuse (exchange, 403, "Forbidden", "Origin", "a page of %.*s may not ask this server",
                                 (int)MIN (origin.size, 200), origin.data);
}

static gboolean
begin (RagifyExchange *exchange)
{
  const RagifyStr type = exchange->facts.content_type;
  if (!check_origin (exchange) || !ragify_query_allow (exchange->query, no_parameters, &exchange->problem))
    return FALSE;
  if (!ragify_media_type_is (type, "application/json"))
    return ragify_exchange_refuse (exchange, 415, "Unsupported media type", "Content-Type",
                                   "expected application/json in UTF-8");
  return TRUE;
}

static void
left (RagifyExchange *exchange)
{
  const Work *work = exchange->work;
  if (work != NULL && work->question != NULL)
    ragify_question_cancel (work->question);
}

static void
detach (RagifyExchange *exchange)
{
  Work *work = exchange->work;
  if (work == NULL)
    return;
  work->exchange = NULL;
  if (work->question != NULL)
    ragify_question_forget (work->question);
  if (!work->asking)
    work_free (work);
}

const RagifyAction ragify_action_mcp = {
  .body = RAGIFY_BODY_GATHERED,
  .held = TRUE,
  .begin = begin,
  .finish = finish,
  .left = left,
  .detach = detach,
};
