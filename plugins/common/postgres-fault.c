#include "postgres-fault.h"

#include <stdio.h>
#include <string.h>

typedef struct Class {
  const char *prefix;
  int32_t code;
} Class;

/* The first that fits. */
static const Class classes[] = {
  { "57014", RAGIFY_E_TIMEOUT }, /* a cancel request is told apart by who sent it */
  { "42501", RAGIFY_E_UNAUTHORIZED }, { "42P01", RAGIFY_E_NOT_FOUND },
  { "42703", RAGIFY_E_NOT_FOUND },    { "42883", RAGIFY_E_NOT_FOUND },
  { "3D000", RAGIFY_E_NOT_FOUND },    { "3F000", RAGIFY_E_NOT_FOUND },
  { "28", RAGIFY_E_UNAUTHORIZED },    { "08", RAGIFY_E_UNAVAILABLE },
  { "25006", RAGIFY_E_UNAVAILABLE }, /* a standby */
  { "40", RAGIFY_E_UNAVAILABLE },     { "55", RAGIFY_E_UNAVAILABLE },
  { "57", RAGIFY_E_UNAVAILABLE },     { "53", RAGIFY_E_EXHAUSTED },
  { "54", RAGIFY_E_EXHAUSTED },       { "22", RAGIFY_E_INVALID },
  { "0A", RAGIFY_E_INVALID },         { "42", RAGIFY_E_INVALID },
};

int32_t
ragify_postgres_fault_code (const char *sqlstate)
{
  if (sqlstate == NULL)
    return RAGIFY_E_UNAVAILABLE;
  for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
    if (strncmp (sqlstate, classes[i].prefix, strlen (classes[i].prefix)) == 0)
      return classes[i].code;
  return RAGIFY_E_INTERNAL;
}

/* One line of the text, without its end. */
static int
first_line (const char *text)
{
  return (int)strcspn (text, "\r\n");
}

bool
ragify_postgres_fault_result (RagifyFault *fault, const char *what, const PGresult *result)
{
  const char *state = PQresultErrorField (result, PG_DIAG_SQLSTATE);
  const char *primary = PQresultErrorField (result, PG_DIAG_MESSAGE_PRIMARY);
  const char *hint = PQresultErrorField (result, PG_DIAG_MESSAGE_HINT);
  const char *text = primary != NULL ? primary : PQresultErrorMessage (result);
  if (text == NULL || text[0] == '\0')
    text = "it said something that is no answer";
  ragify_fault_set (fault, ragify_postgres_fault_code (state), "%s%sPostgreSQL: %.*s%s%.*s%s%s%s", what,
                    what[0] != '\0' ? ": " : "", first_line (text), text, hint != NULL ? ". " : "",
                    hint != NULL ? first_line (hint) : 0, hint != NULL ? hint : "", state != NULL ? " (" : "",
                    state != NULL ? state : "", state != NULL ? ")" : "");
  return false;
}

/* libpq 15 keeps no SQLSTATE of a connection that was refused. Its messages are in the server's language, so that only
 * the words of libpq itself and the most usual English ones can be told apart. */
static int32_t
code_of_refusal (const PGconn *connection, const char *text)
{
  if (PQconnectionNeedsPassword (connection) || PQconnectionUsedPassword (connection)) {
    if (strstr (text, "password") != NULL)
      return RAGIFY_E_UNAUTHORIZED;
  }
  if (strstr (text, "authentication") != NULL || strstr (text, "pg_hba.conf") != NULL ||
      strstr (text, "not permitted to log in") != NULL ||
      (strstr (text, "role \"") != NULL && strstr (text, "does not exist") != NULL))
    return RAGIFY_E_UNAUTHORIZED;
  if (strstr (text, "database \"") != NULL && strstr (text, "does not exist") != NULL)
    return RAGIFY_E_NOT_FOUND;
  if (strstr (text, "too many clients") != NULL || strstr (text, "connection slots") != NULL ||
      strstr (text, "too many connections") != NULL)
    return RAGIFY_E_EXHAUSTED;
  return RAGIFY_E_UNAVAILABLE;
}

/* The last line says why; the others which attempts came before. */
bool
ragify_postgres_fault_connection (RagifyFault *fault, const char *where, const PGconn *connection)
{
  const char *text = connection != NULL ? PQerrorMessage (connection) : "memory is exhausted";
  const char *failed = strstr (text, "failed: ");
  const int32_t code = connection != NULL ? code_of_refusal (connection, text) : RAGIFY_E_EXHAUSTED;
  if (failed != NULL)
    text = failed + strlen ("failed: ");
  if (strncmp (text, "FATAL:  ", 8) == 0)
    text += 8;
  ragify_fault_set (fault, code, "%s: %.*s", where, first_line (text), text[0] != '\0' ? text : "no connection");
  return false;
}
