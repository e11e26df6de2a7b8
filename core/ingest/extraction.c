/* SPDX-License-Identifier: MIT */
#include "core/ingest/extraction.h"

#include <string.h>

#include "core/call/operations.h"
#include "core/call/stream.h"

#define HEAD 4096u
#define ACCEPT_TIMEOUT_US (10 * (guint64)G_USEC_PER_SEC)
#define LARGEST_TEXT (64 * 1024 * 1024)
#define LEVELS 6

/* ---- which one ---- */

static guint
ask (const RagifyExtractor *extractor, const char *uri, const char *head, gsize size)
{
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
  RagifyExtractorAccepts *args = ragify_arena_alloc (owner->arena, sizeof *args);
  const gsize seen = MIN (size, HEAD);
  *args = (RagifyExtractorAccepts){
    .struct_size = sizeof *args,
    .uri = ragify_str_from (ragify_arena_copy (owner->arena, uri, strlen (uri))),
    .head = { (const uint8_t *)ragify_arena_copy (owner->arena, head, seen), seen },
  };
  RagifyCall *call =
      ragify_call_new (owner, &ragify_operation_extractor_accepts, args, ragify_now () + ACCEPT_TIMEOUT_US, NULL, NULL);
  if (ragify_call_wait (extractor->node, call) != RAGIFY_OK)
    return 0;
  return ((const RagifyExtractorAcceptsResult *)ragify_call_result (call))->confidence;
}

const RagifyExtractor *
ragify_extractor_find (const RagifyExtractor *extractors, guint count, const char *uri, const char *head, gsize size)
{
  const RagifyExtractor *best = NULL;
  guint most = 0;
  for (guint i = 0; i < count; i++) {
    const guint confidence = ask (&extractors[i], uri, head, size);
    if (confidence > most)
      best = &extractors[i];
    most = MAX (most, confidence);
  }
  return best;
}

/* ---- pieces as a text ---- */

/* The file and what came of it; an extractor that is too slow may read on when nobody waits for it any more. */
typedef struct Extracting {
  RagifyOwner owner;
  RagifyStream stream;
  char *bytes;
  gsize size, place;

  const json_t *metadata;
  GString *text;
  GArray *sections;
  char *headings[LEVELS];
  guint page;
  char *record;  /* metadata of the piece's own */
  gsize begin;   /* of the section under way */
  gboolean bare; /* it has nothing but headings so far */
} Extracting;

static int64_t
read_bytes (RagifyStream *stream, uint8_t *data, uint64_t capacity)
{
  Extracting *it = (Extracting *)(void *)((char *)stream - G_STRUCT_OFFSET (Extracting, stream));
  const gsize size = MIN (capacity, it->size - it->place);
  memcpy (data, it->bytes + it->place, size);
  it->place += size;
  return (int64_t)size;
}

static void
clear (RagifyOwner *owner)
{
  Extracting *it = (Extracting *)owner;
  g_free (it->bytes);
  g_free (it->record);
  g_string_free (it->text, TRUE);
  g_clear_pointer (&it->sections, g_array_unref);
  for (guint i = 0; i < LEVELS; i++)
    g_free (it->headings[i]);
}

static char *
metadata_of (const Extracting *it)
{
  json_t *object = json_deep_copy (it->metadata), *headings = json_array ();
  json_t *record = it->record != NULL ? json_loads (it->record, 0, NULL) : NULL;
  json_object_update_missing (object, record);
  for (guint i = 0; i < LEVELS; i++)
    if (it->headings[i] != NULL)
      json_array_append_new (headings, json_string (it->headings[i]));
  if (json_array_size (headings) > 0)
    json_object_set (object, "headings", headings);
  if (it->page > 0)
    json_object_set_new (object, "page", json_integer (it->page));
  char *text = json_dumps (object, JSON_COMPACT | JSON_SORT_KEYS);
  char *copy = g_strdup (text);
  free (text);
  json_decref (headings);
  json_decref (record);
  json_decref (object);
  return copy;
}

static void
end_section (Extracting *it)
{
  if (it->text->len > it->begin) {
    const RagifySection section = { it->begin, it->text->len, metadata_of (it) };
    g_array_append_val (it->sections, section);
  }
  it->begin = it->text->len;
  it->bare = TRUE;
}

static void
take_heading (Extracting *it, const RagifyPiece *piece)
{
  const guint level = CLAMP (piece->level, 1, LEVELS);
  for (guint i = level - 1; i < LEVELS; i++)
    g_clear_pointer (&it->headings[i], g_free);
  if (piece->text.size > 0)
    it->headings[level - 1] = g_strndup (piece->text.data, MIN (piece->text.size, 1024));
  if (it->headings[level - 1] != NULL && piece->text.size > 1024)
    *(char *)g_utf8_find_prev_char (it->headings[level - 1], it->headings[level - 1] + 1024) = '\0';
}

static gboolean
has_text (RagifyStr text)
{
  return text.size > 0 && memchr (text.data, '\0', text.size) == NULL;
}

static void
take_piece (RagifyCall *call, const void *item, void *user)
{
  Extracting *it = user;
  const RagifyPiece *piece = item;
  const gboolean ends = piece->type == RAGIFY_PIECE_BREAK || (piece->type == RAGIFY_PIECE_HEADING && !it->bare);
  if (ends || piece->page != it->page || piece->metadata.size > 0)
    end_section (it);
  it->page = piece->page;
  g_clear_pointer (&it->record, g_free);
  if (piece->metadata.size > 0)
    it->record = g_strndup (piece->metadata.data, piece->metadata.size);
  if (piece->type == RAGIFY_PIECE_HEADING)
    take_heading (it, piece);
  if (!has_text (piece->text))
    return;
  if (it->text->len + piece->text.size > LARGEST_TEXT) {
    ragify_call_cancel (call);
    return;
  }
  g_string_append_len (it->text, piece->text.data, (gssize)piece->text.size);
  g_string_append (it->text, "\n\n");
  it->bare = it->bare && piece->type == RAGIFY_PIECE_HEADING;
}

/* ---- the whole ---- */

static Extracting *
extracting_new (char *bytes, gsize size, const json_t *metadata)
{
  Extracting *it = (Extracting *)ragify_owner_new (sizeof (Extracting), clear);
  it->stream.read = read_bytes;
  it->bytes = bytes;
  it->size = size;
  it->metadata = metadata;
  it->text = g_string_new (NULL);
  it->sections = ragify_sections_new ();
  it->bare = TRUE;
  return it;
}

gint32
ragify_extract (const RagifyExtractor *extractor, const char *uri, char *bytes, gsize size, const json_t *metadata,
                RagifyExtraction *extraction, char **reason)
{
  Extracting *it = extracting_new (bytes, size, metadata);
  RagifyExtractorExtract *args = ragify_arena_alloc (it->owner.arena, sizeof *args);
  *args = (RagifyExtractorExtract){ .struct_size = sizeof *args,
                                    .uri = ragify_str_from (ragify_arena_copy (it->owner.arena, uri, strlen (uri))),
                                    .stream = &it->stream };
  RagifyCall *call = ragify_call_new (&it->owner, &ragify_operation_extractor_extract, args,
                                      ragify_now () + extractor->deadline_us, NULL, it);
  ragify_call_set_emitted (call, take_piece);
  gint32 code = ragify_call_wait (extractor->node, call);
  if (code == RAGIFY_OK) {
    const RagifyExtractorExtractResult *result = ragify_call_result (call);
    end_section (it);
    extraction->title = result->title.size > 0 ? g_strndup (result->title.data, result->title.size) : NULL;
    extraction->size = it->text->len;
    extraction->text = g_strndup (it->text->str, it->text->len);
    extraction->sections = g_steal_pointer (&it->sections);
  } else
    *reason = code == RAGIFY_E_CANCELLED ? g_strdup_printf ("has more than %d bytes of text", LARGEST_TEXT)
                                         : g_strdup (ragify_call_message (call));
  it->metadata = NULL; /* nothing is emitted any more */
  ragify_owner_unref (&it->owner);
  return code;
}
