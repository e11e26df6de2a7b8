/* One instance of the store: its client, what it found on the server, and whether it is open. All of it belongs to one
 * loop.
 *
 * Three collections: NAME has the chunks, with their vectors; NAME-documents what is known of documents, with a vector
 * of one number, which nobody searches; NAME-staged the chunks of documents that are not whole yet. What the store is
 * (format, id, generation, embedder) stands in the metadata of the first. */
#ifndef CHROMA_STORE_H
#define CHROMA_STORE_H

#include "http-client.h"

#include <jansson.h>
#include <ragify/ragify.h>

#define CHROMA_FORMAT 1
#define CHROMA_OWN "ragify_" /* what our own members of metadata begin with */

typedef enum { CHROMA_CHUNKS, CHROMA_DOCUMENTS, CHROMA_STAGED, CHROMA_N_COLLECTIONS } ChromaCollection;

typedef struct ChromaStore {
  const RagifyHost *host;
  RagifyContext *context;
  gboolean first; /* of the node's instances: says what is to be said once */
  RagifyHttpSettings *settings;
  RagifyHttpClient *client;
  char *tenant, *database, *collection;
  char *root; /* ".../api/v2" */
  gint64 ef_search, ef_construction, m, optimize_threshold, request_chunks;
  guint32 dimension; /* of the embedder */
  char *fingerprint;

  /* ---- once it is open ---- */
  gboolean open;
  char *urls[CHROMA_N_COLLECTIONS]; /* of each collection, by its id */
  char *facts_url;                  /* of the first one, by its name, as it is looked at */
  RagifyUuid id;
  RagifyUuid secret; /* of the store's hosts, for cursors */

  /* ---- while it is being opened ---- */
  gboolean opening;
  GQueue waiting; /* of calls that came meanwhile */
} ChromaStore;

/* [loop] Begins `call` at once where the store is open; otherwise it is opened first, and the call fails where that
 * fails. */
void chroma_store_when_open (ChromaStore *store, RagifyCall *call, const void *args,
                             void (*begin) (ChromaStore *store, RagifyCall *call, const void *args));
/* [loop] Opens it, and says how that went. */
void chroma_store_open (ChromaStore *store, void (*opened) (void *user, const RagifyFault *fault), void *user);
/* [loop] The collections are not what they were: they are looked at again before the next call. */
void chroma_store_reopen (ChromaStore *store);
/* The metadata of the first collection, to be given up with json_decref; `documents`: that are whole. `open`: a batch
 * is under way that has this generation already; where it does not come to its end, `documents` is to be counted. */
json_t *chroma_store_facts (const ChromaStore *store, guint64 counter, gint64 documents, gboolean open);
/* What to ask the collection of documents (/get) for, to count those that are whole by their ids. */
json_t *chroma_store_whole_documents (void);

/* [loop] The operations; the instance is a ChromaStore. */
void chroma_upsert (void *instance, RagifyCall *call, const RagifyStoreUpsert *args);
void chroma_search (void *instance, RagifyCall *call, const RagifyStoreSearch *args);
void chroma_fetch (void *instance, RagifyCall *call, const RagifyStoreFetch *args);
void chroma_list (void *instance, RagifyCall *call, const RagifyStoreList *args);
void chroma_remove (void *instance, RagifyCall *call, const RagifyStoreRemove *args);
void chroma_optimize (void *instance, RagifyCall *call, const RagifyStoreOptimize *args);
void chroma_flush (void *instance, RagifyCall *call, const RagifyNothing *args);
void chroma_generation (void *instance, RagifyCall *call, const RagifyNothing *args);
void chroma_probe (void *instance, RagifyCall *call, const RagifyNothing *args);
void chroma_stats (void *instance, RagifyCall *call, const RagifyNothing *args);

#endif
