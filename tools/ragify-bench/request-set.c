#include "request-set.h"

#include "tools/common/json-writer.h"
#include "tools/common/record-reader.h"

#include <string.h>

static gboolean
add_records (const char *path, GPtrArray *queries, GError **error)
{
  g_autoptr (RagifyRecordReader) reader = ragify_record_reader_open (path, error);
  if (reader == NULL)
    return FALSE;
  for (;;) {
    g_autoptr (RagifyRecord) record = NULL;
    RagifyRecordResult result = ragify_record_reader_next (reader, &record, error);
    if (result != RAGIFY_RECORD_READ)
      return result == RAGIFY_RECORD_END;
    g_ptr_array_add (queries, g_strdup (record->content));
  }
}

static gboolean
add_lines (const char *path, GPtrArray *queries, GError **error)
{
  g_autofree char *text = NULL;
  gsize length = 0;
  if (!g_file_get_contents (path, &text, &length, error))
    return FALSE;
  if (!g_utf8_validate (text, (gssize)length, NULL)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%s: expected UTF-8 text, one query a line", path);
    return FALSE;
  }
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  for (gsize i = 0; lines[i] != NULL; i++) {
    g_strstrip (lines[i]);
    if (*lines[i] != '\0')
      g_ptr_array_add (queries, g_strdup (lines[i]));
  }
  return TRUE;
}

GPtrArray *
ragify_request_set_read_queries (const char *path, guint limit, GError **error)
{
  g_autoptr (GPtrArray) queries = g_ptr_array_new_with_free_func (g_free);
  gboolean records = g_str_has_suffix (path, ".jsonl") || g_str_has_suffix (path, ".ndjson");
  if (records ? !add_records (path, queries, error) : !add_lines (path, queries, error))
    return NULL;
  if (queries->len == 0) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%s: no queries in it", path);
    return NULL;
  }
  if (limit > 0 && queries->len > limit)
    g_ptr_array_set_size (queries, (int)limit);
  return g_steal_pointer (&queries);
}

static char *
make_body (const char *query, const RagifyQueryShape *shape)
{
  g_autoptr (RagifyJsonWriter) writer = ragify_json_writer_new ();
  ragify_json_writer_begin_object (writer, NULL);
  ragify_json_writer_add_string (writer, "query", query);
  if (shape->mode != NULL)
    ragify_json_writer_add_string (writer, "mode", shape->mode);
  if (shape->cache != NULL)
    ragify_json_writer_add_string (writer, "cache", shape->cache);
  if (shape->pipeline != NULL)
    ragify_json_writer_add_string (writer, "pipeline", shape->pipeline);
  if (shape->max_chunks >= 0)
    ragify_json_writer_add_integer (writer, "max_chunks", shape->max_chunks);
  ragify_json_writer_end_object (writer);
  return ragify_json_writer_text (writer, FALSE);
}

GPtrArray *
ragify_request_set_make (const RagifyEndpoint *endpoint, const GPtrArray *queries, const RagifyQueryShape *shape)
{
  GPtrArray *requests = g_ptr_array_new_with_free_func ((GDestroyNotify)g_bytes_unref);
  for (guint i = 0; i < queries->len; i++) {
    g_autofree char *body = make_body (g_ptr_array_index (queries, i), shape);
    g_ptr_array_add (requests, ragify_endpoint_make_request (endpoint, "POST", "/v1/context", "application/json", body,
                                                             strlen (body)));
  }
  return requests;
}
