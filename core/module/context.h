/* What RagifyContext is inside the host: one instance's view of its node.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "core/module/node.h"

struct RagifyContext {
  RagifyNode *node;
  RagifyRuntime *runtime;
  guint index;
  RagifyLoop *loop; /* that a RAGIFY_RUN_LOOP instance is bound to; NULL: none */
  char *error;      /* what create said, until it is taken */
};

/* The one vtable that all plugins get. */
const RagifyHost *ragify_host (void);

/* RagifyHost.get_extension. */
const void *ragify_extension_find (RagifyContext *context, const char *id);

/* ---- what the host's functions need of a node ---- */
gint32 ragify_node_get_value (RagifyNode *node, const char *key, guint32 type, void *value);

/* TRUE inside a [control] function of a component. [any] */
gboolean ragify_node_is_control (void);

/* The node's quota called `name`, made with `limit` where it is new. [control] */
RagifyQuota *ragify_node_quota (RagifyNode *node, const char *name, guint64 limit);
RagifyQuota *ragify_quota_new (guint64 limit);
void ragify_quota_free (RagifyQuota *quota);
