/* What the tests of the text indexes share. TEXT_PLUGIN names the plugin's file, TEXT_COMPONENT its component. */
#ifndef TEXT_FIXTURE_H
#define TEXT_FIXTURE_H

#include "kit.h"

#include <ragify/ragify.h>

#include <stdbool.h>
#include <stddef.h>

typedef struct TextFixture {
  RagifyKit *kit;
  RagifyKitInstance *index;
  const RagifyTextIndexOperations *operations;
  char folder[64];
  char path[80];
} TextFixture;

/* One chunk to write. */
typedef struct TextPiece {
  uint32_t number;
  const char *title;
  const char *content;
} TextPiece;

int text_set_up (void **state);
int text_tear_down (void **state);

RagifyUuid text_id (uint32_t number);

/* The code of the start; `more_config` may be NULL. */
int32_t text_try_open (TextFixture *fixture, const char *const *more_config);
void text_must_open (TextFixture *fixture);
void text_must_close (TextFixture *fixture);
void text_must_be (const RagifyKitCall *call, int32_t code);

RagifyKitCall *text_upsert (TextFixture *fixture, const TextPiece *pieces, size_t count, const uint32_t *removed,
                            size_t removed_count, uint64_t generation);
void text_must_upsert (TextFixture *fixture, const TextPiece *pieces, size_t count, uint64_t generation);
RagifyKitCall *text_search (TextFixture *fixture, const char *text, size_t size, uint32_t top_k);
RagifyKitCall *
text_remove (TextFixture *fixture, uint32_t flags, const uint32_t *numbers, size_t count, uint64_t generation);
RagifyTextGeneration text_generation (TextFixture *fixture);

/* The numbers of the hits as text, such as "3 1 2": what was found, best first. */
const char *text_found (TextFixture *fixture, const char *text);

#endif
