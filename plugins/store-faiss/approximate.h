/* An index of FAISS over the vectors of one moment: built once, then only searched.
 *
 * Rows are numbered 0 … count-1 in the order in which they were added; what was removed since is left out by a bit for
 * each row. Scores are inner products, which for unit vectors are cosines. Searches run side by side, each on one
 * thread; building is for one thread. */
#ifndef RAGIFY_APPROXIMATE_H
#define RAGIFY_APPROXIMATE_H

#include "fault.h"
#include "mapping.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RAGIFY_APPROXIMATE_NAME 64 /* bytes of a factory string */

typedef struct RagifyApproximate RagifyApproximate;

/* What a search may be told. */
typedef struct RagifyApproximateTuning {
  uint32_t nprobe;    /* IVF: lists that are read */
  uint32_t ef_search; /* HNSW: candidates that are kept */
  bool exact;         /* every vector is looked at, as the index keeps it: what other searches are judged by */
} RagifyApproximateTuning;

/* Whether the factory string is one of those that are known to work, which the fault lists: Flat; SQ8, SQfp16, PQm;
 * IVFn,Flat IVFn,SQ8 IVFn,SQfp16 IVFn,PQm, where n may be left out for `nlist`; HNSWm, HNSWm,SQ8. Writes it in its full
 * form to name[RAGIFY_APPROXIMATE_NAME]. [any] */
bool ragify_approximate_check (const char *factory, uint32_t nlist, char *name, RagifyFault *fault);

/* Whether vectors of this dimension can be kept so: PQm cuts them into m equal parts. [any] */
bool ragify_approximate_fits (const char *name, uint32_t dimension, RagifyFault *fault);

/* Whether an index of this (full) name is the exact one. [any] */
bool ragify_approximate_is_exact (const char *name);

/* Whether this build has anything but the exact one; the fault says that it has not. [any] */
bool ragify_approximate_available (RagifyFault *fault);

/* From how many vectors on it is worth its training. [any] */
uint64_t ragify_approximate_least (const char *name);

/* How many vectors its training looks at, at most. [any] */
uint64_t ragify_approximate_sample (const char *name);

/* Trains an empty index on `count` vectors. [worker] */
RagifyApproximate *
ragify_approximate_new (const char *name, uint32_t dimension, const float *sample, size_t count, RagifyFault *fault);
void ragify_approximate_free (RagifyApproximate *approximate);

/* [worker] */
bool ragify_approximate_add (RagifyApproximate *approximate, const float *vectors, size_t count, RagifyFault *fault);

/* After the last add: rows get their numbers for good, and can be read. order[row] becomes the number that it had.
 * [worker]
 */
bool ragify_approximate_finish (RagifyApproximate *approximate, uint64_t *order, RagifyFault *fault);

uint64_t ragify_approximate_count (const RagifyApproximate *approximate);

/* Of memory or of a mapped file, about. [any] */
uint64_t ragify_approximate_bytes (const RagifyApproximate *approximate);

/* The best `wanted` of the rows whose bit is set (words.h), of which there are `allowed_count`, best first; *found of
 * them. The way is the one that costs least for so many; where few are allowed the search goes further than `tuning`
 * says, since what it meets on its way are mostly others. [any] */
bool ragify_approximate_search (const RagifyApproximate *approximate, const float *query, uint32_t wanted,
                                const uint64_t *allowed, uint64_t allowed_count, const RagifyApproximateTuning *tuning,
                                float *scores, int64_t *rows, uint32_t *found, RagifyFault *fault);

/* The ways there are. */
typedef enum {
  RAGIFY_APPROXIMATE_BY_FAISS,    /* FAISS's own search, which asks for each row that it meets whether it is allowed */
  RAGIFY_APPROXIMATE_ALL_ALLOWED, /* all allowed rows, and no others */
  RAGIFY_APPROXIMATE_BY_LISTS,    /* IVF: allowed rows of the nearest lists, until there were enough of them */
} RagifyApproximateWay;

/* Which one ragify_approximate_search takes, and a search by one of them; for tests and benchmarks. [any] */
RagifyApproximateWay ragify_approximate_choose (const RagifyApproximate *approximate, uint32_t wanted,
                                                uint64_t allowed_count, const RagifyApproximateTuning *tuning);
bool ragify_approximate_search_by (const RagifyApproximate *approximate, RagifyApproximateWay way, const float *query,
                                   uint32_t wanted, const uint64_t *allowed, uint64_t allowed_count,
                                   const RagifyApproximateTuning *tuning, float *scores, int64_t *rows, uint32_t *found,
                                   RagifyFault *fault);

/* A row as the index keeps it, possibly quantised. [any] */
bool ragify_approximate_row (const RagifyApproximate *approximate, uint64_t row, float *vector, RagifyFault *fault);

/* To a stream, at a place that is a multiple of RAGIFY_APPROXIMATE_ALIGNMENT. [worker] */
#define RAGIFY_APPROXIMATE_ALIGNMENT 64u
bool ragify_approximate_write (const RagifyApproximate *approximate, FILE *stream, RagifyFault *fault);

/* What was written at `offset` of a file that is mapped: rows are read there as they are looked at. Takes the mapping
 * over when it succeeds; what it says is believed. [worker] */
RagifyApproximate *
ragify_approximate_map (RagifyMapping *mapping, size_t offset, uint32_t dimension, RagifyFault *fault);

/* What FAISS itself wrote, as in the first format of snapshots; to be finished. [worker] */
RagifyApproximate *ragify_approximate_read (FILE *stream, uint32_t dimension, RagifyFault *fault);

#ifdef __cplusplus
}
#endif
#endif
