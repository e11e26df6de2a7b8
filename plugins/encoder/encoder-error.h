/*
 * The errors of the encoder: each message names the file, what was expected and what was found.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_ENCODER_ERROR_H
#define RAGIFY_ENCODER_ERROR_H

#include <glib.h>

#define RAGIFY_ENCODER_ERROR (ragify_encoder_error_quark ())

typedef enum {
  RAGIFY_ENCODER_ERROR_FILE,        /* a file is missing or cannot be read */
  RAGIFY_ENCODER_ERROR_FORMAT,      /* a file is not what its name says, or contradicts itself or another file */
  RAGIFY_ENCODER_ERROR_UNSUPPORTED, /* a sound model of a kind that this encoder does not compute */
  RAGIFY_ENCODER_ERROR_CPU,         /* the wanted precision or kernel cannot run here */
  RAGIFY_ENCODER_ERROR_MEMORY,
  RAGIFY_ENCODER_ERROR_CANCELLED,
} RagifyEncoderError;

GQuark ragify_encoder_error_quark (void);

#endif
