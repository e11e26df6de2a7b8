/* SPDX-License-Identifier: MIT */
#include "extraction.h"

#include "settings.h"

#include <string.h>

#define LARGEST_FILE (64 * 1024 * 1024)
#define MOST_LEFT_OUT 100u /* that are told one by one */

void
ragify_pieces_init (RagifyPieces *pieces, const RagifyHost *host, RagifyCall *call, guint64 most)
{
  *pieces = (RagifyPieces){
    .host = host, .call = call, .text = g_string_new (NULL), .left_out = g_string_new (NULL), .most = most
  };
  ragify_credit_begin (&pieces->credit, host, call);
}

void
ragify_pieces_clear (RagifyPieces *pieces)
{
  g_string_free (pieces->text, TRUE);
  g_string_free (pieces->left_out, TRUE);
  g_free (pieces->metadata);
}

void
ragify_pieces_describe (RagifyPieces *pieces, const char *metadata)
{
  g_free (pieces->metadata);
  pieces->metadata = g_strdup (metadata);
}

static void
append_json (GString *out, const char *text)
{
  g_string_append_c (out, '"');
  for (; *text != '\0'; text++) {
    const unsigned char byte = (unsigned char)*text;
    if (byte == '"' || byte == '\\')
      g_string_append_c (out, '\\');
    if (byte < 0x20)
      g_string_append_printf (out, "\\u%04x", byte);
    else
      g_string_append_c (out, *text);
  }
  g_string_append_c (out, '"');
}

void
ragify_pieces_leave_out (RagifyPieces *pieces, const char *place, const char *reason)
{
  if (pieces->n_left_out++ >= MOST_LEFT_OUT)
    return;
  g_string_append (pieces->left_out, pieces->left_out->len > 0 ? ",{\"place\":" : "{\"place\":");
  append_json (pieces->left_out, place);
  g_string_append (pieces->left_out, ",\"reason\":");
  append_json (pieces->left_out, reason);
  g_string_append_c (pieces->left_out, '}');
}

static void
add (RagifyPieces *pieces, const char *text, gsize size, gboolean fold)
{
  if (pieces->stopped)
    return;
  g_autofree char *valid = g_utf8_make_valid (text, (gssize)size);
  for (const char *p = valid; *p != '\0'; p = g_utf8_next_char (p)) {
    const gunichar character = g_utf8_get_char (p);
    if (fold && g_unichar_isspace (character)) {
      if (pieces->text->len > 0 && pieces->text->str[pieces->text->len - 1] != ' ')
        g_string_append_c (pieces->text, ' ');
    } else if (!g_unichar_iscntrl (character) || character == '\n' || character == '\t') {
      g_string_append_unichar (pieces->text, character);
    }
  }
}

void
ragify_pieces_add (RagifyPieces *pieces, const char *text, gsize size)
{
  add (pieces, text, size, TRUE);
}

void
ragify_pieces_add_raw (RagifyPieces *pieces, const char *text, gsize size)
{
  add (pieces, text, size, FALSE);
}

/* Empty where the call's memory is exhausted. */
static RagifyStr
copy (RagifyPieces *pieces, const char *text)
{
  const gsize size = strlen (text);
  char *memory = size > 0 ? pieces->host->call_alloc (pieces->call, size) : NULL;
  return memory != NULL ? ragify_str (memcpy (memory, text, size), size) : ragify_str (NULL, 0);
}

static void
emit (RagifyPieces *pieces, const RagifyPiece *what, const char *text, gsize size)
{
  RagifyPiece piece = *what;
  char *memory = size > 0 ? pieces->host->call_alloc (pieces->call, size) : NULL;
  if (size > 0 && memory == NULL) {
    pieces->stopped = TRUE;
    return;
  }
  if (memory != NULL)
    memcpy (memory, text, size);
  if (pieces->metadata != NULL)
    piece.metadata = copy (pieces, pieces->metadata);
  piece.struct_size = sizeof piece;
  piece.page = pieces->page;
  piece.text = ragify_str (memory, size);
  if (!ragify_credit_emit (&pieces->credit, &piece))
    pieces->stopped = TRUE;
}

void
ragify_pieces_end (RagifyPieces *pieces, guint level)
{
  const RagifyPiece piece = { .type = level > 0 ? RAGIFY_PIECE_HEADING : RAGIFY_PIECE_PARAGRAPH, .level = level };
  g_strstrip (pieces->text->str);
  pieces->text->len = strlen (pieces->text->str);
  if (pieces->most > 0 && pieces->gathered + pieces->text->len > pieces->most)
    pieces->stopped = TRUE;
  if (pieces->text->len > 0 && !pieces->stopped) {
    pieces->gathered += pieces->text->len;
    emit (pieces, &piece, pieces->text->str, pieces->text->len);
  }
  g_string_truncate (pieces->text, 0);
}

void
ragify_pieces_break (RagifyPieces *pieces)
{
  const RagifyPiece piece = { .type = RAGIFY_PIECE_BREAK };
  if (!pieces->stopped)
    emit (pieces, &piece, NULL, 0);
}

void
ragify_pieces_forget_heading (RagifyPieces *pieces)
{
  const RagifyPiece piece = { .type = RAGIFY_PIECE_HEADING, .level = 1 };
  if (!pieces->stopped)
    emit (pieces, &piece, NULL, 0);
}

void
ragify_pieces_done (RagifyPieces *pieces, const char *title)
{
  RagifyExtractorExtractResult result = { .struct_size = sizeof result };
  const gsize size = title != NULL ? MIN (strlen (title), 1000) : 0;
  ragify_credit_end (&pieces->credit);
  if (pieces->stopped) {
    const gboolean cancelled = pieces->host->call_cancelled (pieces->call) != 0;
    pieces->host->call_fail (pieces->call, cancelled ? RAGIFY_E_CANCELLED : RAGIFY_E_EXHAUSTED,
                             ragify_str_from (cancelled ? "cancelled" : "holds more text than max-text"), 0);
    return;
  }
  g_autofree char *valid = size > 0 ? g_utf8_make_valid (title, (gssize)size) : NULL;
  if (valid != NULL)
    result.title = copy (pieces, valid);
  if (pieces->n_left_out > 0) {
    g_autofree char *metadata = g_strdup_printf ("{\"set_aside\":[%s],\"set_aside_total\":%" G_GUINT64_FORMAT "}",
                                                 pieces->left_out->str, pieces->n_left_out);
    result.metadata = copy (pieces, metadata);
  }
  pieces->host->call_done (pieces->call, &result);
}

void
ragify_pieces_fail (RagifyPieces *pieces, const RagifyFault *fault)
{
  ragify_credit_end (&pieces->credit);
  pieces->host->call_fail (pieces->call, fault->code, ragify_str_from (fault->message), 0);
}

GByteArray *
ragify_pieces_read (RagifyPieces *pieces, RagifyStream *stream, guint64 most, RagifyFault *fault)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  guint8 piece[65536];
  for (;;) {
    const gint64 got = pieces->host->stream_read (stream, piece, sizeof piece);
    if (got == 0)
      return g_steal_pointer (&bytes);
    if (got < 0) {
      ragify_fault_set (fault, (gint32)-got, "the file cannot be read to its end");
      return NULL;
    }
    if (bytes->len + (guint64)got > most) {
      ragify_fault_set (fault, RAGIFY_E_INVALID, "is larger than %" G_GUINT64_FORMAT " bytes", most);
      return NULL;
    }
    g_byte_array_append (bytes, piece, (guint)got);
  }
}

void
ragify_extractor_init (RagifyExtractor *extractor, const RagifyHost *host, RagifyContext *context)
{
  *extractor = (RagifyExtractor){ host, ragify_setting_size (host, context, "max-text") };
}

void
ragify_extractor_start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  const RagifyExtractor *extractor = instance;
  extractor->host->call_done (call, NULL);
}

void
ragify_extractor_accept (const RagifyExtractor *extractor, RagifyCall *call, guint confidence)
{
  const RagifyExtractorAcceptsResult result = { .struct_size = sizeof result, .confidence = confidence };
  extractor->host->call_done (call, &result);
}

gboolean
ragify_pieces_need_text (const RagifyPieces *pieces, const char *why, RagifyFault *fault)
{
  return pieces->gathered > 0 || pieces->stopped ||
         ragify_fault_set (fault, RAGIFY_E_INVALID, "holds no text%s", why != NULL ? why : "");
}

void
ragify_extractor_run (RagifyExtractor *extractor, RagifyCall *call, RagifyStream *stream, RagifyExtractorRead read)
{
  RagifyPieces pieces;
  RagifyFault fault = { 0 };
  ragify_pieces_init (&pieces, extractor->host, call, extractor->max_text);
  g_autoptr (GByteArray) bytes = ragify_pieces_read (&pieces, stream, LARGEST_FILE, &fault);
  g_autofree char *title = NULL;
  if (bytes != NULL && read (extractor, &pieces, bytes, &title, &fault))
    ragify_pieces_done (&pieces, title);
  else
    ragify_pieces_fail (&pieces, &fault);
  ragify_pieces_clear (&pieces);
}

gboolean
ragify_uri_ends (RagifyStr uri, const char *const *endings)
{
  for (; *endings != NULL; endings++) {
    const gsize size = strlen (*endings);
    if (uri.size > size && uri.data[uri.size - size - 1] == '.' &&
        g_ascii_strncasecmp (uri.data + uri.size - size, *endings, size) == 0)
      return TRUE;
  }
  return FALSE;
}
