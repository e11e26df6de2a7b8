/* What parent and child say to each other. Both are the same executable, so this may change with any version.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <describe.h>
#include <glib.h>

/* From the parent. The id is the call's, if nothing else is said. */
enum {
  RAGIFY_FRAME_CREATE = 1, /* "(sssuutt@a(suv))": module, kind, component, parallel, abandoned, memory, bound, values */
  RAGIFY_FRAME_START,      /* id: deadline; a flat RagifyStart */
  RAGIFY_FRAME_CALL,       /* RagifyFrameCall, a flat argument; of reconfigure the values before it */
  RAGIFY_FRAME_CANCEL,
  RAGIFY_FRAME_TAKEN,  /* u32: so many items were handed on */
  RAGIFY_FRAME_STREAM, /* i64: bytes read or an error; the bytes */
  RAGIFY_FRAME_PING,
  RAGIFY_FRAME_SHUTDOWN, /* id: deadline */
};

/* From the child. */
enum {
  RAGIFY_FRAME_CREATED = 100, /* the instances are there */
  RAGIFY_FRAME_STARTED,       /* RagifyFrameFailure */
  RAGIFY_FRAME_DONE,          /* a flat result */
  RAGIFY_FRAME_FAILED,        /* RagifyFrameFailure */
  RAGIFY_FRAME_ITEM,          /* a flat item */
  RAGIFY_FRAME_READ,          /* u32: so many bytes of the stream are wanted */
  RAGIFY_FRAME_LOG,           /* id: level; text */
  RAGIFY_FRAME_METRIC,        /* id: the metric's; RagifyFrameMetric, a name of a new one */
  RAGIFY_FRAME_PONG,          /* u64: calls that hang */
  RAGIFY_FRAME_STOPPED,       /* RagifyFrameFailure */
};

/* Operations that all kinds have stand behind those of the kind, in the order of ragify_describe_common. */
#define RAGIFY_FRAME_COMMON 100u

typedef struct RagifyFrameCall {
  guint64 deadline;
  guint32 operation;
  guint32 values; /* bytes of the values that come first */
} RagifyFrameCall;

/* Followed by the message. */
typedef struct RagifyFrameFailure {
  gint32 code; /* RAGIFY_OK: none */
  guint32 reserved;
  guint64 retry_after;
} RagifyFrameFailure;

enum { RAGIFY_FRAME_METRIC_NEW, RAGIFY_FRAME_METRIC_ADD, RAGIFY_FRAME_METRIC_SET, RAGIFY_FRAME_METRIC_OBSERVE };

typedef struct RagifyFrameMetric {
  guint32 what;
  guint32 type; /* RAGIFY_METRIC_… */
  double value;
} RagifyFrameMetric;

/* The operation with that number; NULL where there is none. */
const RagifyDescribedOperation *ragify_frame_operation (const RagifyDescribedKind *kind, guint32 number);

/* ---- the values of a node's configuration, in isolation-values.c ---- */

/* Every key of the schema that has a value, as "a(suv)"; floating. `host` and `context` are those that create got. */
GVariant *ragify_isolation_values (const RagifyComponent *component, const RagifyHost *host, RagifyContext *context);

typedef struct RagifyIsolatedValues RagifyIsolatedValues;

/* The other side: values that a node's getters are answered from. Takes the floating or full reference. */
RagifyIsolatedValues *ragify_isolated_values_new (GVariant *values);
void ragify_isolated_values_free (RagifyIsolatedValues *values);
/* As RagifyNodeValues.get. [any] */
gint32 ragify_isolated_values_get (const RagifyIsolatedValues *values, const char *key, guint32 type, void *value);
