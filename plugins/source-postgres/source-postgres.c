/* source-postgres: a PostgreSQL database as a source, asked without blocking.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "source.h"

#define PASSING(code) ((code) == RAGIFY_E_UNAVAILABLE || (code) == RAGIFY_E_TIMEOUT || (code) == RAGIFY_E_EXHAUSTED)

static const RagifyKey keys[] = {
  { .name = "dsn",
    .type = RAGIFY_KEY_SECRET,
    .flags = RAGIFY_KEY_REQUIRED,
    .summary = "The connection string, as libpq takes it: a URI or keywords and values; several hosts, sslmode, "
               "passfile and target_session_attrs included." },
  { .name = "password", .type = RAGIFY_KEY_SECRET, .summary = "The password, where it is not in dsn or a passfile." },
  { .name = "table",
    .type = RAGIFY_KEY_STRING,
    .default_value = "documents",
    .summary = "The table or view that ilike, fulltext and scans read; may have a schema before a dot." },
  { .name = "statement",
    .type = RAGIFY_KEY_STRING,
    .default_value = "ilike",
    .summary = "ilike: content that has the query in it, ordered by score-column. fulltext: PostgreSQL's text search "
               "(recommended). Anything else is a statement with $query, $pattern, $limit, $filter, $embedding." },
  { .name = "match",
    .type = RAGIFY_KEY_ENUM,
    .default_value = "any",
    .choices = "any|all",
    .summary = "fulltext: whether one of the query's words is enough, or all must be there." },
  { .name = "language",
    .type = RAGIFY_KEY_STRING,
    .default_value = "english",
    .summary = "fulltext: the text search configuration, such as simple or german." },
  { .name = "tsvector-column",
    .type = RAGIFY_KEY_STRING,
    .summary = "fulltext: a column of type tsvector; not set: one is made of the content." },
  { .name = "id-column",
    .type = RAGIFY_KEY_STRING,
    .default_value = "id",
    .summary = "Identifies the row; \"\" where there is none." },
  { .name = "document-column",
    .type = RAGIFY_KEY_STRING,
    .summary = "The document that the row is a part of; not set: the row is one." },
  { .name = "content-column", .type = RAGIFY_KEY_STRING, .default_value = "content", .summary = "The text." },
  { .name = "title-column", .type = RAGIFY_KEY_STRING, .summary = "The title." },
  { .name = "uri-column", .type = RAGIFY_KEY_STRING, .summary = "The address." },
  { .name = "score-column",
    .type = RAGIFY_KEY_STRING,
    .default_value = "relevance_score",
    .summary = "Larger is better; ilike orders by it. \"\" where there is none." },
  { .name = "metadata-column",
    .type = RAGIFY_KEY_STRING,
    .default_value = "metadata",
    .summary = "A JSON object; \"\" where there is none." },
  { .name = "created-column", .type = RAGIFY_KEY_STRING, .summary = "When the row was made." },
  { .name = "updated-column",
    .type = RAGIFY_KEY_STRING,
    .summary = "When the row was last changed; scans need it to find what is new." },
  { .name = "max-content",
    .type = RAGIFY_KEY_INT,
    .default_value = "100000",
    .unit = "characters",
    .minimum = "100",
    .maximum = "100000000",
    .summary = "ilike and fulltext: longer content is cut, by the server." },
  { .name = "max-row",
    .type = RAGIFY_KEY_SIZE,
    .default_value = "16MiB",
    .minimum = "64KiB",
    .maximum = "1GiB",
    .summary = "A query with a larger row fails." },
  { .name = "max-result",
    .type = RAGIFY_KEY_SIZE,
    .default_value = "64MiB",
    .minimum = "64KiB",
    .maximum = "1GiB",
    .summary = "Rows of a query beyond this are left out." },
  { .name = "min-size",
    .type = RAGIFY_KEY_INT,
    .default_value = "5",
    .unit = "connections",
    .minimum = "0",
    .maximum = "1000",
    .summary = "Kept open, of all loops together; never more than max-size." },
  { .name = "max-size",
    .type = RAGIFY_KEY_INT,
    .default_value = "20",
    .unit = "connections",
    .minimum = "1",
    .maximum = "1000",
    .summary = "At most, of all loops together." },
  { .name = "max-queries",
    .type = RAGIFY_KEY_INT,
    .default_value = "50000",
    .minimum = "0",
    .summary = "After so many queries a connection is replaced; 0: never." },
  { .name = "max-inactive-lifetime",
    .type = RAGIFY_KEY_DURATION,
    .default_value = "300s",
    .maximum = "7d",
    .summary = "A connection that was idle for so long is closed, or replaced; 0: never." },
  { .name = "max-waiting",
    .type = RAGIFY_KEY_INT,
    .default_value = "1000",
    .unit = "queries",
    .minimum = "0",
    .maximum = "1000000",
    .summary = "How many may wait for a connection on each loop; more are refused." },
  { .name = "connect-timeout",
    .type = RAGIFY_KEY_DURATION,
    .default_value = "5s",
    .minimum = "10ms",
    .maximum = "10min",
    .summary = "For each address of each host, unless dsn has connect_timeout." },
  { .name = "setup",
    .type = RAGIFY_KEY_LIST,
    .summary = "Statements such as SET work_mem = '64MB' that are in force for every query." },
  { .name = "setup-required",
    .type = RAGIFY_KEY_BOOL,
    .default_value = "false",
    .summary = "true: a connection that refuses one of them is not used. false: the refusal is reported once." },
  { .name = "reset",
    .type = RAGIFY_KEY_ENUM,
    .default_value = "auto",
    .choices = "auto|always|never",
    .summary = "RESET ALL after a query, and setup before the next one. auto: where statement is not ilike or "
               "fulltext, which change no settings." },
};

static void
source_free (PostgresSource *source)
{
  ragify_postgres_pool_free (source->pool);
  ragify_column_names_clear (&source->columns);
  postgres_statement_clear (&source->statement);
  postgres_statement_clear (&source->first_page);
  postgres_statement_clear (&source->next_page);
  g_free (source->explain);
  g_free (source->table);
  g_free (source);
}

static int32_t
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, gboolean with_embedding,
        void **instance)
{
  RagifyFault fault;
  PostgresSource *source = g_new0 (PostgresSource, 1);
  source->host = host;
  source->context = context;
  if (postgres_source_configure (source, which, with_embedding, &fault)) {
    *instance = source;
    return RAGIFY_OK;
  }
  host->set_error (context, ragify_str_from (fault.message));
  source_free (source);
  return fault.code;
}

static int32_t
create_plain (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  return create (host, context, which, FALSE, instance);
}

static int32_t
create_vector (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  return create (host, context, which, TRUE, instance);
}

static void
destroy (void *instance)
{
  source_free (instance);
}

/* ---- start: the first connection, and the statement as the server understands it ---- */

typedef struct Starting {
  PostgresSource *source;
  RagifyCall *call;
  RagifyPostgresQuery query;
  RagifyPostgresStep step;
  const char *values[POSTGRES_N_PARAMETERS];
  RagifyFault fault;
} Starting;

/* An instance whose start failed is not stopped: it closes what it has opened, and not from inside a connection. */
static void
fail_start (void *user)
{
  Starting *starting = user;
  const RagifyHost *host = starting->source->host;
  g_autofree char *text = g_utf8_make_valid (starting->fault.message, -1);
  ragify_postgres_pool_stop (starting->source->pool);
  host->call_fail (starting->call, starting->fault.code, ragify_str_from (text), 0);
  g_free (starting);
}

/* A server that cannot be reached may come back; one that says no will say it again. */
static void
end_start (Starting *starting, const RagifyFault *fault)
{
  const RagifyHost *host = starting->source->host;
  if (fault == NULL) {
    host->call_done (starting->call, NULL);
  } else if (PASSING (fault->code)) {
    g_autofree char *text = g_strdup_printf ("%s; it is tried again when it is asked", fault->message);
    g_autofree char *valid = g_utf8_make_valid (text, -1);
    if (starting->source->first)
      host->log (starting->source->context, RAGIFY_LOG_WARNING, ragify_str_from (valid));
    host->call_done (starting->call, NULL);
  } else {
    const RagifyLoopExtension *loop = host->get_extension (starting->source->context, RAGIFY_EXT_LOOP);
    starting->fault = *fault;
    loop->invoke (starting->source->context, fail_start, starting);
    return;
  }
  g_free (starting);
}

static void
checked (RagifyPostgresQuery *query, const RagifyFault *fault)
{
  end_start (query->user, fault);
}

static void
first_connection (void *user, const RagifyFault *fault)
{
  Starting *starting = user;
  PostgresSource *source = starting->source;
  if (fault != NULL || !source->first) {
    end_start (starting, fault);
    return;
  }
  const gboolean explains = g_str_has_prefix (source->explain, "EXPLAIN");
  starting->step = (RagifyPostgresStep){ .sql = source->explain,
                                         .count = explains ? (int)source->statement.count : 0,
                                         .values = starting->values };
  starting->query = (RagifyPostgresQuery){ .steps = &starting->step,
                                           .n_steps = 1,
                                           .deadline_us = source->host->call_deadline_us (starting->call),
                                           .repeatable = true,
                                           .done = checked,
                                           .user = starting };
  ragify_postgres_pool_run (source->pool, &starting->query);
}

static void
start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  PostgresSource *source = instance;
  Starting *starting = g_new0 (Starting, 1);
  starting->source = source;
  starting->call = call;
  ragify_postgres_pool_start (source->pool, first_connection, starting);
}

static void
stop (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  PostgresSource *source = instance;
  ragify_postgres_pool_stop (source->pool);
  source->host->call_done (call, NULL);
}

/* ---- statistics ---- */

static void
stats (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  const PostgresSource *source = instance;
  RagifyPostgresPoolCounts counts;
  ragify_postgres_pool_counts (source->pool, &counts);
  const struct {
    const char *name;
    guint64 value;
  } values[] = {
    { "connections", counts.open },
    { "connections-idle", counts.idle },
    { "waiting", counts.waiting },
    { "queries", counts.queries },
    { "wait-timeouts", counts.timeouts },
    { "cancelled", counts.cancelled },
    { "connects", counts.connects },
    { "connect-failures", counts.refusals },
    { "connections-lost", counts.lost },
    { "connections-recycled", counts.recycled },
    { "connections-given-up", counts.given_up },
    { "node-connections", counts.node_open },
    { "server-version", (guint64)counts.server_version },
  };
  RagifyPair *pairs = source->host->call_alloc (call, G_N_ELEMENTS (values) * sizeof *pairs);
  for (guint i = 0; i < G_N_ELEMENTS (values) && pairs != NULL; i++) {
    pairs[i].name = ragify_str_from (values[i].name);
    pairs[i].value = (RagifyValue){ .type = RAGIFY_VALUE_INT, .integer = (int64_t)values[i].value };
  }
  const RagifyStatsResult result = {
    .struct_size = sizeof result,
    .values = { .items = pairs, .count = pairs != NULL ? G_N_ELEMENTS (values) : 0 },
  };
  source->host->call_done (call, &result);
}

/* ---- the module ---- */

static const RagifySourceOperations operations = {
  .struct_size = sizeof operations,
  .query = postgres_source_query,
  .scan = postgres_source_scan,
};

static const RagifyComponent component = {
  .struct_size = sizeof component,
  .flags = RAGIFY_COMPONENT_REMOTE,
  .kind = RAGIFY_KIND_SOURCE,
  .name = "postgres",
  .summary = "Asks a PostgreSQL database, by words or by a statement of your own.",
  .run_class = RAGIFY_RUN_LOOP,
  .schema = { .keys = keys, .count = G_N_ELEMENTS (keys), .stride = sizeof (RagifyKey) },
  .operations = &operations,
  .create = create_plain,
  .start = start,
  .stop = stop,
  .destroy = destroy,
  .probe = postgres_source_probe,
  .stats = stats,
};

static const RagifyComponent vector_component = {
  .struct_size = sizeof vector_component,
  .flags = RAGIFY_COMPONENT_REMOTE | RAGIFY_COMPONENT_WANTS_EMBEDDING,
  .kind = RAGIFY_KIND_SOURCE,
  .name = "postgres-vector",
  .summary = "Asks a PostgreSQL database by a statement with the query's embedding.",
  .run_class = RAGIFY_RUN_LOOP,
  .schema = { .keys = keys, .count = G_N_ELEMENTS (keys), .stride = sizeof (RagifyKey) },
  .operations = &operations,
  .create = create_vector,
  .start = start,
  .stop = stop,
  .destroy = destroy,
  .probe = postgres_source_probe,
  .stats = stats,
};

static const RagifyComponent *const components[] = { &component, &vector_component, NULL };

static const RagifyPlugin plugin = {
  .magic = RAGIFY_PLUGIN_MAGIC,
  .abi_major = RAGIFY_ABI_MAJOR,
  .abi_minor_needed = RAGIFY_NEEDS_MINOR,
  .struct_size = sizeof plugin,
  .id = "org.ragify.source-postgres",
  .version = RAGIFY_VERSION,
  .licence = "MIT",
  .summary = "PostgreSQL databases as sources.",
  .url = "",
  .components = components,
};

const RagifyPlugin *
ragify_plugin_query (void)
{
  return &plugin;
}
