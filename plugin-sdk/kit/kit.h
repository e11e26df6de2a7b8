/* Ragify plugin SDK: a small host for tests.
 *
 * SPDX-License-Identifier: MIT
 *
 * It loads a real `.so`, makes instances from KEY=VALUE texts that it checks against the component's schema, and runs
 * every operation where the run class says: RAGIFY_RUN_LOOP on a loop thread of the instance's own (poll, timers,
 * invoke), RAGIFY_RUN_WORKER on a pool with at most `max_parallel` at once, RAGIFY_RUN_SHARED on the caller's thread.
 * It keeps to the contract of ragify/host.h and counts what a plugin does against it. Plain C11 and POSIX threads.
 *
 *     RagifyKit *kit = ragify_kit_new (NULL);
 *     const char *config[] = { "max-entries=100", "ttl=5s", NULL };
 *     RagifyKitInstance *cache = ragify_kit_open (kit, path, RAGIFY_KIND_CACHE, "memory", config, NULL);
 *     if (cache == NULL) fail (ragify_kit_error (kit));
 *     const RagifyCacheOperations *ops = ragify_kit_operations (cache);
 *     RagifyCacheGet get = { .struct_size = sizeof get, .key = { key, key_size } };
 *     RagifyKitCall *call = ragify_kit_call (cache, (RagifyKitFunction)ops->get, &get, 0);
 *     const RagifyCacheGetResult *result = call->result;     // NULL when call->code is not RAGIFY_OK
 *     ragify_kit_call_free (call);
 *     ragify_kit_close (cache);
 *     assert (ragify_kit_faults (kit) == 0);
 *     ragify_kit_free (kit);
 *
 * Functions without a tag are [control]: from one thread at a time per kit. Those that run calls may be used from any
 * number of threads at once. For LOOP plugins that rely on GLib sources the loops get a GMainContext from kit-glib.h.
 */
#ifndef RAGIFY_KIT_H
#define RAGIFY_KIT_H

#include <ragify/ragify.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct RagifyKit RagifyKit;
typedef struct RagifyKitInstance RagifyKitInstance;

/* An operation of any kind, cast to this type; so are a component's start, stop, probe, reconfigure and stats. */
typedef void (*RagifyKitFunction) (void);

/* What the loop threads wait with, where that is not poll(2) alone; see kit-glib.h. All of it runs on the loop thread.
 */
struct pollfd;
typedef struct RagifyKitPoller {
  void *(*begin) (void);     /* when the thread starts; what it returns comes back as `state` */
  void (*end) (void *state); /* before it ends */
  /* As poll(2), with a time in µs (-1: no limit), and doing what else is due. */
  int (*poll) (void *state, struct pollfd *fds, size_t count, int64_t timeout_us);
} RagifyKitPoller;

typedef struct RagifyKitOptions {
  const char *state_directory; /* for relative paths; NULL: the working directory */
  uint32_t workers;            /* threads of the pool; 0: 4 */
  uint32_t quiet;              /* 1: log lines are counted but not written to stderr */
  uint64_t call_memory;        /* bytes that call_alloc gives one call; 0: no limit */
  uint32_t credit;             /* emitted items before call_emit says WAIT; 0: no limit */
  uint32_t reserved;
  const RagifyKitPoller *poller; /* of loop threads; NULL: plain poll(2) */
} RagifyKitOptions;

typedef struct RagifyKitNode {
  const char *name; /* NULL: the component's name */
  uint32_t index;   /* which instance this is … */
  uint32_t count;   /* … of how many; 0: one */
} RagifyKitNode;

/* What came back from an operation. Everything here lives until ragify_kit_call_free(); a RagifyBuffer in the result
 * is the caller's to unref. */
typedef struct RagifyKitCall {
  int32_t code;             /* RAGIFY_OK or RAGIFY_E_… */
  uint32_t hung;            /* 1: not even completed a while after its deadline; code is RAGIFY_E_TIMEOUT */
  const char *message;      /* "" on success */
  uint64_t retry_after_us;  /* as call_fail said */
  const void *result;       /* the operation's result; NULL on failure and where it has none. Members that the
                               plugin's version does not know read as 0 */
  const void *const *items; /* what was emitted, in order */
  size_t item_count;        /* of items */
} RagifyKitCall;

/* What the kit saw so far. */
typedef struct RagifyKitCounts {
  int64_t buffers;             /* made by buffer_new and buffer_wrap and still alive, in the whole process */
  uint64_t calls;              /* begun and not completed */
  uint64_t second_completions; /* call_done or call_fail on a completed call */
  uint64_t late_uses;          /* any other use of a completed call */
  uint64_t watches;            /* fd watches not removed */
  uint64_t timers;             /* timers not removed */
  uint64_t jobs;               /* submitted work that has not run to its end */
  uint64_t warnings;           /* log lines of level WARNING and ERROR */
  uint64_t faults;             /* everything against the contract; see ragify_kit_fault() */
} RagifyKitCounts;

/* `options` is read during the call only; NULL: the defaults. */
RagifyKit *ragify_kit_new (const RagifyKitOptions *options);

/* All instances must be closed before. Modules stay loaded. */
void ragify_kit_free (RagifyKit *kit);

/* Why the last function that answered NULL or a code failed; "" if none did. Valid until the next call. */
const char *ragify_kit_error (const RagifyKit *kit);

/* Loads a module and checks its entry: magic, versions, sizes, components, schemas. NULL with an error that says what
 * was expected and found. The same path twice gives the same module. */
const RagifyPlugin *ragify_kit_load (RagifyKit *kit, const char *path);

/* The component called `name` of a kind (RAGIFY_KIND_…), or NULL. */
const RagifyComponent *ragify_kit_find (RagifyKit *kit, const RagifyPlugin *plugin, const char *kind, const char *name);

/* Makes an instance. `config`: "key=value" texts, ended by NULL (NULL: none); `node`: NULL for the defaults. NULL with
 * an error when the configuration does not fit the schema or create() refuses. */
RagifyKitInstance *ragify_kit_create (RagifyKit *kit, const RagifyComponent *component, const char *const *config,
                                      const RagifyKitNode *node);

/* Runs start(). RAGIFY_OK, or its error, with the message in ragify_kit_error(). `embedder` may be NULL. */
int32_t ragify_kit_start (RagifyKitInstance *instance, const RagifyEmbedderInfo *embedder);

/* Waits for calls under way, runs stop(). RAGIFY_OK, or its error. */
int32_t ragify_kit_stop (RagifyKitInstance *instance);

/* Runs destroy() and frees the instance. */
void ragify_kit_destroy (RagifyKitInstance *instance);

/* load, find, create and start in one; NULL with an error. */
RagifyKitInstance *ragify_kit_open (RagifyKit *kit, const char *path, const char *kind, const char *name,
                                    const char *const *config, const RagifyEmbedderInfo *embedder);

/* stop and destroy in one; stop's code. */
int32_t ragify_kit_close (RagifyKitInstance *instance);

/* The kind's vtable, such as RagifyCacheOperations; the component; what create() made. */
const void *ragify_kit_operations (const RagifyKitInstance *instance);
const RagifyComponent *ragify_kit_component (const RagifyKitInstance *instance);
void *ragify_kit_self (const RagifyKitInstance *instance);

/* [any] Runs one operation to its completion. `timeout_us`: its deadline, from now (0: 60 s); when it passes, the call
 * is cancelled and 10 s later taken for hung. `args` must stay valid until it returns (of a hung call: for good).
 * Never NULL. */
RagifyKitCall *
ragify_kit_call (RagifyKitInstance *instance, RagifyKitFunction function, const void *args, uint64_t timeout_us);

/* [any] The same in steps: begin, then maybe cancel, then wait. `args` must stay valid until the wait returns. */
RagifyKitCall *
ragify_kit_begin (RagifyKitInstance *instance, RagifyKitFunction function, const void *args, uint64_t timeout_us);
void ragify_kit_cancel (RagifyKitCall *call);
RagifyKitCall *ragify_kit_wait (RagifyKitCall *call);

/* [any] Frees what came back. NULL is allowed. */
void ragify_kit_call_free (RagifyKitCall *call);

/* Changes configuration as a reload does: `config` replaces the whole configuration, reconfigure() is told the keys
 * that differ. RAGIFY_OK; or an error, and then the old values are in force. */
int32_t ragify_kit_reconfigure (RagifyKitInstance *instance, const char *const *config);

/* [any] What RagifyHost.buffer_new and buffer_wrap do, for arguments. */
RagifyBuffer *ragify_kit_buffer_new (const void *data, uint64_t size);
void ragify_kit_buffer_unref (RagifyBuffer *buffer);

/* [any] An input stream over memory of the caller's, in reads of at most `piece` bytes (0: any size), that after
 * `fail_at` bytes gives -`fail_code` instead of more (0: never). */
RagifyStream *
ragify_kit_stream_new (const void *data, uint64_t size, uint64_t piece, uint64_t fail_at, int32_t fail_code);
void ragify_kit_stream_free (RagifyStream *stream);

/* [any] Counters; the number of faults alone; the n-th fault as a sentence (the first 100 are kept), or NULL. */
RagifyKitCounts ragify_kit_counts (RagifyKit *kit);
uint64_t ragify_kit_faults (RagifyKit *kit);
const char *ragify_kit_fault (RagifyKit *kit, size_t index);

/* The value of a metric that the instance's node registered through ragify.metrics/1; NaN when there is none. */
double ragify_kit_metric (RagifyKitInstance *instance, const char *name);

/* Monotonic time in µs. */
uint64_t ragify_kit_now_us (void);

#ifdef __cplusplus
}
#endif
#endif
