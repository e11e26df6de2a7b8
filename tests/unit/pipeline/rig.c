/* SPDX-License-Identifier: MIT */
#include "rig.h"

#include <pthread.h>
#include <string.h>

#define PATIENCE_US (60 * (guint64)G_USEC_PER_SEC)

/* ---- the runtime ---- */

typedef struct {
  RagifyTask task;
  void (*work) (void *user);
  void *user;
  pthread_mutex_t lock;
  pthread_cond_t done;
  gboolean finished;
} Errand;

static void
run_errand (RagifyTask *task)
{
  Errand *errand = (Errand *)task;
  errand->work (errand->user);
  pthread_mutex_lock (&errand->lock);
  errand->finished = TRUE;
  pthread_cond_signal (&errand->done);
  pthread_mutex_unlock (&errand->lock);
}

void
rig_run (Rig *rig, guint loop, void (*work) (void *user), void *user)
{
  Errand errand = { .task.run = run_errand, .work = work, .user = user };
  pthread_mutex_init (&errand.lock, NULL);
  pthread_cond_init (&errand.done, NULL);
  ragify_loop_post (rig->runtime.loops[loop], &errand.task);
  pthread_mutex_lock (&errand.lock);
  while (!errand.finished)
    pthread_cond_wait (&errand.done, &errand.lock);
  pthread_mutex_unlock (&errand.lock);
  pthread_cond_destroy (&errand.done);
  pthread_mutex_destroy (&errand.lock);
}

Rig *
rig_new (guint loops)
{
  Rig *rig = g_new0 (Rig, 1);
  rig->runtime.metrics = ragify_metrics_new ();
  rig->runtime.workers = ragify_workers_new (4, 1000);
  rig->runtime.n_loops = loops;
  rig->runtime.loops = g_new0 (RagifyLoop *, loops);
  for (guint i = 0; i < loops; i++)
    rig->runtime.loops[i] = ragify_loop_new (i);
  rig->registry = ragify_registry_new ();
  rig->nodes = g_ptr_array_new ();
  return rig;
}

void
rig_free (Rig *rig)
{
  while (rig->nodes->len > 0)
    if (!ragify_node_free (g_ptr_array_steal_index (rig->nodes, rig->nodes->len - 1), ragify_now () + PATIENCE_US))
      g_error ("a node could not be freed");
  ragify_workers_free (rig->runtime.workers, PATIENCE_US);
  for (guint i = 0; i < rig->runtime.n_loops; i++)
    ragify_loop_free (rig->runtime.loops[i]);
  ragify_metrics_free (rig->runtime.metrics);
  ragify_registry_free (rig->registry);
  g_ptr_array_unref (rig->nodes);
  g_free (rig->runtime.loops);
  g_free (rig);
}

/* ---- configuration ---- */

typedef struct {
  const RagifyComponent *component;
  GHashTable *settings;
  Script *script;
} Values;

static guint64
parse_unit (const char *text)
{
  static const struct {
    const char *unit;
    guint64 factor;
  } units[] = { { "us", 1 },           { "ms", 1000 },        { "s", 1000000 }, { "min", 60000000 },
                { "h", 3600000000u },  { "d", 86400000000u }, { "KiB", 1024 },  { "MiB", 1048576 },
                { "GiB", 1073741824 }, { "MB", 1000000 },     { "", 1 } };
  char *end;
  const guint64 number = g_ascii_strtoull (text, &end, 10);
  for (gsize i = 0; i < G_N_ELEMENTS (units); i++)
    if (strcmp (units[i].unit, end) == 0)
      return number * units[i].factor;
  g_error ("unit of %s", text);
}

static const char *
find_value (const Values *values, const char *key)
{
  const char *text = g_hash_table_lookup (values->settings, key);
  const RagifySchema *schema = &values->component->schema;
  for (guint i = 0; i < schema->count && text == NULL; i++) {
    const RagifyKey *at = (const RagifyKey *)(const void *)((const char *)schema->keys + i * schema->stride);
    if (strcmp (at->name, key) == 0)
      text = at->default_value;
  }
  return text;
}

static gint32
get_value (void *user, const char *key, guint32 type, void *value)
{
  const Values *values = user;
  if (strcmp (key, "script") == 0) {
    *(RagifyStr *)value = ragify_str ((const char *)values->script, sizeof (Script));
    return RAGIFY_OK;
  }
  const char *text = find_value (values, key);
  if (text == NULL)
    return RAGIFY_E_NOT_FOUND;
  switch (type) {
  case RAGIFY_KEY_INT:
    *(gint64 *)value = g_ascii_strtoll (text, NULL, 10);
    break;
  case RAGIFY_KEY_DOUBLE:
    *(double *)value = g_ascii_strtod (text, NULL);
    break;
  case RAGIFY_KEY_BOOL:
    *(guint32 *)value = strcmp (text, "true") == 0 || strcmp (text, "yes") == 0;
    break;
  case RAGIFY_KEY_DURATION:
  case RAGIFY_KEY_SIZE:
    *(guint64 *)value = parse_unit (text);
    break;
  default:
    *(RagifyStr *)value = ragify_str_from (text);
  }
  return RAGIFY_OK;
}

static void
free_values (void *user)
{
  Values *values = user;
  g_hash_table_unref (values->settings);
  g_free (values);
}

static RagifyNode *
start_node (Rig *rig, const char *name, const RagifyComponent *component, Script *script, const char *settings)
{
  Values *values = g_new0 (Values, 1);
  values->component = component;
  values->script = script;
  values->settings = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_auto (GStrv) pairs = g_strsplit (settings, " ", -1);
  for (guint i = 0; pairs[i] != NULL; i++) {
    g_auto (GStrv) pair = g_strsplit (pairs[i], "=", 2);
    if (pair[0] != NULL && pair[1] != NULL)
      g_hash_table_insert (values->settings, g_strdup (pair[0]), g_strdup (pair[1]));
  }
  RagifyNodeOptions options = rig->options;
  options.name = name;
  options.component = component;
  options.values = (RagifyNodeValues){ .get = get_value, .destroy = free_values, .user = values };
  const gboolean store = g_str_equal (component->kind, RAGIFY_KIND_VECTOR_STORE);
  const RagifyStart start = { .struct_size = sizeof start, .embedder = store ? rig->embedder : NULL };
  g_autoptr (GError) error = NULL;
  RagifyNode *node = ragify_node_new (&rig->runtime, &options, &error);
  if (node == NULL || !ragify_node_start (node, &start, ragify_now () + PATIENCE_US, &error))
    g_error ("%s: %s", name, error->message);
  g_ptr_array_add (rig->nodes, node);
  return node;
}

RagifyNode *
rig_plugin (Rig *rig, const char *name, const char *plugin, const char *kind, const char *component,
            const char *settings)
{
  const RagifyModule *module;
  const RagifyComponent *found = ragify_registry_find (rig->registry, kind, component, &module);
  g_autoptr (GError) error = NULL;
  if (found == NULL && !ragify_registry_load (rig->registry, g_getenv (plugin), &error))
    g_error ("%s", error->message);
  found = ragify_registry_find (rig->registry, kind, component, &module);
  g_assert_nonnull (found);
  return start_node (rig, name, found, NULL, settings);
}

RagifyNode *
rig_scripted (Rig *rig, const char *name, const RagifyComponent *component, Script *script)
{
  return start_node (rig, name, component, script, "");
}

/* ---- asking ---- */

typedef struct {
  RagifyTask task;
  Rig *rig;
  guint loop;
  RagifyPipeline *pipeline;
  const char *request;
  guint leave_after_ms;
  RagifyRequest *asked;
  RagifyDeadline leaves;
  Reply reply;
  pthread_mutex_t *lock;
  pthread_cond_t *done;
  guint *pending;
} Question;

static void
take_reply (Reply *reply, const RagifyAnswer *answer)
{
  const gsize body_size = answer->body != NULL ? answer->body->size : 0;
  *reply = (Reply){
    .status = answer->status,
    .text = g_malloc0 (answer->head_size + body_size + 1),
    .size = answer->head_size + body_size,
    .cache = g_strdup (answer->cache),
    .content_type = g_strdup (answer->content_type),
    .degraded = answer->degraded,
    .retry_after = answer->retry_after,
  };
  if (answer->head_size > 0)
    memcpy (reply->text, answer->head, answer->head_size);
  if (body_size > 0)
    memcpy (reply->text + answer->head_size, answer->body->data, body_size);
}

static void
question_done (Question *question)
{
  pthread_mutex_lock (question->lock);
  if (--*question->pending == 0)
    pthread_cond_signal (question->done);
  pthread_mutex_unlock (question->lock);
}

static void
answered (RagifyRequest *request, const RagifyAnswer *answer, void *user)
{
  Question *question = user;
  ragify_loop_disarm (request->loop, &question->leaves);
  take_reply (&question->reply, answer);
  ragify_owner_unref (&request->owner);
  question_done (question);
}

static void
leave (RagifyDeadline *deadline)
{
  Question *question = (Question *)(void *)((char *)deadline - G_STRUCT_OFFSET (Question, leaves));
  ragify_pipeline_cancel (question->asked);
}

static void
ask (RagifyTask *task)
{
  Question *question = (Question *)task;
  RagifyProblem problem = { 0 };
  RagifyRequest *request = ragify_request_parse_json (question->request, strlen (question->request), &problem);
  if (request == NULL) {
    question->reply = (Reply){ .status = problem.status, .text = g_strdup (problem.detail) };
    ragify_problem_clear (&problem);
    question_done (question);
    return;
  }
  request->loop = question->rig->runtime.loops[question->loop];
  request->began = ragify_now ();
  g_strlcpy (request->id, "test-request", sizeof request->id);
  question->asked = request;
  question->leaves.expired = leave;
  if (question->leave_after_ms > 0)
    ragify_loop_arm (request->loop, &question->leaves, request->began + question->leave_after_ms * 1000);
  ragify_pipeline_answer (question->pipeline, request, answered, question);
}

static void
ask_all (Rig *rig, RagifyPipeline *pipeline, const char *const *requests, guint n_requests, guint first_loop,
         guint count, guint leave_after_ms, Reply *replies)
{
  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t done = PTHREAD_COND_INITIALIZER;
  guint pending = count;
  Question *questions = g_new0 (Question, count);
  for (guint i = 0; i < count; i++) {
    questions[i] = (Question){ .task.run = ask,
                               .rig = rig,
                               .loop = (first_loop + i) % rig->runtime.n_loops,
                               .pipeline = pipeline,
                               .request = requests[i % n_requests],
                               .leave_after_ms = leave_after_ms,
                               .lock = &lock,
                               .done = &done,
                               .pending = &pending };
    ragify_loop_post (rig->runtime.loops[questions[i].loop], &questions[i].task);
  }
  pthread_mutex_lock (&lock);
  while (pending > 0)
    pthread_cond_wait (&done, &lock);
  pthread_mutex_unlock (&lock);
  for (guint i = 0; i < count; i++)
    replies[i] = questions[i].reply;
  g_free (questions);
}

Reply
rig_ask (Rig *rig, guint loop, RagifyPipeline *pipeline, const char *request)
{
  Reply reply;
  ask_all (rig, pipeline, &request, 1, loop, 1, 0, &reply);
  return reply;
}

void
rig_ask_many (Rig *rig, RagifyPipeline *pipeline, const char *request, guint count, Reply *replies)
{
  ask_all (rig, pipeline, &request, 1, 0, count, 0, replies);
}

void
rig_ask_each (Rig *rig, RagifyPipeline *pipeline, const char *const *requests, guint count, guint leave_after_ms,
              Reply *replies)
{
  ask_all (rig, pipeline, requests, count, 0, count, leave_after_ms, replies);
}

Reply
rig_ask_and_leave (Rig *rig, guint loop, RagifyPipeline *pipeline, const char *request, guint ms)
{
  Reply reply;
  ask_all (rig, pipeline, &request, 1, loop, 1, ms, &reply);
  return reply;
}

void
reply_clear (Reply *reply)
{
  g_free (reply->text);
  g_free (reply->cache);
  g_free (reply->content_type);
  *reply = (Reply){ 0 };
}
