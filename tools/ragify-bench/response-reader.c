#include "response-reader.h"

#include <string.h>

enum {
  HEAD_LIMIT = 16 * 1024,
  CHUNK_LINE_LIMIT = 256,
};

typedef enum {
  PART_HEAD,
  PART_BODY,       /* remaining bytes of a body or of a chunk's data */
  PART_CHUNK_SIZE, /* the line with a chunk's size */
  PART_CHUNK_END,  /* the line end behind a chunk's data */
  PART_TRAILER,    /* lines behind the last chunk, up to an empty one */
  PART_DONE,
  PART_BAD,
} Part;

struct _RagifyResponseReader {
  RagifyResponseBody body;
  gpointer user_data;
  Part part;
  const char *problem;
  guint status;
  gboolean keep_alive;
  gboolean chunked;
  gboolean has_length;
  guint64 remaining;
  guint64 body_length;
  gsize head_length;
  gsize line_length; /* of a chunk's size line or a trailer line in `head` */
  char head[HEAD_LIMIT];
};

RagifyResponseReader *
ragify_response_reader_new (RagifyResponseBody body, gpointer user_data)
{
  RagifyResponseReader *reader = g_malloc (sizeof *reader);
  reader->body = body;
  reader->user_data = user_data;
  ragify_response_reader_reset (reader);
  return reader;
}

void
ragify_response_reader_free (RagifyResponseReader *reader)
{
  g_free (reader);
}

void
ragify_response_reader_reset (RagifyResponseReader *reader)
{
  reader->part = PART_HEAD;
  reader->problem = NULL;
  reader->status = 0;
  reader->keep_alive = TRUE;
  reader->chunked = FALSE;
  reader->has_length = FALSE;
  reader->remaining = 0;
  reader->body_length = 0;
  reader->head_length = 0;
  reader->line_length = 0;
}

static gboolean
refuse (RagifyResponseReader *reader, const char *problem)
{
  reader->part = PART_BAD;
  reader->problem = problem;
  return FALSE;
}

static gboolean
is_token (const char *text, gsize length)
{
  for (gsize i = 0; i < length; i++)
    if (!g_ascii_isalnum (text[i]) && (text[i] == '\0' || strchr ("!#$%&'*+-.^_`|~", text[i]) == NULL))
      return FALSE;
  return length > 0;
}

static gboolean
equals (const char *text, gsize length, const char *word)
{
  return length == strlen (word) && g_ascii_strncasecmp (text, word, length) == 0;
}

/* "HTTP/1.1 200 OK" */
static gboolean
read_status_line (RagifyResponseReader *reader, const char *line, gsize length)
{
  if (length < 12 || memcmp (line, "HTTP/1.1 ", 9) != 0)
    return refuse (reader, "the answer does not start with HTTP/1.1");
  for (gsize i = 9; i < 12; i++)
    if (!g_ascii_isdigit (line[i]))
      return refuse (reader, "the status is not three digits");
  if (length > 12 && line[12] != ' ')
    return refuse (reader, "the status is not three digits");
  reader->status = (guint)((line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0'));
  return reader->status >= 100 || refuse (reader, "the status is below 100");
}

static gboolean
read_length (RagifyResponseReader *reader, const char *value, gsize length)
{
  guint64 number = 0;
  if (reader->has_length)
    return refuse (reader, "several Content-Length fields");
  if (length == 0 || length > 18)
    return refuse (reader, "Content-Length is not a number that fits");
  for (gsize i = 0; i < length; i++) {
    if (!g_ascii_isdigit (value[i]))
      return refuse (reader, "Content-Length is not a number that fits");
    number = number * 10 + (guint64)(value[i] - '0');
  }
  reader->has_length = TRUE;
  reader->remaining = number;
  return TRUE;
}

static gboolean
read_field (RagifyResponseReader *reader, const char *line, gsize length)
{
  const char *colon = memchr (line, ':', length);
  gsize name_length = colon != NULL ? (gsize)(colon - line) : 0;
  if (colon == NULL || !is_token (line, name_length))
    return refuse (reader, "a header field without a proper name");

  const char *value = colon + 1;
  gsize value_length = length - name_length - 1;
  while (value_length > 0 && (*value == ' ' || *value == '\t')) {
    value++;
    value_length--;
  }
  while (value_length > 0 && (value[value_length - 1] == ' ' || value[value_length - 1] == '\t'))
    value_length--;

  if (equals (line, name_length, "content-length"))
    return read_length (reader, value, value_length);
  if (equals (line, name_length, "transfer-encoding")) {
    if (reader->chunked || !equals (value, value_length, "chunked"))
      return refuse (reader, "a transfer coding other than chunked");
    reader->chunked = TRUE;
  }
  if (equals (line, name_length, "connection") && equals (value, value_length, "close"))
    reader->keep_alive = FALSE;
  return TRUE;
}

/* The head is complete in reader->head, up to and with its empty line. */
static gboolean
read_head (RagifyResponseReader *reader)
{
  const char *line = reader->head;
  const char *end = reader->head + reader->head_length - 2;
  for (gboolean first = TRUE; line < end; first = FALSE) {
    const char *next = memchr (line, '\n', (gsize)(end - line));
    if (next == NULL || next == line || next[-1] != '\r')
      return refuse (reader, "a line that does not end with CR LF");
    gsize length = (gsize)(next - 1 - line);
    if (memchr (line, '\r', length) != NULL || memchr (line, '\0', length) != NULL)
      return refuse (reader, "a control character in the head");
    if (first ? !read_status_line (reader, line, length) : !read_field (reader, line, length))
      return FALSE;
    line = next + 1;
  }
  return TRUE;
}

/* Decides what follows the head. */
static void
start_body (RagifyResponseReader *reader)
{
  if (reader->status < 200) {
    ragify_response_reader_reset (reader);
    return;
  }
  if (reader->chunked && reader->has_length)
    refuse (reader, "Content-Length together with Transfer-Encoding");
  else if (reader->status == 204 || reader->status == 304)
    reader->part = PART_DONE;
  else if (reader->chunked)
    reader->part = PART_CHUNK_SIZE;
  else if (!reader->has_length)
    refuse (reader, "neither Content-Length nor chunks: only closing would end the body");
  else
    reader->part = reader->remaining > 0 ? PART_BODY : PART_DONE;
}

/* Takes bytes of the head, up to its end. */
static gsize
feed_head (RagifyResponseReader *reader, const char *bytes, gsize length)
{
  gsize before = reader->head_length;
  gsize taken = MIN (length, HEAD_LIMIT - before);
  /* Mostly the whole head is in the first piece, with much of the body behind it that is not worth a copy. */
  const char *end = before == 0 ? memmem (bytes, taken, "\r\n\r\n", 4) : NULL;
  if (end != NULL)
    taken = (gsize)(end - bytes) + 4;
  memcpy (reader->head + before, bytes, taken);
  /* The empty line may have started in an earlier piece. */
  gsize from = before >= 3 ? before - 3 : 0;
  end = memmem (reader->head + from, before + taken - from, "\r\n\r\n", 4);
  if (end == NULL) {
    reader->head_length = before + taken;
    if (reader->head_length == HEAD_LIMIT)
      refuse (reader, "a head of more than 16 KiB");
    else if (reader->head[0] != 'H')
      refuse (reader, "the answer does not start with HTTP/1.1");
    return taken;
  }
  reader->head_length = (gsize)(end - reader->head) + 4;
  taken = reader->head_length - before;
  if (read_head (reader))
    start_body (reader);
  return taken;
}

static gsize
feed_body (RagifyResponseReader *reader, const char *bytes, gsize length)
{
  gsize taken = (gsize)MIN ((guint64)length, reader->remaining);
  if (reader->body != NULL)
    reader->body (bytes, taken, reader->user_data);
  reader->body_length += taken;
  reader->remaining -= taken;
  if (reader->remaining == 0)
    reader->part = reader->chunked ? PART_CHUNK_END : PART_DONE;
  return taken;
}

/* Collects one line in `head`. Returns how many bytes it took; *complete when the line (without CR LF) is there. */
static gsize
feed_line (RagifyResponseReader *reader, const char *bytes, gsize length, gboolean *complete)
{
  const char *newline = memchr (bytes, '\n', length);
  gsize taken = newline != NULL ? (gsize)(newline - bytes) + 1 : length;
  *complete = FALSE;
  if (reader->line_length + taken > CHUNK_LINE_LIMIT) {
    refuse (reader, "a line of more than 256 bytes between chunks");
    return taken;
  }
  memcpy (reader->head + reader->line_length, bytes, taken);
  reader->line_length += taken;
  if (newline == NULL)
    return taken;
  if (reader->line_length < 2 || reader->head[reader->line_length - 2] != '\r') {
    refuse (reader, "a line that does not end with CR LF");
    return taken;
  }
  reader->line_length -= 2;
  *complete = TRUE;
  return taken;
}

/* "1f" or "1f;name=value" */
static void
read_chunk_size (RagifyResponseReader *reader)
{
  guint64 size = 0;
  gsize digits = 0;
  while (digits < reader->line_length && g_ascii_isxdigit (reader->head[digits]))
    size = size * 16 + (guint64)g_ascii_xdigit_value (reader->head[digits++]);
  if (digits == 0 || digits > 15 || (digits < reader->line_length && reader->head[digits] != ';')) {
    refuse (reader, "a chunk's size is not a hexadecimal number that fits");
    return;
  }
  reader->remaining = size;
  reader->part = size > 0 ? PART_BODY : PART_TRAILER;
}

static gsize
feed_between_chunks (RagifyResponseReader *reader, const char *bytes, gsize length)
{
  gboolean complete = FALSE;
  gsize taken = feed_line (reader, bytes, length, &complete);
  if (!complete)
    return taken;
  if (reader->part == PART_CHUNK_SIZE)
    read_chunk_size (reader);
  else if (reader->part == PART_TRAILER)
    reader->part = reader->line_length == 0 ? PART_DONE : PART_TRAILER;
  else if (reader->line_length == 0)
    reader->part = PART_CHUNK_SIZE;
  else
    refuse (reader, "a chunk is longer than its size says");
  reader->line_length = 0;
  return taken;
}

RagifyResponseState
ragify_response_reader_feed (RagifyResponseReader *reader, const char *bytes, gsize length, gsize *consumed)
{
  gsize done = 0;
  while (done < length && reader->part < PART_DONE) {
    if (reader->part == PART_HEAD)
      done += feed_head (reader, bytes + done, length - done);
    else if (reader->part == PART_BODY)
      done += feed_body (reader, bytes + done, length - done);
    else
      done += feed_between_chunks (reader, bytes + done, length - done);
  }
  *consumed = done;
  if (reader->part == PART_BAD)
    return RAGIFY_RESPONSE_BAD;
  return reader->part == PART_DONE ? RAGIFY_RESPONSE_DONE : RAGIFY_RESPONSE_MORE;
}

guint
ragify_response_reader_get_status (const RagifyResponseReader *reader)
{
  return reader->status;
}

guint64
ragify_response_reader_get_body_length (const RagifyResponseReader *reader)
{
  return reader->body_length;
}

gboolean
ragify_response_reader_keeps_alive (const RagifyResponseReader *reader)
{
  return reader->keep_alive;
}

gboolean
ragify_response_reader_is_untouched (const RagifyResponseReader *reader)
{
  return reader->part == PART_HEAD && reader->head_length == 0;
}

const char *
ragify_response_reader_get_problem (const RagifyResponseReader *reader)
{
  return reader->problem;
}
