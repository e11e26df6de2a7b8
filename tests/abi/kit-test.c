/* The kit runs plugins as ragify/host.h says, and notices what is against it. SPDX-License-Identifier: MIT */
#include "kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const names[] = { "on-loop", "on-workers", "shared" };

static RagifyKitInstance *
open_sample (RagifyKit *kit, const char *name, const char *const *config)
{
  return ragify_kit_open (kit, getenv ("KIT_SAMPLE"), RAGIFY_KIND_SOURCE, name, config, NULL);
}

static RagifyKitFunction
query_of (RagifyKitInstance *instance)
{
  return (RagifyKitFunction)((const RagifySourceOperations *)ragify_kit_operations (instance))->query;
}

static RagifySourceQuery
make_query (const char *text, uint32_t top_k)
{
  return (
      RagifySourceQuery){ .struct_size = sizeof (RagifySourceQuery), .top_k = top_k, .text = ragify_str_from (text) };
}

static void
emitted_items_arrive_in_order_whatever_the_credit (void **state)
{
  (void)state;
  for (uint32_t credit = 0; credit < 4; credit++) {
    RagifyKit *kit = ragify_kit_new (&(RagifyKitOptions){ .credit = credit });
    for (size_t i = 0; i < 3; i++) {
      RagifyKitInstance *instance = open_sample (kit, names[i], NULL);
      assert_non_null (instance);
      const RagifySourceQuery args = make_query ("x", 7);
      RagifyKitCall *call = ragify_kit_call (instance, query_of (instance), &args, 0);
      assert_int_equal (call->code, RAGIFY_OK);
      assert_int_equal (call->item_count, 7);
      for (size_t k = 0; k < 7; k++)
        assert_int_equal (((const RagifyChunk *)call->items[k])->ordinal, k);
      ragify_kit_call_free (call);
      assert_int_equal (ragify_kit_close (instance), RAGIFY_OK);
    }
    assert_int_equal (ragify_kit_faults (kit), 0);
    ragify_kit_free (kit);
  }
}

static void
cancel_and_deadline_reach_the_plugin (void **state)
{
  (void)state;
  RagifyKit *kit = ragify_kit_new (NULL);
  for (size_t i = 0; i < 3; i++) {
    RagifyKitInstance *instance = open_sample (kit, names[i], NULL);
    const RagifySourceQuery args = make_query ("cancel", 1);
    RagifyKitCall *call = ragify_kit_call (instance, query_of (instance), &args, 20000);
    assert_int_equal (call->code, RAGIFY_E_CANCELLED);
    assert_string_equal (call->message, "cancelled as asked");
    ragify_kit_call_free (call);
    call = ragify_kit_begin (instance, query_of (instance), &args, 0);
    ragify_kit_cancel (call);
    ragify_kit_cancel (call);
    assert_int_equal (ragify_kit_wait (call)->code, RAGIFY_E_CANCELLED);
    ragify_kit_call_free (call);
    ragify_kit_close (instance);
  }
  assert_int_equal (ragify_kit_faults (kit), 0);
  assert_int_equal (ragify_kit_counts (kit).calls, 0);
  ragify_kit_free (kit);
}

static void
completion_may_come_from_any_thread_but_only_once (void **state)
{
  (void)state;
  RagifyKit *kit = ragify_kit_new (&(RagifyKitOptions){ .quiet = 1 });
  for (size_t i = 0; i < 3; i++) {
    RagifyKitInstance *instance = open_sample (kit, names[i], NULL);
    const RagifySourceQuery late = make_query ("late", 1);
    RagifyKitCall *calls[50];
    for (size_t k = 0; k < 50; k++)
      calls[k] = ragify_kit_begin (instance, query_of (instance), &late, 0);
    for (size_t k = 0; k < 50; k++) {
      assert_int_equal (ragify_kit_wait (calls[k])->code, RAGIFY_OK);
      ragify_kit_call_free (calls[k]);
    }
    assert_int_equal (ragify_kit_counts (kit).second_completions, i);
    const RagifySourceQuery twice = make_query ("twice", 1);
    RagifyKitCall *call = ragify_kit_call (instance, query_of (instance), &twice, 0);
    assert_int_equal (call->code, RAGIFY_OK);
    ragify_kit_call_free (call);
    ragify_kit_close (instance);
    assert_int_equal (ragify_kit_counts (kit).second_completions, i + 1);
  }
  assert_non_null (strstr (ragify_kit_fault (kit, 0), "second time"));
  ragify_kit_free (kit);
}

static void
configuration_is_held_against_the_schema (void **state)
{
  (void)state;
  static const struct {
    const char *text;
    const char *complaint;
  } cases[] = {
    { "word=bad", "a better word is expected" }, { "wort=x", "unknown key 'wort'" },
    { "delay=5", "expected duration" },          { "delay=2h", "must be at most 1h" },
    { "mode=b", "expected choice of a|bc" },     { "room=64KiBs", "expected size" },
    { "room=12", "must be at least 1KiB" },      { "room", "not of the form" },
  };
  RagifyKit *kit = ragify_kit_new (&(RagifyKitOptions){ .quiet = 1 });
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    const char *config[] = { cases[i].text, NULL };
    assert_null (open_sample (kit, "shared", config));
    assert_non_null (strstr (ragify_kit_error (kit), cases[i].complaint));
  }
  RagifyKitInstance *instance = open_sample (kit, "on-loop", NULL);
  assert_int_equal (ragify_kit_reconfigure (instance, (const char *[]){ "delay=20ms", NULL }), RAGIFY_OK);
  assert_int_equal (ragify_kit_reconfigure (instance, (const char *[]){ "delay=2s", NULL }), RAGIFY_E_INVALID);
  assert_int_equal (ragify_kit_reconfigure (instance, (const char *[]){ "mode=bc", NULL }), RAGIFY_E_INVALID);
  ragify_kit_close (instance);
  assert_int_equal (ragify_kit_faults (kit), 0);
  ragify_kit_free (kit);
}

static void
timers_run_on_the_loop (void **state)
{
  (void)state;
  RagifyKit *kit = ragify_kit_new (NULL);
  RagifyKitInstance *instance = open_sample (kit, "on-loop", NULL);
  const RagifyNothing nothing = { .struct_size = sizeof nothing };
  int64_t ticks = 0;
  for (int round = 0; round < 1000 && ticks < 3; round++) {
    RagifyKitCall *call =
        ragify_kit_call (instance, (RagifyKitFunction)ragify_kit_component (instance)->stats, &nothing, 0);
    ticks = ((const RagifyStatsResult *)call->result)->values.items[0].value.integer;
    ragify_kit_call_free (call);
    const uint64_t until = ragify_kit_now_us () + 1000;
    while (ragify_kit_now_us () < until)
      ;
  }
  assert_true (ticks >= 3);
  ragify_kit_close (instance);
  assert_int_equal (ragify_kit_counts (kit).timers, 0);
  assert_int_equal (ragify_kit_faults (kit), 0);
  ragify_kit_free (kit);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (emitted_items_arrive_in_order_whatever_the_credit),
    cmocka_unit_test (cancel_and_deadline_reach_the_plugin),
    cmocka_unit_test (completion_may_come_from_any_thread_but_only_once),
    cmocka_unit_test (configuration_is_held_against_the_schema),
    cmocka_unit_test (timers_run_on_the_loop),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
