/* The lives of instances. SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conformance.h"
#include "folder.h"

#define LIVES 8
#define FREED_LATE_BYTES 65536u

static void
made_and_unmade (Subject *subject)
{
  for (int i = 0; i < LIVES; i++) {
    RagifyKitInstance *instance = ragify_kit_create (subject->kit, subject->component, subject->config, NULL);
    if (!expect (subject, instance != NULL, "%s", ragify_kit_error (subject->kit)))
      return;
    ragify_kit_destroy (instance);
  }
  expect (subject, ragify_kit_counts (subject->kit).buffers == 0, "buffers are left of instances that never started");
}

static void
started_and_stopped (Subject *subject)
{
  for (int i = 0; i < LIVES / 2; i++) {
    RagifyKitInstance *instance = subject_open (subject);
    if (instance == NULL)
      return;
    subject_close (subject, instance);
  }
}

static unsigned
count_entries (const char *folder)
{
  DIR *dir = opendir (folder);
  unsigned count = 0;
  while (dir != NULL && readdir (dir) != NULL)
    count++;
  if (dir != NULL)
    closedir (dir);
  return count;
}

typedef struct Footprint {
  unsigned descriptors, threads;
  size_t heap;
  int64_t buffers;
} Footprint;

/* One life with a few calls, and what the process has after it. */
static bool
live_once (Subject *subject, Footprint *footprint)
{
  RagifyKit *kit = subject_kit_new (subject, subject->folder, 0, 0);
  RagifyKitInstance *instance = subject_open_in (subject, kit);
  for (unsigned i = 0; instance != NULL && i < 20; i++)
    subject_sample_end (subject_sample_begin (instance, i, 0));
  subject_close (subject, instance);
  footprint->buffers = ragify_kit_counts (kit).buffers;
  subject_kit_free (subject, kit);
  footprint->descriptors = count_entries ("/proc/self/fd");
  footprint->threads = count_entries ("/proc/self/task");
#ifdef __GLIBC__
  footprint->heap = mallinfo2 ().uordblks;
#endif
  return instance != NULL;
}

/* Libraries keep things for themselves at first use, so what counts is that later lives add nothing. A thread that ends
 * is gone a moment after it was joined. */
static void
leaves_nothing_behind (Subject *subject)
{
  Footprint early, late;
  for (int i = 0; i < 3; i++)
    if (!live_once (subject, &early))
      return;
  usleep (100000);
  early.threads = count_entries ("/proc/self/task");
  for (int i = 0; i < LIVES; i++)
    if (!live_once (subject, &late))
      return;
  for (int i = 0; i < 100 && count_entries ("/proc/self/task") > early.threads; i++)
    usleep (20000);
  late.threads = count_entries ("/proc/self/task");
  expect (subject, late.buffers == 0, "%lld buffers were never released", (long long)late.buffers);
  expect (subject, late.descriptors <= early.descriptors, "%u descriptors more than after the first lives",
          late.descriptors - early.descriptors);
  expect (subject, late.threads <= early.threads, "%u threads more than after the first lives",
          late.threads - early.threads);
  expect (subject, late.heap <= early.heap + FREED_LATE_BYTES, "%zu bytes more on the heap than after the first lives",
          late.heap - early.heap);
}

static void
two_nodes_side_by_side (Subject *subject)
{
  char *folders[2] = { folder_make (), folder_make () };
  RagifyKit *kits[2];
  RagifyKitInstance *instances[2];
  for (int i = 0; i < 2; i++) {
    kits[i] = subject_kit_new (subject, folders[i], 0, 0);
    instances[i] = subject_open_in (subject, kits[i]);
  }
  for (unsigned i = 0; i < 20; i++)
    if (instances[i % 2] != NULL)
      subject_sample_end (subject_sample_begin (instances[i % 2], i, 0));
  for (int i = 0; i < 2; i++) {
    subject_close (subject, instances[i]);
    subject_kit_free (subject, kits[i]);
    folder_remove (folders[i]);
  }
}

static void
one_instance_for_each_loop (Subject *subject)
{
  enum { LOOPS = 3 };
  if (subject->component->run_class != RAGIFY_RUN_LOOP) {
    skip (subject, "it is not RAGIFY_RUN_LOOP");
    return;
  }
  RagifyKitInstance *instances[LOOPS] = { NULL };
  for (uint32_t i = 0; i < LOOPS; i++) {
    const RagifyKitNode node = { .name = "looping", .index = i, .count = LOOPS };
    instances[i] = ragify_kit_create (subject->kit, subject->component, subject->config, &node);
    if (!expect (subject, instances[i] != NULL, "instance %u of %u: %s", i, LOOPS, ragify_kit_error (subject->kit)))
      break;
    if (!expect (subject, ragify_kit_start (instances[i], subject_embedder_of (subject)) == RAGIFY_OK,
                 "instance %u: %s", i, ragify_kit_error (subject->kit))) {
      ragify_kit_destroy (instances[i]);
      instances[i] = NULL;
      break;
    }
  }
  for (unsigned i = 0; i < 30 && instances[LOOPS - 1] != NULL; i++)
    subject_sample_end (subject_sample_begin (instances[i % LOOPS], i, 0));
  for (int i = 0; i < LOOPS; i++)
    subject_close (subject, instances[i]);
}

static void
unknown_extensions_are_none (Subject *subject)
{
  RagifyKitInstance *instance = ragify_kit_create (subject->kit, subject->component, subject->config, NULL);
  if (!expect (subject, instance != NULL, "%s", ragify_kit_error (subject->kit)))
    return;
  if (subject->component->get_extension != NULL) {
    expect (subject, subject->component->get_extension (ragify_kit_self (instance), "org.example.nothing/9") == NULL,
            "it has the extension org.example.nothing/9");
    expect (subject, subject->component->get_extension (ragify_kit_self (instance), "") == NULL,
            "it has an extension without a name");
  }
  ragify_kit_destroy (instance);
}

const Case conformance_life_cases[] = {
  { "is made and unmade", "create and destroy match, also where start never comes", made_and_unmade, NULL },
  { "starts and stops", "create, start, stop, destroy, and the same again in the same state folder",
    started_and_stopped, NULL },
  { "leaves nothing behind",
    "after destroy there are no threads, descriptors, buffers and no memory left of an instance", leaves_nothing_behind,
    NULL },
  { "two nodes side by side", "nodes of one component know nothing of each other: no state outside the instance",
    two_nodes_side_by_side, NULL },
  { "an instance for each loop", "a RAGIFY_RUN_LOOP component has an instance for each loop thread, all of one node",
    one_instance_for_each_loop, NULL },
  { "unknown extensions are none", "get_extension answers NULL for what it does not know", unknown_extensions_are_none,
    NULL },
  { NULL, NULL, NULL, NULL },
};
