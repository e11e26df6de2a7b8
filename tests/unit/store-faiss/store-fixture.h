/* What the tests of the store share: an open store in a folder of its own, and short ways to ask it.
 *
 * Functions called must_… fail the test with the store's message where it refuses. */
#ifndef STORE_FIXTURE_H
#define STORE_FIXTURE_H

#include "kit.h"

#include <ragify/ragify.h>

#include <stdbool.h>
#include <stddef.h>

#define DIMENSION 16u

typedef struct Fixture {
  RagifyKit *kit;
  RagifyKitInstance *store;
  const RagifyVectorStoreOperations *operations;
  char folder[64]; /* holds the store's folder `store`; removed at the end */
  char path[80];
} Fixture;

/* One chunk to write. */
typedef struct Piece {
  const char *document;
  uint32_t number; /* makes the id and the vector, unless set otherwise */
  const char *content;
  const char *metadata;
} Piece;

/* Once, before and after all tests: what they need beside the plugin. False where it is not there. */
bool fixture_begin (void);
void fixture_end (void);

/* Names of tests of the contract that this store is not held to; ended by NULL. */
const char *const *fixture_exceptions (void);

/* For cmocka: *state becomes a Fixture whose folder is empty; the store is not open. */
int fixture_set_up (void **state);
int fixture_tear_down (void **state);

/* The file that the tests run: the plugin. */
const char *fixture_plugin (void);

RagifyUuid make_id (uint32_t number);
bool same_id (RagifyUuid left, RagifyUuid right);

/* A vector of unit length that depends on the number alone. */
void make_vector (uint32_t number, uint32_t dimension, float *vector);

extern const RagifyEmbedderInfo fixture_embedder;

/* Opens the store; the code of its start. */
int32_t try_open (Fixture *fixture, const char *const *more_config, const RagifyEmbedderInfo *embedder);
void must_open (Fixture *fixture);
void must_close (Fixture *fixture);

/* Each document's mode is `mode`; its hash comes from `version`. */
RagifyKitCall *begin_upsert (Fixture *fixture, uint32_t mode, uint32_t version, const char *const *documents,
                             size_t document_count, const Piece *pieces, size_t count, bool with_vectors);
/* The generation afterwards. `removed`: how many chunks must have gone. */
uint64_t must_upsert (Fixture *fixture, uint32_t mode, uint32_t version, const char *document, const Piece *pieces,
                      size_t count, uint64_t removed);

RagifyKitCall *ask_search (Fixture *fixture, uint32_t number, uint32_t top_k, const RagifyFilter *filter);
/* Whether the chunk is the best hit for its own vector. */
bool is_found (Fixture *fixture, uint32_t number);

RagifyKitCall *ask_fetch (Fixture *fixture, const uint32_t *numbers, size_t count, uint32_t what);
RagifyKitCall *ask_list (Fixture *fixture, uint32_t what, uint32_t limit, RagifyStr cursor, const char *document,
                         const RagifyFilter *filter, uint64_t since);
RagifyKitCall *
ask_remove (Fixture *fixture, const uint32_t *numbers, size_t count, const char *document, const RagifyFilter *filter);
RagifyStoreGeneration must_generation (Fixture *fixture);

/* {field: {op: text or integer}} */
RagifyFilter filter_text (uint32_t op, const char *field, const char *value, RagifyValue *room);
RagifyFilter filter_integer (uint32_t op, const char *field, int64_t value, RagifyValue *room);

/* Fails the test with the call's message unless it has this code. */
void must_be (const RagifyKitCall *call, int32_t code);

#endif
