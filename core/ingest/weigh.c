/* SPDX-License-Identifier: MIT */
#include "core/ingest/weigh.h"

#include "core/call/operations.h"

#define TEXTS 256u /* in one call */
#define TIMEOUT_US (30 * (guint64)G_USEC_PER_SEC)

/* Copies: who is too slow reads on when nobody waits any more. */
static gboolean
weigh_some (RagifyNode *node, const RagifyStr *texts, gsize count, guint *weights)
{
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
  RagifyStr *copies = ragify_arena_alloc (owner->arena, count * sizeof *copies);
  for (gsize i = 0; i < count; i++)
    copies[i] = ragify_str (ragify_arena_copy (owner->arena, texts[i].data, texts[i].size), texts[i].size);
  RagifyEmbedderTokenize *args = ragify_arena_alloc (owner->arena, sizeof *args);
  *args = (RagifyEmbedderTokenize){ .struct_size = sizeof *args, .texts = { copies, count } };
  RagifyCall *call =
      ragify_call_new (owner, &ragify_operation_embedder_tokenize, args, ragify_now () + TIMEOUT_US, NULL, NULL);
  if (ragify_call_wait (node, call) != RAGIFY_OK)
    return FALSE;
  const RagifyEmbedderTokenizeResult *result = ragify_call_result (call);
  if (result->counts.count != count)
    return FALSE;
  for (gsize i = 0; i < count; i++)
    weights[i] = result->counts.items[i];
  return TRUE;
}

gboolean
ragify_weigh_tokens (void *node, const RagifyStr *texts, gsize count, guint *weights)
{
  if (node == NULL || !ragify_operation_embedder_tokenize.present (ragify_node_component (node)))
    return FALSE;
  for (gsize first = 0; first < count; first += TEXTS)
    if (!weigh_some (node, texts + first, MIN (TEXTS, count - first), weights + first))
      return FALSE;
  return TRUE;
}
