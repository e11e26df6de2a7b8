/* The bytes are looked at once, to find where values begin and end; each value is then read by Jansson. So a value that
 * is wrong is left out alone, and no more than one is in memory. */
#include "json-records.h"

#include "record-stream.h"

#include <string.h>

#define PIECE 65536

/* Where the next byte stands. */
typedef enum Place {
  BETWEEN, /* before a value, a comma or an end */
  BEFORE_NAME,
  IN_NAME,
  BEFORE_COLON,
  IN_VALUE, /* of a record, or of what is passed over */
} Place;

typedef struct JsonRecords {
  const JsonRecordsOptions *options;
  RagifyPieces *pieces;
  char **path; /* names down to the list */
  guint n_path;
  guint inside; /* of how many objects on the way to the list, each behind one of the names */
  gboolean in_list, found;
  Place place;
  guint depth;                               /* of containers inside the value */
  gboolean quoted, escaped, too_long, taken; /* taken: the value is a record */
  GString *value;                            /* or a name */
  guint64 line, began;                       /* of the byte; of the value */
} JsonRecords;

static gboolean
is_blank (char byte)
{
  return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

/* ---- records ---- */

static void
give_value (JsonRecords *it)
{
  json_error_t error;
  if (it->too_long) {
    record_text_leave_out (it->pieces, it->began, "is longer than max-record");
  } else {
    json_t *record = json_loadb (it->value->str, it->value->len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    g_autofree char *reason = record == NULL ? g_strdup_printf ("is not JSON: %.100s", error.text) : NULL;
    if (record != NULL)
      record_text_give (it->options->fields, record, it->began, it->pieces);
    else
      record_text_leave_out (it->pieces, it->began, reason);
    json_decref (record);
  }
  g_string_truncate (it->value, 0);
  it->too_long = FALSE;
}

static void
keep (JsonRecords *it, char byte)
{
  if (!it->taken)
    return;
  if (it->value->len < it->options->max_record)
    g_string_append_c (it->value, byte);
  else
    it->too_long = TRUE;
}

/* ---- the way to the list ---- */

static Place
next_place (const JsonRecords *it)
{
  return it->inside > 0 && !it->in_list ? BEFORE_NAME : BETWEEN;
}

static gboolean
is_on_path (const JsonRecords *it)
{
  json_t *name = json_loadb (it->value->str, it->value->len, JSON_DECODE_ANY, NULL);
  const gboolean same = json_is_string (name) && strcmp (json_string_value (name), it->path[it->inside - 1]) == 0;
  json_decref (name);
  return same;
}

static void
end_value (JsonRecords *it)
{
  if (it->taken)
    give_value (it);
  it->taken = FALSE;
  it->place = next_place (it);
}

static void
begin_value (JsonRecords *it, char byte, gboolean taken)
{
  it->place = IN_VALUE;
  it->taken = taken;
  it->began = it->line;
  it->depth = byte == '{' || byte == '[';
  it->quoted = byte == '"';
  it->escaped = FALSE;
  g_string_truncate (it->value, 0);
  keep (it, byte);
}

/* A value on the way begins: of the whole, or behind a name that is on the path. */
static void
enter (JsonRecords *it, char byte)
{
  const gboolean there = it->inside == it->n_path;
  it->found = it->found || there;
  if (there && byte == '[') {
    it->in_list = TRUE;
    it->place = BETWEEN;
  } else if (!there && byte == '{') {
    it->inside++;
    it->place = BEFORE_NAME;
  } else {
    begin_value (it, byte, there);
  }
}

/* ---- bytes ---- */

static void
take_between (JsonRecords *it, char byte)
{
  if (is_blank (byte) || byte == ',')
    return;
  if (!it->in_list) {
    enter (it, byte);
  } else if (byte == ']') {
    it->in_list = FALSE;
    it->place = next_place (it);
  } else {
    begin_value (it, byte, TRUE);
  }
}

static void
take_before_name (JsonRecords *it, char byte)
{
  if (byte == '"') {
    it->place = IN_NAME;
    it->escaped = FALSE;
    g_string_assign (it->value, "\"");
  } else if (byte == '}') {
    it->inside--;
    it->place = next_place (it);
  }
}

static void
take_in_name (JsonRecords *it, char byte)
{
  if (it->value->len < it->options->max_record)
    g_string_append_c (it->value, byte);
  if (it->escaped)
    it->escaped = FALSE;
  else if (byte == '\\')
    it->escaped = TRUE;
  else if (byte == '"')
    it->place = BEFORE_COLON;
}

static void
take_before_colon (JsonRecords *it, char byte)
{
  if (is_blank (byte) || byte == ':')
    return;
  if (is_on_path (it))
    enter (it, byte);
  else
    begin_value (it, byte, FALSE);
}

static void take_byte (JsonRecords *it, char byte);

static void
take_quoted (JsonRecords *it, char byte)
{
  keep (it, byte);
  if (it->escaped)
    it->escaped = FALSE;
  else if (byte == '\\')
    it->escaped = TRUE;
  else if (byte == '"')
    it->quoted = FALSE;
  if (!it->quoted && it->depth == 0)
    end_value (it);
}

static void
take_in_value (JsonRecords *it, char byte)
{
  const gboolean open = byte == '{' || byte == '[', close = byte == '}' || byte == ']';
  if (it->depth == 0 && (is_blank (byte) || byte == ',' || close)) { /* a number or a word ends before it */
    end_value (it);
    take_byte (it, byte);
    return;
  }
  keep (it, byte);
  it->quoted = byte == '"';
  it->depth += open ? 1 : 0;
  it->depth -= close ? 1 : 0;
  if (close && it->depth == 0)
    end_value (it);
}

static void
take_byte (JsonRecords *it, char byte)
{
  switch (it->place) {
  case BETWEEN:
    take_between (it, byte);
    break;
  case BEFORE_NAME:
    take_before_name (it, byte);
    break;
  case IN_NAME:
    take_in_name (it, byte);
    break;
  case BEFORE_COLON:
    take_before_colon (it, byte);
    break;
  case IN_VALUE:
    if (it->quoted)
      take_quoted (it, byte);
    else
      take_in_value (it, byte);
    break;
  }
}

/* ---- a record a line ---- */

static void
end_line (JsonRecords *it)
{
  gsize begin = 0;
  while (begin < it->value->len && is_blank (it->value->str[begin]))
    begin++;
  it->began = it->line;
  if (begin < it->value->len || it->too_long)
    give_value (it);
  g_string_truncate (it->value, 0);
}

static void
take_line_byte (JsonRecords *it, char byte)
{
  if (byte == '\n')
    end_line (it);
  else
    keep (it, byte);
}

/* ---- the stream ---- */

static void
take_piece (JsonRecords *it, const char *bytes, gsize size)
{
  for (gsize i = 0; i < size && !it->pieces->stopped; i++) {
    if (it->options->lines)
      take_line_byte (it, bytes[i]);
    else
      take_byte (it, bytes[i]);
    it->line += bytes[i] == '\n';
  }
}

static void
end (JsonRecords *it)
{
  if (it->pieces->stopped)
    return;
  if (it->options->lines)
    end_line (it);
  else if (it->place == IN_VALUE && it->taken && it->depth == 0 && !it->quoted)
    end_value (it);
  else if (it->place != BETWEEN || it->in_list)
    record_text_leave_out (it->pieces, it->place == IN_VALUE ? it->began : it->line, "the file ends in the middle");
}

static gboolean
read_stream (JsonRecords *it, RagifyStream *stream, RagifyFault *fault)
{
  g_autofree char *bytes = g_malloc (PIECE);
  g_autoptr (RecordStream) text = record_stream_new (it->pieces->host, stream);
  for (;;) {
    const gint64 got = record_stream_read (text, bytes, PIECE);
    if (got < 0)
      return ragify_fault_set (fault, (gint32)-got, "the file cannot be read to its end");
    if (got == 0 || it->pieces->stopped)
      return TRUE;
    take_piece (it, bytes, (gsize)got);
  }
}

/* The names that a pointer is made of. */
static char **
path_of (const char *pointer)
{
  char **names = g_strsplit (*pointer == '/' ? pointer + 1 : pointer, "/", -1);
  for (char **name = names; *name != NULL; name++) {
    GString *plain = g_string_new (*name);
    g_string_replace (plain, "~1", "/", 0);
    g_string_replace (plain, "~0", "~", 0);
    g_free (*name);
    *name = g_string_free (plain, FALSE);
  }
  return names;
}

gboolean
json_records_give (const JsonRecordsOptions *options, RagifyStream *stream, RagifyPieces *pieces, RagifyFault *fault)
{
  g_autoptr (GString) value = g_string_new (NULL);
  g_auto (GStrv) path = path_of (options->records);
  JsonRecords it = { .options = options,
                     .pieces = pieces,
                     .path = path,
                     .n_path = g_strv_length (path),
                     .taken = options->lines,
                     .value = value,
                     .line = 1 };
  if (!read_stream (&it, stream, fault))
    return FALSE;
  end (&it);
  if (!it.found && !options->lines && it.n_path > 0 && !pieces->stopped)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "has no list at '%s'", options->records);
  return TRUE;
}
