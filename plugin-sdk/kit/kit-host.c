/* SPDX-License-Identifier: MIT */
#include "kit-private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct KitBuffer {
  RagifyBuffer base; /* first: the two are converted into each other */
  atomic_uint references;
  void (*release) (void *user);
  void *user;
} KitBuffer;

/* buffer_new() is told neither kit nor node, so the leak count is the process's. */
static atomic_int_fast64_t buffers_alive;

static _Thread_local uint32_t thread_role;
static _Thread_local KitLoop *thread_loop;

void
kit_thread_set_role (uint32_t role, KitLoop *loop)
{
  thread_role = role;
  thread_loop = loop;
}

uint32_t
kit_thread_role (void)
{
  return thread_role;
}

KitLoop *
kit_thread_loop (void)
{
  return thread_loop;
}

int64_t
kit_buffers_alive (void)
{
  return atomic_load (&buffers_alive);
}

static void
host_log (RagifyContext *context, uint32_t level, RagifyStr message)
{
  static const char *const names[] = { "?", "error", "warning", "info", "debug" };
  RagifyKit *kit = context->kit;
  if (level < RAGIFY_LOG_ERROR || level > RAGIFY_LOG_DEBUG) {
    kit_fault (kit, "%s: log: level %u is none of 1..4", context->component->name, level);
    return;
  }
  if (level <= RAGIFY_LOG_WARNING)
    atomic_fetch_add (&kit->warnings, 1);
  if (!kit->options.quiet)
    fprintf (stderr, "# %s: %s: %.*s\n", context->component->name, names[level], (int)message.size, message.data);
}

static uint64_t
host_clock_us (void)
{
  return ragify_kit_now_us ();
}

static int64_t
host_wall_us (void)
{
  struct timespec now;
  clock_gettime (CLOCK_REALTIME, &now);
  return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void
host_set_error (RagifyContext *context, RagifyStr message)
{
  const size_t size = message.size < KIT_TEXT_MAX - 1 ? message.size : KIT_TEXT_MAX - 1;
  if (size > 0)
    memcpy (context->create_error, message.data, size);
  context->create_error[size] = '\0';
}

static void
buffer_ref (RagifyBuffer *buffer)
{
  atomic_fetch_add_explicit (&((KitBuffer *)buffer)->references, 1, memory_order_relaxed);
}

static void
buffer_unref (RagifyBuffer *buffer)
{
  KitBuffer *own = (KitBuffer *)buffer;
  if (atomic_fetch_sub_explicit (&own->references, 1, memory_order_acq_rel) != 1)
    return;
  if (own->release != NULL)
    own->release (own->user);
  atomic_fetch_sub_explicit (&buffers_alive, 1, memory_order_relaxed);
  free (own);
}

static KitBuffer *
buffer_make (uint64_t size, void (*release) (void *user), void *user)
{
  KitBuffer *buffer = calloc (1, sizeof *buffer);
  if (buffer == NULL)
    return NULL;
  buffer->base = (RagifyBuffer){
    .struct_size = sizeof (RagifyBuffer),
    .size = size,
    .ref = buffer_ref,
    .unref = buffer_unref,
  };
  atomic_init (&buffer->references, 1);
  buffer->release = release;
  buffer->user = user;
  atomic_fetch_add_explicit (&buffers_alive, 1, memory_order_relaxed);
  return buffer;
}

static RagifyBuffer *
host_buffer_wrap (const uint8_t *data, uint64_t size, void (*release) (void *user), void *user)
{
  KitBuffer *buffer = buffer_make (size, release, user);
  if (buffer == NULL)
    return NULL;
  buffer->base.data = data;
  return &buffer->base;
}

static RagifyBuffer *
host_buffer_new (uint64_t size, uint8_t **data)
{
  /* Apart from the head, so that a sanitizer sees a write past the end. */
  uint8_t *memory = size < SIZE_MAX ? malloc (size > 0 ? size : 1) : NULL;
  if (memory == NULL)
    return NULL;
  KitBuffer *buffer = buffer_make (size, free, memory);
  if (buffer == NULL) {
    free (memory);
    return NULL;
  }
  buffer->base.data = memory;
  *data = memory;
  return &buffer->base;
}

static int32_t
host_submit (RagifyContext *context, void (*work) (void *user), void *user)
{
  return kit_pool_push (context->kit->pool, work, user) ? RAGIFY_OK : RAGIFY_E_EXHAUSTED;
}

static uint32_t
thread_on_own_loop (RagifyContext *context)
{
  return context->loop != NULL && context->loop == thread_loop;
}

static const RagifyThreadCheckExtension thread_check_extension = {
  .struct_size = sizeof (RagifyThreadCheckExtension),
  .current = kit_thread_role,
  .on_own_loop = thread_on_own_loop,
};

static const void *
host_get_extension (RagifyContext *context, const char *id)
{
  if (strcmp (id, RAGIFY_EXT_LOOP) == 0)
    return context->loop != NULL ? &kit_loop_extension : NULL;
  if (strcmp (id, RAGIFY_EXT_QUOTA) == 0)
    return &kit_quota_extension;
  if (strcmp (id, RAGIFY_EXT_METRICS) == 0)
    return &kit_metrics_extension;
  if (strcmp (id, RAGIFY_EXT_SECRETS) == 0)
    return &kit_secrets_extension;
  if (strcmp (id, RAGIFY_EXT_THREAD_CHECK) == 0)
    return &thread_check_extension;
  return NULL;
}

const RagifyHost kit_host = {
  .struct_size = sizeof (RagifyHost),
  .abi_major = RAGIFY_ABI_MAJOR,
  .abi_minor = RAGIFY_ABI_MINOR,
  .log = host_log,
  .clock_us = host_clock_us,
  .wall_us = host_wall_us,
  .config_string = kit_config_string,
  .config_int = kit_config_int,
  .config_double = kit_config_double,
  .config_bool = kit_config_bool,
  .config_duration = kit_config_duration,
  .config_size = kit_config_size,
  .config_list = kit_config_list,
  .set_error = host_set_error,
  .buffer_new = host_buffer_new,
  .buffer_wrap = host_buffer_wrap,
  .call_alloc = kit_call_alloc,
  .call_deadline_us = kit_call_deadline_us,
  .call_cancelled = kit_call_cancelled,
  .call_on_cancel = kit_call_on_cancel,
  .call_emit = kit_call_emit,
  .call_on_credit = kit_call_on_credit,
  .call_done = kit_call_done,
  .call_fail = kit_call_fail,
  .submit = host_submit,
  .stream_read = kit_stream_read,
  .get_extension = host_get_extension,
};

RagifyBuffer *
ragify_kit_buffer_new (const void *data, uint64_t size)
{
  uint8_t *memory = NULL;
  RagifyBuffer *buffer = host_buffer_new (size, &memory);
  if (buffer != NULL && size > 0)
    memcpy (memory, data, size);
  return buffer;
}

void
ragify_kit_buffer_unref (RagifyBuffer *buffer)
{
  if (buffer != NULL)
    buffer->unref (buffer);
}
