#include "answer.h"

#include <math.h>
#include <string.h>

gint64
pgvector_read_int8 (const PGresult *row, int column)
{
  guint64 big = 0;
  if (column >= PQnfields (row) || PQgetlength (row, 0, column) != sizeof big)
    return 0;
  memcpy (&big, PQgetvalue (row, 0, column), sizeof big);
  return (gint64)GUINT64_FROM_BE (big);
}

double
pgvector_read_float8 (const PGresult *row, int column)
{
  const guint64 bits = (guint64)pgvector_read_int8 (row, column);
  double number;
  memcpy (&number, &bits, sizeof number);
  return isfinite (number) ? number : 0;
}

RagifyUuid
pgvector_read_uuid (const PGresult *row, int column)
{
  RagifyUuid id = { { 0 } };
  if (column < PQnfields (row) && PQgetlength (row, 0, column) == sizeof id)
    memcpy (&id, PQgetvalue (row, 0, column), sizeof id);
  return id;
}

RagifyStr
pgvector_read_text (const PGresult *row, int column)
{
  if (column >= PQnfields (row))
    return ragify_str (NULL, 0);
  return ragify_str (PQgetvalue (row, 0, column), (gsize)PQgetlength (row, 0, column));
}

RagifyStr
pgvector_read_json (const PGresult *row, int column)
{
  const RagifyStr value = pgvector_read_text (row, column);
  return value.size > 1 ? ragify_str (value.data + 1, value.size - 1) : ragify_str (NULL, 0);
}

gboolean
pgvector_read_vector (const PGresult *row, int column, float *vector, guint32 dimension)
{
  const RagifyStr value = pgvector_read_text (row, column);
  guint16 found;
  if (value.size != 4 + 4 * (guint64)dimension)
    return FALSE;
  memcpy (&found, value.data, sizeof found);
  if (GUINT16_FROM_BE (found) != dimension)
    return FALSE;
  for (guint32 i = 0; i < dimension; i++) {
    guint32 bits;
    memcpy (&bits, value.data + 4 + 4 * (gsize)i, sizeof bits);
    bits = GUINT32_FROM_BE (bits);
    memcpy (&vector[i], &bits, sizeof bits);
    if (!isfinite (vector[i]))
      vector[i] = 0;
  }
  return TRUE;
}
