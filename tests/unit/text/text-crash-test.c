/* Kills a process that writes to the text index, at random moments, and looks at what it left.
 *
 * Batch number g is always the same one and makes generation g, so the generation that is found says what must be found
 * by words; and what was acknowledged must be among it. */
#include "text-fixture.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define CHUNKS 30u
#define WRITTEN 3u /* by each batch */
#define KILLS 25

static uint32_t
scramble (uint64_t value)
{
  value = (value ^ (value >> 31)) * UINT64_C (0x9e3779b97f4a7c15);
  return (uint32_t)(value >> 40);
}

/* Which chunks batch g writes, and which it removes. */
static void
choose_batch (uint64_t generation, uint32_t *written, uint32_t *removed)
{
  uint32_t first = scramble (generation) % CHUNKS;
  for (uint32_t i = 0; i < WRITTEN; i++)
    written[i] = (first + 7 * i) % CHUNKS;
  *removed = (first + 1) % CHUNKS;
}

/* By which batch each chunk was written last; 0: it is not there. */
static void
expect (uint64_t *last, uint64_t until)
{
  memset (last, 0, CHUNKS * sizeof *last);
  for (uint64_t generation = 1; generation <= until; generation++) {
    uint32_t written[WRITTEN], removed;
    choose_batch (generation, written, &removed);
    last[removed] = 0;
    for (uint32_t i = 0; i < WRITTEN; i++)
      last[written[i]] = generation;
  }
}

static int
write_for_ever (const char *folder)
{
  TextFixture fixture = { 0 };
  const RagifyKitOptions options = { .quiet = 1 };
  const char *const config[] = { "lock-wait=10s", NULL };
  snprintf (fixture.path, sizeof fixture.path, "%s", folder);
  fixture.kit = ragify_kit_new (&options);
  if (text_try_open (&fixture, config) != RAGIFY_OK)
    return 1;
  for (uint64_t generation = text_generation (&fixture).generation.counter + 1;; generation++) {
    uint32_t written[WRITTEN], removed;
    char content[WRITTEN][64];
    TextPiece pieces[WRITTEN];
    choose_batch (generation, written, &removed);
    for (uint32_t i = 0; i < WRITTEN; i++) {
      snprintf (content[i], sizeof content[i], "batch%llu number%u", (unsigned long long)generation, written[i]);
      pieces[i] = (TextPiece){ written[i], "", content[i] };
    }
    RagifyKitCall *call = text_upsert (&fixture, pieces, WRITTEN, &removed, 1, generation);
    if (call->code != RAGIFY_OK || write (STDOUT_FILENO, &generation, sizeof generation) < (ssize_t)sizeof generation)
      return 1;
    ragify_kit_call_free (call);
  }
}

static uint64_t
kill_child (const char *folder, uint64_t before, unsigned seed)
{
  int ends[2];
  uint64_t acknowledged = before, generation;
  assert_int_equal (pipe (ends), 0);
  pid_t child = fork ();
  assert_true (child >= 0);
  if (child == 0) {
    (void)dup2 (ends[1], STDOUT_FILENO);
    (void)close (ends[0]);
    (void)close (ends[1]);
    (void)execl ("/proc/self/exe", "text-crash-test", folder, (char *)NULL);
    _exit (127);
  }
  (void)close (ends[1]);
  if (seed % 5 != 0 && read (ends[0], &generation, sizeof generation) == (ssize_t)sizeof generation)
    acknowledged = generation;
  (void)usleep (scramble (seed) % 60000);
  assert_int_equal (kill (child, SIGKILL), 0);
  while (read (ends[0], &generation, sizeof generation) == (ssize_t)sizeof generation)
    acknowledged = generation;
  (void)close (ends[0]);
  assert_int_equal (waitpid (child, NULL, 0), child);
  return acknowledged;
}

static void
check_index (TextFixture *fixture, uint64_t acknowledged)
{
  uint64_t last[CHUNKS], there = 0;
  RagifyTextGeneration generation = text_generation (fixture);
  assert_true (generation.generation.counter >= acknowledged);
  expect (last, generation.generation.counter);
  for (uint32_t i = 0; i < CHUNKS; i++) {
    char query[64], number[16];
    there += last[i] > 0;
    snprintf (query, sizeof query, "number%u", i);
    snprintf (number, sizeof number, "%u", i);
    assert_string_equal (text_found (fixture, query), last[i] > 0 ? number : "");
    if (last[i] == 0)
      continue;
    snprintf (query, sizeof query, "number%u batch%llu", i, (unsigned long long)last[i]);
    assert_int_equal (strtoul (text_found (fixture, query), NULL, 10), i);
  }
  assert_int_equal (generation.chunks, there);
}

static void
test_the_index_is_of_one_generation_after_a_kill (void **state)
{
  TextFixture *fixture = *state;
  const char *const config[] = { "lock-wait=10s", NULL };
  uint64_t acknowledged = 0;
  for (unsigned i = 0; i < KILLS; i++) {
    acknowledged = kill_child (fixture->path, acknowledged, i);
    assert_int_equal (text_try_open (fixture, config), RAGIFY_OK);
    check_index (fixture, acknowledged);
    acknowledged = text_generation (fixture).generation.counter;
    text_must_close (fixture);
  }
  assert_true (acknowledged > 5);
}

int
main (int argc, char **argv)
{
  if (argc > 1)
    return write_for_ever (argv[1]);
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown (test_the_index_is_of_one_generation_after_a_kill, text_set_up, text_tear_down),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
