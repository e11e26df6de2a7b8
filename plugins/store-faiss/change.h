/* One batch of changes: a transaction on the writing connection, and what it means for the index.
 *
 *   begin → ragify_upsert_apply or ragify_removal_apply → commit → ragify_index_publish → clear
 *
 * Vectors that the batch makes searchable are staged in the index on the way, so that nothing can fail after the
 * commit. All [writer]. */
#ifndef RAGIFY_CHANGE_H
#define RAGIFY_CHANGE_H

#include "connection.h"
#include "index.h"

#define RAGIFY_REMOVALS_KEPT 200000 /* how many removed ids the store remembers for `list since` */

/* A chunk that went with this batch. */
typedef struct RagifyGone {
  RagifyUuid id;
  int64_t document; /* the number of the document that it was part of */
} RagifyGone;

typedef struct RagifyChange {
  RagifyConnection *connection;
  RagifyIndex *index; /* NULL: the store has no vectors */
  RagifyFault *fault;
  uint64_t generation; /* that the batch makes */
  int64_t now;         /* wall clock, µs */
  bool (*cancelled) (void *user);
  void *user;

  RagifyGone *gone;
  size_t gone_count;
  size_t gone_room;
  bool asked_for_removals; /* whether any are known: … */
  bool has_removals;       /* … the answer, without those of this batch */
  RagifyUuid *bare;        /* added without a vector: one that the index has is of an older version */
  size_t bare_count;
  size_t bare_room;
  RagifyUuid *removed; /* after ragify_change_settle or in a removal: gone for good */
  size_t removed_count;
  uint64_t inserted; /* chunks; in a removal, whole documents */
  int64_t documents; /* how many more there are now */
  int64_t chunks;
} RagifyChange;

/* Opens the transaction. `change` names the connection, the index, the fault, the time and who may cancel. */
bool ragify_change_begin (RagifyChange *change);

/* Makes everything durable. After this only ragify_index_publish is left to do. */
bool ragify_change_commit (RagifyChange *change);

/* Frees the lists; drops what is staged in the index and was not published. */
void ragify_change_clear (RagifyChange *change);

/* Whether the caller gave up; then the fault says so. */
bool ragify_change_cancelled (RagifyChange *change);

bool ragify_change_add_gone (RagifyChange *change, const RagifyUuid *id, int64_t document);
bool ragify_change_add_bare (RagifyChange *change, const RagifyUuid *id);

/* A chunk that becomes searchable is no longer removed. Before anything of this batch is kept as removed. */
bool ragify_change_forget_chunk (RagifyChange *change, const RagifyUuid *id);

/* Finds out which of the gone chunks were not added again, and keeps their removal for `list since`. */
bool ragify_change_settle (RagifyChange *change);

/* Takes the gone chunks from number `first` on as removed for good, and keeps their removal for `list since`. Their
 * documents are still there. */
bool ragify_change_note_chunks (RagifyChange *change, size_t first);

/* Removes all chunks of a document, the ones that can be found or the staged ones. Found ones are added to `gone`. */
bool ragify_change_drop_chunks (RagifyChange *change, int64_t document, bool staged);

/* Removes one chunk and its vector. */
bool ragify_change_drop_chunk (RagifyChange *change, int64_t chunk);

/* Remembers that a document went, or forgets it since it is back. */
bool ragify_change_note_document (RagifyChange *change, int64_t document);
bool ragify_change_forget_document (RagifyChange *change, RagifyStr id);

/* Puts the vector of a chunk among the staged ones. */
bool ragify_change_stage (RagifyChange *change, const RagifyIndexEntry *entry, const float *vector);

/* The batch itself. */
bool ragify_upsert_apply (RagifyChange *change, const RagifyStoreUpsert *upsert);
bool ragify_removal_apply (RagifyChange *change, const RagifyStoreRemove *removal, const RagifyMatches *matches);

#endif
