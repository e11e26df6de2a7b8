/* One document as an application sends it.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <glib.h>
#include <jansson.h>
#include <ragify/ragify.h>

/* A stretch of a document that no chunk goes beyond, such as what stands under one heading. */
typedef struct RagifySection {
  gsize begin, end; /* bytes of the content */
  char *metadata;   /* of its chunks, in place of the document's: a JSON object as text; NULL: the document's */
} RagifySection;

typedef struct RagifyIncoming {
  char *id;
  gboolean given_id; /* not made up from what it holds */
  char *content;
  gsize content_size;
  char *title, *uri;               /* "" for none */
  char *metadata;                  /* a JSON object as text, or "" */
  gint64 created_at, updated_at;   /* wall clock, µs; 0: not given */
  guint chunk_size, chunk_overlap; /* characters; a size of 0: both as the store has them */
  gboolean chunk_tokens;           /* they are in the embedder's tokens */
  GArray *sections;                /* RagifySection, in order; NULL: the whole is one */
} RagifyIncoming;

void ragify_incoming_free (RagifyIncoming *incoming);
/* For `sections`. */
GArray *ragify_sections_new (void);

/* Takes a document out of a JSON object: `content` (or `text`) is required; `id` (or `_id`), `title`, `uri`,
 * `metadata`, `created_at`, `updated_at` (RFC 3339) are not; anything else is refused. NULL with the member at fault
 * and a sentence; free both. */
RagifyIncoming *ragify_incoming_parse (const json_t *object, char **field, char **reason);

/* A document of an application's own making, whose content it takes; the other texts are copied. An id that is too long
 * is shortened to a name-based one behind its first segment. */
RagifyIncoming *ragify_incoming_new (const char *id, char *content, gsize size, const char *title, const char *uri);

/* Whether its id and metadata are such that an [ingest] node would take it for its own. */
gboolean ragify_incoming_is_of_a_job (const RagifyIncoming *incoming);

/* Where the id was made up from the content or the address: another one, that `seed` decides about too. */
void ragify_incoming_disown_id (RagifyIncoming *incoming, guint64 seed);

/* A hash of everything that decides about its chunks and vectors. `salt`: how it is cut and embedded. */
RagifyUuid ragify_incoming_hash (const RagifyIncoming *incoming, const char *salt);

/* The id of chunk number `ordinal` of a document: a name-based UUID (RFC 9562 version 8, over XXH3-128). */
RagifyUuid ragify_chunk_uuid (const char *document, guint64 ordinal);

/* The text form of an id, 36 characters and a NUL. */
void ragify_uuid_write (const RagifyUuid *uuid, char text[37]);

/* What is embedded for a chunk: its text, with the document's title in front where the chunk does not begin with it.
 * Free with g_free. */
char *ragify_embedded_text (const char *title, const char *content, gsize size);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyIncoming, ragify_incoming_free)
