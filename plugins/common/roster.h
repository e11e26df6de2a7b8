/* Which chunk each of a text index's own numbers stands for, and how long it is: kept in memory, so that hits cost no
 * look-ups on disk.
 *
 * A number is given to one chunk only, so an entry does not change once a reader can know its number. Readers run
 * beside the one writer without a lock: an entry is whole when its length is seen. */
#ifndef RAGIFY_ROSTER_H
#define RAGIFY_ROSTER_H

#include <ragify/base.h>

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RAGIFY_ROSTER_SHIFT 12u
#define RAGIFY_ROSTER_ROWS (1u << RAGIFY_ROSTER_SHIFT)

typedef struct RagifyRosterPage {
  uint32_t lengths[RAGIFY_ROSTER_ROWS]; /* in words; 0: nobody has this number */
  RagifyUuid ids[RAGIFY_ROSTER_ROWS];
} RagifyRosterPage;

typedef struct RagifyRoster {
  RagifyRosterPage **pages; /* by number >> RAGIFY_ROSTER_SHIFT; NULL where no number was given */
} RagifyRoster;

/* NULL when memory is exhausted. */
RagifyRoster *ragify_roster_new (void);
void ragify_roster_free (RagifyRoster *roster);

/* [writer] `length` is at least 1. False when memory is exhausted. */
bool ragify_roster_set (RagifyRoster *roster, uint32_t number, const RagifyUuid *id, uint32_t length);

/* [writer] The number, which was given, stands for nobody any more. */
void ragify_roster_drop (RagifyRoster *roster, uint32_t number);

/* [any] 0: nobody has this number. */
static inline uint32_t
ragify_roster_length (const RagifyRoster *roster, uint32_t number)
{
  const RagifyRosterPage *page = __atomic_load_n (&roster->pages[number >> RAGIFY_ROSTER_SHIFT], __ATOMIC_ACQUIRE);
  return page == NULL ? 0 : __atomic_load_n (&page->lengths[number & (RAGIFY_ROSTER_ROWS - 1)], __ATOMIC_ACQUIRE);
}

/* [any] Of a number whose length was seen. */
static inline RagifyUuid
ragify_roster_id (const RagifyRoster *roster, uint32_t number)
{
  const RagifyRosterPage *page = __atomic_load_n (&roster->pages[number >> RAGIFY_ROSTER_SHIFT], __ATOMIC_ACQUIRE);
  return page->ids[number & (RAGIFY_ROSTER_ROWS - 1)];
}

#ifdef __cplusplus
}
#endif
#endif
