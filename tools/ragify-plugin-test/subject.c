/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"
#include "kit-glib.h"

#define DIMENSION 8
#define EMBEDDING_DIMENSION 384 /* of sources that want the query's */

const RagifyEmbedderInfo *
subject_embedder (void)
{
  static const RagifyEmbedderInfo info = {
    .struct_size = sizeof info, .dimension = DIMENSION, .token_limit = 128, .fingerprint = { "conformance/8", 13 }
  };
  return &info;
}

const RagifyEmbedderInfo *
subject_embedder_of (const Subject *subject)
{
  return strcmp (subject->component->kind, RAGIFY_KIND_VECTOR_STORE) == 0 ? subject_embedder () : NULL;
}

RagifyKit *
subject_kit_new (const Subject *subject, const char *folder, uint32_t credit, uint64_t call_memory)
{
  const RagifyKitOptions options = {
    .state_directory = folder,
    .quiet = !subject->verbose,
    .call_memory = call_memory,
    .credit = credit,
    .poller = &ragify_kit_glib_poller, /* as in the host, so that GLib sources work */
  };
  return ragify_kit_new (&options);
}

RagifyKitInstance *
subject_open_in (Subject *subject, RagifyKit *kit)
{
  RagifyKitInstance *instance = ragify_kit_open (kit, subject->path, subject->component->kind, subject->component->name,
                                                 subject->config, subject_embedder_of (subject));
  expect (subject, instance != NULL, "it does not start: %s", ragify_kit_error (kit));
  return instance;
}

RagifyKitInstance *
subject_open (Subject *subject)
{
  return subject_open_in (subject, subject->kit);
}

void
subject_close (Subject *subject, RagifyKitInstance *instance)
{
  if (instance == NULL)
    return;
  const int32_t code = ragify_kit_close (instance);
  expect (subject, code == RAGIFY_OK, "stop failed with code %d", code);
}

static void
say_left (Subject *subject, const char *what, uint64_t count)
{
  expect (subject, count == 0, "%llu %s left behind", (unsigned long long)count, what);
}

void
subject_kit_free (Subject *subject, RagifyKit *kit)
{
  const RagifyKitCounts counts = ragify_kit_counts (kit);
  for (size_t i = 0; i < counts.faults && ragify_kit_fault (kit, i) != NULL; i++)
    expect (subject, false, "%s", ragify_kit_fault (kit, i));
  say_left (subject, "calls were begun and not completed", counts.calls);
  say_left (subject, "fd watches were", counts.watches);
  say_left (subject, "timers were", counts.timers);
  ragify_kit_free (kit);
}

/* ---- how calls end ---- */

bool
subject_well_ended (Subject *subject, const RagifyKitCall *call, const char *what)
{
  if (!expect (subject, call->hung == 0, "%s was never completed", what))
    return false;
  if (call->code == RAGIFY_OK)
    return true;
  return expect (subject, call->code >= RAGIFY_E_INVALID && call->code <= RAGIFY_E_INTERNAL,
                 "%s failed with the unknown code %d", what, call->code) &&
         expect (subject, call->message != NULL && *call->message != '\0', "%s failed with code %d and no message",
                 what, call->code) &&
         expect (subject, text_is_utf8 (ragify_str_from (call->message)), "%s failed with a message that is not UTF-8",
                 what);
}

bool
subject_succeeded (Subject *subject, const RagifyKitCall *call, const char *what)
{
  return subject_well_ended (subject, call, what) &&
         expect (subject, call->code == RAGIFY_OK, "%s failed with code %d: %s", what, call->code, call->message);
}

bool
subject_failed_with (Subject *subject, const RagifyKitCall *call, int32_t code, const char *what)
{
  return subject_well_ended (subject, call, what) &&
         expect (subject, call->code == code, "%s ended with code %d where %d was expected", what, call->code, code);
}

/* ---- a cheap call of each kind ---- */

struct Sample {
  RagifyKitCall *call;
  RagifyStr text;
  RagifyBuffer *buffer;
  bool gets; /* the result holds a buffer of ours */
  float vector[DIMENSION];
  RagifyChunk chunk;
  union {
    RagifySourceQuery query;
    RagifyCacheGet get;
    RagifyCacheSet set;
    RagifyStoreSearch search;
    RagifyTextSearch words;
    RagifyEmbedderEmbed embed;
    RagifyRerank rerank;
    RagifyExtractorAccepts accepts;
  } args;
};

static bool
is_kind (const RagifyComponent *component, const char *kind)
{
  return strcmp (component->kind, kind) == 0;
}

static RagifyKitFunction
fill_cache (Sample *sample, const RagifyCacheOperations *operations, unsigned variation)
{
  const RagifyBytes key = { (const uint8_t *)sample->text.data, sample->text.size };
  if (variation % 2 == 0) {
    sample->buffer = ragify_kit_buffer_new (sample->text.data, sample->text.size);
    sample->args.set = (RagifyCacheSet){ .struct_size = sizeof (RagifyCacheSet), .key = key, .value = sample->buffer };
    return (RagifyKitFunction)operations->set;
  }
  sample->gets = true;
  sample->args.get = (RagifyCacheGet){ .struct_size = sizeof (RagifyCacheGet), .key = key };
  return (RagifyKitFunction)operations->get;
}

static RagifyKitFunction
fill_search (Sample *sample, const RagifyVectorStoreOperations *operations, unsigned variation)
{
  sample->vector[variation % DIMENSION] = 1;
  sample->args.search = (RagifyStoreSearch){ .struct_size = sizeof (RagifyStoreSearch),
                                             .top_k = 1 + variation % 10,
                                             .vectors = { sample->vector, 1, DIMENSION } };
  return (RagifyKitFunction)operations->search;
}

static RagifyKitFunction
fill_rerank (Sample *sample, const RagifyRerankerOperations *operations)
{
  sample->chunk = (RagifyChunk){ .struct_size = sizeof (RagifyChunk), .content = sample->text };
  sample->args.rerank = (RagifyRerank){ .struct_size = sizeof (RagifyRerank),
                                        .top_k = 1,
                                        .query = sample->text,
                                        .chunks = { &sample->chunk, 1, sizeof sample->chunk, 0 } };
  return (RagifyKitFunction)operations->rerank;
}

/* Fills the arguments and returns the operation. */
static RagifyKitFunction
fill (Sample *sample, const RagifyKitInstance *instance, unsigned variation)
{
  const RagifyComponent *component = ragify_kit_component (instance);
  const void *operations = ragify_kit_operations (instance);
  if (is_kind (component, RAGIFY_KIND_CACHE))
    return fill_cache (sample, operations, variation);
  if (is_kind (component, RAGIFY_KIND_VECTOR_STORE))
    return fill_search (sample, operations, variation);
  if (is_kind (component, RAGIFY_KIND_RERANKER))
    return fill_rerank (sample, operations);
  if (is_kind (component, RAGIFY_KIND_TEXT_INDEX)) {
    sample->args.words = (RagifyTextSearch){ .struct_size = sizeof (RagifyTextSearch),
                                             .top_k = 1 + variation % 10,
                                             .text = sample->text };
    return (RagifyKitFunction)((const RagifyTextIndexOperations *)operations)->search;
  }
  if (is_kind (component, RAGIFY_KIND_EMBEDDER)) {
    sample->args.embed = (RagifyEmbedderEmbed){ .struct_size = sizeof (RagifyEmbedderEmbed),
                                                .purpose = RAGIFY_PURPOSE_QUERY,
                                                .texts = { &sample->text, 1 } };
    return (RagifyKitFunction)((const RagifyEmbedderOperations *)operations)->embed;
  }
  if (is_kind (component, RAGIFY_KIND_EXTRACTOR)) {
    sample->args.accepts =
        (RagifyExtractorAccepts){ .struct_size = sizeof (RagifyExtractorAccepts),
                                  .media_type = ragify_str_from ("text/plain"),
                                  .head = { (const uint8_t *)sample->text.data, sample->text.size } };
    return (RagifyKitFunction)((const RagifyExtractorOperations *)operations)->accepts;
  }
  sample->args.query = (RagifySourceQuery){ .struct_size = sizeof (RagifySourceQuery),
                                            .top_k = 1 + variation % 10,
                                            .text = sample->text };
  static const float embedding[EMBEDDING_DIMENSION] = { 1 };
  if (component->flags & RAGIFY_COMPONENT_WANTS_EMBEDDING)
    sample->args.query.embedding = (RagifyVectors){ embedding, 1, EMBEDDING_DIMENSION };
  return (RagifyKitFunction)((const RagifySourceOperations *)operations)->query;
}

Sample *
subject_sample_begin (RagifyKitInstance *instance, unsigned variation, uint64_t timeout_us)
{
  char text[64];
  Sample *sample = calloc (1, sizeof *sample);
  if (sample == NULL)
    abort ();
  snprintf (text, sizeof text, "the heron number %u in shallow water", variation / 2 % 16);
  sample->text = text_exact (text);
  const RagifyKitFunction function = fill (sample, instance, variation);
  sample->call = ragify_kit_begin (instance, function, &sample->args, timeout_us);
  return sample;
}

RagifyKitCall *
subject_sample_call (const Sample *sample)
{
  return sample->call;
}

void
subject_sample_end (Sample *sample)
{
  const RagifyKitCall *call = ragify_kit_wait (sample->call); /* at once where it was waited for */
  /* A hung call goes on using its arguments. */
  if (call->hung != 0)
    return;
  if (sample->gets && call->code == RAGIFY_OK)
    ragify_kit_buffer_unref (((const RagifyCacheGetResult *)call->result)->value);
  ragify_kit_call_free (sample->call);
  ragify_kit_buffer_unref (sample->buffer);
  free ((void *)sample->text.data);
  free (sample);
}
