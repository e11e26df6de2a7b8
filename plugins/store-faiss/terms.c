#include "terms.h"

#include "json-condition.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define BUCKETS 1024u

struct RagifyTerm {
  atomic_uint references;
  pthread_mutex_t evaluating; /* held while the database is asked */
  uint8_t *key;               /* ragify_condition_key */
  size_t key_size;
  uint64_t hash;

  /* The rest under the mutex of the terms. */
  RagifyTerm *next;          /* in its bucket */
  RagifyTerm *newer, *older; /* by last use */
  bool kept;
  RagifyMatches *matches;
  RagifyRows *rows;
};

struct RagifyTerms {
  pthread_mutex_t mutex;
  RagifyTerm *buckets[BUCKETS];
  RagifyTerm *newest, *oldest;
  RagifyTermsCounts counts;
};

RagifyTerms *
ragify_terms_new (uint64_t limit)
{
  RagifyTerms *terms = calloc (1, sizeof *terms);
  if (terms == NULL)
    return NULL;
  terms->counts.limit = limit;
  (void)pthread_mutex_init (&terms->mutex, NULL);
  return terms;
}

void
ragify_terms_free (RagifyTerms *terms)
{
  if (terms == NULL)
    return;
  ragify_terms_clear (terms);
  (void)pthread_mutex_destroy (&terms->mutex);
  free (terms);
}

void
ragify_term_unref (RagifyTerm *term)
{
  if (term == NULL || atomic_fetch_sub (&term->references, 1) != 1)
    return;
  ragify_matches_unref (term->matches);
  ragify_rows_unref (term->rows);
  (void)pthread_mutex_destroy (&term->evaluating);
  free (term->key);
  free (term);
}

static uint64_t
bytes_of (const RagifyTerm *term)
{
  return sizeof *term + term->key_size + (term->matches == NULL ? 0 : ragify_matches_bytes (term->matches)) +
         (term->rows == NULL ? 0 : ragify_rows_bytes (term->rows));
}

static void
unlink_from_order (RagifyTerms *terms, RagifyTerm *term)
{
  *(term->newer == NULL ? &terms->newest : &term->newer->older) = term->older;
  *(term->older == NULL ? &terms->oldest : &term->older->newer) = term->newer;
  term->newer = term->older = NULL;
}

static void
link_as_newest (RagifyTerms *terms, RagifyTerm *term)
{
  term->older = terms->newest;
  *(terms->newest == NULL ? &terms->oldest : &terms->newest->newer) = term;
  terms->newest = term;
}

static void
drop (RagifyTerms *terms, RagifyTerm *term)
{
  RagifyTerm **at = &terms->buckets[term->hash % BUCKETS];
  while (*at != term)
    at = &(*at)->next;
  *at = term->next;
  unlink_from_order (terms, term);
  term->kept = false;
  terms->counts.terms--;
  terms->counts.bytes -= bytes_of (term);
  ragify_term_unref (term);
}

static void
make_room (RagifyTerms *terms)
{
  while (terms->counts.bytes > terms->counts.limit && terms->oldest != NULL) {
    drop (terms, terms->oldest);
    terms->counts.evicted++;
  }
}

void
ragify_terms_clear (RagifyTerms *terms)
{
  (void)pthread_mutex_lock (&terms->mutex);
  while (terms->oldest != NULL)
    drop (terms, terms->oldest);
  (void)pthread_mutex_unlock (&terms->mutex);
}

void
ragify_terms_set_limit (RagifyTerms *terms, uint64_t bytes)
{
  (void)pthread_mutex_lock (&terms->mutex);
  terms->counts.limit = bytes;
  make_room (terms);
  (void)pthread_mutex_unlock (&terms->mutex);
}

RagifyTermsCounts
ragify_terms_counts (RagifyTerms *terms)
{
  (void)pthread_mutex_lock (&terms->mutex);
  RagifyTermsCounts counts = terms->counts;
  (void)pthread_mutex_unlock (&terms->mutex);
  return counts;
}

void
ragify_terms_note (RagifyTerms *terms, bool hit)
{
  (void)pthread_mutex_lock (&terms->mutex);
  ++*(hit ? &terms->counts.hits : &terms->counts.misses);
  (void)pthread_mutex_unlock (&terms->mutex);
}

/* Takes the key over. */
static RagifyTerm *
make_term (uint8_t *key, size_t size, uint64_t hash)
{
  RagifyTerm *term = calloc (1, sizeof *term);
  if (term == NULL) {
    free (key);
    return NULL;
  }
  *term = (RagifyTerm){ .key = key, .key_size = size, .hash = hash };
  atomic_init (&term->references, 1);
  (void)pthread_mutex_init (&term->evaluating, NULL);
  return term;
}

/* Under the mutex: the one that is kept, which is now the one used last; NULL where none is. */
static RagifyTerm *
find_kept (RagifyTerms *terms, const uint8_t *key, size_t size, uint64_t hash)
{
  RagifyTerm *term = terms->buckets[hash % BUCKETS];
  while (term != NULL && (term->hash != hash || term->key_size != size || memcmp (term->key, key, size) != 0))
    term = term->next;
  if (term != NULL && term != terms->newest) {
    unlink_from_order (terms, term);
    link_as_newest (terms, term);
  }
  return term;
}

static void
add (RagifyTerms *terms, RagifyTerm *term)
{
  RagifyTerm **bucket = &terms->buckets[term->hash % BUCKETS];
  term->next = *bucket;
  *bucket = term;
  link_as_newest (terms, term);
  term->kept = true;
  terms->counts.terms++;
  terms->counts.bytes += bytes_of (term);
}

RagifyTerm *
ragify_terms_find (RagifyTerms *terms, const RagifyFilter *condition, RagifyFault *fault)
{
  size_t size;
  uint8_t *key = ragify_condition_key (condition, &size, fault);
  if (key == NULL)
    return NULL;
  const uint64_t hash = XXH3_64bits (key, size);
  (void)pthread_mutex_lock (&terms->mutex);
  RagifyTerm *term = find_kept (terms, key, size, hash);
  if (term != NULL)
    free (key);
  else if ((term = make_term (key, size, hash)) != NULL)
    add (terms, term);
  if (term != NULL) {
    atomic_fetch_add (&term->references, 1);
    make_room (terms);
  }
  (void)pthread_mutex_unlock (&terms->mutex);
  if (term == NULL)
    ragify_fault_memory (fault);
  return term;
}

void
ragify_terms_look (RagifyTerms *terms, const RagifyTerm *term, RagifyMatches **matches, RagifyRows **rows)
{
  (void)pthread_mutex_lock (&terms->mutex);
  *matches = ragify_matches_ref (term->matches);
  *rows = ragify_rows_ref (term->rows);
  (void)pthread_mutex_unlock (&terms->mutex);
}

/* Puts `matches` or `rows` (either may be NULL) in the place of what there was, which the caller lets go. */
static void
replace (RagifyTerms *terms, RagifyTerm *term, RagifyMatches **matches, RagifyRows **rows)
{
  if (term->kept)
    terms->counts.bytes -= bytes_of (term);
  if (*matches != NULL) {
    RagifyMatches *before = term->matches;
    term->matches = *matches;
    *matches = before;
  }
  if (*rows != NULL) {
    RagifyRows *before = term->rows;
    term->rows = *rows;
    *rows = before;
  }
  if (term->kept)
    terms->counts.bytes += bytes_of (term);
  make_room (terms);
}

static RagifyMatches *
evaluate_locked (RagifyTerms *terms, RagifyTerm *term, RagifyConnection *connection, const RagifyFilter *condition,
                 RagifyFault *fault)
{
  uint64_t newest;
  RagifyMatches *before;
  RagifyRows *rows;
  if (!ragify_metadata_newest (connection, &newest, fault))
    return NULL;
  ragify_terms_look (terms, term, &before, &rows);
  ragify_rows_unref (rows);
  if (before != NULL && ragify_matches_known (before) >= newest)
    return before;
  RagifyMatches *matches = ragify_matches_evaluate (connection, condition, before, newest, fault);
  ragify_matches_unref (before);
  if (matches == NULL)
    return NULL;
  RagifyMatches *given = ragify_matches_ref (matches);
  rows = NULL;
  (void)pthread_mutex_lock (&terms->mutex);
  replace (terms, term, &given, &rows);
  (void)pthread_mutex_unlock (&terms->mutex);
  ragify_matches_unref (given);
  return matches;
}

RagifyMatches *
ragify_terms_evaluate (RagifyTerms *terms, RagifyTerm *term, RagifyConnection *connection,
                       const RagifyFilter *condition, RagifyFault *fault)
{
  (void)pthread_mutex_lock (&term->evaluating);
  RagifyMatches *matches = evaluate_locked (terms, term, connection, condition, fault);
  (void)pthread_mutex_unlock (&term->evaluating);
  return matches;
}

void
ragify_terms_keep (RagifyTerms *terms, RagifyTerm *term, RagifyRows *rows)
{
  RagifyMatches *none = NULL;
  RagifyRows *given = ragify_rows_ref (rows);
  (void)pthread_mutex_lock (&terms->mutex);
  if (term->rows == NULL || ragify_rows_version (term->rows) <= ragify_rows_version (rows))
    replace (terms, term, &none, &given);
  (void)pthread_mutex_unlock (&terms->mutex);
  ragify_rows_unref (given);
}
