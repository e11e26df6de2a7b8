#include "pages.h"

#include <string.h>

/* What a record's parts come to in an answer, about; larger ones have the page halved. */
#define ID_BYTES 64u
#define TEXT_BYTES 4096u
#define NUMBER_BYTES 13u

struct ChromaPages {
  ChromaCollection which;
  json_t *body;
  guint64 offset, limit;
  gboolean last; /* the page at hand is */
  ChromaTake take;
};

void
chroma_pages_free (ChromaPages *pages)
{
  if (pages != NULL)
    json_decref (pages->body);
  g_free (pages);
}

static guint64
bytes_of_record (const ChromaStore *store, const json_t *body)
{
  const json_t *include = json_object_get (body, "include");
  guint64 bytes = ID_BYTES;
  for (gsize i = 0; i < json_array_size (include); i++) {
    const gboolean vector = strcmp (json_string_value (json_array_get (include, i)), "embeddings") == 0;
    bytes += vector ? (guint64)NUMBER_BYTES * store->dimension : TEXT_BYTES;
  }
  return bytes;
}

static gboolean
smaller (ChromaJob *job)
{
  ChromaPages *pages = job->pages;
  if (pages->limit <= 1)
    return FALSE;
  pages->limit /= 2;
  chroma_pages_next (job);
  return TRUE;
}

static void
got_page (ChromaJob *job, const json_t *answer)
{
  ChromaPages *pages = job->pages;
  const gsize count = json_array_size (json_object_get (answer, "ids"));
  pages->offset += count;
  pages->last = count < pages->limit;
  pages->take (job, answer);
}

void
chroma_pages_next (ChromaJob *job)
{
  ChromaPages *pages = job->pages;
  if (pages->last) {
    const ChromaTake take = pages->take;
    g_clear_pointer (&job->pages, chroma_pages_free);
    take (job, NULL);
    return;
  }
  json_object_set_new (pages->body, "limit", json_integer ((json_int_t)pages->limit));
  json_object_set_new (pages->body, "offset", json_integer ((json_int_t)pages->offset));
  job->smaller = smaller;
  chroma_job_send (job, "POST", job->store->urls[pages->which], "/get", json_deep_copy (pages->body), got_page);
}

void
chroma_pages_begin (ChromaJob *job, ChromaCollection which, json_t *body, ChromaTake take)
{
  const ChromaStore *store = job->store;
  const guint64 fit = store->settings->max_response_size / 2 / bytes_of_record (store, body);
  job->pages = g_new0 (ChromaPages, 1);
  *job->pages = (ChromaPages){ .which = which, .body = body, .limit = CLAMP (fit, 1, 100000), .take = take };
  chroma_pages_next (job);
}
