/* Files as text, by extractors.
 *
 * SPDX-License-Identifier: MIT
 *
 * Extractors give pieces in reading order; here they become one text, an empty line between two pieces, with the
 * sections that they stand in.
 */
#pragma once

#include <jansson.h>

#include "core/ingest/document.h"
#include "core/module/node.h"

typedef struct RagifyExtractor {
  RagifyNode *node;
  guint64 deadline_us; /* for one file; for one of more than 4 MiB, from one piece of its text to the next */
  guint64 fingerprint; /* of its configuration, which decides about the text */
} RagifyExtractor;

/* The one that is best for a file whose name is the end of `uri` and which begins with `head`; `*best` NULL: none takes
 * it. FALSE: one of them could not be asked, so that nobody knows whose it is; `*reason`: free with g_free. Threads
 * without a loop. */
gboolean ragify_extractor_find (const RagifyExtractor *extractors, guint count, const char *uri, const char *head,
                                gsize size, const RagifyExtractor **best, char **reason);

typedef struct RagifyExtraction {
  char *text; /* valid UTF-8 without NUL */
  gsize size;
  char *title;         /* NULL: none */
  GArray *sections;    /* RagifySection; their metadata has `headings` and `page` beside what was given */
  gboolean spilled;    /* it was too large for `text`: the sink got it */
  GPtrArray *left_out; /* records that the extractor could not take: texts, place and reason in turn; NULL: none */
} RagifyExtraction;

void ragify_extraction_clear (RagifyExtraction *extraction);

/* Where a text goes that is too large to be kept, from its beginning. Each returns FALSE where no more is wanted.
 * `metadata`: of the section under way, as in RagifySection. Called on the thread that waits; it may take its time. */
typedef struct RagifyExtractionSink {
  gboolean (*begin) (void *user);
  gboolean (*add) (void *user, const char *text, gsize size, const char *metadata);
  gboolean (*end) (void *user, const char *metadata); /* no chunk goes beyond here */
  void *user;
} RagifyExtractionSink;

/* The text of the descriptor's file, of about `size` bytes. `metadata` (an object): of every section. RAGIFY_OK; or an
 * error code and a reason, to be freed; CANCELLED where the sink wants no more. Threads without a loop. */
gint32 ragify_extract (const RagifyExtractor *extractor, const char *uri, int fd, guint64 size, const json_t *metadata,
                       const RagifyExtractionSink *sink, RagifyExtraction *extraction, char **reason);

/* Whether the extractor has looked at the file and found it wrong; otherwise there is nothing known about the file. */
gboolean ragify_extraction_found_fault (gint32 code);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (RagifyExtraction, ragify_extraction_clear)
