/*
 * What callers of an encoder or a cross-encoder say: texts, how to compute, and whether the answer is still wanted.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_ENCODER_TYPES_H
#define RAGIFY_ENCODER_TYPES_H

#include <glib.h>

typedef struct {
  const char *precision; /* "auto", "bf16", "fp32" or "int8"; NULL: auto, the fastest but for int8 */
  const char *kernel;    /* "auto" or one of kernels.h, for tests; NULL: auto */
  gsize max_tokens;      /* a lower limit than the model's, special tokens included; 0: the model's */
  gsize max_windows;     /* of a longer text that are embedded, see encoder.h; 0 or 1: it is cut at the limit */
} RagifyEncoderOptions;

/* UTF-8, not owned; bytes that are not UTF-8 are left out. */
typedef struct {
  const char *data;
  gsize size;
} RagifyText;

/* Says whether the caller still wants the answer. Asked between layers, on the thread that computes. */
typedef gboolean (*RagifyEncoderStop) (gpointer user);

#endif
