/* One instance of the store, or of the text index over the same tables: its pool, its statements, and whether it is
 * open. All of it belongs to one loop. */
#ifndef PGVECTOR_STORE_H
#define PGVECTOR_STORE_H

#include "postgres-pool.h"
#include "schema.h"

#include <ragify/ragify.h>

#include <glib.h>

typedef enum { PGVECTOR_INDEX_NONE, PGVECTOR_INDEX_HNSW, PGVECTOR_INDEX_IVFFLAT } PgvectorIndex;

/* How the store's vectors are indexed and searched, as configured. */
typedef struct PgvectorTuning {
  gint64 ef_search, probes;
} PgvectorTuning;

typedef struct PgvectorStore {
  const RagifyHost *host;
  RagifyContext *context;
  RagifyPostgresPool *pool;
  gboolean first;    /* of the node's instances: says what is to be said once */
  gboolean is_index; /* the text index, which makes nothing and checks no embedder */
  char *schema, *table, *language;
  PgvectorIndex index;
  gint64 m, ef_construction, lists; /* of the index; lists 0: by the number of vectors */
  gint64 index_from;                /* vectors from which on `optimize` builds one */
  PgvectorTuning tuning;
  guint32 dimension; /* of the embedder; 0: none */
  char *fingerprint;

  /* ---- once it is open ---- */
  gboolean open;
  RagifyUuid id;          /* of what the tables hold */
  char *extension;        /* the schema that the extension is in */
  char *held_fingerprint; /* of the embedder whose vectors they hold */
  guint32 vector_oid;
  guint server_vector;           /* the extension's version: 0.8.1 is 801 */
  PgvectorStatements statements; /* they name the extension's schema */

  /* ---- while it is being opened ---- */
  void *opening;
  GQueue waiting; /* of calls that came meanwhile */
} PgvectorStore;

/* [control] Fills what is configured. */
gboolean pgvector_store_configure (PgvectorStore *store, const RagifyInstance *which, RagifyFault *fault);

/* [loop] Begins `call` at once where the store is open; otherwise it is opened first, and the call fails where that
 * fails. */
void pgvector_store_when_open (PgvectorStore *store, RagifyCall *call, const void *args,
                               void (*begin) (PgvectorStore *store, RagifyCall *call, const void *args));

/* [loop] Opens it, and says how that went. */
void pgvector_store_open (PgvectorStore *store, void (*opened) (void *user, const RagifyFault *fault), void *user);

/* [control][loop] The keys that can be changed while it runs. */
void pgvector_store_read_tuning (PgvectorStore *store);

/* A statement with the names put in; free it with g_free. [loop] */
char *pgvector_store_expand (const PgvectorStore *store, const char *template);

/* [loop] The tables are not what they were: they are looked at again before the next call. */
void pgvector_store_reopen (PgvectorStore *store);

/* [loop] The operations; the instance is a PgvectorStore. */
void pgvector_upsert (void *instance, RagifyCall *call, const RagifyStoreUpsert *args);
void pgvector_search (void *instance, RagifyCall *call, const RagifyStoreSearch *args);
void pgvector_fetch (void *instance, RagifyCall *call, const RagifyStoreFetch *args);
void pgvector_list (void *instance, RagifyCall *call, const RagifyStoreList *args);
void pgvector_remove (void *instance, RagifyCall *call, const RagifyStoreRemove *args);
void pgvector_optimize (void *instance, RagifyCall *call, const RagifyStoreOptimize *args);
void pgvector_flush (void *instance, RagifyCall *call, const RagifyNothing *args);
void pgvector_generation (void *instance, RagifyCall *call, const RagifyNothing *args);
void pgvector_probe (void *instance, RagifyCall *call, const RagifyNothing *args);
void pgvector_stats (void *instance, RagifyCall *call, const RagifyNothing *args);
/* Ends the call with what the instance can tell of its connections. */
void pgvector_finish_stats (const PgvectorStore *store, RagifyCall *call, const RagifyStoreGeneration *numbers);

extern const RagifyTextIndexOperations pgvector_text_operations;

#endif
