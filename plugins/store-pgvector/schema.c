#include "schema.h"

#include <string.h>

#define MOST_BYTES 40u /* PostgreSQL takes 63, and what is behind the name needs some */

/* The number of the batch that is being written: the store's row is locked by it, so that batches are committed in the
 * order of their numbers, whoever writes them. */
#define NOW "(SELECT counter FROM @store@)"
#define NO_HASH "'00000000-0000-0000-0000-000000000000'::uuid"
#define KEPT_REMOVALS "200000"

/* The documents of a batch: id, mode (RAGIFY_DOCUMENT_…), content hash. */
#define GIVEN "unnest ($1::text[], $2::int4[], $3::uuid[]) AS g (id, mode, hash)"

/* What `gone`, chunks that a statement removes, means for the documents that they were of, and for those who follow. */
#define NOTE_GONE                                                                                                      \
  ", noted AS (INSERT INTO @removals@ (generation, chunk, document, had_vector, lexemes)"                              \
  " SELECT " NOW ", gone.id, d.id, gone.had_vector, gone.lexemes FROM gone JOIN @documents@ d"                         \
  " ON d.number = gone.document WHERE NOT gone.staged),"                                                               \
  " sums AS (SELECT document, count(*) FILTER (WHERE NOT staged) AS live, count(*) FILTER (WHERE staged) AS staged"    \
  " FROM gone GROUP BY document)"                                                                                      \
  " UPDATE @documents@ d SET chunks = d.chunks - sums.live, staged = d.staged - sums.staged,"                          \
  " generation = CASE WHEN sums.live > 0 THEN " NOW " ELSE d.generation END FROM sums WHERE d.number = sums.document"
#define GONE_COLUMNS "c.id, c.document, c.staged, c.vector IS NOT NULL AS had_vector, length (c.words) AS lexemes"

#define FETCH_FROM                                                                                                     \
  " FROM unnest ($1::uuid[]) WITH ORDINALITY AS u (id, i) JOIN @chunks@ c ON c.id = u.id AND NOT c.staged"             \
  " JOIN @documents@ d ON d.number = c.document"

static const char *const templates[PGVECTOR_N_STATEMENTS] = {
  [PGVECTOR_LOCK] = "SELECT pg_advisory_xact_lock (hashtext ('ragify store'))",
  [PGVECTOR_MAKE_SCHEMA] = "CREATE SCHEMA IF NOT EXISTS @schema@",
  [PGVECTOR_MAKE_STORE] =
      "CREATE TABLE IF NOT EXISTS @store@ (one bool PRIMARY KEY DEFAULT true CHECK (one), version int4 NOT NULL,"
      " store uuid NOT NULL, counter int8 NOT NULL DEFAULT 0, horizon int8 NOT NULL DEFAULT 0,"
      " dimension int4 NOT NULL, fingerprint text NOT NULL, language text NOT NULL, documents int8 NOT NULL DEFAULT 0,"
      " chunks int8 NOT NULL DEFAULT 0, vectors int8 NOT NULL DEFAULT 0, lexemes int8 NOT NULL DEFAULT 0,"
      " CONSTRAINT ragify_same_store CHECK (version > 0))",
  [PGVECTOR_MAKE_DOCUMENTS] =
      "CREATE TABLE IF NOT EXISTS @documents@ (number int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
      " id text COLLATE \"C\" NOT NULL UNIQUE, generation int8 NOT NULL, live bool NOT NULL, chunks int8 NOT NULL,"
      " staged int8 NOT NULL, content_hash uuid NOT NULL, staged_hash uuid NOT NULL, created_at int8 NOT NULL,"
      " updated_at int8 NOT NULL, uri text NOT NULL, title text NOT NULL, metadata jsonb)",
  [PGVECTOR_MAKE_CHUNKS] =
      "CREATE TABLE IF NOT EXISTS @chunks@ (number int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id uuid NOT NULL,"
      " staged bool NOT NULL, document int8 NOT NULL, ordinal int8 NOT NULL, generation int8 NOT NULL,"
      " first int8 NOT NULL, past int8 NOT NULL, created_at int8 NOT NULL, updated_at int8 NOT NULL,"
      " title text NOT NULL, uri text, metadata jsonb, content text NOT NULL, vector @vectors@ STORAGE PLAIN,"
      " words tsvector GENERATED ALWAYS AS (setweight (to_tsvector (@language@::regconfig, left (title, 2000)), 'A')"
      " || to_tsvector (@language@::regconfig, left (content, 200000))) STORED, UNIQUE (id, staged))",
  [PGVECTOR_MAKE_REMOVALS] =
      "CREATE TABLE IF NOT EXISTS @removals@ (number int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
      " generation int8 NOT NULL, chunk uuid, document text COLLATE \"C\" NOT NULL, had_vector bool NOT NULL,"
      " lexemes int8 NOT NULL)",
  [PGVECTOR_MAKE_INDEXES] =
      "CREATE INDEX IF NOT EXISTS @index@documents_generation\" ON @documents@ (generation, number)",
  [PGVECTOR_MAKE_INDEXES + 1] =
      "CREATE INDEX IF NOT EXISTS @index@chunks_document\" ON @chunks@ (document, staged, ordinal, number)",
  [PGVECTOR_MAKE_INDEXES + 2] =
      "CREATE INDEX IF NOT EXISTS @index@chunks_generation\" ON @chunks@ (generation, number)",
  [PGVECTOR_MAKE_INDEXES + 3] = "CREATE INDEX IF NOT EXISTS @index@chunks_words\" ON @chunks@ USING gin (words)",
  [PGVECTOR_MAKE_INDEXES + 4] =
      "CREATE INDEX IF NOT EXISTS @index@chunks_metadata\" ON @chunks@ USING gin (metadata jsonb_path_ops)",
  [PGVECTOR_MAKE_INDEXES + 5] =
      "CREATE INDEX IF NOT EXISTS @index@removals_generation\" ON @removals@ (generation, number)",
  [PGVECTOR_MAKE_INDEXES + 6] = "CREATE INDEX IF NOT EXISTS @index@removals_chunk\" ON @removals@ (chunk)",
  [PGVECTOR_MAKE_INDEXES + 7] =
      "CREATE INDEX IF NOT EXISTS @index@removals_document\" ON @removals@ (document) WHERE chunk IS NULL",
  [PGVECTOR_MAKE_INDEXES + 8] = "ALTER TABLE @chunks@ ALTER COLUMN vector SET STORAGE @storage@",
  [PGVECTOR_MAKE_ROW] = "INSERT INTO @store@ (version, store, dimension, fingerprint, language)"
                        " VALUES (1, $1::uuid, $2::int8, $3::text, $4::text) ON CONFLICT DO NOTHING",
  [PGVECTOR_ADOPT_EMBEDDER] =
      "UPDATE @store@ SET dimension = $1::int8, fingerprint = $2::text WHERE NOT EXISTS (SELECT 1 FROM @chunks@ WHERE"
      " vector IS NOT NULL)",
  [PGVECTOR_ADOPT_COLUMN] = "ALTER TABLE @chunks@ ALTER COLUMN vector TYPE @vectors@",
  [PGVECTOR_READ_STORE] = "SELECT version::int8, store, dimension::int8, fingerprint, language, vectors, chunks,"
                          " documents, counter FROM @store@",

  [PGVECTOR_BUMP] = "UPDATE @store@ SET counter = counter + 1, version = CASE WHEN store = $1::uuid AND fingerprint ="
                    " $2::text THEN version ELSE -1 END RETURNING counter",
  [PGVECTOR_ADD_DOCUMENTS] =
      "INSERT INTO @documents@ (id, generation, live, chunks, staged, content_hash, staged_hash, created_at,"
      " updated_at, uri, title, metadata) SELECT id, " NOW ", false, 0, 0, " NO_HASH ", " NO_HASH
      ", created, updated, uri, title, metadata FROM unnest ($1::text[], $2::text[], $3::text[], $4::jsonb[],"
      " $5::int8[], $6::int8[]) AS g (id, uri, title, metadata, created, updated) ON CONFLICT (id) DO NOTHING",
  [PGVECTOR_DROP_STALE] =
      "WITH gone AS (DELETE FROM @chunks@ c USING @documents@ d, " GIVEN
      " WHERE d.id = g.id AND c.document = d.number AND c.staged AND (g.mode = 0 OR d.staged_hash <> g.hash)"
      " RETURNING c.document) UPDATE @documents@ SET staged = 0 WHERE number IN (SELECT document FROM gone)",
  [PGVECTOR_DROP_REPLACED] =
      "WITH gone AS (DELETE FROM @chunks@ c USING @documents@ d, " GIVEN
      " WHERE d.id = g.id AND c.document = d.number AND NOT c.staged AND g.mode <> 1 RETURNING " GONE_COLUMNS
      ") INSERT INTO @removals@ (generation, chunk, document, had_vector, lexemes)"
      " SELECT " NOW ", gone.id, d.id, gone.had_vector, gone.lexemes FROM gone JOIN @documents@ d"
      " ON d.number = gone.document",
  [PGVECTOR_DISPLACE] = "WITH gone AS (DELETE FROM @chunks@ c USING unnest ($1::uuid[], $2::bool[]) AS g (id, staged)"
                        " WHERE c.id = g.id AND c.staged = g.staged RETURNING " GONE_COLUMNS ")" NOTE_GONE,
  [PGVECTOR_DISPLACE_PROMOTED] =
      "WITH gone AS (DELETE FROM @chunks@ c USING @chunks@ s, @documents@ o, " GIVEN
      " WHERE o.id = g.id AND g.mode = 2 AND s.document = o.number AND s.staged AND c.id = s.id AND NOT c.staged"
      " RETURNING " GONE_COLUMNS ")" NOTE_GONE,
  [PGVECTOR_PROMOTE] = "UPDATE @chunks@ c SET staged = false, generation = " NOW " FROM @documents@ d, " GIVEN
                       " WHERE d.id = g.id AND g.mode = 2 AND c.document = d.number AND c.staged",
  [PGVECTOR_ADD_CHUNKS] =
      "INSERT INTO @chunks@ (id, staged, document, ordinal, generation, first, past, created_at, updated_at, title,"
      " uri, metadata, content, vector) SELECT g.id, g.staged, d.number, g.ordinal, " NOW
      ", g.first, g.past, g.created,"
      " g.updated, g.title, g.uri, g.metadata, g.content, g.vector FROM unnest ($1::uuid[], $2::bool[], $3::int4[],"
      " $4::int8[], $5::int8[], $6::int8[], $7::int8[], $8::int8[], $9::text[], $10::text[], $11::jsonb[],"
      " $12::text[], $13::@vector@[]) AS g (id, staged, place, ordinal, first, past, created, updated, title, uri,"
      " metadata, content, vector) JOIN unnest ($14::text[]) WITH ORDINALITY AS n (id, place) ON n.place = g.place"
      " JOIN @documents@ d ON d.id = n.id",
  [PGVECTOR_SETTLE_UPSERT] =
      "UPDATE @store@ s SET documents = s.documents + (SELECT count(*) FROM @documents@ d JOIN " GIVEN
      " ON d.id = g.id WHERE g.mode <> 1 AND NOT d.live), chunks = s.chunks + added.chunks - gone.chunks,"
      " vectors = s.vectors + added.vectors - gone.vectors, lexemes = s.lexemes + added.lexemes - gone.lexemes"
      " FROM (SELECT count(*) AS chunks, count(vector) AS vectors, coalesce (sum (length (words)), 0) AS lexemes"
      " FROM @chunks@ WHERE generation = " NOW " AND NOT staged) AS added,"
      " (SELECT count(*) AS chunks, count(*) FILTER (WHERE had_vector) AS vectors, coalesce (sum (lexemes), 0) AS"
      " lexemes FROM @removals@ WHERE generation = " NOW " AND chunk IS NOT NULL) AS gone",
  [PGVECTOR_CLOSE_DOCUMENTS] =
      "UPDATE @documents@ d SET generation = " NOW ","
      " staged = CASE WHEN g.mode = 1 THEN d.staged + g.added ELSE 0 END,"
      " staged_hash = CASE WHEN g.mode = 1 THEN g.hash ELSE " NO_HASH " END,"
      " content_hash = CASE WHEN g.mode = 1 THEN d.content_hash ELSE g.hash END,"
      " chunks = CASE g.mode WHEN 1 THEN d.chunks WHEN 2 THEN d.staged + g.added ELSE g.added END,"
      " live = d.live OR g.mode <> 1,"
      " created_at = CASE WHEN g.mode = 1 OR NOT g.created_given THEN d.created_at ELSE g.created END,"
      " updated_at = CASE WHEN g.mode = 1 THEN d.updated_at ELSE g.updated END,"
      " uri = CASE WHEN g.mode = 1 THEN d.uri ELSE g.uri END,"
      " title = CASE WHEN g.mode = 1 THEN d.title ELSE g.title END,"
      " metadata = CASE WHEN g.mode = 1 THEN d.metadata ELSE g.metadata END"
      " FROM unnest ($1::text[], $2::int4[], $3::uuid[], $4::text[], $5::text[], $6::jsonb[], $7::int8[], $8::int8[],"
      " $9::bool[], $10::int8[]) AS g (id, mode, hash, uri, title, metadata, created, updated, created_given, added)"
      " WHERE d.id = g.id",
  [PGVECTOR_FORGET_DOCUMENTS] =
      "DELETE FROM @removals@ r USING " GIVEN " WHERE r.document = g.id AND r.chunk IS NULL AND g.mode <> 1",
  [PGVECTOR_FORGET_CHUNKS] = "DELETE FROM @removals@ r USING @chunks@ c"
                             " WHERE c.generation = " NOW " AND NOT c.staged AND r.chunk = c.id",
  /* Looked at now and then; twice as many are allowed, so that it is seldom. */
  [PGVECTOR_TRIM_HISTORY] =
      "WITH edge AS (SELECT r.generation FROM @removals@ r WHERE " NOW " % 64 = 0 AND (SELECT count(*) FROM"
      " @removals@ WHERE " NOW " % 64 = 0) > 2 * " KEPT_REMOVALS " ORDER BY r.generation DESC OFFSET " KEPT_REMOVALS
      " LIMIT 1),"
      " gone AS (DELETE FROM @removals@ WHERE generation <= (SELECT generation FROM edge))"
      " UPDATE @store@ SET horizon = edge.generation FROM edge",
  [PGVECTOR_READ_REMOVED] = "SELECT chunk FROM @removals@ WHERE generation = " NOW " AND chunk IS NOT NULL",

  [PGVECTOR_REMOVE_IDS] = "WITH gone AS (DELETE FROM @chunks@ c WHERE NOT c.staged AND c.id = ANY ($1::uuid[])"
                          " RETURNING " GONE_COLUMNS ")" NOTE_GONE,
  [PGVECTOR_REMOVE_FILTERED] = "WITH gone AS (DELETE FROM @chunks@ c WHERE NOT c.staged AND ",
  [PGVECTOR_REMOVE_FILTERED_END] = " RETURNING " GONE_COLUMNS ")" NOTE_GONE,
  [PGVECTOR_REMOVE_EMPTIED] =
      "WITH gone AS (DELETE FROM @documents@ WHERE generation = " NOW " AND chunks = 0 AND staged = 0"
      " RETURNING id, live) INSERT INTO @removals@ (generation, document, had_vector, lexemes)"
      " SELECT " NOW ", id, false, 0 FROM gone WHERE live",
  [PGVECTOR_KEEP_STAGED] = "WITH kept AS (UPDATE @documents@ SET live = false, content_hash = " NO_HASH
                           " WHERE generation = " NOW " AND chunks = 0 AND staged > 0 AND live RETURNING 1)"
                           " UPDATE @store@ SET documents = documents - (SELECT count(*) FROM kept)",
  [PGVECTOR_REMOVE_DOCUMENT_CHUNKS] =
      "WITH gone AS (DELETE FROM @chunks@ c USING @documents@ d WHERE c.document = d.number AND d.id = ANY ($1::text[])"
      " RETURNING " GONE_COLUMNS ", d.id AS name) INSERT INTO @removals@ (generation, chunk, document, had_vector,"
      " lexemes) SELECT " NOW ", id, name, had_vector, lexemes FROM gone WHERE NOT staged",
  [PGVECTOR_REMOVE_DOCUMENTS] = "WITH gone AS (DELETE FROM @documents@ WHERE id = ANY ($1::text[]) RETURNING id, live)"
                                " INSERT INTO @removals@ (generation, document, had_vector, lexemes)"
                                " SELECT " NOW ", id, false, 0 FROM gone WHERE live",
  [PGVECTOR_SETTLE_REMOVAL] =
      "UPDATE @store@ s SET documents = s.documents - gone.documents, chunks = s.chunks - gone.chunks,"
      " vectors = s.vectors - gone.vectors, lexemes = s.lexemes - gone.lexemes FROM (SELECT count(*) FILTER (WHERE "
      "chunk"
      " IS NULL) AS documents, count(chunk) AS chunks, count(*) FILTER (WHERE had_vector) AS vectors,"
      " coalesce (sum (lexemes), 0) AS lexemes FROM @removals@ WHERE generation = " NOW ") AS gone",
  /* Where nothing was there to be removed, nothing has changed. */
  [PGVECTOR_TAKE_BACK] =
      "UPDATE @store@ s SET counter = counter - CASE WHEN EXISTS (SELECT 1 FROM @removals@ r WHERE r.generation ="
      " s.counter) THEN 0 ELSE 1 END RETURNING counter",

  [PGVECTOR_SEARCH] = "SELECT c.id, -(c.vector OPERATOR(@extension@.<#>) $1::@vector@) FROM @chunks@ c"
                      " WHERE NOT c.staged AND c.vector IS NOT NULL"
                      " ORDER BY c.vector OPERATOR(@extension@.<#>) $1::@vector@ LIMIT $2::int8",
  [PGVECTOR_SEARCH_FILTERED] = "SELECT c.id, -(c.vector OPERATOR(@extension@.<#>) $1::@vector@) FROM @chunks@ c"
                               " WHERE NOT c.staged AND c.vector IS NOT NULL AND ",
  [PGVECTOR_SEARCH_FILTERED_END] = " ORDER BY c.vector OPERATOR(@extension@.<#>) $1::@vector@ LIMIT $2::int8",
  [PGVECTOR_SCORE] = "SELECT u.i, -(c.vector OPERATOR(@extension@.<#>) $1::@vector@) FROM unnest ($2::uuid[]) WITH"
                     " ORDINALITY AS u (id, i) JOIN @chunks@ c ON c.id = u.id AND NOT c.staged"
                     " WHERE c.vector IS NOT NULL",
  [PGVECTOR_FETCH_CONTENT] = "SELECT u.i, " PGVECTOR_CHUNK_CONTENT FETCH_FROM,
  [PGVECTOR_FETCH_METADATA] = "SELECT u.i, c.metadata FROM unnest ($1::uuid[]) WITH ORDINALITY AS u (id, i)"
                              " JOIN @chunks@ c ON c.id = u.id AND NOT c.staged",
  [PGVECTOR_FETCH_BOTH] = "SELECT u.i, " PGVECTOR_CHUNK_CONTENT ", c.metadata" FETCH_FROM,
  [PGVECTOR_FETCH_VECTORS] = "SELECT u.i, c.vector FROM unnest ($1::uuid[]) WITH ORDINALITY AS u (id, i)"
                             " JOIN @chunks@ c ON c.id = u.id AND NOT c.staged WHERE c.vector IS NOT NULL",
  [PGVECTOR_GENERATION] = "SELECT store, counter, documents, chunks, vectors, horizon FROM @store@",

  /* Each of the query's lexemes by itself, so that its weight is that of BM25's rare words; ts_rank of one lexeme is a
   * saturating function of how often it is there. `w` takes a chunk's words out of the table's side store once, and not
   * for each lexeme. */
  [PGVECTOR_TEXT_SEARCH] =
      "WITH words AS MATERIALIZED (SELECT (('''' || replace (replace (lexeme, '\\', '\\\\'), '''', '''''') || '''')"
      "::tsquery) AS word FROM unnest (tsvector_to_array (to_tsvector (@language@::regconfig, $1::text))) AS lexeme"
      " LIMIT 64), weighed AS MATERIALIZED (SELECT word, ln (1 + (greatest (s.chunks - n.found, 0) + 0.5)"
      " / (n.found + 0.5)) AS weight, s.lexemes::float8 / greatest (s.chunks, 1) AS mean FROM @store@ s, words,"
      " LATERAL (SELECT count(*) AS found FROM @chunks@ c WHERE c.words @@ word AND NOT c.staged) AS n)"
      " SELECT c.id, ((SELECT sum (weight * ts_rank ('{0.7, 0.7, 0.7, 1}', w.words, word)) FROM weighed)"
      " / (0.5 + 0.5 * length (w.words) / (SELECT greatest (mean, 1) FROM weighed LIMIT 1)))::float8 AS score"
      " FROM @chunks@ c, LATERAL (SELECT c.words || ''::tsvector AS words OFFSET 0) AS w"
      " WHERE NOT c.staged AND c.words @@ (SELECT string_agg (word::text, ' | ')::tsquery FROM words)",
  [PGVECTOR_TEXT_SEARCH_END] = " ORDER BY score DESC, c.number LIMIT $2::int8",
};

static void
add_identifier (GString *sql, const char *name)
{
  g_string_append_c (sql, '"');
  for (; *name != '\0'; name++) {
    if (*name == '"')
      g_string_append_c (sql, '"');
    g_string_append_c (sql, *name);
  }
}

static void
add_table (GString *sql, const PgvectorNames *names, const char *table)
{
  add_identifier (sql, names->schema);
  g_string_append (sql, "\".");
  add_identifier (sql, names->table);
  g_string_append_printf (sql, "_%s\"", table);
}

static void
add_literal (GString *sql, const char *text)
{
  g_string_append_c (sql, '\'');
  for (; *text != '\0'; text++) {
    if (*text == '\'')
      g_string_append_c (sql, '\'');
    g_string_append_c (sql, *text);
  }
  g_string_append_c (sql, '\'');
}

static void
add_type (GString *sql, const PgvectorNames *names, gboolean sized)
{
  add_identifier (sql, names->extension);
  g_string_append (sql, "\".vector");
  if (sized && names->dimension > 0)
    g_string_append_printf (sql, "(%u)", names->dimension);
}

/* Inside the row where it fits: a search that reads all vectors follows no pointers. A page is 8 KiB. */
static const char *
storage_of (const PgvectorNames *names)
{
  return names->dimension > 0 && names->dimension <= 1900 ? "PLAIN" : "EXTERNAL";
}

static void
add_name (GString *sql, const PgvectorNames *names, const char *name, gsize size)
{
  static const char *const tables[] = { "documents", "chunks", "removals", "store" };
  for (guint i = 0; i < G_N_ELEMENTS (tables); i++)
    if (strlen (tables[i]) == size && strncmp (tables[i], name, size) == 0) {
      add_table (sql, names, tables[i]);
      return;
    }
  if (strncmp (name, "schema", size) == 0 || strncmp (name, "extension", size) == 0) {
    add_identifier (sql, *name == 's' ? names->schema : names->extension);
    g_string_append_c (sql, '"');
  } else if (strncmp (name, "index", size) == 0) { /* its name goes on, and ends in a quotation mark */
    add_identifier (sql, names->table);
    g_string_append_c (sql, '_');
  } else if (strncmp (name, "language", size) == 0) {
    add_literal (sql, names->language);
  } else if (strncmp (name, "storage", size) == 0) {
    g_string_append (sql, storage_of (names));
  } else {
    add_type (sql, names, size == strlen ("vectors"));
  }
}

char *
pgvector_expand (const char *template, const PgvectorNames *names)
{
  GString *sql = g_string_new (NULL);
  for (const char *at = template; *at != '\0'; at++) {
    const char *end = *at == '@' && g_ascii_islower (at[1]) ? strchr (at + 1, '@') : NULL;
    if (end == NULL) {
      g_string_append_c (sql, *at);
      continue;
    }
    add_name (sql, names, at + 1, (gsize)(end - at - 1));
    at = end;
  }
  return g_string_free (sql, FALSE);
}

void
pgvector_statements_clear (PgvectorStatements *statements)
{
  for (guint i = 0; i < PGVECTOR_N_STATEMENTS; i++)
    g_clear_pointer (&statements->sql[i], g_free);
  g_clear_pointer (&statements->retired, g_ptr_array_unref);
}

void
pgvector_statements_fill (PgvectorStatements *statements, const PgvectorNames *names)
{
  if (statements->retired == NULL)
    statements->retired = g_ptr_array_new_with_free_func (g_free);
  for (guint i = 0; i < PGVECTOR_N_STATEMENTS; i++) {
    char *sql = templates[i] != NULL ? pgvector_expand (templates[i], names) : NULL;
    if (g_strcmp0 (sql, statements->sql[i]) == 0) {
      g_free (sql);
      continue;
    }
    if (statements->sql[i] != NULL)
      g_ptr_array_add (statements->retired, statements->sql[i]);
    statements->sql[i] = sql;
  }
}

const char *
pgvector_statement_name (PgvectorStatement statement)
{
  static const char *const names[PGVECTOR_N_STATEMENTS] = {
    [PGVECTOR_BUMP] = "ragify_bump",
    [PGVECTOR_ADD_DOCUMENTS] = "ragify_add_documents",
    [PGVECTOR_DROP_STALE] = "ragify_drop_stale",
    [PGVECTOR_DROP_REPLACED] = "ragify_drop_replaced",
    [PGVECTOR_DISPLACE] = "ragify_displace",
    [PGVECTOR_ADD_CHUNKS] = "ragify_add_chunks",
    [PGVECTOR_SETTLE_UPSERT] = "ragify_settle_upsert",
    [PGVECTOR_CLOSE_DOCUMENTS] = "ragify_close_documents",
    [PGVECTOR_FORGET_DOCUMENTS] = "ragify_forget_documents",
    [PGVECTOR_FORGET_CHUNKS] = "ragify_forget_chunks",
    [PGVECTOR_TRIM_HISTORY] = "ragify_trim_history",
    [PGVECTOR_READ_REMOVED] = "ragify_read_removed",
    [PGVECTOR_SEARCH] = "ragify_search",
    [PGVECTOR_SCORE] = "ragify_score",
    [PGVECTOR_FETCH_CONTENT] = "ragify_fetch_content",
    [PGVECTOR_FETCH_METADATA] = "ragify_fetch_metadata",
    [PGVECTOR_FETCH_BOTH] = "ragify_fetch_both",
    [PGVECTOR_FETCH_VECTORS] = "ragify_fetch_vectors",
    [PGVECTOR_GENERATION] = "ragify_generation",
  };
  return names[statement];
}

gboolean
pgvector_name_check (const char *key, const char *name, RagifyFault *fault)
{
  if (*name != '\0' && strlen (name) <= MOST_BYTES)
    return TRUE;
  return ragify_fault_set (fault, RAGIFY_E_INVALID, "%s: expected a name of 1 to %u bytes, found %zu", key, MOST_BYTES,
                           strlen (name));
}
