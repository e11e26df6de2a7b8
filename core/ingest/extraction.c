/* SPDX-License-Identifier: MIT */
#include "core/ingest/extraction.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "core/call/operations.h"
#include "core/call/stream.h"

#define HEAD 4096u
#define ACCEPT_TIMEOUT_US (10 * (guint64)G_USEC_PER_SEC)
#define LARGEST_TEXT (4 * 1024 * 1024)  /* bytes that are kept; the sink gets what is larger */
#define LARGEST_TIMED (4 * 1024 * 1024) /* bytes of a file whose whole time is bounded */
#define LONGEST_US (30 * 24 * 3600 * (guint64)G_USEC_PER_SEC)
#define MOST_LEFT_OUT 100u
#define LEVELS 6

/* ---- which one ---- */

gboolean
ragify_extraction_found_fault (gint32 code)
{
  return code == RAGIFY_E_INVALID || code == RAGIFY_E_NOT_FOUND;
}

static gboolean
ask (const RagifyExtractor *extractor, const char *uri, const char *head, gsize size, guint *confidence, char **reason)
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
  const gint32 code = ragify_call_wait (extractor->node, call);
  if (code == RAGIFY_OK)
    *confidence = ((const RagifyExtractorAcceptsResult *)ragify_call_result (call))->confidence;
  if (code == RAGIFY_OK || ragify_extraction_found_fault (code))
    return TRUE;
  *reason = g_strdup (ragify_call_message (call));
  return FALSE;
}

gboolean
ragify_extractor_find (const RagifyExtractor *extractors, guint count, const char *uri, const char *head, gsize size,
                       const RagifyExtractor **best, char **reason)
{
  const RagifyExtractor *found = NULL;
  guint most = 0;
  for (guint i = 0; i < count; i++) {
    guint confidence = 0;
    if (!ask (&extractors[i], uri, head, size, &confidence, reason))
      return FALSE;
    if (confidence > most)
      found = &extractors[i];
    most = MAX (most, confidence);
  }
  *best = found;
  return TRUE;
}

/* ---- pieces as a text ---- */

/* The file and what came of it; an extractor that is too slow may read on when nobody waits for it any more. */
typedef struct Extracting {
  RagifyOwner owner;
  RagifyStream stream;
  int fd; /* its own */
  guint64 place;

  const json_t *metadata;
  const RagifyExtractionSink *sink;
  GString *text; /* not yet spilled */
  GArray *sections;
  char *headings[LEVELS];
  guint page;
  char *record;  /* metadata of the piece's own */
  gsize begin;   /* of the section under way */
  gboolean bare; /* it has nothing but headings so far */
  char *section; /* metadata of the section under way, where it spills; NULL: to be found out */
  gboolean spilled, refused;
} Extracting;

static int64_t
read_bytes (RagifyStream *stream, uint8_t *data, uint64_t capacity)
{
  Extracting *it = (Extracting *)(void *)((char *)stream - G_STRUCT_OFFSET (Extracting, stream));
  gssize got;
  do
    got = pread (it->fd, data, MIN (capacity, G_MAXINT), (off_t)it->place);
  while (got < 0 && errno == EINTR);
  it->place += (guint64)MAX (got, 0);
  return got < 0 ? -RAGIFY_E_UNAVAILABLE : got;
}

static void
clear (RagifyOwner *owner)
{
  Extracting *it = (Extracting *)owner;
  close (it->fd);
  g_free (it->record);
  g_free (it->section);
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

static const char *
section_metadata (Extracting *it)
{
  if (it->section == NULL)
    it->section = metadata_of (it);
  return it->section;
}

/* ---- a text that is too large ---- */

/* What was gathered so far; then each piece as it comes. */
static gboolean
spill (Extracting *it)
{
  const RagifyExtractionSink *sink = it->sink;
  gboolean well = sink->begin (sink->user);
  for (guint i = 0; well && i < it->sections->len; i++) {
    const RagifySection *section = &g_array_index (it->sections, RagifySection, i);
    well = sink->add (sink->user, it->text->str + section->begin, section->end - section->begin, section->metadata) &&
           sink->end (sink->user, section->metadata);
  }
  if (well && it->text->len > it->begin)
    well = sink->add (sink->user, it->text->str + it->begin, it->text->len - it->begin, section_metadata (it));
  g_array_set_size (it->sections, 0);
  g_string_truncate (it->text, 0);
  it->begin = 0;
  it->spilled = TRUE;
  return well;
}

static gboolean
add_text (Extracting *it, RagifyStr text)
{
  g_string_append_len (it->text, text.data, (gssize)text.size);
  g_string_append (it->text, "\n\n");
  if (!it->spilled)
    return it->text->len <= LARGEST_TEXT || spill (it);
  const gboolean well = it->sink->add (it->sink->user, it->text->str, it->text->len, section_metadata (it));
  g_string_truncate (it->text, 0);
  return well;
}

static gboolean
end_section (Extracting *it)
{
  gboolean well = TRUE;
  if (it->spilled) {
    well = it->sink->end (it->sink->user, section_metadata (it));
  } else if (it->text->len > it->begin) {
    const RagifySection section = { it->begin, it->text->len, metadata_of (it) };
    g_array_append_val (it->sections, section);
  }
  g_clear_pointer (&it->section, g_free);
  it->begin = it->text->len;
  it->bare = TRUE;
  return well;
}

/* ---- pieces ---- */

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
  g_clear_pointer (&it->section, g_free);
}

static gboolean
has_text (RagifyStr text)
{
  return text.size > 0 && memchr (text.data, '\0', text.size) == NULL;
}

static gboolean
is_same_record (const Extracting *it, RagifyStr metadata)
{
  const gsize size = it->record != NULL ? strlen (it->record) : 0;
  return size == metadata.size && (size == 0 || memcmp (it->record, metadata.data, size) == 0);
}

static void
take_piece (RagifyCall *call, const void *item, void *user)
{
  Extracting *it = user;
  const RagifyPiece *piece = item;
  const gboolean ends = piece->type == RAGIFY_PIECE_BREAK || (piece->type == RAGIFY_PIECE_HEADING && !it->bare);
  gboolean well = !it->refused;
  if (well && (ends || piece->page != it->page || !is_same_record (it, piece->metadata)))
    well = end_section (it);
  it->page = piece->page;
  if (!is_same_record (it, piece->metadata)) {
    g_free (it->record);
    it->record = piece->metadata.size > 0 ? g_strndup (piece->metadata.data, piece->metadata.size) : NULL;
  }
  if (piece->type == RAGIFY_PIECE_HEADING)
    take_heading (it, piece);
  if (well && has_text (piece->text)) {
    well = add_text (it, piece->text);
    it->bare = it->bare && piece->type == RAGIFY_PIECE_HEADING;
  }
  it->refused = !well;
  if (!well)
    ragify_call_cancel (call);
}

/* ---- the whole ---- */

static Extracting *
extracting_new (int fd, const json_t *metadata, const RagifyExtractionSink *sink)
{
  Extracting *it = (Extracting *)ragify_owner_new (sizeof (Extracting), clear);
  it->stream.read = read_bytes;
  it->fd = fcntl (fd, F_DUPFD_CLOEXEC, 3);
  it->metadata = metadata;
  it->sink = sink;
  it->text = g_string_new (NULL);
  it->sections = ragify_sections_new ();
  it->bare = TRUE;
  return it;
}

/* Records that could not be taken, by the member `set_aside` of the result's metadata (ragify/extractor.h). */
static GPtrArray *
find_left_out (RagifyStr metadata)
{
  json_t *object = metadata.size > 0 ? json_loadb (metadata.data, metadata.size, 0, NULL) : NULL;
  const json_t *list = json_object_get (object, "set_aside"), *item = NULL;
  const guint64 total = (guint64)MAX (json_integer_value (json_object_get (object, "set_aside_total")), 0);
  GPtrArray *left_out = g_ptr_array_new_with_free_func (g_free);
  size_t i;
  json_array_foreach ((json_t *)list, i, item)
  {
    const char *place = json_string_value (json_object_get (item, "place"));
    const char *reason = json_string_value (json_object_get (item, "reason"));
    if (place == NULL || reason == NULL || left_out->len / 2 >= MOST_LEFT_OUT)
      continue;
    g_ptr_array_add (left_out, g_strdup (place));
    g_ptr_array_add (left_out, g_strdup (reason));
  }
  if (total > left_out->len / 2) {
    g_ptr_array_add (left_out, g_strdup ("further records"));
    g_ptr_array_add (left_out, g_strdup_printf ("%" G_GUINT64_FORMAT " more", total - left_out->len / 2));
  }
  json_decref (object);
  return left_out;
}

static void
take_result (Extracting *it, const RagifyExtractorExtractResult *result, RagifyExtraction *extraction)
{
  extraction->left_out = find_left_out (result->metadata);
  extraction->title = result->title.size > 0 ? g_strndup (result->title.data, result->title.size) : NULL;
  extraction->size = it->text->len;
  extraction->text = g_strndup (it->text->str, it->text->len);
  extraction->sections = g_steal_pointer (&it->sections);
}

gint32
ragify_extract (const RagifyExtractor *extractor, const char *uri, int fd, guint64 size, const json_t *metadata,
                const RagifyExtractionSink *sink, RagifyExtraction *extraction, char **reason)
{
  Extracting *it = extracting_new (fd, metadata, sink);
  const gboolean timed = size <= LARGEST_TIMED;
  RagifyExtractorExtract *args = ragify_arena_alloc (it->owner.arena, sizeof *args);
  *args = (RagifyExtractorExtract){ .struct_size = sizeof *args,
                                    .uri = ragify_str_from (ragify_arena_copy (it->owner.arena, uri, strlen (uri))),
                                    .stream = &it->stream };
  RagifyCall *call = ragify_call_new (&it->owner, &ragify_operation_extractor_extract, args,
                                      ragify_now () + (timed ? extractor->deadline_us : LONGEST_US), NULL, it);
  ragify_call_set_emitted (call, take_piece);
  if (!timed)
    ragify_call_set_idle (call, extractor->deadline_us);
  gint32 code = ragify_call_wait (extractor->node, call);
  if (code == RAGIFY_OK && !it->refused && end_section (it)) /* it may have ended well before it was told to stop */
    take_result (it, ragify_call_result (call), extraction);
  else
    *reason = g_strdup (code == RAGIFY_OK ? "cancelled" : ragify_call_message (call));
  if (code == RAGIFY_OK && it->sections != NULL)
    code = RAGIFY_E_CANCELLED;
  extraction->spilled = it->spilled;
  it->metadata = NULL; /* nothing is emitted any more */
  it->sink = NULL;
  ragify_owner_unref (&it->owner);
  return code;
}

void
ragify_extraction_clear (RagifyExtraction *extraction)
{
  g_clear_pointer (&extraction->left_out, g_ptr_array_unref);
  g_clear_pointer (&extraction->sections, g_array_unref);
  g_clear_pointer (&extraction->title, g_free);
  g_clear_pointer (&extraction->text, g_free);
}
