#include "collection.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

static FILE *
open_file (const char *name, const char *file)
{
  char path[1024];
  const char *root = getenv ("RAGIFY_TEST_DATA");
  snprintf (path, sizeof path, "%s/ir/%s/%s", root != NULL ? root : TEST_DATA, name, file);
  return fopen (path, "r");
}

static char *
copy_member (const json_t *json, const char *name)
{
  const char *text = json_string_value (json_object_get (json, name));
  return strdup (text != NULL ? text : "");
}

static bool
load_passages (const char *name, const char *file, Passage **passages, size_t *count)
{
  FILE *stream = open_file (name, file);
  char *line = NULL;
  size_t size = 0, room = 0;
  if (stream == NULL)
    return false;
  while (getline (&line, &size, stream) > 0) {
    json_t *json = json_loads (line, 0, NULL);
    if (json == NULL)
      continue;
    if (*count == room) {
      room = 2 * room + 1000;
      *passages = realloc (*passages, room * sizeof **passages);
    }
    (*passages)[(*count)++] = (Passage){ .id = copy_member (json, "_id"),
                                         .title = copy_member (json, "title"),
                                         .text = copy_member (json, "text") };
    json_decref (json);
  }
  free (line);
  (void)fclose (stream);
  return true;
}

static int
compare_judgments (const void *left, const void *right)
{
  return strcmp (((const Judgment *)left)->query, ((const Judgment *)right)->query);
}

static bool
load_judgments (Collection *collection, const char *name)
{
  FILE *stream = open_file (name, "qrels.tsv");
  char line[512], query[200], passage[200];
  double score;
  size_t room = 0;
  if (stream == NULL)
    return false;
  while (fgets (line, sizeof line, stream) != NULL) {
    if (sscanf (line, "%199[^\t]\t%199[^\t]\t%lf", query, passage, &score) != 3)
      continue;
    if (collection->judgment_count == room) {
      room = 2 * room + 1000;
      collection->judgments = realloc (collection->judgments, room * sizeof *collection->judgments);
    }
    collection->judgments[collection->judgment_count++] =
        (Judgment){ .query = strdup (query), .passage = strdup (passage), .score = score };
  }
  (void)fclose (stream);
  qsort (collection->judgments, collection->judgment_count, sizeof *collection->judgments, compare_judgments);
  return true;
}

static void
free_passage (Passage *passage)
{
  free (passage->id);
  free (passage->title);
  free (passage->text);
}

/* Leaves out queries that nobody judged. */
static void
keep_judged (Collection *collection)
{
  size_t kept = 0;
  for (size_t i = 0; i < collection->query_count; i++) {
    const Judgment key = { .query = collection->queries[i].id };
    if (bsearch (&key, collection->judgments, collection->judgment_count, sizeof key, compare_judgments) != NULL)
      collection->queries[kept++] = collection->queries[i];
    else
      free_passage (&collection->queries[i]);
  }
  collection->query_count = kept;
}

Collection *
collection_load (const char *name)
{
  Collection *collection = calloc (1, sizeof *collection);
  if (!load_passages (name, "corpus.jsonl", &collection->passages, &collection->passage_count) ||
      !load_passages (name, "queries.jsonl", &collection->queries, &collection->query_count) ||
      !load_judgments (collection, name)) {
    collection_free (collection);
    return NULL;
  }
  keep_judged (collection);
  return collection;
}

void
collection_free (Collection *collection)
{
  for (size_t i = 0; i < collection->passage_count; i++)
    free_passage (&collection->passages[i]);
  for (size_t i = 0; i < collection->query_count; i++)
    free_passage (&collection->queries[i]);
  for (size_t i = 0; i < collection->judgment_count; i++) {
    free ((char *)collection->judgments[i].query);
    free ((char *)collection->judgments[i].passage);
  }
  free (collection->passages);
  free (collection->queries);
  free (collection->judgments);
  free (collection);
}

RagifyUuid
collection_id (size_t index)
{
  RagifyUuid id = { { 0xc0 } };
  const uint32_t number = (uint32_t)index;
  memcpy (id.bytes + 12, &number, sizeof number);
  return id;
}

size_t
collection_index (const RagifyUuid *id)
{
  uint32_t number;
  memcpy (&number, id->bytes + 12, sizeof number);
  return number;
}

static int
compare_scores (const void *left, const void *right)
{
  double a = *(const double *)left, b = *(const double *)right;
  return (a < b) - (a > b);
}

double
collection_ndcg (const Collection *collection, size_t query, const RagifyHit *hits, size_t count)
{
  double gain = 0, best = 0, scores[1000];
  size_t judged = 0;
  for (size_t i = 0; i < collection->judgment_count && judged < 1000; i++) {
    const Judgment *judgment = &collection->judgments[i];
    if (strcmp (judgment->query, collection->queries[query].id) != 0)
      continue;
    scores[judged++] = judgment->score;
    for (size_t rank = 0; rank < count && rank < 10; rank++)
      if (strcmp (collection->passages[collection_index (&hits[rank].id)].id, judgment->passage) == 0)
        gain += judgment->score / log2 ((double)rank + 2);
  }
  qsort (scores, judged, sizeof *scores, compare_scores);
  for (size_t rank = 0; rank < judged && rank < 10; rank++)
    best += scores[rank] / log2 ((double)rank + 2);
  return best > 0 ? gain / best : 0;
}
