/* SPDX-License-Identifier: MIT */
#include "kit-private.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define IDLE_WITHIN_S 20

static void
refuse (void *self, RagifyCall *call, const void *args)
{
  (void)self;
  (void)args;
  kit_call_fail (call, RAGIFY_E_INVALID, ragify_str_from ("the component has no such operation"), 0);
}

static void
run_call (void *user)
{
  kit_call_run (user);
}

/* Takes the next waiting call if a worker is free for it. The lock is held. */
static RagifyCall *
next_runnable (RagifyContext *context)
{
  RagifyCall *call = context->waiting_first;
  if (call == NULL || context->running >= context->parallel)
    return NULL;
  context->waiting_first = call->next;
  if (context->waiting_first == NULL)
    context->waiting_last = NULL;
  context->running++;
  return call;
}

static void
push_call (RagifyContext *context, RagifyCall *call)
{
  while (!kit_pool_push (context->kit->pool, run_call, call)) {
    const struct timespec pause = { .tv_nsec = 1000000 };
    nanosleep (&pause, NULL);
  }
}

void
kit_instance_call_ended (RagifyKitInstance *instance)
{
  RagifyContext *context = &instance->context;
  RagifyCall *next = NULL;
  pthread_mutex_lock (&context->lock);
  context->under_way--;
  if (context->component->run_class == RAGIFY_RUN_WORKER) {
    context->running--;
    next = next_runnable (context);
  }
  if (context->under_way == 0)
    pthread_cond_broadcast (&context->idle);
  pthread_mutex_unlock (&context->lock);
  if (next != NULL)
    push_call (context, next);
}

RagifyKitCall *
ragify_kit_begin (RagifyKitInstance *instance, RagifyKitFunction function, const void *args, uint64_t timeout_us)
{
  RagifyContext *context = &instance->context;
  RagifyCall *call = kit_call_new (instance, function != NULL ? function : (RagifyKitFunction)refuse, args, timeout_us);
  RagifyCall *runnable = NULL;
  pthread_mutex_lock (&context->lock);
  context->under_way++;
  if (context->component->run_class == RAGIFY_RUN_WORKER) {
    if (context->waiting_last != NULL)
      context->waiting_last->next = call;
    else
      context->waiting_first = call;
    context->waiting_last = call;
    runnable = next_runnable (context);
  }
  pthread_mutex_unlock (&context->lock);

  if (context->component->run_class == RAGIFY_RUN_LOOP)
    kit_loop_invoke (context->loop, run_call, call);
  else if (context->component->run_class == RAGIFY_RUN_SHARED)
    kit_call_run (call);
  else if (runnable != NULL)
    push_call (context, runnable);
  return &call->reply;
}

RagifyKitCall *
ragify_kit_call (RagifyKitInstance *instance, RagifyKitFunction function, const void *args, uint64_t timeout_us)
{
  return ragify_kit_wait (ragify_kit_begin (instance, function, args, timeout_us));
}

RagifyKitInstance *
ragify_kit_create (RagifyKit *kit, const RagifyComponent *component, const char *const *config,
                   const RagifyKitNode *node)
{
  KitConfig *values = kit_config_new (kit, component, config);
  if (values == NULL)
    return NULL;
  RagifyKitInstance *instance = kit_alloc (sizeof *instance);
  RagifyContext *context = &instance->context;
  const char *name = node != NULL && node->name != NULL ? node->name : component->name;
  context->kit = kit;
  context->component = component;
  context->config = values;
  context->node = kit_node_get (kit, name);
  context->which = (RagifyInstance){
    .struct_size = sizeof (RagifyInstance),
    .index = node != NULL ? node->index : 0,
    .count = node != NULL && node->count > 0 ? node->count : 1,
    .node = ragify_str_from (name),
  };
  context->parallel = component->max_parallel > 0 ? component->max_parallel : 1;
  pthread_mutex_init (&context->lock, NULL);
  pthread_condattr_t attributes;
  pthread_condattr_init (&attributes);
  pthread_condattr_setclock (&attributes, CLOCK_MONOTONIC);
  pthread_cond_init (&context->idle, &attributes);
  pthread_condattr_destroy (&attributes);
  if (component->run_class == RAGIFY_RUN_LOOP)
    context->loop = kit_loop_new (kit);

  const int32_t code = component->create (&kit_host, context, &context->which, &context->self);
  if (code == RAGIFY_OK)
    return instance;
  kit_set_error (kit, "%s: create: %s (code %d)", component->name,
                 context->create_error[0] != '\0' ? context->create_error : "no reason given", code);
  if (context->create_error[0] == '\0')
    kit_fault (kit, "%s: create failed without saying why", component->name);
  context->self = NULL;
  ragify_kit_destroy (instance);
  return NULL;
}

/* Runs a lifecycle function; its error goes into the kit's. */
static int32_t
run_lifecycle (RagifyKitInstance *instance, const char *what, RagifyKitFunction function, const void *args)
{
  if (function == NULL)
    return RAGIFY_OK;
  RagifyKitCall *call = ragify_kit_call (instance, function, args, 0);
  const int32_t code = call->code;
  if (code != RAGIFY_OK)
    kit_set_error (instance->context.kit, "%s: %s: %s (code %d)", instance->context.component->name, what,
                   call->message, code);
  ragify_kit_call_free (call);
  return code;
}

int32_t
ragify_kit_start (RagifyKitInstance *instance, const RagifyEmbedderInfo *embedder)
{
  const RagifyStart args = { .struct_size = sizeof args, .embedder = embedder };
  return run_lifecycle (instance, "start", (RagifyKitFunction)instance->context.component->start, &args);
}

/* Waits until no call is under way. False, with a fault, when that does not come. */
static bool
await_idle (RagifyContext *context, const char *before)
{
  struct timespec until;
  clock_gettime (CLOCK_MONOTONIC, &until);
  until.tv_sec += IDLE_WITHIN_S;
  bool idle = true;
  pthread_mutex_lock (&context->lock);
  while (context->under_way > 0 && idle)
    idle = pthread_cond_timedwait (&context->idle, &context->lock, &until) != ETIMEDOUT;
  const uint64_t left = context->under_way;
  pthread_mutex_unlock (&context->lock);
  if (left > 0)
    kit_fault (context->kit, "%s: %llu calls are still under way before %s", context->component->name,
               (unsigned long long)left, before);
  return left == 0;
}

int32_t
ragify_kit_stop (RagifyKitInstance *instance)
{
  const RagifyNothing args = { .struct_size = sizeof args };
  await_idle (&instance->context, "stop");
  return run_lifecycle (instance, "stop", (RagifyKitFunction)instance->context.component->stop, &args);
}

static void
passed (void *user)
{
  sem_post (user);
}

/* What is on its way to the instance's loop runs before the instance is destroyed. */
static void
await_loop (KitLoop *loop)
{
  sem_t reached;
  if (loop == NULL)
    return;
  sem_init (&reached, 0, 0);
  kit_loop_invoke (loop, passed, &reached);
  while (sem_wait (&reached) != 0)
    ;
  sem_destroy (&reached);
}

void
ragify_kit_destroy (RagifyKitInstance *instance)
{
  RagifyContext *context = &instance->context;
  /* An instance that still has a call under way could touch freed memory: it is kept, and the fault says so. */
  if (!await_idle (context, "destroy"))
    return;
  await_loop (context->loop);
  if (context->self != NULL)
    context->component->destroy (context->self);
  kit_loop_free (context->loop);
  kit_config_free (context->config);
  pthread_mutex_destroy (&context->lock);
  pthread_cond_destroy (&context->idle);
  free (instance);
}

RagifyKitInstance *
ragify_kit_open (RagifyKit *kit, const char *path, const char *kind, const char *name, const char *const *config,
                 const RagifyEmbedderInfo *embedder)
{
  const RagifyPlugin *plugin = ragify_kit_load (kit, path);
  const RagifyComponent *component = plugin != NULL ? ragify_kit_find (kit, plugin, kind, name) : NULL;
  RagifyKitInstance *instance = component != NULL ? ragify_kit_create (kit, component, config, NULL) : NULL;
  if (instance == NULL)
    return NULL;
  if (ragify_kit_start (instance, embedder) == RAGIFY_OK)
    return instance;
  ragify_kit_destroy (instance);
  return NULL;
}

int32_t
ragify_kit_close (RagifyKitInstance *instance)
{
  const int32_t code = ragify_kit_stop (instance);
  ragify_kit_destroy (instance);
  return code;
}

int32_t
ragify_kit_reconfigure (RagifyKitInstance *instance, const char *const *config)
{
  RagifyContext *context = &instance->context;
  RagifyKit *kit = context->kit;
  KitConfig *fresh = kit_config_new (kit, context->component, config);
  if (fresh == NULL)
    return RAGIFY_E_INVALID;
  RagifyStr *names = kit_alloc (context->component->schema.count * sizeof *names);
  const char *fixed = NULL;
  const RagifyReconfigure args = {
    .struct_size = sizeof args,
    .keys = kit_config_changes (context->config, fresh, names, &fixed),
  };
  KitConfig *old = context->config;
  int32_t code = RAGIFY_OK;
  if (fixed != NULL) {
    kit_set_error (kit, "%s: the key '%s' cannot change while it runs", context->component->name, fixed);
    code = RAGIFY_E_INVALID;
  } else if (args.keys.count > 0) {
    context->config = fresh;
    code = run_lifecycle (instance, "reconfigure", (RagifyKitFunction)context->component->reconfigure, &args);
  }
  context->config = code == RAGIFY_OK ? fresh : old;
  kit_config_free (code == RAGIFY_OK ? old : fresh);
  free (names);
  return code;
}

const void *
ragify_kit_operations (const RagifyKitInstance *instance)
{
  return instance->context.component->operations;
}

const RagifyComponent *
ragify_kit_component (const RagifyKitInstance *instance)
{
  return instance->context.component;
}

void *
ragify_kit_self (const RagifyKitInstance *instance)
{
  return instance->context.self;
}
