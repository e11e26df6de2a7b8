/* An approximate index, and what its rows stand for. */
#ifndef RAGIFY_BASE_OF_INDEX_H
#define RAGIFY_BASE_OF_INDEX_H

#include "approximate.h"

typedef struct RagifyBase {
  RagifyApproximate *approximate; /* NULL: none, and there are no rows */
  uint64_t count;                 /* of rows */
  RagifyUuid *ids;                /* by row */
  uint32_t *metadata;             /* by row: its number in the database */
  const uint64_t *chunks;         /* by row: its number in the database; `own_chunks`, or in the file that the
                                     approximate index has mapped: few ask for it */
  uint64_t *own_chunks;
} RagifyBase;

/* Memory for what `room` rows stand for; there are none yet. */
bool ragify_base_init (RagifyBase *base, uint64_t room, RagifyFault *fault);
void ragify_base_clear (RagifyBase *base);

/* Puts rows into another order: row i becomes what row order[i] was. */
bool ragify_base_reorder (RagifyBase *base, const uint64_t *order, RagifyFault *fault);

#endif
