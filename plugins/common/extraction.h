/* What extractors share: the file as bytes, and pieces on their way to the host.
 *
 * One RagifyPieces belongs to one call, on its worker. */
#ifndef RAGIFY_EXTRACTION_H
#define RAGIFY_EXTRACTION_H

#include "credit.h"
#include "fault.h"

#include <glib.h>
#include <ragify/ragify.h>

typedef struct RagifyPieces {
  const RagifyHost *host;
  RagifyCall *call;
  RagifyCredit credit;
  GString *text;     /* of the piece under way, white space folded */
  char *metadata;    /* of the pieces to come, one JSON object; NULL: none */
  GString *left_out; /* JSON objects, separated by commas */
  guint64 n_left_out;
  guint32 page;     /* 0: no pages */
  guint64 gathered; /* bytes of text so far */
  guint64 most;     /* that there may be; 0: no bound */
  gboolean stopped; /* nobody wants more, or there is too much */
} RagifyPieces;

void ragify_pieces_init (RagifyPieces *pieces, const RagifyHost *host, RagifyCall *call, guint64 most);
void ragify_pieces_clear (RagifyPieces *pieces);

/* Adds text (any bytes; what is no UTF-8 is replaced) to the piece under way, each run of white space as one blank. */
void ragify_pieces_add (RagifyPieces *pieces, const char *text, gsize size);
/* Adds it as it stands, but for control characters. */
void ragify_pieces_add_raw (RagifyPieces *pieces, const char *text, gsize size);
/* No heading is in force from here on. */
void ragify_pieces_forget_heading (RagifyPieces *pieces);
/* Ends the piece under way as a paragraph or, with a level of 1 to 6, a heading; an empty one is none. */
void ragify_pieces_end (RagifyPieces *pieces, guint level);
/* The next piece is not to be in a chunk with the one before. */
void ragify_pieces_break (RagifyPieces *pieces);
/* What holds for the pieces to come, as one JSON object; NULL: nothing. */
void ragify_pieces_describe (RagifyPieces *pieces, const char *metadata);
/* A record that cannot be taken, such as "line 12"; told with the result. The texts are UTF-8. */
void ragify_pieces_leave_out (RagifyPieces *pieces, const char *place, const char *reason);
/* Completes the call: with the title (or NULL), or where there was too much, or where it was cancelled. */
void ragify_pieces_done (RagifyPieces *pieces, const char *title);
void ragify_pieces_fail (RagifyPieces *pieces, const RagifyFault *fault);

/* The whole stream; NULL, and the fault, where it breaks off or has more than `most` bytes. */
GByteArray *ragify_pieces_read (RagifyPieces *pieces, RagifyStream *stream, guint64 most, RagifyFault *fault);

/* What every extractor's instance begins with. */
typedef struct RagifyExtractor {
  const RagifyHost *host;
  guint64 max_text; /* bytes */
} RagifyExtractor;

/* Reads the key max-text. [control] */
void ragify_extractor_init (RagifyExtractor *extractor, const RagifyHost *host, RagifyContext *context);
/* A start() that has nothing to do. */
void ragify_extractor_start (void *instance, RagifyCall *call, const RagifyStart *args);
/* Completes an accepts(). */
void ragify_extractor_accept (const RagifyExtractor *extractor, RagifyCall *call, guint confidence);

/* Makes pieces of a file's bytes, and a title where it has one; FALSE with a fault. */
typedef gboolean (*RagifyExtractorRead) (RagifyExtractor *extractor, RagifyPieces *pieces, const GByteArray *bytes,
                                         char **title, RagifyFault *fault);
/* An extract(): reads the stream, at most 64 MiB of it, and completes the call. */
void
ragify_extractor_run (RagifyExtractor *extractor, RagifyCall *call, RagifyStream *stream, RagifyExtractorRead read);
/* Whether there was any text; otherwise the fault says that there is none, and `why` where that is not NULL. */
gboolean ragify_pieces_need_text (const RagifyPieces *pieces, const char *why, RagifyFault *fault);

/* Whether the name at the end of `uri` ends with one of `endings` ("html", …, NULL). */
gboolean ragify_uri_ends (RagifyStr uri, const char *const *endings);
#endif
