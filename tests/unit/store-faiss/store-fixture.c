#include "store-fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

const RagifyEmbedderInfo fixture_embedder = { .struct_size = sizeof fixture_embedder,
                                              .dimension = DIMENSION,
                                              .fingerprint = { "test-16", 7 } };

RagifyUuid
make_id (uint32_t number)
{
  RagifyUuid id = { { 0x80 } };
  memcpy (id.bytes + 12, &number, sizeof number);
  return id;
}

bool
same_id (RagifyUuid left, RagifyUuid right)
{
  return memcmp (&left, &right, sizeof left) == 0;
}

void
make_vector (uint32_t number, uint32_t dimension, float *vector)
{
  uint64_t state = number * UINT64_C (0x9e3779b97f4a7c15) + 12345;
  double sum = 0;
  for (uint32_t i = 0; i < dimension; i++) {
    state = state * UINT64_C (6364136223846793005) + UINT64_C (1442695040888963407);
    vector[i] = (float)((double)(state >> 33) / (double)(UINT64_C (1) << 31) - 0.5);
    sum += (double)vector[i] * vector[i];
  }
  for (uint32_t i = 0; i < dimension; i++)
    vector[i] = (float)(vector[i] / sqrt (sum));
}

void
must_open (Fixture *fixture)
{
  if (try_open (fixture, NULL, &fixture_embedder) != RAGIFY_OK)
    fail_msg ("%s", ragify_kit_error (fixture->kit));
}

void
must_close (Fixture *fixture)
{
  assert_int_equal (ragify_kit_close (fixture->store), RAGIFY_OK);
  fixture->store = NULL;
}

void
must_be (const RagifyKitCall *call, int32_t code)
{
  if (call->code != code)
    fail_msg ("expected code %d, found %d: %s", code, call->code, call->message);
}

RagifyKitCall *
begin_upsert (Fixture *fixture, uint32_t mode, uint32_t version, const char *const *documents, size_t document_count,
              const Piece *pieces, size_t count, bool with_vectors)
{
  RagifyDocument *items = calloc (document_count + 1, sizeof *items);
  RagifyChunk *chunks = calloc (count + 1, sizeof *chunks);
  float *vectors = calloc (count * DIMENSION + 1, sizeof *vectors);
  for (size_t i = 0; i < document_count; i++) {
    items[i] = (RagifyDocument){ .struct_size = sizeof *items, .mode = mode, .content_hash = make_id (version) };
    items[i].id = ragify_str_from (documents[i]);
    items[i].uri = ragify_str_from ("file:///tmp/x");
    items[i].title = ragify_str_from ("a title");
  }
  for (size_t i = 0; i < count; i++) {
    chunks[i] = (RagifyChunk){ .struct_size = sizeof *chunks, .id = make_id (pieces[i].number), .ordinal = i };
    chunks[i].document_id = ragify_str_from (pieces[i].document);
    chunks[i].content = ragify_str_from (pieces[i].content);
    chunks[i].metadata = ragify_str_from (pieces[i].metadata);
    chunks[i].title = ragify_str_from ("a title");
    chunks[i].begin = 10 * i;
    chunks[i].end = 10 * i + 10;
    make_vector (pieces[i].number, DIMENSION, vectors + i * DIMENSION);
  }
  RagifyStoreUpsert args = { .struct_size = sizeof args,
                             .documents = { .items = items, .count = document_count, .stride = sizeof *items },
                             .chunks = { .items = chunks, .count = count, .stride = sizeof *chunks } };
  if (with_vectors)
    args.vectors = (RagifyVectors){ .items = vectors, .count = (uint32_t)count, .dimension = DIMENSION };
  RagifyKitCall *call = ragify_kit_call (fixture->store, (RagifyKitFunction)fixture->operations->upsert, &args, 0);
  free (items);
  free (chunks);
  free (vectors);
  return call;
}

uint64_t
must_upsert (Fixture *fixture, uint32_t mode, uint32_t version, const char *document, const Piece *pieces, size_t count,
             uint64_t removed)
{
  RagifyKitCall *call = begin_upsert (fixture, mode, version, &document, 1, pieces, count, true);
  must_be (call, RAGIFY_OK);
  const RagifyStoreUpsertResult *result = call->result;
  assert_int_equal (result->removed.count, removed);
  assert_int_equal (result->inserted, count);
  uint64_t generation = result->generation.counter;
  ragify_kit_call_free (call);
  return generation;
}

RagifyKitCall *
ask_search (Fixture *fixture, uint32_t number, uint32_t top_k, const RagifyFilter *filter)
{
  float vector[DIMENSION];
  make_vector (number, DIMENSION, vector);
  RagifyStoreSearch args = { .struct_size = sizeof args, .top_k = top_k, .filter = filter };
  args.vectors = (RagifyVectors){ .items = vector, .count = 1, .dimension = DIMENSION };
  return ragify_kit_call (fixture->store, (RagifyKitFunction)fixture->operations->search, &args, 0);
}

bool
is_found (Fixture *fixture, uint32_t number)
{
  RagifyKitCall *call = ask_search (fixture, number, 1, NULL);
  must_be (call, RAGIFY_OK);
  const RagifyStoreSearchResult *result = call->result;
  bool found = result->hits.count == 1 && same_id (result->hits.items[0].id, make_id (number)) &&
               fabsf (result->hits.items[0].score - 1) < 1e-5F;
  ragify_kit_call_free (call);
  return found;
}

RagifyKitCall *
ask_fetch (Fixture *fixture, const uint32_t *numbers, size_t count, uint32_t what)
{
  RagifyUuid *ids = calloc (count + 1, sizeof *ids);
  for (size_t i = 0; i < count; i++)
    ids[i] = make_id (numbers[i]);
  RagifyStoreFetch args = { .struct_size = sizeof args, .what = what, .ids = { .items = ids, .count = count } };
  RagifyKitCall *call = ragify_kit_call (fixture->store, (RagifyKitFunction)fixture->operations->fetch, &args, 0);
  free (ids);
  return call;
}

RagifyKitCall *
ask_list (Fixture *fixture, uint32_t what, uint32_t limit, RagifyStr cursor, const char *document,
          const RagifyFilter *filter, uint64_t since)
{
  const RagifyStr name = ragify_str_from (document);
  RagifyStoreList args = { .struct_size = sizeof args, .what = what, .limit = limit, .cursor = cursor };
  args.filter = filter;
  args.since = since;
  if (document != NULL)
    args.documents = (RagifyStrList){ .items = &name, .count = 1 };
  return ragify_kit_call (fixture->store, (RagifyKitFunction)fixture->operations->list, &args, 0);
}

RagifyKitCall *
ask_remove (Fixture *fixture, const uint32_t *numbers, size_t count, const char *document, const RagifyFilter *filter)
{
  RagifyUuid *ids = calloc (count + 1, sizeof *ids);
  const RagifyStr name = ragify_str_from (document);
  for (size_t i = 0; i < count; i++)
    ids[i] = make_id (numbers[i]);
  RagifyStoreRemove args = { .struct_size = sizeof args, .ids = { .items = ids, .count = count }, .filter = filter };
  if (document != NULL)
    args.documents = (RagifyStrList){ .items = &name, .count = 1 };
  RagifyKitCall *call = ragify_kit_call (fixture->store, (RagifyKitFunction)fixture->operations->remove, &args, 0);
  free (ids);
  return call;
}

RagifyStoreGeneration
must_generation (Fixture *fixture)
{
  const RagifyNothing nothing = { .struct_size = sizeof nothing };
  RagifyKitCall *call =
      ragify_kit_call (fixture->store, (RagifyKitFunction)fixture->operations->generation, &nothing, 0);
  must_be (call, RAGIFY_OK);
  RagifyStoreGeneration generation = *(const RagifyStoreGeneration *)call->result;
  ragify_kit_call_free (call);
  return generation;
}

RagifyFilter
filter_text (uint32_t op, const char *field, const char *value, RagifyValue *room)
{
  *room = (RagifyValue){ .type = RAGIFY_VALUE_STRING, .string = ragify_str_from (value) };
  return (RagifyFilter){ .struct_size = sizeof (RagifyFilter),
                         .op = op,
                         .field = ragify_str_from (field),
                         .values = { .items = room, .count = 1 } };
}

RagifyFilter
filter_integer (uint32_t op, const char *field, int64_t value, RagifyValue *room)
{
  *room = (RagifyValue){ .type = RAGIFY_VALUE_INT, .integer = value };
  return (RagifyFilter){ .struct_size = sizeof (RagifyFilter),
                         .op = op,
                         .field = ragify_str_from (field),
                         .values = { .items = room, .count = 1 } };
}
