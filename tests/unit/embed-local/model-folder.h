/*
 * Small model folders for tests, made of random numbers: sound ones, and ones with a fault.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_MODEL_FOLDER_H
#define RAGIFY_MODEL_FOLDER_H

#include <glib.h>

typedef struct {
  gboolean mpnet;
  gboolean distilbert;
  gsize hidden;
  gsize heads;
  gsize layers;
  gsize intermediate;
  gsize positions;
  gboolean half;      /* matrices as F16, otherwise F32 */
  const char *prefix; /* of all tensors' names; NULL: none */
  gsize labels;       /* a classifier with so many outputs; 0: none */
} ModelShape;

/* A new folder under the temporary directory. */
char *model_folder_new (void);

/* Removes it with all that is in it, and frees its name. */
void model_folder_free (char *folder);

/* Puts a file into it. */
void model_folder_write (const char *folder, const char *name, const char *text, gssize size);

/* A sound model: config.json, model.safetensors and vocab.txt (one token a letter, and a few words). */
void model_folder_fill (const char *folder, const ModelShape *shape);

/* Writes a safetensors file of this header; `data_size` bytes of zeros follow. */
void model_folder_write_safetensors (const char *folder, const char *header, gsize data_size);

#endif
