/* Snapshots as earlier versions wrote them. */
#ifndef FORMER_SNAPSHOT_H
#define FORMER_SNAPSHOT_H

#ifdef __cplusplus
extern "C" {
#endif

/* Writes the snapshot of an IVF index, of today's format, anew as one of format 1: an entry of 32 bytes for each row,
 * then the index as FAISS writes it, rows numbered in the order in which they were added. Exits where it cannot. */
void former_snapshot_write (const char *path);

#ifdef __cplusplus
}
#endif
#endif
