#include "csv-records.h"

#include "record-stream.h"

#include <string.h>

#define PIECE 65536
#define MOST_COLUMNS 10000u

typedef struct CsvRecords {
  const CsvRecordsOptions *options;
  RagifyPieces *pieces;
  char delimiter;
  GPtrArray *names; /* of columns; NULL: not known yet */
  GPtrArray *cells; /* of the record under way; char * */
  GString *cell;
  gboolean quoted, after_quote, begun, bad, too_long, nul, return_before;
  gsize size; /* of the record under way, bytes */
  guint64 line, began;
} CsvRecords;

/* What is no UTF-8 is in the other encoding. */
static char *
valid_text (const CsvRecords *it, const GString *cell)
{
  if (g_utf8_validate_len (cell->str, cell->len, NULL))
    return g_strndup (cell->str, cell->len);
  char *converted = g_convert (cell->str, (gssize)cell->len, "UTF-8", it->options->encoding, NULL, NULL, NULL);
  if (converted != NULL && g_utf8_validate (converted, -1, NULL))
    return converted;
  g_free (converted);
  return g_utf8_make_valid (cell->str, (gssize)cell->len);
}

static void
end_cell (CsvRecords *it)
{
  if (it->cells->len < MOST_COLUMNS)
    g_ptr_array_add (it->cells, valid_text (it, it->cell));
  else
    it->bad = TRUE;
  g_string_truncate (it->cell, 0);
  it->quoted = it->after_quote = FALSE;
}

/* ---- records ---- */

static json_t *
record_of (const CsvRecords *it)
{
  json_t *record = json_object ();
  for (guint i = 0; i < it->cells->len; i++) {
    g_autofree char *number = g_strdup_printf ("%u", i + 1);
    const char *name = it->names != NULL ? g_ptr_array_index (it->names, i) : number;
    const char *text = g_ptr_array_index (it->cells, i);
    if (*text != '\0')
      json_object_set_new (record, name, json_string (text));
  }
  return record;
}

static gboolean
has_name (const GPtrArray *names, const char *name)
{
  for (guint i = 0; i < names->len; i++)
    if (strcmp (g_ptr_array_index (names, i), name) == 0)
      return TRUE;
  return FALSE;
}

/* A column without a name is called by its number; one whose name is there already has its number behind it. */
static void
take_names (CsvRecords *it)
{
  it->names = g_ptr_array_new_with_free_func (g_free);
  for (guint i = 0; i < it->cells->len; i++) {
    g_autofree char *name = g_strstrip (g_strdup (g_ptr_array_index (it->cells, i)));
    if (*name == '\0')
      g_ptr_array_add (it->names, g_strdup_printf ("%u", i + 1));
    else if (has_name (it->names, name))
      g_ptr_array_add (it->names, g_strdup_printf ("%s %u", name, i + 1));
    else
      g_ptr_array_add (it->names, g_steal_pointer (&name));
  }
}

static void
give_record (CsvRecords *it)
{
  g_autofree char *reason = NULL;
  if (it->too_long)
    reason = g_strdup ("is longer than max-record");
  else if (it->nul)
    reason = g_strdup ("has a NUL in it");
  else if (it->bad)
    reason = g_strdup ("has text behind a closing quote, or too many columns");
  else if (it->names != NULL && it->cells->len > it->names->len)
    reason = g_strdup_printf ("has %u columns, and the header %u", it->cells->len, it->names->len);
  if (reason != NULL) {
    record_text_leave_out (it->pieces, it->began, reason);
    return;
  }
  if (it->options->header && it->names == NULL) {
    take_names (it);
    return;
  }
  json_t *record = record_of (it);
  record_text_give (it->options->fields, record, it->began, it->pieces);
  json_decref (record);
}

static void
end_record (CsvRecords *it)
{
  if (it->begun) {
    end_cell (it);
    const gboolean blank = it->cells->len == 1 && *(const char *)g_ptr_array_index (it->cells, 0) == '\0';
    if (!blank)
      give_record (it);
  }
  g_ptr_array_set_size (it->cells, 0);
  it->begun = it->bad = it->too_long = it->nul = FALSE;
  it->size = 0;
}

/* ---- bytes ---- */

static void
keep (CsvRecords *it, char byte)
{
  it->nul = it->nul || byte == '\0';
  if (it->size++ < it->options->max_record)
    g_string_append_c (it->cell, byte);
  else
    it->too_long = TRUE;
}

static void
take_quoted (CsvRecords *it, char byte)
{
  if (byte == '"')
    it->after_quote = TRUE;
  else if (it->too_long && byte == '\n')
    end_record (it); /* a quote that nobody closed: what follows may be well again */
  else
    keep (it, byte);
}

static void
take_byte (CsvRecords *it, char byte)
{
  const gboolean second = byte == '\n' && it->return_before;
  it->return_before = byte == '\r';
  if (second && !it->begun)
    return; /* the rest of a line's end */
  if (it->quoted && !it->after_quote) {
    take_quoted (it, byte);
    return;
  }
  if (!it->begun)
    it->began = it->line;
  if (it->after_quote && byte == '"') { /* two of them mean one */
    it->after_quote = FALSE;
    keep (it, byte);
  } else if (byte == '\n' || byte == '\r') {
    end_record (it);
  } else if (byte == it->delimiter) {
    it->begun = TRUE;
    end_cell (it);
  } else if (byte == '"' && it->cell->len == 0 && !it->after_quote) {
    it->begun = it->quoted = TRUE;
  } else if (it->after_quote) {
    it->bad = it->bad || (byte != ' ' && byte != '\t');
  } else {
    it->begun = TRUE;
    keep (it, byte);
  }
}

/* The character that most often stands in the first line, outside of quotes. */
static char
find_delimiter (const char *bytes, gsize size)
{
  static const char choices[] = { ',', ';', '\t', '|' };
  guint counts[sizeof choices] = { 0 };
  gboolean quoted = FALSE;
  for (gsize i = 0; i < size && (quoted || (bytes[i] != '\n' && bytes[i] != '\r')); i++) {
    quoted = quoted != (bytes[i] == '"');
    for (gsize k = 0; k < sizeof choices; k++)
      counts[k] += !quoted && bytes[i] == choices[k];
  }
  gsize best = 0;
  for (gsize k = 1; k < sizeof choices; k++)
    best = counts[k] > counts[best] ? k : best;
  return choices[best];
}

static gboolean
read_stream (CsvRecords *it, RagifyStream *stream, RagifyFault *fault)
{
  g_autofree char *bytes = g_malloc (PIECE);
  g_autoptr (RecordStream) text = record_stream_new (it->pieces->host, stream);
  for (;;) {
    const gint64 got = record_stream_read (text, bytes, PIECE);
    if (got < 0)
      return ragify_fault_set (fault, (gint32)-got, "the file cannot be read to its end");
    if (got == 0 || it->pieces->stopped)
      return TRUE;
    if (it->delimiter == '\0')
      it->delimiter = find_delimiter (bytes, (gsize)got);
    for (gint64 i = 0; i < got && !it->pieces->stopped; i++) {
      take_byte (it, bytes[i]);
      it->line += bytes[i] == '\n';
    }
  }
}

gboolean
csv_records_give (const CsvRecordsOptions *options, RagifyStream *stream, RagifyPieces *pieces, RagifyFault *fault)
{
  g_autoptr (GString) cell = g_string_new (NULL);
  g_autoptr (GPtrArray) cells = g_ptr_array_new_with_free_func (g_free);
  CsvRecords it = {
    .options = options, .pieces = pieces, .delimiter = options->delimiter, .cells = cells, .cell = cell, .line = 1
  };
  const gboolean well = read_stream (&it, stream, fault);
  if (well && it.quoted && !it.after_quote && !pieces->stopped)
    record_text_leave_out (pieces, it.began, "has a quote that is never closed");
  else if (well && !pieces->stopped)
    end_record (&it);
  g_clear_pointer (&it.names, g_ptr_array_unref);
  return well;
}
