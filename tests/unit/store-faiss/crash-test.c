/* Kills a process that writes, at random moments, and looks at what it left.
 *
 * Batch number g is always the same one, whatever went before, and makes generation g: so the generation that is found
 * says what must stand in the store. What was acknowledged must be among it. */
#include "store-fixture.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define DOCUMENTS 12u
#define CHUNKS 16u /* of one document, at most */
#define KILLS 40

/* What a document should hold. */
typedef struct {
  bool live;
  uint32_t count;
  uint32_t numbers[CHUNKS];
  uint64_t written[CHUNKS]; /* by which batch */
  uint32_t staged;
  uint32_t staged_numbers[CHUNKS];
  uint64_t staged_written[CHUNKS];
} Expected;

typedef struct {
  uint32_t document;
  bool remove;
  uint32_t mode;
  uint32_t count;
  uint32_t numbers[CHUNKS];
} Batch;

static uint32_t
scramble (uint64_t value)
{
  value = (value ^ (value >> 31)) * UINT64_C (0x9e3779b97f4a7c15);
  return (uint32_t)(value >> 40);
}

static Batch
choose_batch (const Expected *expected, uint64_t generation)
{
  Batch batch = { .document = scramble (generation) % DOCUMENTS, .count = 1 + scramble (generation + 1000) % 4 };
  const Expected *document = &expected[batch.document];
  uint32_t kind = scramble (generation + 5000) % 10;
  bool known = document->live || document->staged > 0;
  if (document->staged + 4 > CHUNKS - 4 || (kind == 7 && document->staged > 0))
    batch.mode = RAGIFY_DOCUMENT_COMMIT;
  else if (kind >= 8 && known)
    batch.remove = true;
  else
    batch.mode = kind >= 5 && kind < 7 ? RAGIFY_DOCUMENT_STAGE : RAGIFY_DOCUMENT_REPLACE;
  uint32_t first = batch.mode == RAGIFY_DOCUMENT_REPLACE ? 0 : document->staged;
  for (uint32_t i = 0; i < batch.count; i++)
    batch.numbers[i] = 1000 * (batch.document + 1) + first + i;
  return batch;
}

static void
expect_batch (Expected *expected, const Batch *batch, uint64_t generation)
{
  Expected *document = &expected[batch->document];
  if (batch->remove) {
    *document = (Expected){ 0 };
    return;
  }
  if (batch->mode == RAGIFY_DOCUMENT_STAGE) {
    for (uint32_t i = 0; i < batch->count; i++) {
      document->staged_numbers[document->staged] = batch->numbers[i];
      document->staged_written[document->staged++] = generation;
    }
    return;
  }
  Expected after = { .live = true };
  if (batch->mode == RAGIFY_DOCUMENT_COMMIT) {
    after.count = document->staged;
    memcpy (after.numbers, document->staged_numbers, sizeof after.numbers);
    memcpy (after.written, document->staged_written, sizeof after.written);
  }
  for (uint32_t i = 0; i < batch->count; i++) {
    after.numbers[after.count] = batch->numbers[i];
    after.written[after.count++] = generation;
  }
  *document = after;
}

static void
run_batch (Fixture *fixture, const Batch *batch, uint64_t generation)
{
  char name[16], content[32];
  const char *document = name;
  Piece pieces[CHUNKS];
  snprintf (name, sizeof name, "doc%u", batch->document);
  snprintf (content, sizeof content, "g%llu", (unsigned long long)generation);
  for (uint32_t i = 0; i < batch->count; i++)
    pieces[i] = (Piece){ name, batch->numbers[i], content, "{\"crash\":true}" };
  RagifyKitCall *call = batch->remove
                            ? ask_remove (fixture, NULL, 0, name, NULL)
                            : begin_upsert (fixture, batch->mode, 1, &document, 1, pieces, batch->count, true);
  must_be (call, RAGIFY_OK);
  ragify_kit_call_free (call);
}

/* What the child does: writes from where the store stands, and says each generation that was acknowledged. */
static int
write_for_ever (const char *folder)
{
  Fixture fixture = { 0 };
  Expected expected[DOCUMENTS] = { 0 };
  const RagifyKitOptions options = { .quiet = 1 };
  snprintf (fixture.path, sizeof fixture.path, "%s", folder);
  fixture.kit = ragify_kit_new (&options);
  must_open (&fixture);
  uint64_t stands = must_generation (&fixture).generation.counter;
  for (uint64_t generation = 1;; generation++) {
    Batch batch = choose_batch (expected, generation);
    expect_batch (expected, &batch, generation);
    if (generation <= stands)
      continue;
    run_batch (&fixture, &batch, generation);
    if (write (STDOUT_FILENO, &generation, sizeof generation) != (ssize_t)sizeof generation)
      return 1;
  }
}

static pid_t
start_child (const char *folder, int *reports)
{
  int ends[2];
  assert_int_equal (pipe (ends), 0);
  pid_t child = fork ();
  assert_true (child >= 0);
  if (child == 0) {
    (void)dup2 (ends[1], STDOUT_FILENO);
    (void)close (ends[0]);
    (void)close (ends[1]);
    (void)execl ("/proc/self/exe", "crash-test", folder, (char *)NULL);
    _exit (127);
  }
  (void)close (ends[1]);
  *reports = ends[0];
  return child;
}

/* Lets a child write for a while, and kills it. The last generation that it acknowledged, or `before`. */
static uint64_t
kill_child (const char *folder, uint64_t before, unsigned seed)
{
  int reports;
  uint64_t acknowledged = before, generation;
  pid_t child = start_child (folder, &reports);
  /* From the first acknowledgement on, so that it is writing; sometimes at once, during the start. */
  if (seed % 5 != 0 && read (reports, &generation, sizeof generation) == (ssize_t)sizeof generation)
    acknowledged = generation;
  (void)usleep (scramble (seed) % 60000);
  assert_int_equal (kill (child, SIGKILL), 0);
  while (read (reports, &generation, sizeof generation) == (ssize_t)sizeof generation)
    acknowledged = generation;
  (void)close (reports);
  assert_int_equal (waitpid (child, NULL, 0), child);
  return acknowledged;
}

static void
check_document (Fixture *fixture, const RagifyDocument *found, const Expected *expected)
{
  assert_int_equal (found->chunks, expected->count);
  assert_int_equal (found->staged, expected->staged);
  if (expected->count == 0)
    return;
  RagifyKitCall *call = ask_fetch (fixture, expected->numbers, expected->count, RAGIFY_FETCH_CONTENT);
  must_be (call, RAGIFY_OK);
  const RagifyStoreFetchResult *result = call->result;
  for (uint32_t i = 0; i < expected->count; i++) {
    char content[32];
    int size = snprintf (content, sizeof content, "g%llu", (unsigned long long)expected->written[i]);
    assert_int_equal (result->chunks.items[i].content.size, size);
    assert_memory_equal (result->chunks.items[i].content.data, content, (size_t)size);
    assert_true (is_found (fixture, expected->numbers[i]));
  }
  ragify_kit_call_free (call);
}

/* doc7 → 7 */
static uint32_t
number_of (RagifyStr id)
{
  uint32_t number = 0;
  for (uint64_t i = 3; i < id.size; i++)
    number = number * 10 + (uint32_t)(id.data[i] - '0');
  return number;
}

static void
check_store (Fixture *fixture, uint64_t acknowledged)
{
  Expected expected[DOCUMENTS] = { 0 };
  RagifyStoreGeneration generation = must_generation (fixture);
  assert_true (generation.generation.counter >= acknowledged);
  assert_true (generation.generation.counter <= acknowledged + 1);
  for (uint64_t i = 1; i <= generation.generation.counter; i++) {
    Batch batch = choose_batch (expected, i);
    expect_batch (expected, &batch, i);
  }
  uint64_t documents = 0, chunks = 0, known = 0;
  for (uint32_t i = 0; i < DOCUMENTS; i++) {
    documents += expected[i].live;
    chunks += expected[i].count;
    known += expected[i].live || expected[i].staged > 0;
  }
  assert_int_equal (generation.documents, documents);
  assert_int_equal (generation.chunks, chunks);
  assert_int_equal (generation.vectors, chunks);
  RagifyKitCall *call = ask_list (fixture, RAGIFY_LIST_DOCUMENTS, 1000, ragify_str (NULL, 0), NULL, NULL, 0);
  must_be (call, RAGIFY_OK);
  const RagifyDocumentList *list = &((const RagifyStoreListResult *)call->result)->documents;
  assert_int_equal (list->count, known);
  for (uint64_t i = 0; i < list->count; i++)
    check_document (fixture, &list->items[i], &expected[number_of (list->items[i].id)]);
  ragify_kit_call_free (call);
}

static void
test_nothing_acknowledged_is_lost_by_a_kill (void **state)
{
  Fixture *fixture = *state;
  uint64_t acknowledged = 0;
  for (unsigned i = 0; i < KILLS; i++) {
    acknowledged = kill_child (fixture->path, acknowledged, i);
    must_open (fixture);
    check_store (fixture, acknowledged);
    acknowledged = must_generation (fixture).generation.counter;
    must_close (fixture);
  }
  assert_true (acknowledged > KILLS / 2);
}

int
main (int argc, char **argv)
{
  if (argc > 1)
    return write_for_ever (argv[1]);
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown (test_nothing_acknowledged_is_lost_by_a_kill, fixture_set_up, fixture_tear_down),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
