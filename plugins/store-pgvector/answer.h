/* Reading rows that came in PostgreSQL's binary format. A server that lies gets zeros and empty texts read out of it,
 * and nothing beyond a value's end. */
#ifndef PGVECTOR_ANSWER_H
#define PGVECTOR_ANSWER_H

#include <ragify/ragify.h>

#include <glib.h>
#include <libpq-fe.h>

gint64 pgvector_read_int8 (const PGresult *row, int column);
double pgvector_read_float8 (const PGresult *row, int column);
RagifyUuid pgvector_read_uuid (const PGresult *row, int column);
/* Lives as long as the row. */
RagifyStr pgvector_read_text (const PGresult *row, int column);
RagifyStr pgvector_read_json (const PGresult *row, int column);
/* FALSE where it is not a vector of this dimension. */
gboolean pgvector_read_vector (const PGresult *row, int column, float *vector, guint32 dimension);

#endif
