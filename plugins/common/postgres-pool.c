#include "postgres-pool.h"

#include "postgres-connector.h"
#include "postgres-fault.h"
#include "postgres-session.h"

#include <glib.h>
#include <string.h>

/* Connections that may be under way at once, of an instance: a server that comes back is not stormed. */
#define MOST_CONNECTING 4u
/* Cancel requests and look-ups under way at once, of an instance. */
#define MOST_ERRANDS 8u
#define TEND_US (guint64)1000000
#define LONGEST_BACK_OFF_US (30 * (guint64)G_USEC_PER_SEC)
#define FIRST_BACK_OFF_US (guint64)250000
/* More than there can be loops. */
#define DEMANDS 4096u

struct RagifyPostgresPool {
  const RagifyHost *host;
  RagifyContext *context;
  const RagifyLoopExtension *loop;
  const RagifyQuotaExtension *quotas;
  RagifyPostgresTarget *target;
  RagifyErrands *errands;
  RagifyNames *names;
  char **setup;
  gboolean *reported; /* settings whose refusal was told */
  RagifyPostgresPoolOptions options;
  guint warm, share; /* of this instance: connections to keep, and how many it may have while others want some */
  RagifyQuota *connections;
  RagifyQuota *demands; /* what is left of it: loops that want another one's idle connection */
  GPtrArray *sessions;
  GQueue idle; /* of sessions; the one used last is first */
  GPtrArray *connectors;
  RagifyPostgresQuery *first, **last; /* that wait */
  guint waiting;
  RagifyTimer *tend_timer, *wait_timer;
  guint64 wait_until, back_off, next_warm;
  gboolean wants_quota, demanding, heeding, asked, stopped;
  void (*started) (void *user, const RagifyFault *fault);
  void *started_user;
  RagifyFault fault; /* of the last attempt to connect */
  RagifyPostgresPoolCounts counts;
};

static void serve (RagifyPostgresPool *pool);
static void grow (RagifyPostgresPool *pool, gboolean yields);

static guint64
now (const RagifyPostgresPool *pool)
{
  return pool->host->clock_us ();
}

static guint
total (const RagifyPostgresPool *pool)
{
  return pool->sessions->len + pool->connectors->len;
}

/* ---- queries that wait ---- */

static void
push_waiting (RagifyPostgresPool *pool, RagifyPostgresQuery *query, gboolean in_front)
{
  query->waiting = true;
  pool->waiting++;
  if (in_front) {
    query->next = pool->first;
    pool->first = query;
    if (query->next == NULL)
      pool->last = &query->next;
    return;
  }
  query->next = NULL;
  *pool->last = query;
  pool->last = &query->next;
}

static void
remove_waiting (RagifyPostgresPool *pool, RagifyPostgresQuery *query)
{
  RagifyPostgresQuery **at = &pool->first;
  while (*at != query)
    at = &(*at)->next;
  *at = query->next;
  if (query->next == NULL)
    pool->last = at;
  query->waiting = false;
  pool->waiting--;
}

static void
fail_waiting (RagifyPostgresPool *pool, RagifyPostgresQuery *query, const RagifyFault *fault)
{
  remove_waiting (pool, query);
  query->done (query, fault);
}

static void
fail_all_waiting (RagifyPostgresPool *pool, const RagifyFault *fault)
{
  for (guint n = pool->waiting; n > 0 && pool->first != NULL; n--) /* not those that are asked meanwhile */
    fail_waiting (pool, pool->first, fault);
}

static void
set_wait_timer (RagifyPostgresPool *pool, guint64 deadline)
{
  const guint64 at = now (pool);
  if (pool->wait_until > at && pool->wait_until <= deadline)
    return;
  pool->wait_until = MAX (deadline, at + 1);
  pool->loop->timer_restart (pool->wait_timer, pool->wait_until - at);
}

static void
fail_late (RagifyPostgresPool *pool, RagifyPostgresQuery *query)
{
  RagifyFault fault;
  pool->counts.timeouts++;
  if (pool->sessions->len > 0)
    ragify_fault_set (&fault, RAGIFY_E_TIMEOUT, "no connection became free within the deadline (%u of %u are in use)",
                      (guint)pool->quotas->in_use (pool->connections), pool->options.max_size);
  else
    ragify_fault_set (&fault, RAGIFY_E_TIMEOUT, "no connection could be made within the deadline");
  fail_waiting (pool, query, &fault);
}

static void
wait_expired (void *user)
{
  RagifyPostgresPool *pool = user;
  const guint64 at = now (pool);
  guint64 next = G_MAXUINT64;
  for (RagifyPostgresQuery *query = pool->first, *after; query != NULL; query = after) {
    after = query->next;
    if (query->deadline_us <= at)
      fail_late (pool, query);
    else
      next = MIN (next, query->deadline_us);
  }
  if (next != G_MAXUINT64)
    set_wait_timer (pool, next);
}

/* ---- connections between loops ---- */

static void
heed (void *user)
{
  RagifyPostgresPool *pool = user;
  pool->heeding = FALSE;
  pool->asked = TRUE;
  if (!pool->stopped)
    serve (pool);
}

/* Another loop wants one, and this one can spare it; where there are fewer connections than loops they go round, each
 * time after a query at least. */
static gboolean
gives_up_one (RagifyPostgresPool *pool)
{
  const gboolean goes_round = pool->options.max_size < pool->options.which->count &&
                              ragify_postgres_session_queries (g_queue_peek_tail (&pool->idle)) > 0;
  if (!pool->asked || (pool->waiting > 0 && pool->sessions->len <= pool->share && !goes_round))
    return FALSE;
  pool->asked = pool->quotas->try_acquire (pool->demands, 1) == 1;
  return pool->asked;
}

/* Has this loop told when another one wants a connection, for as long as it has any. */
static void
listen_for_demands (RagifyPostgresPool *pool)
{
  if (pool->options.which->count <= 1 || pool->heeding || pool->asked || pool->stopped || pool->sessions->len == 0)
    return;
  pool->heeding = TRUE;
  pool->quotas->notify_release (pool->context, pool->demands, 1, heed, pool);
}

static void
demand (RagifyPostgresPool *pool, gboolean wanted)
{
  if (wanted == pool->demanding || pool->options.which->count <= 1)
    return;
  if (wanted)
    pool->quotas->release (pool->demands, 1);
  else
    (void)pool->quotas->try_acquire (pool->demands, 1); /* unless it was heeded just now */
  pool->demanding = wanted;
}

/* ---- sessions ---- */

static void
drop_session (RagifyPostgresPool *pool, RagifyPostgresSession *session)
{
  g_queue_remove (&pool->idle, session);
  g_ptr_array_remove_fast (pool->sessions, session);
  ragify_postgres_session_free (session);
  pool->quotas->release (pool->connections, 1);
}

static void
tell_started (RagifyPostgresPool *pool, const RagifyFault *fault)
{
  void (*started) (void *, const RagifyFault *) = g_steal_pointer (&pool->started);
  if (started != NULL)
    started (pool->started_user, fault);
}

static void
session_is_free (RagifyPostgresPool *pool, RagifyPostgresSession *session)
{
  const guint64 queries = ragify_postgres_session_queries (session);
  pool->back_off = 0;
  pool->counts.server_version = ragify_postgres_session_version (session);
  if (pool->options.max_queries > 0 && queries >= pool->options.max_queries) {
    pool->counts.recycled++;
    drop_session (pool, session);
  } else {
    g_queue_push_head (&pool->idle, session);
  }
  tell_started (pool, NULL);
}

static void
no_connection (RagifyPostgresPool *pool)
{
  pool->counts.refusals++;
  pool->back_off = CLAMP (2 * pool->back_off, FIRST_BACK_OFF_US, LONGEST_BACK_OFF_US);
  pool->next_warm = now (pool) + pool->back_off;
  tell_started (pool, &pool->fault);
  /* With others at work those who wait may yet be served. */
  if (pool->sessions->len == 0 && pool->connectors->len == 0)
    fail_all_waiting (pool, &pool->fault);
}

static void
session_changed (void *user, RagifyPostgresSession *session)
{
  RagifyPostgresPool *pool = user;
  const RagifyFault *fault = ragify_postgres_session_fault (session);
  if (fault == NULL) {
    session_is_free (pool, session);
    serve (pool);
    return;
  }
  const gboolean never_used = ragify_postgres_session_queries (session) == 0;
  pool->fault = *fault;
  RagifyPostgresQuery *lost = ragify_postgres_session_take_lost (session);
  if (lost != NULL)
    push_waiting (pool, lost, TRUE);
  const gboolean was_idle = g_queue_find (&pool->idle, session) != NULL;
  drop_session (pool, session);
  pool->counts.lost++;
  if (never_used && !was_idle)
    no_connection (pool);
  serve (pool);
}

static void
setting_refused (void *user, unsigned int setting, const char *reason)
{
  RagifyPostgresPool *pool = user;
  if (pool->reported[setting] || (pool->options.which->index > 0 && !pool->options.setup_required))
    return;
  pool->reported[setting] = TRUE;
  g_autofree char *text = g_strdup_printf ("setup statement '%s' was refused%s: %s", pool->setup[setting],
                                           pool->options.setup_required ? "" : "; going on without it", reason);
  pool->host->log (pool->context, RAGIFY_LOG_WARNING, ragify_str_from (text));
}

static void
connected (void *user, RagifyPostgresConnector *connector, PGconn *connection, const RagifyFault *fault)
{
  RagifyPostgresPool *pool = user;
  if (fault != NULL)
    pool->fault = *fault;
  g_ptr_array_remove_fast (pool->connectors, connector);
  ragify_postgres_connector_free (connector);
  if (connection == NULL) {
    pool->quotas->release (pool->connections, 1);
    no_connection (pool);
    serve (pool);
    return;
  }
  pool->counts.connects++;
  const RagifyPostgresSessionOptions options = {
    .host = pool->host,
    .context = pool->context,
    .loop = pool->loop,
    .errands = pool->errands,
    .setup = (const char *const *)pool->setup,
    .setup_required = pool->options.setup_required,
    .reset = pool->options.reset,
    .max_row = pool->options.max_row,
    .changed = session_changed,
    .refused = setting_refused,
    .user = pool,
  };
  g_ptr_array_add (pool->sessions, ragify_postgres_session_new (&options, connection));
}

/* ---- growing ---- */

static void
quota_available (void *user)
{
  RagifyPostgresPool *pool = user;
  pool->wants_quota = FALSE;
  pool->demanding = FALSE; /* it was heeded; where another loop was faster, it is made anew */
  if (!pool->stopped)
    serve (pool);
}

static gboolean
connect_one (RagifyPostgresPool *pool)
{
  if (pool->quotas->try_acquire (pool->connections, 1) == 0)
    return FALSE;
  const guint64 own = ragify_postgres_target_timeout_us (pool->target);
  const RagifyPostgresConnectorOptions options = {
    .host = pool->host,
    .context = pool->context,
    .loop = pool->loop,
    .target = pool->target,
    .names = pool->names,
    .timeout_us = own != 0 ? own : pool->options.connect_timeout_us,
    .done = connected,
    .user = pool,
  };
  g_ptr_array_add (pool->connectors, ragify_postgres_connector_new (&options));
  return TRUE;
}

/* Connections that are on their way. */
static guint
settling (const RagifyPostgresPool *pool)
{
  guint count = pool->connectors->len;
  for (guint i = 0; i < pool->sessions->len; i++) {
    const RagifyPostgresSession *session = g_ptr_array_index (pool->sessions, i);
    count += ragify_postgres_session_queries (session) == 0 && !ragify_postgres_session_is_free (session);
  }
  return count;
}

/* As many as there are queries that no connection is on its way for. `yields`: after those who wait for one already. */
static void
grow (RagifyPostgresPool *pool, gboolean yields)
{
  while (pool->waiting > settling (pool) && pool->connectors->len < MOST_CONNECTING) {
    if (!yields && connect_one (pool))
      continue;
    if (!pool->wants_quota) {
      pool->wants_quota = TRUE;
      pool->quotas->notify_release (pool->context, pool->connections, 1, quota_available, pool);
    }
    demand (pool, total (pool) < pool->share);
    return;
  }
  demand (pool, FALSE);
}

/* Gives what is free to those who wait. */
static void
serve (RagifyPostgresPool *pool)
{
  gboolean yields = FALSE;
  while (pool->idle.length > 0 && gives_up_one (pool)) {
    yields = TRUE;
    pool->counts.given_up++;
    drop_session (pool, g_queue_peek_tail (&pool->idle));
  }
  while (pool->first != NULL && pool->idle.length > 0) {
    RagifyPostgresQuery *query = pool->first;
    if (query->deadline_us <= now (pool)) {
      fail_late (pool, query);
      continue;
    }
    remove_waiting (pool, query);
    RagifyPostgresSession *session = g_queue_pop_head (&pool->idle);
    query->session = session;
    ragify_postgres_session_run (session, query);
  }
  if (!pool->stopped)
    grow (pool, yields);
  listen_for_demands (pool);
}

/* ---- keeping it fresh ---- */

static void
close_inactive (RagifyPostgresPool *pool)
{
  const guint64 at = now (pool);
  while (pool->options.max_inactive_us > 0 && pool->idle.length > 0) {
    RagifyPostgresSession *oldest = g_queue_peek_tail (&pool->idle);
    if (ragify_postgres_session_idle_since (oldest) + pool->options.max_inactive_us > at)
      return;
    pool->counts.recycled++;
    drop_session (pool, oldest);
  }
}

static void
tend (void *user)
{
  RagifyPostgresPool *pool = user;
  close_inactive (pool);
  while (total (pool) < pool->warm && pool->connectors->len < MOST_CONNECTING && now (pool) >= pool->next_warm &&
         connect_one (pool))
    ;
}

/* ---- queries ---- */

void
ragify_postgres_pool_run (RagifyPostgresPool *pool, RagifyPostgresQuery *query)
{
  query->session = NULL;
  query->waiting = query->repeated = false;
  pool->counts.queries++;
  if (pool->waiting >= pool->options.max_waiting && pool->idle.length == 0) {
    RagifyFault fault;
    ragify_fault_set (&fault, RAGIFY_E_EXHAUSTED, "%u queries wait for a connection already", pool->waiting);
    query->done (query, &fault);
    return;
  }
  push_waiting (pool, query, FALSE);
  serve (pool);
  if (pool->first != NULL)
    set_wait_timer (pool, query->deadline_us);
}

void
ragify_postgres_pool_cancel (RagifyPostgresPool *pool, RagifyPostgresQuery *query)
{
  pool->counts.cancelled++;
  if (query->waiting) {
    remove_waiting (pool, query);
    grow (pool, FALSE); /* takes back what it has asked others for */
  } else {
    ragify_postgres_session_abandon (query->session);
  }
}

void
ragify_postgres_pool_late (RagifyPostgresPool *pool, RagifyPostgresQuery *query)
{
  if (query->waiting)
    fail_late (pool, query);
  else
    ragify_postgres_session_late (query->session);
}

void
ragify_postgres_pool_hold (RagifyPostgresPool *pool, RagifyPostgresQuery *query, bool held)
{
  if (!query->waiting)
    ragify_postgres_session_hold (query->session, held);
}

/* ---- making and ending ---- */

static guint
share_of (guint amount, const RagifyInstance *which)
{
  return amount / which->count + (which->index < amount % which->count ? 1 : 0);
}

/* All of the quota of demands is taken, but for what others give back when they want a connection. */
static gboolean
keeps_demands (const RagifyPostgresPool *pool)
{
  return pool->options.which->index == 0 && pool->options.which->count > 1;
}

static bool
find_extensions (RagifyPostgresPool *pool, RagifyFault *fault)
{
  pool->loop = pool->host->get_extension (pool->context, RAGIFY_EXT_LOOP);
  pool->quotas = pool->host->get_extension (pool->context, RAGIFY_EXT_QUOTA);
  if (pool->loop == NULL || pool->quotas == NULL)
    return ragify_fault_set (fault, RAGIFY_E_INTERNAL, "the host lacks %s or %s", RAGIFY_EXT_LOOP, RAGIFY_EXT_QUOTA);
  pool->connections = pool->quotas->open (pool->context, "connections", pool->options.max_size);
  pool->demands = pool->quotas->open (pool->context, "connection-demands", DEMANDS);
  pool->errands = ragify_errands_new (pool->context, pool->loop, MOST_ERRANDS);
  if (pool->errands == NULL)
    return ragify_fault_memory (fault);
  pool->names = ragify_names_new (pool->host, pool->errands);
  if (keeps_demands (pool))
    (void)pool->quotas->try_acquire (pool->demands, DEMANDS);
  return true;
}

RagifyPostgresPool *
ragify_postgres_pool_new (const RagifyHost *host, RagifyContext *context, const RagifyPostgresPoolOptions *options,
                          RagifyFault *fault)
{
  RagifyPostgresPool *pool = g_new0 (RagifyPostgresPool, 1);
  pool->host = host;
  pool->context = context;
  pool->target = options->target;
  pool->options = *options;
  pool->options.which = g_memdup2 (options->which, sizeof *options->which);
  pool->setup = g_strdupv ((char **)options->setup);
  pool->reported = g_new0 (gboolean, g_strv_length (pool->setup) + 1);
  pool->warm = share_of (MIN (options->min_size, options->max_size), options->which);
  pool->share = MAX (share_of (options->max_size, options->which), 1);
  pool->sessions = g_ptr_array_new ();
  pool->connectors = g_ptr_array_new ();
  pool->last = &pool->first;
  if (find_extensions (pool, fault))
    return pool;
  ragify_postgres_pool_free (pool);
  return NULL;
}

void
ragify_postgres_pool_start (RagifyPostgresPool *pool, void (*started) (void *user, const RagifyFault *fault),
                            void *user)
{
  pool->started = started;
  pool->started_user = user;
  const guint64 inactive = pool->options.max_inactive_us;
  const guint64 period = inactive > 0 ? CLAMP (inactive / 4, 50000, TEND_US) : TEND_US;
  pool->wait_timer = pool->loop->timer_new (pool->context, TEND_US, 0, wait_expired, pool);
  pool->tend_timer = pool->loop->timer_new (pool->context, period, period, tend, pool);
  if (!connect_one (pool))
    tell_started (pool, NULL); /* the other loops have them all */
}

void
ragify_postgres_pool_stop (RagifyPostgresPool *pool)
{
  pool->stopped = TRUE;
  demand (pool, FALSE);
  if (pool->wants_quota)
    pool->quotas->notify_release (pool->context, pool->connections, 1, NULL, pool);
  if (pool->heeding)
    pool->quotas->notify_release (pool->context, pool->demands, 1, NULL, pool);
  g_clear_pointer (&pool->wait_timer, pool->loop->timer_remove);
  g_clear_pointer (&pool->tend_timer, pool->loop->timer_remove);
  while (pool->connectors->len > 0) {
    ragify_postgres_connector_free (g_ptr_array_index (pool->connectors, 0));
    g_ptr_array_remove_index_fast (pool->connectors, 0);
    pool->quotas->release (pool->connections, 1);
  }
  while (pool->sessions->len > 0)
    drop_session (pool, g_ptr_array_index (pool->sessions, 0));
  g_clear_pointer (&pool->errands, ragify_errands_close);
}

void
ragify_postgres_pool_free (RagifyPostgresPool *pool)
{
  if (pool == NULL)
    return;
  if (pool->demands != NULL && keeps_demands (pool))
    pool->quotas->release (pool->demands, DEMANDS);
  ragify_names_free (pool->names);
  ragify_errands_close (pool->errands);
  ragify_postgres_target_free (pool->target);
  g_ptr_array_unref (pool->sessions);
  g_ptr_array_unref (pool->connectors);
  g_queue_clear (&pool->idle);
  g_strfreev (pool->setup);
  g_free (pool->reported);
  g_free ((gpointer)pool->options.which);
  g_free (pool);
}

void
ragify_postgres_pool_counts (const RagifyPostgresPool *pool, RagifyPostgresPoolCounts *counts)
{
  *counts = pool->counts;
  counts->open = pool->sessions->len;
  counts->idle = pool->idle.length;
  counts->waiting = pool->waiting;
  counts->node_open = pool->quotas->in_use (pool->connections);
}
