/* SPDX-License-Identifier: MIT */
#include "core/ingest/text-reader.h"

#include <errno.h>
#include <string.h>
#include <unicode/ucnv.h>
#include <unistd.h>
#include <xxhash.h>

#include "core/ingest/plain-text.h"

#define PIECE (64 * 1024)
#define TELL_EVERY (16 * 1024 * 1024) /* bytes between two questions whether to go on */

struct RagifyTextReader {
  int fd;
  guint64 place;         /* of the next byte in the file */
  UConverter *from, *to; /* NULL: it is UTF-8 */
  UChar pivot[4096];
  UChar *pivot_source, *pivot_target;
  gboolean ended;
  gsize kept; /* bytes in `bytes` that are not converted yet */
  char bytes[PIECE + 8], text[3 * PIECE + 8];
};

/* −1 with errno. */
static gssize
read_at (int fd, char *data, gsize size, guint64 place)
{
  gssize got;
  do
    got = pread (fd, data, size, (off_t)place);
  while (got < 0 && errno == EINTR);
  return got;
}

/* ---- the text ---- */

RagifyTextReader *
ragify_text_reader_new (int fd, const RagifyTextFacts *facts, guint64 begin)
{
  RagifyTextReader *reader = g_new (RagifyTextReader, 1);
  UErrorCode status = U_ZERO_ERROR;
  reader->fd = fd;
  reader->place = facts->mark + begin;
  reader->from = reader->to = NULL;
  reader->ended = FALSE;
  reader->kept = 0;
  reader->pivot_source = reader->pivot_target = reader->pivot;
  if (*facts->encoding != '\0') {
    reader->from = ucnv_open (facts->encoding, &status);
    reader->to = ucnv_open ("UTF-8", &status);
  }
  return reader;
}

void
ragify_text_reader_free (RagifyTextReader *reader)
{
  g_clear_pointer (&reader->from, ucnv_close);
  g_clear_pointer (&reader->to, ucnv_close);
  g_free (reader);
}

/* Leaves a character that is not whole for the next piece. */
static RagifyReading
take_utf8 (RagifyTextReader *reader, gsize size, RagifyStr *piece)
{
  const char *end = NULL;
  const gboolean valid = g_utf8_validate_len (reader->bytes, size, &end);
  const gsize whole = (gsize)(end - reader->bytes);
  if (!valid && (size - whole >= 4 || reader->ended || *end == '\0'))
    return RAGIFY_READING_NO_TEXT;
  memcpy (reader->text, reader->bytes, whole);
  memmove (reader->bytes, reader->bytes + whole, size - whole);
  reader->kept = size - whole;
  *piece = ragify_str (reader->text, whole);
  return RAGIFY_READING_WELL;
}

static RagifyReading
convert (RagifyTextReader *reader, gsize size, RagifyStr *piece)
{
  UErrorCode status = U_ZERO_ERROR;
  char *target = reader->text;
  const char *source = reader->bytes;
  ucnv_convertEx (reader->to, reader->from, &target, reader->text + sizeof reader->text, &source, source + size,
                  reader->pivot, &reader->pivot_source, &reader->pivot_target, reader->pivot + 4096, FALSE,
                  reader->ended, &status);
  if (U_FAILURE (status) && status != U_BUFFER_OVERFLOW_ERROR)
    return RAGIFY_READING_NO_TEXT;
  reader->kept = (gsize)(reader->bytes + size - source);
  memmove (reader->bytes, source, reader->kept);
  *piece = ragify_str (reader->text, (gsize)(target - reader->text));
  return RAGIFY_READING_WELL;
}

RagifyReading
ragify_text_reader_next (RagifyTextReader *reader, RagifyStr *piece)
{
  *piece = ragify_str (NULL, 0);
  while (piece->size == 0 && !(reader->ended && reader->kept == 0)) {
    const gssize got =
        reader->ended ? 0 : read_at (reader->fd, reader->bytes + reader->kept, PIECE - reader->kept, reader->place);
    if (got < 0)
      return RAGIFY_READING_FAILED;
    reader->place += (guint64)got;
    reader->ended = reader->ended || got == 0;
    const gsize size = reader->kept + (gsize)got;
    reader->kept = 0;
    if (size == 0 && reader->from == NULL)
      break;
    const RagifyReading reading =
        reader->from != NULL ? convert (reader, size, piece) : take_utf8 (reader, size, piece);
    if (reading != RAGIFY_READING_WELL)
      return reading;
  }
  return RAGIFY_READING_WELL;
}

/* ---- what it is ---- */

typedef struct Scan {
  int fd;
  RagifyReadingGoesOn goes_on;
  void *user;
  XXH3_state_t *hash;
  guint64 size, asked_at;
  gboolean valid; /* UTF-8 so far */
  gsize kept;     /* bytes of a character that is not whole */
  guint64 odd;    /* control characters */
  gboolean zeros;
  char bytes[PIECE + 8];
} Scan;

static void
look_at_text (Scan *scan, gsize size)
{
  const char *end = NULL;
  gsize skipped = 0;
  while (scan->valid && skipped < size) {
    const gboolean all = g_utf8_validate_len (scan->bytes + skipped, size - skipped, &end);
    skipped = (gsize)(end - scan->bytes);
    if (all)
      break;
    if (*end != '\0') { /* cut off by the piece's end, or wrong */
      scan->valid = size - skipped < 4 && g_utf8_get_char_validated (end, (gssize)(size - skipped)) == (gunichar)-2;
      break;
    }
    scan->zeros = TRUE;
    skipped++;
  }
  scan->odd += ragify_plain_text_odd (scan->bytes, skipped);
  scan->kept = scan->valid ? size - skipped : 0;
  memmove (scan->bytes, scan->bytes + skipped, scan->kept);
}

/* All bytes; `text`: also what they are. */
static RagifyReading
scan_bytes (Scan *scan, gboolean text)
{
  for (;;) {
    const gssize got = read_at (scan->fd, scan->bytes + scan->kept, PIECE, scan->size);
    if (got < 0)
      return RAGIFY_READING_FAILED;
    if (got == 0)
      return RAGIFY_READING_WELL;
    XXH3_128bits_update (scan->hash, scan->bytes + scan->kept, (gsize)got);
    scan->size += (guint64)got;
    if (text && scan->valid)
      look_at_text (scan, scan->kept + (gsize)got);
    if (scan->valid && scan->zeros && scan->size <= PIECE)
      return RAGIFY_READING_NO_TEXT; /* there is no need to read on */
    if (scan->goes_on != NULL && scan->size - scan->asked_at >= TELL_EVERY) {
      scan->asked_at = scan->size;
      errno = ECANCELED;
      if (!scan->goes_on (scan->user))
        return RAGIFY_READING_FAILED;
    }
  }
}

static RagifyUuid
digest (Scan *scan)
{
  RagifyUuid uuid;
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash (&canonical, XXH3_128bits_digest (scan->hash));
  memcpy (uuid.bytes, canonical.digest, sizeof uuid.bytes);
  return uuid;
}

RagifyReading
ragify_bytes_scan (int fd, RagifyReadingGoesOn goes_on, void *user, RagifyUuid *hash, guint64 *size)
{
  g_autofree Scan *scan = g_new0 (Scan, 1);
  scan->fd = fd;
  scan->goes_on = goes_on;
  scan->user = user;
  scan->hash = XXH3_createState ();
  XXH3_128bits_reset (scan->hash);
  const RagifyReading reading = scan_bytes (scan, FALSE);
  *hash = digest (scan);
  *size = scan->size;
  XXH3_freeState (scan->hash);
  return reading;
}

/* A text that is not UTF-8 is converted once to see what it comes to. */
static RagifyReading
try_conversion (int fd, const RagifyTextFacts *facts)
{
  g_autoptr (RagifyTextReader) reader = ragify_text_reader_new (fd, facts, 0);
  guint64 odd = 0, all = 0;
  RagifyStr piece;
  RagifyReading reading = reader->from != NULL && reader->to != NULL ? RAGIFY_READING_WELL : RAGIFY_READING_NO_TEXT;
  while (reading == RAGIFY_READING_WELL) {
    reading = ragify_text_reader_next (reader, &piece);
    if (piece.size == 0)
      break;
    odd += ragify_plain_text_odd (piece.data, piece.size);
    all += piece.size;
    if (memchr (piece.data, '\0', piece.size) != NULL)
      return RAGIFY_READING_NO_TEXT;
  }
  return reading == RAGIFY_READING_WELL && odd * 100 > all ? RAGIFY_READING_NO_TEXT : reading;
}

static RagifyReading
find_encoding (int fd, const Scan *scan, RagifyTextFacts *facts, const char **reason)
{
  g_autofree char *head = g_malloc (PIECE);
  const gssize size = read_at (fd, head, PIECE, 0);
  if (size < 0)
    return RAGIFY_READING_FAILED;
  g_autofree char *name = ragify_plain_text_encoding (head, (gsize)size, scan->valid && scan->kept == 0, &facts->mark);
  if (name == NULL && (scan->zeros || scan->odd * 100 > scan->size || !scan->valid || scan->kept > 0)) {
    *reason = scan->valid ? "is no text" : "is no text in an encoding that is known";
    return RAGIFY_READING_NO_TEXT;
  }
  g_strlcpy (facts->encoding, name != NULL ? name : "", sizeof facts->encoding);
  if (name == NULL)
    return RAGIFY_READING_WELL;
  *reason = "is no text in an encoding that is known";
  return try_conversion (fd, facts);
}

RagifyReading
ragify_text_scan (int fd, RagifyReadingGoesOn goes_on, void *user, RagifyTextFacts *facts, const char **reason)
{
  g_autofree Scan *scan = g_new0 (Scan, 1);
  scan->fd = fd;
  scan->goes_on = goes_on;
  scan->user = user;
  scan->valid = TRUE;
  scan->hash = XXH3_createState ();
  XXH3_128bits_reset (scan->hash);
  *facts = (RagifyTextFacts){ 0 };
  const RagifyReading reading = scan_bytes (scan, TRUE);
  facts->hash = digest (scan);
  facts->size = scan->size;
  XXH3_freeState (scan->hash);
  *reason = "is no text";
  return reading == RAGIFY_READING_WELL ? find_encoding (fd, scan, facts, reason) : reading;
}
