/* Sources that misbehave in their life and calls: one component for each misdeed, named after it.
 * SPDX-License-Identifier: MIT */
#include <ragify/ragify.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct Evil {
  const RagifyHost *host;
  RagifyContext *context;
} Evil;

/* A call that another thread completes after a while. */
typedef struct Later {
  const RagifyHost *host;
  RagifyCall *call;
  uint64_t at_us;
} Later;

static RagifySourceResult
empty_result (void)
{
  return (RagifySourceResult){ .struct_size = sizeof (RagifySourceResult) };
}

static void
answer (Evil *evil, RagifyCall *call)
{
  const RagifySourceResult result = empty_result ();
  evil->host->call_done (call, &result);
}

static void
sleep_us (uint64_t us)
{
  nanosleep (&(struct timespec){ .tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000 }, NULL);
}

/* Until nobody waits for the call any more, however late that is. */
static void
wait_until_given_up (const RagifyHost *host, RagifyCall *call)
{
  while (!host->call_cancelled (call))
    sleep_us (1000);
}

/* ---- life ---- */

static int32_t
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  (void)which;
  Evil *evil = calloc (1, sizeof *evil);
  if (evil == NULL)
    return RAGIFY_E_EXHAUSTED;
  evil->host = host;
  evil->context = context;
  *instance = evil;
  return RAGIFY_OK;
}

static int32_t
create_refused (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  (void)which;
  (void)instance;
  host->set_error (context, ragify_str_from ("the moon is in the wrong place"));
  return RAGIFY_E_UNAVAILABLE;
}

static int32_t
create_refused_silently (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  (void)host;
  (void)context;
  (void)which;
  (void)instance;
  return -77;
}

static int32_t
create_nothing (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  (void)host;
  (void)context;
  (void)which;
  (void)instance;
  return RAGIFY_OK;
}

static int32_t
create_asking_foreign_keys (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which,
                            void **instance)
{
  RagifyStr text = { NULL, 0 };
  int64_t number = 0;
  host->config_string (context, "a-key-of-nobody", &text);
  host->config_int (context, "", &number);
  host->get_extension (context, "org.example.nothing/9");
  return create (host, context, which, instance);
}

static int32_t
create_logging_garbage (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  static char text[1 << 20];
  memset (text, '\xff', sizeof text);
  host->log (context, 77, ragify_str (text, sizeof text));
  host->log (context, RAGIFY_LOG_DEBUG, ragify_str (NULL, 0));
  host->log (context, RAGIFY_LOG_DEBUG, ragify_str_from ("%s%n%s"));
  host->set_error (context, ragify_str (text, sizeof text));
  return create (host, context, which, instance);
}

static void
destroy (void *instance)
{
  free (instance);
}

static void
start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  (void)args;
  Evil *evil = instance;
  evil->host->call_done (call, NULL);
}

static void
start_failing (void *instance, RagifyCall *call, const RagifyStart *args)
{
  (void)args;
  Evil *evil = instance;
  evil->host->call_fail (call, RAGIFY_E_UNAUTHORIZED, ragify_str_from ("the door is locked"), 0);
}

static void
start_never (void *instance, RagifyCall *call, const RagifyStart *args)
{
  (void)instance;
  (void)call;
  (void)args;
}

/* ---- completion ---- */

static void
done_twice (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  (void)args;
  answer (instance, call);
  answer (instance, call);
}

static void
done_then_failed (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  (void)args;
  Evil *evil = instance;
  answer (evil, call);
  evil->host->call_fail (call, RAGIFY_E_INTERNAL, ragify_str_from ("changed my mind"), 0);
}

static void
never_done (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  (void)instance;
  (void)call;
  (void)args;
}

static void *
complete_later (void *user)
{
  const Later later = *(const Later *)user;
  free (user);
  const uint64_t now_us = later.host->clock_us ();
  if (later.at_us > now_us)
    sleep_us (later.at_us - now_us);
  const RagifySourceResult result = empty_result ();
  later.host->call_done (later.call, &result);
  return NULL;
}

static void
complete_at (Evil *evil, RagifyCall *call, uint64_t at_us)
{
  Later *later = malloc (sizeof *later);
  pthread_t thread;
  *later = (Later){ evil->host, call, at_us };
  pthread_create (&thread, NULL, complete_later, later);
  pthread_detach (thread);
}

static void *
complete_too_late (void *user)
{
  const Later *later = user;
  wait_until_given_up (later->host, later->call);
  return complete_later (user);
}

static void
done_late (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  (void)args;
  const Evil *evil = instance;
  Later *later = malloc (sizeof *later);
  pthread_t thread;
  *later = (Later){ evil->host, call, evil->host->call_deadline_us (call) };
  pthread_create (&thread, NULL, complete_too_late, later);
  pthread_detach (thread);
}

static void
done_elsewhere (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  (void)args;
  complete_at (instance, call, 0);
}

static void
done_inline (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  (void)args;
  answer (instance, call);
}

/* Another thread stays behind with the finished call in its hand. */
static void
leave_a_thread (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  (void)args;
  Evil *evil = instance;
  complete_at (evil, call, evil->host->clock_us () + 300000);
  answer (evil, call);
}

static void
complete_what_is_no_call (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  (void)args;
  Evil *evil = instance;
  /* The handle of a call that has long gone, and one that never was: not a pointer that anybody may follow. */
  static _Atomic uintptr_t before;
  const uintptr_t old = atomic_exchange (&before, (uintptr_t)call);
  if (old != 0)
    answer (evil, (RagifyCall *)old);
  answer (evil, call);
}

static void
sleep_past_the_deadline (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  (void)args;
  Evil *evil = instance;
  wait_until_given_up (evil->host, call);
  answer (evil, call);
}

/* ---- failing ---- */

static void
fail_with (Evil *evil, RagifyCall *call, int32_t code, RagifyStr message)
{
  evil->host->call_fail (call, code, message, UINT64_MAX);
}

static void
fail_with_success (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  (void)args;
  fail_with (instance, call, RAGIFY_OK, ragify_str_from ("all is well"));
}

static void
fail_with_unknown_code (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  (void)args;
  fail_with (instance, call, -999, ragify_str_from ("error minus nine hundred"));
}

static void
fail_with_broken_text (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  (void)args;
  fail_with (instance, call, RAGIFY_E_INTERNAL, ragify_str ("\xc3\x28\xff\0x", 5));
}

static void
fail_with_long_text (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  (void)args;
  static char text[1 << 20];
  memset (text, 'x', sizeof text);
  fail_with (instance, call, RAGIFY_E_INTERNAL, ragify_str (text, sizeof text));
}

static void
fail_without_text (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  (void)args;
  fail_with (instance, call, RAGIFY_E_INTERNAL, ragify_str (NULL, 0));
}

/* ---- emitting and allocating ---- */

static RagifyChunk
make_chunk (const char *content)
{
  return (RagifyChunk){ .struct_size = sizeof (RagifyChunk), .content = ragify_str_from (content) };
}

static void
emit_after_done (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  (void)args;
  Evil *evil = instance;
  const RagifyChunk chunk = make_chunk ("too late");
  answer (evil, call);
  evil->host->call_emit (call, &chunk);
}

static void
emit_without_size (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  (void)args;
  Evil *evil = instance;
  RagifyChunk chunk = make_chunk ("small");
  chunk.struct_size = 4;
  evil->host->call_emit (call, &chunk);
  answer (evil, call);
}

static void
emit_broken_text (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  (void)args;
  Evil *evil = instance;
  const RagifyChunk chunk = make_chunk ("\xf0\x28\x8c\x28");
  evil->host->call_emit (call, &chunk);
  answer (evil, call);
}

static void
emit_without_end (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  (void)args;
  Evil *evil = instance;
  const RagifyChunk chunk = make_chunk ("more");
  /* Deaf to WAIT; only STOP ends it. */
  for (uint32_t i = 0; i < 3000000; i++) {
    if (evil->host->call_emit (call, &chunk) == RAGIFY_EMIT_STOP)
      break;
  }
  answer (evil, call);
}

static void
use_after_done (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  (void)args;
  Evil *evil = instance;
  answer (evil, call);
  evil->host->call_alloc (call, 100);
  evil->host->call_on_cancel (call, NULL, NULL);
  evil->host->call_on_credit (call, NULL, NULL);
  evil->host->call_cancelled (call);
  evil->host->call_deadline_us (call);
}

static void
take_all_memory (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  (void)args;
  Evil *evil = instance;
  for (uint32_t i = 0; i < 1000000; i++) {
    if (evil->host->call_alloc (call, 1 << 16) == NULL) {
      fail_with (evil, call, RAGIFY_E_EXHAUSTED, ragify_str_from ("no more memory is given"));
      return;
    }
  }
  answer (evil, call);
}

static void
take_impossible_memory (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  (void)args;
  Evil *evil = instance;
  const void *memory = evil->host->call_alloc (call, UINT64_MAX);
  uint8_t *data = NULL;
  const RagifyBuffer *buffer = evil->host->buffer_new (UINT64_MAX - 8, &data);
  if (memory == NULL && buffer == NULL)
    fail_with (evil, call, RAGIFY_E_EXHAUSTED, ragify_str_from ("that much is not given"));
  else
    answer (evil, call);
}

/* What a source on a loop must never do. */
static void
block_the_loop (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  const struct timespec pause = { .tv_sec = 3 };
  nanosleep (&pause, NULL);
  answer (instance, call);
}

/* ---- the components ---- */

#define SOURCE(variable, source_name, class, create_function, start_function, query_function)                          \
  static const RagifySourceOperations variable##_operations = {                                                        \
    .struct_size = sizeof (RagifySourceOperations),                                                                    \
    .query = query_function,                                                                                           \
  };                                                                                                                   \
  static const RagifyComponent variable = {                                                                            \
    .struct_size = sizeof (RagifyComponent),                                                                           \
    .kind = RAGIFY_KIND_SOURCE,                                                                                        \
    .name = source_name,                                                                                               \
    .summary = "Misbehaves.",                                                                                          \
    .run_class = class,                                                                                                \
    .operations = &variable##_operations,                                                                              \
    .create = create_function,                                                                                         \
    .start = start_function,                                                                                           \
    .destroy = destroy,                                                                                                \
  }

SOURCE (refused, "create-refused", RAGIFY_RUN_SHARED, create_refused, start, done_inline);
SOURCE (refused_silently, "create-refused-silently", RAGIFY_RUN_SHARED, create_refused_silently, start, done_inline);
SOURCE (nothing, "create-nothing", RAGIFY_RUN_SHARED, create_nothing, start, done_inline);
SOURCE (foreign_keys, "create-asks-foreign-keys", RAGIFY_RUN_SHARED, create_asking_foreign_keys, start, done_inline);
SOURCE (garbage, "create-logs-garbage", RAGIFY_RUN_SHARED, create_logging_garbage, start, done_inline);
SOURCE (failing, "start-fails", RAGIFY_RUN_SHARED, create, start_failing, done_inline);
SOURCE (never_starts, "start-never", RAGIFY_RUN_SHARED, create, start_never, done_inline);
SOURCE (twice, "done-twice", RAGIFY_RUN_SHARED, create, start, done_twice);
SOURCE (then_failed, "done-then-failed", RAGIFY_RUN_SHARED, create, start, done_then_failed);
SOURCE (never, "done-never", RAGIFY_RUN_SHARED, create, start, never_done);
SOURCE (late, "done-late", RAGIFY_RUN_SHARED, create, start, done_late);
SOURCE (elsewhere, "done-elsewhere", RAGIFY_RUN_LOOP, create, start, done_elsewhere);
SOURCE (inline_shared, "done-inline", RAGIFY_RUN_SHARED, create, start, done_inline);
SOURCE (inline_loop, "done-inline-on-loop", RAGIFY_RUN_LOOP, create, start, done_inline);
SOURCE (thread, "leaves-a-thread", RAGIFY_RUN_SHARED, create, start, leave_a_thread);
SOURCE (no_call, "completes-no-call", RAGIFY_RUN_SHARED, create, start, complete_what_is_no_call);
SOURCE (sleeper, "sleeps-on-worker", RAGIFY_RUN_WORKER, create, start, sleep_past_the_deadline);
SOURCE (success, "fails-with-success", RAGIFY_RUN_SHARED, create, start, fail_with_success);
SOURCE (unknown_code, "fails-with-unknown-code", RAGIFY_RUN_SHARED, create, start, fail_with_unknown_code);
SOURCE (broken_text, "fails-with-broken-text", RAGIFY_RUN_SHARED, create, start, fail_with_broken_text);
SOURCE (long_text, "fails-with-long-text", RAGIFY_RUN_SHARED, create, start, fail_with_long_text);
SOURCE (no_text, "fails-without-text", RAGIFY_RUN_SHARED, create, start, fail_without_text);
SOURCE (emits_late, "emits-after-done", RAGIFY_RUN_SHARED, create, start, emit_after_done);
SOURCE (emits_small, "emits-without-size", RAGIFY_RUN_SHARED, create, start, emit_without_size);
SOURCE (emits_broken, "emits-broken-text", RAGIFY_RUN_SHARED, create, start, emit_broken_text);
SOURCE (emits_much, "emits-without-end", RAGIFY_RUN_WORKER, create, start, emit_without_end);
SOURCE (uses_late, "uses-after-done", RAGIFY_RUN_SHARED, create, start, use_after_done);
SOURCE (greedy, "takes-all-memory", RAGIFY_RUN_WORKER, create, start, take_all_memory);
SOURCE (blocks, "blocks-the-loop", RAGIFY_RUN_LOOP, create, start, block_the_loop);
SOURCE (impossible, "takes-impossible-memory", RAGIFY_RUN_SHARED, create, start, take_impossible_memory);

static const RagifyComponent *const components[] = {
  &refused,    &refused_silently, &nothing,     &foreign_keys, &garbage,      &failing,       &never_starts,
  &twice,      &then_failed,      &never,       &late,         &elsewhere,    &inline_shared, &inline_loop,
  &thread,     &no_call,          &sleeper,     &success,      &unknown_code, &broken_text,   &long_text,
  &no_text,    &emits_late,       &emits_small, &emits_broken, &emits_much,   &uses_late,     &greedy,
  &impossible, &blocks,           NULL,
};

static const RagifyPlugin plugin = {
  .magic = RAGIFY_PLUGIN_MAGIC,
  .abi_major = RAGIFY_ABI_MAJOR,
  .abi_minor_needed = RAGIFY_NEEDS_MINOR,
  .struct_size = sizeof plugin,
  .id = "org.ragify.test.evil-calls",
  .version = "1",
  .licence = "MIT",
  .summary = "Misdeeds of calls.",
  .url = "",
  .components = components,
};

const RagifyPlugin *
ragify_plugin_query (void)
{
  return &plugin;
}
