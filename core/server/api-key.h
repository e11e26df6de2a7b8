/* API keys: who may do what, as a file says it.
 *
 * SPDX-License-Identifier: MIT
 *
 *   [acme]
 *   sha256 = 5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8
 *   scopes = read; write
 *   filter = {"tenant": "acme"}
 *   rate = 50
 *
 * The file holds hashes only: a key is 32 random bytes in base64url behind "rgf_", so one round of SHA-256 keeps it.
 */
#pragma once

#include "core/ingest/hold.h"

typedef enum {
  RAGIFY_SCOPE_READ = 1,
  RAGIFY_SCOPE_WRITE = 2,
  RAGIFY_SCOPE_ADMIN = 4,
} RagifyScope;

/* What a key has used up; it is carried over when the file is read again. */
typedef struct RagifyKeyUse {
  gint references; /* atomic */
  guint64 next_at; /* atomic; monotonic µs: when the next request would be due if all came evenly (GCRA) */
  guint active;    /* atomic; requests under way */
} RagifyKeyUse;

typedef struct RagifyApiKey {
  char *name;
  guint8 hash[32];
  guint scopes;     /* RAGIFY_SCOPE_… */
  RagifyHold *hold; /* what every request of the key is held to; NULL: nothing */
  char **pipelines; /* the only ones that it may ask; NULL: all */
  double rate;      /* requests a second on average; 0: no bound */
  guint burst;      /* that may come at once */
  guint max_active; /* requests under way at once; 0: no bound */
  gint64 expires;   /* wall clock, seconds; 0: never */
  RagifyKeyUse *use;
} RagifyApiKey;

/* The keys of one reading of the file; immutable. */
typedef struct RagifyKeySet RagifyKeySet;

/* Reads a file of keys. NULL with every mistake in the error's text, one a line, as FILE: [group]: what. `before`: the
 * set that this one follows, or NULL: keys of the same name and hash go on with what they have used up. [control] */
RagifyKeySet *ragify_key_set_load (const char *path, const RagifyKeySet *before, GError **error);
RagifyKeySet *ragify_key_set_ref (RagifyKeySet *set); /* [any] */
void ragify_key_set_unref (RagifyKeySet *set);        /* [any] */
guint ragify_key_set_count (const RagifyKeySet *set);

/* The key that `text` is; NULL: none. Takes the same time for every wrong key. [any] */
const RagifyApiKey *ragify_key_set_find (const RagifyKeySet *set, RagifyStr text);

/* Whether a request of the key may begin at `now` (monotonic µs); otherwise the seconds until one may. [any] */
gboolean ragify_api_key_take_turn (const RagifyApiKey *key, guint64 now, guint *retry_after);
/* Counts a request under way; FALSE: there are as many as may be. Give back with ragify_api_key_leave. [any] */
gboolean ragify_api_key_enter (const RagifyApiKey *key);
void ragify_api_key_leave (const RagifyApiKey *key);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyKeySet, ragify_key_set_unref)
