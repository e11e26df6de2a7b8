/* Errands: what blocks and may take long (a name look-up, a cancel request to a server that does not answer), each on a
 * thread of its own, so that the host's workers are free for others. Their number is capped. */
#ifndef RAGIFY_ERRANDS_H
#define RAGIFY_ERRANDS_H

#include <ragify/ragify.h>

#include <stdbool.h>

typedef struct RagifyErrands RagifyErrands;

/* One thing to do. `work` runs on the errand's thread, then `finished` on the instance's loop; after
 * ragify_errands_close it is `orphaned`, on the errand's thread, in place of `finished`. All three get `user`. */
typedef struct RagifyErrand {
  void (*work) (void *user);
  void (*finished) (void *user);
  void (*orphaned) (void *user);
  void *user;
} RagifyErrand;

/* `most`: errands at once. NULL where memory is exhausted. [control] */
RagifyErrands *ragify_errands_new (RagifyContext *context, const RagifyLoopExtension *loop, unsigned int most);

/* False, and nothing happens, where `most` are under way or no thread can be had. [loop] */
bool ragify_errands_run (RagifyErrands *errands, const RagifyErrand *errand);

/* No errand finishes on the loop after this; those under way are left to end by themselves. Frees. NULL is allowed.
 * [loop][control] */
void ragify_errands_close (RagifyErrands *errands);

#endif
