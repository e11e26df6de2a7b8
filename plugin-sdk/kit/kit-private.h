/* What the parts of the test host know of each other. SPDX-License-Identifier: MIT
 *
 * Locks: `RagifyKit.lock` guards its lists and texts, `RagifyKitInstance.lock` the queue of calls, `RagifyCall.lock`
 * one call, `KitLoop.lock` what other threads hand to a loop. None is held while a plugin's function runs, and no two
 * at once except an instance's or a call's before the kit's.
 */
#ifndef RAGIFY_KIT_PRIVATE_H
#define RAGIFY_KIT_PRIVATE_H

#include "kit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define KIT_FAULTS_KEPT 100
/* A completed call's memory is used again only after so many others, so that a second completion is noticed. */
#define KIT_QUARANTINE 1024
#define KIT_TEXT_MAX 1024

typedef struct KitLoop KitLoop;
typedef struct KitPool KitPool;
typedef struct KitConfig KitConfig;
typedef struct KitNodeState KitNodeState;

typedef struct KitModule {
  struct KitModule *next;
  char *path;
  const RagifyPlugin *plugin;
} KitModule;

struct RagifyKit {
  pthread_mutex_t lock;
  RagifyKitOptions options;
  char *state_directory;
  char error[KIT_TEXT_MAX];
  KitModule *modules;
  KitNodeState *nodes;
  KitPool *pool;
  char *faults[KIT_FAULTS_KEPT];
  struct RagifyCall *free_first; /* calls to use again, oldest first */
  struct RagifyCall *free_last;
  size_t free_count;
  struct RagifyCall *all_calls; /* every call ever made, to free them in the end */
  atomic_uint_fast64_t fault_count;
  atomic_uint_fast64_t calls;
  atomic_uint_fast64_t second_completions;
  atomic_uint_fast64_t late_uses;
  atomic_uint_fast64_t watches;
  atomic_uint_fast64_t timers;
  atomic_uint_fast64_t jobs;
  atomic_uint_fast64_t warnings;
};

/* The context that a plugin sees is the instance. */
struct RagifyContext {
  RagifyKit *kit;
  const RagifyComponent *component;
  void *self;
  KitNodeState *node;
  KitLoop *loop; /* RAGIFY_RUN_LOOP only */
  KitConfig *config;
  char create_error[KIT_TEXT_MAX];
  RagifyInstance which;
  pthread_mutex_t lock;
  pthread_cond_t idle;
  uint32_t parallel;  /* RAGIFY_RUN_WORKER: how many at once */
  uint32_t running;   /* of those, taken */
  uint64_t under_way; /* calls whose function has not returned or that are not completed */
  struct RagifyCall *waiting_first;
  struct RagifyCall *waiting_last;
};

struct RagifyKitInstance {
  struct RagifyContext context;
};

typedef struct KitBlock {
  struct KitBlock *next;
  void *memory;
} KitBlock;

typedef void (*KitCallback) (RagifyCall *call, void *user);

struct RagifyCall {
  RagifyKitCall reply; /* first: the two are converted into each other */
  RagifyKit *kit;
  RagifyKitInstance *instance;
  const char *name; /* the component's */
  RagifyKitFunction function;
  const void *args;
  uint64_t deadline_us;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  unsigned references; /* the caller's handle, the function until it returns, the completion */
  unsigned ends;       /* of the function's return and the completion, how many are still to come */
  bool completed;
  bool abandoned; /* taken for hung: the reply is not written any more */
  bool cancelled;
  bool notified;         /* the cancel callback has run or is running */
  bool callback_running; /* a cancel or credit callback, on `callback_thread` */
  pthread_t callback_thread;
  KitCallback on_cancel;
  void *on_cancel_user;
  KitCallback on_credit;
  void *on_credit_user;
  uint32_t credit;
  bool starved;        /* told WAIT and not renewed since */
  bool resume_pending; /* renewed before the plugin had said whom to tell */
  KitBlock *blocks;
  uint64_t allocated;
  const void **items;
  size_t items_size;
  char message[KIT_TEXT_MAX];
  struct RagifyCall *next;     /* in the free list, or waiting for a worker */
  struct RagifyCall *next_all; /* in RagifyKit.all_calls */
};

/* kit.c */
void kit_set_error (RagifyKit *kit, const char *format, ...) __attribute__ ((format (printf, 2, 3)));
void kit_fault (RagifyKit *kit, const char *format, ...) __attribute__ ((format (printf, 2, 3)));
void *kit_alloc (size_t size); /* zeroed; ends the process when memory is exhausted */
char *kit_copy (const char *text);

/* kit-host.c */
extern const RagifyHost kit_host;
int64_t kit_buffers_alive (void);
void kit_thread_set_role (uint32_t role, KitLoop *loop);
uint32_t kit_thread_role (void);
KitLoop *kit_thread_loop (void);

/* kit-call.c: calls. The functions are those of RagifyHost. */
RagifyCall *
kit_call_new (RagifyKitInstance *instance, RagifyKitFunction function, const void *args, uint64_t timeout_us);
void kit_call_run (RagifyCall *call); /* on the thread where it belongs */
void kit_calls_free (RagifyKit *kit);
void *kit_call_alloc (RagifyCall *call, uint64_t size);
uint64_t kit_call_deadline_us (RagifyCall *call);
uint32_t kit_call_cancelled (RagifyCall *call);
void kit_call_on_cancel (RagifyCall *call, KitCallback notify, void *user);
uint32_t kit_call_emit (RagifyCall *call, const void *item);
void kit_call_on_credit (RagifyCall *call, KitCallback resume, void *user);
void kit_call_done (RagifyCall *call, const void *result);
void kit_call_fail (RagifyCall *call, int32_t code, RagifyStr message, uint64_t retry_after_us);

/* kit-instance.c */
void kit_instance_call_ended (RagifyKitInstance *instance);

/* kit-config.c */
int kit_schema_check (RagifyKit *kit, const char *component, const RagifySchema *schema);
KitConfig *kit_config_new (RagifyKit *kit, const RagifyComponent *component, const char *const *texts);
void kit_config_free (KitConfig *config);
/* The reloadable keys whose values differ; *fixed: the name of one that differs and is not reloadable, or NULL. */
RagifyStrList
kit_config_changes (const KitConfig *old_config, const KitConfig *new_config, RagifyStr *names, const char **fixed);
int32_t kit_config_string (RagifyContext *context, const char *key, RagifyStr *value);
int32_t kit_config_int (RagifyContext *context, const char *key, int64_t *value);
int32_t kit_config_double (RagifyContext *context, const char *key, double *value);
int32_t kit_config_bool (RagifyContext *context, const char *key, uint32_t *value);
int32_t kit_config_duration (RagifyContext *context, const char *key, uint64_t *value);
int32_t kit_config_size (RagifyContext *context, const char *key, uint64_t *value);
int32_t kit_config_list (RagifyContext *context, const char *key, RagifyStrList *value);

/* kit-loop.c */
KitLoop *kit_loop_new (RagifyKit *kit);
void kit_loop_free (KitLoop *loop); /* ends the thread; not from the loop itself */
void kit_loop_invoke (KitLoop *loop, void (*function) (void *user), void *user);
extern const RagifyLoopExtension kit_loop_extension;

/* kit-pool.c */
KitPool *kit_pool_new (RagifyKit *kit, uint32_t threads);
void kit_pool_free (KitPool *pool); /* runs what is queued, ends the threads */
bool kit_pool_push (KitPool *pool, void (*work) (void *user), void *user);

/* kit-node.c: what the instances of a node share */
KitNodeState *kit_node_get (RagifyKit *kit, const char *name);
void kit_nodes_free (RagifyKit *kit);
extern const RagifyQuotaExtension kit_quota_extension;
extern const RagifyMetricsExtension kit_metrics_extension;
extern const RagifySecretsExtension kit_secrets_extension;

/* kit-stream.c */
int64_t kit_stream_read (RagifyStream *stream, uint8_t *data, uint64_t capacity);

#endif
