/* One instance of the source: its pool, its statement, and the asking. */
#ifndef POSTGRES_SOURCE_H
#define POSTGRES_SOURCE_H

#include <ragify/ragify.h>

#include "postgres-pool.h"
#include "statement.h"

typedef struct PostgresSource {
  const RagifyHost *host;
  RagifyContext *context;
  RagifyPostgresPool *pool;
  RagifyColumnNames columns;
  gboolean usual_names; /* a statement of the assembler's: columns count by their usual names as well */
  gboolean first;       /* of the node's instances: says what is to be said once */
  char *table;
  PostgresStatement statement;
  PostgresStatement first_page, next_page; /* of a scan; without SQL where the table cannot be scanned, and then … */
  RagifyFault no_scan;                     /* … why */
  char *explain;                           /* what a probe asks */
  guint64 max_result;                      /* bytes of one query's rows */
  guint32 told;                            /* problems that were warned of */
} PostgresSource;

/* [control] Fills what is configured. */
gboolean postgres_source_configure (PostgresSource *source, const RagifyInstance *which, gboolean with_embedding,
                                    RagifyFault *fault);

/* [loop] The operations. */
void postgres_source_query (void *instance, RagifyCall *call, const RagifySourceQuery *args);
void postgres_source_scan (void *instance, RagifyCall *call, const RagifySourceScan *args);
/* `failed` runs on a fault instead of the call's end; NULL: none. */
void postgres_source_probe (void *instance, RagifyCall *call, const RagifyNothing *args);

#endif
