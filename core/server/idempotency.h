/* Idempotency keys: what was answered to a request that may come again.
 *
 * SPDX-License-Identifier: MIT
 *
 * A client that does not know whether its request arrived sends it again with the same Idempotency-Key
 * (draft-ietf-httpapi-idempotency-key-header-07), and gets the answer of the first one. What is kept is bounded by
 * number, bytes and age, the oldest go first. It is kept in memory: after a restart the request is carried out again,
 * for which ingest makes no difference, since documents that have not changed are left as they are.
 */
#pragma once

#include <glib.h>

typedef struct RagifyIdempotency RagifyIdempotency;

/* 128 bits of all that makes a request another one. */
typedef struct RagifyRequestDigest {
  guint64 high, low;
} RagifyRequestDigest;

typedef enum {
  RAGIFY_IDEMPOTENT_NEW,     /* it is the caller's now, until finish or abandon */
  RAGIFY_IDEMPOTENT_RUNNING, /* the first is not answered yet */
  RAGIFY_IDEMPOTENT_ANSWERED,
} RagifyIdempotentState;

#define RAGIFY_IDEMPOTENCY_KEY_MAX 255

/* At most so many answers, of so many bytes together, for so long; 0: 10,000, 64 MiB, a day. [control] */
RagifyIdempotency *ragify_idempotency_new (guint entries, gsize bytes, guint64 age_us);
void ragify_idempotency_free (RagifyIdempotency *idempotency); /* [control] NULL is allowed */

/* `key`: the client's, with what tells clients apart. `now`: monotonic µs. [any] */
RagifyIdempotentState ragify_idempotency_begin (RagifyIdempotency *idempotency, const char *key, guint64 now);
/* The answer to the one that is the caller's; `body` is copied. [any] */
void ragify_idempotency_finish (RagifyIdempotency *idempotency, const char *key, const RagifyRequestDigest *digest,
                                const char *body, gsize size);
/* There is none to be kept: it can be tried again. [any] */
void ragify_idempotency_abandon (RagifyIdempotency *idempotency, const char *key);
/* The answer that is kept, to be freed with g_free; NULL: it was given to another request, or is no longer kept, and
 * then `*gone` is TRUE. [any] */
char *ragify_idempotency_answer (RagifyIdempotency *idempotency, const char *key, const RagifyRequestDigest *digest,
                                 gsize *size, gboolean *gone);
