/* What the tests of source-postgres share: one real server, the plugin through the kit.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <glib.h>

#include "kit.h"
#include "server.h"

#define MOST_INSTANCES 4

typedef struct Fixture {
  RagifyTestPostgres *server;
  RagifyKit *kit;
  RagifyKitInstance *source; /* the last that was opened */
  RagifyKitInstance *opened[MOST_INSTANCES];
  guint n_opened;
} Fixture;

/* Of the group: the server, with the table `documents`. `*state` becomes the server. */
int fixture_start_server (void **state);
int fixture_stop_server (void **state);

/* Of one test: `*state`, the server, becomes a Fixture, and the server again. Tearing down checks that the kit saw no
 * fault and that no descriptor and no connection was left behind. */
int fixture_set_up (void **state);
int fixture_tear_down (void **state);

/* Opens the source with the server's dsn and the keys that follow, ended by NULL. */
void fixture_open (Fixture *fixture, const char *first, ...) G_GNUC_NULL_TERMINATED;
/* The same with another dsn, component and place among instances; returns the error, NULL where there is none. */
char *fixture_try (Fixture *fixture, const char *component, const char *dsn, const RagifyKitNode *node,
                   const char *const *keys);
void fixture_close (Fixture *fixture);

RagifyKitCall *fixture_ask (Fixture *fixture, const char *text, guint top_k, guint64 timeout_us);
RagifyKitCall *fixture_begin (Fixture *fixture, RagifySourceQuery *query, const char *text, guint64 timeout_us);
/* The document ids that a query finds, joined by blanks. */
char *fixture_found (Fixture *fixture, const char *text);
void fixture_finds (Fixture *fixture, const char *text, const char *expected);
const RagifyChunk *fixture_chunk (const RagifyKitCall *call, guint index);
/* Fails unless the call failed with this code and its message has `part` in it; frees it. */
void fixture_fails (RagifyKitCall *call, gint32 code, const char *part);

/* A number of the source's stats. */
gint64 fixture_stat (Fixture *fixture, const char *name);
/* Waits until SQL gives this number; fails after 20 s. */
void fixture_await (Fixture *fixture, const char *sql, gint64 expected);
/* Connections of sources to the server that run something now. */
#define ACTIVE "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ragify' AND state = 'active'"
#define CONNECTED "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ragify'"
