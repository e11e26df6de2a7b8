/* Reads HTTP/1.1 answers out of whatever pieces the socket gives, strictly and without a copy of the body.
 *
 * Understood: a status line of HTTP/1.1, header fields, and a body by Content-Length or by chunks (RFC 9112, sections 4
 * to 7); 1xx answers are passed over; 204 and 304 have no body. Refused, since a benchmark must not count
 * half-understood bytes as success: other versions, a bare LF, folded lines, a bad or repeated Content-Length, one
 * together with Transfer-Encoding, a transfer coding other than chunked, a body that only the closing of the connection
 * would end, a head over 16 KiB.
 */
#pragma once

#include <glib.h>

typedef struct _RagifyResponseReader RagifyResponseReader;

/* Gets each piece of the body as it comes; the bytes live during the call only. */
typedef void (*RagifyResponseBody) (const char *bytes, gsize length, gpointer user_data);

typedef enum {
  RAGIFY_RESPONSE_MORE, /* give it more bytes */
  RAGIFY_RESPONSE_DONE, /* the answer is complete; bytes behind it were not consumed */
  RAGIFY_RESPONSE_BAD,  /* not an answer that it understands: see ragify_response_reader_get_problem */
} RagifyResponseState;

/* body may be NULL. */
RagifyResponseReader *ragify_response_reader_new (RagifyResponseBody body, gpointer user_data);
void ragify_response_reader_free (RagifyResponseReader *reader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyResponseReader, ragify_response_reader_free)

/* Makes it ready for the next answer on the same or another connection. */
void ragify_response_reader_reset (RagifyResponseReader *reader);

/* Consumes bytes; *consumed is how many. After DONE or BAD it must be reset before it is fed again. */
RagifyResponseState
ragify_response_reader_feed (RagifyResponseReader *reader, const char *bytes, gsize length, gsize *consumed);

/* Valid after DONE. */
guint ragify_response_reader_get_status (const RagifyResponseReader *reader);
guint64 ragify_response_reader_get_body_length (const RagifyResponseReader *reader);
gboolean ragify_response_reader_keeps_alive (const RagifyResponseReader *reader);

/* TRUE before the first byte of an answer. */
gboolean ragify_response_reader_is_untouched (const RagifyResponseReader *reader);

/* Why the last feed said BAD; a static string, or NULL. */
const char *ragify_response_reader_get_problem (const RagifyResponseReader *reader);
