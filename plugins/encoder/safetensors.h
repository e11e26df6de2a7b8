/*
 * A safetensors file, mapped: 8 bytes of header length (little-endian), a JSON header that names each tensor's type,
 * shape and place, and the tensors' bytes.
 *
 * Nothing in the file is believed: opening checks that the header fits the file, that each tensor's size is its type's
 * times its shape, and that the tensors follow one another without gap or overlap to the end of the file, which is what
 * the format demands (https://github.com/huggingface/safetensors, "Format").
 *
 * A RagifySafetensors is immutable: all functions but open and close are [any].
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_SAFETENSORS_H
#define RAGIFY_SAFETENSORS_H

#include <glib.h>

typedef struct _RagifySafetensors RagifySafetensors;

typedef enum {
  RAGIFY_TENSOR_F32,
  RAGIFY_TENSOR_F16,
  RAGIFY_TENSOR_BF16,
} RagifyTensorType;

/* A view of a matrix, or of a vector as a matrix of one row; valid until its file is closed. */
typedef struct {
  const guint8 *data; /* in the file's byte order (little-endian), not aligned */
  RagifyTensorType type;
  gsize rows;
  gsize columns;
} RagifyTensor;

/* Maps and checks the file at `path`. NULL on error: ENCODER_ERROR_FILE or ENCODER_ERROR_FORMAT. */
RagifySafetensors *ragify_safetensors_open (const char *path, GError **error);

void ragify_safetensors_close (RagifySafetensors *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifySafetensors, ragify_safetensors_close)

gboolean ragify_safetensors_has (const RagifySafetensors *self, const char *name);

/*
 * Finds the tensor `name`, whose shape must be [rows, columns], or [columns] where `rows` is 0, and whose type must be
 * F32, F16 or BF16. FALSE with ENCODER_ERROR_FORMAT (absent, another shape) or ENCODER_ERROR_UNSUPPORTED (type).
 */
gboolean ragify_safetensors_find (const RagifySafetensors *self, const char *name, gsize rows, gsize columns,
                                  RagifyTensor *tensor, GError **error);

/* The whole file as mapped, to be hashed. */
const guint8 *ragify_safetensors_get_data (const RagifySafetensors *self, gsize *size);

/* Gives the pages that were read so far back to the kernel; they are read again when they are next touched. */
void ragify_safetensors_forget_pages (RagifySafetensors *self);

/* Writes row number `row`, tensor->columns floats, to `values`. [any] */
void ragify_tensor_read_row (const RagifyTensor *tensor, gsize row, float *values);

#endif
