#include "postgres-session-private.h"

#include "postgres-fault.h"

#include <string.h>
#include <sys/ioctl.h>

/* How long the server may take to end a query whose deadline has passed, by its own statement_timeout … */
#define GRACE_US (guint64)300000
/* How long rows that nobody wants may go on coming before it is asked to stop: often they are on their way already. */
#define ENOUGH_US (guint64)10000
/* … and one that it was asked to cancel. */
#define CANCEL_US (5 * (guint64)G_USEC_PER_SEC)
#define CLOCKS_DIFFER_US (guint64)50000
#define TOO_LATE "PostgreSQL did not answer within the deadline"

static guint64
now (const RagifyPostgresSession *session)
{
  return session->options.host->clock_us ();
}

void
ragify_postgres_session_set_timer (RagifyPostgresSession *session, guint64 delay)
{
  session->until = now (session) + delay;
  session->options.loop->timer_restart (session->timer, delay);
}

static void
drop_watch (RagifyPostgresSession *session)
{
  if (session->watch != NULL)
    session->options.loop->watch_remove (session->watch);
  session->watch = NULL;
}

/* ---- how a query ends ---- */

static void
finish_query (RagifyPostgresSession *session, const RagifyFault *fault)
{
  RagifyPostgresQuery *query = g_steal_pointer (&session->query);
  if (query != NULL)
    query->done (query, fault);
}

/* The connection is of no use any more. */
static void
lose (RagifyPostgresSession *session)
{
  if (session->state == LOST)
    return;
  session->state = LOST;
  drop_watch (session);
  RagifyPostgresQuery *query = session->query;
  if (query != NULL && query->repeatable && !query->repeated && !session->anything && session->queries > 1) {
    query->repeated = true;
    session->lost = g_steal_pointer (&session->query);
  }
  finish_query (session, &session->fault);
  session->options.changed (session->options.user, session);
}

static void
lose_connection (RagifyPostgresSession *session)
{
  ragify_postgres_fault_connection (&session->fault, "the connection to PostgreSQL was lost", session->connection);
  session->fault.code = RAGIFY_E_UNAVAILABLE;
  lose (session);
}

/* Everything has come back. A cancel request that was not seen to strike could strike the next query, so only one that
 * was, and that has returned, leaves the session usable. */
static void
end_batch (RagifyPostgresSession *session)
{
  if (session->cancelled && session->cancel_seen && session->cancelling != NULL)
    return;
  const gboolean stray = session->cancelled && !session->cancel_seen;
  const gboolean required = session->state == SETTING && session->failed && session->options.setup_required;
  if (stray)
    ragify_fault_set (&session->fault, RAGIFY_E_CANCELLED, "closed after a query that was cancelled");
  if (required)
    session->fault.code = RAGIFY_E_INVALID; /* it will say so again */
  if (stray || required || session->stale || session->reset_failed) {
    lose (session);
    return;
  }
  session->state = FREE;
  session->idle_since = now (session);
  session->options.changed (session->options.user, session);
}

/* ---- cancelling ---- */

static void
cancelling_free (void *user)
{
  Cancelling *cancelling = user;
  PQfreeCancel (cancelling->cancel);
  g_free (cancelling);
}

static void
cancel_work (void *user)
{
  const Cancelling *cancelling = user;
  char error[256];
  (void)PQcancel (cancelling->cancel, error, sizeof error);
}

static void
cancel_finished (void *user)
{
  Cancelling *cancelling = user;
  RagifyPostgresSession *session = cancelling->session;
  cancelling_free (cancelling);
  if (session == NULL)
    return;
  session->cancelling = NULL;
  if (session->state == DRAINING && session->at == session->expected->len)
    end_batch (session);
}

static gboolean
send_cancel (RagifyPostgresSession *session)
{
  if (session->cancelled)
    return TRUE;
  Cancelling *cancelling = g_new0 (Cancelling, 1);
  cancelling->cancel = PQgetCancel (session->connection);
  cancelling->session = session;
  const RagifyErrand errand = {
    .work = cancel_work, .finished = cancel_finished, .orphaned = cancelling_free, .user = cancelling
  };
  if (cancelling->cancel == NULL || !ragify_errands_run (session->options.errands, &errand)) {
    cancelling_free (cancelling);
    return FALSE;
  }
  session->cancelling = cancelling;
  session->cancelled = TRUE;
  return TRUE;
}

/* ---- what comes back ---- */

/* To the next that is expected. Rows are to come one at a time, which libpq wants to be told before the first. */
static void
advance (RagifyPostgresSession *session)
{
  session->at++;
  if (session->at < session->expected->len &&
      g_array_index (session->expected, Expected, session->at).kind == EXPECT_STEP)
    (void)PQsetSingleRowMode (session->connection);
}

static bool
explain_row (RagifyPostgresSession *session)
{
  return ragify_fault_set (&session->fault, RAGIFY_E_EXHAUSTED,
                           "a row of more than %" G_GUINT64_FORMAT " bytes came; the connection was closed",
                           session->options.max_row);
}

static guint64
size_of_row (const PGresult *row)
{
  guint64 size = 0;
  for (int i = 0; i < PQnfields (row); i++)
    size += (guint64)PQgetlength (row, 0, i);
  return size;
}

static void
take_row (RagifyPostgresSession *session, guint step, const PGresult *row)
{
  RagifyPostgresQuery *query = session->query;
  session->unparsed = 0;
  session->anything = TRUE;
  if (query != NULL && size_of_row (row) > session->options.max_row) {
    session->oversized = !explain_row (session);
    return;
  }
  if (query == NULL || session->failed || query->row == NULL || query->row (query, step, row))
    return;
  finish_query (session, NULL);
  session->state = DRAINING;
  session->soft = TRUE;
  ragify_postgres_session_set_timer (session, ENOUGH_US);
}

/* The server ended a query that still runs: its statement_timeout is the deadline, to the millisecond; otherwise it was
 * somebody else. */
static bool
explain_cancel (RagifyPostgresSession *session)
{
  if (now (session) + CLOCKS_DIFFER_US >= session->query->deadline_us)
    return ragify_fault_set (&session->fault, RAGIFY_E_TIMEOUT, TOO_LATE);
  return ragify_fault_set (&session->fault, RAGIFY_E_UNAVAILABLE, "PostgreSQL: the query was cancelled on the server");
}

static void
take_error (RagifyPostgresSession *session, const Expected *expected, const PGresult *result)
{
  const char *state = PQresultErrorField (result, PG_DIAG_SQLSTATE);
  if (g_strcmp0 (state, "57014") == 0)
    session->cancel_seen = TRUE;
  /* What was prepared is gone (a pooler's doing) or its table has changed: another session prepares it anew. */
  if (g_strcmp0 (state, "26000") == 0 || g_strcmp0 (state, "0A000") == 0)
    session->stale = TRUE;
  if (expected->kind == EXPECT_SETTING && session->state == SETTING) {
    RagifyFault fault;
    ragify_postgres_fault_result (&fault, "", result);
    g_hash_table_add (session->refused, GUINT_TO_POINTER (expected->index));
    session->options.refused (session->options.user, expected->index, fault.message);
  }
  if (g_strcmp0 (state, "57014") == 0 && !session->failed && session->query != NULL)
    session->failed = !explain_cancel (session);
  else if (expected->kind == EXPECT_RESET)
    session->reset_failed = TRUE;
  else if (!session->failed)
    session->failed = !ragify_postgres_fault_result (
        &session->fault, expected->kind == EXPECT_SETTING ? "a setup statement was refused" : "", result);
}

static void
take_success (RagifyPostgresSession *session, const Expected *expected, const PGresult *result)
{
  RagifyPostgresQuery *query = session->query;
  if (expected->kind == EXPECT_PREPARED)
    g_hash_table_add (session->prepared, (gpointer)expected->name);
  if (expected->kind != EXPECT_STEP)
    return;
  session->anything = TRUE;
  if (query != NULL && query->step_done != NULL && !session->failed)
    query->step_done (query, expected->index, result);
}

/* The end of a round: what it did is committed, or undone with the settings that were part of it. */
static void
take_sync (RagifyPostgresSession *session)
{
  const Kind before = session->at > 0 ? g_array_index (session->expected, Expected, session->at - 1).kind : EXPECT_SYNC;
  if (before == EXPECT_RESET) {
    session->in_force = FALSE;
    session->timeout_ms = 0;
  } else if (session->state != SETTING) {
    session->in_force |= session->setting && !session->failed;
    if (session->failed)
      session->timeout_ms = RAGIFY_POSTGRES_NO_TIMEOUT_KNOWN;
    if (session->query != NULL && session->stale && session->query->repeatable && !session->query->repeated &&
        !session->anything) {
      session->query->repeated = true;
      session->lost = g_steal_pointer (&session->query);
    }
    finish_query (session, session->failed ? &session->fault : NULL);
    if (session->state == RUNNING)
      session->state = DRAINING;
  }
}

static void
take_result (RagifyPostgresSession *session, const PGresult *result)
{
  const Expected expected = g_array_index (session->expected, Expected, session->at);
  switch (PQresultStatus (result)) {
  case PGRES_SINGLE_TUPLE:
    take_row (session, expected.index, result);
    break;
  case PGRES_COMMAND_OK:
  case PGRES_TUPLES_OK:
    take_success (session, &expected, result);
    break;
  case PGRES_PIPELINE_SYNC:
    take_sync (session);
    advance (session);
    break;
  case PGRES_PIPELINE_ABORTED:
    break;
  case PGRES_COPY_IN:
  case PGRES_COPY_OUT:
  case PGRES_COPY_BOTH:
    session->stale = TRUE; /* COPY cannot be in a pipeline: the connection is of no use after it */
    session->failed = !ragify_fault_set (&session->fault, RAGIFY_E_INVALID, "COPY cannot be asked for here");
    break;
  default:
    take_error (session, &expected, result);
  }
}

/* Takes what libpq has read. False where the session was lost or handed over, and may be gone. */
static gboolean
process (RagifyPostgresSession *session)
{
  while (session->at < session->expected->len) {
    if (session->held && session->query != NULL)
      return TRUE;
    if (PQisBusy (session->connection))
      break;
    PGresult *result = PQgetResult (session->connection);
    if (result != NULL)
      take_result (session, result);
    else
      advance (session);
    PQclear (result);
    if (session->oversized) { /* with the connection goes the memory that libpq took for the row */
      lose (session);
      return FALSE;
    }
    if (PQstatus (session->connection) == CONNECTION_BAD) {
      lose_connection (session);
      return FALSE;
    }
  }
  if (session->at < session->expected->len)
    return TRUE;
  if (session->state != FREE) {
    end_batch (session);
    return FALSE;
  }
  return TRUE;
}

/* ---- the socket ---- */

void
ragify_postgres_session_flush (RagifyPostgresSession *session)
{
  const int left = PQflush (session->connection);
  const gboolean writing = left == 1;
  if (left < 0)
    ragify_postgres_session_set_timer (session, 0); /* told from the loop, not from inside a call */
  if (writing == session->writing || session->watch == NULL)
    return;
  session->writing = writing;
  session->options.loop->watch_set_events (session->watch, RAGIFY_FD_READ | (writing ? RAGIFY_FD_WRITE : 0));
}

/* Whether the row that is being read is too large already: libpq would take it into memory as a whole. */
static gboolean
row_is_too_large (RagifyPostgresSession *session)
{
  int waiting = 0;
  if (ioctl (PQsocket (session->connection), FIONREAD, &waiting) == 0 && waiting > 0)
    session->unparsed += (guint64)waiting;
  if (session->unparsed <= session->options.max_row)
    return FALSE;
  (void)explain_row (session);
  session->anything = TRUE;
  return TRUE;
}

static void
ready (void *user, int32_t fd, uint32_t events)
{
  RagifyPostgresSession *session = user;
  if (row_is_too_large (session)) {
    lose (session);
    return;
  }
  if (events & RAGIFY_FD_WRITE)
    ragify_postgres_session_flush (session);
  if (PQconsumeInput (session->connection) == 0) {
    lose_connection (session);
    return;
  }
  const guint before = session->at;
  if (process (session) && session->at != before)
    session->unparsed = 0;
}

static void
watch (RagifyPostgresSession *session)
{
  if (session->watch != NULL)
    return;
  session->watch =
      session->options.loop->watch_new (session->options.context, PQsocket (session->connection),
                                        RAGIFY_FD_READ | (session->writing ? RAGIFY_FD_WRITE : 0), ready, session);
}

void
ragify_postgres_session_hold (RagifyPostgresSession *session, bool held)
{
  if (session->held == held || session->state == LOST)
    return;
  session->held = held;
  if (held) {
    drop_watch (session);
    return;
  }
  watch (session);
  (void)process (session);
}

/* ---- time ---- */

void
ragify_postgres_session_late (RagifyPostgresSession *session)
{
  RagifyFault fault;
  ragify_fault_set (&fault, RAGIFY_E_TIMEOUT, TOO_LATE);
  session->state = DRAINING;
  session->held = FALSE;
  watch (session);
  ragify_postgres_session_set_timer (session, GRACE_US);
  finish_query (session, &fault);
}

static void
expired (void *user)
{
  RagifyPostgresSession *session = user;
  const guint64 at = now (session);
  if (session->state == LOST)
    return;
  if (PQstatus (session->connection) == CONNECTION_BAD) {
    lose_connection (session);
    return;
  }
  if (session->state == FREE)
    return;
  if (at < session->until) {
    session->options.loop->timer_restart (session->timer, session->until - at);
    return;
  }
  if (session->state == RUNNING && session->query != NULL) {
    ragify_postgres_session_late (session);
    return;
  }
  if (session->soft) {
    session->soft = FALSE;
    ragify_postgres_session_set_timer (session, send_cancel (session) ? CANCEL_US : 0);
    return;
  }
  (void)send_cancel (session);
  ragify_fault_set (&session->fault, RAGIFY_E_UNAVAILABLE,
                    session->state == SETTING ? "PostgreSQL did not answer to the setup statements"
                                              : "closed: PostgreSQL did not end a query that was out of time");
  lose (session);
}

void
ragify_postgres_session_abandon (RagifyPostgresSession *session)
{
  session->query = NULL;
  if (session->state != RUNNING)
    return;
  session->state = DRAINING;
  session->held = FALSE;
  watch (session);
  /* Where no request can be sent, closing the connection is what is left. */
  ragify_postgres_session_set_timer (session, send_cancel (session) ? CANCEL_US : 0);
}

/* ---- making and ending ---- */

RagifyPostgresSession *
ragify_postgres_session_new (const RagifyPostgresSessionOptions *options, PGconn *connection)
{
  RagifyPostgresSession *session = g_new0 (RagifyPostgresSession, 1);
  session->options = *options;
  session->connection = connection;
  session->expected = g_array_new (FALSE, FALSE, sizeof (Expected));
  session->prepared = g_hash_table_new (g_str_hash, g_str_equal);
  session->refused = g_hash_table_new (NULL, NULL);
  session->timeout_ms = RAGIFY_POSTGRES_NO_TIMEOUT_KNOWN;
  session->timer = options->loop->timer_new (options->context, CANCEL_US, 0, expired, session);
  watch (session);
  ragify_postgres_session_send_settings (session);
  return session;
}

void
ragify_postgres_session_free (RagifyPostgresSession *session)
{
  if (session == NULL)
    return;
  if (session->cancelling != NULL)
    session->cancelling->session = NULL;
  drop_watch (session);
  session->options.loop->timer_remove (session->timer);
  PQfinish (session->connection);
  g_array_unref (session->expected);
  g_hash_table_unref (session->prepared);
  g_hash_table_unref (session->refused);
  g_free (session);
}

bool
ragify_postgres_session_is_free (const RagifyPostgresSession *session)
{
  return session->state == FREE;
}

const RagifyFault *
ragify_postgres_session_fault (const RagifyPostgresSession *session)
{
  return session->state == LOST ? &session->fault : NULL;
}

RagifyPostgresQuery *
ragify_postgres_session_take_lost (RagifyPostgresSession *session)
{
  return g_steal_pointer (&session->lost);
}

int
ragify_postgres_session_version (const RagifyPostgresSession *session)
{
  return PQserverVersion (session->connection);
}

uint64_t
ragify_postgres_session_queries (const RagifyPostgresSession *session)
{
  return session->queries;
}

uint64_t
ragify_postgres_session_idle_since (const RagifyPostgresSession *session)
{
  return session->idle_since;
}
