/* Optimising a store, and bringing it to the disk. */
#include "store-private.h"

#include "loading.h"
#include "snapshot.h"

#include <malloc.h>
#include <string.h>

/* Metadata that nothing carries any more go; numbers are not used again, so what filters remember stays right. */
static bool
tidy (RagifyConnection *connection, RagifyFault *fault)
{
  return ragify_connection_execute (connection,
                                    "DELETE FROM metadata WHERE number NOT IN"
                                    " (SELECT metadata FROM chunks UNION SELECT metadata FROM documents);"
                                    "PRAGMA optimize; PRAGMA wal_checkpoint (TRUNCATE)",
                                    fault);
}

bool
ragify_store_snapshot_useless (const RagifyStore *store)
{
  return store->snapshot_useless;
}

uint64_t
ragify_store_missing_vectors (RagifyStore *store)
{
  if (store->index == NULL || ragify_approximate_is_exact (store->factory))
    return 0;
  RagifyIndexCounts counts = ragify_index_counts (store->index);
  uint64_t least = ragify_approximate_least (store->factory);
  return counts.vectors == counts.exact && counts.vectors < least ? least - counts.vectors : 0;
}

bool
ragify_store_lacks_index (RagifyStore *store)
{
  if (store->index == NULL || ragify_approximate_is_exact (store->factory))
    return false;
  RagifyIndexCounts counts = ragify_index_counts (store->index);
  return counts.vectors == counts.exact && counts.vectors >= ragify_approximate_least (store->factory);
}

/* What an approximate index wants. */
typedef enum { NOTHING, BUILD, GIVE_UP } Want;

/* Of what there is too much is left to the exact index, or dead; or too few are left for it to pay. */
static Want
want_of (RagifyStore *store)
{
  if (store->index == NULL || ragify_approximate_is_exact (store->factory))
    return NOTHING;
  RagifyIndexCounts counts = ragify_index_counts (store->index);
  const bool worn = counts.exact > counts.vectors / 10 || counts.dead > counts.vectors / 4;
  if (counts.vectors >= ragify_approximate_least (store->factory))
    return worn || atomic_load (&store->not_kept) ? BUILD : NOTHING;
  const bool has_one = counts.dead > 0 || counts.exact < counts.vectors;
  return worn && has_one ? GIVE_UP : NOTHING;
}

/* Puts what was built into the place of what it covers. Everything written since is carried over. */
static bool
put_in_place (RagifyStore *store, const RagifyAnswer *answer, RagifyBase *base, RagifyFault *fault)
{
  if (ragify_store_begin_write (store, answer, fault) == NULL)
    return false;
  bool ok = ragify_index_adopt (store->index, base, false, fault);
  ragify_database_end_write (store->database);
  return ok;
}

/* What was built goes to the disk, and is searched there, as after a start. Without a snapshot it is searched in
 * memory, and the next start is exact until the next build; so a full disk spoils nothing but that. */
static bool
keep (RagifyStore *store, uint32_t dimension, RagifyBase *base, RagifyFault *fault)
{
  RagifyBase mapped;
  RagifyFault second;
  if (store->in_memory)
    return true;
  if (!ragify_snapshot_write (store->folder, &store->id, store->factory, dimension, base, fault))
    return false;
  if (ragify_snapshot_read (store->folder, &store->id, store->factory, dimension, &mapped, &second)) {
    ragify_base_clear (base);
    *base = mapped;
  }
  return true;
}

/* Built beside searches and writes, from what the database says at one moment. */
static bool
build (RagifyStore *store, const RagifyAnswer *answer, RagifyFault *fault)
{
  RagifyBase base;
  uint32_t dimension = ragify_index_dimension (store->index);
  RagifyConnection *connection = ragify_database_borrow (store->database, fault);
  bool ok = connection != NULL && ragify_loading_build (connection, store->factory, dimension,
                                                        ragify_store_is_cancelled, (void *)answer, &base, fault);
  ragify_database_give_back (store->database, connection);
  if (!ok)
    return false;
  bool kept = keep (store, dimension, &base, fault);
  atomic_store (&store->not_kept, !kept);
  RagifyFault second;
  ok = put_in_place (store, answer, &base, kept ? fault : &second);
  ragify_base_clear (&base);
  /* Building left many small holes in the heap, as much as the index is large. */
  (void)malloc_trim (0);
  return kept && ok;
}

/* Searches become exact again, from the database's vectors: an index that hardly anything is left of would keep the
 * memory of all that it had. They are few, so writes wait. */
static bool
give_up (RagifyStore *store, const RagifyAnswer *answer, RagifyFault *fault)
{
  uint64_t without;
  RagifyIndex *exact = ragify_index_new (ragify_index_dimension (store->index), fault);
  RagifyConnection *connection = exact == NULL ? NULL : ragify_store_begin_write (store, answer, fault);
  const bool ok = connection != NULL && ragify_loading_run (connection, exact, NULL, &without, fault);
  if (ok) {
    ragify_index_take (store->index, exact);
    if (!store->in_memory)
      ragify_snapshot_remove (store->folder);
    atomic_store (&store->not_kept, false);
  } else {
    ragify_index_free (exact);
  }
  if (connection != NULL)
    ragify_database_end_write (store->database);
  (void)malloc_trim (0);
  return ok;
}

bool
ragify_store_optimize (RagifyStore *store, const RagifyAnswer *answer, const RagifyStoreOptimize *args,
                       RagifyFault *fault)
{
  RagifyConnection *connection = ragify_store_begin_write (store, answer, fault);
  if (connection == NULL)
    return false;
  bool ok = tidy (connection, fault);
  ragify_database_end_write (store->database);
  const Want want = ok ? want_of (store) : NOTHING;
  if (want == NOTHING || atomic_flag_test_and_set (&store->building))
    return ok;
  ok = want == BUILD ? build (store, answer, fault) : give_up (store, answer, fault);
  atomic_flag_clear (&store->building);
  return ok;
}

bool
ragify_store_flush (RagifyStore *store, const RagifyAnswer *answer, RagifyFault *fault)
{
  RagifyConnection *connection = ragify_store_begin_write (store, answer, fault);
  if (connection == NULL)
    return false;
  bool ok = ragify_connection_execute (connection, "PRAGMA wal_checkpoint (PASSIVE)", fault);
  ragify_database_end_write (store->database);
  return ok;
}
