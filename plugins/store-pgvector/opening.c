/* Opening the store: the server is asked what it has, tables are made where there are none, and what they hold is
 * checked against what this store is to be. Until that has been done once, calls wait for it. */
#include <string.h>

#include "answer.h"
#include "job.h"

#define MOST_INDEXED 2000u /* dimensions that pgvector's indexes take */
#define LOOK_TIMEOUT_US (5 * (guint64)G_USEC_PER_SEC)
#define MAKE_TIMEOUT_US (60 * (guint64)G_USEC_PER_SEC)

/* A call, or who else wants to know. */
typedef struct Waiting {
  RagifyCall *call;
  const void *args;
  void (*begin) (PgvectorStore *store, RagifyCall *call, const void *args);
  void (*opened) (void *user, const RagifyFault *fault);
  void *user;
} Waiting;

/* What the server has, and then what the tables hold. */
typedef struct Opening {
  PgvectorStore *store;
  RagifyPostgresQuery query;
  RagifyPostgresStep steps[20];
  const char *values[5];
  guint n_steps;
  enum { LOOKING, EXTENDING, MAKING, ADOPTING, READING } stage;
  char *number; /* text of a parameter */
  char id[40];
  char *encoding, *extension_schema, *extension_version;
  guint32 vector_oid;
  gboolean has_schema, has_tables, is_ours, has_others, extended, adopted, found;
  gint64 version, dimension, vectors;
  RagifyUuid held;
  char *fingerprint, *language;
  RagifyFault fault;
} Opening;

static void next (Opening *opening);

static void
opening_free (Opening *opening)
{
  g_free (opening->encoding);
  g_free (opening->extension_schema);
  g_free (opening->extension_version);
  g_free (opening->fingerprint);
  g_free (opening->language);
  g_free (opening->number);
  g_free (opening);
}

/* ---- its end ---- */

static void
fail_waiting (PgvectorStore *store, const Waiting *waiting, const RagifyFault *fault)
{
  g_autofree char *text = g_utf8_make_valid (fault->message, -1);
  const gboolean passing = fault->code == RAGIFY_E_UNAVAILABLE || fault->code == RAGIFY_E_EXHAUSTED;
  store->host->call_fail (waiting->call, fault->code, ragify_str_from (text), passing ? G_USEC_PER_SEC : 0);
}

static void
end (Opening *opening)
{
  PgvectorStore *store = opening->store;
  const RagifyFault fault = opening->fault;
  GQueue waiting = store->waiting;
  g_queue_init (&store->waiting);
  store->opening = NULL;
  store->open = fault.code == RAGIFY_OK;
  opening_free (opening);
  for (Waiting *one; (one = g_queue_pop_head (&waiting)) != NULL;) {
    if (one->opened != NULL)
      one->opened (one->user, fault.code == RAGIFY_OK ? NULL : &fault);
    else if (fault.code == RAGIFY_OK)
      one->begin (store, one->call, one->args);
    else
      fail_waiting (store, one, &fault);
    g_free (one);
  }
}

static void
ended (RagifyPostgresQuery *query, const RagifyFault *fault)
{
  Opening *opening = query->user;
  if (fault != NULL && opening->stage == EXTENDING)
    ragify_fault_set (&opening->fault, fault->code,
                      "the database has no extension 'vector', and it could not be made: %.400s", fault->message);
  else if (fault != NULL)
    opening->fault = *fault;
  if (opening->fault.code != RAGIFY_OK)
    end (opening);
  else
    next (opening);
}

/* ---- what it asks ---- */

static void
add (Opening *opening, const char *sql, guint first_value, int count)
{
  opening->steps[opening->n_steps++] =
      (RagifyPostgresStep){ .sql = sql, .count = count, .values = opening->values + first_value, .result_format = 0 };
}

static void
ask (Opening *opening, bool (*row) (RagifyPostgresQuery *query, unsigned int step, const PGresult *row))
{
  PgvectorStore *store = opening->store;
  const gboolean looks = opening->stage == LOOKING || opening->stage == READING;
  const guint64 timeout = looks ? LOOK_TIMEOUT_US : MAKE_TIMEOUT_US; /* calls that wait have deadlines of their own */
  opening->query = (RagifyPostgresQuery){ .steps = opening->steps,
                                          .n_steps = opening->n_steps,
                                          .deadline_us = store->host->clock_us () + timeout,
                                          .repeatable = true,
                                          .row = row,
                                          .done = ended,
                                          .user = opening };
  ragify_postgres_pool_run (store->pool, &opening->query);
}

static char *
text_of (const PGresult *row, int column)
{
  return PQgetisnull (row, 0, column) ? NULL : g_strdup (PQgetvalue (row, 0, column));
}

static bool
saw_server (RagifyPostgresQuery *query, unsigned int step, const PGresult *row)
{
  Opening *opening = query->user;
  g_free (opening->encoding);
  opening->encoding = text_of (row, 0);
  opening->extension_schema = text_of (row, 1);
  opening->extension_version = text_of (row, 2);
  opening->vector_oid = (guint32)g_ascii_strtoull (PQgetvalue (row, 0, 3), NULL, 10);
  opening->has_schema = PQgetvalue (row, 0, 4)[0] == 't';
  opening->has_tables = PQgetvalue (row, 0, 5)[0] == 't';
  opening->is_ours = PQgetvalue (row, 0, 6)[0] == 't';
  opening->has_others = PQgetvalue (row, 0, 7)[0] == 't';
  return true;
}

static void
look (Opening *opening)
{
  static const char sql[] = "SELECT current_setting ('server_encoding'), n.nspname, e.extversion, coalesce (t.oid, 0),"
                            " to_regnamespace (quote_ident ($1)) IS NOT NULL,"
                            " to_regclass (quote_ident ($1) || '.' || quote_ident ($2 || '_store')) IS NOT NULL,"
                            " EXISTS (SELECT 1 FROM pg_constraint WHERE conname = 'ragify_same_store' AND conrelid ="
                            " to_regclass (quote_ident ($1) || '.' || quote_ident ($2 || '_store'))),"
                            " to_regclass (quote_ident ($1) || '.' || quote_ident ($2 || '_documents')) IS NOT NULL OR"
                            " to_regclass (quote_ident ($1) || '.' || quote_ident ($2 || '_chunks')) IS NOT NULL OR"
                            " to_regclass (quote_ident ($1) || '.' || quote_ident ($2 || '_removals')) IS NOT NULL"
                            " FROM (SELECT 1) AS one LEFT JOIN pg_extension e ON e.extname = 'vector'"
                            " LEFT JOIN pg_namespace n ON n.oid = e.extnamespace"
                            " LEFT JOIN pg_type t ON t.typname = 'vector' AND t.typnamespace = e.extnamespace";
  opening->values[0] = opening->store->schema;
  opening->values[1] = opening->store->table;
  opening->n_steps = 0;
  add (opening, sql, 0, 2);
  ask (opening, saw_server);
}

static PgvectorNames
names_of (const Opening *opening, const char *language)
{
  const PgvectorStore *store = opening->store;
  return (PgvectorNames){ .schema = store->schema,
                          .table = store->table,
                          .extension = opening->extension_schema != NULL ? opening->extension_schema : "public",
                          .language = language,
                          .dimension = store->dimension };
}

/* "0.8.1" as 801. */
static guint
version_of (const char *text)
{
  guint major = 0, minor = 0;
  if (text == NULL || sscanf (text, "%u.%u", &major, &minor) < 1)
    return 0;
  return major * 10000 + minor * 100;
}

static gboolean
check_server (Opening *opening)
{
  const PgvectorStore *store = opening->store;
  if (g_strcmp0 (opening->encoding, "UTF8") != 0)
    return ragify_fault_set (&opening->fault, RAGIFY_E_INVALID, "the database's encoding is %s; it must be UTF8",
                             opening->encoding != NULL ? opening->encoding : "not known");
  if (opening->extension_schema == NULL)
    return ragify_fault_set (&opening->fault, RAGIFY_E_INVALID, "the database has no extension 'vector'");
  if (opening->has_tables ? !opening->is_ours : opening->has_others)
    return ragify_fault_set (&opening->fault, RAGIFY_E_INVALID,
                             "there are tables '%s.%s_…' that are not Ragify's: give the store another `table` or"
                             " `schema`",
                             store->schema, store->table);
  if (!opening->has_tables && store->is_index)
    return ragify_fault_set (&opening->fault, RAGIFY_E_UNAVAILABLE,
                             "there are no tables '%s.%s_…' yet: the vector store makes them", store->schema,
                             store->table);
  if (store->dimension > MOST_INDEXED && store->index != PGVECTOR_INDEX_NONE)
    return ragify_fault_set (&opening->fault, RAGIFY_E_INVALID,
                             "index: pgvector's indexes take at most %u dimensions, the embedder has %u; use index ="
                             " none",
                             MOST_INDEXED, store->dimension);
  return TRUE;
}

/* ---- making ---- */

/* One of two hosts that start at once waits for the other. The extension may need a superuser. */
static void
make_extension (Opening *opening)
{
  opening->n_steps = 0;
  add (opening, "SELECT pg_advisory_xact_lock (hashtext ('ragify store'))", 0, 0);
  add (opening, "CREATE EXTENSION IF NOT EXISTS vector", 0, 0);
  ask (opening, NULL);
}

static void
write_id (char *text)
{
  g_autofree char *id = g_uuid_string_random ();
  g_strlcpy (text, id, 40);
}

static void
make_tables (Opening *opening)
{
  PgvectorStore *store = opening->store;
  const PgvectorNames names = names_of (opening, store->language);
  char **sql = store->statements.sql;
  pgvector_statements_fill (&store->statements, &names);
  write_id (opening->id);
  opening->n_steps = 0;
  add (opening, sql[PGVECTOR_LOCK], 0, 0);
  if (!opening->has_schema)
    add (opening, sql[PGVECTOR_MAKE_SCHEMA], 0, 0);
  for (guint i = PGVECTOR_MAKE_STORE; i <= PGVECTOR_MAKE_INDEXES_LAST; i++)
    add (opening, sql[i], 0, 0);
  g_free (opening->number);
  opening->number = g_strdup_printf ("%u", store->dimension);
  opening->values[0] = opening->id;
  opening->values[1] = opening->number;
  opening->values[2] = store->fingerprint;
  opening->values[3] = store->language;
  add (opening, sql[PGVECTOR_MAKE_ROW], 0, 4);
  ask (opening, NULL);
}

/* It has no vectors yet: until now it kept words alone, or was empty. */
static void
adopt_embedder (Opening *opening)
{
  PgvectorStore *store = opening->store;
  opening->n_steps = 0;
  g_free (opening->number);
  opening->number = g_strdup_printf ("%u", store->dimension);
  opening->values[0] = opening->number;
  opening->values[1] = store->fingerprint;
  add (opening, store->statements.sql[PGVECTOR_LOCK], 0, 0);
  add (opening, store->statements.sql[PGVECTOR_ADOPT_EMBEDDER], 0, 2);
  add (opening, store->statements.sql[PGVECTOR_ADOPT_COLUMN], 0, 0);
  add (opening, store->statements.sql[PGVECTOR_MAKE_INDEXES_LAST], 0, 0);
  ask (opening, NULL);
}

/* ---- checking ---- */

static void
parse_id (const char *text, RagifyUuid *id)
{
  guint at = 0;
  for (; *text != '\0' && at < 32; text++) {
    const int digit = g_ascii_xdigit_value (*text);
    if (digit < 0)
      continue;
    id->bytes[at / 2] = (guint8)(id->bytes[at / 2] << 4 | digit);
    at++;
  }
}

static bool
saw_store (RagifyPostgresQuery *query, unsigned int step, const PGresult *row)
{
  Opening *opening = query->user;
  opening->found = TRUE;
  opening->version = g_ascii_strtoll (PQgetvalue (row, 0, 0), NULL, 10);
  parse_id (PQgetvalue (row, 0, 1), &opening->held);
  opening->dimension = g_ascii_strtoll (PQgetvalue (row, 0, 2), NULL, 10);
  opening->vectors = g_ascii_strtoll (PQgetvalue (row, 0, 5), NULL, 10);
  g_free (opening->fingerprint);
  opening->fingerprint = text_of (row, 3);
  g_free (opening->language);
  opening->language = text_of (row, 4);
  return true;
}

static void
read_store (Opening *opening)
{
  PgvectorStore *store = opening->store;
  const PgvectorNames names = names_of (opening, store->language);
  pgvector_statements_fill (&store->statements, &names);
  opening->n_steps = 0;
  opening->found = FALSE;
  add (opening, store->statements.sql[PGVECTOR_READ_STORE], 0, 0);
  ask (opening, saw_store);
}

static gboolean
check_embedder (Opening *opening)
{
  const PgvectorStore *store = opening->store;
  if (store->dimension == 0 || g_str_equal (opening->fingerprint, store->fingerprint))
    return TRUE;
  return ragify_fault_set (
      &opening->fault, RAGIFY_E_INVALID,
      "the tables '%s.%s_…' hold vectors of the embedder '%.150s' (dimension %d), and the store is given '%.150s'"
      " (dimension %u): name that embedder, or give the store another `table` and ingest into it, since"
      " `ragify-ctl reindex` is for stores of the plugin faiss",
      store->schema, store->table, opening->fingerprint, (int)opening->dimension, store->fingerprint, store->dimension);
}

static gboolean
check_store (Opening *opening)
{
  const PgvectorStore *store = opening->store;
  if (!opening->found)
    return ragify_fault_set (&opening->fault, RAGIFY_E_INVALID, "the table '%s.%s_store' has no row: drop the tables",
                             store->schema, store->table);
  if (opening->version != PGVECTOR_FORMAT_VERSION)
    return ragify_fault_set (&opening->fault, RAGIFY_E_INVALID,
                             "the tables '%s.%s_…' have version %d, this plugin writes version %d", store->schema,
                             store->table, (int)opening->version, PGVECTOR_FORMAT_VERSION);
  if (!store->is_index && !g_str_equal (opening->language, store->language))
    return ragify_fault_set (&opening->fault, RAGIFY_E_INVALID,
                             "language: the tables '%s.%s_…' were made for '%.100s', and the store is given '%.100s':"
                             " name that one, or another `table` and ingest into it",
                             store->schema, store->table, opening->language, store->language);
  return TRUE;
}

static void
settle (Opening *opening)
{
  PgvectorStore *store = opening->store;
  const PgvectorNames names = names_of (opening, opening->language);
  pgvector_statements_fill (&store->statements, &names);
  store->id = opening->held;
  g_free (store->extension);
  store->extension = g_steal_pointer (&opening->extension_schema);
  g_free (store->held_fingerprint);
  store->held_fingerprint = g_steal_pointer (&opening->fingerprint);
  store->vector_oid = opening->vector_oid;
  store->server_vector = version_of (opening->extension_version);
}

/* ---- one thing after the other ---- */

static void
go_on_from_looking (Opening *opening)
{
  if (opening->extension_schema == NULL && !opening->extended) {
    opening->extended = TRUE;
    opening->stage = EXTENDING;
    make_extension (opening);
  } else if (!check_server (opening)) {
    end (opening);
  } else if (!opening->has_tables) {
    opening->stage = MAKING;
    make_tables (opening);
  } else {
    opening->stage = READING;
    read_store (opening);
  }
}

static void
go_on_from_reading (Opening *opening)
{
  PgvectorStore *store = opening->store;
  if (!check_store (opening)) {
    end (opening);
  } else if (store->dimension > 0 && opening->vectors == 0 && !opening->adopted &&
             !g_str_equal (opening->fingerprint, store->fingerprint)) {
    opening->adopted = TRUE;
    opening->stage = ADOPTING;
    adopt_embedder (opening);
  } else {
    if (check_embedder (opening))
      settle (opening);
    end (opening);
  }
}

static void
next (Opening *opening)
{
  switch (opening->stage) {
  case LOOKING:
    go_on_from_looking (opening);
    break;
  case EXTENDING:
    opening->stage = LOOKING;
    look (opening);
    break;
  case MAKING:
  case ADOPTING:
    opening->stage = READING;
    read_store (opening);
    break;
  default:
    go_on_from_reading (opening);
  }
}

static void
begin_opening (PgvectorStore *store)
{
  Opening *opening = g_new0 (Opening, 1);
  opening->store = store;
  store->opening = opening;
  look (opening);
}

static void
wait_for_it (PgvectorStore *store, const Waiting *waiting)
{
  g_queue_push_tail (&store->waiting, g_memdup2 (waiting, sizeof *waiting));
  if (store->opening == NULL)
    begin_opening (store);
}

void
pgvector_store_open (PgvectorStore *store, void (*opened) (void *user, const RagifyFault *fault), void *user)
{
  const Waiting waiting = { .opened = opened, .user = user };
  wait_for_it (store, &waiting);
}

void
pgvector_store_when_open (PgvectorStore *store, RagifyCall *call, const void *args,
                          void (*begin) (PgvectorStore *store, RagifyCall *call, const void *args))
{
  const Waiting waiting = { .call = call, .args = args, .begin = begin };
  if (store->open)
    begin (store, call, args);
  else
    wait_for_it (store, &waiting);
}

char *
pgvector_store_expand (const PgvectorStore *store, const char *template)
{
  const PgvectorNames names = {
    .schema = store->schema, .table = store->table, .extension = store->extension, .language = store->language
  };
  return pgvector_expand (template, &names);
}

void
pgvector_store_reopen (PgvectorStore *store)
{
  store->open = FALSE;
}
