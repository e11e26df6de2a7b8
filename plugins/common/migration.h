/* Brings a SQLite file of an older format to today's, one format after the other. */
#ifndef RAGIFY_MIGRATION_H
#define RAGIFY_MIGRATION_H

#include "connection.h"

/* From one format to the next. Statements must work on every file of that format. */
typedef struct RagifyMigration {
  int64_t from;    /* leads to from + 1 */
  const char *sql; /* any number of statements, without a transaction of their own */
} RagifyMigration;

/* Takes every step from the format `found` to `wanted`, each in a transaction of its own that ends with `note` saying
 * the new format: a process that is killed in between leaves a file of a format that is whole. `steps`: in any order,
 * ended by one without SQL. False with a fault, and the file as it was at the step that failed, where a step is missing
 * (INVALID: the fault says which formats can be read) or does not succeed. On the writing connection. */
bool ragify_migration_run (RagifyConnection *connection, const RagifyMigration *steps, int64_t found, int64_t wanted,
                           bool (*note) (RagifyConnection *connection, int64_t format, RagifyFault *fault),
                           RagifyFault *fault);

#endif
