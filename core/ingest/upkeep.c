/* What an operator has a store do, beside searches and writes: its index is put in order, a copy made, all of it
 * verified.
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/call/call-private.h"
#include "core/call/operations.h"
#include "core/ingest/library-private.h"
#include "core/ingest/report.h"

/* Millions of vectors take their time. */
#define UPKEEP_TIMEOUT_US (6 * 3600 * (guint64)G_USEC_PER_SEC)

typedef struct Upkeep Upkeep;

struct Upkeep {
  RagifyOwner owner;
  union {
    RagifyStoreOptimize optimize;
    RagifyStoreBackup backup;
    RagifyStoreVerify verify;
  } arguments;
  /* What the answer says besides store and duration. */
  void (*describe) (const Upkeep *upkeep, const void *result, json_t *root);
  char *path;             /* of a backup */
  RagifyLibrary *library; /* a reference */
  RagifyLoop *loop;
  guint64 began;
  RagifyLibraryReplied replied;
  void *user;
  RagifyTask task; /* of what the library does by itself */
};

static void
clear (RagifyOwner *owner)
{
  Upkeep *upkeep = (Upkeep *)owner;
  g_free (upkeep->path);
  ragify_library_unref (upkeep->library);
}

static json_t *
describe_value (const RagifyValue *value)
{
  switch (value->type) {
  case RAGIFY_VALUE_STRING:
    return json_stringn (value->string.data != NULL ? value->string.data : "", value->string.size);
  case RAGIFY_VALUE_INT:
    return json_integer (value->integer);
  case RAGIFY_VALUE_DOUBLE:
    return json_real (value->number);
  default:
    return json_null ();
  }
}

static void
describe_numbers (const Upkeep *upkeep, const void *result, json_t *root)
{
  const RagifyStatsResult *stats = result;
  json_t *numbers = json_object ();
  for (guint64 i = 0; i < stats->values.count; i++) {
    const RagifyPair *pair = &stats->values.items[i];
    g_autofree char *name = g_strndup (pair->name.data, pair->name.size);
    json_object_set_new (numbers, name, describe_value (&pair->value));
  }
  json_object_set_new (root, "stats", numbers);
  if (upkeep->path != NULL)
    json_object_set_new (root, "path", json_string (upkeep->path));
}

static void
describe_verification (const Upkeep *upkeep, const void *result, json_t *root)
{
  const RagifyStoreVerifyResult *found = result;
  json_t *problems = json_array ();
  for (guint64 i = 0; i < found->problems.count; i++)
    json_array_append_new (problems, json_stringn (found->problems.items[i].data, found->problems.items[i].size));
  json_object_set_new (root, "looked_at", json_integer ((json_int_t)found->looked_at));
  json_object_set_new (root, "repaired", json_integer ((json_int_t)found->repaired));
  json_object_set_new (root, "problems", problems);
}

static char *
describe (const Upkeep *upkeep, const void *result)
{
  json_t *root = json_pack ("{s:s, s:f}", "store", upkeep->library->name, "duration",
                            (double)(ragify_now () - upkeep->began) / G_USEC_PER_SEC);
  upkeep->describe (upkeep, result, root);
  char *text = json_dumps (root, JSON_COMPACT | JSON_REAL_PRECISION (6));
  json_decref (root);
  char *copy = g_strdup (text);
  free (text);
  return copy;
}

/* Of what the library does by itself. */
static void
finished_quietly (RagifyCall *call, void *user)
{
  Upkeep *upkeep = user;
  RagifyLibrary *library = upkeep->library;
  if (ragify_call_code (call) != RAGIFY_OK)
    g_warning ("%s: it could not be optimised: %s", library->name, ragify_call_message (call));
  g_atomic_int_set (&library->optimizing, FALSE);
  ragify_owner_unref (&upkeep->owner);
}

static void
reply_problem (Upkeep *upkeep, RagifyProblem *problem)
{
  ragify_library_reply (upkeep->loop, NULL, problem, upkeep->replied, upkeep->user);
  ragify_owner_unref (&upkeep->owner);
}

static void
finished (RagifyCall *call, void *user)
{
  Upkeep *upkeep = user;
  RagifyProblem problem = { 0 };
  if (ragify_call_code (call) != RAGIFY_OK) {
    ragify_ingest_problem (&problem, ragify_call_code (call), ragify_call_message (call),
                           ragify_call_retry_after (call));
    reply_problem (upkeep, &problem);
    return;
  }
  ragify_library_reply (upkeep->loop, describe (upkeep, ragify_call_result (call)), &problem, upkeep->replied,
                        upkeep->user);
  ragify_owner_unref (&upkeep->owner);
}

static Upkeep *
upkeep_new (RagifyLibrary *library, RagifyLoop *loop, RagifyLibraryReplied replied, void *user)
{
  Upkeep *upkeep = (Upkeep *)ragify_owner_new (sizeof *upkeep, clear);
  upkeep->library = ragify_library_ref (library);
  upkeep->loop = loop;
  upkeep->began = ragify_now ();
  upkeep->describe = describe_numbers;
  upkeep->replied = replied;
  upkeep->user = user;
  return upkeep;
}

/* `instead`: what to do where the store's plugin cannot. */
static void
run (Upkeep *upkeep, const RagifyOperation *operation, const char *instead)
{
  const RagifyComponent *component = ragify_node_component (upkeep->library->store);
  if (operation->present (component)) {
    ragify_node_call (upkeep->library->store, ragify_call_new (&upkeep->owner, operation, &upkeep->arguments,
                                                               ragify_now () + UPKEEP_TIMEOUT_US, finished, upkeep));
    return;
  }
  RagifyProblem problem = { 0 };
  ragify_problem_set (&problem, 409, "Not by this store", "store", "the plugin '%s' of the store '%s' has no %s; %s",
                      component->name, upkeep->library->name, operation->name, instead);
  reply_problem (upkeep, &problem);
}

void
ragify_library_optimize (RagifyLibrary *library, RagifyLoop *loop, RagifyLibraryReplied replied, void *user)
{
  Upkeep *upkeep = upkeep_new (library, loop, replied, user);
  upkeep->arguments.optimize = (RagifyStoreOptimize){ .struct_size = sizeof upkeep->arguments.optimize };
  run (upkeep, &ragify_operation_store_optimize, "its index needs none");
}

/* On a loop: a call that nobody waits for is finished on the loop that began it. */
static void
begin_quietly (RagifyTask *task)
{
  Upkeep *upkeep = (Upkeep *)(void *)((char *)task - G_STRUCT_OFFSET (Upkeep, task));
  RagifyNode *store = upkeep->library->store;
  ragify_node_call (store,
                    ragify_call_new (&upkeep->owner, &ragify_operation_store_optimize, &upkeep->arguments.optimize,
                                     ragify_now () + UPKEEP_TIMEOUT_US, finished_quietly, upkeep));
  ragify_node_drop (store);
}

void
ragify_library_optimize_soon (RagifyLibrary *library)
{
  if (!ragify_operation_store_optimize.present (ragify_node_component (library->store)) ||
      !g_atomic_int_compare_and_exchange (&library->optimizing, FALSE, TRUE))
    return;
  Upkeep *upkeep = upkeep_new (library, NULL, NULL, NULL);
  upkeep->arguments.optimize = (RagifyStoreOptimize){ .struct_size = sizeof upkeep->arguments.optimize };
  upkeep->task.run = begin_quietly;
  ragify_node_hold (library->store);
  ragify_loop_post (library->runtime->loops[0], &upkeep->task);
}

void
ragify_library_backup (RagifyLibrary *library, RagifyLoop *loop, const char *path, RagifyLibraryReplied replied,
                       void *user)
{
  Upkeep *upkeep = upkeep_new (library, loop, replied, user);
  g_autofree char *above = g_path_get_dirname (path);
  upkeep->path = g_strdup (path);
  upkeep->arguments.backup =
      (RagifyStoreBackup){ .struct_size = sizeof upkeep->arguments.backup, .path = ragify_str_from (upkeep->path) };
  if (g_mkdir_with_parents (above, 0700) == 0) {
    run (upkeep, &ragify_operation_store_backup, "back up its server by the server's own means");
    return;
  }
  RagifyProblem problem = { 0 };
  ragify_problem_set (&problem, 507, "No room to store", "to", "%s: %s", above, g_strerror (errno));
  reply_problem (upkeep, &problem);
}

void
ragify_library_verify (RagifyLibrary *library, RagifyLoop *loop, gboolean repair, RagifyLibraryReplied replied,
                       void *user)
{
  Upkeep *upkeep = upkeep_new (library, loop, replied, user);
  upkeep->describe = describe_verification;
  upkeep->arguments.verify =
      (RagifyStoreVerify){ .struct_size = sizeof upkeep->arguments.verify, .flags = repair ? RAGIFY_VERIFY_REPAIR : 0 };
  run (upkeep, &ragify_operation_store_verify, "its server looks after what it holds");
}
