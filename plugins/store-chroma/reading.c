/* fetch, generation, probe, stats. */
#include <stdlib.h>
#include <string.h>

#include "job.h"
#include "records.h"

/* ---- fetch ---- */

typedef struct Fetch {
  const RagifyStoreFetch *args;
  GHashTable *places; /* id as text → place from 1 on */
  json_t *ids, *include;
  gsize at, at_once; /* of the ids, asked for now */
  RagifyChunk *chunks;
  float *vectors;
} Fetch;

static void
fetch_free (gpointer data)
{
  Fetch *fetch = data;
  g_hash_table_unref (fetch->places);
  json_decref (fetch->ids);
  json_decref (fetch->include);
  g_free (fetch);
}

static gboolean
take_record (ChromaJob *job, const json_t *answer, gsize index)
{
  const Fetch *fetch = job->state;
  const guint32 dimension = job->store->dimension;
  const char *id = json_string_value (json_array_get (json_object_get (answer, "ids"), index));
  const guint place = id != NULL ? GPOINTER_TO_UINT (g_hash_table_lookup (fetch->places, id)) : 0;
  if (place == 0)
    return TRUE;
  if (fetch->chunks != NULL &&
      !chroma_take_chunk (job, id, json_array_get (json_object_get (answer, "documents"), index),
                          json_array_get (json_object_get (answer, "metadatas"), index), fetch->args->what,
                          &fetch->chunks[place - 1]))
    return FALSE;
  return fetch->vectors == NULL ||
         chroma_read_vector (json_array_get (json_object_get (answer, "embeddings"), index),
                             fetch->vectors + (gsize)(place - 1) * dimension, dimension) ||
         chroma_job_unexpected (job, "a record has no vector of the collection's dimension");
}

static void got_records (ChromaJob *job, const json_t *answer);
static gboolean ask_for_less (ChromaJob *job);

static void
ask_for_records (ChromaJob *job)
{
  const Fetch *fetch = job->state;
  json_t *ids = json_array ();
  for (gsize i = fetch->at; i < MIN (fetch->at + fetch->at_once, json_array_size (fetch->ids)); i++)
    json_array_append (ids, json_array_get (fetch->ids, i));
  job->smaller = ask_for_less;
  chroma_job_send (job, "POST", job->store->urls[CHROMA_CHUNKS], "/get",
                   json_pack ("{s:o, s:O}", "ids", ids, "include", fetch->include), got_records);
}

static gboolean
ask_for_less (ChromaJob *job)
{
  Fetch *fetch = job->state;
  if (fetch->at_once <= 1)
    return FALSE;
  fetch->at_once = (fetch->at_once + 1) / 2;
  ask_for_records (job);
  return TRUE;
}

static void
got_records (ChromaJob *job, const json_t *answer)
{
  Fetch *fetch = job->state;
  const gsize count = json_array_size (json_object_get (answer, "ids"));
  for (gsize i = 0; i < count; i++)
    if (!take_record (job, answer, i)) {
      chroma_job_fail (job);
      return;
    }
  fetch->at += fetch->at_once;
  if (fetch->at < json_array_size (fetch->ids)) {
    ask_for_records (job);
    return;
  }
  RagifyStoreFetchResult result = { .struct_size = sizeof result, .chunks.stride = sizeof (RagifyChunk) };
  if (fetch->chunks != NULL)
    result.chunks = (RagifyChunkList){ fetch->chunks, fetch->args->ids.count, sizeof *fetch->chunks, 0 };
  if (fetch->vectors != NULL)
    result.vectors = (RagifyVectors){ fetch->vectors, (guint32)fetch->args->ids.count, job->store->dimension };
  chroma_job_done (job, &result);
}

static gboolean
prepare_fetch (ChromaJob *job)
{
  Fetch *fetch = job->state;
  const RagifyUuidList *ids = &fetch->args->ids;
  if ((fetch->args->what & (RAGIFY_FETCH_CONTENT | RAGIFY_FETCH_METADATA)) != 0) {
    fetch->chunks = chroma_job_alloc (job, ids->count * sizeof *fetch->chunks);
    for (guint64 i = 0; fetch->chunks != NULL && i < ids->count; i++)
      fetch->chunks[i] = (RagifyChunk){ .struct_size = sizeof (RagifyChunk), .flags = RAGIFY_CHUNK_MISSING };
    if (fetch->chunks == NULL)
      return FALSE;
  }
  if ((fetch->args->what & RAGIFY_FETCH_VECTORS) == 0)
    return TRUE;
  fetch->vectors = chroma_job_alloc (job, ids->count * job->store->dimension * sizeof (float));
  return fetch->vectors != NULL;
}

static void
begin_fetch (ChromaStore *store, RagifyCall *call, const void *args)
{
  Fetch *fetch = g_new0 (Fetch, 1);
  fetch->args = args;
  fetch->places = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  ChromaJob *job = chroma_job_new (store, call, fetch, fetch_free);
  if (!prepare_fetch (job)) {
    chroma_job_fail (job);
    return;
  }
  json_t *ids = fetch->ids = json_array (), *include = fetch->include = json_array ();
  for (guint64 i = 0; i < fetch->args->ids.count; i++) {
    char id[37];
    chroma_write_uuid (&fetch->args->ids.items[i], id);
    if (g_hash_table_insert (fetch->places, g_strdup (id), GUINT_TO_POINTER ((guint)i + 1)))
      json_array_append_new (ids, json_string (id));
  }
  if (fetch->chunks != NULL)
    json_array_append_new (include, json_string ("metadatas"));
  if ((fetch->args->what & RAGIFY_FETCH_CONTENT) != 0)
    json_array_append_new (include, json_string ("documents"));
  if (fetch->vectors != NULL)
    json_array_append_new (include, json_string ("embeddings"));
  fetch->at_once = MAX (json_array_size (ids), 1);
  ask_for_records (job);
}

void
chroma_fetch (void *instance, RagifyCall *call, const RagifyStoreFetch *args)
{
  chroma_store_when_open (instance, call, args, begin_fetch);
}

/* ---- generation, and what is told beside it ---- */

typedef struct Numbers {
  RagifyStoreGeneration generation;
  void (*finish) (ChromaJob *job);
} Numbers;

static void
counted_chunks (ChromaJob *job, const json_t *answer)
{
  Numbers *numbers = job->state;
  numbers->generation.chunks = numbers->generation.vectors = (guint64)json_integer_value (answer);
  numbers->finish (job);
}

static void
got_facts (ChromaJob *job, const json_t *answer)
{
  Numbers *numbers = job->state;
  const json_t *facts = json_object_get (answer, "metadata");
  RagifyUuid id;
  if (!chroma_read_uuid (chroma_text (facts, CHROMA_OWN "store"), &id)) {
    chroma_store_reopen (job->store);
    (void)ragify_fault_set (&job->fault, RAGIFY_E_UNAVAILABLE, "the collection '%s' is not Ragify's any more",
                            job->store->collection);
    chroma_job_fail (job);
    return;
  }
  numbers->generation.documents = (guint64)chroma_number (facts, CHROMA_OWN "documents");
  numbers->generation.generation = (RagifyGeneration){ id, (guint64)chroma_number (facts, CHROMA_OWN "generation") };
  chroma_job_send (job, "GET", job->store->urls[CHROMA_CHUNKS], "/count", NULL, counted_chunks);
}

static void
ask_numbers (ChromaStore *store, RagifyCall *call, void (*finish) (ChromaJob *job))
{
  Numbers *numbers = g_new0 (Numbers, 1);
  numbers->generation.struct_size = sizeof numbers->generation;
  numbers->finish = finish;
  chroma_job_send (chroma_job_new (store, call, numbers, g_free), "GET", store->facts_url, "", NULL, got_facts);
}

static void
finish_generation (ChromaJob *job)
{
  chroma_job_done (job, &((const Numbers *)job->state)->generation);
}

static void
begin_generation (ChromaStore *store, RagifyCall *call, const void *args)
{
  ask_numbers (store, call, finish_generation);
}

void
chroma_generation (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  chroma_store_when_open (instance, call, args, begin_generation);
}

static void
finish_probe (ChromaJob *job)
{
  const RagifyStoreGeneration *numbers = &((const Numbers *)job->state)->generation;
  char *text = chroma_job_alloc (job, 100);
  if (text == NULL) {
    chroma_job_fail (job);
    return;
  }
  (void)g_snprintf (text, 100, "Chroma, %" G_GUINT64_FORMAT " documents, %" G_GUINT64_FORMAT " chunks",
                    numbers->documents, numbers->chunks);
  const RagifyProbeResult result = { .struct_size = sizeof result, .detail = ragify_str_from (text) };
  chroma_job_done (job, &result);
}

static void
begin_probe (ChromaStore *store, RagifyCall *call, const void *args)
{
  ask_numbers (store, call, finish_probe);
}

void
chroma_probe (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  chroma_store_when_open (instance, call, args, begin_probe);
}

static void
finish_stats (ChromaJob *job)
{
  const RagifyStoreGeneration *numbers = &((const Numbers *)job->state)->generation;
  const RagifyHttpStats s = ragify_http_client_stats (job->store->client);
  const struct {
    const char *name;
    guint64 value;
  } values[] = { { "documents", numbers->documents }, { "chunks", numbers->chunks },
                 { "vectors", numbers->vectors },     { "generation", numbers->generation.counter },
                 { "requests", s.requests },          { "failures", s.failures },
                 { "connections_open", s.open } };
  RagifyPair *pairs = chroma_job_alloc (job, sizeof *pairs * G_N_ELEMENTS (values));
  if (pairs == NULL) {
    chroma_job_fail (job);
    return;
  }
  for (guint i = 0; i < G_N_ELEMENTS (values); i++)
    pairs[i] = (RagifyPair){ .name = ragify_str_from (values[i].name),
                             .value = { .type = RAGIFY_VALUE_INT, .integer = (int64_t)values[i].value } };
  const RagifyStatsResult result = { .struct_size = sizeof result, .values = { pairs, G_N_ELEMENTS (values) } };
  chroma_job_done (job, &result);
}

static void
begin_stats (ChromaStore *store, RagifyCall *call, const void *args)
{
  ask_numbers (store, call, finish_stats);
}

void
chroma_stats (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  chroma_store_when_open (instance, call, args, begin_stats);
}

/* The server keeps its index itself. */
void
chroma_optimize (void *instance, RagifyCall *call, const RagifyStoreOptimize *args)
{
  chroma_store_when_open (instance, call, args, begin_stats);
}

/* What was completed is committed. */
void
chroma_flush (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  ((const ChromaStore *)instance)->host->call_done (call, NULL);
}
