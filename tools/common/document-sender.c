#include "document-sender.h"

#include <string.h>
#include <unistd.h>

G_DEFINE_QUARK (ragify - document - sender - error - quark, ragify_document_sender_error)

enum {
  ATTEMPTS = 6,
  LONGEST_WAIT = 30, /* seconds */
};

const RagifyDocumentSenderOptions RAGIFY_DOCUMENT_SENDER_DEFAULTS = {
  .parallel = 2,
  .batch_bytes = 256 * 1024,
  .batch_count = 500,
};

struct _RagifyDocumentSender {
  RagifyHttpClient *client;
  RagifyDocumentSenderOptions options;
  char *target;
  struct _Batch *filling;
  guint under_way;
  GError *failed; /* the first thing that ended the work */
  RagifyDocumentTotals totals;
};

typedef struct _Batch {
  RagifyDocumentSender *sender;
  GPtrArray *ids;
  GPtrArray *lines; /* as many; each ends with a newline */
  gsize bytes;
  guint attempts;
} Batch;

static void send_batch (Batch *batch);

static Batch *
new_batch (RagifyDocumentSender *sender)
{
  Batch *batch = g_new0 (Batch, 1);
  batch->sender = sender;
  batch->ids = g_ptr_array_new_with_free_func (g_free);
  batch->lines = g_ptr_array_new_with_free_func (g_free);
  return batch;
}

static void
free_batch (Batch *batch)
{
  if (batch == NULL)
    return;
  g_ptr_array_unref (batch->ids);
  g_ptr_array_unref (batch->lines);
  g_free (batch);
}

static void
add_to_batch (Batch *batch, char *id, char *line)
{
  g_ptr_array_add (batch->ids, id);
  g_ptr_array_add (batch->lines, line);
  batch->bytes += strlen (line);
}

static void
free_failure (gpointer data)
{
  RagifyDocumentFailure *failure = data;
  g_free (failure->id);
  g_free (failure->reason);
  g_free (failure);
}

static char *
make_target (const RagifyDocumentSenderOptions *options)
{
  GString *target = g_string_new ("/v1/documents");
  char separator = '?';
  if (options->store != NULL) {
    g_autofree char *store = g_uri_escape_string (options->store, NULL, FALSE);
    g_string_append_printf (target, "%cstore=%s", separator, store);
    separator = '&';
  }
  if (options->chunking != NULL)
    g_string_append_printf (target, "%cchunking=%s", separator, options->chunking);
  return g_string_free (target, FALSE);
}

RagifyDocumentSender *
ragify_document_sender_new (RagifyHttpClient *client, const RagifyDocumentSenderOptions *options)
{
  RagifyDocumentSender *sender = g_new0 (RagifyDocumentSender, 1);
  sender->client = client;
  sender->options = *options;
  sender->target = make_target (options);
  sender->filling = new_batch (sender);
  sender->totals.failures = g_ptr_array_new_with_free_func (free_failure);
  sender->totals.warnings = g_ptr_array_new_with_free_func (g_free);
  return sender;
}

static void
wait_until_under_way (RagifyDocumentSender *sender, guint most)
{
  while (sender->under_way > most)
    g_main_context_iteration (NULL, TRUE);
}

void
ragify_document_sender_free (RagifyDocumentSender *sender)
{
  if (sender == NULL)
    return;
  wait_until_under_way (sender, 0);
  free_batch (sender->filling);
  g_ptr_array_unref (sender->totals.failures);
  g_ptr_array_unref (sender->totals.warnings);
  g_free (sender->totals.generation);
  g_clear_error (&sender->failed);
  g_free (sender->target);
  g_free (sender);
}

void
ragify_document_sender_add_failure (RagifyDocumentSender *sender, const char *id, const char *reason)
{
  RagifyDocumentFailure *failure = g_new0 (RagifyDocumentFailure, 1);
  failure->id = g_strdup (id);
  failure->reason = g_strdup (reason);
  g_ptr_array_add (sender->totals.failures, failure);
}

guint64
ragify_document_totals_count (const RagifyDocumentTotals *totals)
{
  return totals->documents + totals->unchanged;
}

const RagifyDocumentTotals *
ragify_document_sender_get_totals (const RagifyDocumentSender *sender)
{
  return &sender->totals;
}

static void
fail (RagifyDocumentSender *sender, GError *error)
{
  if (sender->failed == NULL)
    sender->failed = error;
  else
    g_error_free (error);
}

static void
end_batch (Batch *batch)
{
  batch->sender->under_way--;
  free_batch (batch);
}

/* One entry of an answer's `failed`. */
static void
add_refused_document (RagifyDocumentSender *sender, const json_t *entry)
{
  const char *id = ragify_json_get_string (entry, "id");
  const char *field = ragify_json_get_string (entry, "field");
  const char *reason = ragify_json_get_string (entry, "reason");
  g_autofree char *words = g_strdup_printf ("%s%s%s", field != NULL ? field : "", field != NULL ? ": " : "",
                                            reason != NULL ? reason : "no reason given");
  ragify_document_sender_add_failure (sender, id != NULL ? id : "(no id)", words);
}

static void
add_answer (RagifyDocumentSender *sender, const json_t *answer)
{
  RagifyDocumentTotals *totals = &sender->totals;
  totals->documents += (guint64)ragify_json_get_integer (answer, "documents", 0);
  totals->chunks += (guint64)ragify_json_get_integer (answer, "chunks", 0);
  totals->unchanged += (guint64)ragify_json_get_integer (answer, "unchanged", 0);
  totals->replaced += (guint64)ragify_json_get_integer (answer, "replaced", 0);

  const char *generation = ragify_json_get_string (answer, "generation");
  if (generation != NULL) {
    g_free (totals->generation);
    totals->generation = g_strdup (generation);
  }
  const json_t *failed = json_object_get (answer, "failed");
  for (gsize i = 0; i < json_array_size (failed); i++)
    add_refused_document (sender, json_array_get (failed, i));
  const json_t *warnings = json_object_get (answer, "warnings");
  for (gsize i = 0; i < json_array_size (warnings); i++) {
    const char *warning = json_string_value (json_array_get (warnings, i));
    if (warning != NULL && !g_ptr_array_find_with_equal_func (totals->warnings, warning, g_str_equal, NULL))
      g_ptr_array_add (totals->warnings, g_strdup (warning));
  }
}

static void
take_answer (Batch *batch, const RagifyHttpReply *reply)
{
  gsize length = 0;
  const char *bytes = g_bytes_get_data (reply->body, &length);
  g_autoptr (GError) reason = NULL;
  g_autoptr (RagifyJson) answer = ragify_json_parse (bytes, length, &reason);

  if (json_is_object (answer)) {
    add_answer (batch->sender, answer);
    return;
  }
  fail (batch->sender,
        g_error_new (RAGIFY_DOCUMENT_SENDER_ERROR, RAGIFY_DOCUMENT_SENDER_ERROR_REFUSED,
                     "%s answered POST /v1/documents with %u and no JSON object%s%s; is it a ragify-host?",
                     ragify_http_client_get_url (batch->sender->client), reply->status, reason != NULL ? ": " : "",
                     reason != NULL ? reason->message : ""));
}

/* Sends each half on its own; the documents at fault end up alone, and the others are stored. */
static void
halve (Batch *batch)
{
  guint count = batch->ids->len;
  for (guint half = 0; half < 2; half++) {
    Batch *part = new_batch (batch->sender);
    for (guint i = half == 0 ? 0 : count / 2; i < (half == 0 ? count / 2 : count); i++)
      add_to_batch (part, g_strdup (g_ptr_array_index (batch->ids, i)), g_strdup (g_ptr_array_index (batch->lines, i)));
    send_batch (part);
  }
}

static gboolean
send_again (gpointer data)
{
  Batch *batch = data;
  batch->sender->under_way--;
  send_batch (batch);
  return G_SOURCE_REMOVE;
}

/* Returns TRUE when the batch lives on (it will be sent again). */
static gboolean
take_refusal (Batch *batch, const RagifyHttpReply *reply)
{
  RagifyDocumentSender *sender = batch->sender;
  gboolean its_own_fault = reply->status == 400 || reply->status == 413 || reply->status == 422;
  gboolean not_now = reply->status == 429 || reply->status == 503;

  if (not_now && ++batch->attempts < ATTEMPTS && sender->failed == NULL) {
    guint wait = CLAMP (MAX (reply->retry_after, 1U << (batch->attempts - 1)), 1, LONGEST_WAIT);
    g_timeout_add_seconds (wait, send_again, batch);
    return TRUE;
  }
  g_autofree char *words = ragify_http_reply_describe (reply);
  if (its_own_fault && batch->ids->len > 1 && sender->failed == NULL)
    halve (batch);
  else if (its_own_fault)
    ragify_document_sender_add_failure (sender, g_ptr_array_index (batch->ids, 0), words);
  else
    fail (sender, g_error_new (RAGIFY_DOCUMENT_SENDER_ERROR, RAGIFY_DOCUMENT_SENDER_ERROR_REFUSED,
                               "the server refused: %s", words));
  return FALSE;
}

static void
on_answer (GObject *source G_GNUC_UNUSED, GAsyncResult *result, gpointer user_data)
{
  Batch *batch = user_data;
  GError *error = NULL;
  g_autoptr (RagifyHttpReply) reply = ragify_http_client_send_finish (result, &error);

  if (reply == NULL)
    fail (batch->sender, error);
  else if (ragify_http_reply_succeeded (reply))
    take_answer (batch, reply);
  else if (take_refusal (batch, reply))
    return;
  end_batch (batch);
}

static void
send_batch (Batch *batch)
{
  RagifyDocumentSender *sender = batch->sender;
  GByteArray *bytes = g_byte_array_sized_new ((guint)batch->bytes);
  for (guint i = 0; i < batch->lines->len; i++) {
    const char *line = g_ptr_array_index (batch->lines, i);
    g_byte_array_append (bytes, (const guint8 *)line, (guint)strlen (line));
  }
  g_autoptr (GBytes) body = g_byte_array_free_to_bytes (bytes);
  sender->under_way++;
  ragify_http_client_send_async (sender->client, "POST", sender->target, "application/x-ndjson", body, on_answer,
                                 batch);
}

static void
flush (RagifyDocumentSender *sender)
{
  if (sender->filling->ids->len == 0)
    return;
  wait_until_under_way (sender, MAX (1, sender->options.parallel) - 1);
  if (sender->failed != NULL)
    return;
  send_batch (sender->filling);
  sender->filling = new_batch (sender);
}

static gboolean
report_failure (RagifyDocumentSender *sender, GError **error)
{
  if (sender->failed == NULL)
    return TRUE;
  if (error != NULL)
    *error = g_error_copy (sender->failed);
  return FALSE;
}

gboolean
ragify_document_sender_add (RagifyDocumentSender *sender, const RagifyRecord *record, GError **error)
{
  char *line = ragify_record_to_line (record);
  const Batch *batch = sender->filling;
  if (batch->ids->len > 0 && batch->bytes + strlen (line) > sender->options.batch_bytes)
    flush (sender);
  add_to_batch (sender->filling, g_strdup (record->id), line);
  if (sender->filling->ids->len >= sender->options.batch_count || sender->filling->bytes >= sender->options.batch_bytes)
    flush (sender);
  while (g_main_context_iteration (NULL, FALSE))
    continue;
  return report_failure (sender, error);
}

/* ---- one document as text ---- */

typedef struct {
  RagifyHttpReply *reply; /* NULL until it is there, and where there is none */
  GError *error;
  gboolean over;
} FileSending;

static void
on_file_answer (GObject *source G_GNUC_UNUSED, GAsyncResult *result, gpointer user_data)
{
  FileSending *sending = user_data;
  sending->reply = ragify_http_client_send_finish (result, &sending->error);
  sending->over = TRUE;
}

static gboolean
wake (gpointer user_data G_GNUC_UNUSED)
{
  return G_SOURCE_CONTINUE;
}

static void
add_parameter (GString *target, const char *name, const char *value)
{
  if (value == NULL || *value == '\0')
    return;
  g_autofree char *escaped = g_uri_escape_string (value, NULL, FALSE);
  g_string_append_printf (target, "%c%s=%s", strchr (target->str, '?') == NULL ? '?' : '&', name, escaped);
}

static char *
make_file_target (const RagifyDocumentSender *sender, const RagifyRecord *record)
{
  GString *target = g_string_new (sender->target);
  char *metadata = record->metadata != NULL ? json_dumps (record->metadata, JSON_COMPACT) : NULL;
  add_parameter (target, "id", record->id);
  add_parameter (target, "title", record->title);
  add_parameter (target, "uri", record->uri);
  add_parameter (target, "metadata", metadata);
  free (metadata);
  return g_string_free (target, FALSE);
}

/* Whether it is to be sent again, after a pause. */
static gboolean
wait_for_another_attempt (const RagifyHttpReply *reply, guint *attempts)
{
  if (reply == NULL || (reply->status != 429 && reply->status != 503) || ++*attempts == ATTEMPTS)
    return FALSE;
  g_usleep (CLAMP (MAX (reply->retry_after, 1U << (*attempts - 1)), 1, LONGEST_WAIT) * G_USEC_PER_SEC);
  return TRUE;
}

static void
take_file_answer (RagifyDocumentSender *sender, const RagifyRecord *record, const FileSending *sending)
{
  Batch alone = { .sender = sender };
  const RagifyHttpReply *reply = sending->reply;
  if (reply == NULL) {
    fail (sender, sending->error);
    return;
  }
  if (ragify_http_reply_succeeded (reply)) {
    take_answer (&alone, reply);
    return;
  }
  g_autofree char *words = ragify_http_reply_describe (reply);
  if (reply->status == 413 || reply->status == 422)
    ragify_document_sender_add_failure (sender, record->id, words);
  else
    fail (sender, g_error_new (RAGIFY_DOCUMENT_SENDER_ERROR, RAGIFY_DOCUMENT_SENDER_ERROR_REFUSED,
                               "the server refused: %s", words));
}

gboolean
ragify_document_sender_send_file (RagifyDocumentSender *sender, const RagifyRecord *record, int fd, guint64 size,
                                  void (*progress) (gpointer user_data, double fraction), gpointer user_data,
                                  GError **error)
{
  /* Of its own, since it may be silent for as long as a long document takes to be written. */
  g_autoptr (RagifyHttpClient) patient =
      ragify_http_client_new (ragify_http_client_get_url (sender->client), 0, 1, error);
  g_autofree char *target = make_file_target (sender, record);
  FileSending sending = { 0 };
  guint attempts = 0;
  if (patient == NULL)
    return FALSE;
  const guint ticks = g_timeout_add (100, wake, NULL);
  do {
    g_clear_pointer (&sending.reply, ragify_http_reply_free);
    sending.over = FALSE;
    ragify_http_client_send_file_async (patient, "POST", target, "text/plain", fd, size, on_file_answer, &sending);
    while (!sending.over) {
      g_main_context_iteration (NULL, TRUE);
      if (progress != NULL)
        progress (user_data, (double)lseek (fd, 0, SEEK_CUR) / (double)MAX (size, 1));
    }
  } while (wait_for_another_attempt (sending.reply, &attempts));
  g_source_remove (ticks);
  take_file_answer (sender, record, &sending);
  ragify_http_reply_free (sending.reply);
  return report_failure (sender, error);
}

gboolean
ragify_document_sender_finish (RagifyDocumentSender *sender, GError **error)
{
  flush (sender);
  wait_until_under_way (sender, 0);
  return report_failure (sender, error);
}
