#include "flat.h"

#include "top.h"
#include "words.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Rows are kept in segments, so that growing never copies what is there. */
#define SEGMENT_SHIFT 12u
#define SEGMENT_ROWS (1u << SEGMENT_SHIFT)
#define BLOCK_ROWS 512u /* how many rows are scored before they are looked at: their sums stay in the first cache */
#define PAGE_BYTES (2u << 20)
#define SCORE_BINS 2048u /* steps of the cosine, from −1 to 1; much finer than the codes' doubt */

/* One in so many rows or fewer: their floats are looked at one by one, otherwise the codes of all.
 * `tests/bench/store-filters` shows where the two meet. */
#define FLAT_ROWS_PAY 5u

/* Added to each bound: more than single precision loses in a sum of unit vectors' products. */
#define ROUNDING_SLACK 2e-5F

typedef struct {
  float scale; /* code × scale ≈ value */
  float lost;  /* length of value − code × scale */
} RowBounds;

typedef struct {
  float *rows;
  int8_t *codes;
  RowBounds *bounds;
} Segment;

struct RagifyFlat {
  const RagifyKernels *kernels;
  uint32_t dimension;
  uint32_t stride; /* codes from one row to the next */
  uint32_t count;
  uint32_t segment_count;
  uint32_t segment_room;
  Segment *segments;
};

/* A query as the scan wants it, and what its own rounding may add to a score. */
typedef struct {
  const float *floats;
  int16_t *codes;
  float scale;
  float length;
  float lost;
} Query;

typedef struct {
  float low;
  float high;
  uint32_t row;
} Candidate;

/* Rows that may be among the best, while the scan goes on. */
typedef struct {
  Candidate *items;
  size_t count;
  size_t room;
  uint32_t wanted;
  float length;              /* the query's */
  float floor;               /* rows that cannot score this much are out: `wanted` others are sure to */
  uint32_t floor_bin;        /* where the floor stands in the histogram … */
  uint32_t above;            /* … and how many lower bounds stand there or higher */
  uint32_t bins[SCORE_BINS]; /* how many candidates' lower bounds fall into each step of the cosine */
} Race;

static void
segment_clear (Segment *segment)
{
  free (segment->rows);
  free (segment->codes);
  free (segment->bounds);
}

static void *
allocate_large (size_t bytes)
{
  size_t rounded = (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
  void *memory = aligned_alloc (PAGE_BYTES, rounded);
  /* Rescoring jumps through the rows: large pages spare it the address misses. Best effort. */
  if (memory != NULL)
    (void)madvise (memory, rounded, MADV_HUGEPAGE);
  return memory;
}

static bool
segment_init (Segment *segment, const RagifyFlat *flat)
{
  segment->rows = allocate_large ((size_t)SEGMENT_ROWS * flat->dimension * sizeof (float));
  segment->codes = allocate_large ((size_t)SEGMENT_ROWS * flat->stride);
  segment->bounds = malloc (SEGMENT_ROWS * sizeof *segment->bounds);
  if (segment->rows != NULL && segment->codes != NULL && segment->bounds != NULL)
    return true;
  segment_clear (segment);
  return false;
}

RagifyFlat *
ragify_flat_new (uint32_t dimension, const RagifyKernels *kernels)
{
  RagifyFlat *flat = calloc (1, sizeof *flat);
  if (flat == NULL)
    return NULL;
  flat->kernels = kernels;
  flat->dimension = dimension;
  flat->stride = (dimension + RAGIFY_CODE_ALIGNMENT - 1) / RAGIFY_CODE_ALIGNMENT * RAGIFY_CODE_ALIGNMENT;
  return flat;
}

void
ragify_flat_free (RagifyFlat *flat)
{
  if (flat == NULL)
    return;
  for (uint32_t i = 0; i < flat->segment_count; i++)
    segment_clear (&flat->segments[i]);
  free (flat->segments);
  free (flat);
}

uint32_t
ragify_flat_count (const RagifyFlat *flat)
{
  return flat->count;
}

uint64_t
ragify_flat_row_bytes (const RagifyFlat *flat)
{
  return flat->dimension * sizeof (float) + flat->stride + sizeof (RowBounds);
}

bool
ragify_flat_reserve (RagifyFlat *flat, uint32_t rows)
{
  uint32_t needed = (uint32_t)(((uint64_t)rows + SEGMENT_ROWS - 1) >> SEGMENT_SHIFT);
  if (needed > flat->segment_room) {
    uint32_t room = needed + flat->segment_room / 2 + 4;
    Segment *grown = realloc (flat->segments, room * sizeof *grown);
    if (grown == NULL)
      return false;
    flat->segments = grown;
    flat->segment_room = room;
  }
  while (flat->segment_count < needed) {
    if (!segment_init (&flat->segments[flat->segment_count], flat))
      return false;
    flat->segment_count++;
  }
  return true;
}

uint32_t
ragify_flat_room (const RagifyFlat *flat)
{
  return flat->segment_count << SEGMENT_SHIFT;
}

static float *
row_floats (const RagifyFlat *flat, uint32_t row)
{
  return flat->segments[row >> SEGMENT_SHIFT].rows + (size_t)(row & (SEGMENT_ROWS - 1)) * flat->dimension;
}

static int8_t *
row_codes (const RagifyFlat *flat, uint32_t row)
{
  return flat->segments[row >> SEGMENT_SHIFT].codes + (size_t)(row & (SEGMENT_ROWS - 1)) * flat->stride;
}

static RowBounds *
row_bounds (const RagifyFlat *flat, uint32_t row)
{
  return flat->segments[row >> SEGMENT_SHIFT].bounds + (row & (SEGMENT_ROWS - 1));
}

static float
largest (const float *values, uint32_t count)
{
  float most = 0;
  for (uint32_t i = 0; i < count; i++)
    most = fabsf (values[i]) > most ? fabsf (values[i]) : most;
  return most;
}

static RowBounds
encode (const RagifyFlat *flat, const float *vector, int8_t *codes)
{
  float most = largest (vector, flat->dimension);
  float scale = most / 127, inverse = most > 0 ? 127 / most : 0;
  float lost = flat->kernels->encode (vector, flat->dimension, inverse, scale, codes);
  /* A little more than the sum says, for the rounding of the sum itself. */
  return (RowBounds){ .scale = scale, .lost = sqrtf (lost) * 1.0001F };
}

void
ragify_flat_write (RagifyFlat *flat, uint32_t row, const float *vector)
{
  int8_t *codes = row_codes (flat, row);
  memcpy (row_floats (flat, row), vector, flat->dimension * sizeof *vector);
  memset (codes + flat->dimension, 0, flat->stride - flat->dimension);
  *row_bounds (flat, row) = encode (flat, vector, codes);
}

void
ragify_flat_move (RagifyFlat *flat, uint32_t to, uint32_t from)
{
  memcpy (row_floats (flat, to), row_floats (flat, from), flat->dimension * sizeof (float));
  memcpy (row_codes (flat, to), row_codes (flat, from), flat->stride);
  *row_bounds (flat, to) = *row_bounds (flat, from);
}

void
ragify_flat_resize (RagifyFlat *flat, uint32_t count)
{
  flat->count = count;
}

const float *
ragify_flat_row (const RagifyFlat *flat, uint32_t row)
{
  return row_floats (flat, row);
}

/* The largest code whose products with 8-bit codes cannot overflow a 32-bit sum. */
static float
query_range (uint32_t stride)
{
  float range = 2147483000.0F / (127.0F * (float)stride);
  return range < 32767 ? floorf (range) : 32767;
}

static void
query_encode (const RagifyFlat *flat, const float *vector, Query *query)
{
  float most = largest (vector, flat->dimension);
  float range = query_range (flat->stride);
  float inverse = most > 0 ? range / most : 0;
  query->floats = vector;
  query->scale = most / range;
  query->length = sqrtf (flat->kernels->dot (vector, vector, flat->dimension));
  query->lost = 0;
  memset (query->codes, 0, flat->stride * sizeof *query->codes);
  for (uint32_t i = 0; i < flat->dimension; i++) {
    query->codes[i] = (int16_t)lrintf (vector[i] * inverse);
    float lost = vector[i] - query->codes[i] * query->scale;
    query->lost += lost * lost;
  }
  query->lost = sqrtf (query->lost) * 1.0001F;
}

static uint32_t
race_bin (const Race *race, float low)
{
  float place = (low / race->length + 1) * (SCORE_BINS / 2.0F);
  if (!(place > 0))
    return 0;
  return place < SCORE_BINS - 1 ? (uint32_t)place : SCORE_BINS - 1;
}

/* Counts the lower bounds of the newest candidates and raises the floor as far as `wanted` of all bounds allow. */
static void
race_raise_floor (Race *race, size_t first)
{
  for (size_t i = first; i < race->count; i++) {
    uint32_t bin = race_bin (race, race->items[i].low);
    race->bins[bin]++;
    race->above += bin >= race->floor_bin;
  }
  while (race->floor_bin < SCORE_BINS - 1 && race->above - race->bins[race->floor_bin] >= race->wanted)
    race->above -= race->bins[race->floor_bin++];
  /* Nothing is known below the lowest step; elsewhere its lower edge, a little less for the rounding of race_bin. */
  if (race->floor_bin > 0)
    race->floor = ((float)race->floor_bin / (SCORE_BINS / 2.0F) - 1 - ROUNDING_SLACK) * race->length;
}

static void
race_trim (Race *race)
{
  size_t kept = 0;
  for (size_t i = 0; i < race->count; i++)
    if (race->items[i].high >= race->floor)
      race->items[kept++] = race->items[i];
  race->count = kept;
}

/* Makes room for one block. Where trimming frees too little (many rows of about equal score), the race grows. */
static bool
race_make_room (Race *race)
{
  if (race->count + BLOCK_ROWS <= race->room)
    return true;
  race_trim (race);
  if (race->count + 2 * BLOCK_ROWS <= race->room)
    return true;
  size_t room = 2 * race->room + 4 * (size_t)BLOCK_ROWS;
  Candidate *items = realloc (race->items, room * sizeof *items);
  if (items == NULL)
    return false;
  race->items = items;
  race->room = room;
  return true;
}

static void
race_enter (Race *race, const Query *query, const RowBounds *bounds, const int32_t *sums, uint32_t first, uint32_t rows,
            const uint64_t *allowed)
{
  /* A row is of unit length but for rounding; its codes are longer by at most what they lose. */
  const float extra = query->lost * 1.1F + ROUNDING_SLACK * query->length;
  const float floor = race->floor;
  Candidate *items = race->items;
  size_t count = race->count;
  for (uint32_t i = 0; i < rows; i++) {
    float score = (float)sums[i] * (bounds[i].scale * query->scale);
    float doubt = bounds[i].lost * query->length + extra;
    uint32_t row = first + i;
    /* Written always and kept by counting: which rows enter cannot be foretold by the branch predictor. */
    items[count] = (Candidate){ .low = score - doubt, .high = score + doubt, .row = row };
    bool stays = score + doubt >= floor;
    if (allowed != NULL)
      stays &= ragify_words_has (allowed, row);
    count += stays;
  }
  race->count = count;
}

static bool
race_run (const RagifyFlat *flat, const Query *query, const uint64_t *allowed, Race *race)
{
  int32_t sums[BLOCK_ROWS];
  for (uint32_t first = 0; first < flat->count; first += BLOCK_ROWS) {
    uint32_t rows = flat->count - first < BLOCK_ROWS ? flat->count - first : BLOCK_ROWS;
    if (!race_make_room (race))
      return false;
    size_t before = race->count;
    flat->kernels->scan (row_codes (flat, first), flat->stride, rows, query->codes, sums);
    race_enter (race, query, row_bounds (flat, first), sums, first, rows, allowed);
    race_raise_floor (race, before);
  }
  race_trim (race);
  return true;
}

float
ragify_flat_score (const RagifyFlat *flat, const float *vector, uint32_t row)
{
  return flat->kernels->dot (vector, row_floats (flat, row), flat->dimension);
}

void
ragify_flat_prefetch (const RagifyFlat *flat, uint32_t row)
{
  const size_t line = 64 / sizeof (float);
  const float *floats = row_floats (flat, row);
  for (size_t i = 0; i < flat->dimension; i += line)
    __builtin_prefetch (floats + i);
}

/* The true scores of those who are left. */
static void
race_score (const RagifyFlat *flat, const Query *query, const Race *race, uint64_t *keys)
{
  const size_t ahead = 4;
  for (size_t i = 0; i < race->count; i++) {
    if (i + ahead < race->count)
      ragify_flat_prefetch (flat, race->items[i + ahead].row);
    uint32_t row = race->items[i].row;
    keys[i] = ragify_top_key (ragify_flat_score (flat, query->floats, row), row);
  }
}

/* The best `wanted` of `count` different keys, which change places. */
static uint32_t
take_best (uint64_t *all, size_t count, uint32_t wanted, uint64_t *keys)
{
  const uint32_t best = count < wanted ? (uint32_t)count : wanted;
  if (best == 0)
    return 0;
  ragify_top_select (all, count, best);
  ragify_top_sort (all, best);
  memcpy (keys, all, best * sizeof *keys);
  return best;
}

static bool
race_answer (const RagifyFlat *flat, const Query *query, const Race *race, uint64_t *keys, uint32_t *found)
{
  uint64_t *all = malloc ((race->count + 1) * sizeof *all);
  if (all == NULL)
    return false;
  race_score (flat, query, race, all);
  *found = take_best (all, race->count, race->wanted, keys);
  free (all);
  return true;
}

bool
ragify_flat_search_codes (const RagifyFlat *flat, const float *vector, uint32_t wanted, const uint64_t *allowed,
                          uint64_t *keys, uint32_t *found)
{
  Query query = { .codes = aligned_alloc (RAGIFY_CODE_ALIGNMENT, flat->stride * sizeof *query.codes) };
  if (query.codes == NULL)
    return false;
  query_encode (flat, vector, &query);
  Race race = { .wanted = wanted, .length = query.length > 0 ? query.length : 1, .floor = -INFINITY };
  bool ok = race_run (flat, &query, allowed, &race) && race_answer (flat, &query, &race, keys, found);
  free (query.codes);
  free (race.items);
  return ok;
}

/* The allowed rows of one word, which lie in one segment. */
static size_t
list_word (uint64_t word, uint32_t first, uint32_t *rows)
{
  size_t count = 0;
  for (; word != 0; word &= word - 1)
    rows[count++] = first + (uint32_t)__builtin_ctzll (word);
  return count;
}

bool
ragify_flat_search_rows (const RagifyFlat *flat, const float *vector, uint32_t wanted, const uint64_t *allowed,
                         uint64_t allowed_count, uint64_t *keys, uint32_t *found)
{
  const size_t ahead = 4;
  uint32_t *rows = malloc ((allowed_count + 1) * sizeof *rows);
  uint64_t *all = malloc ((allowed_count + 1) * sizeof *all);
  const bool ok = rows != NULL && all != NULL;
  size_t count = 0;
  for (size_t i = 0; ok && i < ragify_words_for (flat->count); i++)
    count += list_word (allowed[i], (uint32_t)i * 64, rows + count);
  for (size_t i = 0; i < count; i++) {
    if (i + ahead < count)
      ragify_flat_prefetch (flat, rows[i + ahead]);
    all[i] = ragify_top_key (ragify_flat_score (flat, vector, rows[i]), rows[i]);
  }
  if (ok)
    *found = take_best (all, count, wanted, keys);
  free (rows);
  free (all);
  return ok;
}

bool
ragify_flat_search (const RagifyFlat *flat, const float *vector, uint32_t wanted, const uint64_t *allowed,
                    uint64_t allowed_count, uint64_t *keys, uint32_t *found)
{
  if (allowed != NULL && allowed_count * FLAT_ROWS_PAY < flat->count)
    return ragify_flat_search_rows (flat, vector, wanted, allowed, allowed_count, keys, found);
  return ragify_flat_search_codes (flat, vector, wanted, allowed, keys, found);
}
