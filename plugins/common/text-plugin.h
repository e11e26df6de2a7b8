/* What the plugins for text indexes have in common: everything but the index.
 *
 * Each names a backend, and builds its component from the functions below. */
#ifndef RAGIFY_TEXT_PLUGIN_H
#define RAGIFY_TEXT_PLUGIN_H

#include "accumulator.h"
#include "fault.h"

#include <ragify/ragify.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct RagifyTextOptions {
  const char *folder;    /* absolute; the index makes it, and has it to itself */
  const char *language;  /* whose endings are taken off: a code such as "en", or "none" */
  uint32_t title_weight; /* how often a title's words count */
  RagifyBm25 bm25;
  uint64_t lock_wait_us; /* how long another process may keep the index locked */
  void (*log) (void *user, uint32_t level, const char *message);
  void *log_user;
} RagifyTextOptions;

/* Who asks. */
typedef struct RagifyTextCaller {
  bool (*cancelled) (void *user);
  void *user;
} RagifyTextCaller;

/* An index; each backend has its own. */
typedef struct RagifyTextIndex RagifyTextIndex;

typedef struct RagifyTextBackend {
  const char *folder; /* the index's name inside the node's folder */

  /* Whether the backend knows the language; the fault lists those that it knows. [control] */
  bool (*check_language) (const char *language, RagifyFault *fault);

  /* [worker] */
  RagifyTextIndex *(*open) (const RagifyTextOptions *options, RagifyFault *fault);
  void (*close) (RagifyTextIndex *index);

  /* Why it cannot be written, or NULL. [any] */
  const char *(*read_only) (RagifyTextIndex *index);

  /* [worker] Concurrently. What they mean stands in ragify/text-index.h. */
  bool (*upsert) (RagifyTextIndex *index, const RagifyTextCaller *caller, const RagifyTextUpsert *args,
                  RagifyFault *fault);
  bool (*search) (RagifyTextIndex *index, const RagifyTextCaller *caller, const RagifyTextSearch *args, RagifyHit *hits,
                  uint32_t *found, RagifyFault *fault);
  bool (*remove) (RagifyTextIndex *index, const RagifyTextCaller *caller, const RagifyTextRemove *args,
                  RagifyFault *fault);
  bool (*optimize) (RagifyTextIndex *index, RagifyFault *fault);
  void (*generation) (RagifyTextIndex *index, RagifyTextGeneration *generation);
} RagifyTextBackend;

#define RAGIFY_TEXT_PLUGIN_KEYS 7
extern const RagifyKey ragify_text_plugin_keys[RAGIFY_TEXT_PLUGIN_KEYS];
extern const RagifyTextIndexOperations ragify_text_plugin_operations;

/* For the component's create: with its backend. */
int32_t ragify_text_plugin_create (const RagifyTextBackend *backend, const RagifyHost *host, RagifyContext *context,
                                   const RagifyInstance *which, void **instance);

/* The component's other functions, as they are. */
void ragify_text_plugin_start (void *instance, RagifyCall *call, const RagifyStart *args);
void ragify_text_plugin_stop (void *instance, RagifyCall *call, const RagifyNothing *args);
void ragify_text_plugin_destroy (void *instance);
void ragify_text_plugin_probe (void *instance, RagifyCall *call, const RagifyNothing *args);
void ragify_text_plugin_stats (void *instance, RagifyCall *call, const RagifyNothing *args);

#ifdef __cplusplus
}
#endif
#endif
