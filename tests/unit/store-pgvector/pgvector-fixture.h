/* The fixture's part that is about the plugin `pgvector`: one real server, whose tables go before each test. */
#ifndef PGVECTOR_FIXTURE_H
#define PGVECTOR_FIXTURE_H

#include "server.h"
#include "store-fixture.h"

/* Of the test's process. */
RagifyTestPostgres *fixture_server (void);

/* Opens another instance of the store, as another host would; NULL with the kit's error. */
RagifyKitInstance *fixture_open_another (Fixture *fixture, const char *kind, const char *const *more_config,
                                         const RagifyEmbedderInfo *embedder);

#endif
