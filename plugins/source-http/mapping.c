/* SPDX-License-Identifier: MIT */
#include "mapping.h"
#include "settings.h"

#include "http-settings.h"
#include "json-pointer.h"

#include <math.h>
#include <string.h>

/* A tree takes up to 40 times the bytes of its text: so many values are as many as an answer can need. */
#define MOST_VALUES 400000u
/* For texts at a time. */
#define MOST_ROOM ((gsize)64 << 10)

typedef enum Field {
  FIELD_ID,
  FIELD_CONTENT,
  FIELD_TITLE,
  FIELD_URI,
  FIELD_SCORE,
  FIELD_METADATA,
  FIELD_CREATED,
  FIELD_UPDATED,
  N_FIELDS
} Field;

static const char *const field_keys[N_FIELDS] = { "id-pointer",      "content-pointer", "title-pointer",
                                                  "uri-pointer",     "score-pointer",   "metadata-pointer",
                                                  "created-pointer", "updated-pointer" };

/* Where a field is. */
typedef struct Place {
  char *pointer;
  const char *name; /* of an object's member, where that is all it says; otherwise NULL */
} Place;

struct HttpMapping {
  gboolean lines;           /* NDJSON */
  char *results;            /* NULL: found */
  GArray *fields[N_FIELDS]; /* Place */
  double score_scale;
};

typedef struct Reading {
  const HttpMapping *mapping;
  const RagifyHost *host;
  RagifyCall *call;
  RagifyChunk *chunks;
  guint count, limit, unusable;
  char *room; /* for texts; `left` bytes of it */
  gsize left, piece;
  gboolean exhausted; /* the call's memory */
  RagifyFault *fault;
} Reading;

/* ---- configuration ---- */

static gboolean
check_pointer (const char *key, const char *pointer, RagifyFault *fault)
{
  if (ragify_json_pointer_valid (pointer))
    return TRUE;
  return ragify_fault_set (fault, RAGIFY_E_INVALID, "%s: expected a JSON pointer such as /data/0/text, found '%.100s'",
                           key, pointer);
}

static void
place_clear (gpointer data)
{
  g_free (((Place *)data)->pointer);
}

static gboolean
read_field (HttpMapping *mapping, const RagifyHost *host, RagifyContext *context, Field field, RagifyFault *fault)
{
  RagifyStrList list = { NULL, 0 };
  host->config_list (context, field_keys[field], &list);
  mapping->fields[field] = g_array_new (FALSE, FALSE, sizeof (Place));
  g_array_set_clear_func (mapping->fields[field], place_clear);
  for (guint64 i = 0; i < list.count; i++) {
    Place place = { .pointer = g_strndup (list.items[i].data, list.items[i].size) };
    if (place.pointer[0] == '/' && strpbrk (place.pointer + 1, "/~") == NULL)
      place.name = place.pointer + 1;
    g_array_append_val (mapping->fields[field], place);
    if (!check_pointer (field_keys[field], place.pointer, fault))
      return FALSE;
  }
  return TRUE;
}

HttpMapping *
http_mapping_new (const RagifyHost *host, RagifyContext *context, RagifyFault *fault)
{
  HttpMapping *mapping = g_new0 (HttpMapping, 1);
  g_autofree char *format = ragify_setting_optional (host, context, "format");
  mapping->lines = g_strcmp0 (format, "ndjson") == 0;
  mapping->results = ragify_setting_optional (host, context, "results-pointer");
  mapping->score_scale = 1;
  host->config_double (context, "score-scale", &mapping->score_scale);
  gboolean well = mapping->results == NULL || check_pointer ("results-pointer", mapping->results, fault);
  for (guint field = 0; field < N_FIELDS && well; field++)
    well = read_field (mapping, host, context, field, fault);
  if (well)
    return mapping;
  http_mapping_free (mapping);
  return NULL;
}

void
http_mapping_free (HttpMapping *mapping)
{
  if (mapping == NULL)
    return;
  for (guint field = 0; field < N_FIELDS; field++)
    g_clear_pointer (&mapping->fields[field], g_array_unref);
  g_free (mapping->results);
  g_free (mapping);
}

const char *
http_mapping_accept (const HttpMapping *mapping)
{
  return mapping->lines ? "application/x-ndjson, application/json;q=0.5" : "application/json";
}

/* ---- values ---- */

static const json_t *
find (const Reading *reading, Field field, const json_t *item)
{
  const GArray *places = reading->mapping->fields[field];
  for (guint i = 0; i < places->len; i++) {
    const Place *place = &g_array_index (places, Place, i);
    const json_t *value = place->name != NULL && json_is_object (item) ? json_object_get (item, place->name)
                                                                       : ragify_json_pointer_get (item, place->pointer);
    if (value != NULL && !json_is_null (value))
      return value;
  }
  return NULL;
}

/* The call's memory, asked for in pieces as large as the answer: its texts are rarely more. */
static char *
take_room (Reading *reading, gsize size)
{
  if (size > reading->left) {
    const gsize piece = MAX (size, reading->piece);
    char *room = reading->host->call_alloc (reading->call, piece);
    if (room == NULL)
      return NULL;
    reading->room = room;
    reading->left = piece;
  }
  char *taken = reading->room;
  reading->room += size;
  reading->left -= size;
  return taken;
}

static RagifyStr
copy (Reading *reading, const char *text, gsize size)
{
  if (size == 0)
    return ragify_str (NULL, 0);
  char *memory = take_room (reading, size);
  if (memory == NULL) {
    reading->exhausted = TRUE;
    return ragify_str (NULL, 0);
  }
  memcpy (memory, text, size);
  return ragify_str (memory, size);
}

/* Texts, and numbers as they are written: ids are often numbers. A text with a NUL is none. */
static RagifyStr
copy_text (Reading *reading, Field field, const json_t *item)
{
  const json_t *value = find (reading, field, item);
  if (json_is_string (value)) {
    const char *text = json_string_value (value);
    const gsize size = json_string_length (value);
    return memchr (text, '\0', size) == NULL ? copy (reading, text, size) : ragify_str (NULL, 0);
  }
  if (!json_is_integer (value))
    return ragify_str (NULL, 0);
  char text[32];
  const int size = g_snprintf (text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value (value));
  return copy (reading, text, (gsize)size);
}

static RagifyStr
copy_metadata (Reading *reading, const json_t *item)
{
  const json_t *value = find (reading, FIELD_METADATA, item);
  if (!json_is_object (value) || json_object_size (value) == 0)
    return ragify_str (NULL, 0);
  char *text = json_dumps (value, JSON_COMPACT);
  if (text == NULL)
    return ragify_str (NULL, 0);
  const RagifyStr copied = copy (reading, text, strlen (text));
  free (text);
  return copied;
}

/* µs since 1970 of an ISO 8601 text, or of a number of seconds or (from the year 5138 on, so never meant) ms. */
static gint64
read_time (const Reading *reading, Field field, const json_t *item)
{
  const json_t *value = find (reading, field, item);
  if (json_is_number (value)) {
    const double seconds = json_number_value (value) / (json_number_value (value) >= 1e11 ? 1000 : 1);
    return seconds > 0 && seconds < 1e11 ? (gint64)(seconds * G_USEC_PER_SEC) : 0;
  }
  if (!json_is_string (value))
    return 0;
  g_autoptr (GTimeZone) utc = g_time_zone_new_utc ();
  g_autoptr (GDateTime) time = g_date_time_new_from_iso8601 (json_string_value (value), utc);
  if (time == NULL)
    return 0;
  return g_date_time_to_unix (time) * G_USEC_PER_SEC + g_date_time_get_microsecond (time);
}

/* A score is the source's own relevance where it lies in 0..1, after scaling. */
static void
read_score (const Reading *reading, const json_t *item, RagifyChunk *chunk)
{
  const json_t *value = find (reading, FIELD_SCORE, item);
  if (!json_is_number (value))
    return;
  const double score = json_number_value (value) / reading->mapping->score_scale;
  if (!isfinite (score))
    return;
  chunk->score = score;
  if (score >= 0 && score <= 1)
    chunk->flags |= RAGIFY_CHUNK_SCORED;
}

static void
take_item (Reading *reading, const json_t *item)
{
  const RagifyStr content = copy_text (reading, FIELD_CONTENT, item);
  if (content.size == 0) {
    reading->unusable++;
    return;
  }
  RagifyChunk *chunk = &reading->chunks[reading->count++];
  *chunk = (RagifyChunk){
    .struct_size = sizeof *chunk,
    .document_id = copy_text (reading, FIELD_ID, item),
    .content = content,
    .title = copy_text (reading, FIELD_TITLE, item),
    .uri = copy_text (reading, FIELD_URI, item),
    .metadata = copy_metadata (reading, item),
    .created_at = read_time (reading, FIELD_CREATED, item),
    .updated_at = read_time (reading, FIELD_UPDATED, item),
  };
  read_score (reading, item, chunk);
}

/* ---- answers ---- */

static gboolean fail (const Reading *reading, const char *format, ...) G_GNUC_PRINTF (2, 3);

static gboolean
fail (const Reading *reading, const char *format, ...)
{
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *text = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  return ragify_fault_set (reading->fault, RAGIFY_E_INTERNAL, "%s", text);
}

static json_t *
parse (const char *text, gsize size, json_error_t *error)
{
  guint values = 1;
  for (gsize i = 0; i < size; i++)
    values += text[i] == ',' || text[i] == '[' || text[i] == '{';
  if (values > MOST_VALUES) {
    g_snprintf (error->text, sizeof error->text, "more than %u values", MOST_VALUES);
    return NULL;
  }
  return json_loadb (text, size, JSON_ALLOW_NUL, error);
}

static const json_t *
find_results (const Reading *reading, const json_t *root)
{
  static const char *const usual[] = { "/results", "/items", "/chunks", "/documents", "/hits", "/data", "/hits/hits" };
  if (reading->mapping->results != NULL)
    return ragify_json_pointer_get (root, reading->mapping->results);
  if (json_is_array (root))
    return root;
  for (guint i = 0; i < G_N_ELEMENTS (usual); i++) {
    const json_t *found = ragify_json_pointer_get (root, usual[i]);
    if (json_is_array (found))
      return found;
  }
  return NULL;
}

/* The names of an object's members, for a person who looks for the right pointer. */
static char *
members_of (const json_t *object)
{
  GString *names = g_string_new (NULL);
  const char *name;
  json_t *value;
  json_object_foreach ((json_t *)object, name, value)
  {
    if (names->len > 100)
      break;
    g_string_append_printf (names, "%s%.40s", names->len > 0 ? ", " : "", name);
  }
  return g_string_free (names, FALSE);
}

static gboolean
read_document (Reading *reading, const char *text, gsize size, const json_t **first, json_t **tree)
{
  json_error_t error = { .line = 0 };
  json_t *root = *tree = parse (text, size, &error);
  if (root == NULL)
    return fail (reading, "the answer is no JSON that can be read: %s", error.text);
  const json_t *results = find_results (reading, root);
  if (!json_is_array (results)) {
    g_autofree char *names = members_of (root);
    return fail (reading, "the answer has no list at `results-pointer` (%s); it has: %s",
                 reading->mapping->results != NULL ? reading->mapping->results : "none is set", names);
  }
  *first = json_array_get (results, 0);
  for (gsize i = 0; i < json_array_size (results) && reading->count < reading->limit; i++)
    take_item (reading, json_array_get (results, i));
  return TRUE;
}

static gboolean
read_lines (Reading *reading, const char *text, gsize size)
{
  for (const char *line = text, *end = text + size; line < end && reading->count < reading->limit;) {
    const char *stop = memchr (line, '\n', (gsize)(end - line));
    const gsize length = (gsize)((stop != NULL ? stop : end) - line);
    if (length > 1 || (length == 1 && line[0] != '\r')) {
      json_error_t error = { .line = 0 };
      json_t *item = parse (line, length, &error);
      if (item != NULL)
        take_item (reading, item);
      else
        reading->unusable++;
      json_decref (item);
    }
    line += length + 1;
  }
  return TRUE;
}

/* Nothing of much could be used: then it is the description that is wrong. */
static gboolean
check_use (Reading *reading, const json_t *first)
{
  if (reading->exhausted)
    return ragify_fault_set (reading->fault, RAGIFY_E_EXHAUSTED, "the call's memory limit is reached");
  if (reading->count > 0 || reading->unusable == 0)
    return TRUE;
  g_autofree char *names = members_of (first);
  g_autoptr (GString) pointers = g_string_new (NULL);
  const GArray *places = reading->mapping->fields[FIELD_CONTENT];
  for (guint i = 0; i < places->len; i++)
    g_string_append_printf (pointers, "%s%s", i > 0 ? "; " : "", g_array_index (places, Place, i).pointer);
  return fail (reading, "none of %u results has a text at `content-pointer` (%s); the first has: %s", reading->unusable,
               pointers->str, names);
}

gboolean
http_mapping_read (const HttpMapping *mapping, const RagifyHost *host, RagifyCall *call, RagifyBytes answer,
                   guint limit, RagifyChunkList *chunks, guint *unusable, RagifyFault *fault)
{
  Reading reading = { .mapping = mapping,
                      .host = host,
                      .call = call,
                      .limit = limit,
                      .fault = fault,
                      .piece = MIN (answer.size, MOST_ROOM) };
  /* An item takes at least three bytes of the answer, so this is never more than a multiple of it. */
  const gsize room = MIN (limit, answer.size / 3 + 1);
  reading.limit = (guint)room;
  reading.chunks = host->call_alloc (call, room * sizeof *reading.chunks);
  if (reading.chunks == NULL)
    return ragify_fault_set (fault, RAGIFY_E_EXHAUSTED, "the call's memory limit is reached");
  const json_t *first = NULL;
  json_t *tree = NULL;
  const char *text = (const char *)answer.data;
  gboolean well = mapping->lines ? read_lines (&reading, text, answer.size)
                                 : read_document (&reading, text, answer.size, &first, &tree);
  well = well && check_use (&reading, first);
  json_decref (tree);
  if (!well)
    return FALSE;
  *unusable = reading.unusable;
  *chunks = (RagifyChunkList){ .items = reading.chunks, .count = reading.count, .stride = sizeof *reading.chunks };
  return TRUE;
}
