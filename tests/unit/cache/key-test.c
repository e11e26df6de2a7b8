/* Cache keys and envelopes.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "core/cache/envelope.h"
#include "core/cache/key.h"

static RagifyTierKey
key_of_words (const char *text)
{
  RagifyKeyBuilder builder;
  ragify_key_begin (&builder);
  ragify_key_add_words (&builder, ragify_str_from (text));
  return ragify_key_finish (&builder);
}

static gboolean
same (RagifyTierKey a, RagifyTierKey b)
{
  return memcmp (&a, &b, sizeof a) == 0;
}

static void
what_people_type_alike_is_alike (void **state)
{
  assert_true (same (key_of_words ("two words"), key_of_words ("  two \t\n words ")));
  assert_true (same (key_of_words ("two words"), key_of_words ("two\xc2\xa0words"))); /* a no-break space */
  assert_true (same (key_of_words ("caf\xc3\xa9"), key_of_words ("cafe\xcc\x81")));   /* composed */
  assert_true (same (key_of_words ("\xef\xac\x81sh"), key_of_words ("fish")));        /* a ligature */
  assert_true (same (key_of_words ("\xef\xbc\xa1"), key_of_words ("A")));             /* full width */
  assert_false (same (key_of_words ("two words"), key_of_words ("Two words")));
  assert_false (same (key_of_words ("two words"), key_of_words ("twowords")));
  assert_false (same (key_of_words ("a"), key_of_words ("b")));
}

static void
a_key_is_the_same_everywhere (void **state)
{
  const RagifyTierKey key = key_of_words ("what is retrieval?");
  GString *text = g_string_new (NULL);
  for (guint i = 0; i < sizeof key.bytes; i++)
    g_string_append_printf (text, "%02x", key.bytes[i]);
  assert_string_equal (text->str, "bb200920372a6fa37cc9a7ea2c80fed7");
  g_string_free (text, TRUE);
}

static void
parts_do_not_run_into_one_another (void **state)
{
  RagifyKeyBuilder builder;
  ragify_key_begin (&builder);
  ragify_key_add_text (&builder, ragify_str_from ("ab"));
  ragify_key_add_text (&builder, ragify_str_from ("c"));
  const RagifyTierKey first = ragify_key_finish (&builder);
  ragify_key_begin (&builder);
  ragify_key_add_text (&builder, ragify_str_from ("a"));
  ragify_key_add_text (&builder, ragify_str_from ("bc"));
  assert_false (same (first, ragify_key_finish (&builder)));
}

static RagifyTierKey
key_of_filter (guint32 op, double number)
{
  const RagifyValue value = { .type = RAGIFY_VALUE_DOUBLE, .number = number };
  const RagifyFilter child = {
    .struct_size = sizeof child, .op = op, .field = ragify_str_from ("year"), .values = { .items = &value, .count = 1 }
  };
  const RagifyFilter filter = { .struct_size = sizeof filter,
                                .op = RAGIFY_FILTER_AND,
                                .children = { .items = &child, .count = 1, .stride = sizeof child } };
  RagifyKeyBuilder builder;
  ragify_key_begin (&builder);
  ragify_key_add_filter (&builder, &filter);
  return ragify_key_finish (&builder);
}

static void
filters_count_to_their_leaves (void **state)
{
  assert_true (same (key_of_filter (RAGIFY_FILTER_GT, 2020), key_of_filter (RAGIFY_FILTER_GT, 2020)));
  assert_false (same (key_of_filter (RAGIFY_FILTER_GT, 2020), key_of_filter (RAGIFY_FILTER_LT, 2020)));
  assert_false (same (key_of_filter (RAGIFY_FILTER_GT, 2020), key_of_filter (RAGIFY_FILTER_GT, 2021)));
  assert_true (same (key_of_filter (RAGIFY_FILTER_GT, 0.0), key_of_filter (RAGIFY_FILTER_GT, -0.0)));
}

static RagifyBuffer *
new_envelope (void)
{
  static const RagifyUuid ids[] = { { { 1 } }, { { 2 } } };
  return ragify_envelope_new ((RagifyBytes){ .data = (const guint8 *)"the body", .size = 8 },
                              (RagifyUuidList){ .items = ids, .count = 2 }, 1234567, 99, 0);
}

static void
an_envelope_reads_back (void **state)
{
  RagifyBuffer *buffer = new_envelope ();
  RagifyEnvelope envelope;
  assert_true (ragify_envelope_read (buffer, &envelope));
  assert_int_equal (envelope.body.size, 8);
  assert_memory_equal (envelope.body.data, "the body", 8);
  assert_int_equal (envelope.n_ids, 2);
  assert_int_equal (envelope.ids[16], 2);
  assert_int_equal (envelope.created_at, 1234567);
  assert_int_equal (envelope.ttl_us, 99);
  RagifyBuffer *again = ragify_envelope_adopt (buffer, 0);
  assert_ptr_equal (again, buffer);
  again->unref (again);
  buffer->unref (buffer);
}

static void
keep (RagifyBuffer *buffer)
{
}

/* As another machine or a disk would give it back. */
static RagifyBuffer
foreign (const guint8 *data, gsize size)
{
  return (RagifyBuffer){ .struct_size = sizeof (RagifyBuffer), .data = data, .size = size, .ref = keep, .unref = keep };
}

static void
damage_is_noticed_in_every_byte (void **state)
{
  RagifyBuffer *buffer = new_envelope ();
  const gsize size = buffer->size;
  g_autofree guint8 *bytes = g_memdup2 (buffer->data, size);
  buffer->unref (buffer);
  RagifyEnvelope envelope;
  RagifyBuffer whole = foreign (bytes, size);
  assert_true (ragify_envelope_read (&whole, &envelope));
  RagifyBuffer *own = ragify_envelope_adopt (&whole, 0);
  assert_ptr_not_equal (own, &whole);
  assert_true (ragify_envelope_read (own, &envelope));
  own->unref (own);
  for (gsize i = 0; i < size; i++) {
    bytes[i] ^= 0x10;
    assert_false (ragify_envelope_read (&whole, &envelope));
    bytes[i] ^= 0x10;
  }
  for (gsize cut = 0; cut < size; cut++) {
    g_autofree guint8 *part = g_memdup2 (bytes, cut);
    const RagifyBuffer truncated = foreign (part, cut);
    assert_false (ragify_envelope_read (&truncated, &envelope));
  }
}

int
main (void)
{
  cmocka_set_message_output (CM_OUTPUT_TAP);
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (what_people_type_alike_is_alike),
    cmocka_unit_test (a_key_is_the_same_everywhere),
    cmocka_unit_test (parts_do_not_run_into_one_another),
    cmocka_unit_test (filters_count_to_their_leaves),
    cmocka_unit_test (an_envelope_reads_back),
    cmocka_unit_test (damage_is_noticed_in_every_byte),
  };
  return cmocka_run_group_tests_name ("key", tests, NULL, NULL);
}
