/* What tests of the tier stand on: two memory levels, and asks that lead, compute, wait or give up.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "core/cache/tier.h"
#include "rig.h"

typedef struct {
  Rig *rig;
  RagifyNode *first, *second;
  RagifyTier *tier;
} World;

/* One get, and what it found. */
typedef struct {
  World *world;
  RagifyTask task;
  guint loop;
  RagifyTierKey key;
  guint64 patience_us;
  gboolean computes; /* when it leads: sets "computed" */
  guint compute_ms;
  gboolean holds; /* computes when it is released only */
  gboolean gives_up;
  gboolean peeks;
  gboolean (*valid) (const RagifyEnvelope *envelope, void *user);

  RagifyOwner *owner;
  RagifyTierGet *get;
  RagifyDeadline work;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  gboolean done, held;
  gboolean lead, timeout, stale;
  char *body;
  char *level;
} Ask;

extern const RagifyUuidList one_id;

RagifyBytes bytes (const char *text);
RagifyTierKey key_number (guint number);

/* Over the world's two nodes; with TTLs of these. */
void make_tier (World *world, guint n_levels, guint64 first_ttl_us, guint64 second_ttl_us);
int set_up (void **state);
int tear_down (void **state);

void begin_ask (Ask *ask);
void finish_ask (Ask *ask); /* on its loop, where `got` does not run any more */
void await_held (Ask *ask); /* waits until one that holds leads */
void release_ask (Ask *ask);
void
await_asked (const Ask *ask); /* waits until it has looked into the levels, and waits for another where one leads */
void end_ask (Ask *ask);      /* waits */
void clear_ask (Ask *ask);
/* Whether the levels have an answer; gives up where it leads. */
gboolean is_there (World *world, guint number);
/* Expects to find `body` (NULL: to lead, giving up then) with `level`. */
void expect (World *world, guint number, const char *body, const char *level);

/* Stores an answer in all levels. */
void set (World *world, guint number, const char *body);
void set_negative (World *world, guint number, const char *body);
/* Puts bytes of another's making into one level. */
void put_raw (RagifyNode *node, guint number, const void *data, gsize size, guint64 ttl_us);
/* An envelope as another process would have made it, so long ago (negative: ahead of our clock): "foreign". */
void put_foreign (RagifyNode *node, guint number, gint64 age_us, guint64 level_ttl_us);
/* Empties one level. */
void clear_level (RagifyNode *node);
