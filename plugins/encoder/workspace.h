/*
 * The memory of one computation, and a pool that keeps it for the next.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_WORKSPACE_H
#define RAGIFY_WORKSPACE_H

#include <glib.h>

#include "weights.h"

enum {
  /* Tokens for which the two wide layers are computed in one go: their inner values stay in the second-level cache. */
  RAGIFY_WORKSPACE_BLOCK = 128,
};

/* One text with the tokens around it, or two of which the second has the other token type. */
typedef struct {
  gsize tokens;
  gsize first_tokens; /* of them before the second text; `tokens` where there is none */
  gboolean begins;    /* a text: the first of its windows … */
  gboolean ends;      /* … and the last; both for a text that is whole */
} RagifySequence;

/* Sequences are laid end to end, without padding between them. */
typedef struct {
  gsize tokens; /* how many there is room for */
  guint32 *ids;
  RagifySequence *sequences;
  float *hidden;      /* tokens x hidden_stride */
  void *elements;     /* the same, as elements */
  void *qkv;          /* tokens x qkv_stride */
  void *context;      /* tokens x context_stride */
  void *intermediate; /* RAGIFY_WORKSPACE_BLOCK x intermediate_stride */
  void *scratch;      /* of the attention over config.max_tokens, and of each linear layer */
} RagifyWorkspace;

typedef struct _RagifyWorkspacePool RagifyWorkspacePool;

/* A pool of workspaces that fit the weights, which must outlive it. */
RagifyWorkspacePool *ragify_workspace_pool_new (const RagifyWeights *weights);
void ragify_workspace_pool_free (RagifyWorkspacePool *self);

/* A workspace that is the caller's until it is put back; NULL when memory is exhausted. [any] */
RagifyWorkspace *ragify_workspace_pool_take (RagifyWorkspacePool *self);
void ragify_workspace_pool_put (RagifyWorkspacePool *self, RagifyWorkspace *workspace);

#endif
