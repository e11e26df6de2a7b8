/* A folder that belongs to one plugin of one process at a time.
 *
 * It holds a file `lock`, which is locked while the folder is open. A folder that cannot be written is opened for
 * reading, without a lock. */
#ifndef RAGIFY_FOLDER_H
#define RAGIFY_FOLDER_H

#include "fault.h"

typedef struct RagifyFolder RagifyFolder;

/* Makes the folder where it is not there, and locks it; waits at most so long for another process that has it. */
RagifyFolder *ragify_folder_open (const char *path, uint64_t lock_wait_us, RagifyFault *fault);
void ragify_folder_close (RagifyFolder *folder);

/* Why it cannot be written, or NULL. */
const char *ragify_folder_read_only (const RagifyFolder *folder);

#endif
