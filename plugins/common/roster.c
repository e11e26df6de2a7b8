#include "roster.h"

#include <stdlib.h>

#define PAGES ((size_t)1 << (32 - RAGIFY_ROSTER_SHIFT))

RagifyRoster *
ragify_roster_new (void)
{
  RagifyRoster *roster = calloc (1, sizeof *roster);
  if (roster == NULL)
    return NULL;
  /* Zeroed memory of this size is only addresses until it is written to. */
  roster->pages = calloc (PAGES, sizeof (RagifyRosterPage *));
  if (roster->pages != NULL)
    return roster;
  free (roster);
  return NULL;
}

void
ragify_roster_free (RagifyRoster *roster)
{
  if (roster == NULL)
    return;
  /* Numbers are given from 1 on without gaps of a page, so the pages end at the first that is not there. */
  for (size_t i = 0; i < PAGES && roster->pages[i] != NULL; i++)
    free (roster->pages[i]);
  free (roster->pages);
  free (roster);
}

/* All pages up to this number's are made, so that there are no gaps. */
static bool
make_pages (RagifyRoster *roster, size_t last)
{
  size_t first = last;
  while (first > 0 && roster->pages[first - 1] == NULL)
    first--;
  for (size_t i = first; i <= last; i++) {
    RagifyRosterPage *page = calloc (1, sizeof *page);
    if (page == NULL)
      return false;
    __atomic_store_n (&roster->pages[i], page, __ATOMIC_RELEASE);
  }
  return true;
}

bool
ragify_roster_set (RagifyRoster *roster, uint32_t number, const RagifyUuid *id, uint32_t length)
{
  size_t page = number >> RAGIFY_ROSTER_SHIFT;
  if (roster->pages[page] == NULL && !make_pages (roster, page))
    return false;
  roster->pages[page]->ids[number & (RAGIFY_ROSTER_ROWS - 1)] = *id;
  __atomic_store_n (&roster->pages[page]->lengths[number & (RAGIFY_ROSTER_ROWS - 1)], length, __ATOMIC_RELEASE);
  return true;
}

void
ragify_roster_drop (RagifyRoster *roster, uint32_t number)
{
  RagifyRosterPage *page = roster->pages[number >> RAGIFY_ROSTER_SHIFT];
  __atomic_store_n (&page->lengths[number & (RAGIFY_ROSTER_ROWS - 1)], 0, __ATOMIC_RELEASE);
}
