/* Optimising a store: its index is built anew, or put in order, beside searches and writes.
 *
 * SPDX-License-Identifier: MIT
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/call/operations.h"
#include "core/ingest/library-private.h"
#include "core/ingest/report.h"

/* An approximate index over millions of vectors takes its time. */
#define OPTIMIZE_TIMEOUT_US (6 * 3600 * (guint64)G_USEC_PER_SEC)

typedef struct Optimizing {
  RagifyOwner owner;
  RagifyStoreOptimize arguments;
  RagifyLibrary *library; /* a reference */
  RagifyLoop *loop;
  guint64 began;
  RagifyLibraryReplied replied;
  void *user;
} Optimizing;

static void
clear (RagifyOwner *owner)
{
  ragify_library_unref (((Optimizing *)owner)->library);
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

static char *
describe (const Optimizing *optimizing, const RagifyStatsResult *stats)
{
  json_t *numbers = json_object ();
  for (guint64 i = 0; i < stats->values.count; i++) {
    const RagifyPair *pair = &stats->values.items[i];
    g_autofree char *name = g_strndup (pair->name.data, pair->name.size);
    json_object_set_new (numbers, name, describe_value (&pair->value));
  }
  json_t *root = json_pack ("{s:s, s:f, s:o}", "store", optimizing->library->name, "duration",
                            (double)(ragify_now () - optimizing->began) / G_USEC_PER_SEC, "stats", numbers);
  char *text = json_dumps (root, JSON_COMPACT | JSON_REAL_PRECISION (6));
  json_decref (root);
  char *copy = g_strdup (text);
  free (text);
  return copy;
}

static void
finished (RagifyCall *call, void *user)
{
  Optimizing *optimizing = user;
  RagifyProblem problem = { 0 };
  char *body = NULL;
  if (ragify_call_code (call) == RAGIFY_OK)
    body = describe (optimizing, ragify_call_result (call));
  else
    ragify_ingest_problem (&problem, ragify_call_code (call), ragify_call_message (call),
                           ragify_call_retry_after (call));
  ragify_library_reply (optimizing->loop, body, &problem, optimizing->replied, optimizing->user);
  ragify_owner_unref (&optimizing->owner);
}

void
ragify_library_optimize (RagifyLibrary *library, RagifyLoop *loop, RagifyLibraryReplied replied, void *user)
{
  Optimizing *optimizing = (Optimizing *)ragify_owner_new (sizeof *optimizing, clear);
  optimizing->arguments = (RagifyStoreOptimize){ .struct_size = sizeof optimizing->arguments };
  optimizing->library = ragify_library_ref (library);
  optimizing->loop = loop;
  optimizing->began = ragify_now ();
  optimizing->replied = replied;
  optimizing->user = user;
  ragify_node_call (library->store,
                    ragify_call_new (&optimizing->owner, &ragify_operation_store_optimize, &optimizing->arguments,
                                     ragify_now () + OPTIMIZE_TIMEOUT_US, finished, optimizing));
}
