/* SPDX-License-Identifier: MIT */
#include "core/ingest/cutter.h"

struct RagifyCutter {
  RagifyChunker *usual;
  RagifyChunker *other; /* of the last document that wanted another; NULL: none did */
  guint size, overlap;  /* that it has, and … */
  gboolean tokens;      /* … what it counts */
  RagifyNode *embedder;
};

static RagifyChunker *
new_chunker (guint size, guint overlap, gboolean tokens, RagifyNode *embedder)
{
  return tokens ? ragify_chunker_new_weighed (size, overlap, ragify_weigh_tokens, embedder)
                : ragify_chunker_new (size, overlap);
}

RagifyCutter *
ragify_cutter_new (guint size, guint overlap, gboolean tokens, RagifyNode *embedder)
{
  RagifyChunker *usual = new_chunker (size, overlap, tokens, embedder);
  if (usual == NULL)
    return NULL;
  RagifyCutter *cutter = g_new0 (RagifyCutter, 1);
  cutter->usual = usual;
  cutter->embedder = embedder;
  return cutter;
}

void
ragify_cutter_free (RagifyCutter *cutter)
{
  ragify_chunker_free (cutter->usual);
  g_clear_pointer (&cutter->other, ragify_chunker_free);
  g_free (cutter);
}

static RagifyChunker *
chunker_for (RagifyCutter *cutter, const RagifyIncoming *incoming)
{
  if (incoming->chunk_size == 0)
    return cutter->usual;
  if (cutter->other != NULL && cutter->size == incoming->chunk_size && cutter->overlap == incoming->chunk_overlap &&
      cutter->tokens == incoming->chunk_tokens)
    return cutter->other;
  g_clear_pointer (&cutter->other, ragify_chunker_free);
  cutter->size = incoming->chunk_size;
  cutter->overlap = incoming->chunk_overlap;
  cutter->tokens = incoming->chunk_tokens;
  cutter->other = new_chunker (cutter->size, cutter->overlap, cutter->tokens, cutter->embedder);
  return cutter->other != NULL ? cutter->other : cutter->usual;
}

static GArray *
cut_sections (RagifyChunker *chunker, const RagifyIncoming *incoming)
{
  GArray *cuts = g_array_new (FALSE, FALSE, sizeof (RagifyCut));
  for (guint i = 0; i < incoming->sections->len; i++) {
    const RagifySection *section = &g_array_index (incoming->sections, RagifySection, i);
    g_autoptr (GArray) some =
        ragify_chunker_cut (chunker, incoming->content + section->begin, section->end - section->begin);
    for (guint k = 0; k < some->len; k++) {
      const RagifyCut *cut = &g_array_index (some, RagifyCut, k);
      const RagifyCut moved = { section->begin + cut->begin, section->begin + cut->end };
      g_array_append_val (cuts, moved);
    }
  }
  return cuts;
}

static GArray *
cut_whole (const RagifyIncoming *incoming)
{
  GArray *cuts = g_array_new (FALSE, FALSE, sizeof (RagifyCut));
  const RagifyCut whole = { 0, incoming->content_size };
  for (const char *p = incoming->content; *p != '\0' && cuts->len == 0; p = g_utf8_next_char (p))
    if (!g_unichar_isspace (g_utf8_get_char (p)))
      g_array_append_val (cuts, whole);
  return cuts;
}

GArray *
ragify_cutter_cut (RagifyCutter *cutter, const RagifyIncoming *incoming, RagifyChunking chunking)
{
  if (chunking == RAGIFY_CHUNKING_NONE)
    return cut_whole (incoming);
  RagifyChunker *chunker = chunker_for (cutter, incoming);
  if (incoming->sections != NULL)
    return cut_sections (chunker, incoming);
  return ragify_chunker_cut (chunker, incoming->content, incoming->content_size);
}
