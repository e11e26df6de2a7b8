/*
 * Text that grows at its end. GLib's GString would do, but for where its memory comes from: an allocator with locks
 * that ThreadSanitizer does not see, and texts are tokenized on many threads.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_TEXT_BUFFER_H
#define RAGIFY_TEXT_BUFFER_H

#include <glib.h>

/* Begins as { 0 }; the text is not ended by NUL. */
typedef struct {
  char *data;
  gsize size;
  gsize capacity;
} RagifyTextBuffer;

static inline void
ragify_text_buffer_clear (RagifyTextBuffer *self)
{
  g_free (self->data);
  *self = (RagifyTextBuffer){ 0 };
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (RagifyTextBuffer, ragify_text_buffer_clear)

/* Makes room for `more` bytes behind those that are there. */
static inline void
ragify_text_buffer_reserve (RagifyTextBuffer *self, gsize more)
{
  if (self->capacity - self->size >= more)
    return;
  self->capacity = MAX (self->size + more, self->capacity * 2);
  self->data = g_realloc (self->data, self->capacity);
}

static inline void
ragify_text_buffer_append_byte (RagifyTextBuffer *self, char byte)
{
  ragify_text_buffer_reserve (self, 1);
  self->data[self->size++] = byte;
}

static inline void
ragify_text_buffer_append_character (RagifyTextBuffer *self, gunichar c)
{
  ragify_text_buffer_reserve (self, 6);
  self->size += (gsize)g_unichar_to_utf8 (c, self->data + self->size);
}

#endif
