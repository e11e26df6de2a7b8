/* Calls, whatever the kind: completion, cancellation, deadlines, threads, memory. SPDX-License-Identifier: MIT */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conformance.h"

#define CLIENTS 8
#define ROUNDS 25
#define ROUNDS_SHARED 2000 /* calls of microseconds overlap only now and then */
#define SETTLE_US 50000

static void
completes_once (Subject *subject)
{
  RagifyKitInstance *instance = subject_open (subject);
  for (unsigned i = 0; instance != NULL && i < 40; i++) {
    Sample *sample = subject_sample_begin (instance, i, 0);
    subject_succeeded (subject, ragify_kit_wait (subject_sample_call (sample)), "an ordinary call");
    subject_sample_end (sample);
  }
  usleep (SETTLE_US); /* a second completion comes from another thread */
  subject_close (subject, instance);
  const RagifyKitCounts counts = ragify_kit_counts (subject->kit);
  expect (subject, counts.second_completions == 0, "%llu second completions",
          (unsigned long long)counts.second_completions);
  expect (subject, counts.late_uses == 0, "%llu uses of calls that were complete",
          (unsigned long long)counts.late_uses);
}

static void
completes_when_cancelled (Subject *subject)
{
  RagifyKitInstance *instance = subject_open (subject);
  for (unsigned i = 0; instance != NULL && i < 40; i++) {
    Sample *sample = subject_sample_begin (instance, i, 0);
    if (i % 4 == 1)
      usleep (100);
    ragify_kit_cancel (subject_sample_call (sample));
    const RagifyKitCall *call = ragify_kit_wait (subject_sample_call (sample));
    if (subject_well_ended (subject, call, "a cancelled call"))
      expect (subject, call->code == RAGIFY_OK || call->code == RAGIFY_E_CANCELLED,
              "a cancelled call failed with code %d (%s); RAGIFY_E_CANCELLED says that it was cancelled", call->code,
              call->message);
    subject_sample_end (sample);
  }
  subject_close (subject, instance);
}

static void
completes_when_late (Subject *subject)
{
  RagifyKitInstance *instance = subject_open (subject);
  for (unsigned i = 0; instance != NULL && i < 20; i++) {
    Sample *sample = subject_sample_begin (instance, i, 1 + i * 20);
    subject_well_ended (subject, ragify_kit_wait (subject_sample_call (sample)), "a call whose deadline had passed");
    subject_sample_end (sample);
  }
  /* It is as good as before. */
  Sample *after = instance != NULL ? subject_sample_begin (instance, 0, 0) : NULL;
  if (after != NULL) {
    subject_succeeded (subject, ragify_kit_wait (subject_sample_call (after)), "the call after late ones");
    subject_sample_end (after);
  }
  subject_close (subject, instance);
}

typedef struct Client {
  RagifyKitInstance *instance;
  pthread_barrier_t *together;
  unsigned number, rounds;
  unsigned failed;
  int32_t code;
} Client;

static void *
call_on_and_on (void *user)
{
  Client *client = user;
  pthread_barrier_wait (client->together);
  for (unsigned i = 0; i < client->rounds; i++) {
    Sample *sample = subject_sample_begin (client->instance, client->number * ROUNDS + i, 0);
    const RagifyKitCall *call = ragify_kit_wait (subject_sample_call (sample));
    client->failed += call->code != RAGIFY_OK;
    client->code = call->code != RAGIFY_OK ? call->code : client->code;
    subject_sample_end (sample);
  }
  return NULL;
}

static void
takes_calls_at_once (Subject *subject)
{
  RagifyKitInstance *instance = subject_open (subject);
  Client clients[CLIENTS];
  pthread_t threads[CLIENTS];
  pthread_barrier_t together;
  const unsigned rounds = subject->component->run_class == RAGIFY_RUN_SHARED ? ROUNDS_SHARED : ROUNDS;
  if (instance == NULL)
    return;
  pthread_barrier_init (&together, NULL, CLIENTS);
  for (unsigned i = 0; i < CLIENTS; i++) {
    clients[i] = (Client){ .instance = instance, .together = &together, .number = i, .rounds = rounds };
    pthread_create (&threads[i], NULL, call_on_and_on, &clients[i]);
  }
  for (unsigned i = 0; i < CLIENTS; i++) {
    pthread_join (threads[i], NULL);
    expect (subject, clients[i].failed == 0, "%u of %u calls failed, the last with code %d", clients[i].failed, rounds,
            clients[i].code);
  }
  pthread_barrier_destroy (&together);
  subject_close (subject, instance);
}

/* On a loop there is one thread, so calls overlap only where the plugin lets them. */
static void
many_under_way (Subject *subject)
{
  enum { MANY = 100 };
  RagifyKitInstance *instance = subject_open (subject);
  Sample *samples[MANY];
  if (instance == NULL)
    return;
  for (unsigned i = 0; i < MANY; i++)
    samples[i] = subject_sample_begin (instance, i, 0);
  for (unsigned i = 0; i < MANY; i++)
    subject_well_ended (subject, ragify_kit_wait (subject_sample_call (samples[i])), "one of a hundred calls");
  for (unsigned i = 0; i < MANY; i++)
    subject_sample_end (samples[i]);
  subject_close (subject, instance);
}

static void
short_memory_is_an_error (Subject *subject)
{
  static const uint64_t limits[] = { 1, 64, 1024 };
  for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
    RagifyKit *kit = subject_kit_new (subject, subject->folder, 0, limits[i]);
    RagifyKitInstance *instance =
        ragify_kit_open (kit, subject->path, subject->component->kind, subject->component->name, subject->config,
                         strcmp (subject->component->kind, RAGIFY_KIND_VECTOR_STORE) == 0 ? subject_embedder () : NULL);
    for (unsigned k = 0; instance != NULL && k < 10; k++) {
      Sample *sample = subject_sample_begin (instance, k, 0);
      subject_well_ended (subject, ragify_kit_wait (subject_sample_call (sample)), "a call without memory");
      subject_sample_end (sample);
    }
    subject_close (subject, instance);
    subject_kit_free (subject, kit);
  }
}

static void
check_pairs (Subject *subject, const RagifyPairList *pairs)
{
  for (uint64_t i = 0; i < pairs->count; i++) {
    const RagifyPair *pair = &pairs->items[i];
    expect (subject, pair->name.size > 0 && text_is_utf8 (pair->name), "a statistic without a name in UTF-8");
    expect (subject, pair->value.type <= RAGIFY_VALUE_STRING, "a statistic of the unknown type %u", pair->value.type);
    expect (subject, pair->value.type != RAGIFY_VALUE_DOUBLE || isfinite (pair->value.number), "'%.*s' is not finite",
            (int)pair->name.size, pair->name.data);
    for (uint64_t k = 0; k < i; k++)
      expect (subject,
              pairs->items[k].name.size != pair->name.size ||
                  memcmp (pairs->items[k].name.data, pair->name.data, pair->name.size) != 0,
              "'%.*s' is there twice", (int)pair->name.size, pair->name.data);
  }
}

static void
says_how_it_is (Subject *subject)
{
  const RagifyComponent *component = subject->component;
  const RagifyNothing nothing = { .struct_size = sizeof nothing };
  if (component->probe == NULL && component->stats == NULL) {
    skip (subject, "it has neither probe nor stats");
    return;
  }
  RagifyKitInstance *instance = subject_open (subject);
  for (int i = 0; instance != NULL && i < 3; i++) {
    if (component->probe != NULL) {
      RagifyKitCall *call = ragify_kit_call (instance, (RagifyKitFunction)component->probe, &nothing, 0);
      if (subject_succeeded (subject, call, "probe"))
        expect (subject, text_is_utf8 (((const RagifyProbeResult *)call->result)->detail), "detail is not UTF-8");
      ragify_kit_call_free (call);
    }
    if (component->stats != NULL) {
      RagifyKitCall *call = ragify_kit_call (instance, (RagifyKitFunction)component->stats, &nothing, 0);
      if (subject_succeeded (subject, call, "stats"))
        check_pairs (subject, &((const RagifyStatsResult *)call->result)->values);
      ragify_kit_call_free (call);
    }
    subject_sample_end (subject_sample_begin (instance, (unsigned)i, 0));
  }
  subject_close (subject, instance);
}

/* The subject's configuration with other values for one reloadable key. */
static bool
reconfigure_key (Subject *subject, RagifyKitInstance *instance, const RagifyKey *key, const char *value)
{
  char text[512];
  size_t count = 0;
  while (subject->config[count] != NULL)
    count++;
  const char **texts = calloc (count + 2, sizeof *texts);
  const size_t length = strlen (key->name);
  size_t kept = 0;
  for (size_t i = 0; i < count; i++)
    if (strncmp (subject->config[i], key->name, length) != 0 || subject->config[i][length] != '=')
      texts[kept++] = subject->config[i];
  snprintf (text, sizeof text, "%s=%s", key->name, value);
  texts[kept] = text;
  const int32_t code = ragify_kit_reconfigure (instance, texts);
  free (texts);
  return expect (subject, code == RAGIFY_OK || code == RAGIFY_E_INVALID, "%s: reconfigure failed with code %d: %s",
                 text, code, ragify_kit_error (subject->kit));
}

static void
takes_new_values (Subject *subject)
{
  const RagifySchema *schema = &subject->component->schema;
  bool any = false;
  RagifyKitInstance *instance = subject_open (subject);
  for (uint32_t i = 0; instance != NULL && i < schema->count; i++) {
    const RagifyKey *key = (const RagifyKey *)(const void *)((const char *)schema->keys + (size_t)i * schema->stride);
    const char *const values[] = { key->minimum, key->maximum, key->default_value };
    for (size_t k = 0; k < sizeof values / sizeof values[0] && (key->flags & RAGIFY_KEY_RELOADABLE) != 0; k++) {
      if (values[k] == NULL)
        continue;
      any = true;
      reconfigure_key (subject, instance, key, values[k]);
      Sample *sample = subject_sample_begin (instance, i, 0);
      subject_well_ended (subject, ragify_kit_wait (subject_sample_call (sample)), "the call after reconfigure");
      subject_sample_end (sample);
    }
  }
  subject_close (subject, instance);
  if (!any)
    skip (subject, "no key is reloadable");
}

const Case conformance_call_cases[] = {
  { "completes each call once", "exactly one call_done or call_fail for each call, and no touch of it afterwards",
    completes_once, NULL },
  { "completes when cancelled", "cancelling asks; the call is still completed, as it is or with RAGIFY_E_CANCELLED",
    completes_when_cancelled, NULL },
  { "completes after the deadline", "a call whose deadline has passed is still completed, and harms no later one",
    completes_when_late, NULL },
  { "takes calls at once",
    "as many calls at once as the run class lets in, from any thread where it is RAGIFY_RUN_SHARED",
    takes_calls_at_once, NULL },
  { "many calls under way", "a call does not wait for another one to be collected", many_under_way, NULL },
  { "short memory is an error", "where call_alloc answers NULL the call fails, with RAGIFY_E_EXHAUSTED",
    short_memory_is_an_error, NULL },
  { "says how it is", "probe and stats complete; names and details are UTF-8, numbers finite", says_how_it_is, NULL },
  { "takes new values", "reconfigure takes new values of reloadable keys, or refuses them and keeps the old ones",
    takes_new_values, NULL },
  { NULL, NULL, NULL, NULL },
};
