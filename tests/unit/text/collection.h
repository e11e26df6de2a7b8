/* A judged collection in the BEIR layout, and how good an answer is. */
#ifndef COLLECTION_H
#define COLLECTION_H

#include <ragify/base.h>

#include <stdbool.h>
#include <stddef.h>

typedef struct Passage {
  char *id;
  char *title;
  char *text;
} Passage;

typedef struct Judgment {
  const char *query;
  const char *passage;
  double score;
} Judgment;

typedef struct Collection {
  Passage *passages;
  size_t passage_count;
  Passage *queries; /* those with judgments; no titles */
  size_t query_count;
  Judgment *judgments; /* sorted by query */
  size_t judgment_count;
} Collection;

/* The folder `name` of the test data ($RAGIFY_TEST_DATA, otherwise ../shared/data beside the source tree); NULL where
 * it is not there. */
Collection *collection_load (const char *name);
void collection_free (Collection *collection);

/* The id under which tests write passage number `index`. */
RagifyUuid collection_id (size_t index);
size_t collection_index (const RagifyUuid *id);

/* nDCG at 10 of hits that name passages by collection_id. */
double collection_ndcg (const Collection *collection, size_t query, const RagifyHit *hits, size_t count);

#endif
