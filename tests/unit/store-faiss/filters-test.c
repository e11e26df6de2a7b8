/* Filtered searches: what they find is what a look at every chunk finds, whatever was written, removed or built since;
 * what is kept of filters is bounded, and told. */
#include "store-fixture.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NUMBERS 1400u /* chunks that there may be, one a document */
#define BATCH 250u
#define FILTERS 10u
#define MANY 20u /* comparisons: more than are kept one by one */

typedef struct {
  bool lives;
  uint32_t lang, year;
  uint32_t version; /* of the text; makes the metadata ones of its own where it is odd */
} State;

typedef struct {
  Fixture *fixture;
  State states[NUMBERS];
  uint32_t version;
  uint64_t random;
} Model;

static const char *const langs[] = { "en", "de", "fr" };

static uint32_t
next_random (Model *model)
{
  model->random = model->random * UINT64_C (6364136223846793005) + UINT64_C (1442695040888963407);
  return (uint32_t)(model->random >> 33);
}

/* ---- filters, and what they mean ---- */

typedef struct {
  RagifyFilter nodes[MANY + 4];
  RagifyValue values[MANY + 4];
} Room;

static RagifyFilter
of (uint32_t op, RagifyFilter *children, uint64_t count)
{
  return (RagifyFilter){ .struct_size = sizeof (RagifyFilter),
                         .op = op,
                         .children = { .items = children, .count = count, .stride = sizeof *children } };
}

static RagifyFilter
make_filter (uint32_t which, Room *room)
{
  RagifyFilter *nodes = room->nodes;
  RagifyValue *values = room->values;
  nodes[0] = filter_text (RAGIFY_FILTER_EQ, "lang", "en", &values[0]);
  nodes[1] = filter_integer (RAGIFY_FILTER_GTE, "year", 2005, &values[1]);
  switch (which) {
  case 0:
    return nodes[0];
  case 1:
    return of (RAGIFY_FILTER_AND, nodes, 2);
  case 2:
    return of (RAGIFY_FILTER_OR, nodes, 2);
  case 3:
    return of (RAGIFY_FILTER_NOT, nodes, 1);
  case 4:
    return filter_text (RAGIFY_FILTER_NE, "lang", "en", &values[0]);
  case 5: /* lang is not en, or year is at least 2005, and not 2007 */
    nodes[2] = of (RAGIFY_FILTER_NOT, &nodes[0], 1);
    nodes[3] = nodes[1];
    nodes[4] = of (RAGIFY_FILTER_OR, &nodes[2], 2);
    nodes[6] = filter_integer (RAGIFY_FILTER_EQ, "year", 2007, &values[2]);
    nodes[5] = of (RAGIFY_FILTER_NOT, &nodes[6], 1);
    return of (RAGIFY_FILTER_AND, &nodes[4], 2);
  case 6: /* year is one of many */
    for (uint32_t i = 0; i < MANY; i++)
      nodes[i] = filter_integer (RAGIFY_FILTER_EQ, "year", 1990 + i, &values[i]);
    return of (RAGIFY_FILTER_OR, nodes, MANY);
  case 7:
    return of (RAGIFY_FILTER_AND, nodes, 0);
  case 8:
    return of (RAGIFY_FILTER_OR, nodes, 0);
  default: /* of a few percent */
    return filter_integer (RAGIFY_FILTER_EQ, "year", 2003, &values[0]);
  }
}

static bool
means (uint32_t which, const State *state)
{
  const bool some = state->lang < 3; /* otherwise it has no metadata */
  const bool english = some && state->lang == 0, late = some && state->year >= 2005;
  switch (which) {
  case 0:
    return english;
  case 1:
    return english && late;
  case 2:
    return english || late;
  case 3:
    return !english;
  case 4:
    return some && !english;
  case 5:
    return (!english || late) && !(some && state->year == 2007);
  case 6:
    return some && state->year < 1990 + MANY;
  case 7:
    return true;
  case 8:
    return false;
  default:
    return some && state->year == 2003;
  }
}

/* ---- changes ---- */

static void
write_some (Model *model, uint32_t first, uint32_t count)
{
  static char names[NUMBERS][16], metadata[NUMBERS][80];
  const char *documents[NUMBERS];
  Piece pieces[NUMBERS];
  model->version++;
  for (uint32_t i = 0; i < count; i++) {
    const uint32_t number = (first + i) % NUMBERS;
    State *state = &model->states[number];
    *state = (State){ true, next_random (model) % 4, 2000 + next_random (model) % 20, model->version };
    snprintf (names[i], sizeof names[i], "d%u", number);
    if (state->lang == 3)
      metadata[i][0] = '\0';
    else if (model->version % 2 == 0)
      snprintf (metadata[i], sizeof metadata[i], "{\"lang\":\"%s\",\"year\":%u}", langs[state->lang], state->year);
    else
      snprintf (metadata[i], sizeof metadata[i], "{\"lang\":\"%s\",\"year\":%u,\"own\":\"%u %u\"}", langs[state->lang],
                state->year, number, model->version);
    documents[i] = names[i];
    pieces[i] = (Piece){ names[i], number, "x", metadata[i] };
  }
  RagifyKitCall *call =
      begin_upsert (model->fixture, RAGIFY_DOCUMENT_REPLACE, model->version, documents, count, pieces, count, true);
  must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
}

static void
remove_some (Model *model, uint32_t count)
{
  uint32_t numbers[NUMBERS];
  for (uint32_t i = 0; i < count; i++) {
    numbers[i] = next_random (model) % NUMBERS;
    model->states[numbers[i]].lives = false;
  }
  RagifyKitCall *call = ask_remove (model->fixture, numbers, count, NULL, NULL);
  must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
}

static void
remove_matching (Model *model, uint32_t which)
{
  Room room;
  const RagifyFilter filter = make_filter (which, &room);
  for (uint32_t i = 0; i < NUMBERS; i++)
    if (means (which, &model->states[i]))
      model->states[i].lives = false;
  RagifyKitCall *call = ask_remove (model->fixture, NULL, 0, NULL, &filter);
  must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
}

static void
optimize (Model *model)
{
  const RagifyStoreOptimize args = { .struct_size = sizeof args };
  RagifyKitCall *call =
      ragify_kit_call (model->fixture->store, (RagifyKitFunction)model->fixture->operations->optimize, &args, 0);
  must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
}

/* ---- what is found ---- */

static uint32_t
number_of (const RagifyUuid *id)
{
  for (uint32_t number = 0; number < NUMBERS; number++)
    if (same_id (*id, make_id (number)))
      return number;
  fail_msg ("an id that nobody wrote was found");
  return 0;
}

static float
score_of (uint32_t left, uint32_t right)
{
  float a[DIMENSION], b[DIMENSION], sum = 0;
  make_vector (left, DIMENSION, a);
  make_vector (right, DIMENSION, b);
  for (uint32_t i = 0; i < DIMENSION; i++)
    sum += a[i] * b[i];
  return sum;
}

/* Asked for more than there is, all that match are found and nothing else, the best first. */
static void
check_all (const Model *model, uint32_t which, uint32_t query)
{
  Room room;
  const RagifyFilter filter = make_filter (which, &room);
  bool found[NUMBERS] = { false };
  RagifyKitCall *call = ask_search (model->fixture, query, 2 * NUMBERS, &filter);
  must_be (call, RAGIFY_OK);
  const RagifyHitList *hits = &((const RagifyStoreSearchResult *)call->result)->hits;
  for (uint64_t i = 0; i < hits->count; i++) {
    found[number_of (&hits->items[i].id)] = true;
    assert_true (i == 0 || hits->items[i - 1].score >= hits->items[i].score);
  }
  uint32_t expected = 0;
  for (uint32_t i = 0; i < NUMBERS; i++) {
    const bool right = model->states[i].lives && means (which, &model->states[i]);
    if (found[i] != right)
      fail_msg ("filter %u: chunk %u was %sfound, of version %u", which, i, right ? "not " : "",
                model->states[i].version);
    expected += right;
  }
  assert_int_equal (hits->count, expected);
  ragify_kit_call_free (call);
}

/* The ten best are those that a look at every chunk finds. */
static void
check_best (const Model *model, uint32_t which, uint32_t query)
{
  Room room;
  const RagifyFilter filter = make_filter (which, &room);
  RagifyKitCall *call = ask_search (model->fixture, query, 10, &filter);
  must_be (call, RAGIFY_OK);
  const RagifyHitList *hits = &((const RagifyStoreSearchResult *)call->result)->hits;
  const float last = hits->count == 10 ? hits->items[9].score : -2;
  uint32_t better = 0;
  for (uint32_t i = 0; i < NUMBERS; i++)
    better += model->states[i].lives && means (which, &model->states[i]) && score_of (query, i) > last + 1e-5F;
  assert_true (hits->count == 10 ? better <= 9 : better == hits->count);
  for (uint64_t i = 0; i < hits->count; i++)
    assert_true (means (which, &model->states[number_of (&hits->items[i].id)]));
  ragify_kit_call_free (call);
}

static void
check (const Model *model, bool exact)
{
  for (uint32_t which = 0; which < FILTERS; which++) {
    check_all (model, which, which);
    if (exact)
      check_best (model, which, 37 * which);
  }
}

static void
open_with (Fixture *fixture, const char *const *config)
{
  if (try_open (fixture, config, &fixture_embedder) != RAGIFY_OK)
    fail_msg ("%s", ragify_kit_error (fixture->kit));
}

/* Each step is looked at before the next one, so that what is kept of filters is always a step behind. */
static void
run_with (Fixture *fixture, const char *const *config, bool exact)
{
  Model *model = calloc (1, sizeof *model);
  model->fixture = fixture;
  open_with (fixture, config);
  for (uint32_t first = 0; first < NUMBERS; first += BATCH)
    write_some (model, first, NUMBERS - first < BATCH ? NUMBERS - first : BATCH);
  check (model, exact);
  optimize (model);
  check (model, exact);
  for (uint32_t round = 0; round < 4; round++) {
    write_some (model, next_random (model) % NUMBERS, 1 + next_random (model) % 120);
    check (model, exact);
    remove_some (model, 40);
    check (model, exact);
    write_some (model, next_random (model) % NUMBERS, 60);
    if (round % 2 == 0)
      remove_matching (model, round == 0 ? 9 : 5);
    check (model, exact);
    if (round == 1)
      optimize (model);
  }
  for (uint32_t first = 0; first < NUMBERS; first += BATCH)
    write_some (model, first, NUMBERS - first < BATCH ? NUMBERS - first : BATCH);
  optimize (model);
  check (model, exact);
  must_close (fixture);
  open_with (fixture, config);
  check (model, exact);
  free (model);
}

static void
test_flat_finds_what_a_look_at_every_chunk_finds (void **state)
{
  const char *config[] = { NULL };
  run_with (*state, config, true);
}

#ifdef WITH_FAISS
static void
test_lists_find_what_a_look_at_every_chunk_finds (void **state)
{
  const char *config[] = { "index=IVF16,Flat", "nprobe=16", NULL };
  run_with (*state, config, true);
}

static void
test_a_graph_finds_all_that_match (void **state)
{
  const char *config[] = { "index=HNSW16", NULL };
  run_with (*state, config, false);
}

static void
test_codes_find_all_that_match (void **state)
{
  const char *config[] = { "index=SQ8", NULL };
  run_with (*state, config, false);
}
#endif

/* ---- what is kept ---- */

static int64_t
statistic (Fixture *fixture, const char *name)
{
  const RagifyNothing nothing = { .struct_size = sizeof nothing };
  const RagifyComponent *component = ragify_kit_component (fixture->store);
  RagifyKitCall *call = ragify_kit_call (fixture->store, (RagifyKitFunction)component->stats, &nothing, 0);
  must_be (call, RAGIFY_OK);
  const RagifyPairList *values = &((const RagifyStatsResult *)call->result)->values;
  int64_t value = -1;
  for (uint64_t i = 0; i < values->count; i++)
    if (values->items[i].name.size == strlen (name) && memcmp (values->items[i].name.data, name, strlen (name)) == 0)
      value = values->items[i].value.integer;
  ragify_kit_call_free (call);
  assert_true (value >= 0);
  return value;
}

static void
fill (Model *model)
{
  for (uint32_t first = 0; first < NUMBERS; first += BATCH)
    write_some (model, first, NUMBERS - first < BATCH ? NUMBERS - first : BATCH);
}

static void
test_what_is_kept_is_used_until_something_changes (void **state)
{
  Model *model = calloc (1, sizeof *model);
  model->fixture = *state;
  must_open (model->fixture);
  fill (model);
  check_all (model, 1, 1); /* lang and year */
  assert_int_equal (statistic (model->fixture, "filters_kept"), 2);
  assert_int_equal (statistic (model->fixture, "filter_misses"), 2);
  check_all (model, 2, 1);
  check_all (model, 0, 1);
  assert_int_equal (statistic (model->fixture, "filter_hits"), 3);
  assert_int_equal (statistic (model->fixture, "filter_misses"), 2);
  remove_some (model, 1);
  check_all (model, 0, 1);
  check_all (model, 0, 1);
  assert_int_equal (statistic (model->fixture, "filter_hits"), 4);
  assert_int_equal (statistic (model->fixture, "filter_misses"), 3);
  free (model);
}

#ifdef WITH_FAISS
#define NEWEST 100u

/* The newest metadata go with the chunks that carried them, whose rows the approximate index still has. */
static void
test_what_is_kept_is_used_after_the_newest_metadata_have_gone (void **state)
{
  const char *config[] = { "index=IVF16,Flat", NULL };
  uint32_t last[NEWEST];
  Model *model = calloc (1, sizeof *model);
  model->fixture = *state;
  open_with (model->fixture, config);
  fill (model);
  if (model->version % 2 != 0)
    write_some (model, 0, 1);
  write_some (model, 0, NEWEST); /* each with metadata of its own */
  optimize (model);
  for (uint32_t i = 0; i < NEWEST; i++) {
    last[i] = i;
    model->states[i].lives = false;
  }
  RagifyKitCall *call = ask_remove (model->fixture, last, NEWEST, NULL, NULL);
  must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
  optimize (model);
  assert_true (statistic (model->fixture, "dead_vectors") > 0);
  check_all (model, 0, 1);
  check_all (model, 0, 1);
  assert_int_equal (statistic (model->fixture, "filter_misses"), 1);
  assert_int_equal (statistic (model->fixture, "filter_hits"), 1);
  free (model);
}
#endif

static void
test_what_is_kept_is_bounded (void **state)
{
  const char *config[] = { "filter-cache=2KiB", NULL };
  Model *model = calloc (1, sizeof *model);
  model->fixture = *state;
  open_with (model->fixture, config);
  fill (model);
  for (uint32_t round = 0; round < 3; round++) {
    check (model, true);
    assert_true (statistic (model->fixture, "filter_bytes") <= 2048);
  }
  assert_true (statistic (model->fixture, "filters_kept") > 0);
  assert_true (statistic (model->fixture, "filters_evicted") > 0);
  free (model);
}

static void
test_nothing_need_be_kept (void **state)
{
  const char *config[] = { "filter-cache=0", NULL };
  Model *model = calloc (1, sizeof *model);
  model->fixture = *state;
  open_with (model->fixture, config);
  fill (model);
  check (model, true);
  assert_int_equal (statistic (model->fixture, "filters_kept"), 0);
  assert_int_equal (statistic (model->fixture, "filter_bytes"), 0);
  assert_int_equal (statistic (model->fixture, "filter_hits"), 0);
  free (model);
}

/* ---- side by side ---- */

#define MINE 60u
#define THEIRS 60u
#define ROUNDS 40u
#define READERS 3u

typedef struct {
  Fixture *fixture;
  atomic_bool over;
  atomic_uint wrong, missing, searches;
} Shared;

/* Chunks below MINE are mine and never change; all others are somebody else's, with metadata that are new each time,
 * and may never be let through, not even by a filter that only says what they are not. */
static void *
search_all_the_time (void *user)
{
  Shared *shared = user;
  RagifyValue values[2];
  RagifyFilter theirs = filter_text (RAGIFY_FILTER_EQ, "tenant", "other", &values[0]);
  const RagifyFilter filters[] = { of (RAGIFY_FILTER_NOT, &theirs, 1),
                                   filter_text (RAGIFY_FILTER_EQ, "tenant", "me", &values[1]) };
  for (uint32_t i = 0; !atomic_load (&shared->over); i++) {
    RagifyKitCall *call = ask_search (shared->fixture, i % (MINE + THEIRS), 2 * (MINE + THEIRS), &filters[i % 2]);
    uint32_t mine = 0;
    const bool ok = call->code == RAGIFY_OK;
    const RagifyHitList *hits = ok ? &((const RagifyStoreSearchResult *)call->result)->hits : NULL;
    for (uint64_t k = 0; ok && k < hits->count; k++)
      for (uint32_t number = 0; number < MINE; number++)
        mine += same_id (hits->items[k].id, make_id (number));
    if (!ok || hits->count != mine)
      atomic_fetch_add (&shared->wrong, 1);
    if (mine != MINE)
      atomic_fetch_add (&shared->missing, 1);
    atomic_fetch_add (&shared->searches, 1);
    ragify_kit_call_free (call);
  }
  return NULL;
}

static void
write_theirs (Fixture *fixture, uint32_t round)
{
  static char metadata[THEIRS][80];
  Piece pieces[THEIRS];
  const char *document = "theirs";
  const uint32_t count = 1 + round * 13 % THEIRS;
  for (uint32_t i = 0; i < count; i++) {
    snprintf (metadata[i], sizeof metadata[i], "{\"tenant\":\"other\",\"round\":%u,\"i\":%u}", round, i);
    pieces[i] = (Piece){ document, MINE + i, "theirs", metadata[i] };
  }
  RagifyKitCall *call = begin_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, round, &document, 1, pieces, count, true);
  must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
}

static void
run_side_by_side (Fixture *fixture, const char *const *config)
{
  Shared shared = { .fixture = fixture };
  pthread_t readers[READERS];
  Piece mine[MINE];
  open_with (fixture, config);
  for (uint32_t i = 0; i < MINE; i++)
    mine[i] = (Piece){ "mine", i, "mine", i % 2 == 0 ? "{\"tenant\":\"me\"}" : "{\"tenant\":\"me\",\"odd\":true}" };
  must_upsert (fixture, RAGIFY_DOCUMENT_REPLACE, 1, "mine", mine, MINE, 0);
  for (size_t i = 0; i < READERS; i++)
    assert_int_equal (pthread_create (&readers[i], NULL, search_all_the_time, &shared), 0);
  for (uint32_t round = 0; round < ROUNDS; round++)
    write_theirs (fixture, round);
  while (atomic_load (&shared.searches) < READERS)
    (void)sched_yield ();
  atomic_store (&shared.over, true);
  for (size_t i = 0; i < READERS; i++)
    (void)pthread_join (readers[i], NULL);
  assert_int_equal (atomic_load (&shared.wrong), 0);
  assert_int_equal (atomic_load (&shared.missing), 0);
}

static void
test_what_is_somebody_elses_never_passes (void **state)
{
  const char *config[] = { NULL };
  run_side_by_side (*state, config);
}

static void
test_nor_does_it_where_little_is_kept (void **state)
{
  const char *config[] = { "filter-cache=1KiB", NULL };
  run_side_by_side (*state, config);
}

/* ---- what is listed ---- */

#define CHANGES 150u

static void *
list_all_the_time (void *user)
{
  Shared *shared = user;
  RagifyValue value;
  const RagifyFilter filter = filter_text (RAGIFY_FILTER_EQ, "tenant", "me", &value);
  while (!atomic_load (&shared->over)) {
    RagifyKitCall *call = ask_list (shared->fixture, RAGIFY_LIST_CHUNKS, 10, ragify_str (NULL, 0), "mine", &filter, 0);
    if (call->code != RAGIFY_OK)
      atomic_fetch_add (&shared->wrong, 1);
    else if (((const RagifyStoreListResult *)call->result)->chunks.count != 1)
      atomic_fetch_add (&shared->missing, 1);
    atomic_fetch_add (&shared->searches, 1);
    ragify_kit_call_free (call);
  }
  return NULL;
}

/* Before each change it matches, and after it, too. */
static void
test_what_changes_meanwhile_is_listed (void **state)
{
  Shared shared = { .fixture = *state };
  pthread_t reader;
  char metadata[80];
  must_open (*state);
  for (uint32_t round = 0; round < CHANGES; round++) {
    snprintf (metadata, sizeof metadata, "{\"tenant\":\"me\",\"round\":%u}", round);
    const Piece mine = { "mine", 1, "mine", metadata };
    must_upsert (*state, RAGIFY_DOCUMENT_REPLACE, round, "mine", &mine, 1, 0);
    if (round == 0)
      assert_int_equal (pthread_create (&reader, NULL, list_all_the_time, &shared), 0);
  }
  while (atomic_load (&shared.searches) == 0)
    (void)sched_yield ();
  atomic_store (&shared.over, true);
  (void)pthread_join (reader, NULL);
  assert_int_equal (atomic_load (&shared.wrong), 0);
  assert_int_equal (atomic_load (&shared.missing), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown (function, fixture_set_up, fixture_tear_down)

int
main (void)
{
  const struct CMUnitTest tests[] = {
    TEST (test_flat_finds_what_a_look_at_every_chunk_finds),
#ifdef WITH_FAISS
    TEST (test_lists_find_what_a_look_at_every_chunk_finds),
    TEST (test_a_graph_finds_all_that_match),
    TEST (test_codes_find_all_that_match),
#endif
    TEST (test_what_is_kept_is_used_until_something_changes),
#ifdef WITH_FAISS
    TEST (test_what_is_kept_is_used_after_the_newest_metadata_have_gone),
#endif
    TEST (test_what_is_kept_is_bounded),
    TEST (test_nothing_need_be_kept),
    TEST (test_what_is_somebody_elses_never_passes),
    TEST (test_nor_does_it_where_little_is_kept),
    TEST (test_what_changes_meanwhile_is_listed),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
