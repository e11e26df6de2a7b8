/* An approximate index on disk, so that a start need not build it: one file, written whole or not at all.
 *
 * It says which chunk each row stands for, by numbers that the database never uses twice; so an old snapshot is as good
 * as a new one, only with more rows to leave out and more chunks to add exactly. */
#ifndef RAGIFY_SNAPSHOT_H
#define RAGIFY_SNAPSHOT_H

#include "base.h"

#include <ragify/vector-store.h>

/* Writes to `folder`, what nobody searches yet. The disk has it when this returns. */
bool ragify_snapshot_write (const char *folder, const RagifyUuid *store, const char *name, uint32_t dimension,
                            const RagifyBase *base, RagifyFault *fault);

/* Checks it and maps it. False with a fault where it is not there (NOT_FOUND),
 * damaged, or of another store, name or dimension. One of an older format is brought to this one first; where it cannot
 * be written, it is read all the same. */
bool ragify_snapshot_read (const char *folder, const RagifyUuid *store, const char *name, uint32_t dimension,
                           RagifyBase *base, RagifyFault *fault);

/* Copies the file, where there is one that is whole, into the folder `to`, as that of the store `store`. The disk need
 * not have it when this returns. */
bool ragify_snapshot_copy (const char *from, const char *to, const RagifyUuid *store, RagifyFault *fault);

/* Removes the file where there is one. */
void ragify_snapshot_remove (const char *folder);

#endif
