/* Vector stores: batches, searches, lists, generations, durability. SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"

#define DIMENSION 8

typedef struct Bench {
  Subject *subject;
  RagifyKitInstance *instance;
  const RagifyVectorStoreOperations *operations;
} Bench;

/* One chunk to be written: its text is "TEXT", its vector the unit vector of `axis`, a little turned by `turn`. */
typedef struct Piece {
  const char *document, *text;
  uint8_t id;
  unsigned axis;
  float turn;
} Piece;

static bool
bench_open (Bench *bench, Subject *subject)
{
  bench->subject = subject;
  bench->instance = subject_open (subject);
  bench->operations = bench->instance != NULL ? ragify_kit_operations (bench->instance) : NULL;
  return bench->instance != NULL;
}

static RagifyUuid
id_of (uint8_t number)
{
  RagifyUuid id = { { 0xc0, 0x4f, 0x04, 0x3a, 0, 0, 0x40, 0, 0x80 } };
  id.bytes[15] = number;
  return id;
}

static void
vector_of (float *vector, unsigned axis, float turn)
{
  memset (vector, 0, DIMENSION * sizeof *vector);
  vector[axis % DIMENSION] = cosf (turn);
  vector[(axis + 1) % DIMENSION] = sinf (turn);
}

static bool
same_generation (const RagifyGeneration *a, const RagifyGeneration *b)
{
  return a->counter == b->counter && memcmp (&a->store, &b->store, sizeof a->store) == 0;
}

/* Writes the pieces in one batch; they are in the order of their documents. */
static RagifyKitCall *
upsert (Bench *bench, const Piece *pieces, size_t count, uint32_t mode)
{
  RagifyDocument documents[16] = { { 0 } };
  RagifyChunk chunks[16] = { { 0 } };
  float vectors[16 * DIMENSION];
  size_t n_documents = 0;
  for (size_t i = 0; i < count; i++) {
    const RagifyStr document = ragify_str_from (pieces[i].document);
    if (i == 0 || strcmp (pieces[i].document, pieces[i - 1].document) != 0) {
      RagifyDocument *new_one = &documents[n_documents++];
      *new_one = (RagifyDocument){ .struct_size = sizeof *new_one,
                                   .mode = mode,
                                   .id = document,
                                   .title = ragify_str_from ("A title"),
                                   .metadata = ragify_str_from ("{\"lang\": \"en\", \"year\": 2020}"),
                                   .content_hash = id_of (pieces[i].id),
                                   .updated_at = 1700000000000000 };
    }
    chunks[i] = (RagifyChunk){ .struct_size = sizeof chunks[i],
                               .id = id_of (pieces[i].id),
                               .document_id = document,
                               .content = ragify_str_from (pieces[i].text),
                               .metadata = ragify_str_from ("{\"lang\": \"en\", \"year\": 2020}"),
                               .ordinal = i };
    vector_of (&vectors[i * DIMENSION], pieces[i].axis, pieces[i].turn);
  }
  const RagifyStoreUpsert args = { .struct_size = sizeof args,
                                   .documents = { documents, n_documents, sizeof documents[0], 0 },
                                   .chunks = { chunks, count, sizeof chunks[0], 0 },
                                   .vectors = { vectors, (uint32_t)count, DIMENSION } };
  return ragify_kit_call (bench->instance, (RagifyKitFunction)bench->operations->upsert, &args, 0);
}

static RagifyGeneration
write_pieces (Bench *bench, const Piece *pieces, size_t count)
{
  RagifyGeneration generation = { { { 0 } }, 0 };
  RagifyKitCall *call = upsert (bench, pieces, count, RAGIFY_DOCUMENT_REPLACE);
  if (subject_succeeded (bench->subject, call, "upsert")) {
    const RagifyStoreUpsertResult *result = call->result;
    generation = result->generation;
    expect (bench->subject, result->inserted == count, "%llu chunks inserted where %zu were brought",
            (unsigned long long)result->inserted, count);
  }
  ragify_kit_call_free (call);
  return generation;
}

static const Piece three[] = { { "first", "the heron stands", 1, 0, 0 },
                               { "second", "the bittern booms", 2, 2, 0 },
                               { "second", "and hides", 3, 4, 0 } };

static RagifyKitCall *
search_call (Bench *bench, unsigned axis, uint32_t top_k, const RagifyFilter *filter)
{
  float vector[DIMENSION];
  vector_of (vector, axis, 0);
  const RagifyStoreSearch args = {
    .struct_size = sizeof args, .top_k = top_k, .vectors = { vector, 1, DIMENSION }, .filter = filter
  };
  return ragify_kit_call (bench->instance, (RagifyKitFunction)bench->operations->search, &args, 0);
}

/* The best hit's last byte of the id, 0 when there is none; `*count` hits. */
static uint8_t
search (Bench *bench, unsigned axis, uint32_t top_k, uint64_t *count)
{
  RagifyKitCall *call = search_call (bench, axis, top_k, NULL);
  uint8_t best = 0;
  *count = 0;
  if (subject_succeeded (bench->subject, call, "search")) {
    const RagifyStoreSearchResult *result = call->result;
    *count = result->hits.count;
    expect (bench->subject, result->counts.count == 1 && result->counts.items[0] == result->hits.count,
            "counts do not say how many hits each query has");
    for (uint64_t i = 0; i < result->hits.count; i++) {
      expect (bench->subject, isfinite (result->hits.items[i].score) && fabsf (result->hits.items[i].score) < 1.1f,
              "a score of %g is no cosine", (double)result->hits.items[i].score);
      expect (bench->subject, i == 0 || result->hits.items[i].score <= result->hits.items[i - 1].score,
              "hits are not in the order of their scores");
    }
    best = result->hits.count > 0 ? result->hits.items[0].id.bytes[15] : 0;
  }
  ragify_kit_call_free (call);
  return best;
}

static RagifyStoreGeneration
generation (Bench *bench)
{
  const RagifyNothing nothing = { .struct_size = sizeof nothing };
  RagifyStoreGeneration result = { 0 };
  RagifyKitCall *call =
      ragify_kit_call (bench->instance, (RagifyKitFunction)bench->operations->generation, &nothing, 0);
  if (subject_succeeded (bench->subject, call, "generation"))
    result = *(const RagifyStoreGeneration *)call->result;
  ragify_kit_call_free (call);
  return result;
}

static void
expect_best (Bench *bench, unsigned axis, uint8_t id)
{
  uint64_t count = 0;
  const uint8_t best = search (bench, axis, 3, &count);
  expect (bench->subject, best == id, "chunk %u is nearest, and the search found %u first", id, best);
}

/* ---- the cases ---- */

static void
empty_is_empty (Subject *subject)
{
  Bench bench;
  uint64_t count = 0;
  if (!bench_open (&bench, subject))
    return;
  search (&bench, 0, 5, &count);
  expect (subject, count == 0, "a new store finds %llu chunks", (unsigned long long)count);
  const RagifyStoreGeneration state = generation (&bench);
  expect (subject, state.chunks == 0 && state.documents == 0, "a new store counts %llu chunks",
          (unsigned long long)state.chunks);
  subject_close (subject, bench.instance);
}

static void
finds_what_was_written (Subject *subject)
{
  Bench bench;
  uint64_t count = 0;
  if (!bench_open (&bench, subject))
    return;
  write_pieces (&bench, three, 3);
  expect_best (&bench, 0, 1);
  expect_best (&bench, 2, 2);
  expect_best (&bench, 4, 3);
  search (&bench, 0, 1, &count);
  expect (subject, count <= 1, "%llu hits where one was wanted", (unsigned long long)count);
  search (&bench, 0, 100000, &count);
  expect (subject, count == 3, "%llu hits of 3 chunks", (unsigned long long)count);
  subject_close (subject, bench.instance);
}

static void
a_document_is_replaced_whole (Subject *subject)
{
  static const Piece anew[] = { { "second", "the bittern flies", 4, 6, 0 } };
  Bench bench;
  uint64_t count = 0;
  if (!bench_open (&bench, subject))
    return;
  write_pieces (&bench, three, 3);
  RagifyKitCall *call = upsert (&bench, anew, 1, RAGIFY_DOCUMENT_REPLACE);
  if (subject_succeeded (subject, call, "upsert"))
    expect (subject, ((const RagifyStoreUpsertResult *)call->result)->removed.count == 2,
            "%llu chunks are said to be replaced, it was 2",
            (unsigned long long)((const RagifyStoreUpsertResult *)call->result)->removed.count);
  ragify_kit_call_free (call);
  expect_best (&bench, 6, 4);
  search (&bench, 0, 100, &count);
  expect (subject, count == 2, "%llu chunks are found where 2 are left", (unsigned long long)count);
  expect (subject, generation (&bench).chunks == 2, "it counts %llu chunks",
          (unsigned long long)generation (&bench).chunks);
  subject_close (subject, bench.instance);
}

static void
remove_with (Bench *bench, const RagifyStoreRemove *args, uint64_t expected)
{
  RagifyKitCall *call = ragify_kit_call (bench->instance, (RagifyKitFunction)bench->operations->remove, args, 0);
  if (subject_succeeded (bench->subject, call, "remove"))
    expect (bench->subject, ((const RagifyStoreRemoveResult *)call->result)->removed.count == expected,
            "%llu chunks are said to be gone, it should be %llu",
            (unsigned long long)((const RagifyStoreRemoveResult *)call->result)->removed.count,
            (unsigned long long)expected);
  ragify_kit_call_free (call);
}

static void
removes_by_id_and_document (Subject *subject)
{
  Bench bench;
  uint64_t count = 0;
  if (!bench_open (&bench, subject))
    return;
  write_pieces (&bench, three, 3);
  const RagifyUuid id = id_of (2);
  const RagifyStr document = ragify_str_from ("first");
  const RagifyStoreRemove none = { .struct_size = sizeof none };
  const RagifyStoreRemove by_id = { .struct_size = sizeof by_id, .ids = { &id, 1 } };
  const RagifyStoreRemove by_document = { .struct_size = sizeof by_document, .documents = { &document, 1 } };
  remove_with (&bench, &none, 0);
  remove_with (&bench, &by_id, 1);
  remove_with (&bench, &by_id, 0);
  search (&bench, 2, 100, &count);
  expect (subject, count == 2, "%llu chunks are found after one of 3 was removed", (unsigned long long)count);
  remove_with (&bench, &by_document, 1);
  expect (subject, search (&bench, 0, 100, &count) == 3 && count == 1, "the document's chunk is still found");
  subject_close (subject, bench.instance);
}

static void
fetches_in_order (Subject *subject)
{
  Bench bench;
  if (!bench_open (&bench, subject))
    return;
  write_pieces (&bench, three, 3);
  const RagifyUuid ids[] = { id_of (3), id_of (99), id_of (1) };
  const RagifyStoreFetch args = { .struct_size = sizeof args,
                                  .what = RAGIFY_FETCH_CONTENT | RAGIFY_FETCH_METADATA | RAGIFY_FETCH_VECTORS,
                                  .ids = { ids, 3 } };
  RagifyKitCall *call = ragify_kit_call (bench.instance, (RagifyKitFunction)bench.operations->fetch, &args, 0);
  if (subject_succeeded (subject, call, "fetch")) {
    const RagifyStoreFetchResult *result = call->result;
    if (expect (subject, result->chunks.count == 3, "%llu chunks for 3 ids",
                (unsigned long long)result->chunks.count)) {
      const RagifyChunk *chunks[3];
      for (size_t i = 0; i < 3; i++)
        chunks[i] = (const RagifyChunk *)(const void *)((const char *)result->chunks.items + i * result->chunks.stride);
      expect (subject, chunks[0]->content.size == 9 && memcmp (chunks[0]->content.data, "and hides", 9) == 0,
              "the first chunk is not the first id's");
      expect (subject, (chunks[1]->flags & RAGIFY_CHUNK_MISSING) != 0, "an unknown id is not RAGIFY_CHUNK_MISSING");
      expect (subject, text_is_json_object (chunks[2]->metadata) && chunks[2]->metadata.size > 0,
              "metadata did not come back");
    }
    if (expect (subject, result->vectors.count == 3 && result->vectors.dimension == DIMENSION,
                "%u vectors of %u for 3 ids", result->vectors.count, result->vectors.dimension))
      expect (subject, result->vectors.items[4] > 0.9f, "the first vector is not the first id's");
  }
  ragify_kit_call_free (call);
  subject_close (subject, bench.instance);
}

/* Counts what a list brings, piece by piece. */
static bool
count_list (Bench *bench, uint32_t what, uint32_t limit, uint64_t since, uint64_t *found, uint64_t *deleted)
{
  char cursor[4096] = "";
  *found = *deleted = 0;
  for (int round = 0; round < 100; round++) {
    const RagifyStoreList args = {
      .struct_size = sizeof args, .what = what, .limit = limit, .cursor = ragify_str_from (cursor), .since = since
    };
    RagifyKitCall *call = ragify_kit_call (bench->instance, (RagifyKitFunction)bench->operations->list, &args, 0);
    const RagifyStoreListResult *result = call->result;
    const bool ok = subject_succeeded (bench->subject, call, "list");
    const bool known = ok && result->since_too_old == 0;
    if (known) {
      const uint64_t count = what == RAGIFY_LIST_CHUNKS ? result->chunks.count : result->documents.count;
      expect (bench->subject, count <= limit, "%llu where at most %u were wanted", (unsigned long long)count, limit);
      for (uint64_t i = 0; i < count; i++) {
        const uint32_t flags =
            what == RAGIFY_LIST_CHUNKS
                ? ((const RagifyChunk *)(const void *)((const char *)result->chunks.items + i * result->chunks.stride))
                          ->flags &
                      RAGIFY_CHUNK_DELETED
                : ((const RagifyDocument *)(const void *)((const char *)result->documents.items +
                                                          i * result->documents.stride))
                          ->flags &
                      RAGIFY_DOCUMENT_DELETED;
        *(flags != 0 ? deleted : found) += 1;
      }
      const size_t size = result->cursor.size < sizeof cursor ? result->cursor.size : 0;
      if (size > 0)
        memcpy (cursor, result->cursor.data, size);
      cursor[size] = '\0';
    }
    ragify_kit_call_free (call);
    if (!known || *cursor == '\0')
      return known;
  }
  expect (bench->subject, false, "the list never comes to an end");
  return false;
}

static void
lists_in_pieces (Subject *subject)
{
  Bench bench;
  uint64_t found = 0, deleted = 0;
  if (!bench_open (&bench, subject))
    return;
  const RagifyGeneration before = write_pieces (&bench, three, 3);
  for (uint32_t limit = 1; limit <= 4; limit++) {
    if (count_list (&bench, RAGIFY_LIST_CHUNKS, limit, 0, &found, &deleted))
      expect (subject, found == 3, "%llu of 3 chunks by %u", (unsigned long long)found, limit);
    if (count_list (&bench, RAGIFY_LIST_DOCUMENTS, limit, 0, &found, &deleted))
      expect (subject, found == 2, "%llu of 2 documents by %u", (unsigned long long)found, limit);
  }
  const RagifyUuid id = id_of (1);
  const RagifyStoreRemove by_id = { .struct_size = sizeof by_id, .ids = { &id, 1 } };
  remove_with (&bench, &by_id, 1);
  /* A follower of words that knows the first batch learns of the removal, or that it has to read everything. */
  if (count_list (&bench, RAGIFY_LIST_CHUNKS, 10, before.counter, &found, &deleted))
    expect (subject, deleted == 1 && found == 0, "since the first batch %llu chunks are listed as new, %llu as deleted",
            (unsigned long long)found, (unsigned long long)deleted);
  subject_close (subject, bench.instance);
}

static void
generations_grow_by_one (Subject *subject)
{
  Bench bench;
  if (!bench_open (&bench, subject))
    return;
  const RagifyGeneration first = write_pieces (&bench, three, 1);
  const RagifyGeneration second = write_pieces (&bench, three + 1, 2);
  expect (subject, second.counter == first.counter + 1, "the counter went from %llu to %llu with one batch",
          (unsigned long long)first.counter, (unsigned long long)second.counter);
  expect (subject, memcmp (&first.store, &second.store, sizeof first.store) == 0,
          "the store's UUID changed with a batch");
  const RagifyStoreGeneration state = generation (&bench);
  expect (subject, same_generation (&state.generation, &second), "generation is not that of the last batch");
  subject_close (subject, bench.instance);
}

static void
is_durable (Subject *subject)
{
  Bench bench;
  if (!bench_open (&bench, subject))
    return;
  const RagifyGeneration written = write_pieces (&bench, three, 3);
  subject_close (subject, bench.instance);
  if (!bench_open (&bench, subject))
    return;
  const RagifyStoreGeneration state = generation (&bench);
  expect (subject, same_generation (&state.generation, &written), "after a restart the generation is another one");
  expect (subject, state.chunks == 3, "after a restart there are %llu of 3 chunks", (unsigned long long)state.chunks);
  expect_best (&bench, 2, 2);
  subject_close (subject, bench.instance);
}

static void
write_three (Subject *subject)
{
  Bench bench;
  if (bench_open (&bench, subject))
    write_pieces (&bench, three, 3);
}

static void
survives_kill (Subject *subject)
{
  Bench bench;
  if (subject->found > 0 || !bench_open (&bench, subject))
    return;
  expect (subject, generation (&bench).chunks == 3, "%llu of 3 chunks are there after the process was killed",
          (unsigned long long)generation (&bench).chunks);
  expect_best (&bench, 4, 3);
  subject_close (subject, bench.instance);
}

/* The last half of the document "long", under the content hash of the first. */
static void
commit_long (Bench *bench, uint8_t hash)
{
  const RagifyDocument document = { .struct_size = sizeof document,
                                    .mode = RAGIFY_DOCUMENT_COMMIT,
                                    .id = ragify_str_from ("long"),
                                    .content_hash = id_of (hash) };
  const RagifyChunk chunk = { .struct_size = sizeof chunk,
                              .id = id_of (2),
                              .document_id = document.id,
                              .content = ragify_str_from ("two"),
                              .ordinal = 1 };
  float vector[DIMENSION];
  vector_of (vector, 2, 0);
  const RagifyStoreUpsert args = { .struct_size = sizeof args,
                                   .documents = { &document, 1, sizeof document, 0 },
                                   .chunks = { &chunk, 1, sizeof chunk, 0 },
                                   .vectors = { vector, 1, DIMENSION } };
  RagifyKitCall *call = ragify_kit_call (bench->instance, (RagifyKitFunction)bench->operations->upsert, &args, 0);
  subject_succeeded (bench->subject, call, "upsert with RAGIFY_DOCUMENT_COMMIT");
  ragify_kit_call_free (call);
}

static void
staged_is_not_found (Subject *subject)
{
  static const Piece first_half[] = { { "long", "one", 1, 0, 0 } };
  Bench bench;
  uint64_t count = 0;
  if (!bench_open (&bench, subject))
    return;
  RagifyKitCall *call = upsert (&bench, first_half, 1, RAGIFY_DOCUMENT_STAGE);
  if (call->code == RAGIFY_E_INVALID && call->hung == 0) {
    skip (subject, "it refuses RAGIFY_DOCUMENT_STAGE");
  } else if (subject_succeeded (subject, call, "upsert with RAGIFY_DOCUMENT_STAGE")) {
    search (&bench, 0, 10, &count);
    expect (subject, count == 0, "a staged chunk is found");
    commit_long (&bench, first_half[0].id);
    search (&bench, 0, 10, &count);
    expect (subject, count == 2, "%llu of 2 chunks are found once the document is committed",
            (unsigned long long)count);
  }
  ragify_kit_call_free (call);
  subject_close (subject, bench.instance);
}

static void
filters_wholly (Subject *subject)
{
  const RagifyValue english = { .type = RAGIFY_VALUE_STRING, .string = ragify_str_from ("en") };
  const RagifyValue french = { .type = RAGIFY_VALUE_STRING, .string = ragify_str_from ("fr") };
  const RagifyFilter filters[] = {
    { sizeof (RagifyFilter), RAGIFY_FILTER_EQ, ragify_str_from ("lang"), { &english, 1 }, { 0 } },
    { sizeof (RagifyFilter), RAGIFY_FILTER_EQ, ragify_str_from ("lang"), { &french, 1 }, { 0 } },
    { sizeof (RagifyFilter), RAGIFY_FILTER_NE, ragify_str_from ("nowhere"), { &french, 1 }, { 0 } },
  };
  static const uint64_t expected[] = { 3, 0, 0 };
  Bench bench;
  if (!(subject->component->flags & RAGIFY_COMPONENT_FILTERS)) {
    skip (subject, "it does not say RAGIFY_COMPONENT_FILTERS");
    return;
  }
  if (!bench_open (&bench, subject))
    return;
  write_pieces (&bench, three, 3);
  for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++) {
    RagifyKitCall *call = search_call (&bench, 0, 10, &filters[i]);
    if (subject_succeeded (subject, call, "a filtered search"))
      expect (subject, ((const RagifyStoreSearchResult *)call->result)->hits.count == expected[i],
              "filter %zu finds %llu chunks, it should be %llu", i,
              (unsigned long long)((const RagifyStoreSearchResult *)call->result)->hits.count,
              (unsigned long long)expected[i]);
    ragify_kit_call_free (call);
  }
  subject_close (subject, bench.instance);
}

static void
other_vectors_are_refused (Subject *subject)
{
  static const float wrong[3] = { 1, 0, 0 };
  Bench bench;
  if (!bench_open (&bench, subject))
    return;
  write_pieces (&bench, three, 3);
  const RagifyStoreSearch args = { .struct_size = sizeof args, .top_k = 3, .vectors = { wrong, 1, 3 } };
  RagifyKitCall *call = ragify_kit_call (bench.instance, (RagifyKitFunction)bench.operations->search, &args, 0);
  subject_failed_with (subject, call, RAGIFY_E_INVALID, "a search by a vector of another dimension");
  ragify_kit_call_free (call);
  subject_close (subject, bench.instance);
  const RagifyEmbedderInfo other = { .struct_size = sizeof other,
                                     .dimension = DIMENSION,
                                     .fingerprint = ragify_str_from ("another model") };
  RagifyKitInstance *instance = ragify_kit_open (subject->kit, subject->path, subject->component->kind,
                                                 subject->component->name, subject->config, &other);
  expect (subject, instance == NULL, "it starts with an embedder of another fingerprint than its vectors");
  subject_close (subject, instance);
}

#define STORE RAGIFY_KIND_VECTOR_STORE

const Killed conformance_killed_parts[] = { { survives_kill, write_three }, { NULL, NULL } };

const Case conformance_store_cases[] = {
  { "empty is empty", "a new store finds nothing and counts nothing, without an error", empty_is_empty, STORE },
  { "finds what was written", "a search after a completed upsert finds its chunks, nearest first, at most top_k",
    finds_what_was_written, STORE },
  { "a document is replaced whole", "RAGIFY_DOCUMENT_REPLACE removes what the document had, and says what went",
    a_document_is_replaced_whole, STORE },
  { "removes by id and document", "what was removed is not found by the next search; removing it again removes nothing",
    removes_by_id_and_document, STORE },
  { "fetches in order", "fetch answers one chunk and one vector for each id, in their order; unknown ids are MISSING",
    fetches_in_order, STORE },
  { "lists in pieces", "a list by cursors is whole, keeps its limit, and with `since` says what went", lists_in_pieces,
    STORE },
  { "generations grow by one", "each committed batch raises the counter by one under the same UUID",
    generations_grow_by_one, STORE },
  { "is durable", "what was committed is there after stop and start, under the same generation", is_durable, STORE },
  { "survives kill", "what was completed with call_done is there after kill -9", survives_kill, STORE },
  { "staged is not found", "chunks of RAGIFY_DOCUMENT_STAGE are found once the document is committed, and not before",
    staged_is_not_found, STORE },
  { "filters wholly", "with RAGIFY_COMPONENT_FILTERS a search brings what matches, and a missing field never does",
    filters_wholly, STORE },
  { "other vectors are refused", "another dimension is INVALID, another fingerprint a refused start",
    other_vectors_are_refused, STORE },
  { NULL, NULL, NULL, NULL },
};
