#include "record.h"

#include <glib.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

static const char *const keys[RAGIFY_N_COLUMNS] = {
  [RAGIFY_COLUMN_ID] = "id-column",
  [RAGIFY_COLUMN_DOCUMENT] = "document-column",
  [RAGIFY_COLUMN_CONTENT] = "content-column",
  [RAGIFY_COLUMN_TITLE] = "title-column",
  [RAGIFY_COLUMN_URI] = "uri-column",
  [RAGIFY_COLUMN_SCORE] = "score-column",
  [RAGIFY_COLUMN_METADATA] = "metadata-column",
  [RAGIFY_COLUMN_CREATED] = "created-column",
  [RAGIFY_COLUMN_UPDATED] = "updated-column",
};

typedef struct Usual {
  const char *name;
  RagifyColumn column;
} Usual;

static const Usual usual_names[] = {
  { "document_id", RAGIFY_COLUMN_DOCUMENT },
  { "title", RAGIFY_COLUMN_TITLE },
  { "uri", RAGIFY_COLUMN_URI },
  { "url", RAGIFY_COLUMN_URI },
  { "score", RAGIFY_COLUMN_SCORE },
  { "created_at", RAGIFY_COLUMN_CREATED },
  { "updated_at", RAGIFY_COLUMN_UPDATED },
};

void
ragify_column_names_read (RagifyColumnNames *columns, const RagifyHost *host, RagifyContext *context)
{
  for (guint i = 0; i < RAGIFY_N_COLUMNS; i++) {
    RagifyStr name = { NULL, 0 };
    host->config_string (context, keys[i], &name);
    columns->names[i] = name.size > 0 ? g_strndup (name.data, name.size) : NULL;
  }
}

void
ragify_column_names_clear (RagifyColumnNames *columns)
{
  for (guint i = 0; i < RAGIFY_N_COLUMNS; i++)
    g_clear_pointer (&columns->names[i], g_free);
}

RagifyColumn
ragify_column_find (const RagifyColumnNames *columns, const char *name, bool usual)
{
  for (guint i = 0; i < RAGIFY_N_COLUMNS; i++)
    if (g_strcmp0 (columns->names[i], name) == 0)
      return (RagifyColumn)i;
  for (guint i = 0; i < G_N_ELEMENTS (usual_names) && usual; i++)
    if (strcmp (usual_names[i].name, name) == 0)
      return usual_names[i].column;
  return RAGIFY_COLUMN_EXTRA;
}

void
ragify_record_begin (RagifyRecord *record, const RagifyHost *host, RagifyCall *call)
{
  *record = (RagifyRecord){ .host = host, .call = call, .chunk = { .struct_size = sizeof (RagifyChunk) } };
}

static RagifyStr
copy_bytes (RagifyRecord *record, const char *data, gsize size)
{
  char *memory = record->host->call_alloc (record->call, MAX (size, 1));
  if (memory == NULL) {
    record->exhausted = true;
    return ragify_str (NULL, 0);
  }
  if (size > 0)
    memcpy (memory, data, size);
  return ragify_str (memory, size);
}

static RagifyStr
copy (RagifyRecord *record, RagifyStr text)
{
  if (g_utf8_validate_len (text.data, text.size, NULL))
    return copy_bytes (record, text.data, text.size);
  record->problems |= RAGIFY_RECORD_BAD_TEXT;
  g_autofree char *valid = g_utf8_make_valid (text.data, (gssize)text.size);
  return copy_bytes (record, valid, strlen (valid));
}

static bool
to_uuid (RagifyStr text, RagifyUuid *uuid)
{
  char hex[33];
  guint digits = 0;
  if (text.size != 36)
    return false;
  for (guint i = 0; i < 36; i++) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text.data[i] != '-' : !g_ascii_isxdigit (text.data[i]))
      return false;
    if (!dash)
      hex[digits++] = text.data[i];
  }
  for (guint i = 0; i < 16; i++)
    uuid->bytes[i] = (uint8_t)(g_ascii_xdigit_value (hex[2 * i]) << 4 | g_ascii_xdigit_value (hex[2 * i + 1]));
  return true;
}

/* A row without a document is one. The host makes an id where there is no UUID. */
static void
set_ids (RagifyRecord *record)
{
  if (record->chunk.document_id.size == 0)
    record->chunk.document_id = record->row_id;
  (void)to_uuid (record->row_id, &record->chunk.id);
}

static void
put_score (RagifyRecord *record, RagifyStr text)
{
  g_autofree char *copied = g_strndup (text.data, text.size);
  char *end = NULL;
  const double score = g_ascii_strtod (copied, &end);
  if (end == copied || *end != '\0' || !isfinite (score)) {
    record->problems |= RAGIFY_RECORD_BAD_SCORE;
    return;
  }
  record->chunk.score = score;
  if (score >= 0 && score <= 1)
    record->chunk.flags |= RAGIFY_CHUNK_SCORED;
}

/* Wall-clock µs of an ISO 8601 date and time, in UTC where it names no zone; 0 where it is none. */
static int64_t
to_time (RagifyCell cell, RagifyStr text)
{
  g_autofree char *copied = g_strndup (text.data, text.size);
  if (cell == RAGIFY_CELL_NUMBER) /* seconds since 1970 */
    return (int64_t)CLAMP (g_ascii_strtod (copied, NULL) * G_USEC_PER_SEC, -9e18, 9e18);
  if (strlen (copied) == 10) {
    char *whole = g_strconcat (copied, "T00:00:00", NULL);
    g_free (g_steal_pointer (&copied));
    copied = whole;
  }
  if (text.size > 10 && copied[10] == ' ')
    copied[10] = 'T';
  g_autoptr (GTimeZone) utc = g_time_zone_new_utc ();
  g_autoptr (GDateTime) time = g_date_time_new_from_iso8601 (copied, utc);
  return time != NULL ? g_date_time_to_unix (time) * G_USEC_PER_SEC + g_date_time_get_microsecond (time) : 0;
}

static json_t *
parse (RagifyStr text)
{
  return json_loadb (text.data, text.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
}

static void
put_metadata (RagifyRecord *record, RagifyStr text)
{
  json_t *json = parse (text);
  if (!json_is_object (json)) {
    record->problems |= RAGIFY_RECORD_BAD_METADATA;
    json_decref (json);
    return;
  }
  if (record->extra != NULL)
    json_object_update (json, record->extra);
  json_decref (record->extra);
  record->extra = json;
}

static json_t *
to_json (RagifyRecord *record, RagifyCell cell, RagifyStr text)
{
  if (cell == RAGIFY_CELL_BOOL)
    return json_boolean (text.size > 0 && (text.data[0] == 't' || text.data[0] == '1'));
  json_t *json = cell == RAGIFY_CELL_TEXT ? NULL : parse (text);
  if (json != NULL && (cell == RAGIFY_CELL_JSON || json_is_number (json)))
    return json;
  json_decref (json);
  if (g_utf8_validate_len (text.data, text.size, NULL))
    return json_stringn (text.data, text.size);
  record->problems |= RAGIFY_RECORD_BAD_TEXT;
  g_autofree char *valid = g_utf8_make_valid (text.data, (gssize)text.size);
  return json_string (valid);
}

static void
put_extra (RagifyRecord *record, const char *name, RagifyCell cell, RagifyStr text)
{
  if (record->extra == NULL)
    record->extra = json_object ();
  json_object_set_new (record->extra, name, to_json (record, cell, text));
}

void
ragify_record_put (RagifyRecord *record, RagifyColumn column, const char *name, RagifyCell cell, RagifyStr text)
{
  switch (column) {
  case RAGIFY_COLUMN_ID:
    record->row_id = copy (record, text);
    break;
  case RAGIFY_COLUMN_DOCUMENT:
    record->chunk.document_id = copy (record, text);
    break;
  case RAGIFY_COLUMN_CONTENT:
    record->chunk.content = copy (record, text);
    record->has_content = true;
    break;
  case RAGIFY_COLUMN_TITLE:
    record->chunk.title = copy (record, text);
    break;
  case RAGIFY_COLUMN_URI:
    record->chunk.uri = copy (record, text);
    break;
  case RAGIFY_COLUMN_SCORE:
    put_score (record, text);
    break;
  case RAGIFY_COLUMN_METADATA:
    put_metadata (record, text);
    break;
  case RAGIFY_COLUMN_CREATED:
    record->chunk.created_at = to_time (cell, text);
    break;
  case RAGIFY_COLUMN_UPDATED:
    record->chunk.updated_at = to_time (cell, text);
    break;
  default:
    put_extra (record, name, cell, text);
  }
}

static void
set_metadata (RagifyRecord *record)
{
  char *text = record->extra != NULL ? json_dumps (record->extra, JSON_COMPACT) : NULL;
  if (text != NULL)
    record->chunk.metadata = copy_bytes (record, text, strlen (text));
  free (text);
  json_decref (record->extra);
  record->extra = NULL;
}

bool
ragify_record_take (RagifyRecord *record, RagifyChunk *chunk)
{
  set_metadata (record);
  set_ids (record);
  if (record->exhausted)
    return false;
  *chunk = record->chunk;
  return true;
}

const char *
ragify_record_problem (uint32_t problem)
{
  switch (problem) {
  case RAGIFY_RECORD_BAD_METADATA:
    return "metadata that is no JSON object was left out";
  case RAGIFY_RECORD_BAD_SCORE:
    return "a score that is no finite number was taken as 0";
  case RAGIFY_RECORD_BAD_TEXT:
    return "text that is not UTF-8 was mended with U+FFFD";
  default:
    return "";
  }
}
