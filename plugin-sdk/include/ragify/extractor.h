/* Ragify plugin SDK: extractors, which turn a file into text.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_EXTRACTOR_H
#define RAGIFY_EXTRACTOR_H

#include "plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define RAGIFY_KIND_EXTRACTOR "ragify.extractor/1"

typedef struct RagifyExtractorAccepts {
  uint32_t struct_size;
  uint32_t reserved;
  RagifyStr media_type; /* such as "text/markdown"; empty: not known */
  RagifyStr uri;        /* its name tells something too; may be empty */
  RagifyBytes head;     /* the first bytes, up to 4096 */
} RagifyExtractorAccepts;

typedef struct RagifyExtractorAcceptsResult {
  uint32_t struct_size;
  uint32_t confidence; /* 0: cannot; 100: made for it. The highest is asked to extract */
} RagifyExtractorAcceptsResult;

typedef struct RagifyExtractorExtract {
  uint32_t struct_size;
  uint32_t reserved;
  RagifyStr media_type;
  RagifyStr uri;
  RagifyStream *stream; /* read with host->stream_read */
} RagifyExtractorExtract;

#define RAGIFY_PIECE_HEADING 1u   /* `text` is a heading of level `level`; it stays in force for what follows */
#define RAGIFY_PIECE_PARAGRAPH 2u /* running text; a chunk may span several */
#define RAGIFY_PIECE_BREAK 3u     /* a chunk must not span this place: a new page, record, table */

/* Text in reading order. */
typedef struct RagifyPiece {
  uint32_t struct_size;
  uint32_t type;      /* RAGIFY_PIECE_… */
  uint32_t level;     /* headings: 1..6 */
  uint32_t page;      /* from 1; 0: no pages */
  uint64_t begin;     /* where it stands in the file: first byte … */
  uint64_t end;       /* … and one past the last; both 0: not known */
  RagifyStr text;     /* valid UTF-8 */
  RagifyStr metadata; /* one JSON object that holds for this piece's record; empty: none */
} RagifyPiece;

typedef struct RagifyExtractorExtractResult {
  uint32_t struct_size;
  uint32_t reserved;
  RagifyStr title; /* may be empty */
  /* One JSON object for the whole document; empty: none. Records that could not be taken are its member `set_aside`, a
   * list of 100 at most such as {"place": "line 12", "reason": "is not JSON"}, and `set_aside_total` counts all. */
  RagifyStr metadata;
} RagifyExtractorExtractResult;

typedef struct RagifyExtractorOperations {
  uint32_t struct_size;
  uint32_t reserved;
  void (*accepts) (void *instance, RagifyCall *call,
                   const RagifyExtractorAccepts *args); /* [call] RagifyExtractorAcceptsResult */
  /* [call] Emits RagifyPiece; result: RagifyExtractorExtractResult. */
  void (*extract) (void *instance, RagifyCall *call, const RagifyExtractorExtract *args);
} RagifyExtractorOperations;

#ifdef __cplusplus
}
#endif
#endif
