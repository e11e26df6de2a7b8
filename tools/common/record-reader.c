#include "record-reader.h"

#include "json-writer.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
  READ_SIZE = 256 * 1024,
  LINE_LIMIT = 64 * 1024 * 1024,
};

struct _RagifyRecordReader {
  char *path;
  int fd;
  gint64 size; /* −1 when unknown */
  gint64 consumed;
  GByteArray *pending; /* bytes read and not yet handed out, from offset on */
  gsize offset;
  guint64 line;
  gboolean ended;
};

RagifyRecord *
ragify_record_new (const char *id, const char *content)
{
  RagifyRecord *record = g_new0 (RagifyRecord, 1);
  record->id = g_strdup (id);
  record->content = g_strdup (content);
  return record;
}

void
ragify_record_free (RagifyRecord *record)
{
  if (record == NULL)
    return;
  g_free (record->id);
  g_free (record->content);
  g_free (record->title);
  g_free (record->uri);
  json_decref (record->metadata);
  g_free (record);
}

static char *
read_id (const json_t *object)
{
  const json_t *id = json_object_get (object, "_id");
  if (id == NULL)
    id = json_object_get (object, "id");
  if (json_is_integer (id))
    return g_strdup_printf ("%" G_GINT64_FORMAT, (gint64)json_integer_value (id));
  if (!json_is_string (id) || json_string_length (id) == 0)
    return NULL;
  return g_strdup (json_string_value (id));
}

static char *
read_content (const json_t *object, const char *title)
{
  const char *content = ragify_json_get_string (object, "content");
  if (content != NULL)
    return g_strdup (content);

  const char *text = ragify_json_get_string (object, "text");
  if (text == NULL || title == NULL || *title == '\0')
    return g_strdup (text);
  return *text == '\0' ? g_strdup (title) : g_strdup_printf ("%s\n%s", title, text);
}

RagifyRecord *
ragify_record_parse (const char *line, gsize length, GError **error)
{
  g_autoptr (GError) reason = NULL;
  g_autoptr (RagifyJson) object = ragify_json_parse (line, length, &reason);
  if (!json_is_object (object)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "expected a JSON object%s%s", reason != NULL ? ": " : "",
                 reason != NULL ? reason->message : "");
    return NULL;
  }
  g_autofree char *id = read_id (object);
  if (id == NULL) {
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                         "expected a member '_id' or 'id', a string or an integer");
    return NULL;
  }
  const char *title = ragify_json_get_string (object, "title");
  g_autofree char *content = read_content (object, title);
  if (content == NULL) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 "document '%s': expected a string member 'content' or 'text'", id);
    return NULL;
  }
  const char *uri = ragify_json_get_string (object, "uri");
  json_t *metadata = json_object_get (object, "metadata");

  RagifyRecord *record = g_new0 (RagifyRecord, 1);
  record->id = g_steal_pointer (&id);
  record->content = g_steal_pointer (&content);
  record->title = title != NULL && *title != '\0' ? g_strdup (title) : NULL;
  record->uri = g_strdup (uri != NULL ? uri : ragify_json_get_string (object, "url"));
  record->metadata = json_is_object (metadata) && json_object_size (metadata) > 0 ? json_incref (metadata) : NULL;
  return record;
}

char *
ragify_record_to_line (const RagifyRecord *record)
{
  g_autoptr (RagifyJsonWriter) writer = ragify_json_writer_new ();
  ragify_json_writer_begin_object (writer, NULL);
  ragify_json_writer_add_string (writer, "id", record->id);
  if (record->uri != NULL)
    ragify_json_writer_add_string (writer, "uri", record->uri);
  if (record->title != NULL)
    ragify_json_writer_add_string (writer, "title", record->title);
  if (record->metadata != NULL) {
    char *metadata = json_dumps (record->metadata, JSON_COMPACT);
    ragify_json_writer_add_json (writer, "metadata", metadata);
    free (metadata);
  }
  ragify_json_writer_add_string (writer, "content", record->content);
  ragify_json_writer_end_object (writer);
  g_autofree char *text = ragify_json_writer_text (writer, FALSE);
  return g_strconcat (text, "\n", NULL);
}

RagifyRecordReader *
ragify_record_reader_open (const char *path, GError **error)
{
  gboolean standard_input = strcmp (path, "-") == 0;
  int fd = standard_input ? dup (STDIN_FILENO) : open (path, O_RDONLY | O_CLOEXEC);
  struct stat status;

  if (fd < 0 || fstat (fd, &status) < 0 || S_ISDIR (status.st_mode)) {
    int reason = fd < 0 || errno == EBADF ? errno : EISDIR;
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (reason), "cannot read %s: %s", path, g_strerror (reason));
    if (fd >= 0)
      close (fd);
    return NULL;
  }
  RagifyRecordReader *reader = g_new0 (RagifyRecordReader, 1);
  reader->path = g_strdup (standard_input ? "standard input" : path);
  reader->fd = fd;
  reader->size = S_ISREG (status.st_mode) ? status.st_size : -1;
  reader->pending = g_byte_array_new ();
  return reader;
}

void
ragify_record_reader_close (RagifyRecordReader *reader)
{
  if (reader == NULL)
    return;
  close (reader->fd);
  g_byte_array_unref (reader->pending);
  g_free (reader->path);
  g_free (reader);
}

/* Reads more of the input behind what is pending. Returns FALSE with error set when it cannot. */
static gboolean
fill (RagifyRecordReader *reader, GError **error)
{
  if (reader->offset > 0) {
    g_byte_array_remove_range (reader->pending, 0, (guint)reader->offset);
    reader->offset = 0;
  }
  guint length = reader->pending->len;
  g_byte_array_set_size (reader->pending, length + READ_SIZE);
  gssize count;
  do
    count = read (reader->fd, reader->pending->data + length, READ_SIZE);
  while (count < 0 && errno == EINTR);

  int reason = errno;
  g_byte_array_set_size (reader->pending, length + (count > 0 ? (guint)count : 0));
  if (count < 0) {
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (reason), "cannot read %s: %s", reader->path,
                 g_strerror (reason));
    return FALSE;
  }
  reader->ended = count == 0;
  return TRUE;
}

/* Finds the next line in what is pending and reads more until there is one. *length is −1 at the end of the input. */
static gboolean
next_line (RagifyRecordReader *reader, const char **line, gssize *length, GError **error)
{
  gsize searched = 0;
  for (;;) {
    const char *start = (const char *)reader->pending->data + reader->offset;
    gsize available = reader->pending->len - reader->offset;
    const char *end = available > searched ? memchr (start + searched, '\n', available - searched) : NULL;
    if (end != NULL || (reader->ended && available > 0)) {
      gsize taken = end != NULL ? (gsize)(end - start) : available;
      *line = start;
      *length = (gssize)taken;
      reader->offset += taken + (end != NULL ? 1 : 0);
      reader->consumed += (gint64)taken + (end != NULL ? 1 : 0);
      reader->line++;
      return TRUE;
    }
    if (reader->ended) {
      *length = -1;
      return TRUE;
    }
    if (available > LINE_LIMIT) {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%s:%" G_GUINT64_FORMAT ": a line of more than %d MiB",
                   reader->path, reader->line + 1, LINE_LIMIT >> 20);
      return FALSE;
    }
    searched = available;
    if (!fill (reader, error))
      return FALSE;
  }
}

static gboolean
is_blank (const char *line, gsize length)
{
  for (gsize i = 0; i < length; i++)
    if (!g_ascii_isspace (line[i]))
      return FALSE;
  return TRUE;
}

RagifyRecordResult
ragify_record_reader_next (RagifyRecordReader *reader, RagifyRecord **record, GError **error)
{
  const char *line = NULL;
  gssize length = 0;
  do {
    if (!next_line (reader, &line, &length, error))
      return RAGIFY_RECORD_FAILED;
    if (length < 0)
      return RAGIFY_RECORD_END;
  } while (is_blank (line, (gsize)length));

  g_autoptr (GError) reason = NULL;
  RagifyRecord *read = ragify_record_parse (line, (gsize)length, &reason);
  if (read == NULL) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%s:%" G_GUINT64_FORMAT ": %s", reader->path, reader->line,
                 reason->message);
    return RAGIFY_RECORD_BAD;
  }
  *record = read;
  return RAGIFY_RECORD_READ;
}

double
ragify_record_reader_get_fraction (const RagifyRecordReader *reader)
{
  if (reader->size <= 0)
    return -1;
  return MIN (1.0, (double)reader->consumed / (double)reader->size);
}
