/* Which entries were hit since the eviction's hand last passed: one bit for each of many, found by the entry's hash.
 * Two that share a bit are kept a little longer. It is in memory only, so that a hit writes nothing. [any] */
#ifndef RAGIFY_CACHE_DISK_VISITED_H
#define RAGIFY_CACHE_DISK_VISITED_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Visited Visited;

/* For about `entries` of them. */
Visited *visited_new (uint64_t entries);
void visited_free (Visited *visited);
void visited_set (Visited *visited, uint64_t id);
/* Whether it was set; it is not any more. */
bool visited_take (Visited *visited, uint64_t id);

#endif
