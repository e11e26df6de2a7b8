/* SPDX-License-Identifier: MIT */
#include "core/call/buffer.h"

#include <glib.h>

typedef struct HostBuffer {
  RagifyBuffer base;
  gint references;
  void (*release) (void *user);
  void *user;
} HostBuffer;

static void
buffer_ref (RagifyBuffer *buffer)
{
  g_atomic_int_inc (&((HostBuffer *)buffer)->references);
}

static void
buffer_unref (RagifyBuffer *buffer)
{
  HostBuffer *self = (HostBuffer *)buffer;
  if (!g_atomic_int_dec_and_test (&self->references))
    return;
  if (self->release != NULL)
    self->release (self->user);
  g_free (self);
}

static HostBuffer *
make (gsize extra)
{
  HostBuffer *self = g_try_malloc (sizeof *self + extra);
  if (self == NULL)
    return NULL;
  *self = (HostBuffer){ .base = { .struct_size = sizeof (RagifyBuffer), .ref = buffer_ref, .unref = buffer_unref },
                        .references = 1 };
  return self;
}

RagifyBuffer *
ragify_buffer_new (uint64_t size, uint8_t **data)
{
  HostBuffer *self = size < G_MAXSIZE / 2 ? make (size) : NULL;
  if (self == NULL)
    return NULL;
  *data = (uint8_t *)(self + 1);
  self->base.data = *data;
  self->base.size = size;
  return &self->base;
}

RagifyBuffer *
ragify_buffer_wrap (const uint8_t *data, uint64_t size, void (*release_data) (void *user), void *user)
{
  HostBuffer *self = make (0);
  if (self == NULL)
    return NULL;
  self->base.data = data;
  self->base.size = size;
  self->release = release_data;
  self->user = user;
  return &self->base;
}
