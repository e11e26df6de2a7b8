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
  guint64 deadline_us; /* for one file */
} RagifyExtractor;

/* The one that is best for a file whose name is the end of `uri` and which begins with `head`; NULL: none takes it.
 * Threads without a loop. */
const RagifyExtractor *
ragify_extractor_find (const RagifyExtractor *extractors, guint count, const char *uri, const char *head, gsize size);

typedef struct RagifyExtraction {
  char *text; /* valid UTF-8 without NUL */
  gsize size;
  char *title;      /* NULL: none */
  GArray *sections; /* RagifySection; their metadata has `headings` and `page` beside what was given */
} RagifyExtraction;

/* Takes `bytes` (g_malloc). `metadata` (an object): of every section. RAGIFY_OK; or an error code and a reason, to be
 * freed: UNAVAILABLE and TIMEOUT where the extractor is at fault, others where the file is. Threads without a loop. */
gint32 ragify_extract (const RagifyExtractor *extractor, const char *uri, char *bytes, gsize size,
                       const json_t *metadata, RagifyExtraction *extraction, char **reason);
