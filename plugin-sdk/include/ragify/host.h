/* Ragify plugin SDK: what the host does for a plugin.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_HOST_H
#define RAGIFY_HOST_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One operation that the host asked for. It is completed exactly once, by call_done() or call_fail(); until then the
 * arguments that came with it stay valid, also when the host has stopped waiting. call_cancelled and call_deadline_us
 * may be asked from any number of threads at any time; all else that takes a call comes from one thread at a time. */
typedef struct RagifyCall RagifyCall;

/* The node that an instance belongs to, as far as this instance sees it. Valid from create() until destroy() returns.
 */
typedef struct RagifyContext RagifyContext;

/* A large input that is read piece by piece. Valid until the call that brought it is completed. */
typedef struct RagifyStream RagifyStream;

#define RAGIFY_LOG_ERROR 1u   /* the operator must act */
#define RAGIFY_LOG_WARNING 2u /* something is worse than it should be; said once per change of state */
#define RAGIFY_LOG_INFO 3u
#define RAGIFY_LOG_DEBUG 4u

/* What call_emit() answers. */
#define RAGIFY_EMIT_GO 0u   /* emit on */
#define RAGIFY_EMIT_WAIT 1u /* taken, and nothing more is wanted until the credit callback runs */
#define RAGIFY_EMIT_STOP 2u /* not taken: the call is over or was cancelled; complete it */

typedef struct RagifyHost {
  uint32_t struct_size;
  uint16_t abi_major;
  uint16_t abi_minor;

  /* [any] Writes one line to the host's log with the node's name. */
  void (*log) (RagifyContext *context, uint32_t level, RagifyStr message);

  /* [any] Monotonic time in µs, and wall-clock time in µs since 1970. */
  uint64_t (*clock_us) (void);
  int64_t (*wall_us) (void);

  /* [control][call] Typed configuration, already validated against the component's schema, defaults applied. `key` must
   * be in the schema with that type. RAGIFY_OK, or RAGIFY_E_NOT_FOUND where the key is absent and has no default (then
   * `*value` is untouched). Durations are µs, sizes bytes. Texts live as long as the context, or until reconfigure
   * completes. A secret is read with config_string; never log it. A path is absolute: relative ones were resolved. */
  int32_t (*config_string) (RagifyContext *context, const char *key, RagifyStr *value);
  int32_t (*config_int) (RagifyContext *context, const char *key, int64_t *value);
  int32_t (*config_double) (RagifyContext *context, const char *key, double *value);
  int32_t (*config_bool) (RagifyContext *context, const char *key, uint32_t *value);
  int32_t (*config_duration) (RagifyContext *context, const char *key, uint64_t *value);
  int32_t (*config_size) (RagifyContext *context, const char *key, uint64_t *value);
  int32_t (*config_list) (RagifyContext *context, const char *key, RagifyStrList *value);

  /* [control] Says why create() is about to return an error code. The text is copied. */
  void (*set_error) (RagifyContext *context, RagifyStr message);

  /* [any] A new buffer of `size` bytes with one reference; `*data` is writable until the buffer is first handed on.
   * NULL when memory is exhausted. */
  RagifyBuffer *(*buffer_new) (uint64_t size, uint8_t **data);
  /* [any] A buffer around memory of the caller's; `release (user)` runs with the last unref. */
  RagifyBuffer *(*buffer_wrap) (const uint8_t *data, uint64_t size, void (*release) (void *user), void *user);

  /* [any] `size` zeroed bytes, aligned to 16, or to 64 when size ≥ 64. What was allocated since the last call_emit goes
   * with the next item, or with the result where none follows, and lives as long as that is used: do not touch it
   * after handing it over. One thread at a time per call. NULL when the call's memory limit is reached. */
  void *(*call_alloc) (RagifyCall *call, uint64_t size);

  /* [any] When the answer is no longer of use; monotonic µs, never 0. */
  uint64_t (*call_deadline_us) (RagifyCall *call);
  /* [any] 1 when the caller no longer waits; long computations ask now and then, and complete with CANCELLED. */
  uint32_t (*call_cancelled) (RagifyCall *call);
  /* [any] `notify` runs once when the call is cancelled: on the instance's loop for RAGIFY_RUN_LOOP, on any thread
   * otherwise, at once when it already is. Cancelling only asks: the call must still be completed. NULL takes it back.
   * Once this function, call_done or call_fail has returned, the callback that was set before neither runs nor will
   * (where it runs on another thread they wait for it, so hold no lock that it takes). */
  void (*call_on_cancel) (RagifyCall *call, void (*notify) (RagifyCall *call, void *user), void *user);

  /* [any] Hands over one item of the type that the operation names, before completion; copied shallowly (what it
   * points to comes from call_alloc or is constant, buffers pass their reference). See RAGIFY_EMIT_…. */
  uint32_t (*call_emit) (RagifyCall *call, const void *item);
  /* [any] `resume` runs each time the credit of a call that was told WAIT is renewed, also where that was before this;
   * as with on_cancel: where it runs, how it is taken back, and that it is over once the call is complete. It may run
   * before call_emit has returned WAIT. Cancelling renews nothing: who waits asks for that with on_cancel. */
  void (*call_on_credit) (RagifyCall *call, void (*resume) (RagifyCall *call, void *user), void *user);

  /* [any] Completes the call with the operation's result type, copied shallowly as in call_emit; NULL where the
   * result is RagifyNothing. The caller's continuation never runs inside this function. A second completion is
   * logged, counted and ignored. After this the call must not be touched. */
  void (*call_done) (RagifyCall *call, const void *result);
  /* [any] Completes the call with an error (RAGIFY_E_…) and a sentence for a person, copied. `retry_after_us`: when it
   * may be worth asking again, from now; 0: not known. */
  void (*call_fail) (RagifyCall *call, int32_t code, RagifyStr message, uint64_t retry_after_us);

  /* [any] Runs `work (user)` on the worker pool; the instance is not destroyed before it has returned. RAGIFY_OK, or
   * RAGIFY_E_EXHAUSTED when its queue is full. */
  int32_t (*submit) (RagifyContext *context, void (*work) (void *user), void *user);

  /* [worker] Reads up to `capacity` bytes: the number read, 0 at the end, or a negative RAGIFY_E_…. May block until
   * the call's deadline. */
  int64_t (*stream_read) (RagifyStream *stream, uint8_t *data, uint64_t capacity);

  /* [control][call] An extension of the host by name (RAGIFY_EXT_…), or NULL where this host has none. */
  const void *(*get_extension) (RagifyContext *context, const char *id);
} RagifyHost;

/* ---- ragify.loop/1: the event loop that a RAGIFY_RUN_LOOP instance is bound to ------------------------------------
 * The loop's GMainContext is also the thread-default one there, so GLib sources work as well. */
#define RAGIFY_EXT_LOOP "ragify.loop/1"

#define RAGIFY_FD_READ 1u
#define RAGIFY_FD_WRITE 2u
#define RAGIFY_FD_HANGUP 4u /* reported, never asked for */

typedef struct RagifyWatch RagifyWatch;
typedef struct RagifyTimer RagifyTimer;

typedef struct RagifyLoopExtension {
  uint32_t struct_size;
  uint32_t reserved;
  /* [loop] Calls `ready` on the loop while one of `events` holds, until removed. The descriptor stays the caller's. */
  RagifyWatch *(*watch_new) (RagifyContext *context, int32_t fd, uint32_t events,
                             void (*ready) (void *user, int32_t fd, uint32_t events), void *user);
  void (*watch_set_events) (RagifyWatch *watch, uint32_t events); /* [loop] */
  void (*watch_remove) (RagifyWatch *watch);                      /* [loop] also from its own callback */
  /* [loop] Calls `expired` once after `delay_us`, then every `period_us` unless that is 0. */
  RagifyTimer *(*timer_new) (RagifyContext *context, uint64_t delay_us, uint64_t period_us,
                             void (*expired) (void *user), void *user);
  void (*timer_restart) (RagifyTimer *timer, uint64_t delay_us); /* [loop] */
  void (*timer_remove) (RagifyTimer *timer);                     /* [loop] also from its own callback */
  /* [any] Runs `function (user)` on the instance's loop, soon, never inside this function; the instance is not
   * destroyed before it has returned. */
  void (*invoke) (RagifyContext *context, void (*function) (void *user), void *user);
} RagifyLoopExtension;

/* ---- ragify.quota/1: totals of a node across its instances --------------------------------------------------------
 */
#define RAGIFY_EXT_QUOTA "ragify.quota/1"

typedef struct RagifyQuota RagifyQuota;

typedef struct RagifyQuotaExtension {
  uint32_t struct_size;
  uint32_t reserved;
  /* [control] The node's quota called `name`; made with `limit` by the first instance that asks, the same one for all.
   */
  RagifyQuota *(*open) (RagifyContext *context, const char *name, uint64_t limit);
  uint32_t (*try_acquire) (RagifyQuota *quota, uint64_t amount); /* [any] 1 when taken, 0 when too little is left */
  void (*release) (RagifyQuota *quota, uint64_t amount);         /* [any] */
  uint64_t (*in_use) (RagifyQuota *quota);                       /* [any] */
  /* [loop] After try_acquire said no: `available (user)` runs once on the instance's loop when `amount` is left, also
   * where that came about in between; then ask again. NULL takes back what this instance asked for with this `user`;
   * one that is on its way already still runs, before the instance is destroyed. */
  void (*notify_release) (RagifyContext *context, RagifyQuota *quota, uint64_t amount, void (*available) (void *user),
                          void *user);
} RagifyQuotaExtension;

/* ---- ragify.metrics/1: numbers for /metrics, labelled with the node's name by the host ----------------------------
 */
#define RAGIFY_EXT_METRICS "ragify.metrics/1"

#define RAGIFY_METRIC_COUNTER 1u
#define RAGIFY_METRIC_GAUGE 2u
#define RAGIFY_METRIC_HISTOGRAM 3u /* of seconds */

typedef struct RagifyMetric RagifyMetric;

typedef struct RagifyMetricsExtension {
  uint32_t struct_size;
  uint32_t reserved;
  /* [control] `name` is [a-z_]+ and becomes ragify_plugin_<name>; the same name gives the node's same metric. NULL for
   * any other name or type; the functions below do not take NULL. */
  RagifyMetric *(*metric_new) (RagifyContext *context, uint32_t type, const char *name, const char *help);
  void (*add) (RagifyMetric *metric, double amount);    /* [any] counters and gauges */
  void (*set) (RagifyMetric *metric, double value);     /* [any] gauges */
  void (*observe) (RagifyMetric *metric, double value); /* [any] histograms */
} RagifyMetricsExtension;

/* ---- ragify.secrets/1: secrets that are named by a value and not by a key ----------------------------------------
 */
#define RAGIFY_EXT_SECRETS "ragify.secrets/1"

typedef struct RagifySecretsExtension {
  uint32_t struct_size;
  uint32_t reserved;
  /* [control] The credential `name` from $CREDENTIALS_DIRECTORY as a buffer with a reference of the caller's, or NULL.
   */
  RagifyBuffer *(*read) (RagifyContext *context, RagifyStr name);
} RagifySecretsExtension;

/* ---- ragify.trace/1: the trace that a call is part of -------------------------------------------------------------
 */
#define RAGIFY_EXT_TRACE "ragify.trace/1"

typedef struct RagifyTraceExtension {
  uint32_t struct_size;
  uint32_t reserved;
  /* [any] What to send along with a request that the call makes of somebody else: the values of the headers traceparent
   * and tracestate (W3C Trace Context), the latter possibly empty. 1, and the texts live until the call emits an item
   * or is complete; 0 when the call is part of no trace, and both are empty. One thread at a time per call. */
  uint32_t (*context) (RagifyCall *call, RagifyStr *traceparent, RagifyStr *tracestate);
} RagifyTraceExtension;

/* ---- ragify.thread-check/1: for assertions -----------------------------------------------------------------------
 */
#define RAGIFY_EXT_THREAD_CHECK "ragify.thread-check/1"

#define RAGIFY_THREAD_OTHER 0u
#define RAGIFY_THREAD_CONTROL 1u
#define RAGIFY_THREAD_LOOP 2u
#define RAGIFY_THREAD_WORKER 3u

typedef struct RagifyThreadCheckExtension {
  uint32_t struct_size;
  uint32_t reserved;
  uint32_t (*current) (void);                       /* [any] RAGIFY_THREAD_… of this thread */
  uint32_t (*on_own_loop) (RagifyContext *context); /* [any] 1 on the loop that this instance is bound to */
} RagifyThreadCheckExtension;

#ifdef __cplusplus
}
#endif
#endif
