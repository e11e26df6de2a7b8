/* SPDX-License-Identifier: MIT */
#include "workspace.h"

#include <pthread.h>
#include <stdlib.h>

/* Enough for one thread a core of a large machine; what is put back beyond it is freed. */
enum { MAX_KEPT = 64 };

struct _RagifyWorkspacePool {
  const RagifyWeights *weights;
  pthread_mutex_t lock; /* of the rest; not GLib's, which ThreadSanitizer does not know */
  RagifyWorkspace *kept[MAX_KEPT];
  gsize kept_count;
};

/* The parts of a layer follow each other: one memory is enough for what each needs for itself. */
static gsize
scratch_size (const RagifyWeights *weights, gsize tokens)
{
  const RagifyKernels *const kernels = weights->kernels;
  const gsize wanted[] = {
    kernels->attention_scratch (&weights->attention, weights->config.max_tokens),
    kernels->linear_scratch (tokens, weights->hidden_stride),
    kernels->linear_scratch (RAGIFY_WORKSPACE_BLOCK, weights->context_stride),
    kernels->linear_scratch (RAGIFY_WORKSPACE_BLOCK, weights->intermediate_stride),
  };
  gsize most = 0;

  for (gsize i = 0; i < G_N_ELEMENTS (wanted); i++)
    most = MAX (most, wanted[i]);
  return most;
}

static gsize
place (const RagifyWeights *weights, RagifyWorkspace *workspace, char *memory)
{
  const gsize element = weights->kernels->element_size;
  const gsize tokens = workspace->tokens + weights->kernels->row_slack;
  const gsize sizes[] = {
    tokens * sizeof *workspace->ids,
    tokens * sizeof *workspace->sequences,
    tokens * weights->hidden_stride * sizeof (float),
    tokens * weights->hidden_stride * element,
    tokens * weights->qkv_stride * element,
    tokens * weights->context_stride * element,
    (RAGIFY_WORKSPACE_BLOCK + weights->kernels->row_slack) * weights->intermediate_stride * element,
    scratch_size (weights, workspace->tokens),
  };
  void *starts[G_N_ELEMENTS (sizes)] = { NULL };
  gsize used = 0;

  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++) {
    starts[i] = memory == NULL ? NULL : memory + used;
    used += (sizes[i] + 63) / 64 * 64;
  }
  workspace->ids = starts[0];
  workspace->sequences = starts[1];
  workspace->hidden = starts[2];
  workspace->elements = starts[3];
  workspace->qkv = starts[4];
  workspace->context = starts[5];
  workspace->intermediate = starts[6];
  workspace->scratch = starts[7];
  return used;
}

/* One block for all: the workspace itself stands in its first 64 bytes or so. */
static RagifyWorkspace *
workspace_new (const RagifyWeights *weights)
{
  const gsize head = (sizeof (RagifyWorkspace) + 63) / 64 * 64;
  RagifyWorkspace plan = { .tokens = MAX (2 * weights->config.max_tokens, 2 * RAGIFY_WORKSPACE_BLOCK) };
  char *const memory = aligned_alloc (64, head + place (weights, &plan, NULL));

  if (memory == NULL)
    return NULL;
  place (weights, &plan, memory + head);
  *(RagifyWorkspace *)memory = plan;
  return (RagifyWorkspace *)memory;
}

RagifyWorkspacePool *
ragify_workspace_pool_new (const RagifyWeights *weights)
{
  RagifyWorkspacePool *const self = g_new0 (RagifyWorkspacePool, 1);

  self->weights = weights;
  pthread_mutex_init (&self->lock, NULL);
  return self;
}

void
ragify_workspace_pool_free (RagifyWorkspacePool *self)
{
  for (gsize i = 0; i < self->kept_count; i++)
    free (self->kept[i]);
  pthread_mutex_destroy (&self->lock);
  g_free (self);
}

RagifyWorkspace *
ragify_workspace_pool_take (RagifyWorkspacePool *self)
{
  RagifyWorkspace *workspace = NULL;

  pthread_mutex_lock (&self->lock);
  if (self->kept_count > 0)
    workspace = self->kept[--self->kept_count];
  pthread_mutex_unlock (&self->lock);
  return workspace == NULL ? workspace_new (self->weights) : workspace;
}

void
ragify_workspace_pool_put (RagifyWorkspacePool *self, RagifyWorkspace *workspace)
{
  pthread_mutex_lock (&self->lock);
  if (self->kept_count < MAX_KEPT) {
    self->kept[self->kept_count++] = workspace;
    workspace = NULL;
  }
  pthread_mutex_unlock (&self->lock);
  free (workspace);
}
