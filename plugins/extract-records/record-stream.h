/* The bytes of a file as UTF-8, without its byte order mark. */
#ifndef EXTRACT_RECORD_STREAM_H
#define EXTRACT_RECORD_STREAM_H

#include <glib.h>
#include <ragify/ragify.h>

typedef struct RecordStream RecordStream;

/* `stream` outlives it. */
RecordStream *record_stream_new (const RagifyHost *host, RagifyStream *stream);
void record_stream_free (RecordStream *it);

/* As the host's stream_read: how many bytes came, 0 at the end, or the negative of an error code. What a byte order
 * mark names as UTF-16 or UTF-32 is converted, with U+FFFD for what is none; everything else comes as it is. */
gint64 record_stream_read (RecordStream *it, char *bytes, gsize capacity);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RecordStream, record_stream_free)
#endif
