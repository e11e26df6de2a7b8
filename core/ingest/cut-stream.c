/* SPDX-License-Identifier: MIT */
#include "core/ingest/cut-stream.h"

#define NARROW 32u /* bytes of white space between two units that do not count: empty lines and the like */
#define BYTES_OF_TOKEN 4u

struct RagifyCutStream {
  RagifyChunker *chunker;
  RagifyCutTaken taken;
  void *user;
  GString *window; /* the text from `base` on */
  guint64 base;
  guint64 looked; /* the next block begins here */
  GArray *units;  /* RagifyCutUnit, of the chunk under way */
  guint fresh;    /* from this one on they were in no chunk yet */
  guint weight;   /* of all */
  guint64 chunks;
  RagifyCutPlace place;
  gboolean stopped;
};

RagifyCutStream *
ragify_cut_stream_new (RagifyChunker *chunker, RagifyCutTaken taken, void *user)
{
  RagifyCutStream *stream = g_new0 (RagifyCutStream, 1);
  stream->chunker = chunker;
  stream->taken = taken;
  stream->user = user;
  stream->window = g_string_new (NULL);
  stream->units = g_array_new (FALSE, FALSE, sizeof (RagifyCutUnit));
  return stream;
}

void
ragify_cut_stream_free (RagifyCutStream *stream)
{
  g_string_free (stream->window, TRUE);
  g_array_unref (stream->units);
  ragify_cut_place_clear (&stream->place);
  g_free (stream);
}

/* ---- weights ---- */

/* White space is in no unit, and still in the chunk that has units on both sides of it. */
static guint
weigh_gap (const RagifyCutStream *stream, guint64 begin, guint64 end)
{
  const guint64 size = end - begin;
  if (size <= NARROW)
    return 0;
  return (guint)MIN (ragify_chunker_counts_tokens (stream->chunker) ? size / BYTES_OF_TOKEN : size, G_MAXUINT / 4);
}

/* Of a unit under way, with the gap in front of it. */
static guint
weight_at (const RagifyCutStream *stream, guint index)
{
  const RagifyCutUnit *unit = &g_array_index (stream->units, RagifyCutUnit, index);
  return unit->weight + (index > 0 ? weigh_gap (stream, (unit - 1)->end, unit->begin) : 0);
}

/* What the text between the last unit under way and `place` weighs. */
static guint
weigh_behind (const RagifyCutStream *stream, guint64 place)
{
  const guint count = stream->units->len;
  return count > 0 ? weigh_gap (stream, g_array_index (stream->units, RagifyCutUnit, count - 1).end, place) : 0;
}

/* ---- places ---- */

void
ragify_cut_place_clear (RagifyCutPlace *place)
{
  g_clear_pointer (&place->units, g_array_unref);
  *place = (RagifyCutPlace){ 0 };
}

static GArray *
copy_units (const GArray *units)
{
  GArray *copy = g_array_new (FALSE, FALSE, sizeof (RagifyCutUnit));
  return units != NULL && units->len > 0 ? g_array_append_vals (copy, units->data, units->len) : copy;
}

static guint64
needed_from (const RagifyCutStream *stream)
{
  return stream->units->len > 0 ? g_array_index (stream->units, RagifyCutUnit, 0).begin : stream->looked;
}

static void
keep_place (RagifyCutStream *stream)
{
  ragify_cut_place_clear (&stream->place);
  stream->place = (RagifyCutPlace){ .begin = needed_from (stream),
                                    .looked = stream->looked,
                                    .chunks = stream->chunks,
                                    .units = copy_units (stream->units),
                                    .fresh = stream->fresh };
}

void
ragify_cut_stream_place (const RagifyCutStream *stream, RagifyCutPlace *place)
{
  *place = stream->place;
  place->units = copy_units (stream->place.units);
}

void
ragify_cut_stream_go_on (RagifyCutStream *stream, const RagifyCutPlace *place)
{
  stream->base = place->begin;
  stream->looked = place->looked;
  stream->chunks = place->chunks;
  stream->fresh = place->fresh;
  g_array_unref (stream->units);
  stream->units = copy_units (place->units);
  for (guint i = 0; i < stream->units->len; i++)
    stream->weight += weight_at (stream, i);
  keep_place (stream);
}

/* ---- chunks ---- */

/* The units under way as a chunk, without the white space around it. */
static void
give_chunk (RagifyCutStream *stream)
{
  const RagifyCutUnit *first = &g_array_index (stream->units, RagifyCutUnit, 0);
  const RagifyCutUnit *last = &g_array_index (stream->units, RagifyCutUnit, stream->units->len - 1);
  const char *text = stream->window->str;
  gsize begin = (gsize)(first->begin - stream->base), end = (gsize)(last->end - stream->base);
  while (begin < end && g_unichar_isspace (g_utf8_get_char (text + begin)))
    begin = (gsize)(g_utf8_next_char (text + begin) - text);
  while (begin < end) {
    const char *before = g_utf8_prev_char (text + end);
    if (!g_unichar_isspace (g_utf8_get_char (before)))
      break;
    end = (gsize)(before - text);
  }
  const RagifyCut cut = { (gsize)stream->base + begin, (gsize)stream->base + end };
  stream->chunks++;
  if (!stream->taken (stream->user, text + begin, &cut))
    stream->stopped = TRUE;
}

/* Leaves of the units under way what the next chunk repeats: as much as fits the overlap, never all of it, and so that
 * something of the weight `next` has its place behind it. */
static void
keep_overlap (RagifyCutStream *stream, guint next)
{
  const guint size = ragify_chunker_size (stream->chunker), overlap = ragify_chunker_overlap (stream->chunker);
  guint shared = 0, gap = 0, back = stream->units->len;
  while (back > 1) {
    const guint weight = g_array_index (stream->units, RagifyCutUnit, back - 1).weight + gap;
    if (shared + weight > overlap || shared + weight + next > size)
      break;
    shared += weight;
    gap = weight_at (stream, back - 1) - g_array_index (stream->units, RagifyCutUnit, back - 1).weight;
    back--;
  }
  g_array_remove_range (stream->units, 0, back);
  stream->weight = shared;
  stream->fresh = stream->units->len;
}

static void
take_units (RagifyCutStream *stream, const GArray *found)
{
  const guint size = ragify_chunker_size (stream->chunker);
  for (guint i = 0; i < found->len && !stream->stopped; i++) {
    const RagifyCutUnit *unit = &g_array_index (found, RagifyCutUnit, i);
    const guint weight = weigh_behind (stream, unit->begin) + unit->weight;
    if (stream->units->len > 0 && stream->weight + weight > size) {
      give_chunk (stream);
      keep_overlap (stream, weight);
    }
    stream->weight += weigh_behind (stream, unit->begin) + unit->weight;
    g_array_append_val (stream->units, *unit);
  }
}

/* Where so much white space has come that nothing behind it can be in the chunk under way: the window need not grow
 * with it. */
static void
end_before_gap (RagifyCutStream *stream)
{
  if (weigh_behind (stream, stream->looked) <= ragify_chunker_size (stream->chunker))
    return;
  if (stream->units->len > stream->fresh)
    give_chunk (stream);
  g_array_set_size (stream->units, 0);
  stream->weight = stream->fresh = 0;
}

/* ---- the text ---- */

/* Looks at one block, which is whole or the last. */
static void
look (RagifyCutStream *stream, gsize size, gboolean last)
{
  g_autoptr (GArray) found = g_array_new (FALSE, FALSE, sizeof (RagifyCutUnit));
  const char *block = stream->window->str + (stream->looked - stream->base);
  const gsize used = ragify_chunker_find_units (stream->chunker, block, size, last, stream->looked, found);
  take_units (stream, found);
  if (stream->stopped)
    return; /* in the middle of the block: the place stays at its beginning */
  stream->looked += used;
  end_before_gap (stream);
  const guint64 needed = needed_from (stream);
  g_string_erase (stream->window, 0, (gssize)(needed - stream->base));
  stream->base = needed;
  if (!last)
    keep_place (stream);
}

/* A block of whole characters; 0: there is none yet. */
static gsize
next_block (const RagifyCutStream *stream)
{
  const gsize offset = (gsize)(stream->looked - stream->base);
  gsize size = ragify_chunker_block (stream->chunker);
  if (stream->window->len <= offset + size)
    return 0;
  while (size > 0 && (stream->window->str[offset + size] & 0xc0) == 0x80)
    size--;
  return size;
}

gboolean
ragify_cut_stream_add (RagifyCutStream *stream, const char *text, gsize size)
{
  const gsize block = ragify_chunker_block (stream->chunker);
  while (size > 0 && !stream->stopped) {
    gsize piece = MIN (size, block);
    while (piece < size && (text[piece] & 0xc0) == 0x80)
      piece--;
    g_string_append_len (stream->window, text, (gssize)piece);
    text += piece;
    size -= piece;
    for (gsize next = next_block (stream); next > 0 && !stream->stopped; next = next_block (stream))
      look (stream, next, FALSE);
  }
  return !stream->stopped;
}

gboolean
ragify_cut_stream_end (RagifyCutStream *stream)
{
  const guint64 end = stream->base + stream->window->len;
  if (!stream->stopped && end > stream->looked)
    look (stream, (gsize)(end - stream->looked), TRUE);
  if (!stream->stopped && stream->units->len > stream->fresh)
    give_chunk (stream);
  g_array_set_size (stream->units, 0);
  g_string_truncate (stream->window, 0);
  stream->weight = 0;
  stream->fresh = 0;
  stream->base = stream->looked = end;
  return !stream->stopped;
}

guint64
ragify_cut_stream_length (const RagifyCutStream *stream)
{
  return stream->base + stream->window->len;
}

/* ---- a whole text ---- */

static gboolean
keep_cut (void *user, const char *text, const RagifyCut *cut)
{
  g_array_append_val ((GArray *)user, *cut);
  return TRUE;
}

GArray *
ragify_chunker_cut (RagifyChunker *chunker, const char *text, gsize size)
{
  GArray *cuts = g_array_new (FALSE, FALSE, sizeof (RagifyCut));
  g_autoptr (RagifyCutStream) stream = ragify_cut_stream_new (chunker, keep_cut, cuts);
  ragify_cut_stream_add (stream, text, size);
  ragify_cut_stream_end (stream);
  return cuts;
}
