/* Ragify plugin SDK: the types that both sides of the boundary share.
 *
 * SPDX-License-Identifier: MIT
 *
 * Rules that hold for every struct here and in the sibling headers:
 *  - A struct that begins with `struct_size` grows only at its end. Its owner (who fills it) sets `struct_size` to
 *    sizeof; its reader asks RAGIFY_HAS() before it touches a member that was not there in 1.0.
 *  - A list of such structs carries a `stride`: step by it, never by sizeof.
 *  - Structs without `struct_size` (RagifyStr, RagifyBytes, RagifyUuid, RagifyGeneration, RagifyValue, RagifyPair,
 *    RagifyVectors, RagifyHit, RagifyRank, the lists) never grow inside a major, so lists of them need no stride. What
 *    comes later for each of them stands in an array beside, of the same length.
 *  - New values of a set of numbers (filter operators, list and clear modes, piece types) come with a higher minor. The
 *    host sends them only to components that say they know them; who meets an unknown one fails with INVALID. Unknown
 *    flags are ignored.
 *  - Members called `reserved` are written as 0 and not read.
 *  - Text is UTF-8 with a length and need not end in NUL; only constant text in descriptors is a C string.
 *  - Times are microseconds: monotonic ones end in `_us` and are compared with RagifyHost.clock_us; wall-clock ones are
 *    since 1970-01-01 UTC, and 0 says "not known".
 *
 * Threads. Each function is tagged:
 *  [control]  on the host's control thread, one at a time per instance; may take milliseconds.
 *  [loop]     on the loop thread that the instance is bound to; must not block.
 *  [worker]   on a thread of the worker pool; may block and compute.
 *  [call]     where the component's run class says that calls come (RAGIFY_RUN_…).
 *  [any]      from any thread, at any time.
 */
#ifndef RAGIFY_BASE_H
#define RAGIFY_BASE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RAGIFY_ABI_MAJOR 1
#define RAGIFY_ABI_MINOR 0

/* The lowest ABI minor that the plugin needs. Members that came later are hidden unless the author asks for them by
 * defining this before the first include. */
#ifndef RAGIFY_NEEDS_MINOR
#define RAGIFY_NEEDS_MINOR 0
#endif

/* True when the struct that `pointer` points to is large enough to hold `member`. */
#define RAGIFY_HAS(pointer, member)                                                                                    \
  ((size_t)((const char *)&(pointer)->member - (const char *)(pointer)) + sizeof (pointer)->member <=                  \
   (pointer)->struct_size)

/* Error codes: what call_fail(), create() and the getters say. 0 is success. The numbers never change. */
#define RAGIFY_OK 0
#define RAGIFY_E_INVALID 1      /* the caller's input is wrong; asking again will not help */
#define RAGIFY_E_NOT_FOUND 2    /* the thing named does not exist */
#define RAGIFY_E_UNAVAILABLE 3  /* the backend cannot be reached or is not ready; may pass */
#define RAGIFY_E_TIMEOUT 4      /* the deadline passed */
#define RAGIFY_E_CANCELLED 5    /* the caller no longer wants the answer */
#define RAGIFY_E_EXHAUSTED 6    /* a limit, a quota, memory or the disk is used up; may pass */
#define RAGIFY_E_UNAUTHORIZED 7 /* the backend refused the credentials */
#define RAGIFY_E_INTERNAL 8     /* a fault of the plugin's own */

/* A piece of UTF-8 text: not owned, not NUL-terminated. {NULL, 0} is the empty text. */
typedef struct RagifyStr {
  const char *data;
  uint64_t size; /* bytes */
} RagifyStr;

/* A piece of binary data: not owned. */
typedef struct RagifyBytes {
  const uint8_t *data;
  uint64_t size; /* bytes */
} RagifyBytes;

typedef struct RagifyUuid {
  uint8_t bytes[16]; /* RFC 9562, network order */
} RagifyUuid;

/* The state of a store: its identity, and a counter that grows once per committed batch. A restored or rebuilt store
 * has a new `store`. */
typedef struct RagifyGeneration {
  RagifyUuid store;
  uint64_t counter;
} RagifyGeneration;

/* An immutable piece of memory shared by reference count. Whoever makes one supplies the three functions' behaviour;
 * RagifyHost.buffer_new makes ordinary ones. `ref` and `unref` are [any]; the last unref releases the memory on the
 * thread that it runs on. */
typedef struct RagifyBuffer RagifyBuffer;
struct RagifyBuffer {
  uint32_t struct_size;
  uint32_t reserved;
  const uint8_t *data;
  uint64_t size; /* bytes */
  void (*ref) (RagifyBuffer *buffer);
  void (*unref) (RagifyBuffer *buffer);
};

/* Lists. `items` may be NULL when `count` is 0. */
typedef struct RagifyStrList {
  const RagifyStr *items;
  uint64_t count;
} RagifyStrList;

typedef struct RagifyUuidList {
  const RagifyUuid *items;
  uint64_t count;
} RagifyUuidList;

typedef struct RagifyU32List {
  const uint32_t *items;
  uint64_t count;
} RagifyU32List;

/* `count` vectors of `dimension` floats each, one after the other. All values are finite. */
typedef struct RagifyVectors {
  const float *items;
  uint32_t count;
  uint32_t dimension;
} RagifyVectors;

/* A scalar: exactly the member that `type` names is set. */
#define RAGIFY_VALUE_NULL 0u
#define RAGIFY_VALUE_BOOL 1u /* in `integer`: 0 or 1 */
#define RAGIFY_VALUE_INT 2u
#define RAGIFY_VALUE_DOUBLE 3u
#define RAGIFY_VALUE_STRING 4u

typedef struct RagifyValue {
  uint32_t type; /* RAGIFY_VALUE_… */
  uint32_t reserved;
  int64_t integer;
  double number;
  RagifyStr string;
} RagifyValue;

typedef struct RagifyValueList {
  const RagifyValue *items;
  uint64_t count;
} RagifyValueList;

/* A named value: tuning of one request (`{"nprobe": 32}`), a statistic. */
typedef struct RagifyPair {
  RagifyStr name;
  RagifyValue value;
} RagifyPair;

typedef struct RagifyPairList {
  const RagifyPair *items;
  uint64_t count;
} RagifyPairList;

/* A metadata filter, as a tree. AND, OR and NOT use `children`; the others compare the metadata member `field` with
 * `values` (IN and NIN: any number of values; the rest: one). A missing field never matches, not even NE and NIN.
 * Comparisons are between values of the same type, integers and doubles counting as one. */
#define RAGIFY_FILTER_AND 1u
#define RAGIFY_FILTER_OR 2u
#define RAGIFY_FILTER_NOT 3u
#define RAGIFY_FILTER_EQ 4u
#define RAGIFY_FILTER_NE 5u
#define RAGIFY_FILTER_GT 6u
#define RAGIFY_FILTER_GTE 7u
#define RAGIFY_FILTER_LT 8u
#define RAGIFY_FILTER_LTE 9u
#define RAGIFY_FILTER_IN 10u
#define RAGIFY_FILTER_NIN 11u

typedef struct RagifyFilter RagifyFilter;

typedef struct RagifyFilterList {
  const RagifyFilter *items;
  uint64_t count;
  uint32_t stride; /* bytes from one item to the next */
  uint32_t reserved;
} RagifyFilterList;

struct RagifyFilter {
  uint32_t struct_size;
  uint32_t op; /* RAGIFY_FILTER_… */
  RagifyStr field;
  RagifyValueList values;
  RagifyFilterList children;
};

/* A passage, as a source returns it and as a store keeps it. */
#define RAGIFY_CHUNK_DELETED 1u /* scan and list: the chunk or document is gone; only the ids are set */
#define RAGIFY_CHUNK_MISSING 2u /* fetch: no chunk has this id; nothing else is set */
#define RAGIFY_CHUNK_SCORED 4u  /* `score` is the source's own declared relevance, 0..1 */

typedef struct RagifyChunk {
  uint32_t struct_size;
  uint32_t flags;        /* RAGIFY_CHUNK_… */
  RagifyUuid id;         /* stable for the same document and position; all 0: the host derives one */
  RagifyStr document_id; /* the document that it is part of; empty: the host uses the URI or the content's hash */
  RagifyStr content;
  RagifyStr title;
  RagifyStr uri;
  RagifyStr metadata; /* one JSON object as text; empty for none */
  uint64_t ordinal;   /* which chunk of its document, from 0 */
  uint64_t begin;     /* where it stands in its document: first byte, … */
  uint64_t end;       /* … and one past its last; both 0: not known */
  int64_t created_at; /* wall clock, µs */
  int64_t updated_at; /* wall clock, µs */
  double score;       /* raw and finite; larger is better; meaningful inside one result only */
} RagifyChunk;

typedef struct RagifyChunkList {
  const RagifyChunk *items;
  uint64_t count;
  uint32_t stride; /* bytes from one item to the next */
  uint32_t reserved;
} RagifyChunkList;

/* One result of a search by vector or by words, best first. */
typedef struct RagifyHit {
  RagifyUuid id;
  float score; /* finite; vector stores: cosine; text indexes: the engine's weight, larger is better */
  uint32_t reserved;
} RagifyHit;

typedef struct RagifyHitList {
  const RagifyHit *items;
  uint64_t count;
} RagifyHitList;

/* Arguments of operations that need none, and results of those that say nothing. */
typedef struct RagifyNothing {
  uint32_t struct_size;
  uint32_t reserved;
} RagifyNothing;

/* What an embedder is. A store keeps `fingerprint` with its vectors and refuses another one. */
typedef struct RagifyEmbedderInfo {
  uint32_t struct_size;
  uint32_t dimension;
  uint32_t token_limit;  /* tokens of one text that count, special tokens included; 0: not known */
  uint32_t max_batch;    /* the most texts that one call should bring; 0: any number */
  RagifyStr fingerprint; /* names model, dimension and normalisation; equal exactly when vectors are comparable */
} RagifyEmbedderInfo;

static inline RagifyStr
ragify_str (const char *text, size_t size)
{
  RagifyStr s;
  s.data = text;
  s.size = size;
  return s;
}

/* For a C string; NULL is the empty text. */
static inline RagifyStr
ragify_str_from (const char *text)
{
  size_t size = 0;
  while (text != NULL && text[size] != '\0')
    size++;
  return ragify_str (text, size);
}

#ifdef __cplusplus
}
#endif
#endif
