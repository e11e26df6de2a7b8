/* SPDX-License-Identifier: MIT */
#include "core/ingest/job-private.h"
#include "core/ingest/json-time.h"

void
ragify_job_progress_init (RagifyJobProgress *progress)
{
  *progress = (RagifyJobProgress){ .state = "waiting", .set_aside = g_ptr_array_new_with_free_func (g_free) };
}

void
ragify_job_progress_clear (RagifyJobProgress *progress)
{
  g_ptr_array_unref (progress->set_aside);
  g_clear_pointer (&progress->error, g_free);
}

void
ragify_job_progress_begin (RagifyJobProgress *progress)
{
  RagifyJobProgress fresh;
  ragify_job_progress_init (&fresh);
  fresh.state = "running";
  fresh.passes = progress->passes;
  fresh.took = progress->took;
  fresh.began = ragify_now ();
  fresh.began_at = g_get_real_time ();
  fresh.ended_at = progress->ended_at;
  ragify_job_progress_clear (progress);
  *progress = fresh;
}

/* By the bytes that were looked into so far; JSON null where nothing can be said. */
static void
describe_speed (const RagifyJobProgress *progress, json_t *object)
{
  const double elapsed = (double)(ragify_now () - progress->began) / G_USEC_PER_SEC;
  const gboolean runs = g_str_equal (progress->state, "running") && progress->read > 0 && elapsed > 0;
  const guint64 left = progress->to_bytes > progress->bytes ? progress->to_bytes - progress->bytes : 0;
  json_object_set_new (object, "documents_per_second",
                       runs ? json_real ((double)progress->read / elapsed) : json_null ());
  json_object_set_new (object, "seconds_left",
                       runs && progress->bytes > 0 ? json_real ((double)left * elapsed / (double)progress->bytes)
                                                   : json_null ());
}

static json_t *
describe_set_aside (const RagifyJobProgress *progress)
{
  json_t *list = json_array ();
  for (guint i = 0; i + 1 < progress->set_aside->len; i += 2)
    json_array_append_new (list, json_pack ("{s:s, s:s}", "document",
                                            (const char *)g_ptr_array_index (progress->set_aside, i), "reason",
                                            (const char *)g_ptr_array_index (progress->set_aside, i + 1)));
  return list;
}

json_t *
ragify_job_progress_describe (const RagifyJobProgress *progress, gboolean details)
{
  json_t *object =
      json_pack ("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:f, s:s?}",
                 "state", progress->state, "passes", (json_int_t)progress->passes, "found", (json_int_t)progress->found,
                 "to_read", (json_int_t)progress->to_read, "to_read_bytes", (json_int_t)progress->to_bytes, "read",
                 (json_int_t)progress->read, "read_bytes", (json_int_t)progress->bytes, "documents",
                 (json_int_t)progress->documents, "chunks", (json_int_t)progress->chunks, "embedded",
                 (json_int_t)progress->embedded, "reused", (json_int_t)progress->reused, "unchanged",
                 (json_int_t)progress->unchanged, "deleted", (json_int_t)progress->deleted, "set_aside_total",
                 (json_int_t)progress->n_set_aside, "began_at", ragify_json_time (progress->began_at), "ended_at",
                 ragify_json_time (progress->ended_at), "next_at", ragify_json_time (progress->next_at), "last_seconds",
                 (double)progress->took / G_USEC_PER_SEC, "error", progress->error);
  describe_speed (progress, object);
  if (details)
    json_object_set_new (object, "set_aside", describe_set_aside (progress));
  return object;
}
