#include "selection.h"

#include "json-condition.h"
#include "words.h"

#include <stdlib.h>
#include <string.h>

/* A filter of more comparisons is kept as one condition: what one request needs at once stays bounded. */
#define MOST_TERMS 16u

typedef struct {
  const RagifyFilter *condition;
  RagifyTerm *term;
  RagifyMatches *matches; /* may be NULL as long as its rows are right */
  RagifyRows *rows;
} Part;

struct RagifySelection {
  RagifyTerms *terms;
  const RagifyFilter *filter;
  bool whole; /* one condition, whatever it is made of */
  size_t count;
  Part parts[MOST_TERMS];
  uint64_t version; /* that `allowed` is right for; 0: none */
  RagifyAllowed allowed;
  uint64_t *words; /* behind `allowed`, unless they are those of a part */
};

static const RagifyFilter *
child_of (const RagifyFilter *filter, uint64_t index)
{
  return (const RagifyFilter *)(const void *)((const char *)filter->children.items + index * filter->children.stride);
}

/* How many comparisons there are, but no more than one too many; that many also where something is not made of them. */
static size_t
count_comparisons (const RagifyFilter *filter)
{
  if (filter->op > RAGIFY_FILTER_NOT)
    return 1;
  const uint64_t children = filter->op == RAGIFY_FILTER_NOT ? 1 : filter->children.count;
  size_t count = filter->children.count == 0 ? MOST_TERMS + 1 : 0;
  for (uint64_t i = 0; i < children && count <= MOST_TERMS; i++)
    count += count_comparisons (child_of (filter, i));
  return count;
}

/* In the order in which combining meets them. */
static void
list_conditions (RagifySelection *selection, const RagifyFilter *filter)
{
  if (selection->whole || filter->op > RAGIFY_FILTER_NOT) {
    selection->parts[selection->count++].condition = filter;
    return;
  }
  const uint64_t children = filter->op == RAGIFY_FILTER_NOT ? 1 : filter->children.count;
  for (uint64_t i = 0; i < children; i++)
    list_conditions (selection, child_of (filter, i));
}

/* NULL with a fault where the filter is not well formed. */
static RagifySelection *
begin (RagifyTerms *terms, const RagifyFilter *filter, RagifyFault *fault)
{
  size_t size;
  uint8_t *key = ragify_condition_key (filter, &size, fault); /* it says whether all of it is well formed */
  if (key == NULL)
    return NULL;
  free (key);
  RagifySelection *selection = calloc (1, sizeof *selection);
  if (selection == NULL) {
    ragify_fault_memory (fault);
    return NULL;
  }
  selection->terms = terms;
  selection->filter = filter;
  selection->whole = count_comparisons (filter) > MOST_TERMS;
  list_conditions (selection, filter);
  for (size_t i = 0; i < selection->count; i++) {
    Part *part = &selection->parts[i];
    part->term = ragify_terms_find (terms, part->condition, fault);
    if (part->term == NULL) {
      ragify_selection_free (selection);
      return NULL;
    }
    ragify_terms_look (terms, part->term, &part->matches, &part->rows);
  }
  return selection;
}

void
ragify_selection_free (RagifySelection *selection)
{
  if (selection == NULL)
    return;
  for (size_t i = 0; i < selection->count; i++) {
    ragify_matches_unref (selection->parts[i].matches);
    ragify_rows_unref (selection->parts[i].rows);
    ragify_term_unref (selection->parts[i].term);
  }
  free (selection->words);
  free (selection);
}

static bool
is_current (const Part *part, uint64_t version)
{
  return part->rows != NULL && ragify_rows_version (part->rows) == version;
}

static bool
evaluate (RagifySelection *selection, Part *part, RagifyConnection *connection, RagifyFault *fault)
{
  RagifyMatches *matches = ragify_terms_evaluate (selection->terms, part->term, connection, part->condition, fault);
  if (matches == NULL)
    return false;
  ragify_matches_unref (part->matches);
  part->matches = matches;
  return true;
}

/* Asks the database about the parts whose rows are not right for this version. 0 is no index's version. */
static bool
evaluate_all (RagifySelection *selection, RagifyDatabase *database, uint64_t version, RagifyFault *fault)
{
  RagifyConnection *connection = NULL;
  bool ok = true;
  for (size_t i = 0; ok && i < selection->count; i++) {
    Part *part = &selection->parts[i];
    const bool hit = version != 0 && is_current (part, version);
    if (version != 0)
      ragify_terms_note (selection->terms, hit);
    if (hit)
      continue;
    if (connection == NULL)
      connection = ragify_database_borrow (database, fault);
    ok = connection != NULL && evaluate (selection, part, connection, fault);
  }
  if (connection != NULL)
    ragify_database_give_back (database, connection);
  return ok;
}

RagifySelection *
ragify_selection_new (RagifyTerms *terms, const RagifyFilter *filter, RagifyDatabase *database, uint64_t version,
                      RagifyFault *fault)
{
  RagifySelection *selection = begin (terms, filter, fault);
  if (selection != NULL && evaluate_all (selection, database, version, fault))
    return selection;
  ragify_selection_free (selection);
  return NULL;
}

/* ---- combining ---- */

typedef const uint64_t *(*WordsOf) (const Part *part);

static const uint64_t *
rows_of (const Part *part)
{
  return ragify_rows_words (part->rows);
}

static const uint64_t *
matches_of (const Part *part)
{
  return ragify_matches_bits (part->matches);
}

/* What a filter comes to, into words[size]; *next is the part at hand. */
static bool
combine (const RagifySelection *selection, const RagifyFilter *filter, WordsOf words_of, size_t *next, uint64_t *words,
         size_t size)
{
  if (selection->whole || filter->op > RAGIFY_FILTER_NOT) {
    memcpy (words, words_of (&selection->parts[(*next)++]), size * sizeof *words);
    return true;
  }
  if (!combine (selection, child_of (filter, 0), words_of, next, words, size))
    return false;
  if (filter->op == RAGIFY_FILTER_NOT) {
    ragify_words_invert (words, size);
    return true;
  }
  uint64_t *own = NULL;
  for (uint64_t i = 1; i < filter->children.count; i++) {
    const RagifyFilter *child = child_of (filter, i);
    const uint64_t *other = own;
    if (child->op > RAGIFY_FILTER_NOT)
      other = words_of (&selection->parts[(*next)++]);
    else if ((own == NULL && (own = malloc (size * sizeof *own)) == NULL) ||
             !combine (selection, child, words_of, next, own, size)) {
      free (own);
      return false;
    } else
      other = own;
    (filter->op == RAGIFY_FILTER_AND ? ragify_words_and : ragify_words_or) (words, other, size);
  }
  free (own);
  return true;
}

/* ---- for rows ---- */

static bool
refresh (RagifySelection *selection, const RagifyLayout *layout)
{
  for (size_t i = 0; i < selection->count; i++) {
    Part *part = &selection->parts[i];
    if (is_current (part, layout->version))
      continue;
    RagifyRows *rows = ragify_rows_refresh (part->rows, part->matches, layout);
    if (rows == NULL)
      return false;
    ragify_terms_keep (selection->terms, part->term, rows);
    ragify_rows_unref (part->rows);
    part->rows = rows;
  }
  return true;
}

/* Takes out the rows whose metadata some part does not know: what NOT makes of them is a guess. */
static void
drop_unknown (const RagifySelection *selection, const RagifyLayout *layout, uint64_t *base, uint64_t *exact)
{
  uint64_t known = UINT64_MAX;
  for (size_t i = 0; i < selection->count; i++)
    if (ragify_rows_version (selection->parts[i].rows) == 0 &&
        ragify_matches_known (selection->parts[i].matches) < known)
      known = ragify_matches_known (selection->parts[i].matches);
  if (known == UINT64_MAX)
    return;
  for (uint32_t row = 0; row < layout->base_count; row++)
    if (layout->metadata[row] > known)
      ragify_words_drop (base, row);
  for (uint32_t row = 0; row < layout->exact_count; row++)
    if (layout->metadata[layout->base_count + row] > known)
      ragify_words_drop (exact, row);
}

static void
apply_words (RagifySelection *selection, const RagifyLayout *layout, size_t base, size_t exact)
{
  uint64_t *words = selection->words;
  ragify_words_trim (words, layout->base_count);
  ragify_words_trim (words + base, layout->exact_count);
  if (layout->base_dead > 0)
    ragify_words_and (words, layout->base_live, base);
  drop_unknown (selection, layout, words, words + base);
  selection->allowed = (RagifyAllowed){ .base = words,
                                        .base_set = ragify_words_count (words, base),
                                        .exact = words + base,
                                        .exact_set = ragify_words_count (words + base, exact) };
}

bool
ragify_selection_apply (RagifySelection *selection, const RagifyLayout *layout, RagifyAllowed *allowed,
                        RagifyFault *fault)
{
  const size_t base = ragify_words_for (layout->base_count), exact = ragify_words_for (layout->exact_count);
  if (selection->version == layout->version) {
    *allowed = selection->allowed;
    return true;
  }
  selection->version = 0;
  if (!refresh (selection, layout))
    return ragify_fault_memory (fault);
  const RagifyRows *only = selection->parts[0].rows;
  const bool alone = selection->whole || selection->filter->op > RAGIFY_FILTER_NOT;
  if (alone && layout->base_dead == 0) {
    selection->allowed = (RagifyAllowed){ .base = ragify_rows_words (only),
                                          .base_set = ragify_rows_base_set (only),
                                          .exact = ragify_rows_words (only) + base,
                                          .exact_set = ragify_rows_exact_set (only) };
  } else {
    size_t next = 0;
    free (selection->words);
    selection->words = malloc ((base + exact + 1) * sizeof *selection->words);
    if (selection->words == NULL ||
        !combine (selection, selection->filter, rows_of, &next, selection->words, base + exact))
      return ragify_fault_memory (fault);
    apply_words (selection, layout, base, exact);
  }
  selection->version = layout->version;
  *allowed = selection->allowed;
  return true;
}

/* ---- for metadata ---- */

static RagifyMatches *
combine_matches (const RagifySelection *selection, RagifyFault *fault)
{
  uint64_t known = UINT64_MAX;
  for (size_t i = 0; i < selection->count; i++) {
    const uint64_t one = ragify_matches_known (selection->parts[i].matches);
    known = one < known ? one : known;
  }
  RagifyMatches *matches = ragify_matches_new (known);
  size_t next = 0;
  if (matches != NULL && combine (selection, selection->filter, matches_of, &next, ragify_matches_words (matches),
                                  ragify_words_for (known + 1))) {
    ragify_words_trim (ragify_matches_words (matches), known + 1);
    return matches;
  }
  ragify_matches_unref (matches);
  ragify_fault_memory (fault);
  return NULL;
}

RagifyMatches *
ragify_selection_matches (RagifyTerms *terms, const RagifyFilter *filter, RagifyDatabase *database, RagifyFault *fault)
{
  RagifySelection *selection = begin (terms, filter, fault);
  RagifyMatches *matches = NULL;
  if (selection != NULL && evaluate_all (selection, database, 0, fault))
    matches = selection->count == 1 && (selection->whole || filter->op > RAGIFY_FILTER_NOT)
                  ? ragify_matches_ref (selection->parts[0].matches)
                  : combine_matches (selection, fault);
  ragify_selection_free (selection);
  return matches;
}
