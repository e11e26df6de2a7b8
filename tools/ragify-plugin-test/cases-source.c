/* Sources: limits, texts, filters, scans. SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"

#define EMBEDDING_DIMENSION 384
#define WIDE 1000u

static const RagifySourceOperations *
operations_of (const RagifyKitInstance *instance)
{
  return ragify_kit_operations (instance);
}

static const RagifyChunk *
chunk_at (const RagifyChunkList *list, uint64_t index)
{
  return (const RagifyChunk *)(const void *)((const char *)list->items + index * list->stride);
}

static void
check_chunk (Subject *subject, const RagifyChunk *chunk)
{
  const struct {
    const char *what;
    RagifyStr text;
  } texts[] = { { "document_id", chunk->document_id },
                { "content", chunk->content },
                { "title", chunk->title },
                { "uri", chunk->uri },
                { "metadata", chunk->metadata } };
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
    expect (subject, text_is_utf8 (texts[i].text), "the %s of a passage is not UTF-8", texts[i].what);
  expect (subject, text_is_json_object (chunk->metadata), "metadata is not one JSON object: %.*s",
          (int)(chunk->metadata.size < 200 ? chunk->metadata.size : 200), chunk->metadata.data);
  expect (subject, isfinite (chunk->score), "a score is not finite");
  expect (subject, !(chunk->flags & RAGIFY_CHUNK_SCORED) || (chunk->score >= 0 && chunk->score <= 1),
          "RAGIFY_CHUNK_SCORED and a score of %g, outside 0..1", chunk->score);
  expect (subject, chunk->end >= chunk->begin, "a passage ends before it begins");
}

/* All passages of an answer: those that were emitted, then those of the result. */
static uint64_t
count_passages (const RagifyKitCall *call)
{
  const RagifySourceResult *result = call->result;
  return call->item_count + (result != NULL ? result->chunks.count : 0);
}

static const RagifyChunk *
passage_at (const RagifyKitCall *call, uint64_t index)
{
  if (index < call->item_count)
    return call->items[index];
  return chunk_at (&((const RagifySourceResult *)call->result)->chunks, index - call->item_count);
}

static RagifyKitCall *
query (RagifyKitInstance *instance, RagifyStr text, uint32_t top_k, const RagifyFilter *filter)
{
  RagifySourceQuery args = { .struct_size = sizeof args, .top_k = top_k, .text = text, .filter = filter };
  static float embedding[EMBEDDING_DIMENSION];
  embedding[0] = 1;
  if (ragify_kit_component (instance)->flags & RAGIFY_COMPONENT_WANTS_EMBEDDING)
    args.embedding = (RagifyVectors){ embedding, 1, EMBEDDING_DIMENSION };
  return ragify_kit_call (instance, (RagifyKitFunction)operations_of (instance)->query, &args, 0);
}

static void
keeps_the_limit (Subject *subject)
{
  static const uint32_t limits[] = { 1, 2, 3, 10, WIDE, 100000 };
  RagifyKitInstance *instance = subject_open (subject);
  for (size_t i = 0; instance != NULL && i < sizeof limits / sizeof limits[0]; i++) {
    RagifyKitCall *call = query (instance, ragify_str_from ("the"), limits[i], NULL);
    if (subject_succeeded (subject, call, "query"))
      expect (subject, count_passages (call) <= limits[i], "%llu passages where at most %u were wanted",
              (unsigned long long)count_passages (call), limits[i]);
    ragify_kit_call_free (call);
  }
  subject_close (subject, instance);
}

static void
passages_are_sound (Subject *subject)
{
  static const char *const words[] = { "the", "heron", "a", "and", "1" };
  RagifyKitInstance *instance = subject_open (subject);
  for (size_t i = 0; instance != NULL && i < sizeof words / sizeof words[0]; i++) {
    RagifyKitCall *call = query (instance, ragify_str_from (words[i]), WIDE, NULL);
    if (subject_succeeded (subject, call, "query"))
      for (uint64_t k = 0; k < count_passages (call); k++)
        check_chunk (subject, passage_at (call, k));
    ragify_kit_call_free (call);
  }
  subject_close (subject, instance);
}

static void
best_first (Subject *subject)
{
  RagifyKitInstance *instance = subject_open (subject);
  RagifyKitCall *call = instance != NULL ? query (instance, ragify_str_from ("the heron stands"), WIDE, NULL) : NULL;
  if (call != NULL && subject_succeeded (subject, call, "query"))
    for (uint64_t k = 1; k < count_passages (call); k++)
      expect (subject, passage_at (call, k)->score <= passage_at (call, k - 1)->score,
              "passage %llu has a score of %g behind one of %g", (unsigned long long)k, passage_at (call, k)->score,
              passage_at (call, k - 1)->score);
  ragify_kit_call_free (call);
  subject_close (subject, instance);
}

static void
survives_any_text (Subject *subject)
{
  RagifyKitInstance *instance = subject_open (subject);
  for (const RagifyStr *text = text_naughty; instance != NULL && text->data != NULL; text++) {
    RagifyKitCall *call = query (instance, *text, 5, NULL);
    if (subject_well_ended (subject, call, "a query for an odd text") && call->code == RAGIFY_OK)
      for (uint64_t k = 0; k < count_passages (call); k++)
        check_chunk (subject, passage_at (call, k));
    ragify_kit_call_free (call);
  }
  static char large[200000];
  memset (large, 'x', sizeof large);
  const RagifyStr texts[] = { { NULL, 0 }, { large, sizeof large } };
  for (size_t i = 0; instance != NULL && i < 2; i++) {
    RagifyKitCall *call = query (instance, texts[i], 5, NULL);
    subject_well_ended (subject, call, i == 0 ? "a query for nothing" : "a query of 200,000 characters");
    ragify_kit_call_free (call);
  }
  subject_close (subject, instance);
}

static void
ids_are_stable (Subject *subject)
{
  static const RagifyUuid none;
  RagifyKitInstance *instance = subject_open (subject);
  RagifyKitCall *calls[2] = { NULL, NULL };
  for (int i = 0; instance != NULL && i < 2; i++)
    calls[i] = query (instance, ragify_str_from ("the"), 20, NULL);
  if (instance != NULL && subject_succeeded (subject, calls[0], "query") &&
      subject_succeeded (subject, calls[1], "query"))
    for (uint64_t k = 0; k < count_passages (calls[0]) && k < count_passages (calls[1]); k++) {
      const RagifyChunk *first = passage_at (calls[0], k), *second = passage_at (calls[1], k);
      const bool same = first->document_id.size == second->document_id.size && first->ordinal == second->ordinal &&
                        first->document_id.size > 0 &&
                        memcmp (first->document_id.data, second->document_id.data, first->document_id.size) == 0;
      if (same && memcmp (&first->id, &none, sizeof none) != 0)
        expect (subject, memcmp (&first->id, &second->id, sizeof none) == 0,
                "the same document and position got another id the second time");
    }
  ragify_kit_call_free (calls[0]);
  ragify_kit_call_free (calls[1]);
  subject_close (subject, instance);
}

static void
filters_wholly (Subject *subject)
{
  const RagifyValue value = { .type = RAGIFY_VALUE_STRING, .string = ragify_str_from ("x") };
  static const uint32_t operators[] = { RAGIFY_FILTER_EQ, RAGIFY_FILTER_NE, RAGIFY_FILTER_GT, RAGIFY_FILTER_IN,
                                        RAGIFY_FILTER_NIN };
  const bool filters = (subject->component->flags & RAGIFY_COMPONENT_FILTERS) != 0;
  RagifyKitInstance *instance = subject_open (subject);
  for (size_t i = 0; instance != NULL && i < sizeof operators / sizeof operators[0]; i++) {
    const RagifyFilter filter = { .struct_size = sizeof filter,
                                  .op = operators[i],
                                  .field = ragify_str_from ("ragify-no-such-field"),
                                  .values = { &value, 1 } };
    RagifyKitCall *call = query (instance, ragify_str_from ("the"), 20, &filter);
    if (subject_well_ended (subject, call, "a filtered query") && call->code == RAGIFY_OK && filters)
      expect (subject, count_passages (call) == 0,
              "%llu passages without the field that the filter (operator %u) compares",
              (unsigned long long)count_passages (call), operators[i]);
    ragify_kit_call_free (call);
  }
  subject_close (subject, instance);
}

/* ---- scans ---- */

typedef struct Scanned {
  char **ids;
  size_t count;
  char cursor[4096];
  bool whole;
} Scanned;

static void
scanned_clear (Scanned *scanned)
{
  for (size_t i = 0; i < scanned->count; i++)
    free (scanned->ids[i]);
  free (scanned->ids);
}

/* One call of scan; adds the ids of what it emitted. */
static bool
scan_once (Subject *subject, RagifyKitInstance *instance, uint32_t limit, int64_t since, Scanned *scanned)
{
  const RagifySourceScan args = {
    .struct_size = sizeof args, .limit = limit, .cursor = ragify_str_from (scanned->cursor), .since = since
  };
  RagifyKitCall *call = ragify_kit_call (instance, (RagifyKitFunction)operations_of (instance)->scan, &args, 0);
  const bool ok = subject_succeeded (subject, call, "scan");
  for (size_t i = 0; ok && i < call->item_count; i++) {
    const RagifyChunk *chunk = call->items[i];
    check_chunk (subject, chunk);
    /* What does not know when it changed is listed each time. */
    if ((chunk->flags & RAGIFY_CHUNK_DELETED) || (since != 0 && chunk->updated_at == 0))
      continue;
    char **grown = realloc (scanned->ids, (scanned->count + 1) * sizeof *grown);
    if (grown == NULL)
      abort ();
    scanned->ids = grown;
    const RagifyStr name = chunk->document_id.size > 0 ? chunk->document_id : chunk->uri;
    char *id = calloc (1, name.size + 1);
    if (id == NULL)
      abort ();
    if (name.size > 0)
      memcpy (id, name.data, name.size);
    scanned->ids[scanned->count++] = id;
  }
  if (ok) {
    const RagifyStr cursor = ((const RagifySourceScanResult *)call->result)->cursor;
    expect (subject, cursor.size < sizeof scanned->cursor && text_is_utf8 (cursor), "a cursor that is no short text");
    const size_t size = cursor.size < sizeof scanned->cursor ? cursor.size : 0;
    if (size > 0)
      memcpy (scanned->cursor, cursor.data, size);
    scanned->cursor[size] = '\0';
    scanned->whole = size == 0;
  }
  ragify_kit_call_free (call);
  return ok;
}

static int
compare_ids (const void *a, const void *b)
{
  return strcmp (*(char *const *)a, *(char *const *)b);
}

static void
scans_in_pieces (Subject *subject)
{
  RagifyKitInstance *instance = subject_open (subject);
  if (instance != NULL && operations_of (instance)->scan == NULL) {
    skip (subject, "it has no scan");
    subject_close (subject, instance);
    return;
  }
  Scanned whole = { 0 }, pieces = { 0 };
  bool ok = instance != NULL;
  for (int i = 0; ok && !whole.whole && i < 1000; i++)
    ok = scan_once (subject, instance, 0, 0, &whole);
  for (int i = 0; ok && !pieces.whole && i < 10000; i++)
    ok = scan_once (subject, instance, 2, 0, &pieces);
  if (ok && expect (subject, whole.whole && pieces.whole, "the scan never comes to an end") &&
      expect (subject, whole.count == pieces.count, "%zu documents in one go, %zu in pieces", whole.count,
              pieces.count)) {
    if (whole.count > 0) {
      qsort (whole.ids, whole.count, sizeof *whole.ids, compare_ids);
      qsort (pieces.ids, pieces.count, sizeof *pieces.ids, compare_ids);
    }
    for (size_t i = 0; i < whole.count; i++)
      if (!expect (subject, strcmp (whole.ids[i], pieces.ids[i]) == 0, "in pieces '%s' came in place of '%s'",
                   pieces.ids[i], whole.ids[i]))
        break;
  }
  scanned_clear (&whole);
  scanned_clear (&pieces);
  subject_close (subject, instance);
}

static void
scans_what_is_new (Subject *subject)
{
  RagifyKitInstance *instance = subject_open (subject);
  if (instance != NULL && operations_of (instance)->scan == NULL) {
    skip (subject, "it has no scan");
  } else if (instance != NULL) {
    Scanned later = { 0 };
    const int64_t in_a_thousand_years = INT64_C (32503680000000000);
    if (scan_once (subject, instance, 0, in_a_thousand_years, &later))
      expect (subject, later.count == 0, "%zu documents changed after the year 3000", later.count);
    scanned_clear (&later);
  }
  subject_close (subject, instance);
}

static void
waits_for_credit (Subject *subject)
{
  RagifyKit *kit = subject_kit_new (subject, subject->folder, 1, 0);
  RagifyKitInstance *instance = subject_open_in (subject, kit);
  if (instance != NULL) {
    RagifyKitCall *call = query (instance, ragify_str_from ("the"), 50, NULL);
    subject_succeeded (subject, call, "a query that may emit one passage at a time");
    ragify_kit_call_free (call);
    Scanned scanned = { 0 };
    if (operations_of (instance)->scan != NULL)
      scan_once (subject, instance, 0, 0, &scanned);
    scanned_clear (&scanned);
  }
  subject_close (subject, instance);
  subject_kit_free (subject, kit);
}

#define SOURCE RAGIFY_KIND_SOURCE

const Case conformance_source_cases[] = {
  { "keeps the limit", "no more than top_k passages, emitted and returned together", keeps_the_limit, SOURCE },
  { "passages are sound", "UTF-8 throughout, metadata one JSON object, scores finite, declared ones in 0..1",
    passages_are_sound, SOURCE },
  { "best first", "passages come in the order of their scores, the best one first", best_first, SOURCE },
  { "survives any text",
    "whatever a person types is answered or refused with INVALID; no query language shines through", survives_any_text,
    SOURCE },
  { "ids are stable", "the same document and position have the same id each time, or none at all", ids_are_stable,
    SOURCE },
  { "filters wholly", "with RAGIFY_COMPONENT_FILTERS a missing field never matches, not even NE and NIN",
    filters_wholly, SOURCE },
  { "scans in pieces", "a scan by cursors brings the same documents as one without a limit, and ends", scans_in_pieces,
    SOURCE },
  { "scans what is new", "with `since` only what changed after it", scans_what_is_new, SOURCE },
  { "waits for credit", "after RAGIFY_EMIT_WAIT nothing is emitted until credit is renewed, and all of it then",
    waits_for_credit, SOURCE },
  { NULL, NULL, NULL, NULL },
};
