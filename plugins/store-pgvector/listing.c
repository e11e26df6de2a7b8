/* Lists of documents and chunks, page by page: see RagifyStoreList.
 *
 * Everything is listed in the order in which it last changed, removals before what is there, so that whatever changes
 * between two pages comes again later and nothing is missed. A cursor also carries the generation of the first page:
 * that is the one to catch up from, whichever page it is read from. Only where documents are named, and all that is
 * there is wanted, do they come in the order in which they are named, and chunks in the documents' own. */
#include <stdio.h>
#include <string.h>

#include "answer.h"
#include "condition.h"

#define MOST_LIMIT 10000u
#define KEYS 3 /* columns before an item's own: where it stands in the list */

typedef struct Cursor {
  guint64 start; /* generation of the first page */
  guint64 keys[KEYS];
  guint kind; /* 0 a removal, 1 a row */
} Cursor;

/* A list of one kind: what the server sent of it. */
typedef struct Part {
  guint step;
  gsize count, taken;
  guint64 (*keys)[KEYS];
  RagifyDocument *documents;
  RagifyChunk *chunks;
} Part;

typedef struct Listing {
  const RagifyStoreList *args;
  Cursor cursor;
  gboolean chunks;
  Part parts[2]; /* by kind */
  RagifyGeneration head;
  guint64 horizon;
} Listing;

#define NO_STEP G_MAXUINT

/* ---- cursors ---- */

static gboolean
read_cursor (PgvectorJob *job, const RagifyStoreList *args, Cursor *cursor)
{
  char text[200];
  unsigned long long start, keys[KEYS];
  unsigned kind;
  int used = 0;
  if (args->cursor.size == 0)
    return TRUE;
  if (args->cursor.size < sizeof text) {
    memcpy (text, args->cursor.data, args->cursor.size);
    text[args->cursor.size] = '\0';
    if (sscanf (text, "1.%llu.%u.%llu.%llu.%llu%n", &start, &kind, &keys[0], &keys[1], &keys[2], &used) == 5 &&
        (gsize)used == args->cursor.size && keys[0] <= G_MAXINT64 && keys[1] <= G_MAXINT64 && keys[2] <= G_MAXINT64) {
      *cursor = (Cursor){ start, { keys[0], keys[1], keys[2] }, kind };
      return TRUE;
    }
  }
  return ragify_fault_set (&job->fault, RAGIFY_E_INVALID, "cursor: expected one that a list returned, found '%.*s'",
                           (int)MIN (args->cursor.size, 100), args->cursor.data);
}

static gboolean
write_cursor (PgvectorJob *job, RagifyStr *text)
{
  const Listing *listing = job->state;
  const Cursor *cursor = &listing->cursor;
  char buffer[200];
  const int size = snprintf (buffer, sizeof buffer, "1.%llu.%u.%llu.%llu.%llu", (unsigned long long)cursor->start,
                             cursor->kind, (unsigned long long)cursor->keys[0], (unsigned long long)cursor->keys[1],
                             (unsigned long long)cursor->keys[2]);
  return pgvector_job_copy (job, ragify_str (buffer, (gsize)size), text);
}

/* ---- rows ---- */

static gboolean
take_document (PgvectorJob *job, const PGresult *row, RagifyDocument *document)
{
  *document = (RagifyDocument){ .struct_size = sizeof *document,
                                .content_hash = pgvector_read_uuid (row, KEYS + 4),
                                .chunks = (guint64)pgvector_read_int8 (row, KEYS + 5),
                                .staged = (guint64)pgvector_read_int8 (row, KEYS + 6),
                                .staged_hash = pgvector_read_uuid (row, KEYS + 7),
                                .created_at = pgvector_read_int8 (row, KEYS + 8),
                                .updated_at = pgvector_read_int8 (row, KEYS + 9) };
  return pgvector_job_copy (job, pgvector_read_text (row, KEYS), &document->id) &&
         pgvector_job_copy (job, pgvector_read_text (row, KEYS + 1), &document->uri) &&
         pgvector_job_copy (job, pgvector_read_text (row, KEYS + 2), &document->title) &&
         pgvector_job_copy_json (job, pgvector_read_json (row, KEYS + 3), &document->metadata);
}

static gboolean
take_chunk (PgvectorJob *job, const PGresult *row, RagifyChunk *chunk)
{
  *chunk = (RagifyChunk){ .struct_size = sizeof *chunk, .id = pgvector_read_uuid (row, KEYS) };
  return pgvector_take_content (job, row, KEYS + 1, chunk) &&
         pgvector_job_copy_json (job, pgvector_read_json (row, KEYS + 10), &chunk->metadata);
}

static gboolean
take_removal (PgvectorJob *job, const PGresult *row, Part *part)
{
  const Listing *listing = job->state;
  const RagifyStr document = pgvector_read_text (row, KEYS + 1);
  if (!listing->chunks) {
    part->documents[part->count] =
        (RagifyDocument){ .struct_size = sizeof (RagifyDocument), .flags = RAGIFY_DOCUMENT_DELETED };
    return pgvector_job_copy (job, document, &part->documents[part->count].id);
  }
  part->chunks[part->count] = (RagifyChunk){ .struct_size = sizeof (RagifyChunk),
                                             .flags = RAGIFY_CHUNK_DELETED,
                                             .id = pgvector_read_uuid (row, KEYS) };
  return pgvector_job_copy (job, document, &part->chunks[part->count].document_id);
}

static gboolean
row_of_list (PgvectorJob *job, guint step, const PGresult *row)
{
  Listing *listing = job->state;
  if (step == 0) {
    listing->head = (RagifyGeneration){ pgvector_read_uuid (row, 0), (guint64)pgvector_read_int8 (row, 1) };
    listing->horizon = (guint64)pgvector_read_int8 (row, 5);
    return TRUE;
  }
  const guint kind = step == listing->parts[0].step ? 0 : 1;
  Part *part = &listing->parts[kind];
  if (part->count > listing->args->limit) /* a server that lies */
    return TRUE;
  for (guint i = 0; i < KEYS; i++)
    part->keys[part->count][i] = (guint64)pgvector_read_int8 (row, (int)i);
  const gboolean good = kind == 0         ? take_removal (job, row, part)
                        : listing->chunks ? take_chunk (job, row, &part->chunks[part->count])
                                          : take_document (job, row, &part->documents[part->count]);
  part->count++;
  return good;
}

/* ---- the page ---- */

static void
take (Listing *listing, guint kind, RagifyDocument *documents, RagifyChunk *chunks, gsize place)
{
  Part *part = &listing->parts[kind];
  if (listing->chunks)
    chunks[place] = part->chunks[part->taken];
  else
    documents[place] = part->documents[part->taken];
  memcpy (listing->cursor.keys, part->keys[part->taken], sizeof listing->cursor.keys);
  listing->cursor.kind = kind;
  part->taken++;
}

static gboolean
is_left (const Part *part)
{
  return part->taken < part->count;
}

/* Both kinds in the order of their generations; how many there are. */
static gsize
merge (Listing *listing, RagifyDocument *documents, RagifyChunk *chunks)
{
  Part *removals = &listing->parts[0], *rows = &listing->parts[1];
  gsize count = 0;
  while (count < listing->args->limit && (is_left (removals) || is_left (rows))) {
    const gboolean removal =
        is_left (removals) && (!is_left (rows) || removals->keys[removals->taken][0] <= rows->keys[rows->taken][0]);
    take (listing, removal ? 0 : 1, documents, chunks, count++);
  }
  return count;
}

static void
finish_list (PgvectorJob *job)
{
  Listing *listing = job->state;
  const RagifyStoreList *args = listing->args;
  RagifyStoreListResult result = { .struct_size = sizeof result };
  RagifyDocument *documents = NULL;
  RagifyChunk *chunks = NULL;
  if (args->cursor.size == 0)
    listing->cursor.start = listing->head.counter;
  result.generation = (RagifyGeneration){ listing->head.store, listing->cursor.start };
  if (args->since > listing->head.counter || (args->since > 0 && args->since < listing->horizon)) {
    result.since_too_old = 1;
    job->store->host->call_done (job->call, &result);
    return;
  }
  if (listing->chunks)
    chunks = pgvector_job_alloc (job, args->limit * sizeof *chunks);
  else
    documents = pgvector_job_alloc (job, args->limit * sizeof *documents);
  if (chunks == NULL && documents == NULL)
    return;
  const gsize count = merge (listing, documents, chunks);
  result.documents = (RagifyDocumentList){ documents, documents != NULL ? count : 0, sizeof *documents, 0 };
  result.chunks = (RagifyChunkList){ chunks, chunks != NULL ? count : 0, sizeof *chunks, 0 };
  if ((is_left (&listing->parts[0]) || is_left (&listing->parts[1])) && !write_cursor (job, &result.cursor))
    return;
  job->store->host->call_done (job->call, &result);
}

/* ---- the statements ---- */

#define DOCUMENT_COLUMNS                                                                                               \
  ", d.id, d.uri, d.title, d.metadata, d.content_hash, d.chunks, d.staged, d.staged_hash, d.created_at, d.updated_at"
#define CHUNK_COLUMNS ", c.id, " PGVECTOR_CHUNK_CONTENT ", c.metadata"

/* Behind the cursor: $2 and $3 are the generation and number. A removal's kind is 0, so within a generation it comes
 * first. */
static void
bind_bounds (PgvectorJob *job, guint kind)
{
  const Listing *listing = job->state;
  const Cursor *cursor = &listing->cursor;
  const guint64 since = listing->args->since;
  gint64 number = G_MAXINT64; /* nothing of that generation, … */
  if (cursor->keys[0] > since && cursor->kind == kind)
    number = (gint64)cursor->keys[1]; /* … what is behind the last one seen, … */
  else if (cursor->keys[0] > since && cursor->kind < kind)
    number = -1; /* … or all of it */
  pgvector_job_bind_take (job, pgvector_value_int8 ((gint64)MAX (cursor->keys[0], since)));
  pgvector_job_bind_take (job, pgvector_value_int8 (number));
}

static void
bind_limit (PgvectorJob *job)
{
  const Listing *listing = job->state;
  pgvector_job_bind_take (job, pgvector_value_int8 ((gint64)listing->args->limit + 1)); /* to see whether more comes */
}

static gboolean
add_filter (PgvectorJob *job, GString *sql)
{
  const Listing *listing = job->state;
  if (listing->args->filter == NULL)
    return TRUE;
  g_string_append (sql, " AND ");
  return pgvector_condition_write (job, listing->args->filter, listing->chunks ? "c.metadata" : "d.metadata", sql);
}

static void
set_sql (PgvectorJob *job, guint step, const GString *sql)
{
  pgvector_job_set_sql (job, step, pgvector_store_expand (job->store, sql->str));
}

static void
add_removals (PgvectorJob *job)
{
  Listing *listing = job->state;
  g_autoptr (GString) sql = g_string_new (
      "SELECT generation, number, 0::int8, chunk, document FROM @removals@ WHERE (generation, number) > ($2::int8,"
      " $3::int8) AND chunk IS ");
  g_string_append (sql, listing->chunks ? "NOT NULL" : "NULL");
  listing->parts[0].step = pgvector_job_sql (job, NULL);
  bind_limit (job);
  bind_bounds (job, 0);
  if (listing->args->documents.count > 0) {
    pgvector_job_bind_take (job, pgvector_value_texts (&listing->args->documents));
    g_string_append (sql, " AND document = ANY ($4::text[])");
  }
  g_string_append (sql, " ORDER BY generation, number LIMIT $1::int8");
  set_sql (job, listing->parts[0].step, sql);
}

static gboolean
add_changes (PgvectorJob *job)
{
  Listing *listing = job->state;
  g_autoptr (GString) sql = g_string_new (
      listing->chunks ? "SELECT c.generation, c.number, 0::int8" CHUNK_COLUMNS " FROM @chunks@ c JOIN @documents@ d"
                        " ON d.number = c.document WHERE (c.generation, c.number) > ($2::int8, $3::int8)"
                        " AND NOT c.staged"
                      : "SELECT d.generation, d.number, 0::int8" DOCUMENT_COLUMNS " FROM @documents@ d"
                        " WHERE (d.generation, d.number) > ($2::int8, $3::int8)");
  listing->parts[1].step = pgvector_job_sql (job, NULL);
  bind_limit (job);
  bind_bounds (job, 1);
  if (listing->args->documents.count > 0) {
    pgvector_job_bind_take (job, pgvector_value_texts (&listing->args->documents));
    g_string_append (sql, " AND d.id = ANY ($4::text[])");
  }
  if (!add_filter (job, sql))
    return FALSE;
  g_string_append (sql, listing->chunks ? " ORDER BY c.generation, c.number LIMIT $1::int8"
                                        : " ORDER BY d.generation, d.number LIMIT $1::int8");
  set_sql (job, listing->parts[1].step, sql);
  return TRUE;
}

static gboolean
add_named (PgvectorJob *job)
{
  Listing *listing = job->state;
  const gboolean fresh = listing->args->cursor.size == 0;
  g_autoptr (GString) sql = g_string_new (
      listing->chunks ? "SELECT u.i, c.ordinal, c.number" CHUNK_COLUMNS " FROM unnest ($2::text[]) WITH ORDINALITY AS u"
                        " (id, i) JOIN @documents@ d ON d.id = u.id JOIN @chunks@ c ON c.document = d.number AND NOT"
                        " c.staged WHERE (u.i, c.ordinal, c.number) > ($3::int8, $4::int8, $5::int8)"
                      : "SELECT u.i, 0::int8, d.number" DOCUMENT_COLUMNS " FROM unnest ($2::text[]) WITH ORDINALITY AS"
                        " u (id, i) JOIN @documents@ d ON d.id = u.id"
                        " WHERE (u.i, 0, d.number) > ($3::int8, $4::int8, $5::int8)");
  listing->parts[1].step = pgvector_job_sql (job, NULL);
  bind_limit (job);
  pgvector_job_bind_take (job, pgvector_value_texts (&listing->args->documents));
  for (guint i = 0; i < KEYS; i++)
    pgvector_job_bind_take (job, pgvector_value_int8 (fresh ? -1 : (gint64)listing->cursor.keys[i]));
  if (!add_filter (job, sql))
    return FALSE;
  g_string_append (sql, listing->chunks ? " ORDER BY u.i, c.ordinal, c.number LIMIT $1::int8"
                                        : " ORDER BY u.i LIMIT $1::int8");
  set_sql (job, listing->parts[1].step, sql);
  return TRUE;
}

/* ---- beginning ---- */

static gboolean
check (PgvectorJob *job, const RagifyStoreList *args)
{
  if (args->what > RAGIFY_LIST_CHUNKS)
    return ragify_fault_set (&job->fault, RAGIFY_E_INVALID, "what: unknown list %u", args->what);
  if (args->limit < 1 || args->limit > MOST_LIMIT)
    return ragify_fault_set (&job->fault, RAGIFY_E_INVALID, "limit: expected 1 to %u, found %u", MOST_LIMIT,
                             args->limit);
  return TRUE;
}

static gboolean
make_room (PgvectorJob *job, Part *part)
{
  const Listing *listing = job->state;
  const gsize room = (gsize)listing->args->limit + 1;
  part->keys = pgvector_job_alloc (job, room * sizeof *part->keys);
  if (part->keys == NULL)
    return FALSE;
  if (listing->chunks)
    part->chunks = pgvector_job_alloc (job, room * sizeof *part->chunks);
  else
    part->documents = pgvector_job_alloc (job, room * sizeof *part->documents);
  return part->chunks != NULL || part->documents != NULL;
}

static gboolean
add_steps (PgvectorJob *job)
{
  Listing *listing = job->state;
  const RagifyStoreList *args = listing->args;
  if (!check (job, args) || !read_cursor (job, args, &listing->cursor) || !make_room (job, &listing->parts[1]))
    return FALSE;
  pgvector_job_step (job, PGVECTOR_GENERATION);
  if (args->since == 0 && args->documents.count > 0)
    return add_named (job);
  if (args->since > 0) {
    if (!make_room (job, &listing->parts[0]))
      return FALSE;
    add_removals (job);
  }
  return add_changes (job);
}

static void
begin_list (PgvectorStore *store, RagifyCall *call, const void *args)
{
  PgvectorJob *job = pgvector_job_new (store, call, FALSE);
  Listing *listing = g_new0 (Listing, 1);
  listing->args = args;
  listing->chunks = listing->args->what == RAGIFY_LIST_CHUNKS;
  listing->parts[0].step = listing->parts[1].step = NO_STEP;
  job->state = listing;
  job->free_state = g_free;
  job->row = row_of_list;
  job->finish = finish_list;
  if (add_steps (job))
    pgvector_job_run (job);
  else
    pgvector_job_fail (job);
}

void
pgvector_list (void *instance, RagifyCall *call, const RagifyStoreList *args)
{
  pgvector_store_when_open (instance, call, args, begin_list);
}
