/* A real PostgreSQL for tests and benchmarks: a cluster of its own in a temporary folder, on a free port of the
 * loopback interface and a Unix socket, as an unprivileged user where the test runs as root. It ends with the test.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <glib.h>
#include <libpq-fe.h>

typedef struct RagifyTestPostgres RagifyTestPostgres;

/* Makes the cluster and starts the server; `options` are more arguments of postgres, such as "-c", "ssl=on", ended by
 * NULL (NULL: none). NULL with a reason on stderr where PostgreSQL is not installed or does not start. The newest of
 * /usr/lib/postgresql is taken, or the folder that RAGIFY_TEST_POSTGRES names. */
RagifyTestPostgres *ragify_test_postgres_new (const char *const *options);
/* The same of a server that has the extension `vector`: a package of the distribution's, or the one that comes with the
 * tests' Python packages, whose folder RAGIFY_TEST_PYTHON names. */
RagifyTestPostgres *ragify_test_postgres_new_with_vector (const char *const *options);
/* Stops it and removes the folder. */
void ragify_test_postgres_free (RagifyTestPostgres *server);

/* Stops it at once, as a crash would (SIGQUIT), and starts it again on the same port. */
void ragify_test_postgres_stop (RagifyTestPostgres *server);
gboolean ragify_test_postgres_start (RagifyTestPostgres *server);
/* Signals the server and every process of it: SIGSTOP, SIGCONT. */
void ragify_test_postgres_signal (RagifyTestPostgres *server, int signal);

guint ragify_test_postgres_port (const RagifyTestPostgres *server);
const char *ragify_test_postgres_folder (const RagifyTestPostgres *server);

/* "host=127.0.0.1 port=… dbname=… user=ragify"; free with g_free. */
char *ragify_test_postgres_dsn (const RagifyTestPostgres *server, const char *database);
PGconn *ragify_test_postgres_connect (const RagifyTestPostgres *server, const char *database);

/* Runs SQL in database `postgres` and returns the first value of its last result ("" where it has none); ends the test
 * where it fails. Free with g_free. */
char *ragify_test_postgres_ask (const RagifyTestPostgres *server, const char *sql);
/* The same for a number. */
gint64 ragify_test_postgres_count (const RagifyTestPostgres *server, const char *sql);
void ragify_test_postgres_run (const RagifyTestPostgres *server, const char *sql);
