#include "record-stream.h"

#include <errno.h>
#include <string.h>

#define PIECE 65536
#define LONGEST_MARK 4
#define REPLACEMENT "\xef\xbf\xbd"

struct RecordStream {
  const RagifyHost *host;
  RagifyStream *stream;
  GIConv converter; /* (GIConv) −1: none */
  gsize unit;       /* bytes of one unit of the encoding */
  gboolean begun, ended;
  gsize kept; /* bytes in `raw` that nobody has had yet */
  char raw[PIECE];
};

RecordStream *
record_stream_new (const RagifyHost *host, RagifyStream *stream)
{
  RecordStream *it = g_new (RecordStream, 1);
  it->host = host;
  it->stream = stream;
  it->converter = (GIConv)-1;
  it->unit = 1;
  it->begun = it->ended = FALSE;
  it->kept = 0;
  return it;
}

void
record_stream_free (RecordStream *it)
{
  if (it->converter != (GIConv)-1)
    g_iconv_close (it->converter);
  g_free (it);
}

/* More of the file, behind what is kept. A negative error code, or 0. */
static gint64
fill (RecordStream *it)
{
  const gint64 got = it->host->stream_read (it->stream, (uint8_t *)it->raw + it->kept, PIECE - it->kept);
  it->ended = got == 0;
  it->kept += got > 0 ? (gsize)got : 0;
  return MIN (got, 0);
}

static void
take_off (RecordStream *it, gsize size)
{
  it->kept -= size;
  memmove (it->raw, it->raw + size, it->kept);
}

static void
find_mark (RecordStream *it)
{
  static const struct {
    const char *mark;
    gsize size, unit;
    const char *encoding; /* NULL: UTF-8 */
  } marks[] = { { "\xef\xbb\xbf", 3, 1, NULL },
                { "\xff\xfe\0\0", 4, 4, "UTF-32LE" },
                { "\0\0\xfe\xff", 4, 4, "UTF-32BE" },
                { "\xff\xfe", 2, 2, "UTF-16LE" },
                { "\xfe\xff", 2, 2, "UTF-16BE" } };
  for (guint i = 0; i < G_N_ELEMENTS (marks); i++) {
    if (it->kept < marks[i].size || memcmp (it->raw, marks[i].mark, marks[i].size) != 0)
      continue;
    take_off (it, marks[i].size);
    it->unit = marks[i].unit;
    it->converter = marks[i].encoding != NULL ? g_iconv_open ("UTF-8", marks[i].encoding) : (GIConv)-1;
    return;
  }
}

/* As much of what is kept as there is room for. */
static gsize
convert (RecordStream *it, char *bytes, gsize capacity)
{
  char *in = it->raw, *out = bytes;
  gsize in_left = it->kept, out_left = capacity;
  while (in_left > 0 && out_left >= LONGEST_MARK) {
    errno = 0;
    g_iconv (it->converter, &in, &in_left, &out, &out_left);
    const int reason = errno;
    if (in_left == 0 || reason == E2BIG || (reason == EINVAL && !it->ended) || out_left < LONGEST_MARK)
      break;
    memcpy (out, REPLACEMENT, strlen (REPLACEMENT)); /* no character, or half of one at the end */
    out += strlen (REPLACEMENT);
    out_left -= strlen (REPLACEMENT);
    in += MIN (it->unit, in_left);
    in_left -= MIN (it->unit, in_left);
  }
  take_off (it, it->kept - in_left);
  return capacity - out_left;
}

static gsize
hand_over (RecordStream *it, char *bytes, gsize capacity)
{
  if (it->converter != (GIConv)-1)
    return convert (it, bytes, capacity);
  const gsize size = MIN (it->kept, capacity);
  memcpy (bytes, it->raw, size);
  take_off (it, size);
  return size;
}

gint64
record_stream_read (RecordStream *it, char *bytes, gsize capacity)
{
  for (;;) {
    const gboolean wants = it->kept == 0 || it->begun || it->kept < LONGEST_MARK;
    const gint64 failure = wants && !it->ended && it->kept < PIECE ? fill (it) : 0;
    if (failure < 0)
      return failure;
    if (!it->begun && !it->ended && it->kept < LONGEST_MARK)
      continue;
    if (!it->begun)
      find_mark (it);
    it->begun = TRUE;
    const gsize size = hand_over (it, bytes, capacity);
    if (size > 0 || (it->ended && it->kept == 0))
      return (gint64)size;
  }
}
