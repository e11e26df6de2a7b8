/* How good the words' answers are, on judged collections; skipped where the test data are not there. */
#include "collection.h"
#include "text-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BATCH 1000u

static void
write_collection (TextFixture *fixture, const Collection *collection)
{
  RagifyChunk *chunks = calloc (BATCH, sizeof *chunks);
  for (size_t first = 0; first < collection->passage_count; first += BATCH) {
    size_t count = collection->passage_count - first < BATCH ? collection->passage_count - first : BATCH;
    for (size_t i = 0; i < count; i++) {
      const Passage *passage = &collection->passages[first + i];
      chunks[i] = (RagifyChunk){ .struct_size = sizeof *chunks, .id = collection_id (first + i) };
      chunks[i].title = ragify_str_from (passage->title);
      chunks[i].content = ragify_str_from (passage->text);
    }
    const RagifyTextUpsert args = { .struct_size = sizeof args,
                                    .chunks = { .items = chunks, .count = count, .stride = sizeof *chunks },
                                    .generation = { .counter = first + count } };
    RagifyKitCall *call = ragify_kit_call (fixture->index, (RagifyKitFunction)fixture->operations->upsert, &args, 0);
    text_must_be (call, RAGIFY_OK);
    ragify_kit_call_free (call);
  }
  free (chunks);
}

/* The mean nDCG at 10 over all judged queries. */
static double
measure (TextFixture *fixture, const Collection *collection)
{
  double sum = 0;
  for (size_t i = 0; i < collection->query_count; i++) {
    RagifyKitCall *call = text_search (fixture, collection->queries[i].text, strlen (collection->queries[i].text), 10);
    text_must_be (call, RAGIFY_OK);
    const RagifyHitList *hits = &((const RagifyTextSearchResult *)call->result)->hits;
    sum += collection_ndcg (collection, i, hits->items, hits->count);
    ragify_kit_call_free (call);
  }
  return sum / (double)collection->query_count;
}

static void
must_reach (TextFixture *fixture, const char *name, double least)
{
  Collection *collection = collection_load (name);
  if (collection == NULL)
    skip ();
  text_must_open (fixture);
  write_collection (fixture, collection);
  double reached = measure (fixture, collection);
  collection_free (collection);
  print_message ("# %s: nDCG@10 %.4f\n", name, reached);
  if (reached < least)
    fail_msg ("%s: expected nDCG@10 of %.3f at least, found %.4f", name, least, reached);
}

static void
test_scifact (void **state)
{
  must_reach (*state, "scifact", 0.680);
}

static void
test_twelve_languages (void **state)
{
  must_reach (*state, "xquad_12lang", 0.88);
}

#define TEST(function) cmocka_unit_test_setup_teardown (function, text_set_up, text_tear_down)

int
main (void)
{
  const struct CMUnitTest tests[] = {
    TEST (test_scifact),
    TEST (test_twelve_languages),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
