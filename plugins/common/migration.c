#include "migration.h"

#include <stddef.h>

static const RagifyMigration *
find_step (const RagifyMigration *steps, int64_t from)
{
  for (const RagifyMigration *step = steps; step->sql != NULL; step++)
    if (step->from == from)
      return step;
  return NULL;
}

/* The oldest format from which an unbroken row of steps leads to `wanted`. */
static int64_t
oldest_format (const RagifyMigration *steps, int64_t wanted)
{
  while (find_step (steps, wanted - 1) != NULL)
    wanted--;
  return wanted;
}

static bool
take_step (RagifyConnection *connection, const RagifyMigration *step,
           bool (*note) (RagifyConnection *connection, int64_t format, RagifyFault *fault), RagifyFault *fault)
{
  if (!ragify_connection_execute (connection, "BEGIN IMMEDIATE", fault))
    return false;
  if (ragify_connection_execute (connection, step->sql, fault) && note (connection, step->from + 1, fault) &&
      ragify_connection_execute (connection, "COMMIT", fault))
    return true;
  RagifyFault ignored;
  if (ragify_connection_busy (connection))
    (void)ragify_connection_execute (connection, "ROLLBACK", &ignored);
  return false;
}

bool
ragify_migration_run (RagifyConnection *connection, const RagifyMigration *steps, int64_t found, int64_t wanted,
                      bool (*note) (RagifyConnection *connection, int64_t format, RagifyFault *fault),
                      RagifyFault *fault)
{
  const int64_t oldest = oldest_format (steps, wanted);
  if (found < oldest || found > wanted)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "expected format %lld to %lld, found %lld", (long long)oldest,
                             (long long)wanted, (long long)found);
  for (int64_t format = found; format < wanted; format++)
    if (!take_step (connection, find_step (steps, format), note, fault))
      return false;
  return true;
}
