/* What plugins with a model on this machine share: where its folder is, how it computes, how it fails.
 *
 * SPDX-License-Identifier: MIT
 *
 * Such a component has the keys of local-model-keys.inc.h among its own. */
#ifndef RAGIFY_LOCAL_MODEL_H
#define RAGIFY_LOCAL_MODEL_H

#include "encoder-types.h"

#include <ragify/ragify.h>

enum { RAGIFY_LOCAL_MODEL_PARALLEL = 64 }; /* more threads than any pool has: an encoder takes as many as there are */

typedef struct RagifyLocalModel {
  const RagifyHost *host;
  char *folder;
  char *precision;
  char *kernel;
  gsize max_tokens; /* 0: the model's own */
} RagifyLocalModel;

/* Reads the keys. `model` is the name of a folder in models-dir, or a path with a '/' in it. FALSE with an error of the
 * context; the model wants to be cleared all the same. [control] */
gboolean ragify_local_model_configure (RagifyLocalModel *model, const RagifyHost *host, RagifyContext *context,
                                       const char *name, gsize least_tokens);
void ragify_local_model_clear (RagifyLocalModel *model);

/* TRUE where the folder is there; otherwise fails the call, with what makes it be there. [call] */
gboolean ragify_local_model_find (const RagifyLocalModel *model, RagifyCall *call);

/* Fails the call with the code that fits an ENCODER_ERROR: one that was cancelled at its deadline timed out. [call] */
void ragify_local_model_fail (const RagifyLocalModel *model, RagifyCall *call, const GError *error);
void ragify_local_model_fail_memory (const RagifyLocalModel *model, RagifyCall *call);

/* Whether a call's answer is still wanted: a RagifyEncoderStop. */
typedef struct RagifyWanted {
  const RagifyHost *host;
  RagifyCall *call;
} RagifyWanted;
gboolean ragify_wanted_stop (gpointer wanted);

/* Statistics: a text, a count. */
RagifyPair ragify_pair_text (const char *name, const char *text);
RagifyPair ragify_pair_count (const char *name, uint64_t count);
/* Completes a stats() with them. [call] */
void ragify_local_model_stats (const RagifyLocalModel *model, RagifyCall *call, const RagifyPair *pairs, gsize count);
#endif
