/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/pipeline/passages.h"

#define MINUTE (60 * (guint64)G_USEC_PER_SEC)

static RagifyChunk
make_chunk (guint number, char *content, gsize size)
{
  RagifyChunk chunk = { .struct_size = sizeof chunk, .ordinal = number, .content = ragify_str (content, size) };
  memset (content, 'a' + (int)(number % 26), size);
  memcpy (chunk.id.bytes, &number, sizeof number);
  chunk.title = ragify_str_from ("A title");
  return chunk;
}

static void
put (RagifyPassages *passages, guint64 state, guint number, gsize size, guint64 now)
{
  g_autofree char *content = g_malloc (size + 1);
  const RagifyChunk chunk = make_chunk (number, content, size);
  ragify_passages_put (passages, 0, state, &chunk, now);
}

/* Whether it is there, whole. */
static gboolean
has (RagifyPassages *passages, guint16 holder, guint64 state, guint number, guint64 now)
{
  RagifyUuid id = { { 0 } };
  memcpy (id.bytes, &number, sizeof number);
  const RagifyPassage *passage = ragify_passages_get (passages, holder, state, &id, now);
  if (passage == NULL)
    return FALSE;
  assert_int_equal (passage->chunk.ordinal, number);
  assert_int_equal (passage->chunk.title.size, strlen ("A title"));
  assert_int_equal (passage->chunk.document_id.size, 0);
  for (gsize i = 0; i < passage->chunk.content.size; i++)
    assert_int_equal (passage->chunk.content.data[i], 'a' + number % 26);
  ragify_passage_unref (passage);
  return TRUE;
}

static void
a_passage_is_there_for_one_state_of_its_store (void **state)
{
  RagifyPassages *passages = ragify_passages_new (1 << 20);
  assert_false (has (passages, 0, 1, 5, 0));
  put (passages, 1, 5, 1000, 0);
  assert_true (has (passages, 0, 1, 5, 0));
  assert_false (has (passages, 1, 1, 5, 0)); /* another store's */
  assert_false (has (passages, 0, 1, 6, 0));
  assert_false (has (passages, 0, 2, 5, 0));
  put (passages, 2, 5, 500, 0);
  assert_true (has (passages, 0, 2, 5, 0));
  assert_true (ragify_passages_bytes (passages) < 1000); /* in the place of the older one */
  ragify_passages_free (passages);
}

static void
a_passage_gets_no_older_than_a_minute (void **state)
{
  RagifyPassages *passages = ragify_passages_new (1 << 20);
  put (passages, 1, 5, 10, 1000);
  assert_true (has (passages, 0, 1, 5, MINUTE));
  assert_false (has (passages, 0, 1, 5, MINUTE + 1001));
  ragify_passages_free (passages);
}

static void
bytes_stay_in_bounds_and_what_is_asked_for_stays (void **state)
{
  const gsize limit = 1 << 20;
  RagifyPassages *passages = ragify_passages_new (limit);
  guint left = 0;
  for (guint number = 0; number < 10000; number++) {
    put (passages, 1, number, 1000, 0);
    (void)has (passages, 0, 1, 7, 0);
    assert_true (ragify_passages_bytes (passages) <= limit);
  }
  assert_true (has (passages, 0, 1, 7, 0));
  for (guint number = 0; number < 10000; number++)
    left += has (passages, 0, 1, number, 0);
  assert_true (left > 300 && left < 1000);
  ragify_passages_free (passages);
}

static void
one_large_passage_does_not_take_all (void **state)
{
  RagifyPassages *passages = ragify_passages_new (1 << 20);
  put (passages, 1, 1, 100, 0);
  put (passages, 1, 2, 100000, 0);
  assert_true (has (passages, 0, 1, 1, 0));
  assert_false (has (passages, 0, 1, 2, 0));
  ragify_passages_free (passages);
}

static void
a_passage_outlives_its_place (void **state)
{
  RagifyPassages *passages = ragify_passages_new (1 << 20);
  RagifyUuid id = { { 3 } };
  put (passages, 1, 3, 100, 0);
  const RagifyPassage *passage = ragify_passages_get (passages, 0, 1, &id, 0);
  assert_non_null (passage);
  ragify_passages_free (passages);
  assert_int_equal (passage->chunk.content.data[99], 'd');
  ragify_passage_unref (passage);
}

static gpointer
put_and_get (gpointer data)
{
  RagifyPassages *passages = data;
  for (guint i = 0; i < 20000; i++) {
    put (passages, 1 + i / 5000, i * 7 % 300, 200 + i % 100, 0);
    (void)has (passages, 0, 1 + i / 5000, i * 11 % 300, 0);
  }
  return NULL;
}

static void
threads_share_them (void **state)
{
  RagifyPassages *passages = ragify_passages_new (64 << 10);
  GThread *threads[3];
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("passages", put_and_get, passages);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  assert_true (ragify_passages_bytes (passages) <= 64 << 10);
  ragify_passages_free (passages);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (a_passage_is_there_for_one_state_of_its_store),
    cmocka_unit_test (a_passage_gets_no_older_than_a_minute),
    cmocka_unit_test (bytes_stay_in_bounds_and_what_is_asked_for_stays),
    cmocka_unit_test (one_large_passage_does_not_take_all),
    cmocka_unit_test (a_passage_outlives_its_place),
    cmocka_unit_test (threads_share_them),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
