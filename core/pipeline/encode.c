/* An answer as JSON or as text. The body is what requests for the same thing may share; the head is each one's own.
 *
 * SPDX-License-Identifier: MIT
 */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "core/pipeline/run.h"

#define SCORE_DECIMALS 6
#define TIME_DECIMALS 6
/* What a head has besides the texts of the request. */
#define HEAD_ROOM 256

static void
write_name (RagifyWriter *writer, const char *name)
{
  ragify_writer_string (writer, ragify_str_from (name));
  ragify_writer_bytes (writer, ":", 1);
}

static void
write_seconds (RagifyWriter *writer, guint64 duration_us)
{
  ragify_writer_number (writer, (double)duration_us / G_USEC_PER_SEC, TIME_DECIMALS);
}

/* A plugin's metadata goes out as it came, once it is known to be an object. */
static gboolean
is_object (RagifyStr text)
{
  json_t *json = json_loadb (text.data, text.size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
  const gboolean result = json_is_object (json);
  json_decref (json);
  return result;
}

static void
write_metadata (RagifyWriter *writer, RagifyStr metadata)
{
  if (metadata.size > 0 && is_object (metadata))
    ragify_writer_bytes (writer, metadata.data, metadata.size);
  else
    ragify_writer_text (writer, "{}");
}

/* ---- chunks ---- */

/* The place of a candidate in what a retriever found, from 0; FALSE where it is not among it. */
static gboolean
place_in (const RagifyAsk *ask, guint32 candidate, guint *place)
{
  for (guint i = 0; i < ask->found; i++)
    if (ask->list[i].candidate == candidate) {
      *place = i;
      return TRUE;
    }
  return FALSE;
}

/* What the fused score was multiplied by. */
static void
write_adjustments (RagifyWriter *writer, const RagifyRun *run, const RagifyChosen *chosen)
{
  const float authority = run->pipeline->holders[run->candidates.holders[chosen->candidate]].authority;
  if (authority != 1) {
    ragify_writer_text (writer, ",\"authority\":");
    ragify_writer_number (writer, (double)authority, SCORE_DECIMALS);
  }
  if (run->wall_now == 0)
    return;
  ragify_writer_text (writer, ",\"freshness\":");
  ragify_writer_number (writer, ragify_freshness (&run->pipeline->options, chosen->chunk->updated_at, run->wall_now),
                        SCORE_DECIMALS);
}

/* Raw scores, by the retriever that gave them. */
static void
write_scores (RagifyWriter *writer, const RagifyRun *run, const RagifyChosen *chosen)
{
  const float cosine = run->candidates.cosines[chosen->candidate];
  ragify_writer_text (writer, ",\"scores\":{\"fused\":");
  ragify_writer_number (writer, (double)run->candidates.fused[chosen->candidate], SCORE_DECIMALS);
  if (!isnan (cosine)) {
    ragify_writer_text (writer, ",\"cosine\":");
    ragify_writer_number (writer, (double)cosine, SCORE_DECIMALS);
  }
  write_adjustments (writer, run, chosen);
  if (run->reranked != NULL) {
    ragify_writer_text (writer, ",\"reranker\":");
    ragify_writer_number (writer, (double)run->reranked[chosen->candidate], SCORE_DECIMALS);
  }
  for (guint i = 0; i < run->n_asks; i++) {
    const RagifyAsk *ask = &run->asks[i];
    guint place;
    if (!place_in (ask, chosen->candidate, &place))
      continue;
    const gboolean source = ask->place->as.type == RAGIFY_RETRIEVER_SOURCE;
    ragify_writer_bytes (writer, ",", 1);
    write_name (writer, ask->place->name);
    ragify_writer_number (writer, source ? chosen->chunk->score : (double)ask->list[place].score, SCORE_DECIMALS);
  }
  ragify_writer_bytes (writer, "}", 1);
}

static void
write_factors (RagifyWriter *writer, const RagifyRun *run, const RagifyChosen *chosen)
{
  const char *before = "";
  ragify_writer_text (writer, ",\"explain\":{\"tokens\":");
  ragify_writer_uint (writer, chosen->tokens);
  ragify_writer_text (writer, ",\"ranks\":{");
  for (guint i = 0; i < run->n_asks; i++) {
    guint place;
    if (!place_in (&run->asks[i], chosen->candidate, &place))
      continue;
    ragify_writer_text (writer, before);
    write_name (writer, run->asks[i].place->name);
    ragify_writer_uint (writer, place + 1);
    before = ",";
  }
  ragify_writer_text (writer, "}}");
}

/* Where a document has no id of its own, its URI is its name, and without one the chunk's. */
static void
write_document_id (RagifyWriter *writer, const RagifyRun *run, const RagifyChosen *chosen)
{
  const RagifyChunk *chunk = chosen->chunk;
  if (chunk->document_id.size > 0 || chunk->uri.size > 0) {
    ragify_writer_string (writer, chunk->document_id.size > 0 ? chunk->document_id : chunk->uri);
    return;
  }
  ragify_writer_bytes (writer, "\"", 1);
  ragify_writer_uuid (writer, &run->candidates.ids[chosen->candidate]);
  ragify_writer_bytes (writer, "\"", 1);
}

static void
write_source (RagifyWriter *writer, const RagifyHolder *holder, const RagifyChunk *chunk)
{
  ragify_writer_text (writer, ",\"source\":{\"id\":");
  ragify_writer_string (writer, ragify_str_from (holder->name));
  ragify_writer_text (writer, ",\"name\":");
  ragify_writer_string (writer, ragify_str_from (holder->name));
  ragify_writer_text (writer, ",\"type\":");
  ragify_writer_string (writer, ragify_str_from (holder->source_type));
  ragify_writer_text (writer, ",\"uri\":");
  if (chunk->uri.size > 0)
    ragify_writer_string (writer, chunk->uri);
  else
    ragify_writer_text (writer, "null");
  ragify_writer_bytes (writer, "}", 1);
}

static void
write_chunk (RagifyWriter *writer, const RagifyRun *run, const RagifyChosen *chosen)
{
  const RagifyChunk *chunk = chosen->chunk;
  const char *kind;
  const float relevance = ragify_run_relevance (run, chosen->candidate, &kind);
  ragify_writer_text (writer, "{\"id\":\"");
  ragify_writer_uuid (writer, &run->candidates.ids[chosen->candidate]);
  ragify_writer_text (writer, "\",\"document_id\":");
  write_document_id (writer, run, chosen);
  if (chunk->title.size > 0) {
    ragify_writer_text (writer, ",\"title\":");
    ragify_writer_string (writer, chunk->title);
  }
  ragify_writer_text (writer, ",\"content\":");
  ragify_writer_string (writer, chunk->content);
  write_source (writer, &run->pipeline->holders[run->candidates.holders[chosen->candidate]], chunk);
  ragify_writer_text (writer, ",\"relevance_score\":");
  ragify_writer_number (writer, (double)relevance, SCORE_DECIMALS);
  ragify_writer_text (writer, ",\"score_kind\":\"");
  ragify_writer_text (writer, kind);
  ragify_writer_bytes (writer, "\"", 1);
  write_scores (writer, run, chosen);
  ragify_writer_text (writer, ",\"metadata\":");
  write_metadata (writer, chunk->metadata);
  ragify_writer_text (writer, ",\"created_at\":");
  ragify_writer_time (writer, chunk->created_at);
  ragify_writer_text (writer, ",\"updated_at\":");
  ragify_writer_time (writer, chunk->updated_at);
  if (run->request->explain)
    write_factors (writer, run, chosen);
  ragify_writer_bytes (writer, "}", 1);
}

/* ---- what is said about the whole ---- */

static void
write_sources (RagifyWriter *writer, const RagifyRun *run)
{
  ragify_writer_text (writer, ",\"sources\":{");
  for (guint i = 0; i < run->n_asks; i++) {
    const RagifyAsk *ask = &run->asks[i];
    if (i > 0)
      ragify_writer_bytes (writer, ",", 1);
    write_name (writer, ask->place->name);
    ragify_writer_text (writer, "{\"status\":\"");
    ragify_writer_text (writer, ragify_ask_state_names[ask->state]);
    ragify_writer_text (writer, "\",\"chunks\":");
    ragify_writer_uint (writer, ask->found);
    ragify_writer_text (writer, ",\"duration\":");
    write_seconds (writer, ask->duration);
    if (ask->step.balanced != NULL && ask->step.call != NULL) {
      ragify_writer_text (writer, ",\"member\":");
      ragify_writer_string (writer, ragify_str_from (ragify_node_name (ragify_call_node (ask->step.call))));
    }
    if (ask->state != RAGIFY_ASK_OK) {
      ragify_writer_text (writer, ",\"error\":");
      ragify_writer_string (writer, ragify_str_from (ask->error));
    }
    ragify_writer_bytes (writer, "}", 1);
  }
  ragify_writer_bytes (writer, "}", 1);
}

static void
write_warnings (RagifyWriter *writer, const RagifyRun *run)
{
  ragify_writer_text (writer,
                      run->degraded ? ",\"degraded\":true,\"warnings\":[" : ",\"degraded\":false,\"warnings\":[");
  for (guint i = 0; i < run->n_warnings; i++) {
    if (i > 0)
      ragify_writer_bytes (writer, ",", 1);
    ragify_writer_string (writer, ragify_str_from (run->warnings[i]));
  }
  ragify_writer_bytes (writer, "]", 1);
}

static void
write_each_stage (RagifyWriter *writer, const RagifyRun *run, const guint64 *us)
{
  const char *before = "";
  for (guint i = 0; i < RAGIFY_N_STAGES; i++)
    if (run->stages & (1u << i)) {
      ragify_writer_text (writer, before);
      write_name (writer, ragify_stage_names[i]);
      write_seconds (writer, us[i]);
      before = ",";
    }
}

static void
write_stages (RagifyWriter *writer, const RagifyRun *run)
{
  static const char *const methods[] = {
    [RAGIFY_FUSE_CONVEX] = "convex", [RAGIFY_FUSE_RRF] = "rrf", [RAGIFY_FUSE_MAX] = "max", [RAGIFY_FUSE_DBSF] = "dbsf"
  };
  ragify_writer_text (writer, ",\"explain\":{\"fuse\":\"");
  ragify_writer_text (writer, methods[run->pipeline->options.fuse]);
  ragify_writer_text (writer, "\",\"candidates\":");
  ragify_writer_uint (writer, run->candidates.count);
  ragify_writer_text (writer, ",\"stages\":{");
  write_each_stage (writer, run, run->stage_us);
  ragify_writer_text (writer, "},\"began\":{");
  write_each_stage (writer, run, run->stage_at_us);
  ragify_writer_text (writer, "}}");
}

static void
write_json (RagifyWriter *writer, const RagifyRun *run)
{
  ragify_writer_text (writer, "\"chunks\":[");
  for (guint i = 0; i < run->n_chosen; i++) {
    if (i > 0)
      ragify_writer_bytes (writer, ",", 1);
    write_chunk (writer, run, &run->chosen[i]);
  }
  ragify_writer_text (writer, "],\"total_chunks\":");
  ragify_writer_uint (writer, run->candidates.count - run->dropped);
  ragify_writer_text (writer, ",\"total_tokens\":");
  ragify_writer_uint (writer, run->tokens);
  write_warnings (writer, run);
  write_sources (writer, run);
  if (run->request->explain)
    write_stages (writer, run);
  ragify_writer_bytes (writer, "}", 1);
}

/* Numbered passages, each with where it comes from, so that a model can cite [1]. */
static void
write_prompt (RagifyWriter *writer, const RagifyRun *run)
{
  if (run->n_chosen == 0)
    ragify_writer_text (writer, "No passages were found.\n");
  for (guint i = 0; i < run->n_chosen; i++) {
    const RagifyChunk *chunk = run->chosen[i].chunk;
    const RagifyStr name = chunk->uri.size > 0 ? chunk->uri : chunk->document_id;
    ragify_writer_text (writer, i == 0 ? "[" : "\n[");
    ragify_writer_uint (writer, i + 1);
    ragify_writer_text (writer, "] ");
    ragify_writer_bytes (writer, chunk->title.data, chunk->title.size);
    if (name.size > 0) {
      ragify_writer_text (writer, chunk->title.size > 0 ? " (" : "(");
      ragify_writer_bytes (writer, name.data, name.size);
      ragify_writer_bytes (writer, ")", 1);
    }
    ragify_writer_bytes (writer, "\n", 1);
    ragify_writer_bytes (writer, chunk->content.data, chunk->content.size);
    ragify_writer_bytes (writer, "\n", 1);
  }
}

/* About how large the body will be. */
static gsize
expected_size (const RagifyRun *run)
{
  gsize size = 1024;
  for (guint i = 0; i < run->n_chosen; i++) {
    const RagifyChunk *chunk = run->chosen[i].chunk;
    size += 640 + chunk->content.size + chunk->content.size / 16 + chunk->title.size + 2 * chunk->uri.size +
            chunk->document_id.size + chunk->metadata.size;
  }
  return size;
}

char *
ragify_encode_body (RagifyRun *run, gsize *size)
{
  RagifyWriter writer;
  ragify_writer_init (&writer, expected_size (run));
  if (run->request->format == RAGIFY_FORMAT_PROMPT)
    write_prompt (&writer, run);
  else
    write_json (&writer, run);
  return ragify_writer_steal (&writer, size);
}

void
ragify_encode_head (RagifyRun *run, const char *cache, char **head, gsize *size)
{
  const RagifyRequest *request = run->request;
  *head = NULL;
  *size = 0;
  if (request->format == RAGIFY_FORMAT_PROMPT)
    return;
  /* A byte becomes six when it is escaped. */
  const gsize room = 6 * (request->query.size + sizeof request->id) + strlen (cache) + HEAD_ROOM;
  RagifyWriter writer;
  ragify_writer_init_fixed (&writer, ragify_arena_alloc (run->arena, room), room);
  ragify_writer_text (&writer, "{\"request_id\":");
  ragify_writer_string (&writer, ragify_str_from (request->id));
  ragify_writer_text (&writer, ",\"query\":");
  ragify_writer_string (&writer, request->query);
  ragify_writer_text (&writer, ",\"processing_time\":");
  write_seconds (&writer, ragify_now () - request->began);
  ragify_writer_text (&writer, ",\"cache\":\"");
  ragify_writer_text (&writer, cache);
  ragify_writer_text (&writer, "\",");
  *head = ragify_writer_steal (&writer, size);
}

void
ragify_encode_problem (RagifyRun *run, const RagifyProblem *problem, char **text, gsize *size)
{
  g_autofree char *plain = ragify_problem_encode (problem, run->request->id, size);
  RagifyWriter writer;
  ragify_writer_init (&writer, *size + 512);
  ragify_writer_bytes (&writer, plain, *size - 1); /* without the closing brace */
  if (run->n_asks > 0 && problem->status == 503)
    write_sources (&writer, run);
  ragify_writer_bytes (&writer, "}", 1);
  *text = ragify_arena_copy (run->arena, writer.data, writer.size);
  *size = writer.size;
  ragify_writer_clear (&writer);
}

const char *
ragify_encode_content_type (const RagifyRequest *request)
{
  return request->format == RAGIFY_FORMAT_PROMPT ? "text/plain; charset=utf-8" : "application/json";
}
