/* Text indexes: batches, words, generations. SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "conformance.h"

typedef struct Bench {
  Subject *subject;
  RagifyKitInstance *instance;
  const RagifyTextIndexOperations *operations;
} Bench;

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
  RagifyUuid id = { { 0x7e, 0x47, 0, 0, 0, 0, 0x40, 0, 0x80 } };
  id.bytes[15] = number;
  return id;
}

static RagifyGeneration
generation_of (uint64_t counter)
{
  return (RagifyGeneration){ { { 0x57, 0x0e } }, counter };
}

static const char *const passages[] = { "the heron stands in shallow water", "the bittern booms in the reeds",
                                        "herons and bitterns; d\xc3\xa9j\xc3\xa0 vu, na\xc3\xafve caf\xc3\xa9s" };

/* Writes passages from `first` on, removing `removed` (0: nothing) before. */
static void
write (Bench *bench, size_t first, size_t count, uint8_t removed, uint64_t counter)
{
  RagifyChunk chunks[3] = { { 0 } };
  const RagifyUuid gone = id_of (removed);
  for (size_t i = 0; i < count; i++)
    chunks[i] = (RagifyChunk){ .struct_size = sizeof chunks[i],
                               .id = id_of ((uint8_t)(first + i + 1)),
                               .document_id = ragify_str_from ("document"),
                               .content = ragify_str_from (passages[first + i]),
                               .metadata = ragify_str_from ("{\"lang\": \"en\"}") };
  const RagifyTextUpsert args = { .struct_size = sizeof args,
                                  .chunks = { chunks, count, sizeof chunks[0], 0 },
                                  .removed = { removed != 0 ? &gone : NULL, removed != 0 },
                                  .generation = generation_of (counter) };
  RagifyKitCall *call = ragify_kit_call (bench->instance, (RagifyKitFunction)bench->operations->upsert, &args, 0);
  subject_succeeded (bench->subject, call, "upsert");
  ragify_kit_call_free (call);
}

static RagifyKitCall *
search_call (Bench *bench, RagifyStr text, uint32_t top_k)
{
  const RagifyTextSearch args = { .struct_size = sizeof args, .top_k = top_k, .text = text };
  return ragify_kit_call (bench->instance, (RagifyKitFunction)bench->operations->search, &args, 0);
}

/* How many hits a text has; `*best` the number of the first. */
static uint64_t
search (Bench *bench, const char *text, uint32_t top_k, uint8_t *best)
{
  RagifyKitCall *call = search_call (bench, ragify_str_from (text), top_k);
  uint64_t count = 0;
  *best = 0;
  if (subject_succeeded (bench->subject, call, "search")) {
    const RagifyHitList *hits = &((const RagifyTextSearchResult *)call->result)->hits;
    count = hits->count;
    *best = count > 0 ? hits->items[0].id.bytes[15] : 0;
    for (uint64_t i = 0; i < count; i++) {
      expect (bench->subject, isfinite (hits->items[i].score), "a weight is not finite");
      expect (bench->subject, i == 0 || hits->items[i].score <= hits->items[i - 1].score,
              "hits are not in the order of their weights");
    }
  }
  ragify_kit_call_free (call);
  return count;
}

static RagifyTextGeneration
generation (Bench *bench)
{
  const RagifyNothing nothing = { .struct_size = sizeof nothing };
  RagifyTextGeneration result = { 0 };
  RagifyKitCall *call =
      ragify_kit_call (bench->instance, (RagifyKitFunction)bench->operations->generation, &nothing, 0);
  if (subject_succeeded (bench->subject, call, "generation"))
    result = *(const RagifyTextGeneration *)call->result;
  ragify_kit_call_free (call);
  return result;
}

static void
finds_by_words (Subject *subject)
{
  Bench bench;
  uint8_t best = 0;
  if (!bench_open (&bench, subject))
    return;
  expect (subject, search (&bench, "heron", 5, &best) == 0, "a new index finds something");
  write (&bench, 0, 3, 0, 1);
  search (&bench, "shallow water", 5, &best);
  expect (subject, best == 1, "'shallow water' finds passage %u first, not the one that says it", best);
  search (&bench, "who booms among reeds?", 5, &best);
  expect (subject, best == 2, "'who booms among reeds?' finds passage %u first", best);
  expect (subject, search (&bench, "the heron", 1, &best) <= 1, "more hits than top_k");
  expect (subject, search (&bench, "zyzzyva", 5, &best) == 0, "a word of no passage finds something");
  subject_close (subject, bench.instance);
}

static void
batches_replace_and_remove (Subject *subject)
{
  Bench bench;
  uint8_t best = 0;
  if (!bench_open (&bench, subject))
    return;
  write (&bench, 0, 2, 0, 1);
  write (&bench, 0, 1, 0, 2); /* again */
  expect (subject, search (&bench, "shallow", 5, &best) == 1, "a chunk that was written twice is found %s",
          best == 0 ? "never" : "more than once");
  write (&bench, 2, 1, 1, 3);
  expect (subject, search (&bench, "shallow", 5, &best) == 0, "a chunk that a batch removed is found");
  const RagifyTextRemove all = { .struct_size = sizeof all,
                                 .flags = RAGIFY_TEXT_REMOVE_ALL,
                                 .generation = generation_of (4) };
  RagifyKitCall *call = ragify_kit_call (bench.instance, (RagifyKitFunction)bench.operations->remove, &all, 0);
  subject_succeeded (subject, call, "remove of all");
  ragify_kit_call_free (call);
  expect (subject, search (&bench, "bittern reeds heron", 5, &best) == 0, "something is found after all was removed");
  expect (subject, generation (&bench).generation.counter == 4, "remove does not take the generation");
  write (&bench, 0, 2, 0, 5);
  search (&bench, "shallow", 5, &best);
  expect (subject, best == 1, "what is written after all was removed is not found");
  subject_close (subject, bench.instance);
}

static void
carries_the_generation (Subject *subject)
{
  const RagifyNothing nothing = { .struct_size = sizeof nothing };
  Bench bench;
  uint8_t best = 0;
  if (!bench_open (&bench, subject))
    return;
  expect (subject, generation (&bench).generation.counter == 0, "a new index has a generation");
  write (&bench, 0, 2, 0, 41);
  if (bench.operations->flush != NULL) {
    RagifyKitCall *call = ragify_kit_call (bench.instance, (RagifyKitFunction)bench.operations->flush, &nothing, 0);
    subject_succeeded (subject, call, "flush");
    ragify_kit_call_free (call);
  }
  subject_close (subject, bench.instance);
  if (!bench_open (&bench, subject))
    return;
  const RagifyTextGeneration state = generation (&bench);
  const RagifyGeneration written = generation_of (41);
  if (state.generation.counter == 0 && state.chunks == 0) { /* in memory: the host fills it anew */
    expect (subject, search (&bench, "shallow", 5, &best) == 0, "an index without a generation finds something");
    subject_close (subject, bench.instance);
    return;
  }
  expect (subject, state.generation.counter == 41 && memcmp (&state.generation.store, &written.store, 16) == 0,
          "after flush, stop and start the generation is %llu, it was 41",
          (unsigned long long)state.generation.counter);
  expect (subject, state.chunks == 2, "it counts %llu of 2 chunks", (unsigned long long)state.chunks);
  search (&bench, "shallow", 5, &best);
  expect (subject, best == 1, "after a restart nothing is found");
  subject_close (subject, bench.instance);
}

static void
survives_any_text (Subject *subject)
{
  Bench bench;
  if (!bench_open (&bench, subject))
    return;
  write (&bench, 0, 3, 0, 1);
  for (const RagifyStr *text = text_naughty; text->data != NULL; text++) {
    RagifyKitCall *call = search_call (&bench, *text, 5);
    subject_succeeded (subject, call, "a search for an odd text");
    ragify_kit_call_free (call);
  }
  RagifyKitCall *empty = search_call (&bench, ragify_str (NULL, 0), 5);
  subject_well_ended (subject, empty, "a search for nothing");
  ragify_kit_call_free (empty);
  static char large[200000];
  for (size_t i = 0; i < sizeof large; i++)
    large[i] = i % 7 == 6 ? ' ' : (char)('a' + i % 26);
  RagifyKitCall *call = search_call (&bench, ragify_str (large, sizeof large), 5);
  subject_well_ended (subject, call, "a search of 200,000 characters");
  ragify_kit_call_free (call);
  subject_close (subject, bench.instance);
}

#define TEXT RAGIFY_KIND_TEXT_INDEX

const Case conformance_text_cases[] = {
  { "finds by words", "what an upsert completed is found by its words, best first, at most top_k", finds_by_words,
    TEXT },
  { "batches replace and remove", "a batch removes first, then writes; a chunk that is written again is there once",
    batches_replace_and_remove, TEXT },
  { "carries the generation",
    "the index has the generation of its last batch; after a restart too, or it is empty and has none",
    carries_the_generation, TEXT },
  { "survives any text", "a search takes a person's words; no query language shines through", survives_any_text, TEXT },
  { NULL, NULL, NULL, NULL },
};
