/* What a session sends: settings, preparations and steps as one pipeline. */
#include "postgres-session-private.h"

#include <string.h>

#define SETUP_TIMEOUT_US (10 * (guint64)G_USEC_PER_SEC)

static guint64
now (const RagifyPostgresSession *session)
{
  return session->options.host->clock_us ();
}

static void
expect (RagifyPostgresSession *session, Kind kind, guint index)
{
  const Expected expected = { .kind = kind, .index = index };
  g_array_append_val (session->expected, expected);
}

static gboolean
send_text (RagifyPostgresSession *session, const char *sql, Kind kind, guint index)
{
  expect (session, kind, index);
  return PQsendQueryParams (session->connection, sql, 0, NULL, NULL, NULL, NULL, 0) == 1;
}

static gboolean
send_sync (RagifyPostgresSession *session)
{
  expect (session, EXPECT_SYNC, 0);
  return PQpipelineSync (session->connection) == 1;
}

/* A database without an encoding may hold any bytes; asked for UTF-8, its server would refuse to send some. */
static gboolean
send_encoding (RagifyPostgresSession *session)
{
  if (g_strcmp0 (PQparameterStatus (session->connection, "server_encoding"), "SQL_ASCII") != 0)
    return TRUE;
  return send_text (session, "SET client_encoding = 'SQL_ASCII'", EXPECT_OWN, 0);
}

static gboolean
send_settings (RagifyPostgresSession *session)
{
  gboolean good = send_encoding (session);
  session->setting = TRUE;
  for (guint i = 0; session->options.setup[i] != NULL && good; i++)
    if (!g_hash_table_contains (session->refused, GUINT_TO_POINTER (i)))
      good = send_text (session, session->options.setup[i], EXPECT_SETTING, i);
  return good;
}

/* Milliseconds, rounded up to five significant bits: most queries find the value of the one before them. */
static guint
timeout_for (const RagifyPostgresSession *session, guint64 deadline)
{
  const guint64 at = now (session);
  guint64 ms = deadline > at ? (deadline - at + 999) / 1000 : 1;
  ms = CLAMP (ms, 1, G_MAXINT / 2);
  const guint bits = g_bit_storage ((gulong)ms);
  const guint shift = bits > 5 ? bits - 5 : 0;
  return (guint)((ms + (1u << shift) - 1) >> shift << shift);
}

static gboolean
send_timeout (RagifyPostgresSession *session, guint64 deadline)
{
  const guint ms = timeout_for (session, deadline);
  if (ms == session->timeout_ms)
    return TRUE;
  char sql[64];
  (void)g_snprintf (sql, sizeof sql, "SET statement_timeout = %u", ms);
  session->timeout_ms = ms;
  return send_text (session, sql, EXPECT_OWN, 0);
}

/* Prepared, or about to be by an earlier step of the same query. */
static gboolean
is_prepared (const RagifyPostgresSession *session, guint index)
{
  const RagifyPostgresStep *steps = session->query->steps;
  for (guint i = 0; i < index; i++)
    if (steps[i].name != NULL && strcmp (steps[i].name, steps[index].name) == 0)
      return TRUE;
  return g_hash_table_contains (session->prepared, steps[index].name);
}

static gboolean
send_step (RagifyPostgresSession *session, guint index)
{
  const RagifyPostgresStep *step = &session->query->steps[index];
  PGconn *connection = session->connection;
  if (step->name == NULL) {
    expect (session, EXPECT_STEP, index);
    return PQsendQueryParams (connection, step->sql, step->count, NULL, step->values, step->lengths, step->formats,
                              step->result_format) == 1;
  }
  if (!is_prepared (session, index)) {
    expect (session, EXPECT_PREPARED, index);
    g_array_index (session->expected, Expected, session->expected->len - 1).name = step->name;
    if (PQsendPrepare (connection, step->name, step->sql, 0, NULL) != 1)
      return FALSE;
  }
  expect (session, EXPECT_STEP, index);
  return PQsendQueryPrepared (connection, step->name, step->count, step->values, step->lengths, step->formats,
                              step->result_format) == 1;
}

static void
begin_batch (RagifyPostgresSession *session, State state)
{
  g_array_set_size (session->expected, 0);
  session->at = 0;
  session->state = state;
  session->failed = session->reset_failed = session->anything = session->setting = FALSE;
  session->cancelled = session->cancel_seen = session->held = session->soft = FALSE;
  session->unparsed = 0;
}

/* All of it is on its way, or the connection is lost, which the timer tells. */
static void
sent (RagifyPostgresSession *session, gboolean good)
{
  if (session->expected->len > 0 && g_array_index (session->expected, Expected, 0).kind == EXPECT_STEP)
    (void)PQsetSingleRowMode (session->connection);
  if (good)
    ragify_postgres_session_flush (session);
  else
    ragify_postgres_session_set_timer (session, 0);
}

void
ragify_postgres_session_run (RagifyPostgresSession *session, RagifyPostgresQuery *query)
{
  gboolean good = TRUE;
  begin_batch (session, RUNNING);
  session->query = query;
  session->queries++;
  const guint64 at = now (session);
  if (!session->in_force)
    good = send_settings (session);
  good = good && send_timeout (session, query->deadline_us);
  for (guint i = 0; i < query->n_steps && good; i++)
    good = send_step (session, i);
  good = good && send_sync (session);
  if (session->options.reset)
    good = good && send_text (session, "RESET ALL", EXPECT_RESET, 0) && send_sync (session);
  ragify_postgres_session_set_timer (session, query->deadline_us > at ? query->deadline_us - at : 0);
  sent (session, good);
}

void
ragify_postgres_session_send_settings (RagifyPostgresSession *session)
{
  begin_batch (session, SETTING);
  gboolean good = send_encoding (session) && send_sync (session);
  for (guint i = 0; session->options.setup[i] != NULL && good; i++)
    good = send_text (session, session->options.setup[i], EXPECT_SETTING, i) && send_sync (session);
  session->in_force = TRUE;
  ragify_postgres_session_set_timer (session, SETUP_TIMEOUT_US);
  sent (session, good);
}
