/* SPDX-License-Identifier: MIT */
#include "core/ingest/follower.h"

#include <string.h>

#include "core/call/operations.h"

#define TIMEOUT_US (120 * G_USEC_PER_SEC)
#define PAGE_CHUNKS 1000u

struct RagifyFollower {
  RagifyNode *store;
  RagifyNode **indexes;
  gboolean *lagging;    /* one for each index */
  RagifyGeneration *at; /* the same: what it reflects, while it does not lag */
  guint n_indexes;
};

RagifyFollower *
ragify_follower_new (RagifyNode *store, RagifyNode *const *indexes, guint count)
{
  RagifyFollower *follower = g_new0 (RagifyFollower, 1);
  follower->store = store;
  follower->indexes = g_memdup2 (indexes, count * sizeof *indexes);
  follower->lagging = g_new0 (gboolean, MAX (count, 1));
  follower->at = g_new0 (RagifyGeneration, MAX (count, 1));
  follower->n_indexes = count;
  ragify_follower_distrust (follower); /* until they were looked at */
  return follower;
}

void
ragify_follower_free (RagifyFollower *follower)
{
  g_free (follower->indexes);
  g_free (follower->lagging);
  g_free (follower->at);
  g_free (follower);
}

void
ragify_follower_distrust (RagifyFollower *follower)
{
  for (guint i = 0; i < follower->n_indexes; i++)
    follower->lagging[i] = TRUE;
}

static gboolean
text_upsert (RagifyNode *index, RagifyOwner *owner, const RagifyChunk *chunks, guint64 count,
             const RagifyUuidList *removed, const RagifyGeneration *generation, char **reason)
{
  RagifyTextUpsert *args = ragify_arena_alloc (owner->arena, sizeof *args);
  *args = (RagifyTextUpsert){ .struct_size = sizeof *args,
                              .chunks = { .items = chunks, .count = count, .stride = sizeof *chunks },
                              .removed = removed != NULL ? *removed : (RagifyUuidList){ NULL, 0 },
                              .generation = *generation };
  RagifyCall *call =
      ragify_call_new (owner, &ragify_operation_text_upsert, args, ragify_now () + TIMEOUT_US, NULL, NULL);
  if (ragify_call_wait (index, call) == RAGIFY_OK)
    return TRUE;
  g_free (*reason);
  *reason = g_strdup (ragify_call_message (call));
  return FALSE;
}

static gboolean
text_clear (RagifyNode *index, char **reason)
{
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
  static const RagifyTextRemove everything = { .struct_size = sizeof everything, .flags = RAGIFY_TEXT_REMOVE_ALL };
  RagifyCall *call =
      ragify_call_new (owner, &ragify_operation_text_remove, &everything, ragify_now () + TIMEOUT_US, NULL, NULL);
  if (ragify_call_wait (index, call) == RAGIFY_OK)
    return TRUE;
  g_free (*reason);
  *reason = g_strdup (ragify_call_message (call));
  return FALSE;
}

/* One page of what changed since `since`, given to the index. Until the last page the index keeps `before` as its
 * generation: cut off in the middle, it begins again, and what it has seen it sees once more. */
static gboolean
follow_page (RagifyFollower *follower, RagifyNode *index, guint64 since, const RagifyGeneration *before, char **cursor,
             gboolean *too_old, char **reason)
{
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
  RagifyStoreList *args = ragify_arena_alloc (owner->arena, sizeof *args);
  *args = (RagifyStoreList){ .struct_size = sizeof *args,
                             .what = RAGIFY_LIST_CHUNKS,
                             .limit = PAGE_CHUNKS,
                             .cursor = ragify_str_from (ragify_arena_copy (owner->arena, *cursor, strlen (*cursor))),
                             .since = since };
  RagifyCall *call =
      ragify_call_new (owner, &ragify_operation_store_list, args, ragify_now () + TIMEOUT_US, NULL, NULL);
  if (ragify_call_wait (follower->store, call) != RAGIFY_OK) {
    g_free (*reason);
    *reason = g_strdup (ragify_call_message (call));
    return FALSE;
  }
  const RagifyStoreListResult *page = ragify_call_result (call);
  *too_old = page->since_too_old != 0;
  if (*too_old)
    return TRUE;

  RagifyChunk *present = ragify_arena_alloc (owner->arena, MAX (page->chunks.count, 1) * sizeof *present);
  RagifyUuid *gone = ragify_arena_alloc (owner->arena, MAX (page->chunks.count, 1) * sizeof *gone);
  guint64 n_present = 0, n_gone = 0;
  for (guint64 i = 0; i < page->chunks.count; i++) {
    const RagifyChunk *chunk =
        (const RagifyChunk *)(const void *)((const char *)page->chunks.items + i * page->chunks.stride);
    if (chunk->flags & RAGIFY_CHUNK_DELETED)
      gone[n_gone++] = chunk->id;
    else
      present[n_present++] = *chunk;
  }
  const RagifyUuidList removed = { gone, n_gone };
  const gboolean last = page->cursor.size == 0;
  if (!text_upsert (index, owner, present, n_present, &removed, last ? &page->generation : before, reason))
    return FALSE;
  g_free (*cursor);
  *cursor = page->cursor.size > 0 ? g_strndup (page->cursor.data, page->cursor.size) : g_strdup ("");
  return TRUE;
}

static gboolean
text_generation (RagifyNode *index, RagifyTextGeneration *generation, char **reason)
{
  static const RagifyNothing nothing = { .struct_size = sizeof nothing };
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
  RagifyCall *call =
      ragify_call_new (owner, &ragify_operation_text_generation, &nothing, ragify_now () + TIMEOUT_US, NULL, NULL);
  if (ragify_call_wait (index, call) != RAGIFY_OK) {
    g_free (*reason);
    *reason = g_strdup (ragify_call_message (call));
    return FALSE;
  }
  *generation = *(const RagifyTextGeneration *)ragify_call_result (call);
  return TRUE;
}

gboolean
ragify_store_generation (RagifyNode *store, RagifyStoreGeneration *generation, char **reason)
{
  static const RagifyNothing nothing = { .struct_size = sizeof nothing };
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
  RagifyCall *call =
      ragify_call_new (owner, &ragify_operation_store_generation, &nothing, ragify_now () + TIMEOUT_US, NULL, NULL);
  if (ragify_call_wait (store, call) != RAGIFY_OK) {
    g_free (*reason);
    *reason = g_strdup (ragify_call_message (call));
    return FALSE;
  }
  *generation = *(const RagifyStoreGeneration *)ragify_call_result (call);
  return TRUE;
}

static gboolean
rebuild (RagifyFollower *follower, RagifyNode *index, char **reason)
{
  static const RagifyGeneration none = { 0 };
  if (!text_clear (index, reason))
    return FALSE;
  g_autofree char *cursor = g_strdup ("");
  do {
    gboolean too_old = FALSE;
    if (!follow_page (follower, index, 0, &none, &cursor, &too_old, reason))
      return FALSE;
  } while (*cursor != '\0');
  return TRUE;
}

static gboolean
follow_index (RagifyFollower *follower, RagifyNode *index, char **reason)
{
  RagifyTextGeneration text;
  RagifyStoreGeneration store;
  if (!text_generation (index, &text, reason) || !ragify_store_generation (follower->store, &store, reason))
    return FALSE;
  const gboolean same_store = memcmp (&text.generation.store, &store.generation.store, sizeof (RagifyUuid)) == 0;
  if (same_store && text.generation.counter == store.generation.counter)
    return TRUE;
  if (!same_store || text.generation.counter > store.generation.counter || text.generation.counter == 0)
    return rebuild (follower, index, reason);

  g_message ("%s: catching up with %s from generation %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT,
             ragify_node_name (index), ragify_node_name (follower->store), text.generation.counter,
             store.generation.counter);
  g_autofree char *cursor = g_strdup ("");
  do {
    gboolean too_old = FALSE;
    if (!follow_page (follower, index, text.generation.counter, &text.generation, &cursor, &too_old, reason))
      return FALSE;
    if (too_old)
      return rebuild (follower, index, reason);
  } while (*cursor != '\0');
  return TRUE;
}

/* One that lags; it does so no longer when this went well. */
static void
follow (RagifyFollower *follower, guint place, char **reason)
{
  RagifyTextGeneration text;
  RagifyNode *index = follower->indexes[place];
  if (!follow_index (follower, index, reason) || !text_generation (index, &text, reason))
    return;
  follower->at[place] = text.generation;
  follower->lagging[place] = FALSE;
}

static gboolean
is_remote (const RagifyNode *node)
{
  return (ragify_node_component (node)->flags & RAGIFY_COMPONENT_REMOTE) != 0;
}

/* Where others write to the store as well, there may be batches between two of this host's. */
static gboolean
continues (const RagifyFollower *follower, guint place, const RagifyGeneration *generation)
{
  const RagifyGeneration *at = &follower->at[place];
  return !is_remote (follower->store) || is_remote (follower->indexes[place]) ||
         (memcmp (&at->store, &generation->store, sizeof at->store) == 0 && generation->counter <= at->counter + 1);
}

gboolean
ragify_follower_must_ask (const RagifyFollower *follower)
{
  gboolean own = FALSE;
  for (guint i = 0; i < follower->n_indexes; i++)
    own = own || !is_remote (follower->indexes[i]);
  return own && is_remote (follower->store);
}

guint
ragify_follower_catch_up (RagifyFollower *follower, char **reason)
{
  guint behind = 0;
  for (guint i = 0; i < follower->n_indexes; i++) {
    if (follower->lagging[i])
      follow (follower, i, reason);
    behind += follower->lagging[i] ? 1 : 0;
  }
  return behind;
}

gboolean
ragify_follower_lags (const RagifyFollower *follower)
{
  for (guint i = 0; i < follower->n_indexes; i++)
    if (follower->lagging[i])
      return TRUE;
  return FALSE;
}

void
ragify_follower_update (RagifyFollower *follower, RagifyOwner *owner, const RagifyChunk *chunks, guint64 count,
                        const RagifyUuidList *removed, const RagifyGeneration *generation, RagifyIngestReport *report)
{
  for (guint i = 0; i < follower->n_indexes; i++) {
    g_autofree char *reason = NULL;
    if (follower->lagging[i] || !continues (follower, i, generation)) {
      follower->lagging[i] = TRUE; /* only as a whole: what it lacks is older than this batch */
      follow (follower, i, &reason);
    } else {
      follower->lagging[i] = !text_upsert (follower->indexes[i], owner, chunks, count, removed, generation, &reason);
      follower->at[i] = *generation;
    }
    if (!follower->lagging[i])
      continue;
    g_warning ("%s lags behind %s: %s", ragify_node_name (follower->indexes[i]), ragify_node_name (follower->store),
               reason);
    if (report != NULL)
      ragify_ingest_report_warn (report, reason);
  }
}
