/* SPDX-License-Identifier: MIT */
#include "core/ingest/follower.h"

#include <string.h>

#include "core/call/operations.h"

#define TIMEOUT_US (120 * G_USEC_PER_SEC)
#define PAGE_CHUNKS 1000u
#define UPDATE_BUDGET_US (2 * (guint64)G_USEC_PER_SEC) /* that a write waits for an index that lags */

/* How far an index that lags has come. */
typedef struct Lag {
  gboolean lagging;
  char *cursor; /* of the next page; NULL: it is to be looked at first */
  guint64 since;
  RagifyGeneration before; /* what it keeps as its generation until the last page */
  RagifyGeneration at;     /* what it reflects, while it does not lag */
} Lag;

struct RagifyFollower {
  RagifyNode *store;
  RagifyNode **indexes;
  Lag *lags; /* one for each index */
  guint n_indexes;
};

RagifyFollower *
ragify_follower_new (RagifyNode *store, RagifyNode *const *indexes, guint count)
{
  RagifyFollower *follower = g_new0 (RagifyFollower, 1);
  follower->store = store;
  follower->indexes = g_memdup2 (indexes, count * sizeof *indexes);
  follower->lags = g_new0 (Lag, MAX (count, 1));
  follower->n_indexes = count;
  ragify_follower_distrust (follower); /* until they were looked at */
  return follower;
}

void
ragify_follower_free (RagifyFollower *follower)
{
  for (guint i = 0; i < follower->n_indexes; i++)
    g_free (follower->lags[i].cursor);
  g_free (follower->indexes);
  g_free (follower->lags);
  g_free (follower);
}

void
ragify_follower_distrust (RagifyFollower *follower)
{
  for (guint i = 0; i < follower->n_indexes; i++)
    follower->lags[i].lagging = TRUE; /* one that is catching up already sees this later */
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
follow_page (RagifyFollower *follower, RagifyNode *index, Lag *lag, gboolean *too_old, char **reason)
{
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof (RagifyOwner), NULL);
  RagifyStoreList *args = ragify_arena_alloc (owner->arena, sizeof *args);
  *args = (RagifyStoreList){ .struct_size = sizeof *args,
                             .what = RAGIFY_LIST_CHUNKS,
                             .limit = PAGE_CHUNKS,
                             .cursor =
                                 ragify_str_from (ragify_arena_copy (owner->arena, lag->cursor, strlen (lag->cursor))),
                             .since = lag->since };
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
  if (!text_upsert (index, owner, present, n_present, &removed, last ? &page->generation : &lag->before, reason))
    return FALSE;
  g_free (lag->cursor);
  lag->cursor = page->cursor.size > 0 ? g_strndup (page->cursor.data, page->cursor.size) : NULL;
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

/* From nothing on. */
static gboolean
begin_rebuilding (RagifyNode *index, Lag *lag, char **reason)
{
  if (!text_clear (index, reason))
    return FALSE;
  lag->before = (RagifyGeneration){ 0 };
  lag->since = 0;
  g_free (lag->cursor);
  lag->cursor = g_strdup ("");
  return TRUE;
}

/* Finds out what the index lacks; where that is nothing, it lags no more. */
static gboolean
begin_following (RagifyFollower *follower, RagifyNode *index, Lag *lag, char **reason)
{
  RagifyTextGeneration text;
  RagifyStoreGeneration store;
  if (!text_generation (index, &text, reason) || !ragify_store_generation (follower->store, &store, reason))
    return FALSE;
  const gboolean same_store = memcmp (&text.generation.store, &store.generation.store, sizeof (RagifyUuid)) == 0;
  if (same_store && text.generation.counter == store.generation.counter) {
    lag->lagging = FALSE;
    lag->at = text.generation;
    return TRUE;
  }
  if (!same_store || text.generation.counter > store.generation.counter || text.generation.counter == 0)
    return begin_rebuilding (index, lag, reason);
  g_message ("%s: catching up with %s from generation %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT,
             ragify_node_name (index), ragify_node_name (follower->store), text.generation.counter,
             store.generation.counter);
  lag->before = text.generation;
  lag->since = text.generation.counter;
  lag->cursor = g_strdup ("");
  return TRUE;
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
  const RagifyGeneration *at = &follower->lags[place].at;
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

/* One page more. FALSE: it failed. */
static gboolean
follow_further (RagifyFollower *follower, guint place, char **reason)
{
  RagifyNode *index = follower->indexes[place];
  Lag *lag = &follower->lags[place];
  gboolean too_old = FALSE;
  if (lag->cursor == NULL)
    return begin_following (follower, index, lag, reason);
  if (!follow_page (follower, index, lag, &too_old, reason)) {
    g_clear_pointer (&lag->cursor, g_free);
    return FALSE;
  }
  return !too_old || begin_rebuilding (index, lag, reason);
}

/* Until it has caught up, or for so long. FALSE: it failed, or is not there yet. */
static gboolean
follow (RagifyFollower *follower, guint place, guint64 until, char **reason)
{
  while (follower->lags[place].lagging)
    if (!follow_further (follower, place, reason))
      return FALSE;
    else if (ragify_now () > until)
      break;
  return !follower->lags[place].lagging;
}

guint
ragify_follower_catch_up (RagifyFollower *follower, guint64 budget_us, char **reason)
{
  const guint64 until = ragify_now () + budget_us;
  guint behind = 0;
  for (guint i = 0; i < follower->n_indexes; i++)
    behind += follow (follower, i, until, reason) ? 0 : 1;
  return behind;
}

gboolean
ragify_follower_lags (const RagifyFollower *follower)
{
  for (guint i = 0; i < follower->n_indexes; i++)
    if (follower->lags[i].lagging)
      return TRUE;
  return FALSE;
}

void
ragify_follower_update (RagifyFollower *follower, RagifyOwner *owner, const RagifyChunk *chunks, guint64 count,
                        const RagifyUuidList *removed, const RagifyGeneration *generation, RagifyIngestReport *report)
{
  const guint64 until = ragify_now () + UPDATE_BUDGET_US;
  for (guint i = 0; i < follower->n_indexes; i++) {
    Lag *lag = &follower->lags[i];
    g_autofree char *reason = NULL;
    if (lag->lagging || !continues (follower, i, generation)) {
      lag->lagging = TRUE; /* only as a whole: what it lacks is older than this batch */
      follow (follower, i, until, &reason);
    } else {
      lag->lagging = !text_upsert (follower->indexes[i], owner, chunks, count, removed, generation, &reason);
      lag->at = *generation;
    }
    if (!lag->lagging)
      continue;
    if (reason == NULL)
      reason = g_strdup ("it has much to catch up with");
    g_warning ("%s lags behind %s: %s", ragify_node_name (follower->indexes[i]), ragify_node_name (follower->store),
               reason);
    if (report != NULL)
      ragify_ingest_report_warn (report, reason);
  }
}
