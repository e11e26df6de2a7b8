/* POST /v1/context/batch: many questions, answered in the order of asking.
 *
 * SPDX-License-Identifier: MIT
 *
 *   body ► items ► waves of `batch_size` ► groups ► questions ─┐
 *                                                              ▼
 *            reply, or lines of the stream ◄── in order ◄── answers
 *
 * A question that is refused or fails is an item's error and nobody else's. A wave begins when the one before has been
 * answered and written, so that a large batch does not push everybody else aside. Answers cost memory until they are
 * written: of lines no more are asked for while the client does not read, and what is too much all the same is an
 * item's error.
 */
#include <jansson.h>
#include <string.h>

#include "core/batch/query-groups.h"
#include "core/pipeline/request-text.h"
#include "core/pipeline/writer.h"
#include "question.h"
#include "stream-reply.h"

#define MOST_QUERIES 1000u
#define WAVE 50u                 /* `batch_size` of requests that do not say */
#define MOST_BYTES (64u << 20)   /* of answers that are not written yet, and of a reply that is one document */
#define ENOUGH_BYTES (16u << 20) /* of answers that are not written, or under way: of lines no more are asked for */
#define CHUNK_BYTES 4096u        /* that one is taken to have before there was an answer */
#define USUAL_CHUNKS 10u
#define UNREAD_BYTES (1u << 20) /* of lines that the client has not read: no more are written */

typedef struct Batch Batch;

typedef struct Item {
  Batch *batch;
  RagifyRequest *request; /* until it is asked */
  char *key;              /* of what is the same; NULL: refused */
  void *question;         /* while it is asked */
  char *query;            /* as given, "" where it was none */
  char *text;             /* the answer, JSON; NULL: not there yet, or written */
  gsize size;
  guint to_write; /* how many of the wave are this one */
  gboolean failed;
} Item;

struct Batch {
  RagifyDeadline go_on; /* first: the client reads on */
  RagifyExchange *exchange;
  Item *items;
  guint count, wave, wave_begin, wave_end;
  guint under_way, written;
  RagifyQueryGroups *groups; /* of the wave: indexes are from wave_begin on */
  guint *turns;              /* of each group: how many were asked */
  gboolean *busy;            /* … and whether the last of them is under way */
  guint computed, failed;
  gsize kept;                /* bytes of answers that are not written */
  gsize largest;             /* of the answers; 0: there was none yet */
  RagifyStreamReply *stream; /* NULL: one document */
  RagifyWriter document;
  gboolean going_on; /* what is answered at once goes no further */
};

static const char *const no_parameters[] = { NULL };
static const char ndjson[] = "application/x-ndjson";

static void
item_clear (Item *item)
{
  if (item->question != NULL)
    ragify_question_forget (item->question);
  if (item->request != NULL)
    ragify_owner_unref (&item->request->owner);
  g_free (item->key);
  g_free (item->query);
  g_free (item->text);
}

static void
batch_free (Batch *batch)
{
  for (guint i = 0; i < batch->count; i++)
    item_clear (&batch->items[i]);
  ragify_loop_disarm (batch->exchange->listener->loop, &batch->go_on);
  if (batch->stream != NULL) {
    ragify_stream_reply_watch (batch->stream, 0, NULL, NULL);
    ragify_stream_reply_end (batch->stream);
  }
  ragify_writer_clear (&batch->document);
  g_clear_pointer (&batch->groups, ragify_query_groups_free);
  g_free (batch->turns);
  g_free (batch->busy);
  g_free (batch->items);
  g_free (batch);
}

/* ---- answers ---- */

static void
begin_text (RagifyWriter *writer, const Item *item)
{
  ragify_writer_init (writer, 512);
  ragify_writer_text (writer, "{\"request_id\":");
  ragify_writer_string (writer, ragify_str_from (item->batch->exchange->id));
  ragify_writer_text (writer, ",\"query\":");
  ragify_writer_string (writer, ragify_str_from (item->query));
}

static void
set_text (Item *item, RagifyWriter *writer)
{
  item->text = ragify_writer_steal (writer, &item->size);
  item->batch->kept += item->size;
}

static void
forget_text (Item *item)
{
  item->batch->kept -= item->text != NULL ? item->size : 0;
  g_clear_pointer (&item->text, g_free);
}

/* `problem`: a problem document. */
static void
set_error (Item *item, const char *problem, gsize size)
{
  RagifyWriter writer;
  begin_text (&writer, item);
  ragify_writer_text (&writer, ",\"error\":");
  ragify_writer_bytes (&writer, problem, size);
  ragify_writer_text (&writer, "}");
  set_text (item, &writer);
  item->failed = TRUE;
}

static void
set_problem (Item *item, RagifyProblem *problem)
{
  gsize size = 0;
  g_autofree char *text = ragify_problem_encode (problem, item->batch->exchange->id, &size);
  set_error (item, text, size);
  ragify_problem_clear (problem);
}

/* In place of an answer that there is no room for. */
static void
set_too_large (Item *item)
{
  RagifyProblem problem = { 0 };
  forget_text (item);
  ragify_problem_set (&problem, 413, "Answers too large", NULL,
                      "the answers of this batch have more than %u MiB: ask for less of them, for fewer at once "
                      "(batch_size), or for lines (Accept: application/x-ndjson)",
                      MOST_BYTES >> 20);
  set_problem (item, &problem);
}

/* Head and body are one JSON document, or a prompt's text, which becomes a member. */
static void
set_answer (Item *item, const RagifyAnswer *answer)
{
  const gsize body = answer->body != NULL ? answer->body->size : 0;
  if (answer->status != 200) {
    set_error (item, answer->head, answer->head_size);
    return;
  }
  RagifyWriter writer;
  if (g_str_has_prefix (answer->content_type, "application/json")) {
    ragify_writer_init (&writer, answer->head_size + body);
    ragify_writer_bytes (&writer, answer->head, answer->head_size);
    if (body > 0)
      ragify_writer_bytes (&writer, answer->body->data, body);
  } else {
    begin_text (&writer, item);
    ragify_writer_text (&writer, ",\"prompt\":");
    ragify_writer_string (&writer, ragify_str (body > 0 ? (const char *)answer->body->data : "", body));
    ragify_writer_text (&writer, "}");
  }
  set_text (item, &writer);
  item->batch->largest = MAX (item->batch->largest, item->size);
  if (item->batch->kept > MOST_BYTES)
    set_too_large (item);
}

/* ---- the reply ---- */

static void
write_item (Batch *batch, Item *item)
{
  if (batch->stream == NULL && !item->failed && batch->document.size + item->size > MOST_BYTES)
    set_too_large (item);
  if (item->failed)
    batch->failed++;
  if (batch->stream != NULL) {
    ragify_stream_reply_write (batch->stream, item->text, item->size);
    ragify_stream_reply_write (batch->stream, "\n", 1);
    return;
  }
  if (batch->written > 0)
    ragify_writer_bytes (&batch->document, ",", 1);
  ragify_writer_bytes (&batch->document, item->text, item->size);
}

static gboolean
is_read (const Batch *batch)
{
  return batch->stream == NULL || ragify_stream_reply_pending (batch->stream) <= UNREAD_BYTES;
}

/* What is there and whose turn it is. A text is kept while later items of the wave are the same. */
static void
write_ready (Batch *batch)
{
  while (batch->written < batch->wave_end && is_read (batch)) {
    Item *item = &batch->items[batch->written];
    const guint same = ragify_query_groups_first (batch->groups, batch->written - batch->wave_begin);
    Item *from = same == RAGIFY_QUERY_NONE ? item : &batch->items[batch->wave_begin + same];
    if (from->text == NULL)
      return;
    write_item (batch, from);
    batch->written++;
    if (--from->to_write == 0)
      forget_text (from);
  }
}

static void
finish_batch (Batch *batch)
{
  RagifyExchange *exchange = batch->exchange;
  exchange->work = NULL;
  if (batch->stream == NULL) {
    ragify_writer_text (&batch->document, "],\"queries\":");
    ragify_writer_uint (&batch->document, batch->count);
    ragify_writer_text (&batch->document, ",\"computed\":");
    ragify_writer_uint (&batch->document, batch->computed);
    ragify_writer_text (&batch->document, ",\"failed\":");
    ragify_writer_uint (&batch->document, batch->failed);
    ragify_writer_text (&batch->document, ",\"processing_time\":");
    ragify_writer_number (&batch->document, (double)(ragify_now () - exchange->began) / G_USEC_PER_SEC, 6);
    ragify_writer_text (&batch->document, "}");
    gsize size = 0;
    char *text = ragify_writer_steal (&batch->document, &size);
    ragify_exchange_reply (exchange, 200, "application/json", text, size);
  }
  batch_free (batch);
}

/* ---- asking ---- */

static void go_on (Batch *batch);

static guint
group_of (const Batch *batch, guint index)
{
  for (guint group = 0; group < ragify_query_groups_count (batch->groups); group++) {
    guint count;
    const guint *members = ragify_query_groups_members (batch->groups, group, &count);
    if (batch->turns[group] > 0 && members[batch->turns[group] - 1] == index)
      return group;
  }
  return 0;
}

static void
item_done (Item *item)
{
  Batch *batch = item->batch;
  batch->busy[group_of (batch, (guint)(item - batch->items) - batch->wave_begin)] = FALSE;
  batch->under_way--;
  if (!batch->going_on)
    go_on (batch);
}

static void
answered (RagifyExchange *exchange, RagifyRequest *request, const RagifyAnswer *answer, void *user)
{
  Item *item = user;
  set_answer (item, answer);
  item_done (item);
}

/* For another line; for the one that all wait for there always is. */
static gboolean
has_room (const Batch *batch, const Item *item)
{
  if (batch->stream == NULL || item == &batch->items[batch->written])
    return TRUE;
  const gsize expected =
      batch->largest > 0
          ? batch->largest
          : (gsize)(item->request->max_chunks > 0 ? item->request->max_chunks : USUAL_CHUNKS) * CHUNK_BYTES;
  return batch->kept + (batch->under_way + 1) * expected <= ENOUGH_BYTES;
}

/* The next question of a group; FALSE: there is none, or it is not its turn. */
static gboolean
ask_next (Batch *batch, guint group)
{
  guint count;
  const guint *members = ragify_query_groups_members (batch->groups, group, &count);
  if (batch->busy[group] || batch->turns[group] == count)
    return FALSE;
  Item *item = &batch->items[batch->wave_begin + members[batch->turns[group]]];
  if (!has_room (batch, item))
    return FALSE;
  batch->turns[group]++;
  RagifyRequest *request = g_steal_pointer (&item->request);
  request->began = ragify_now ();
  batch->busy[group] = TRUE;
  batch->under_way++;
  batch->computed++;
  if (!ragify_question_ask (batch->exchange, request, &item->question, answered, item)) {
    set_problem (item, &batch->exchange->problem);
    item_done (item);
  }
  return TRUE;
}

static gboolean
ask_more (Batch *batch)
{
  gboolean asked = FALSE;
  if (!is_read (batch))
    return FALSE;
  for (guint group = 0; group < ragify_query_groups_count (batch->groups); group++)
    asked = ask_next (batch, group) || asked;
  return asked;
}

static void
begin_wave (Batch *batch)
{
  batch->wave_begin = batch->wave_end;
  batch->wave_end = MIN (batch->count, batch->wave_begin + batch->wave);
  const guint count = batch->wave_end - batch->wave_begin;
  Item *items = &batch->items[batch->wave_begin];
  g_autofree const char **keys = g_new (const char *, count);
  g_autofree const char **queries = g_new (const char *, count);
  for (guint i = 0; i < count; i++) {
    keys[i] = items[i].key;
    queries[i] = items[i].query;
  }
  g_clear_pointer (&batch->groups, ragify_query_groups_free);
  batch->groups = ragify_query_groups_new (keys, queries, count);
  for (guint i = 0; i < count; i++) {
    const guint same = ragify_query_groups_first (batch->groups, i);
    items[same == RAGIFY_QUERY_NONE ? i : same].to_write++;
  }
  const guint n_groups = MAX (ragify_query_groups_count (batch->groups), 1);
  g_free (batch->turns);
  g_free (batch->busy);
  batch->turns = g_new0 (guint, n_groups);
  batch->busy = g_new0 (gboolean, n_groups);
}

/* As far as it goes without waiting for an answer or for the client. Ends the batch, and is the last to touch it, once
 * all is written. */
static void
go_on (Batch *batch)
{
  batch->going_on = TRUE;
  for (;;) {
    write_ready (batch);
    if (batch->written == batch->wave_end && batch->wave_end < batch->count)
      begin_wave (batch);
    else if (!ask_more (batch))
      break;
  }
  batch->going_on = FALSE;
  if (batch->written == batch->count)
    finish_batch (batch);
}

static void
client_reads_on (RagifyDeadline *deadline)
{
  go_on ((Batch *)deadline);
}

/* Not from inside of the server's sending. */
static void
stream_drained (void *user)
{
  Batch *batch = user;
  ragify_loop_arm (batch->exchange->listener->loop, &batch->go_on, ragify_now ());
}

/* ---- the body ---- */

static gboolean
refuse (RagifyExchange *exchange, const char *field, const char *detail)
{
  return ragify_exchange_refuse (exchange, 422, "Invalid value", field, "%s", detail);
}

/* One item: its request with what all have in common, or its error. */
static void
take_item (Batch *batch, guint index, const json_t *value, const json_t *common)
{
  Item *item = &batch->items[index];
  RagifyProblem problem = { 0 };
  item->batch = batch;
  json_t *object = json_copy ((json_t *)common); /* shallow */
  if (json_is_object (value))
    json_object_update (object, (json_t *)value);
  else
    json_object_set (object, "query", (json_t *)value);
  const char *query = json_string_value (json_object_get (object, "query"));
  item->query = g_strdup (query != NULL ? query : "");
  item->request = ragify_request_parse_object (object, &problem);
  json_decref (object);
  if (item->request == NULL) {
    set_problem (item, &problem);
    return;
  }
  g_autofree char *text = ragify_request_text (item->request);
  item->key = g_strdup_printf ("%u %" G_GUINT64_FORMAT " %s", item->request->cache, item->request->timeout_us, text);
}

static gboolean
take_batch_size (RagifyExchange *exchange, json_t *body, guint *wave)
{
  json_t *size = json_object_get (body, "batch_size");
  if (size == NULL)
    return TRUE;
  if (!json_is_integer (size) || json_integer_value (size) < 1 || json_integer_value (size) > MOST_QUERIES)
    return refuse (exchange, "batch_size", "batch_size: expected an integer from 1 to 1000");
  *wave = (guint)json_integer_value (size);
  json_object_del (body, "batch_size");
  return TRUE;
}

/* Members besides `queries` and `batch_size` hold for all items; wrong ones are refused once, not once an item. */
static gboolean
check_common (RagifyExchange *exchange, const json_t *common)
{
  if (json_object_get (common, "query") != NULL)
    return refuse (exchange, "query", "query: expected the queries in `queries`");
  json_t *probe = json_copy ((json_t *)common);
  json_object_set_new (probe, "query", json_string ("?"));
  RagifyRequest *request = ragify_request_parse_object (probe, &exchange->problem);
  json_decref (probe);
  if (request == NULL)
    return FALSE;
  ragify_owner_unref (&request->owner);
  return TRUE;
}

/* NULL: refused. `body` has lost its own members. */
static Batch *
parse (RagifyExchange *exchange, json_t *body)
{
  guint wave = WAVE;
  if (!json_is_object (body)) {
    refuse (exchange, NULL, "body: expected a JSON object such as {\"queries\": [\"…\", \"…\"]}");
    return NULL;
  }
  json_t *queries = json_object_get (body, "queries");
  if (json_array_size (queries) == 0 || json_array_size (queries) > MOST_QUERIES) {
    refuse (exchange, "queries",
            "queries: expected a list of 1 to 1000 queries: texts, or objects as /v1/context takes");
    return NULL;
  }
  json_incref (queries);
  json_object_del (body, "queries");
  Batch *batch = NULL;
  if (take_batch_size (exchange, body, &wave) && check_common (exchange, body)) {
    batch = g_new0 (Batch, 1);
    batch->exchange = exchange;
    batch->go_on.expired = client_reads_on;
    batch->wave = wave;
    batch->count = (guint)json_array_size (queries);
    batch->items = g_new0 (Item, batch->count);
    for (guint i = 0; i < batch->count; i++)
      take_item (batch, i, json_array_get (queries, i), body);
  }
  json_decref (queries);
  return batch;
}

static gboolean
wants_stream (RagifyStr accept)
{
  return accept.size > 0 && memmem (accept.data, accept.size, ndjson, strlen (ndjson)) != NULL;
}

static gboolean
begin_post (RagifyExchange *exchange)
{
  if (!ragify_query_allow (exchange->query, no_parameters, &exchange->problem))
    return FALSE;
  if (ragify_media_type_is (exchange->facts.content_type, "application/json"))
    return TRUE;
  return ragify_exchange_refuse (exchange, 415, "Unsupported media type", "Content-Type",
                                 "expected application/json in UTF-8");
}

static void
finish_post (RagifyExchange *exchange)
{
  json_t *body = ragify_request_load_json (exchange->body->str, exchange->received, &exchange->problem);
  Batch *batch = body != NULL ? parse (exchange, body) : NULL;
  if (body != NULL)
    json_decref (body);
  if (batch == NULL) {
    ragify_exchange_reply_problem (exchange, &exchange->problem);
    return;
  }
  exchange->work = batch;
  ragify_writer_init (&batch->document, 4096);
  if (wants_stream (exchange->facts.accept)) {
    batch->stream = ragify_stream_reply_new ();
    ragify_stream_reply_watch (batch->stream, UNREAD_BYTES, stream_drained, batch);
    ragify_exchange_reply_stream (exchange, 200, ndjson, batch->stream);
  } else {
    ragify_writer_text (&batch->document, "{\"request_id\":");
    ragify_writer_string (&batch->document, ragify_str_from (exchange->id));
    ragify_writer_text (&batch->document, ",\"answers\":[");
  }
  go_on (batch);
}

static void
detach (RagifyExchange *exchange)
{
  if (exchange->work != NULL)
    batch_free (g_steal_pointer (&exchange->work));
}

static void
left (RagifyExchange *exchange)
{
  if (exchange->work == NULL)
    return;
  batch_free (g_steal_pointer (&exchange->work));
  ragify_exchange_refuse (exchange, 499, "Cancelled", NULL, "nobody waits for the answers any more");
  ragify_exchange_reply_problem (exchange, &exchange->problem);
}

const RagifyAction ragify_action_batch_post = {
  .held = TRUE,
  .body = RAGIFY_BODY_GATHERED,
  .begin = begin_post,
  .finish = finish_post,
  .left = left,
  .detach = detach,
};
