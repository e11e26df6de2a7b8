/* SPDX-License-Identifier: MIT */
#include "core/pipeline/nested.h"

#include <jansson.h>
#include <string.h>

#define STOP_TIMEOUT_US (10 * G_USEC_PER_SEC)

struct RagifyNested {
  RagifyComponent component;
  RagifyPipeline *pipeline;
  RagifyNode *node;
};

/* One question on its way through the inner pipeline. In the request's arena. */
typedef struct Asking {
  RagifyTask task; /* a cancellation on its way to the loop */
  const RagifyHost *host;
  RagifyCall *call;
  RagifyRequest *request;
} Asking;

typedef struct Instance {
  const RagifyHost *host;
  RagifyNested *nested;
} Instance;

/* ---- the inner answer as passages ---- */

static RagifyStr
copy_text (const Asking *asking, const char *text)
{
  const gsize size = text != NULL ? strlen (text) : 0;
  char *copy = size > 0 ? asking->host->call_alloc (asking->call, size) : NULL;
  if (copy == NULL)
    return ragify_str (NULL, 0);
  memcpy (copy, text, size);
  return ragify_str (copy, size);
}

static RagifyStr
copy_member (const Asking *asking, const json_t *object, const char *name)
{
  return copy_text (asking, json_string_value (json_object_get (object, name)));
}

static RagifyStr
copy_metadata (const Asking *asking, const json_t *chunk)
{
  const json_t *metadata = json_object_get (chunk, "metadata");
  char *text = json_object_size (metadata) > 0 ? json_dumps (metadata, JSON_COMPACT) : NULL;
  const RagifyStr copy = copy_text (asking, text);
  free (text);
  return copy;
}

static void
read_uuid (const char *text, RagifyUuid *uuid)
{
  guint digits = 0;
  for (; text != NULL && *text != '\0' && digits < 32; text++) {
    if (*text == '-')
      continue;
    const int digit = g_ascii_xdigit_value (*text);
    if (digit < 0)
      break;
    uuid->bytes[digits / 2] = (guint8)(uuid->bytes[digits / 2] << 4 | digit);
    digits++;
  }
  if (digits != 32)
    *uuid = (RagifyUuid){ 0 }; /* the host derives one */
}

static gint64
read_time (const json_t *chunk, const char *name)
{
  const char *text = json_string_value (json_object_get (chunk, name));
  g_autoptr (GDateTime) time = text != NULL ? g_date_time_new_from_iso8601 (text, NULL) : NULL;
  return time != NULL ? g_date_time_to_unix (time) * G_USEC_PER_SEC + g_date_time_get_microsecond (time) : 0;
}

static void
read_chunk (const Asking *asking, const json_t *from, RagifyChunk *chunk)
{
  *chunk = (RagifyChunk){ .struct_size = sizeof *chunk,
                          .flags = RAGIFY_CHUNK_SCORED,
                          .document_id = copy_member (asking, from, "document_id"),
                          .content = copy_member (asking, from, "content"),
                          .title = copy_member (asking, from, "title"),
                          .uri = copy_member (asking, json_object_get (from, "source"), "uri"),
                          .metadata = copy_metadata (asking, from),
                          .created_at = read_time (from, "created_at"),
                          .updated_at = read_time (from, "updated_at"),
                          .score = json_number_value (json_object_get (from, "relevance_score")) };
  read_uuid (json_string_value (json_object_get (from, "id")), &chunk->id);
}

static void
give_chunks (const Asking *asking, const json_t *answer, gboolean partial)
{
  const json_t *list = json_object_get (answer, "chunks");
  const gsize count = json_array_size (list);
  RagifyChunk *chunks = asking->host->call_alloc (asking->call, MAX (count, 1) * sizeof *chunks);
  if (chunks == NULL) {
    asking->host->call_fail (asking->call, RAGIFY_E_EXHAUSTED, ragify_str_from ("its answer is too large"), 0);
    return;
  }
  for (gsize i = 0; i < count; i++)
    read_chunk (asking, json_array_get (list, i), &chunks[i]);
  const RagifySourceResult result = { .struct_size = sizeof result,
                                      .reserved = partial ? RAGIFY_NESTED_PARTIAL : 0,
                                      .chunks = { .items = chunks, .count = count, .stride = sizeof *chunks } };
  asking->host->call_done (asking->call, &result);
}

static void
fail (const Asking *asking, const RagifyAnswer *answer, const json_t *problem)
{
  const char *detail = json_string_value (json_object_get (problem, "detail"));
  const gint32 code = answer->status == 499   ? RAGIFY_E_CANCELLED
                      : answer->status == 503 ? RAGIFY_E_UNAVAILABLE
                                              : RAGIFY_E_INVALID;
  asking->host->call_fail (asking->call, code, ragify_str_from (detail != NULL ? detail : "it could not be answered"),
                           (guint64)answer->retry_after * G_USEC_PER_SEC);
}

static void
answered (RagifyRequest *request, const RagifyAnswer *answer, void *user)
{
  Asking *asking = user;
  g_autoptr (GString) text = g_string_new_len (answer->head, (gssize)answer->head_size);
  if (answer->body != NULL)
    g_string_append_len (text, (const char *)answer->body->data, (gssize)answer->body->size);
  json_t *json = json_loadb (text->str, text->len, 0, NULL);
  if (answer->status == 200 && json != NULL)
    give_chunks (asking, json, answer->degraded);
  else
    fail (asking, answer, json);
  json_decref (json);
  ragify_owner_unref (&request->owner);
}

/* ---- asking ---- */

static void
cancel_at_home (RagifyTask *task)
{
  Asking *asking = (Asking *)task;
  RagifyRequest *request = asking->request;
  ragify_pipeline_cancel (request);
  ragify_owner_unref (&request->owner);
}

static void
cancelled (RagifyCall *call, void *user)
{
  Asking *asking = user;
  ragify_owner_ref (&asking->request->owner);
  asking->task.run = cancel_at_home;
  ragify_loop_post (asking->request->loop, &asking->task);
}

static void
query (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  const Instance *self = instance;
  RagifyLoop *loop = ragify_loop_current ();
  if (loop == NULL) {
    self->host->call_fail (call, RAGIFY_E_INVALID, ragify_str_from ("a pipeline is asked from a loop only"), 0);
    return;
  }
  RagifyRequest *request = ragify_request_new_nested (args->text, args->filter);
  const guint64 now = ragify_now (), deadline = self->host->call_deadline_us (call);
  request->loop = loop;
  request->began = now;
  request->timeout_us = deadline > now ? deadline - now : 1;
  g_strlcpy (request->id, "nested", sizeof request->id);
  request->owner.spot = ragify_call_spot (call);
  Asking *asking = ragify_arena_alloc (request->owner.arena, sizeof *asking);
  *asking = (Asking){ .host = self->host, .call = call, .request = request };
  self->host->call_on_cancel (call, cancelled, asking);
  ragify_owner_ref (&request->owner); /* it may be answered before the next line is over */
  ragify_pipeline_answer (self->nested->pipeline, request, answered, asking);
  ragify_owner_unref (&request->owner);
}

/* ---- the component ---- */

static gint32
get_value (void *user, const char *key, guint32 type, void *value)
{
  if (type != RAGIFY_KEY_STRING)
    return RAGIFY_E_NOT_FOUND;
  *(RagifyStr *)value = ragify_str (user, sizeof (RagifyNested)); /* not a text: where create finds itself */
  return RAGIFY_OK;
}

static gint32
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  RagifyStr where = { 0 };
  if (host->config_string (context, "nested", &where) != RAGIFY_OK)
    return RAGIFY_E_INTERNAL;
  Instance *self = g_new0 (Instance, 1);
  self->host = host;
  self->nested = (RagifyNested *)(void *)(char *)where.data;
  *instance = self;
  return RAGIFY_OK;
}

static void
start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  const Instance *self = instance;
  self->host->call_done (call, NULL);
}

static void
destroy (void *instance)
{
  g_free (instance);
}

RagifyNested *
ragify_nested_new (RagifyRuntime *runtime, RagifyPipeline *pipeline, const RagifyNodeOptions *options, GError **error)
{
  static const RagifySourceOperations operations = { .struct_size = sizeof operations, .query = query };
  RagifyNested *nested = g_new0 (RagifyNested, 1);
  nested->pipeline = pipeline;
  nested->component = (RagifyComponent){ .struct_size = sizeof nested->component,
                                         .flags = RAGIFY_COMPONENT_FILTERS,
                                         .kind = RAGIFY_KIND_SOURCE,
                                         .name = "pipeline",
                                         .summary = "Another pipeline.",
                                         .run_class = RAGIFY_RUN_SHARED,
                                         .operations = &operations,
                                         .create = create,
                                         .start = start,
                                         .destroy = destroy };
  RagifyNodeOptions own = *options;
  own.component = &nested->component;
  own.values = (RagifyNodeValues){ .get = get_value, .user = nested };
  nested->node = ragify_node_new (runtime, &own, error);
  if (nested->node != NULL)
    return nested;
  g_free (nested);
  return NULL;
}

void
ragify_nested_free (RagifyNested *nested)
{
  if (ragify_node_free (nested->node, ragify_now () + STOP_TIMEOUT_US))
    g_free (nested);
}

RagifyNode *
ragify_nested_node (const RagifyNested *nested)
{
  return nested->node;
}
