/* Values of statements in PostgreSQL's binary format, built once and shared by the steps that use them.
 * See https://www.postgresql.org/docs/current/protocol-overview.html#PROTOCOL-FORMAT-CODES */
#ifndef PGVECTOR_PARAMETERS_H
#define PGVECTOR_PARAMETERS_H

#include <ragify/ragify.h>

#include <glib.h>

/* Types, by their OIDs (src/include/catalog/pg_type.dat; they never change). That of vector is the server's own. */
enum {
  PGVECTOR_OID_BOOL = 16,
  PGVECTOR_OID_INT8 = 20,
  PGVECTOR_OID_INT4 = 23,
  PGVECTOR_OID_TEXT = 25,
  PGVECTOR_OID_UUID = 2950,
  PGVECTOR_OID_JSONB = 3802
};

typedef struct PgvectorArray PgvectorArray;

/* An array of one dimension, of `count` elements that are added one by one; then taken. */
PgvectorArray *pgvector_array_new (guint32 oid, gsize count);
void pgvector_array_add_null (PgvectorArray *array);
void pgvector_array_add_bool (PgvectorArray *array, gboolean value);
void pgvector_array_add_int4 (PgvectorArray *array, gint32 value);
void pgvector_array_add_int8 (PgvectorArray *array, gint64 value);
void pgvector_array_add_uuid (PgvectorArray *array, const RagifyUuid *id);
/* PostgreSQL's text has no U+0000: it becomes U+FFFD. */
void pgvector_array_add_text (PgvectorArray *array, RagifyStr text);
/* An empty text is null; an escaped U+0000 becomes U+FFFD. */
void pgvector_array_add_json (PgvectorArray *array, RagifyStr json);
void pgvector_array_add_vector (PgvectorArray *array, const float *vector, guint32 dimension);
/* The value; the array is gone. */
GBytes *pgvector_array_take (PgvectorArray *array);

GBytes *pgvector_value_int8 (gint64 value);
GBytes *pgvector_value_text (RagifyStr text);
GBytes *pgvector_value_uuid (const RagifyUuid *id);
GBytes *pgvector_value_vector (const float *vector, guint32 dimension);
GBytes *pgvector_value_uuids (const RagifyUuidList *ids);
GBytes *pgvector_value_texts (const RagifyStrList *texts);

#endif
