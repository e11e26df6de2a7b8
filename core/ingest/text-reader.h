/* A text file of any size as UTF-8, piece by piece.
 *
 * SPDX-License-Identifier: MIT
 *
 * It is read twice: once to know what it is and whether it is what was read before, and once for its text. The encoding
 * is found as core/ingest/plain-text.h finds it.
 */
#pragma once

#include <glib.h>
#include <ragify/ragify.h>

typedef enum {
  RAGIFY_READING_WELL,
  RAGIFY_READING_FAILED, /* errno tells why */
  RAGIFY_READING_NO_TEXT,
} RagifyReading;

typedef struct RagifyTextFacts {
  RagifyUuid hash;   /* of all bytes */
  guint64 size;      /* bytes */
  gsize mark;        /* bytes of the byte order mark */
  char encoding[64]; /* "": UTF-8 */
} RagifyTextFacts;

/* Called now and then, while a large file is read. FALSE: it is to be given up. */
typedef gboolean (*RagifyReadingGoesOn) (void *user);

/* Reads all of the descriptor, from its beginning. `*reason` (constant) where it is no text. FAILED with ECANCELED
 * where `goes_on` said so. */
RagifyReading
ragify_text_scan (int fd, RagifyReadingGoesOn goes_on, void *user, RagifyTextFacts *facts, const char **reason);
/* The hash and size of all bytes, whatever they are. */
RagifyReading ragify_bytes_scan (int fd, RagifyReadingGoesOn goes_on, void *user, RagifyUuid *hash, guint64 *size);

typedef struct RagifyTextReader RagifyTextReader;

/* The text from byte `begin` of its UTF-8 on; other than 0 only where the file is UTF-8 itself. The descriptor is not
 * taken. */
RagifyTextReader *ragify_text_reader_new (int fd, const RagifyTextFacts *facts, guint64 begin);
void ragify_text_reader_free (RagifyTextReader *reader);
/* The next piece, of whole characters; valid until the next call. An empty one: the end. */
RagifyReading ragify_text_reader_next (RagifyTextReader *reader, RagifyStr *piece);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyTextReader, ragify_text_reader_free)
