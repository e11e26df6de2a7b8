/* A unit: a running node of the configuration, shared by successive graphs for as long as it stays the same.
 *
 * SPDX-License-Identifier: MIT
 *
 * References are counted by one thread at a time, that which makes and frees graphs.
 */
#pragma once

#include "config/config.h"
#include "core/module/node.h"

typedef struct RagifyUnit RagifyUnit;

/* What a new configuration means for a unit that runs. */
typedef enum {
  RAGIFY_FATE_KEEP,        /* nothing that it acts on has changed */
  RAGIFY_FATE_RECONFIGURE, /* its component takes the new values as it runs */
  RAGIFY_FATE_RESTART,     /* it must be made anew, and what it has open cannot be open twice: in place */
  RAGIFY_FATE_BUILD,       /* it must be made anew, beside the old one */
} RagifyFate;

/* Makes the node, not yet started, with one reference. NULL with an error. */
RagifyUnit *
ragify_unit_new (RagifyRuntime *runtime, RagifyConfig *config, const RagifyConfigNode *node, GError **error);
/* Starts it and waits; `embedder`: whose vectors a store will get, or NULL. On any thread. */
gboolean ragify_unit_start (RagifyUnit *unit, const RagifyEmbedderInfo *embedder, GError **error);

RagifyUnit *ragify_unit_ref (RagifyUnit *unit);
/* With the last reference the node is stopped and freed, which waits for what is under way. */
void ragify_unit_unref (RagifyUnit *unit);

RagifyNode *ragify_unit_node (const RagifyUnit *unit);
/* What an embedder says that it is, once started; NULL: it is none. */
/* Stores: the embedder that it was started with; NULL: none. */
const RagifyEmbedderInfo *ragify_unit_begun_with (const RagifyUnit *unit);
const RagifyEmbedderInfo *ragify_unit_embedder (const RagifyUnit *unit);

/* What becomes of it when `node` of `config` takes its place; with RAGIFY_FATE_RECONFIGURE `keys` receives those that
 * its component is to be told. */
RagifyFate ragify_unit_compare (const RagifyUnit *unit, const RagifyConfig *config, const RagifyConfigNode *node,
                                const RagifyEmbedderInfo *embedder, GPtrArray *keys);
/* The folder, constant, that a new unit for `node` would share with this one, although each wants it to itself; NULL:
 * none. */
const char *ragify_unit_shared_folder (const RagifyUnit *unit, const RagifyConfigNode *node);

/* Brings the unit to the values of `node` in the way of its fate. FALSE with an error: it is as it was, or dead. */
gboolean ragify_unit_change (RagifyUnit *unit, RagifyFate fate, RagifyConfig *config, const RagifyConfigNode *node,
                             const RagifyEmbedderInfo *embedder, GPtrArray *keys, GError **error);
/* Puts the host's own keys of `node` in force that say how it is called: breaker, retries. */
void ragify_unit_apply_policy (RagifyUnit *unit, const RagifyConfigNode *node);
/* What the node's keys say about its circuit breaker. */
RagifyBreakerOptions ragify_unit_breaker (const RagifyConfigNode *node);
/* Which values are in force: to change back. */
RagifyConfig *ragify_unit_config (const RagifyUnit *unit);
const RagifyConfigNode *ragify_unit_values (const RagifyUnit *unit);
